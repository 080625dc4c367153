use super::*;
use crate::{
    plan::Position,
    train::{Clip, Optimizer, OptimizerState},
    weights::WeightFilter,
    Error, Seed,
};
use candle_core::{DType, Device};
use rand::{seq::SliceRandom, Rng};
use rand_distr::StandardNormal;

const CPU: &Device = &Device::Cpu;
const MANY: usize = 200_000;

fn position(epoch: usize, batch: usize) -> Position {
    Position { epoch, batch, epochs: 10, batches_per_epoch: 7 }
}

/// The step at this position of the run with this seed.
fn at(seed: u64, epoch: usize, batch: usize) -> NoiseStep {
    NoiseStep::new(seed, position(epoch, batch))
}

fn numbers(tensor: &Tensor) -> Vec<f64> {
    tensor.to_dtype(DType::F64).and_then(|t| t.flatten_all()?.to_vec1()).unwrap()
}

fn bits(tensor: &Tensor) -> Vec<u64> {
    numbers(tensor).into_iter().map(f64::to_bits).collect()
}

fn zeros(shape: &[usize], dtype: DType) -> Tensor {
    Tensor::zeros(shape, dtype, CPU).unwrap()
}

fn named(vars: &[(&str, &Var)]) -> Vec<(String, Var)> {
    vars.iter().map(|(name, var)| (name.to_string(), (*var).clone())).collect()
}

fn noisy_inputs(text: &str, x: &Tensor, at: NoiseStep) -> Result<Vec<f64>> {
    Ok(numbers(Noises::parse(text)?.perturb_inputs(&x.into(), at)?.only()?))
}

/// Mean, variance, excess kurtosis, the share beyond two deviations and the correlation of neighbours, each
/// within 5 standard errors of those of independent normal numbers. The seeds are fixed; for random ones,
/// correct code would fail with probability 3e-6.
fn assert_normal(x: &[f64], deviation: f64) {
    let n = x.len() as f64;
    let z: Vec<f64> = x.iter().map(|x| x / deviation).collect();
    let mean = |f: &dyn Fn(f64) -> f64| z.iter().map(|z| f(*z)).sum::<f64>() / n;
    let share = 0.045_500_263_896;
    for (what, got, expected, variance) in [
        ("mean", mean(&|z| z), 0.0, 1.0),
        ("variance", mean(&|z| z * z), 1.0, 2.0),
        ("fourth moment", mean(&|z| z.powi(4)), 3.0, 96.0),
        ("share beyond 2", mean(&|z| f64::from(z.abs() > 2.0)), share, share * (1.0 - share)),
        ("neighbours", z.windows(2).map(|w| w[0] * w[1]).sum::<f64>() / n, 0.0, 1.0),
    ] {
        assert!((got - expected).abs() < 5.0 * (variance / n).sqrt(), "{what}: {got} against {expected}");
    }
}

#[test]
fn noise_is_normal_with_the_given_deviation() -> Result<()> {
    assert_normal(&noisy_inputs("input:0.1", &zeros(&[MANY], DType::F64), at(1, 0, 0))?, 0.1);
    let task = Task::Regression { outputs: 2 };
    let targets =
        Noises::parse("target:3")?.perturb_targets(&zeros(&[MANY / 2, 2], DType::F32), task, at(1, 0, 0))?;
    assert_normal(&numbers(&targets), 3.0);

    let w = Var::from_tensor(&zeros(&[MANY / 10, 10], DType::F32))?;
    let vars = named(&[("w", &w)]);
    let noisy = Noises::parse("weight:0.01")?.perturb_weights(&vars, at(1, 0, 0))?;
    assert_normal(&numbers(&w), 0.01);
    noisy.restore()?;

    let mut gradients = w.sum_all()?.backward()?;
    // The step number 9: 1 · 7 + 2. σ² = η / 10^γ.
    Noises::parse("gradient:0.3:0.55")?.perturb_gradients(&mut gradients, &vars, at(1, 1, 2))?;
    let noise: Vec<f64> = numbers(gradients.get(&w).unwrap()).iter().map(|g| g - 1.0).collect();
    assert_normal(&noise, (0.3 / 10f64.powf(0.55)).sqrt());

    // Where epochs differ in their numbers of batches the step is said, and a scaled loss has scaled noise.
    gradients.insert(&w, w.zeros_like()?);
    let step = at(1, 1, 2).step(99).loss_scale(1024.0);
    Noises::parse("gradient:0.3")?.perturb_gradients(&mut gradients, &vars, step)?;
    assert_normal(&numbers(gradients.get(&w).unwrap()), 1024.0 * (0.3 / 100f64.powf(0.55)).sqrt());
    Ok(())
}

