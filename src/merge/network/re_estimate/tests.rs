use crate::{
    data::TensorDataset,
    merge::{
        network::re_estimate::*,
        testing::{digits, mlp, resnet, split},
    },
    train::Trainer,
    weights::batch_norm::{bits, numbers, shortest},
    Seed,
};
use candle_core::{DType, Device, Module, ModuleT, Result as CandleResult, Tensor, Var};
use candle_nn::{batch_norm, conv2d_no_bias, linear, BatchNorm, BatchNormConfig, Conv2dConfig, VarBuilder};
use rand::Rng;

fn images(rows: usize, seed: u64) -> TensorDataset {
    let mut rng = Seed::from(seed).rng();
    let values: Vec<f32> =
        (0..rows * 2 * 9).map(|i| rng.random::<f32>() * 3. + 5. + (i / 9 % 2) as f32).collect();
    let x = Tensor::from_vec(values, (rows, 2, 3, 3), &Device::Cpu).unwrap();
    TensorDataset::regression(x, &Tensor::zeros(rows, DType::F32, &Device::Cpu).unwrap()).unwrap()
}

fn columns(rows: usize, seed: u64) -> TensorDataset {
    let all = images(rows, seed);
    let x = all.inputs().only().unwrap().narrow(2, 0, 1).unwrap().narrow(3, 0, 1).unwrap();
    let x = x.reshape((rows, 2)).unwrap();
    TensorDataset::regression(x, &Tensor::zeros(rows, DType::F32, &Device::Cpu).unwrap()).unwrap()
}

/// A network of one batch-norm layer.
fn batch_norm_only(config: BatchNormConfig) -> Trainer<BatchNorm> {
    Trainer::new(move |vb| batch_norm(2, config, vb.pp("norm")))
}

fn initial<L: Learner>(model: &Model<'_, L>) -> Weights {
    model.fresh().unwrap().0.snapshot().unwrap()
}

/// Mean and unbiased variance of each channel of `(B, C, …)`.
fn expected_statistics(x: &Tensor) -> Vec<(f64, f64)> {
    let x = x.to_dtype(DType::F64).unwrap().transpose(0, 1).unwrap().contiguous().unwrap();
    let x = x.flatten_from(1).unwrap().to_vec2::<f64>().unwrap();
    let one = |c: Vec<f64>| {
        let n = c.len() as f64;
        let mean = c.iter().sum::<f64>() / n;
        (mean, c.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / (n - 1.))
    };
    x.into_iter().map(one).collect()
}

fn check(found: &Weights, layer: &str, want: &[(f64, f64)]) {
    let [means, variances] =
        ["running_mean", "running_var"].map(|part| numbers(&found[&format!("{layer}.{part}")]).unwrap());
    assert_eq!(means.len(), want.len());
    for ((mean, variance), want) in means.iter().zip(&variances).zip(want) {
        assert!((mean - want.0).abs() < 1e-5 * want.0.abs().max(1.), "{mean} {want:?}");
        assert!((variance - want.1).abs() < 1e-5 * want.1.abs().max(1.), "{variance} {want:?}");
    }
}

#[test]
fn statistics_do_not_depend_on_the_momentum_or_the_batches() {
    for momentum in [0.1, 0.01, 0.001, 0.37, 0.9, 1.] {
        for (data, affine) in [(images(50, 1), true), (columns(50, 2), true), (columns(50, 3), false)] {
            let trainer = batch_norm_only(BatchNormConfig { momentum, affine, ..Default::default() });
            let want = expected_statistics(data.inputs().only().unwrap());
            for batch in [2, 7, 16, 49, 100] {
                let model = Model::new(&trainer).unwrap().batch_rows(batch);
                let rows: Vec<u32> = (0..50).collect();
                let found = re_estimate(&model, &initial(&model), &data, &rows).unwrap();
                check(&found, "norm", &want);
            }
        }
    }
}

#[test]
fn only_the_given_rows_count_and_old_statistics_do_not() {
    let data = images(40, 5);
    let trainer = batch_norm_only(BatchNormConfig::default());
    let model = Model::new(&trainer).unwrap().batch_rows(8);
    let rows = [3, 9, 9, 20, 21, 30, 31, 32, 33, 34, 35];
    let want = expected_statistics(data.inputs().select(&rows).unwrap().only().unwrap());
    let once = re_estimate(&model, &initial(&model), &data, &rows).unwrap();
    check(&once, "norm", &want);
    let mut wild = initial(&model);
    wild.insert("norm.running_mean".into(), Tensor::new(&[1e4f32, -1e4], &Device::Cpu).unwrap());
    check(&re_estimate(&model, &wild, &data, &rows).unwrap(), "norm", &want);
    // Statistics that equal those of the first batch already are found, too.
    let batch = re_estimate(&model, &initial(&model), &data, &rows[..8]).unwrap();
    check(&re_estimate(&model, &batch, &data, &rows).unwrap(), "norm", &want);
    for rows in [&[][..], &[1], &[1, 40]] {
        assert!(re_estimate(&model, &wild, &data, rows).is_err());
    }
}

