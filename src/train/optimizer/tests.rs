use crate::{
    train::{optimizer::*, Clip},
    Error,
};
use candle_core::backprop::GradStore;
use candle_core::{DType, Device, Result as CResult, Tensor, Var};
use proptest::prelude::*;

const CPU: &Device = &Device::Cpu;
const RATES: [f64; 6] = [0.1, 0.1, 0.05, 0.2, 0.02, 0.02];
const START: [f64; 6] = [0.5, -1.0, 2.0, 0.0, -0.25, 1.5];

/// Final weights after `RATES`, computed by tests/reference/optimizers.py (numpy 2.4.6). That script checks
/// the optimizers that optax 0.2.8 has against optax.
fn reference() -> Vec<(Optimizer, [f64; 6])> {
    let rms = RmsProp::new(0.1).alpha(0.9).epsilon(1e-3);
    let momentum = Sgd::new(0.1).momentum(0.9).weight_decay(0.1);
    let inside = momentum.clone().velocity(Velocity::LrInside);
    vec![
        (
            Optimizer::adam(0.1),
            [
                0.4496046547536436,
                -1.044527917270689,
                2.1580712412175838,
                0.052522918114277006,
                -0.15777422328066965,
                1.2229573615052374,
            ],
        ),
        (
            Adam::new(0.1).betas(0.8, 0.95).epsilon(1e-3).weight_decay(0.1).into(),
            [
                0.4514517805212395,
                -1.0048614768333357,
                2.0553672341773153,
                0.07042400390601768,
                -0.15762785898840145,
                1.1989012192037736,
            ],
        ),
        (
            Optimizer::adamw(0.1, 0.1),
            [
                0.4293357777868718,
                -0.998196335916032,
                2.0561475242963376,
                0.054736036249525,
                -0.14918159747010934,
                1.1572625132225018,
            ],
        ),
        (Optimizer::sgd(0.1), [0.695, -1.195, 2.1025, 0.2625, -0.3225, 1.45]),
        (
            Sgd::new(0.1).weight_decay(0.1).into(),
            [
                0.6714753799963201,
                -1.14498811614714,
                2.00277448965858,
                0.2608457277702,
                -0.31077207994571,
                1.3827346844485604,
            ],
        ),
        (
            momentum.clone().into(),
            [
                0.5123998627267199,
                -1.1315593918604399,
                1.9370015710186796,
                0.33588718138920004,
                -0.16077512264065993,
                0.7554252254017602,
            ],
        ),
        (
            momentum.nesterov(true).into(),
            [
                0.6874988401682348,
                -1.2612471336827782,
                1.9377552487554148,
                0.5601225948225605,
                -0.2329249434677549,
                0.7332513308595839,
            ],
        ),
        (
            inside.clone().into(),
            [
                0.85471636913952,
                -1.42651240736604,
                2.1306679285018797,
                0.7819724847972,
                -0.39519633989905995,
                0.8902041378241601,
            ],
        ),
        (
            inside.nesterov(true).into(),
            [
                0.9962596547424556,
                -1.5259557330958697,
                2.1111444534945405,
                0.9605411867605884,
                -0.4441665060852923,
                0.8586965907061901,
            ],
        ),
        (
            RmsProp::new(0.1).into(),
            [
                1.3943687701870502,
                -1.8187098756519207,
                2.876859152050828,
                1.147399537516724,
                -0.4591568970567591,
                0.976560359528249,
            ],
        ),
        (
            rms.clone().momentum(0.5).weight_decay(0.1).into(),
            [
                0.5440797090247896,
                -1.003550094220709,
                2.0139364005978826,
                0.29322641725205084,
                -0.030885448337076665,
                0.778186792455938,
            ],
        ),
        (
            rms.clone().centered(true).into(),
            [
                0.7987578183210183,
                -1.282892148369497,
                2.2952593904573155,
                0.3894050613299074,
                -0.31615219462924526,
                1.3318567612359145,
            ],
        ),
        (
            rms.centered(true).momentum(0.5).weight_decay(0.1).into(),
            [
                0.5163602263778798,
                -0.9892766026749912,
                2.0336427732404987,
                0.29348965214172307,
                0.0002009415326867641,
                0.7258826952880089,
            ],
        ),
    ]
}

