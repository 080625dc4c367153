//! Steps of the optimizer for the gradients of several batches: those of one large batch.
use crate::{
    common::{distance, normal, weights, CPU},
    resume::interrupt_everywhere_on,
};
use candle_core::{DType, Tensor};
use candle_ensemble::{
    data::{LastBatch, TensorDataset},
    nn::{self, Sequential},
    plan::{Schedule, Settings},
    strategy::MultiRun,
    train::{
        Averaging, Clip, Constraint, GreedyPretraining, Learner, Loss, LossScale, Monitor, Optimizer,
        Pretraining, RangeTest, Regularizer, Sgd, TrainConfig, Trainer,
    },
    Checkpoints, Member, Result, Session,
};
use candle_nn::{Init, VarBuilder};
use proptest::prelude::*;

/// Values with weights of their rows; some are 0.
fn data(seed: u64, rows: usize, weighted: bool, dtype: DType) -> TensorDataset {
    let x = normal(seed, rows, 3).to_dtype(dtype).unwrap();
    let y = (x.narrow(1, 0, 1).unwrap() * x.narrow(1, 1, 1).unwrap()).unwrap();
    let data = TensorDataset::regression(
        x,
        &y.to_dtype(if dtype == DType::F64 { dtype } else { DType::F32 }).unwrap(),
    );
    match weighted {
        true => data.unwrap().with_weights((0..rows).map(|row| (row * 7 % 5) as f32).collect()).unwrap(),
        false => data.unwrap(),
    }
}

fn mlp(vb: VarBuilder<'static>) -> candle_core::Result<Sequential> {
    let hidden = nn::seq().add(nn::linear(3, 5, vb.pp(0))?).add(nn::Activation::Tanh);
    Ok(hidden.add(nn::linear(5, 1, vb.pp(1))?))
}

fn trainer() -> Trainer<Sequential> {
    let trainer = Trainer::new(mlp).dtype(DType::F64).epochs(3).optimizer(Sgd::new(0.1).momentum(0.9));
    trainer.last_batch(LastBatch::Keep)
}

/// What goes by the steps of the optimizer.
fn full() -> Trainer<Sequential> {
    trainer()
        .schedule(Schedule::Cosine { to: 0.1 })
        .clip(Clip::Norm(0.3))
        .regularizer(Regularizer::l2(0.01))
        .constraint(Constraint::max_norm(1.5))
        .averaging(Averaging::ema(0.8))
        .monitor(Monitor::default().every(2))
}

fn one<L: Learner>(learner: &L, data: &TensorDataset) -> Result<Member> {
    Ok(Session::new(learner, data).fit(&MultiRun::new(1), 3)?.members()[0].clone())
}

/// The largest difference of weights.
fn difference_of_weights(a: &Member, b: &Member) -> f64 {
    a.weights.iter().map(|(name, of)| distance(of, &b.weights[name])).fold(0., f64::max)
}

/// The largest difference of weights, and of the figures of the curve that do not depend on the size of the batches.
fn difference(a: &Member, b: &Member) -> f64 {
    let mut most = difference_of_weights(a, b);
    assert_eq!(a.record.curve.len(), b.record.curve.len());
    for (a, b) in a.record.curve.iter().zip(&b.record.curve) {
        let mut figures = vec![(a.learning_rate, b.learning_rate), (a.train_metric, b.train_metric)];
        if let (Some(a), Some(b)) = (&a.monitors, &b.monitors) {
            for (a, b) in a.variables.iter().zip(&b.variables) {
                figures.extend([(a.gradient, b.gradient), (a.weight, b.weight), (a.update, b.update)]);
            }
        }
        most = figures.into_iter().fold(most, |most, (a, b)| most.max((a - b).abs()));
    }
    most
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// Batches of `size` rows, `batches` of which make a step, and batches of `size · batches` rows: the weights, the
    /// learning rate, and the norms of gradients and of updates are the same up to rounding, with weights of rows, with a
    /// smaller last batch, and with steps of fewer batches at the end of an epoch.
    #[test]
    fn a_step_is_that_of_one_large_batch(
        seed in 0u64..1000, rows in 5usize..40, size in 1usize..8, batches in 1usize..6, weighted: bool,
    ) {
        let data = data(seed, rows, weighted, DType::F64);
        let small = one(&full().batch_size(size).accumulate(batches), &data).unwrap();
        let large = one(&full().batch_size(size * batches), &data).unwrap();
        let difference = difference(&small, &large);
        prop_assert!(difference < 1e-11, "{}", difference);
    }
}