#[test]
fn deeper_layers_are_measured_on_batch_normalized_inputs() {
    struct Net {
        conv: candle_nn::Conv2d,
        norms: [BatchNorm; 2],
    }
    impl ModuleT for Net {
        fn forward_t(&self, xs: &Tensor, train: bool) -> CandleResult<Tensor> {
            let [one, two] = &self.norms;
            two.forward_t(&self.conv.forward(&one.forward_t(xs, train)?)?, train)?.flatten_from(1)?.mean(1)
        }
    }
    let trainer = Trainer::new(|vb: VarBuilder<'_>| {
        let config = |momentum| BatchNormConfig { momentum, ..Default::default() };
        Ok(Net {
            conv: conv2d_no_bias(2, 3, 2, Conv2dConfig::default(), vb.pp("conv"))?,
            norms: [batch_norm(2, config(0.3), vb.pp("one"))?, batch_norm(3, config(0.05), vb.pp("two"))?],
        })
    });
    let data = images(60, 7);
    let model = Model::new(&trainer).unwrap().batch_rows(100);
    let weights = initial(&model);
    let rows: Vec<u32> = (0..60).collect();
    let found = re_estimate(&model, &weights, &data, &rows).unwrap();
    let x = data.inputs().only().unwrap();
    check(&found, "one", &expected_statistics(x));
    // In one batch: normalized by its own mean and population variance, then the convolution.
    let n = 60. * 9.;
    let (mean, variance): (Vec<f32>, Vec<f32>) = expected_statistics(x)
        .iter()
        .map(|(m, v)| (*m as f32, (v * (n - 1.) / n + 1e-5).sqrt() as f32))
        .unzip();
    let along = |v: Vec<f32>| Tensor::from_vec(v, (1, 2, 1, 1), &Device::Cpu).unwrap();
    let normal = x.broadcast_sub(&along(mean)).unwrap().broadcast_div(&along(variance)).unwrap();
    let inner = normal.conv2d(&weights["conv.weight"], 0, 1, 1, 1).unwrap();
    check(&found, "two", &expected_statistics(&inner));
    for name in ["conv.weight", "one.weight", "two.bias"] {
        assert_eq!(bits(&found[name]).unwrap(), bits(&weights[name]).unwrap(), "{name} is not a statistic");
    }
    // With small batches the statistics are nearly the same.
    let small = re_estimate(&model.clone().batch_rows(20), &weights, &data, &rows).unwrap();
    let [a, b] = [&found, &small].map(|w| numbers(&w["two.running_var"]).unwrap());
    assert!(a.iter().zip(&b).all(|(a, b)| (a / b - 1.).abs() < 0.05), "{a:?} {b:?}");
}

#[test]
fn a_network_without_statistics_is_unchanged() {
    let data = columns(10, 1);
    let trainer = mlp(&[2, 4, 1]);
    let model = Model::new(&trainer).unwrap();
    let weights = initial(&model);
    let found = re_estimate(&model, &weights, &data, &[0, 1, 2]).unwrap();
    for (name, tensor) in &weights {
        assert_eq!(bits(&found[name]).unwrap(), bits(tensor).unwrap());
    }
}

#[test]
fn layers_without_mean_removal_keep_the_second_moment() {
    let data = columns(31, 4);
    let trainer = batch_norm_only(BatchNormConfig { remove_mean: false, ..Default::default() });
    let model = Model::new(&trainer).unwrap().batch_rows(10);
    let rows: Vec<u32> = (0..31).collect();
    let found = re_estimate(&model, &initial(&model), &data, &rows).unwrap();
    let x = data.inputs().only().unwrap().to_dtype(DType::F64).unwrap().to_vec2::<f64>().unwrap();
    for (channel, got) in numbers(&found["norm.running_var"]).unwrap().iter().enumerate() {
        // Each batch gives Σx²/(n − 1); joined with n − 1, over all n − 1.
        let sum: f64 = x.iter().map(|row| row[channel].powi(2)).sum();
        assert!((got - sum / 30.).abs() < 1e-4, "{got} {}", sum / 30.);
    }
    assert_eq!(numbers(&found["norm.running_mean"]).unwrap(), [0., 0.]);
}

/// A layer with a running mean under another name than candle's; without momentum it counts instead.
struct CustomNorm {
    kept: Var,
    momentum: Option<f64>,
    layer: candle_nn::Linear,
}

impl ModuleT for CustomNorm {
    fn forward_t(&self, xs: &Tensor, train: bool) -> CandleResult<Tensor> {
        if train {
            let mean = xs.mean(0)?.detach();
            let next = match self.momentum {
                Some(momentum) => ((self.kept.as_tensor() * (1. - momentum))? + (mean * momentum)?)?,
                None => (self.kept.as_tensor().sqr()? + 1.)?,
            };
            self.kept.set(&next)?;
        }
        self.layer.forward(&xs.broadcast_sub(&self.kept.as_detached_tensor())?)
    }
}