/// The script's gradient of 6 weights at step `t`, from 1, repeated for more.
fn gradient(t: usize, dtype: DType, shape: &[usize]) -> CResult<Tensor> {
    let n = shape.iter().product();
    let g: Vec<f64> = (0..n).map(|i| (((7 * i + 5 * t + 3) % 11) as f64 - 5.0) / 4.0).collect();
    Tensor::from_vec(g, shape, CPU)?.to_dtype(dtype)
}

fn start(dtype: DType) -> CResult<Var> {
    Var::from_tensor(&Tensor::new(&START, CPU)?.reshape((2, 3))?.to_dtype(dtype)?)
}

fn store(pairs: &[(&Var, Tensor)]) -> GradStore {
    let mut store = GradStore::default();
    for (var, g) in pairs {
        store.insert(var, g.clone());
    }
    store
}

/// Steps `from..to` of the script.
fn go(state: &mut OptimizerState, var: &Var, steps: std::ops::Range<usize>) -> CResult<()> {
    for t in steps {
        let g = gradient(t + 1, var.dtype(), var.dims())?;
        state.step(&store(&[(var, g)]), RATES[t], &Clip::None)?;
    }
    Ok(())
}

fn named(var: &Var) -> Vec<(String, Var)> {
    vec![("w".into(), var.clone())]
}

fn numbers(var: &Tensor) -> Vec<f64> {
    var.to_dtype(DType::F64).unwrap().flatten_all().unwrap().to_vec1().unwrap()
}

fn assert_close(got: &[f64], expected: &[f64], tolerance: f64, what: &dyn std::fmt::Debug) {
    assert_eq!(got.len(), expected.len());
    for (g, e) in got.iter().zip(expected) {
        assert!((g - e).abs() <= tolerance * e.abs().max(1.0), "{what:?}: {got:?} against {expected:?}");
    }
}

#[test]
fn every_optimizer_gives_the_reference_values_in_place_and_in_tensor_operations() -> Result<()> {
    for (optimizer, expected) in reference() {
        for (dtype, tolerance) in [(DType::F64, 1e-14), (DType::F32, 1e-6)] {
            for in_place in [true, false] {
                let w = start(dtype)?;
                let kind = |var: &Var| (var.dtype(), in_place);
                let mut state = OptimizerState::with_moments(&optimizer, named(&w), kind)?;
                go(&mut state, &w, 0..RATES.len())?;
                assert_close(&numbers(&w), &expected, tolerance, &(&optimizer, dtype, in_place));
            }
        }
    }
    Ok(())
}

#[test]
fn half_precision_keeps_its_moments_and_its_weights_in_f32() -> Result<()> {
    for (optimizer, expected) in reference() {
        for (dtype, bits) in [(DType::F16, 11), (DType::BF16, 8)] {
            let w = start(dtype)?;
            let mut state = OptimizerState::new(&optimizer, named(&w))?;
            go(&mut state, &w, 0..RATES.len())?;
            assert_eq!(w.dtype(), dtype);
            // The reference, rounded once. Start and gradients are exact in every type.
            for (got, expected) in numbers(&w).iter().zip(&expected) {
                let rounding = expected.abs() * 2f64.powi(-bits) + 1e-6;
                assert!((got - expected).abs() <= rounding, "{optimizer:?} {dtype:?}: {got} for {expected}");
            }
            let saved = state.save()?;
            let moments = &saved.variables["w"].moments;
            assert!(moments.values().all(|m| matches!(m, Values::F32(_))));
            let Values::F32(weights) = &moments["weights"] else { panic!("in f32") };
            let weights: Vec<f64> = weights.iter().map(|w| f64::from(*w)).collect();
            assert_close(&weights, &expected, 1e-6, &(&optimizer, dtype));
        }
    }
    Ok(())
}