/// By an expression of its own: the draws of a run may never change, or it could not be resumed.
#[test]
fn draws_are_those_of_the_seed_the_epoch_the_batch_and_the_name() -> Result<()> {
    let seed = Seed::from(42).nth("noise", 1).child("epoch/3").child("batch/5");
    let expected = |name: &str| -> Vec<f64> {
        let mut rng = seed.child(name).rng();
        (0..6).map(|_| 0.5 * rng.sample::<f64, _>(StandardNormal)).collect()
    };
    let x = zeros(&[2, 3], DType::F64);
    assert_eq!(noisy_inputs("target:0.1,input:0.5", &x, at(42, 3, 5))?, expected("inputs/0"));
    let w = Var::from_tensor(&x)?;
    let noisy = Noises::parse("input:1,weight:0.5")?.perturb_weights(&named(&[("a.w", &w)]), at(42, 3, 5))?;
    assert_eq!(numbers(&w), expected("weights/a.w"));
    noisy.restore()?;
    let mut gradients = w.sum_all()?.backward()?;
    gradients.insert(&w, x);
    let noises = Noises::parse("input:1,gradient:0.25:0")?;
    noises.perturb_gradients(&mut gradients, &named(&[("a.w", &w)]), at(42, 3, 5))?;
    assert_eq!(numbers(gradients.get(&w).unwrap()), expected("gradients/a.w"));
    Ok(())
}

#[test]
fn draws_do_not_depend_on_what_was_drawn_before() -> Result<()> {
    let x = zeros(&[4], DType::F32);
    let mut steps: Vec<_> =
        (0..4).flat_map(|epoch| (0..7).map(move |batch| position(epoch, batch))).collect();
    let draw = |at: Position| noisy_inputs("input:1", &x, NoiseStep::new(7, at));
    let in_order = steps.iter().map(|step| draw(*step)).collect::<Result<Vec<_>>>()?;
    let mut all: Vec<Vec<u64>> =
        in_order.iter().map(|noise| noise.iter().map(|x| x.to_bits()).collect()).collect();
    all.sort_unstable();
    all.dedup();
    assert_eq!(all.len(), 28, "all steps differ");

    let expected: Vec<_> = steps.iter().copied().zip(in_order).collect();
    steps.shuffle(&mut Seed::from(1).rng());
    for step in steps {
        // The length of the training does not matter either.
        let longer = Position { epochs: 99, batches_per_epoch: 1000, ..step };
        let (_, noise) = expected.iter().find(|(at, _)| *at == step).unwrap();
        assert_eq!((&draw(step)?, &draw(longer)?), (noise, noise));
    }
    assert_ne!(draw(position(0, 0))?, noisy_inputs("input:1", &x, at(8, 0, 0))?);
    // Two of a kind are independent: the variance is their sum.
    let twice = noisy_inputs("input:0.3,input:0.4", &zeros(&[MANY], DType::F64), at(1, 0, 0))?;
    assert_normal(&twice, 0.5);
    Ok(())
}

