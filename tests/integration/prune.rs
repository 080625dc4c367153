//! Pruned pools, pruned ensembles, and pruning as a part of a combiner.
use crate::common::{bits, distance, CPU};
use candle_core::Tensor;
use candle_ensemble::{
    combine::{EnsembleSelection, FittedCombiner, Mean, Weighted},
    data::TensorDataset,
    metrics::RowLoss,
    prune::{Ordered, Pruned},
    strategy::MultiRun,
    train::Trainer,
    Ensemble, Session,
};
use candle_nn::Linear;

/// Inputs of three classes in order, with their data set and a trainer of linear networks.
fn three_classes() -> (Tensor, TensorDataset, Trainer<Linear>) {
    let x = Tensor::arange(0f32, 240., &CPU).unwrap().affine(0.01, -1.2).unwrap().reshape((120, 2)).unwrap();
    let y = Tensor::from_iter((0..120u32).map(|i| i / 40), &CPU).unwrap();
    let data = TensorDataset::classification(x.clone(), &y).unwrap();
    let trainer = Trainer::new(|vb| candle_nn::linear(2, 3, vb)).epochs(3);
    (x, data, trainer)
}

#[test]
fn a_pruned_ensemble_gives_the_same_predictions_from_a_smaller_file() {
    let (x, data, trainer) = three_classes();
    let session = Session::new(&trainer, &data).reserve(0.4);
    let pool = session.fit(&MultiRun::new(8), 42).unwrap();

    let whole = pool.combine(&EnsembleSelection::new(6).criterion(RowLoss::LogLoss)).unwrap();
    let used = whole.fitted().used();
    assert!((1..8).contains(&used.len()), "{used:?}");
    let (predicted, bytes) = (bits(&whole.predict_proba(&x).unwrap()), whole.to_bytes().unwrap().len());
    let pruned = whole.pruned();
    assert_eq!(pruned.members().len(), used.len());
    assert_eq!(pruned.fitted().weights().unwrap().len(), used.len());
    assert_eq!(bits(&pruned.predict_proba(&x).unwrap()), predicted);
    let smaller = pruned.to_bytes().unwrap();
    let most = bytes * (used.len() + 2) / 8;
    assert!(smaller.len() < most, "{} of {bytes}, {} of 8", smaller.len(), used.len());
    let loaded = Ensemble::<_, Weighted>::from_bytes(&smaller, &trainer, &CPU).unwrap();
    assert_eq!(bits(&loaded.predict_proba(&x).unwrap()), predicted);
}

#[test]
fn a_pruned_pool_predicts_as_a_combiner_that_prunes() {
    let (x, data, trainer) = three_classes();
    let session = Session::new(&trainer, &data).reserve(0.4);
    let pool = session.fit(&MultiRun::new(8), 42).unwrap();

    let keep = Ordered::reduce_error().members(3);
    let combined = pool.combine(&Pruned::new(keep.clone(), Mean)).unwrap();
    assert_eq!(combined.fitted().kept().len(), 3);
    let small = pool.prune(&keep).unwrap().combine(&Mean).unwrap();
    assert_eq!(small.members().len(), 3);
    assert!(distance(&small.predict_proba(&x).unwrap(), &combined.predict_proba(&x).unwrap()) < 1e-6);
}