/// Something else sets one of two weights between two steps. It continues from there; the other one has what it
/// had added up, 10 · 2⁻¹⁰, of which `bf16` shows nothing.
#[test]
fn a_weight_in_half_precision_that_was_set_continues_from_its_new_value() -> Result<()> {
    let w = Var::from_tensor(&Tensor::new(&[1f32, 1.0], CPU)?.to_dtype(DType::BF16)?)?;
    let mut state = OptimizerState::new(&Optimizer::sgd(0.1), named(&w))?;
    let small = 2f64.powi(-11);
    let steps = |state: &mut OptimizerState, count: usize| -> CResult<()> {
        let g = Tensor::full(-1f32, 2, CPU)?.to_dtype(DType::BF16)?;
        (0..count).try_for_each(|_| state.step(&store(&[(&w, g.clone())]), small, &Clip::None))
    };
    // The spacing of bf16 above 1 is 2⁻⁷: 7 · 2⁻¹¹ is rounded away, 9 · 2⁻¹¹ is rounded up.
    steps(&mut state, 7)?;
    assert_eq!(numbers(&w), [1.0, 1.0]);
    w.set(&Tensor::new(&[1f32, 0.5], CPU)?.to_dtype(DType::BF16)?)?;
    steps(&mut state, 2)?;
    assert_eq!(numbers(&w), [1.0 + 2f64.powi(-7), 0.5]);
    let Values::F32(weights) = &state.save()?.variables["w"].moments["weights"] else { panic!("in f32") };
    assert_eq!(weights, &[1.0 + 9.0 * small as f32, 0.5 + 2.0 * small as f32]);
    Ok(())
}

#[test]
fn a_gradient_that_cannot_be_clipped_is_named() -> Result<()> {
    let w = start(DType::F32)?;
    let mut state = OptimizerState::new(&Optimizer::sgd(0.1), named(&w))?;
    let g = Tensor::new(&[[1f32, 0.0, 1.0], [1.0, f32::NAN, 1.0]], CPU)?;
    let e = Error::from(state.step(&store(&[(&w, g)]), 0.1, &Clip::Norm(1.0)).unwrap_err()).to_string();
    assert_eq!(e, "the gradient of `w`[1, 1] must be finite to be clipped by its norm, but is NaN");
    Ok(())
}

#[test]
fn a_restored_optimizer_continues_to_the_bit() -> Result<()> {
    for (optimizer, _) in reference() {
        for dtype in [DType::F32, DType::F64, DType::BF16] {
            let straight = start(dtype)?;
            go(&mut OptimizerState::new(&optimizer, named(&straight))?, &straight, 0..6)?;

            let first = start(dtype)?;
            let mut state = OptimizerState::new(&optimizer, named(&first))?;
            go(&mut state, &first, 0..4)?;
            let json = serde_json::to_string(&state.save()?).unwrap();
            let saved: SavedOptimizer = serde_json::from_str(&json).unwrap();
            let second = Var::from_tensor(&first.copy()?.detach())?;
            let mut state = OptimizerState::new(&optimizer, named(&second))?;
            state.restore(&saved)?;
            assert_eq!(state.save()?, saved);
            go(&mut state, &second, 4..6)?;
            assert_eq!(numbers(&second), numbers(&straight), "{optimizer:?} {dtype:?}");
        }
    }
    Ok(())
}

#[test]
fn the_state_of_other_variables_or_optimizers_is_not_restored() -> Result<()> {
    let state = |optimizer: Optimizer, name: &str, shape: &[usize], dtype| {
        let var = Var::zeros(shape, dtype, CPU)?;
        OptimizerState::new(&optimizer, vec![(name.into(), var)])
    };
    let momentum = Sgd::new(0.1).momentum(0.9);
    let saved = state(momentum.clone().into(), "w", &[2, 3], DType::F32)?.save()?;
    let refused = |other: Result<OptimizerState>, word: &str| {
        let mut other = other.unwrap();
        let before = other.save().unwrap();
        let e = other.restore(&saved).unwrap_err();
        assert!(matches!(e, Error::Foreign { .. }) && e.to_string().contains(word), "{e}");
        assert_eq!(other.save().unwrap(), before);
    };
    refused(state(momentum.clone().into(), "b", &[2, 3], DType::F32), "`w`");
    refused(state(momentum.clone().into(), "w", &[3, 2], DType::F32), "[2, 3]");
    refused(state(momentum.clone().into(), "w", &[2, 3], DType::F64), "type");
    refused(state(Optimizer::adam(0.1), "w", &[2, 3], DType::F32), "velocity");
    let inside = momentum.velocity(Velocity::LrInside);
    refused(state(inside.into(), "w", &[2, 3], DType::F32), "displacement");

    let mut short = saved.clone();
    short.variables.get_mut("w").unwrap().moments.insert("velocity".into(), Values::F32(vec![0.0]));
    let mut own = state(Sgd::new(0.1).momentum(0.9).into(), "w", &[2, 3], DType::F32)?;
    assert!(own.restore(&short).unwrap_err().to_string().contains("1 values"));
    Ok(())
}