#[test]
fn the_noise_is_the_same_in_every_type_up_to_rounding() -> Result<()> {
    let exact = noisy_inputs("input:0.5", &zeros(&[50], DType::F64), at(1, 0, 0))?;
    for (dtype, tolerance) in [(DType::F32, 1e-7), (DType::F16, 1e-3), (DType::BF16, 8e-3)] {
        let got = noisy_inputs("input:0.5", &zeros(&[50], dtype), at(1, 0, 0))?;
        for (g, e) in got.iter().zip(&exact) {
            assert!((g - e).abs() <= tolerance * e.abs(), "{dtype:?}: {g} against {e}");
        }
    }
    Ok(())
}

#[test]
fn only_inputs_of_floats_have_noise_and_the_data_is_not_changed() -> Result<()> {
    let image = Tensor::ones((3, 2), DType::F32, CPU)?;
    let ids = Tensor::new(&[[1u32], [2], [3]], CPU)?;
    let second = Tensor::ones((3, 2), DType::F64, CPU)?.narrow(1, 0, 1)?;
    let inputs = Inputs::from(vec![image.clone(), ids.clone(), second.clone()]);
    let noises = Noises::from(Noise::inputs(0.1));
    let noisy = noises.perturb_inputs(&inputs, at(1, 0, 0))?;
    let [a, b, c] = noisy.tensors() else { panic!("three inputs") };
    assert_eq!(
        (a.dtype(), b.dtype(), c.dtype(), c.dims()),
        (DType::F32, DType::U32, DType::F64, &[3, 1][..])
    );
    assert_eq!(numbers(b), [1.0, 2.0, 3.0]);
    assert!(numbers(a)[0] != 1.0 && numbers(a)[0] != numbers(c)[0]);
    assert_eq!((numbers(&image), numbers(&second)), (vec![1.0; 6], vec![1.0; 3]));

    let e = noises.perturb_inputs(&(&ids).into(), at(1, 0, 0)).unwrap_err().to_string();
    assert!(e.ends_with("must be of a floating-point type, but is u32"), "{e}");
    for text in ["none", "input:0", "weight:1"] {
        let same = Noises::parse(text)?.perturb_inputs(&inputs, at(1, 0, 0))?;
        assert_eq!(numbers(&same.tensors()[0]), [1.0; 6], "{text}");
    }
    Ok(())
}

/// 100 000 rows of each class, within 5 standard deviations.
#[test]
fn classes_are_replaced_with_the_given_probability_by_each_of_the_others_alike() -> Result<()> {
    let (classes, rows, p) = (4u32, 100_000usize, 0.3);
    let noises = Noises::from(Noise::targets(p));
    let task = Task::Classification { classes: 4 };
    for class in 0..classes {
        let targets = Tensor::full(class, rows, CPU)?;
        let noisy = noises.perturb_targets(&targets, task, at(3, 0, class as usize))?;
        let noisy = noisy.to_vec1::<u32>()?;
        for other in 0..classes {
            let got = noisy.iter().filter(|id| **id == other).count() as f64 / rows as f64;
            let expected = if other == class { 1.0 - p } else { p / 3.0 };
            let error = (expected * (1.0 - expected) / rows as f64).sqrt();
            assert!((got - expected).abs() < 5.0 * error, "{class} {other}: {got}");
        }
        assert_eq!(targets.to_vec1::<u32>()?, vec![class; rows]);
    }
    Ok(())
}

