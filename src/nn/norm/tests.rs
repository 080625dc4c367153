//! Numbers of tests/reference/layers.py (PyTorch 2.15; Keras' formulas), finite differences, and the
//! operations for other devices.
use super::*;
use crate::{
    kernels::normalize::{Dims, Sets},
    nn::{
        norm::op::{Layer, Measured},
        testing,
        then::{Then, WithThen},
    },
    weights::{fresh, InitScheme, Vars},
    Error, Seed,
};
use candle_core::{DType, Device, Module, ModuleT, Result, Tensor, Var};
use candle_nn::VarBuilder;
use proptest::prelude::*;

const TYPES: [(DType, f64); 4] =
    [(DType::F64, 1e-9), (DType::F32, 3e-6), (DType::F16, 4e-3), (DType::BF16, 4e-2)];

fn sequence(
    factor: usize,
    offset: usize,
    modulus: usize,
    half: f64,
    shape: &[usize],
    dtype: DType,
) -> Tensor {
    let number = |i: usize| (((factor * i + offset) % modulus) as f64 - half) / 4.;
    let n = shape.iter().product();
    Tensor::from_iter((0..n).map(number), &Device::Cpu)
        .unwrap()
        .reshape(shape)
        .unwrap()
        .to_dtype(dtype)
        .unwrap()
}

/// The inputs of the script.
fn inputs(shape: &[usize], dtype: DType) -> Tensor {
    sequence(7, 3, 11, 5., shape, dtype)
}

/// The gradients of the outputs of the script.
fn upstream(shape: &[usize], dtype: DType) -> Tensor {
    sequence(5, 2, 7, 3., shape, dtype)
}

fn numbers(tensor: &Tensor) -> Vec<f64> {
    tensor.detach().to_dtype(DType::F64).unwrap().flatten_all().unwrap().to_vec1().unwrap()
}

fn assert_close(got: &[f64], expected: &[f64], tolerance: f64, what: &str) {
    assert_eq!(got.len(), expected.len(), "{what}");
    for (got, expected) in got.iter().zip(expected) {
        let difference = (got - expected).abs() / expected.abs().max(1.);
        assert!(difference <= tolerance, "{what}: {got} is not {expected}");
    }
}