#[test]
fn the_layout_of_a_gradient_does_not_matter() -> Result<()> {
    for (optimizer, _) in reference() {
        for dtype in [DType::F32, DType::F64] {
            for shape in [[1, 5], [16, 64], [37, 130]] {
                let [rows, columns] = shape;
                let vars: Vec<_> = (0..3).map(|_| Var::ones(&shape, dtype, CPU)).collect::<CResult<_>>()?;
                for var in &vars {
                    let mut state = OptimizerState::new(&optimizer, named(var))?;
                    for t in 0..3 {
                        let g = gradient(t, dtype, &shape)?;
                        let g = if var.id() == vars[1].id() {
                            g.t()?.contiguous()?.t()?
                        } else if var.id() == vars[2].id() {
                            Tensor::cat(&[&g, &g], 1)?.narrow(1, columns, columns)?
                        } else {
                            g
                        };
                        assert_eq!(g.dims(), [rows, columns]);
                        state.step(&store(&[(var, g)]), 0.1, &Clip::Norm(2.0))?;
                    }
                }
                assert_eq!(numbers(&vars[0]), numbers(&vars[1]), "transposed, {optimizer:?} {shape:?}");
                assert_eq!(numbers(&vars[0]), numbers(&vars[2]), "strided, {optimizer:?} {shape:?}");
            }
        }
    }
    Ok(())
}

/// The loop of a step without the choice of wider vectors.
fn update_without_wide_vectors<R: rule::UpdateRule>(rule: &R, w: &mut [f32], g: &[f32]) {
    use rule::Kernel;
    let mut moments = rule.moments().map(|name| vec![0f32; if name.is_some() { w.len() } else { 0 }]);
    let step = rule::Step { rate: 0.01, count: 1, limits: Default::default() };
    rule.kernel::<f32>(step).update(w, g, moments.each_mut().map(Vec::as_mut_slice));
}

#[test]
fn wide_vectors_do_not_change_a_bit() -> Result<()> {
    const N: usize = 1003;
    let numbers = |salt: f32| -> Vec<f32> { (0..N).map(|i| (salt * (i + 1) as f32).sin()).collect() };
    for (optimizer, _) in reference() {
        let var = Var::from_vec(numbers(1.7), N, CPU)?;
        let mut state = OptimizerState::new(&optimizer, named(&var))?;
        let g = numbers(0.3);
        state.step(&store(&[(&var, Tensor::new(g.as_slice(), CPU)?)]), 0.01, &Clip::None)?;

        let mut w = numbers(1.7);
        each!(&optimizer, o => update_without_wide_vectors(o, &mut w, &g));
        assert_eq!(var.to_vec1::<f32>()?, w, "{optimizer:?}");
    }
    Ok(())
}

#[test]
fn a_step_does_not_change_a_variable_without_gradient() -> Result<()> {
    let (used, idle) = (start(DType::F32)?, start(DType::F32)?);
    let vars = vec![("used".to_owned(), used.clone()), ("idle".to_owned(), idle.clone())];
    let mut state = OptimizerState::new(&Optimizer::adamw(0.1, 0.1), vars)?;
    assert_eq!(state.variables().map(|(name, _)| name).collect::<Vec<_>>(), ["idle", "used"]);
    go(&mut state, &used, 0..2)?;
    let saved = state.save()?;
    assert_eq!((saved.variables["used"].count, saved.variables["idle"].count), (2, 0));
    assert_eq!(numbers(&idle), START);
    // Its first step is then Adam's first step: of the size of the rate, whatever the gradient's size.
    let w0 = numbers(&idle);
    state.step(&store(&[(&idle, gradient(1, DType::F32, &[2, 3])?)]), 0.01, &Clip::None)?;
    for (w1, w0) in numbers(&idle).iter().zip(&w0) {
        assert!(((w1 - w0 * 0.999).abs() - 0.01).abs() < 1e-6);
    }
    Ok(())
}