#[test]
fn classes_keep_their_type_and_a_larger_probability_changes_more_of_them() -> Result<()> {
    let binary = Task::Classification { classes: 2 };
    let targets = Tensor::new(&[0u32, 1, 1, 0, 1, 0, 0, 1], CPU)?;
    let changed = |p: f64, dtype| -> Result<Vec<bool>> {
        let noises = Noises::from(Noise::targets(p));
        let noisy = noises.perturb_targets(&targets.to_dtype(dtype)?, binary, at(5, 1, 1))?;
        assert_eq!((noisy.dtype(), noisy.dims()), (dtype, &[8][..]));
        Ok(numbers(&noisy).iter().zip(numbers(&targets)).map(|(a, b)| *a != b).collect())
    };
    let half = changed(0.5, DType::U32)?;
    assert_eq!((&half, &half), (&changed(0.5, DType::I64)?, &changed(0.5, DType::U8)?));
    assert!(half.contains(&true) && half.contains(&false));
    assert_eq!(changed(0.0, DType::U32)?, [false; 8]);
    let more = changed(0.9, DType::U32)?;
    assert!(half.iter().zip(&more).all(|(half, more)| *more || !half) && more != half);

    let e = Noises::from(Noise::targets(1.0)).check_task(binary).unwrap_err().to_string();
    assert_eq!(e, "TargetNoise::amount, for classes, must be from 0 to less than 1, but is 1");
    assert!(Noises::from(Noise::targets(1.0)).check_task(Task::Regression { outputs: 1 }).is_ok());
    assert!(Noises::from(Noise::targets(1.0)).perturb_targets(&targets, binary, at(1, 0, 0)).is_err());
    Ok(())
}

#[test]
fn gradients_are_those_at_the_noisy_weights_and_the_weights_come_back_to_the_bit() -> Result<()> {
    for dtype in [DType::F32, DType::F64, DType::BF16, DType::F16] {
        let start = Tensor::new(&[[1f32, -0.0, 1e-30], [f32::INFINITY, -2.5, 0.1]], CPU)?.to_dtype(dtype)?;
        let w = Var::from_tensor(&start)?;
        let bias = Var::ones(3, dtype, CPU)?;
        let mean = Var::ones((2, 2), dtype, CPU)?;
        let vars = named(&[("w", &w), ("bias", &bias), ("norm.running_mean", &mean), ("tied", &w)]);
        // Twice the same variable: the first noise must not stay.
        let noises = Noises::parse("weight:0.5,weight:0.25:w")?;
        noises.check_variables(&vars)?;
        let noisy = noises.perturb_weights(&vars, at(9, 2, 2))?;
        let during = numbers(&w);
        assert!(during[..2].iter().zip(numbers(&start)).all(|(a, b)| *a != b), "{dtype:?}");
        assert_eq!((numbers(&bias), numbers(&mean)), (vec![1.0; 3], vec![1.0; 4]));
        // The derivative of w² / 2 is the w of the forward pass.
        let gradients = (w.sqr()?.sum_all()? * 0.5)?.backward()?;
        noisy.restore()?;
        assert_eq!(bits(&w), bits(&start), "{dtype:?}");
        assert_eq!(numbers(gradients.get(&w).unwrap()), during, "{dtype:?}");

        // An error on the way drops it.
        let fails = || -> Result<()> {
            let _noisy = noises.perturb_weights(&vars, at(9, 2, 2))?;
            Err(Error::invalid("a step", "made", "not"))
        };
        assert!(fails().is_err());
        assert_eq!(bits(&w), bits(&start), "{dtype:?}");
    }
    Ok(())
}

/// The optimizer keeps `f32` weights of a variable in `bf16`. Noise that has gone does not reach them: the sum of
/// small updates is the same with and without it.
#[test]
fn weight_noise_does_not_disturb_the_weights_that_an_optimizer_keeps() -> Result<()> {
    let end = |text: &str| -> Result<_> {
        let w = Var::from_tensor(&Tensor::ones((1, 2), DType::F32, CPU)?.to_dtype(DType::BF16)?)?;
        let vars = named(&[("w", &w)]);
        let mut state = OptimizerState::new(&Optimizer::sgd(1.0), vars.clone())?;
        for batch in 0..9 {
            let noisy = Noises::parse(text)?.perturb_weights(&vars, at(1, 0, batch))?;
            let gradients = (w.as_tensor() * -1.0)?.sum_all()?.backward()?;
            noisy.restore()?;
            state.step(&gradients, 2f64.powi(-11), &Clip::None)?;
        }
        Ok((bits(&w), state.save()?))
    };
    assert_eq!(end("weight:0.3")?, end("none")?);
    Ok(())
}

