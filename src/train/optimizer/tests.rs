use crate::{
    train::{optimizer::*, Clip, LossScale, LossScaling},
    Error,
};
use candle_core::backprop::GradStore;
use candle_core::{DType, Device, Result as CResult, Tensor, Var};
use proptest::prelude::*;

const CPU: &Device = &Device::Cpu;
const RATES: [f64; 6] = [0.1, 0.1, 0.05, 0.2, 0.02, 0.02];
const START: [f64; 6] = [0.5, -1.0, 2.0, 0.0, -0.25, 1.5];

/// Final weights after `RATES`, computed by tests/reference/optimizers.py (numpy 2.4.6). That script checks
/// the optimizers that PyTorch 2.15 or optax 0.2.8 has against them.
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
            rms.clone().centered(true).momentum(0.5).weight_decay(0.1).into(),
            [
                0.5163602263778798,
                -0.9892766026749912,
                2.0336427732404987,
                0.29348965214172307,
                0.0002009415326867641,
                0.7258826952880089,
            ],
        ),
        (
            rms.clone().epsilon_in_root(true).into(),
            [
                0.8118035251839566,
                -1.2984341874954952,
                2.2785893451142702,
                0.3851544947228501,
                -0.33647718407527283,
                1.3510683607894447,
            ],
        ),
        (
            rms.centered(true).epsilon_in_root(true).into(),
            [
                0.8001654997650967,
                -1.3039548481408745,
                2.294954192436276,
                0.39401465615400555,
                -0.3202510312458507,
                1.332095855108094,
            ],
        ),
        (
            Adam::new(0.1).betas(0.8, 0.95).epsilon(1e-2).epsilon_hat(true).into(),
            [
                0.4763562117442728,
                -1.0622936732571295,
                2.131657083943488,
                0.0721521318748323,
                -0.17541433182244448,
                1.2505315955059852,
            ],
        ),
        (
            Adam::new(0.1).betas(0.8, 0.5).epsilon(1e-3).weight_decay(0.1).amsgrad(true).into(),
            [
                0.4466995588591037,
                -0.9980629391981188,
                2.0656636668944235,
                0.048062999408943624,
                -0.1583489250849646,
                1.2196618058949285,
            ],
        ),
        (
            Optimizer::nadam(0.1),
            [
                0.6110367538630782,
                -1.107199839410953,
                2.0997041776201906,
                0.14477714378306925,
                -0.27027220008339436,
                1.4246992729389587,
            ],
        ),
        (
            NAdam::new(0.1).betas(0.8, 0.95).epsilon(1e-3).momentum_decay(1.0).weight_decay(0.1).into(),
            [
                0.5956892607965885,
                -1.0811098376565553,
                2.0273175812196564,
                0.15630389811639972,
                -0.25704190740506516,
                1.3562216786447483,
            ],
        ),
        (
            NAdam::new(0.1).weight_decay(0.1).decoupled(true).into(),
            [
                0.5889972131598176,
                -1.0602716179641811,
                2.0000030562390445,
                0.14574538039577795,
                -0.26041720157663983,
                1.3568525613331412,
            ],
        ),
        (
            Optimizer::radam(0.1),
            [
                0.4581553717985741,
                -1.0738979664093562,
                2.177164715762745,
                0.0754427425463224,
                -0.2062050601534249,
                1.2228391541164052,
            ],
        ),
        (
            RAdam::new(0.1).betas(0.8, 0.9).epsilon(1e-3).weight_decay(0.1).into(),
            [
                0.45545267655436683,
                -1.0339321825513017,
                2.058368175887645,
                0.0922441687928486,
                -0.201238213703989,
                1.1727748705288215,
            ],
        ),
        (
            RAdam::new(0.1).weight_decay(0.1).decoupled(true).into(),
            [
                0.4369140988644402,
                -1.0252590556266596,
                2.074505017691456,
                0.07607181738606857,
                -0.19585011316929882,
                1.1578571856345115,
            ],
        ),
        (
            Optimizer::adamax(0.1),
            [
                0.4367863747038206,
                -1.0013865078774675,
                2.140541886490852,
                0.006862355074478069,
                -0.1573957503797035,
                1.2752633447858008,
            ],
        ),
        (
            Adamax::new(0.1).betas(0.8, 0.5).epsilon(1e-2).weight_decay(0.1).into(),
            [
                0.43658475072049746,
                -0.9956846457718963,
                2.0653246642667873,
                0.03217109525733968,
                -0.1603336180891275,
                1.12711093895402,
            ],
        ),
        (
            Optimizer::adagrad(0.1),
            [
                0.588465180311246,
                -1.0812292261017022,
                2.087623833698187,
                0.11410596416597069,
                -0.2703770794533197,
                1.4471373276387494,
            ],
        ),
        (
            Adagrad::new(0.1)
                .learning_rate_decay(0.5)
                .initial_accumulator(0.1)
                .epsilon(1e-3)
                .weight_decay(0.1)
                .into(),
            [
                0.4894974464728598,
                -1.008842821994977,
                2.0623211532763146,
                0.0224161391869202,
                -0.2256783509767895,
                1.406245487818635,
            ],
        ),
        (
            Optimizer::adadelta(0.1),
            [
                0.5007550079159656,
                -1.0007244220997078,
                2.0002947797867012,
                0.0008392713261705421,
                -0.2503764534010762,
                1.4999729033809015,
            ],
        ),
        (
            Adadelta::new(0.1).rho(0.5).epsilon(1e-3).weight_decay(0.1).into(),
            [
                0.5119361757403983,
                -1.0106653100841656,
                2.0002165158165814,
                0.01179362190557077,
                -0.2572460918167501,
                1.498450844116219,
            ],
        ),
        (Optimizer::lion(0.1), [0.65, -1.15, 2.3500000000000005, 0.15000000000000002, -0.4, 1.65]),
        (
            Lion::new(0.1).betas(0.7, 0.8).weight_decay(0.1).into(),
            [
                0.66726608287142,
                -1.10328435824244,
                2.2074592020636805,
                0.24893619950039997,
                -0.34937694518591,
                0.98658033353346,
            ],
        ),
        (
            Optimizer::lamb(0.1),
            [
                0.5727815552186836,
                -1.3454931743499443,
                2.2417737906399484,
                0.38830772007088543,
                -0.13198021774146657,
                0.8094719024310444,
            ],
        ),
        (
            Lamb::new(0.1).betas(0.8, 0.95).epsilon(1e-3).weight_decay(0.1).into(),
            [
                0.5702944890431614,
                -1.206201092225957,
                1.931953734242004,
                0.37602764891770757,
                -0.16463095793156152,
                0.798665564233545,
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
    let mut moments =
        rule.moments().map(|name| vec![rule.initial() as f32; if name.is_some() { w.len() } else { 0 }]);
    let step = rule::Step { rate: 0.01, count: 1, limits: Default::default(), rank: 1 };
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
            let scaled = (&raw * (0.7 / norm))?;
            for (clip, clipped) in [
                (Clip::Value(0.5), raw.clamp(-0.5, 0.5)?),
                (Clip::Norm(0.7), scaled.clone()),
                (Clip::NormPerVariable(0.7), scaled.clone()),
                (Clip::Normalize(0.7), scaled),
            ] {
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
    let bad: [(Optimizer, &str); 26] = [
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
        (Optimizer::nadam(0.0), "NAdam::learning_rate"),
        (NAdam::new(0.1).momentum_decay(-1.0).into(), "NAdam::momentum_decay"),
        (RAdam::new(0.1).betas(0.9, 1.0).into(), "RAdam::beta2"),
        (Adamax::new(0.1).epsilon(0.0).into(), "Adamax::epsilon"),
        (Adagrad::new(0.1).initial_accumulator(-0.1).into(), "Adagrad::initial_accumulator"),
        (Adagrad::new(0.1).learning_rate_decay(f64::NAN).into(), "Adagrad::learning_rate_decay"),
        (Adadelta::new(1.0).rho(1.0).into(), "Adadelta::rho"),
        (Lion::new(0.1).betas(-0.1, 0.9).into(), "Lion::beta1"),
        (Lion::new(0.1).weight_decay(-0.1).into(), "Lion::weight_decay"),
        (Lamb::new(0.1).epsilon(f64::NAN).into(), "Lamb::epsilon"),
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

#[test]
fn every_optimizer_has_a_name_and_its_defaults() -> Result<()> {
    let defaults: [(&str, Optimizer); 13] = [
        ("sgd", Sgd::default().into()),
        ("nesterov", Sgd::default().momentum(0.9).nesterov(true).into()),
        ("adam", Adam::default().into()),
        ("adamw", Adam::default().weight_decay(0.01).decoupled(true).into()),
        ("amsgrad", Adam::default().amsgrad(true).into()),
        ("nadam", NAdam::default().into()),
        ("radam", RAdam::default().into()),
        ("adamax", Adamax::default().into()),
        ("adagrad", Adagrad::default().into()),
        ("adadelta", Adadelta::default().into()),
        ("rmsprop", RmsProp::default().into()),
        ("lion", Lion::default().into()),
        ("lamb", Lamb::default().into()),
    ];
    let registry = Optimizer::registry();
    assert_eq!(registry.entries().len(), defaults.len());
    for (name, expected) in defaults {
        assert_eq!(registry.parse(name)?, expected);
        let mut with_rate = expected;
        with_rate.set_learning_rate(0.125);
        with_rate.set_weight_decay(0.25);
        assert_eq!(registry.parse(&format!("{name}:0.125:weight-decay=0.25"))?, with_rate);
        assert_eq!(registry.get(name)?.arguments()[0].name(), "learning-rate");
        assert!(with_rate.check().is_ok());
    }
    let others: [(&str, Optimizer); 7] = [
        ("sgd:0.1:0.9:rate=inside", Sgd::new(0.1).momentum(0.9).velocity(Velocity::LrInside).into()),
        ("adam:0.1:0.8:0.9:1e-7:epsilon-hat=true", {
            Adam::new(0.1).betas(0.8, 0.9).epsilon(1e-7).epsilon_hat(true).into()
        }),
        ("nadam:0.1:momentum-decay=1:decoupled=true", {
            NAdam::new(0.1).momentum_decay(1.0).decoupled(true).into()
        }),
        ("adagrad:0.1:1e-7:0.1:0.5", {
            Adagrad::new(0.1).epsilon(1e-7).initial_accumulator(0.1).learning_rate_decay(0.5).into()
        }),
        ("rmsprop:centered=true:epsilon-in-root=true", {
            RmsProp::default().centered(true).epsilon_in_root(true).into()
        }),
        ("lion:0.1:0.5:0.95:0.98", Lion::new(0.1).weight_decay(0.5).betas(0.95, 0.98).into()),
        ("lamb:adapt-vectors=false", Lamb::default().adapt_vectors(false).into()),
    ];
    for (text, expected) in others {
        assert_eq!(registry.parse(text)?, expected, "{text}");
    }
    Ok(())
}

#[test]
fn a_momentum_is_set_where_there_is_one() -> Result<()> {
    for name in Optimizer::registry().names() {
        let mut optimizer = Optimizer::registry().parse(name)?;
        let set = optimizer.set_momentum(0.5);
        match &optimizer {
            Optimizer::Sgd(sgd) => assert_eq!(sgd.momentum, 0.5),
            Optimizer::RmsProp(rmsprop) => assert_eq!(rmsprop.momentum, 0.5),
            other => {
                let e = set.unwrap_err().to_string();
                let name = other.name();
                assert_eq!(e, format!("momentum must be set for SGD or RMSprop, but is set for {name}"));
            }
        }
    }
    Ok(())
}

#[test]
fn weight_decay_acts_on_the_chosen_variables() -> Result<()> {
    let end = |optimizer: &Optimizer, decays: bool| {
        let (a, b) = (start(DType::F64)?, start(DType::F64)?);
        let vars = vec![("a".to_owned(), a.clone()), ("b".to_owned(), b.clone())];
        let mut state = OptimizerState::new(optimizer, vars)?;
        if !decays {
            state = state.decay_only(|name, var| name == "a" && var.rank() == 2);
        }
        for t in 0..4 {
            let g = gradient(t, DType::F64, &[2, 3])?;
            state.step(&store(&[(&a, g.clone()), (&b, g)]), 0.1, &Clip::None)?;
        }
        Ok::<_, Error>((numbers(&a), numbers(&b)))
    };
    for (mut optimizer, _) in reference() {
        optimizer.set_weight_decay(0.0);
        let (_, without) = end(&optimizer, true)?;
        optimizer.set_weight_decay(0.3);
        let (with, _) = end(&optimizer, true)?;
        assert_ne!(with, without, "{optimizer:?}");
        assert_eq!(end(&optimizer, false)?, (with, without), "{optimizer:?}");
    }
    Ok(())
}

#[test]
fn lamb_scales_no_step_of_a_vector_or_of_zeros() -> Result<()> {
    let end = |optimizer: &Optimizer, shape: &[usize], start: f64, in_place: bool| {
        let w = Var::from_tensor(&Tensor::full(start, shape, CPU)?)?;
        let kind = |var: &Var| (var.dtype(), in_place);
        let mut state = OptimizerState::with_moments(optimizer, named(&w), kind)?;
        state.step(&store(&[(&w, gradient(1, DType::F64, shape)?)]), 0.1, &Clip::None)?;
        Ok::<_, Error>(numbers(&w))
    };
    let lamb: Optimizer = Lamb::new(0.1).epsilon(1e-6).into();
    let only_tables: Optimizer = Lamb::new(0.1).epsilon(1e-6).adapt_vectors(false).into();
    let adam: Optimizer = Adam::new(0.1).epsilon(1e-6).into();
    for in_place in [true, false] {
        for shape in [&[6][..], &[2, 3]] {
            let zeros = end(&lamb, shape, 0.0, in_place)?;
            assert_close(&zeros, &end(&adam, shape, 0.0, true)?, 1e-14, &shape);
        }
        let vector = end(&only_tables, &[6], 3.0, in_place)?;
        assert_close(&vector, &end(&adam, &[6], 3.0, true)?, 1e-14, &"vector");
        let scaled = end(&lamb, &[6], 3.0, in_place)?;
        assert_close(&end(&only_tables, &[2, 3], 3.0, in_place)?, &scaled, 1e-14, &"table");
        assert!((scaled[0] - vector[0]).abs() > 0.1);
    }
    Ok(())
}

/// The units of a 2 × 3 variable are its rows. Their limits are a tenth of their norms, √5.25 and √2.3125.
#[test]
fn a_step_with_adaptive_clipping_limits_each_row() -> Result<()> {
    for (dtype, in_place) in
        [(DType::F64, true), (DType::F64, false), (DType::F32, true), (DType::F16, false)]
    {
        let w = start(dtype)?;
        let kind = |var: &Var| (var.dtype(), in_place);
        let mut state = OptimizerState::with_moments(&Optimizer::sgd(1.0), named(&w), kind)?;
        let raw = gradient(1, dtype, &[2, 3])?;
        let clip = Clip::Adaptive { ratio: 0.1, floor: 1e-3 };
        state.step(&store(&[(&w, raw.clone())]), 1.0, &clip)?;
        let (raw, w) = (numbers(&raw), numbers(&w));
        for (row, square) in [(0, 5.25f64), (1, 2.3125)] {
            let part = 3 * row..3 * row + 3;
            let norm = raw[part.clone()].iter().map(|g| g * g).sum::<f64>().sqrt();
            assert!(norm > 0.1 * square.sqrt());
            let expected: Vec<f64> =
                part.clone().map(|i| START[i] - raw[i] * 0.1 * square.sqrt() / norm).collect();
            let tolerance = if dtype == DType::F16 { 1e-3 } else { 1e-6 };
            assert_close(&w[part], &expected, tolerance, &(dtype, in_place));
        }
    }
    Ok(())
}

#[test]
fn gradient_norms_are_those_of_each_variable() -> Result<()> {
    let vars: Vec<Var> = (0..3).map(|_| Var::zeros(2, DType::F32, CPU)).collect::<CResult<_>>()?;
    let names = ["b", "a", "c"].iter().map(|name| (*name).to_owned());
    let state = OptimizerState::new(&Optimizer::sgd(0.1), names.zip(vars.iter().cloned()).collect())?;
    let of = |x: [f32; 2]| Tensor::new(&x, CPU);
    let gradients = store(&[(&vars[0], of([3.0, 4.0])?), (&vars[1], of([0.0, 12.0])?)]);
    assert_eq!(state.gradient_norms(&gradients)?, [("a", 12.0), ("b", 5.0)]);
    assert_eq!(state.gradient_norm(&gradients)?, 13.0);
    Ok(())
}

/// The scale is a power of two, so that nothing is rounded.
#[test]
fn a_step_with_a_scaled_loss_equals_the_step_without() -> Result<()> {
    let adaptive = Clip::Adaptive { ratio: 0.1, floor: 1e-3 };
    let clips = [Clip::None, Clip::Value(0.5), Clip::Norm(0.7), Clip::NormPerVariable(0.7), adaptive];
    for (optimizer, _) in reference() {
        for (clip, dtype) in clips.into_iter().flat_map(|clip| [(clip, DType::F32), (clip, DType::BF16)]) {
            let (a, b) = (start(dtype)?, start(dtype)?);
            let mut plain = OptimizerState::new(&optimizer, named(&a))?;
            let mut scaled = OptimizerState::new(&optimizer, named(&b))?;
            let mut scaling = LossScaling::new(LossScale::dynamic())?;
            for t in 0..3 {
                let g = gradient(t, dtype, &[2, 3])?;
                plain.step(&store(&[(&a, g.clone())]), 0.1, &clip)?;
                assert!(scaled.step_scaled(&store(&[(&b, (g * 65536.0)?)]), 0.1, &clip, &mut scaling)?);
            }
            assert_eq!(numbers(&a), numbers(&b), "{optimizer:?} {clip:?} {dtype:?}");
        }
    }
    Ok(())
}

/// The loss is 2⁻²⁶ w, whose gradient is a quarter of the smallest number of `f16`.
#[test]
fn a_gradient_that_vanishes_in_f16_is_right_with_a_scaled_loss() -> Result<()> {
    let rate = 65536.0;
    let tiny = 2f64.powi(-13);
    let end = |setting| {
        let w = Var::ones(2, DType::F16, CPU)?;
        let mut state = OptimizerState::new(&Optimizer::sgd(rate), named(&w))?;
        let mut scaling = LossScaling::new(setting)?;
        let loss = ((w.as_tensor() * tiny)? * tiny)?.sum_all()?;
        let gradients = scaling.scale(&loss)?.backward()?;
        state.step_scaled(&gradients, rate, &Clip::None, &mut scaling)?;
        Ok::<_, Error>(numbers(&w))
    };
    assert_eq!(end(LossScale::Static(1.0))?, [1.0; 2]);
    assert_eq!(end(LossScale::Static(1024.0))?, [1.0 - 2f64.powi(-10); 2]);
    let dynamic = LossScale::Dynamic { initial: 1024.0, growth: 2.0, backoff: 0.5, every: 2 };
    assert_eq!(end(dynamic)?, [1.0 - 2f64.powi(-10); 2]);
    Ok(())
}

#[test]
fn a_step_whose_gradients_overflow_is_skipped_and_lowers_the_scale() -> Result<()> {
    for bad in [f64::INFINITY, f64::NEG_INFINITY, f64::NAN] {
        for dtype in [DType::F16, DType::F32] {
            let w = start(dtype)?;
            let mut state = OptimizerState::new(&Optimizer::adam(0.1), named(&w))?;
            let mut scaling = LossScaling::new(LossScale::dynamic())?;
            let before = state.save()?;
            let mut g = START;
            g[4] = bad;
            let g = Tensor::new(&g, CPU)?.reshape((2, 3))?.to_dtype(dtype)?;
            let gradients = store(&[(&w, g)]);
            assert!(!state.step_scaled(&gradients, 0.1, &Clip::Norm(1.0), &mut scaling)?);
            assert_eq!((state.save()?, numbers(&w)), (before, START.to_vec()));
            assert_eq!(scaling.factor(), 32768.0);

            // A scale that does not change lets them in.
            let mut scaling = LossScaling::new(LossScale::Static(2.0))?;
            assert!(state.step_scaled(&gradients, 0.1, &Clip::None, &mut scaling)?);
            assert!(numbers(&w)[4].is_nan());
        }
    }
    Ok(())
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

    #[test]
    fn a_step_of_lamb_has_the_norm_of_the_weights_and_one_of_lion_a_size_for_each(
        w in prop::collection::vec(0.1..3.0f64, 20), g in prop::collection::vec(0.01..9.0f64, 20),
        rate in 1e-3..0.5f64, factor in 0.1..10.0f64, in_place: bool,
    ) {
        let change = |optimizer: Optimizer| {
            let var = Var::from_slice(&w, (4, 5), CPU).unwrap();
            let kind = |var: &Var| (var.dtype(), in_place);
            let mut state = OptimizerState::with_moments(&optimizer, named(&var), kind).unwrap();
            let g = (Tensor::from_slice(&g, (4, 5), CPU).unwrap() * factor).unwrap();
            state.step(&store(&[(&var, g)]), rate, &Clip::None).unwrap();
            numbers(&var).iter().zip(&w).map(|(new, old)| old - new).collect::<Vec<_>>()
        };
        let norm = |x: &[f64]| x.iter().map(|x| x * x).sum::<f64>().sqrt();
        let lamb = change(Optimizer::lamb(rate));
        prop_assert!((norm(&lamb) - rate * norm(&w)).abs() < 1e-12);
        for moved in change(Optimizer::lion(rate)) {
            prop_assert!((moved - rate).abs() < 1e-12);
        }
    }
}