#[test]
fn a_step_with_clipping_equals_a_step_with_clipped_gradients() -> Result<()> {
    for (optimizer, _) in reference() {
        for in_place in [true, false] {
            let kind = |var: &Var| (var.dtype(), in_place);
            let raw = gradient(1, DType::F64, &[2, 3])?;
            let norm = raw.sqr()?.sum_all()?.to_scalar::<f64>()?.sqrt();
            for (clip, clipped) in
                [(Clip::Value(0.5), raw.clamp(-0.5, 0.5)?), (Clip::Norm(0.7), (&raw * (0.7 / norm))?)]
            {
                let (a, b) = (start(DType::F64)?, start(DType::F64)?);
                let mut with = OptimizerState::with_moments(&optimizer, named(&a), kind)?;
                let mut without = OptimizerState::new(&optimizer, named(&b))?;
                let gradients = store(&[(&a, raw.clone())]);
                assert!((with.gradient_norm(&gradients)? - norm).abs() < 1e-12);
                for _ in 0..3 {
                    with.step(&gradients, 0.1, &clip)?;
                    without.step(&store(&[(&b, clipped.clone())]), 0.1, &Clip::None)?;
                }
                assert_close(&numbers(&a), &numbers(&b), 1e-14, &(&optimizer, clip));
            }
        }
    }
    Ok(())
}

#[test]
fn a_failed_step_changes_nothing() -> Result<()> {
    let w = start(DType::F32)?;
    let mut state = OptimizerState::new(&Optimizer::adam(0.1), named(&w))?;
    let before = state.save()?;
    let infinite = store(&[(&w, (gradient(1, DType::F32, &[2, 3])? / 0.0)?)]);
    assert!(state.step(&infinite, 0.1, &Clip::Norm(1.0)).is_err());
    let good = store(&[(&w, gradient(1, DType::F32, &[2, 3])?)]);
    for rate in [-0.1, f64::NAN, f64::INFINITY] {
        assert!(Error::from(state.step(&good, rate, &Clip::None).unwrap_err())
            .to_string()
            .contains("learning rate"));
    }
    assert!(state.step(&good, 0.1, &Clip::Value(0.0)).is_err());
    let other = store(&[(&w, gradient(1, DType::F32, &[3, 2])?)]);
    assert!(Error::from(state.step(&other, 0.1, &Clip::None).unwrap_err()).to_string().contains("`w`"));
    assert_eq!(state.save()?, before);
    assert_eq!(numbers(&w), START);
    Ok(())
}

#[test]
fn nan_gradients_give_nan_weights() -> Result<()> {
    for (optimizer, _) in reference() {
        for clip in [Clip::None, Clip::Value(1.0)] {
            let w = start(DType::F32)?;
            let mut state = OptimizerState::new(&optimizer, named(&w))?;
            let nan = (gradient(1, DType::F32, &[2, 3])? * f64::NAN)?;
            state.step(&store(&[(&w, nan)]), 0.1, &clip)?;
            assert!(numbers(&w).iter().all(|x| x.is_nan()), "{optimizer:?} {clip:?}");
        }
    }
    Ok(())
}

#[test]
fn gradients_of_a_network_reach_its_weights() -> Result<()> {
    // y = x wᵀ + b, whose gradient of w comes through a transposition.
    let (w, b) = (Var::ones((4, 3), DType::F32, CPU)?, Var::ones(4, DType::F32, CPU)?);
    let vars = vec![("w".to_owned(), w.clone()), ("b".to_owned(), b.clone())];
    let mut state = OptimizerState::new(&Optimizer::sgd(0.5), vars)?;
    let x = Tensor::new(&[[1f32, 2.0, 3.0], [4.0, 5.0, 6.0]], CPU)?;
    let loss = x.matmul(&w.t()?)?.broadcast_add(&b)?.sum_all()?;
    state.step(&loss.backward()?, 0.5, &Clip::None)?;
    assert_eq!(w.to_vec2::<f32>()?, vec![vec![-1.5, -2.5, -3.5]; 4]);
    assert_eq!(b.to_vec1::<f32>()?, [0.0; 4]);
    Ok(())
}