/// The other way round: a mean of the means of batches, or steps of single batches, are something else.
#[test]
fn the_large_batch_is_neither_the_mean_of_means_nor_single_steps() -> Result<()> {
    let data = data(3, 20, true, DType::F64);
    let large = one(&trainer().batch_size(20), &data)?;
    // 8, 8 and 4 rows, whose weights have other sums.
    assert!(difference(&one(&trainer().batch_size(8).accumulate(3), &data)?, &large) < 1e-13);
    assert!(difference(&one(&trainer().batch_size(8), &data)?, &large) > 1e-3);
    Ok(())
}

#[test]
fn one_batch_for_each_step_is_the_plain_training_to_the_bit() -> Result<()> {
    let data = data(3, 20, true, DType::F64);
    let plain = one(&full().batch_size(8), &data)?;
    assert!(weights(&one(&full().batch_size(8).accumulate(1), &data)?) == weights(&plain));
    let runs = MultiRun::new(1).settings([Settings::new().with("accumulate", 3)]);
    let set = Session::new(&full().batch_size(8), &data).fit(&runs, 3)?.members()[0].clone();
    assert!(weights(&set) == weights(&one(&full().batch_size(8).accumulate(3), &data)?));
    assert!(weights(&set) != weights(&plain));
    Ok(())
}

/// With a scaled loss, in single precision: the scale of all batches of a step is the same, and a step that is skipped
/// leaves out all of them.
#[test]
fn gradients_of_a_scaled_loss_are_accumulated() -> Result<()> {
    let of = |data: &TensorDataset, size: usize, batches: usize, scale: Option<f64>| {
        let trainer = Trainer::new(mlp).epochs(4).optimizer(Optimizer::sgd(0.1)).clip(Clip::Norm(1.));
        let trainer = trainer.batch_size(size).accumulate(batches).regularizer(Regularizer::l2(0.01));
        let scale =
            scale.map(|initial| LossScale::Dynamic { initial, growth: 2., backoff: 1e-3, every: 100 });
        match scale {
            Some(scale) => one(&trainer.loss_scale(scale), data),
            None => one(&trainer, data),
        }
    };
    let rows = data(5, 24, true, DType::F32);
    assert!(difference(&of(&rows, 4, 3, Some(1024.))?, &of(&rows, 12, 1, None)?) < 1e-5);
    // All rows are the same, so the gradients of small and large batches overflow at the same scales.
    let x = Tensor::full(2f32, (24, 3), &CPU)?;
    let rows = TensorDataset::regression(x, &Tensor::full(100f32, (24, 1), &CPU)?)?;
    let (small, large) = (of(&rows, 4, 3, Some(1e38))?, of(&rows, 12, 1, Some(1e38))?);
    assert!(difference(&small, &large) < 1e-4);
    assert!(difference(&small, &of(&rows, 12, 1, None)?) > 1e-2);
    Ok(())
}

/// Half precision: the mean of the gradients is computed in `f32`.
#[test]
fn gradients_in_half_precision_are_accumulated() -> Result<()> {
    let data = data(5, 24, false, DType::F16);
    let of = |size: usize, batches: usize| {
        let trainer = Trainer::new(mlp).dtype(DType::F16).epochs(3).optimizer(Optimizer::sgd(0.1));
        one(&trainer.batch_size(size).accumulate(batches).loss_scale(LossScale::Static(128.)), &data)
    };
    let difference = difference(&of(4, 6)?, &of(24, 1)?);
    assert!(difference < 4e-3, "{difference}");
    Ok(())
}

/// Mixed precision: the `f32` weights, the moments and the scale of the loss are in the checkpoints.
#[test]
fn half_precision_with_a_scaled_loss_resumes_to_the_bit() -> Result<()> {
    let data = data(5, 24, true, DType::F16);
    let trainer = Trainer::new(mlp).dtype(DType::F16).epochs(4).batch_size(4).accumulate(2);
    let trainer = trainer.optimizer(Optimizer::adam(1e-3));
    // The first scale is too large, so that some steps are skipped, and grows again.
    let scale = LossScale::Dynamic { initial: 1e8, growth: 2., backoff: 0.5, every: 2 };
    let trainer = trainer.loss_scale(scale);
    assert!(interrupt_everywhere_on(&data, &trainer, &MultiRun::new(2), Checkpoints::Epochs(1)) > 0);
    Ok(())
}