/// A layer made from fresh variables, with the weights and biases of the script.
fn layer<M>(dtype: DType, make: impl Fn(VarBuilder<'_>) -> Result<M>) -> (Vars, M) {
    let (vars, vb) = fresh(Seed::from(1), InitScheme::default(), dtype, &Device::Cpu);
    let made = make(vb.pp("norm")).unwrap();
    for (name, values) in [("weight", [1.5, -0.5, 0.75, 2.]), ("bias", [0.25, -1., 0.5, 1.])] {
        if let Some((_, var)) = vars.named().into_iter().find(|(known, _)| *known == format!("norm.{name}")) {
            let values = Tensor::new(&values[..var.elem_count()], &Device::Cpu).unwrap();
            var.set(&values.to_dtype(dtype).unwrap()).unwrap();
        }
    }
    (vars, made)
}

/// The outputs and the gradients of the inputs, the weights and the biases.
fn pass(vars: &Vars, x: &Var, forward: impl Fn(&Tensor) -> Result<Tensor>) -> [Vec<f64>; 4] {
    let y = forward(x).unwrap();
    assert_eq!((y.dtype(), y.dims()), (x.dtype(), x.dims()));
    let gradients = (&y * upstream(x.dims(), x.dtype())).unwrap().sum_all().unwrap().backward().unwrap();
    let of = |name: &str| {
        let var = vars.named().into_iter().find(|(known, _)| *known == format!("norm.{name}"));
        var.and_then(|(_, var)| gradients.get(&var).map(numbers)).unwrap_or_default()
    };
    [numbers(&y), numbers(gradients.get(x).unwrap()), of("weight"), of("bias")]
}

struct Reference {
    y: &'static [f64],
    dx: &'static [f64],
    dweight: &'static [f64],
    dbias: &'static [f64],
}

fn check<M>(
    shape: &[usize],
    make: impl Fn(VarBuilder<'_>) -> Result<M>,
    forward: impl Fn(&M, &Tensor) -> Result<Tensor>,
    expected: &Reference,
) {
    for (dtype, tolerance) in TYPES {
        let (vars, made) = layer(dtype, &make);
        let x = Var::from_tensor(&inputs(shape, dtype)).unwrap();
        let [y, dx, dweight, dbias] = pass(&vars, &x, |x| forward(&made, x));
        let what = |of: &str| format!("{of} {dtype:?}");
        assert_close(&y, expected.y, tolerance, &what("y"));
        assert_close(&dx, expected.dx, tolerance, &what("dx"));
        assert_close(&dweight, expected.dweight, tolerance, &what("dweight"));
        assert_close(&dbias, expected.dbias, tolerance, &what("dbias"));
    }
}

fn statistics(vars: &Vars) -> [Vec<f64>; 2] {
    let all = vars.snapshot().unwrap();
    ["norm.running_mean", "norm.running_var"].map(|name| numbers(&all[name]))
}

#[rustfmt::skip]
const BATCH_3D: Reference = Reference {
    y: &[-0.7801980096, 2.104356417, -1.67080966, -0.7763967799, 1.506214491, 0.1645951698, -1.604356417, 1.28019801, -1.22360322, -0.3291903396, 0.8354048302, -0.5062144906],
    dx: &[-0.3498743444, -0.1943845878, -0.4919238645, 0.08944021479, -0.4360311089, 1.039756583, 0.1943845878, 0.3498743444, 0.6931710557, -0.2906874059, 0.1341603222, -0.7378857967],
    dweight: &[-1.236237611, -0.3354048302, -0.3354048302],
    dbias: &[-1., 0.25, -0.25],
};

#[rustfmt::skip]
const BATCH_EVALUATED: Reference = Reference {
    y: &[-0.5147733208, 2.096647774, -1.154575391, -0.6393240871, 1.253555032, 0.4806780761, -1.260893634, 1.350527462, -0.8969497392, -0.3816984351, 0.8671165542, 0.09423959803],
    dx: &[-0.3730601565, -1.119180469, -0.257625652, 0., -0.3864384781, 0.5796577171, 0.3730601565, -0.3730601565, 0.3864384781, -0.257625652, 0., -0.3864384781],
    dweight: &[-1.231098516, -0.3091507825, -0.2511850107],
    dbias: &[-1., 0.25, -0.25],
};

#[rustfmt::skip]
const BATCH_2D: Reference = Reference {
    y: &[2.144841822, -1.631613941, 1.447420911, 0.8816139408, -1.21053798, 0.8158069704, -0.3816139408, -0.7894620197, 0.1841930296, -1.644841822, -0.3683860592, -0.4474209112],
    dx: &[-0.2150175118, 0.07167250392, -0.248613998, -0.07167250392, 0.02389083464, 1.390894529, 0.07167250392, -0.02389083464, -1.390894529, 0.2150175118, -0.07167250392, 0.248613998],
    dweight: &[-1.052689901, -1.052689901, 1.894841822],
    dbias: &[0.5, -1.5, 0.],
};

#[rustfmt::skip]
const LAYER: Reference = Reference {
    y: &[-1.493697616, -1.639355792, 0.4128151192, -1.493697616, -1.639355792, 0.4128151192, -1.493697616, -1.639355792, 0.4128151192, -1.493697616, -1.639355792, 0.4128151192],
    dx: &[-0.2262185909, -0.1696469778, 0.3958655686, -0.2403501839, -0.1802576897, 0.4206078736, 0.4382829682, 0.3287081262, -0.7669910944, 0.4241513752, 0.3180974143, -0.7422487895],
    dweight: &[-0.5812325385, -1.918067377, 0.],
    dbias: &[0.5, -1.5, 0.],
};

#[rustfmt::skip]
const LAYER_NO_BIAS: Reference = Reference {
    y: &[-1.726992371, -0.6332305362, -0.08634961857, -1.726992371, -0.6332305362, -0.08634961857, -1.726992371, -0.6332305362, -0.08634961857, -1.726992371, -0.6332305362, -0.08634961857],
    dx: &[-0.2329516751, -0.1582313265, 0.3911830016, -0.2406434757, -0.1756752314, 0.4163187072, 0.4362349765, 0.3231929785, -0.7594279551, 0.428543176, 0.3057490736, -0.7342922496],
    dweight: &[-0.5756641238, -1.899691609, 0.],
    dbias: &[],
};

#[rustfmt::skip]
const RMS: Reference = Reference {
    y: &[-0.9411837077, -0.7843197564, 0.2352959269, -1.544092912, -0.6862635163, 0., -2.01954199, -0.5048854975, -0.2524427487, -2.245066275, -0.29934217, -0.4490132551],
    dx: &[-0.2235620093, -0.1469827575, 0.3470769316, 0.161600514, 0.1276644061, 0.7720464558, 0.3904854603, 0.2540951937, -0.7859282555, 0.3615710083, 0.2145822007, -0.6635954558],
    dweight: &[-0.9280818055, -2.1151859, 0.7086488701],
    dbias: &[],
};

#[rustfmt::skip]
const GROUP_3D: Reference = Reference {
    y: &[-0.8343371395, 2.539156183, -1.120481904, -0.4779117476, 1.283132379, 0.3192771434, -2.052208245, 2.445782853, 0.5499961601, -1.849973121, -1.69999104, -0.90000128, 1.283132379, 0.3192771434, -2.052208245, 2.445782853],
    dx: &[-0.2694591274, -0.1451086829, 0.3575572745, 0.05701053591, 0.01190948878, 0.5347863068, -0.2274771887, -0.3192186069, -1.643981671, 0.5080124922, 0.7919708681, 0.3439983104, 1.050396149, 0.6596705317, -0.132661434, -1.577405247],
    dweight: &[-1.813844355, 0.2204806244, 0.0200803174, -0.7228914264],
    dbias: &[-1.25, 0., 1.25, -1.],
};

#[rustfmt::skip]
const GROUP_2D: Reference = Reference {
    y: &[-1.240299009, -1.496766336, 1.235435507, -0.9611613514, 1.720871014, -0.5097096622, -0.2451495045, 2.987065345, 1.720871014, -0.5097096622, 1.235435507, -0.9611613514],
    dx: &[-0.005489762667, 0.005489762667, 0.01414299051, -0.01414299051, -0.01414299051, 0.01414299051, 0.005032282445, -0.005032282445, -0.0330003112, 0.0330003112, 0.03771464137, -0.03771464137],
    dweight: &[-0.9773426764, -1.970875349, 0.2419071697, 0.2419071697],
    dbias: &[-1.5, 0.5, 0.75, -0.75],
};

#[test]
fn batch_norm_is_that_of_pytorch() {
    let make = |vb: VarBuilder<'_>| BatchNorm::new(3, BatchNormConfig::torch(), vb);
    check(&[2, 3, 2], make, |layer, x| layer.forward_t(x, true), &BATCH_3D);
    let config = BatchNormConfig::torch().momentum(0.3).eps(0.01);
    check(&[4, 3], |vb| BatchNorm::new(3, config, vb), |layer, x| layer.forward_t(x, true), &BATCH_2D);
    let trained = |layer: &BatchNorm, x: &Tensor| layer.forward_t(&x.detach(), true).map(drop);
    check(
        &[2, 3, 2],
        |vb| {
            // Trained before the weights are set, which the running statistics do not depend on.
            let layer = make(vb.clone())?;
            trained(&layer, &inputs(&[2, 3, 2], vb.dtype()))?;
            Ok(layer)
        },
        |layer, x| layer.forward_t(x, false),
        &BATCH_EVALUATED,
    );
    let (vars, norm) = layer(DType::F64, make);
    trained(&norm, &inputs(&[2, 3, 2], DType::F64)).unwrap();
    let [mean, var] = statistics(&vars);
    assert_close(&mean, &[0.0125, -0.05, 0.025], 1e-9, "mean");
    assert_close(&var, &[1.010416667, 0.9416666667, 0.9416666667], 1e-9, "variance");
    let (vars, norm) = layer(DType::F64, |vb| BatchNorm::new(3, config, vb));
    trained(&norm, &inputs(&[4, 3], DType::F64)).unwrap();
    let [mean, var] = statistics(&vars);
    assert_close(&mean, &[-0.2625, 0.2625, -0.0375], 1e-9, "mean");
    assert_close(&var, &[0.73125, 0.73125, 0.73125], 1e-9, "variance");
}

#[test]
#[rustfmt::skip]
fn batch_norm_is_that_of_keras() {
    let (vars, vb) = fresh(Seed::from(1), InitScheme::default(), DType::F64, &Device::Cpu);
    let norm = BatchNorm::new(3, BatchNormConfig::keras().affine(false), vb.pp("norm")).unwrap();
    let x = inputs(&[2, 3, 2], DType::F64);
    norm.forward_t(&x, true).unwrap();
    let trained = norm.forward_t(&((&x * 2.).unwrap() - 1.).unwrap(), true).unwrap();
    assert_close(&numbers(&trained), &[-0.6866991749, 1.236058515, 1.341104452, -0.4470348173, 1.341104452, -0.4470348173, -1.236058515, 0.6866991749, 0.4470348173, -1.341104452, 0.4470348173, -1.341104452], 1e-9, "y");
    let [mean, var] = statistics(&vars);
    assert_close(&mean, &[-0.0062625, -0.02495, -0.002525], 1e-9, "mean");
    assert_close(&var, &[1.021423437, 0.99569375, 0.99569375], 1e-9, "variance");
    let evaluated = norm.forward_t(&x, false).unwrap();
    assert_close(&numbers(&evaluated), &[-0.488293244, 1.24241017, 0.2754056569, -0.7262515786, 1.00418642, 0.00252918452, -0.9827799338, 0.7479234805, -0.2254229609, -1.227080196, 0.5033578023, -0.4982994333], 1e-9, "evaluated");
    assert_eq!(vars.named().len(), 2, "no weights and biases");
}

#[test]
fn the_other_layers_are_those_of_pytorch() {
    check(&[4, 3], |vb| LayerNorm::new(3, 1e-5, vb), |layer, x| layer.forward(x), &LAYER);
    check(&[4, 3], |vb| LayerNorm::no_bias(3, 0.01, vb), |layer, x| layer.forward(x), &LAYER_NO_BIAS);
    check(&[2, 2, 3], |vb| LayerNorm::new(3, 1e-5, vb), |layer, x| layer.forward(x), &LAYER);
    check(&[4, 3], |vb| RmsNorm::new(3, 0.01, vb), |layer, x| layer.forward(x), &RMS);
    check(&[2, 4, 2], |vb| GroupNorm::new(2, 4, 1e-5, vb), |layer, x| layer.forward(x), &GROUP_3D);
    check(&[2, 4, 1, 2], |vb| GroupNorm::new(2, 4, 1e-5, vb), |layer, x| layer.forward(x), &GROUP_3D);
    check(&[3, 4], |vb| GroupNorm::new(2, 4, 0.01, vb), |layer, x| layer.forward(x), &GROUP_2D);
}

#[test]
fn further_dimensions_count_as_positions_of_a_channel() {
    let make = |vb: VarBuilder<'_>| BatchNorm::new(3, BatchNormConfig::torch(), vb);
    check(&[2, 3, 1, 2], make, |layer, x| layer.forward_t(x, true), &BATCH_3D);
    // A view with the channels last in memory.
    for (dtype, tolerance) in TYPES {
        let (_, norm) = layer(dtype, make);
        let view =
            inputs(&[2, 3, 2], dtype).transpose(1, 2).unwrap().contiguous().unwrap().transpose(1, 2).unwrap();
        assert!(!view.is_contiguous());
        let y = norm.forward_t(&view, true).unwrap();
        assert_close(&numbers(&y), BATCH_3D.y, tolerance, "view");
    }
}

#[test]
fn variables_are_named_and_start_as_in_candle() {
    let of = |make: &dyn Fn(VarBuilder<'_>)| {
        let (vars, vb) = fresh(Seed::from(1), InitScheme::GlorotUniform, DType::F32, &Device::Cpu);
        make(vb);
        vars.snapshot().unwrap().into_iter().map(|(name, t)| (name, numbers(&t))).collect::<Vec<_>>()
    };
    let ours = of(&|vb| drop(BatchNorm::new(3, BatchNormConfig::keras(), vb).unwrap()));
    assert_eq!(ours, of(&|vb| drop(candle_nn::batch_norm(3, 1e-5, vb).unwrap())));
    let ours = of(&|vb| drop(LayerNorm::new(3, 1e-5, vb).unwrap()));
    assert_eq!(ours, of(&|vb| drop(candle_nn::layer_norm(3, 1e-5, vb).unwrap())));
    let ours = of(&|vb| drop(GroupNorm::new(1, 3, 1e-5, vb).unwrap()));
    assert_eq!(ours, of(&|vb| drop(candle_nn::group_norm(1, 3, 1e-5, vb).unwrap())));
    let ours = of(&|vb| drop(RmsNorm::new(3, 1e-5, vb).unwrap()));
    assert_eq!(ours, of(&|vb| drop(candle_nn::rms_norm(3, 1e-5, vb).unwrap())));
}

#[test]
fn training_and_evaluation_equal_those_of_candles_batch_norm() {
    let plain = candle_nn::BatchNormConfig::default();
    let configs = [
        plain,
        candle_nn::BatchNormConfig { remove_mean: false, momentum: 0.3, ..plain },
        candle_nn::BatchNormConfig { affine: false, eps: 1e-2, ..plain },
    ];
    for config in configs {
        let (ours_vars, ours) = layer(DType::F64, |vb| batch_norm(3, config, vb));
        let (theirs_vars, theirs) = layer(DType::F64, |vb| candle_nn::batch_norm(3, config, vb));
        for step in 0..3 {
            let x = (inputs(&[4, 3, 2, 2], DType::F64) * f64::from(step + 1)).unwrap();
            for train in [true, false] {
                let (a, b) = (ours.forward_t(&x, train).unwrap(), theirs.forward_t(&x, train).unwrap());
                assert_close(&numbers(&a), &numbers(&b), 1e-13, "y");
            }
        }
        for (a, b) in statistics(&ours_vars).iter().zip(&statistics(&theirs_vars)) {
            assert_close(a, b, 1e-13, "statistics");
        }
        assert_eq!((ours.eps(), ours.momentum()), (theirs.eps(), theirs.momentum()));
        assert_eq!(ours.weight_and_bias().is_some(), theirs.weight_and_bias().is_some());
        assert_close(&numbers(ours.running_mean()), &numbers(theirs.running_mean()), 1e-13, "means");
        assert_close(&numbers(ours.running_var()), &numbers(theirs.running_var()), 1e-13, "variances");
    }
}

/// Central differences, with each activation behind batch normalization.
#[test]
fn gradients_are_those_of_finite_differences() {
    for (dtype, step) in [(DType::F64, (1e-5, 1e-6)), (DType::F32, (2e-3, 3e-2))] {
        let x = Var::from_tensor(&testing::numbers((3, 4, 2), 3, dtype)).unwrap();
        let check = |vars: &Vars, y: &dyn Fn() -> Result<Tensor>, what: &str| {
            let trained = vars.named().into_iter().filter(|(name, _)| !name.contains("running"));
            let trained: Vec<Var> = trained.map(|(_, var)| var).collect();
            let all: Vec<&Var> = trained.iter().chain([&x]).collect();
            testing::assert_slopes(&all, || y().unwrap(), step, &format!("{what} {dtype:?}"));
        };
        for ((then, _), center) in testing::followers().into_iter().zip([true, false].into_iter().cycle()) {
            let config = BatchNormConfig::torch().remove_mean(center);
            let (vars, norm) = layer(dtype, |vb| BatchNorm::new(4, config, vb));
            for train in [true, false] {
                check(&vars, &|| norm.forward_with(then, &x, train), &format!("{then:?} {center} {train}"));
            }
        }
        let (vars, norm) = layer(dtype, |vb| GroupNorm::new(2, 4, 1e-3, vb));
        check(&vars, &|| norm.forward(&x), "GroupNorm");
        let (vars, norm) = layer(dtype, |vb| LayerNorm::new(2, 1e-1, vb));
        check(&vars, &|| norm.forward(&x), "LayerNorm");
        let (vars, norm) = layer(dtype, |vb| RmsNorm::new(2, 1e-1, vb));
        check(&vars, &|| norm.forward(&x), "RmsNorm");
    }
}

/// The library's backward pass hands over the gradients of weights and biases.
#[test]
fn both_backward_passes_have_the_same_gradients() {
    let (vars, norm) = layer(DType::F64, |vb| BatchNorm::new(3, BatchNormConfig::torch(), vb));
    let x = Var::from_tensor(&inputs(&[4, 3, 2], DType::F64)).unwrap();
    let twice = norm.forward_t(&norm.forward_t(&x, true).unwrap(), true).unwrap();
    let loss = (twice * upstream(&[4, 3, 2], DType::F64)).unwrap().sum_all().unwrap();
    let (ours, theirs) = (crate::nn::backward(&loss).unwrap(), loss.backward().unwrap());
    let trained = vars.named().into_iter().filter(|(name, _)| !name.contains("running"));
    let mut compared = 0;
    for var in trained.map(|(_, var)| var).chain([x]) {
        let [a, b] = [&ours, &theirs].map(|store| numbers(store.get(&var).unwrap()));
        assert_close(&a, &b, 1e-13, "gradients");
        compared += 1;
    }
    assert_eq!(compared, 3);
}

#[test]
fn a_batch_without_variance_is_refused_or_centred() {
    let one = inputs(&[1, 3], DType::F32);
    let (vars, torch) = layer(DType::F32, |vb| BatchNorm::new(3, BatchNormConfig::torch(), vb));
    let before = statistics(&vars);
    let e = Error::from(torch.forward_t(&one, true).unwrap_err()).to_string();
    assert!(e.starts_with(
        "the number of values of a channel in a training batch of BatchNorm must be at least 2"
    ));
    assert!(e.contains("Trainer::last_batch") && e.ends_with("but is 1"), "{e}");
    assert_eq!(statistics(&vars), before, "a refused batch changes nothing");
    assert!(torch.forward_t(&one, false).is_ok());
    // Two positions of one row have a variance.
    assert!(torch.forward_t(&inputs(&[1, 3, 2], DType::F32), true).is_ok());
    assert_eq!(torch.forward_t(&inputs(&[0, 3], DType::F32), false).unwrap().dims(), [0, 3]);

    let (vars, keras) = layer(DType::F32, |vb| BatchNorm::new(3, BatchNormConfig::keras(), vb));
    let x = Var::from_tensor(&one).unwrap();
    let [y, dx, dweight, dbias] = pass(&vars, &x, |x| keras.forward_t(x, true));
    assert_close(&y, &[0.25, -1., 0.5], 1e-7, "the biases");
    assert_close(&[dx, dweight].concat(), &[0.; 6], 1e-7, "gradients");
    assert_close(&dbias, &numbers(&upstream(&[1, 3], DType::F64)), 1e-7, "gradients of the biases");
    let [mean, var] = statistics(&vars);
    assert_close(&mean, &numbers(&(one * 0.01).unwrap()), 1e-7, "mean");
    assert_close(&var, &[0.99; 3], 1e-7, "variance");
}

#[test]
fn re_estimation_takes_unbiased_variances_for_either_convention() {
    let rows: Vec<u32> = (0..8).collect();
    let parts: Vec<&[u32]> = rows.chunks(4).collect();
    let x = inputs(&[8, 3], DType::F64);
    let found = [BatchNormConfig::torch(), BatchNormConfig::keras()].map(|config| {
        let (vars, norm) = layer(DType::F64, |vb| BatchNorm::new(3, config, vb));
        let weights = vars.snapshot().unwrap();
        let network = crate::weights::batch_norm::TrainingNetwork::new(&vars, |part| {
            let part = Tensor::new(part, &Device::Cpu)?;
            Ok(norm.forward_t(&x.index_select(&part, 0)?, true)?)
        });
        let new = crate::weights::batch_norm::re_estimate_by(&network, None, &weights, &parts, 1).unwrap();
        assert!(!crate::weights::batch_norm::is_measuring());
        ["norm.running_mean", "norm.running_var"].map(|name| numbers(&new[name]))
    });
    let mean = x.mean_keepdim(0).unwrap();
    let var = (x.broadcast_sub(&mean).unwrap().sqr().unwrap().sum(0).unwrap() / 7.).unwrap();
    for [found_mean, found_var] in found {
        assert_close(&found_mean, &numbers(&mean), 1e-12, "mean");
        assert_close(&found_var, &numbers(&var), 1e-12, "variance");
    }
}

#[test]
fn bad_parameters_and_shapes_are_named() {
    let vb = || fresh(Seed::from(1), InitScheme::default(), DType::F32, &Device::Cpu).1;
    let (torch, keras) = (BatchNormConfig::torch(), BatchNormConfig::keras());
    for (config, expected) in [
        (torch.momentum(0.), "BatchNormConfig::momentum must be above 0 and at most 1"),
        (torch.momentum(1.5), "BatchNormConfig::momentum"),
        (keras.momentum(1.), "BatchNormConfig::momentum must be from 0 to less than 1"),
        (keras.momentum(f64::NAN), "BatchNormConfig::momentum"),
        (torch.eps(0.), "BatchNormConfig::eps must be positive and finite, but is 0"),
    ] {
        let e = Error::from(BatchNorm::new(3, config, vb()).unwrap_err()).to_string();
        assert!(e.contains(expected), "{e}");
    }
    assert!(torch.momentum(1.).check().is_ok() && keras.momentum(0.).check().is_ok());
    for e in [
        LayerNorm::new(3, 0., vb()).map(drop),
        RmsNorm::new(3, -1., vb()).map(drop),
        GroupNorm::new(2, 4, f64::NAN, vb()).map(drop),
    ] {
        let e = Error::from(e.unwrap_err()).to_string();
        assert!(e.contains("Norm must be positive and finite"), "{e}");
    }
    for (groups, channels) in [(3, 4), (0, 4), (2, 0)] {
        let e = Error::from(GroupNorm::new(groups, channels, 1e-5, vb()).unwrap_err()).to_string();
        assert!(e.contains("the number of groups of GroupNorm must be a divisor"), "{e}");
    }
    let wrong = inputs(&[2, 5], DType::F32);
    let vector = inputs(&[3], DType::F32);
    for outcome in [
        BatchNorm::new(3, torch, vb()).unwrap().forward_t(&wrong, true),
        BatchNorm::new(3, torch, vb()).unwrap().forward_t(&vector, false),
        LayerNorm::new(3, 1e-5, vb()).unwrap().forward(&wrong),
        RmsNorm::new(3, 1e-5, vb()).unwrap().forward(&wrong),
        GroupNorm::new(1, 3, 1e-5, vb()).unwrap().forward(&wrong),
    ] {
        let e = Error::from(outcome.unwrap_err()).to_string();
        assert!(e.starts_with("the shape of the inputs of "), "{e}");
    }
    // A single row is one row to layer normalization.
    assert_eq!(LayerNorm::new(3, 1e-5, vb()).unwrap().forward(&vector).unwrap().dims(), [3]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// The fused operation equals candle's operations, whose derivatives are candle's, for all kinds of sets,
    /// with measured and with given statistics.
    #[test]
    fn the_fused_operation_equals_tensor_operations(
        outer in 1usize..5, groups in 1usize..4, group in 1usize..4, inner in 1usize..40,
        per_channel: bool, center: bool, given: bool, affine: bool, seed in 0usize..1000,
    ) {
        let channels = groups * group;
        let dims = Dims { outer, channels, inner };
        let sets = if per_channel { Sets::Channels } else { Sets::Segments(group) };
        let n = dims.sets(sets);
        prop_assume!(dims.set_size(sets) > 1);
        let shape = [outer, channels, inner];
        let x = Var::from_tensor(&sequence(7, seed, 31, 12., &shape, DType::F64)).unwrap();
        let g = sequence(5, seed, 23, 9., &shape, DType::F64);
        let weight = Var::from_tensor(&sequence(3, seed, 17, 5., &[channels], DType::F64)).unwrap();
        let bias = Var::from_tensor(&sequence(2, seed, 19, 7., &[channels], DType::F64)).unwrap();
        let (weights, biases) = if affine { (Some(&*weight), Some(&*bias)) } else { (None, None) };
        let layer = Layer { dims, sets, eps: 1e-3, center, weight: weights, bias: biases, then: Then::Nothing };
        let statistics = || Measured {
            means: (0..n).map(|i| i as f64 / 8.).collect(),
            variances: (0..n).map(|i| 0.5 + i as f64).collect(),
        };
        let outcome = |tensors: bool| {
            let y = match (tensors, given) {
                (true, _) => layer.by_tensors(&x, given.then(statistics)).unwrap().0.reshape(&shape).unwrap(),
                (false, true) => layer.normalize_by(&x, statistics()).unwrap(),
                (false, false) => layer.normalize(&x).unwrap().0,
            };
            let gradients = (&y * &g).unwrap().sum_all().unwrap().backward().unwrap();
            let of = |var: &Var| gradients.get(var).map(numbers).unwrap_or_default();
            [numbers(&y), of(&x), of(&weight), of(&bias)]
        };
        let names = ["y", "dx", "dweight", "dbias"];
        for ((a, b), name) in outcome(false).iter().zip(&outcome(true)).zip(names) {
            assert_close(a, b, 1e-9, name);
        }
        if !given {
            let (a, b) = (layer.normalize(&x).unwrap().1, layer.by_tensors(&x, None).unwrap().1);
            assert_close(&a.means, &b.means, 1e-12, "means");
            assert_close(&a.variances, &b.variances, 1e-12, "variances");
        }
    }

    /// A shift of the inputs by far more than their spread changes the outputs by rounding only.
    #[test]
    fn variances_survive_large_means(shift in -1000i32..1000, rows in 2usize..50) {
        let (_, norm) = layer(DType::F32, |vb| BatchNorm::new(3, BatchNormConfig::torch(), vb));
        let x = inputs(&[rows, 3], DType::F32);
        let near = numbers(&norm.forward_t(&x, true).unwrap());
        let far = numbers(&norm.forward_t(&(x + f64::from(shift)).unwrap(), true).unwrap());
        assert_close(&far, &near, 2e-3, "shifted");
    }
}

/// Gradients of candle's own layers are missing: the reason why these exist.
#[test]
fn gradients_reach_what_is_before_the_layer() {
    let x = Var::from_tensor(&inputs(&[4, 3], DType::F32)).unwrap();
    let reached = |y: Tensor| y.sqr().unwrap().sum_all().unwrap().backward().map(|all| all.get(&x).is_some());
    let (_, vb) = fresh(Seed::from(1), InitScheme::default(), DType::F32, &Device::Cpu);
    assert!(reached(LayerNorm::new(3, 1e-5, vb.pp("a")).unwrap().forward(&x).unwrap()).unwrap());
    assert!(reached(RmsNorm::new(3, 1e-5, vb.pp("b")).unwrap().forward(&x).unwrap()).unwrap());
}

/// The layers of candle's constructors, with its variables.
#[test]
fn layer_norm_takes_candles_arguments() {
    let x = Tensor::new(&[[1f64, 3., 8.], [0., -1., 2.5]], &Device::Cpu).unwrap();
    for (remove_mean, affine) in [(true, true), (true, false), (false, true), (false, false)] {
        let config = candle_nn::LayerNormConfig { eps: 1e-3, remove_mean, affine };
        let (ours, vb) = fresh(1, Default::default(), DType::F64, &Device::Cpu);
        let a = layer_norm(3, config, vb.pp("norm")).unwrap();
        let (theirs, vb) = fresh(1, Default::default(), DType::F64, &Device::Cpu);
        let b = candle_nn::layer_norm(3, config, vb.pp("norm")).unwrap();
        let names = |vars: &crate::weights::Vars| vars.snapshot().unwrap().into_keys().collect::<Vec<_>>();
        assert_eq!(names(&ours), names(&theirs));
        assert_eq!((a.bias().is_some(), a.eps()), (affine, 1e-3));
        // Not contiguous, where candle's layer computes in the type of the inputs.
        let view = x.t().unwrap().contiguous().unwrap().t().unwrap();
        let (a, b) = (a.forward(&view).unwrap(), b.forward(&view).unwrap());
        let apart = (a - b).unwrap().abs().unwrap().max_all().unwrap().to_scalar::<f64>().unwrap();
        assert!(apart < 1e-12, "{remove_mean} {affine} {apart}");
    }
    assert!(layer_norm_no_bias(3, 1e-5, fresh(1, Default::default(), DType::F64, &Device::Cpu).1).is_ok());
    assert!(layer_norm(3, 0., fresh(1, Default::default(), DType::F64, &Device::Cpu).1).is_err());
}