#[test]
fn moments_of_zero_gradients_become_exactly_zero() -> Result<()> {
    let w = Var::ones(40, DType::F32, CPU)?;
    let mut state = OptimizerState::new(&Sgd::new(0.1).momentum(0.9).into(), named(&w))?;
    state.step(&store(&[(&w, gradient(1, DType::F32, &[40])?)]), 0.1, &Clip::None)?;
    let zero = store(&[(&w, w.zeros_like()?)]);
    for _ in 0..1000 {
        state.step(&zero, 0.1, &Clip::None)?;
    }
    assert_eq!(state.save()?.variables["w"].moments["velocity"], Values::F32(vec![0.0; 40]));
    Ok(())
}

#[test]
fn variables_are_distinct_and_of_a_floating_point_type() -> Result<()> {
    let w = start(DType::F32)?;
    let count = Var::from_tensor(&Tensor::zeros(1, DType::U32, CPU)?)?;
    let new = |vars: Vec<(&str, &Var)>| {
        let vars = vars.into_iter().map(|(name, var)| (name.to_owned(), var.clone())).collect();
        OptimizerState::new(&Optimizer::adam(0.1), vars)
    };
    assert!(new(vec![("w", &w), ("w", &start(DType::F32)?)]).unwrap_err().to_string().contains("`w` twice"));
    assert!(new(vec![("count", &count)]).unwrap_err().to_string().contains("at least one"));
    // Tied weights have two names and are updated once.
    let tied = new(vec![("z", &w), ("a", &w), ("count", &count)])?;
    assert_eq!(tied.variables().map(|(name, _)| name).collect::<Vec<_>>(), ["a"]);
    Ok(())
}

#[test]
fn bad_parameters_are_named() {
    let bad: [(Optimizer, &str); 16] = [
        (Optimizer::adam(0.0), "Adam::learning_rate"),
        (Optimizer::adam(f64::NAN), "Adam::learning_rate"),
        (Adam::new(0.1).betas(1.0, 0.9).into(), "Adam::beta1"),
        (Adam::new(0.1).betas(0.9, -0.1).into(), "Adam::beta2"),
        (Adam::new(0.1).epsilon(0.0).into(), "Adam::epsilon"),
        (Optimizer::adamw(0.1, -1.0), "Adam::weight_decay"),
        (Optimizer::sgd(f64::INFINITY), "Sgd::learning_rate"),
        (Sgd::new(0.1).momentum(1.0).into(), "Sgd::momentum"),
        (Sgd::new(0.1).nesterov(true).into(), "Sgd::nesterov"),
        (Sgd::new(0.1).weight_decay(f64::NAN).into(), "Sgd::weight_decay"),
        (Optimizer::rmsprop(-1.0), "RmsProp::learning_rate"),
        (RmsProp::new(0.1).alpha(1.0).into(), "RmsProp::alpha"),
        (RmsProp::new(0.1).epsilon(1e-60).into(), "RmsProp::epsilon"),
        (RmsProp::new(0.1).momentum(-0.1).into(), "RmsProp::momentum"),
        (RmsProp::new(0.1).weight_decay(-0.1).into(), "RmsProp::weight_decay"),
        (Optimizer::adam(-0.1), "Adam::learning_rate"),
    ];
    for (optimizer, name) in bad {
        let e = optimizer.check().unwrap_err().to_string();
        assert!(e.contains(name), "{e}");
        let vars = vec![("w".to_owned(), start(DType::F32).unwrap())];
        assert!(OptimizerState::new(&optimizer, vars).is_err());
    }
    for (optimizer, _) in reference() {
        assert!(optimizer.check().is_ok());
    }
}

proptest! {
    #[test]
    fn the_two_velocities_agree_while_the_rate_stays(
        rate in 1e-3..0.5f64, momentum in 0.1..0.99f64, nesterov: bool, weight_decay in 0.0..0.1f64,
    ) {
        let sgd = Sgd::new(rate).momentum(momentum).nesterov(nesterov);
        let sgd = sgd.weight_decay(weight_decay);
        let end = |velocity| {
            let w = start(DType::F64).unwrap();
            let optimizer = sgd.clone().velocity(velocity).into();
            let mut state = OptimizerState::new(&optimizer, named(&w)).unwrap();
            for t in 0..8 {
                let g = gradient(t, DType::F64, &[2, 3]).unwrap();
                state.step(&store(&[(&w, g)]), rate, &Clip::None).unwrap();
            }
            numbers(&w)
        };
        assert_close(&end(Velocity::LrOutside), &end(Velocity::LrInside), 1e-12, &sgd);
    }
}