/// Steps of 10⁻⁴ from 1, where the spacing of `bf16` is 2⁻⁸: each by itself is rounded away, and they add up in the weights
/// in `f32`, also if the training is interrupted between them.
#[test]
fn steps_that_short_floats_round_away_add_up_over_interruptions() -> Result<()> {
    let naive = Tensor::new(1f32 - 1e-4, &CPU)?.to_dtype(DType::BF16)?.to_dtype(DType::F32)?;
    assert_eq!(naive.to_scalar::<f32>()?, 1.);
    let new = |vb: VarBuilder<'static>| {
        let weight = vb.get_with_hints(1, "weight", Init::Const(1.))?;
        Ok(nn::seq().add_fn(move |x| x.to_dtype(DType::BF16)?.broadcast_mul(&weight)))
    };
    let x = Tensor::ones((8, 1), DType::F32, &CPU)?;
    let data = TensorDataset::regression(&x, &x.zeros_like()?)?;
    let trainer = Trainer::new(new).dtype(DType::BF16).epochs(100).batch_size(2).accumulate(2);
    let trainer = trainer.loss(Loss::MeanAbsolute).optimizer(Optimizer::sgd(1e-4));
    let trained = one(&trainer, &data)?.weights["weight"].to_dtype(DType::F32)?.to_vec1::<f32>()?;
    // 1 − 2 · 100 · 10⁻⁴ = 0.98, to the nearest multiple of the spacing.
    assert_eq!(trained, [0.98046875]);
    let few = trainer.epochs(12);
    assert!(interrupt_everywhere_on(&data, &few, &MultiRun::new(1), Checkpoints::Epochs(5)) > 0);
    Ok(())
}

/// The reconstruction of inputs goes by the same steps.
#[test]
fn pretraining_accumulates_too() -> Result<()> {
    let data = data(7, 22, true, DType::F64);
    let of = |size: usize, batches: usize| {
        let layer = |vb| Ok(nn::seq().add(nn::linear(3, 3, vb)?).add(nn::Activation::Tanh));
        let mut config = TrainConfig::default();
        config.optimizer = Sgd::new(0.1).momentum(0.9).into();
        config.epochs = 2;
        config.accumulate = batches;
        config.schedule = Schedule::Linear { to: 0.1 }.into();
        let learner =
            GreedyPretraining::new(|vb| nn::linear(3, 1, vb)).hidden_layers(2, layer).config(config);
        one(&learner.batch_size(size).dtype(DType::F64).pretraining(Pretraining::autoencoder(3)), &data)
    };
    assert!(difference_of_weights(&of(4, 3)?, &of(12, 1)?) < 1e-11);
    Ok(())
}

/// A range test has a rate for each step of the optimizer.
#[test]
fn a_range_test_goes_by_steps() -> Result<()> {
    let data = data(3, 24, false, DType::F64);
    let test = RangeTest { from: 1e-4, to: 1e-1, steps: 9, ..RangeTest::default() };
    let small = test.run(&trainer().batch_size(4).accumulate(2), &data, 1)?;
    let large = test.run(&trainer().batch_size(8), &data, 1)?;
    assert_eq!(small.rates, large.rates);
    assert_eq!(small.losses.len(), 9);
    for (a, b) in small.losses.iter().zip(&large.losses) {
        assert!((a - b).abs() < 1e-12, "{a} {b}");
    }
    Ok(())
}

/// The mean over the rows of a batch of one row whose weight is 0 has no gradient, and does not count.
#[test]
fn batches_without_weight_do_not_count() -> Result<()> {
    let (x, y) = (normal(1, 4, 3).to_dtype(DType::F64)?, normal(2, 4, 1).to_dtype(DType::F64)?);
    let of = |weights: Vec<f32>| TensorDataset::regression(&x, &y)?.with_weights(weights);
    let shuffled = trainer().batch_size(1).accumulate(4);
    let large = trainer().batch_size(4);
    for weights in [vec![0., 1., 0., 2.], vec![0., 0., 0., 1.]] {
        let data = of(weights)?;
        assert!(difference(&one(&shuffled, &data)?, &one(&large, &data)?) < 1e-12);
    }
    Ok(())
}