fn custom_norm(momentum: Option<f64>) -> Trainer<CustomNorm> {
    Trainer::new(move |vb: VarBuilder<'_>| {
        let kept = Var::from_tensor(&vb.get_with_hints(2, "seen", candle_nn::Init::Const(0.))?)?;
        Ok(CustomNorm { kept, momentum, layer: linear(2, 1, vb.pp("layer"))? })
    })
}

#[test]
fn statistics_of_other_names_are_means_by_rows() {
    let data = columns(23, 6);
    let trainer = custom_norm(Some(0.2));
    let model = Model::new(&trainer).unwrap().batch_rows(5);
    let rows: Vec<u32> = (0..23).collect();
    let found = re_estimate(&model, &initial(&model), &data, &rows).unwrap();
    let want = expected_statistics(data.inputs().only().unwrap());
    for (got, (mean, _)) in numbers(&found["seen"]).unwrap().iter().zip(want) {
        assert!((got - mean).abs() < 1e-5, "{got} {mean}");
    }
}

#[test]
fn a_statistic_without_momentum_is_refused_by_name() {
    let data = columns(10, 6);
    let trainer = custom_norm(None);
    let model = Model::new(&trainer).unwrap();
    let e = re_estimate(&model, &initial(&model), &data, &[0, 1, 2]).unwrap_err().to_string();
    assert!(e.contains("seen") && e.contains("running mean"), "{e}");
}

#[test]
fn what_is_not_finite_is_named() {
    let data = columns(10, 6);
    let huge = (data.inputs().only().unwrap() * 1e37).unwrap();
    let huge = TensorDataset::regression(huge, data.targets()).unwrap();
    let trainer = batch_norm_only(BatchNormConfig::default());
    let model = Model::new(&trainer).unwrap();
    let rows: Vec<u32> = (0..10).collect();
    let e = re_estimate(&model, &initial(&model), &huge, &rows).unwrap_err().to_string();
    let inputs = "(the layer's inputs are NaN, infinite, or too large for their type)";
    assert!(
        e.starts_with(&format!("`norm.running_mean`[0] over the rows must be finite {inputs}, but is")),
        "{e}"
    );

    // A weight before the layer, rather than the statistics of what it makes.
    let trainer = Trainer::new(|vb: VarBuilder<'_>| {
        let (first, norm) = (linear(2, 2, vb.pp("first"))?, batch_norm(2, 1e-5, vb.pp("norm"))?);
        Ok(candle_nn::func_t(move |xs, train| norm.forward_t(&first.forward(xs)?, train)))
    });
    let model = Model::new(&trainer).unwrap();
    let mut weights = initial(&model);
    let weight = Tensor::new(&[[1f32, 2.], [f32::NAN, 4.]], &Device::Cpu).unwrap();
    weights.insert("first.weight".into(), weight);
    let e = re_estimate(&model, &weights, &data, &rows).unwrap_err().to_string();
    assert!(e.starts_with("`first.weight`[1, 0] must be finite for the statistics of batch norm"), "{e}");

    let e = re_estimate(&model, &initial(&model), &data, &[3]).unwrap_err().to_string();
    assert_eq!(
        e,
        "the number of rows to re-estimate batch-norm's statistics over must be at least 2, but is 1"
    );
}

#[test]
fn a_trained_residual_network_hardly_changes() {
    let data = digits(true);
    let (seen, held_out) = split();
    let networks = crate::merge::testing::trained(resnet(&[(6, 1), (8, 2)]), 3, 1, 3, &data);
    let trainer = resnet(&[(6, 1), (8, 2)]);
    let model = Model::new(&trainer).unwrap();
    let found = re_estimate(&model, &networks[0], &data, &seen).unwrap();
    let before = model.loss(&networks[0], &data, &held_out).unwrap();
    let after = model.loss(&found, &data, &held_out).unwrap();
    assert!(after < before + 0.05, "{before} {after}");
    assert!(numbers(&found["stem.norm.running_var"]).unwrap().iter().all(|x| *x > 0.));
    let stem = data.inputs().select(&seen).unwrap();
    let stem = stem.only().unwrap().conv2d(&networks[0]["stem.conv.weight"], 1, 1, 1, 1).unwrap();
    check(&found, "stem.norm", &expected_statistics(&stem));
}

#[test]
fn the_shortest_number_is_the_one_written_in_the_source() {
    for m in [0.1, 0.01, 0.05, 0.3, 0.001, 1., 0.0125] {
        let kept = f64::from((1. - m) as f32);
        assert_eq!(shortest(1. - kept, f64::from(f32::EPSILON)), m);
    }
}