#[test]
fn gradient_noise_falls_and_leaves_out_variables_without_a_gradient() -> Result<()> {
    let noise = GradientNoise::new(0.3);
    assert_eq!(noise.deviation(0), 0.3f64.sqrt());
    assert!((noise.deviation(99) - (0.3f64 / 100f64.powf(0.55)).sqrt()).abs() < 1e-15);
    assert_eq!(noise.clone().gamma(0.0).deviation(1000), 0.3f64.sqrt());
    let (used, idle, shared) = (Var::ones(3, DType::F32, CPU)?, Var::ones(3, DType::F32, CPU)?, "z");
    let vars = named(&[("bias", &used), ("idle", &idle), (shared, &used)]);
    let mut gradients = used.sum_all()?.backward()?;
    Noises::from(noise).perturb_gradients(&mut gradients, &vars, at(1, 0, 0))?;
    assert!(gradients.get(&idle).is_none());
    let once = numbers(gradients.get(&used).unwrap());
    let mut rng =
        Seed::from(1).nth("noise", 0).child("epoch/0").child("batch/0").child("gradients/bias").rng();
    let expected = 1.0 + 0.3f64.sqrt() * rng.sample::<f64, _>(StandardNormal);
    assert!((once[0] - expected).abs() < 1e-6, "{once:?}");
    assert_eq!(numbers(&used), [1.0; 3]);
    Ok(())
}

#[test]
fn texts_and_json_make_the_noise_that_they_describe() {
    let all: Vec<Noise> = vec![
        Noise::inputs(0.1),
        Noise::targets(0.05),
        WeightNoise::new(0.01).on(WeightFilter::names(["*.weight", "!head.*"])).into(),
        Noise::weights(0.02),
        GradientNoise::new(0.3).gamma(0.5).into(),
    ];
    for noise in &all {
        let text = noise.to_string();
        assert_eq!(&Noise::registry().parse(&text).unwrap(), noise, "{text}");
    }
    let list: Noises = all.into_iter().collect();
    assert_eq!(Noises::parse(&list.to_string()).unwrap(), list);
    assert_eq!(serde_json::from_str::<Noises>(&serde_json::to_string(&list).unwrap()).unwrap(), list);
    assert_eq!(Noises::parse(&Noises::default().to_string()).unwrap(), Noises::default());
}

#[test]
fn bad_parameters_are_named() -> Result<()> {
    for (noise, name) in [
        (Noise::inputs(-0.1), "InputNoise::deviation"),
        (Noise::inputs(f64::NAN), "InputNoise::deviation"),
        (Noise::targets(-1.0), "TargetNoise::amount"),
        (Noise::weights(f64::INFINITY), "WeightNoise::deviation"),
        (WeightNoise::new(0.1).on(WeightFilter::names(["a[b"])).into(), "WeightFilter::Names"),
        (Noise::gradients(-1.0), "GradientNoise::eta"),
        (GradientNoise::new(1.0).gamma(-1.0).into(), "GradientNoise::gamma"),
    ] {
        let e = Noises::from(noise).check().unwrap_err().to_string();
        assert!(e.contains(name), "{e}");
    }
    for text in ["input", "input:x", "inptu:1", "input:-1", "weight:0.1:a[b", "gradient:1:-1", "target:1:2"] {
        assert!(Noises::parse(text).is_err(), "{text}");
    }
    let vars = named(&[("hidden.weight", &Var::ones((1, 1), DType::F32, CPU)?)]);
    let e = Noises::parse("weight:1:hiden.*")?.check_variables(&vars).unwrap_err().to_string();
    assert!(e.contains("such as hidden.weight"), "{e}");
    Ok(())
}
