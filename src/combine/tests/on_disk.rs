//! Fits on disk are those in memory.
use super::random_members;
use crate::{
    combine::*,
    metrics::{Criterion, Custom, Metrics, RowLoss, Scored},
    predictions::HeldOutWriter,
    HeldOut, HeldOutFile, Seed,
};
use candle_core::{DType, Device, Tensor};
use proptest::prelude::*;
use rand::Rng;
use std::path::Path;

/// Members of different skill, with weights if `weighted`.
fn held_out(seed: u64, rows: usize, classes: bool, coverages: &[f64], weighted: bool) -> HeldOut {
    let all = random_members(Seed::from(seed), rows, classes, coverages);
    let mut rng = Seed::from(seed).child("weights").rng();
    match weighted {
        false => all,
        true => {
            let weights: Vec<f64> = all.rows().iter().map(|_| f64::from(rng.random_range(0..4u8))).collect();
            let count = weights.len();
            all.with_weights(&Tensor::from_vec(weights, count, &Device::Cpu).unwrap()).unwrap()
        }
    }
}

fn on_disk(path: &Path, held_out: &HeldOut, chunk_rows: usize) -> HeldOutFile {
    let mut writer = HeldOutWriter::create(path).unwrap().chunk_rows(chunk_rows);
    writer.push(held_out).unwrap();
    writer.finish().unwrap()
}

/// The weights and the objective by both ways: in memory on what the file holds, and on disk without memory for all of it.
fn both<C: Combiner<Fitted = Weighted>>(combiner: &C, file: HeldOutFile) -> [(Vec<f64>, Fit); 2] {
    let in_memory = combiner.fit(&file.load().unwrap()).unwrap();
    let on_disk = combiner.fit_on_disk(&file.with_memory(0)).unwrap();
    assert_eq!((on_disk.name(), on_disk.names()), (in_memory.name(), in_memory.names()));
    assert_eq!(on_disk.fitted_on(), in_memory.fitted_on());
    [in_memory, on_disk].map(|fitted| (fitted.weights().unwrap().to_vec(), fitted.fitted().unwrap().clone()))
}

fn agree<C: Combiner<Fitted = Weighted>>(combiner: &C, file: HeldOutFile, within: f64) {
    let [(one, fit), (other, other_fit)] = both(combiner, file);
    for (a, b) in one.iter().zip(&other) {
        assert!((a - b).abs() <= within, "{combiner:?}: {one:?} is not {other:?}");
    }
    assert!(
        (fit.objective - other_fit.objective).abs() <= 1e-6 * fit.objective.abs(),
        "{fit:?} {other_fit:?}"
    );
    assert_eq!(fit.gap.is_some(), other_fit.gap.is_some());
}

const COMPLETE: [f64; 5] = [1.; 5];
const PARTIAL: [f64; 5] = [0.3, 0.6, 0.5, 0.9, 0.7];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]
    #[test]
    fn weights_are_those_in_memory(
        seed in 0u64..1000, rows in 40usize..160, chunk_rows in 1usize..200, weighted: bool, classes: bool,
        partial: bool,
    ) {
        let folder = tempfile::tempdir().unwrap();
        let coverages = if partial { PARTIAL } else { COMPLETE };
        let all = held_out(seed, rows, classes, &coverages, weighted);
        let file = || on_disk(&folder.path().join("a"), &all, chunk_rows);
        agree(&InverseError::new().power(2.), file(), 1e-9);
        // The solver stops at a gap; near the minimum the weights are as far apart as the root of it.
        agree(&SimplexSquares::new(), file(), if partial { 1e-2 } else { 1e-3 });
        agree(&SimplexSquares::new().penalty(Penalty::Fixed(0.1)), file(), if partial { 1e-2 } else { 1e-3 });
        if classes {
            agree(&SimplexLogLoss::new(), file(), if partial { 1e-2 } else { 1e-3 });
            agree(&SimplexLogLoss::new().penalty(Penalty::Fixed(0.1)), file(), if partial { 1e-2 } else { 1e-3 });
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]
    /// Greedy choices are the same unless two are equal up to rounding, which random members are not.
    #[test]
    fn selections_are_those_in_memory(
        seed in 0u64..1000, rows in 40usize..160, chunk_rows in 1usize..200, weighted: bool, classes: bool,
        partial: bool,
    ) {
        let folder = tempfile::tempdir().unwrap();
        let coverages = if partial { PARTIAL } else { COMPLETE };
        let all = held_out(seed, rows, classes, &coverages, weighted);
        let file = || on_disk(&folder.path().join("a"), &all, chunk_rows);
        let losses: &[RowLoss] = match classes {
            true => &[RowLoss::LogLoss, RowLoss::Brier],
            false => &[RowLoss::Squared, RowLoss::Absolute],
        };
        for loss in losses {
            let selection = EnsembleSelection::new(12).criterion(*loss);
            agree(&selection, file(), 1e-12);
            agree(&selection.clone().start(2).replacement(false).budget(4.), file(), 1e-12);
            agree(&selection.bags(3, 0.6).seed(4), file(), 1e-12);
        }
        if classes {
            // Rows that are right with several members are ties, which rounding may break in another way where
            // predictions are missing.
            let [(_, one), (_, other)] = both(&EnsembleSelection::new(12).criterion(RowLoss::Error), file());
            prop_assert!((one.objective - other.objective).abs() < 3. / rows as f64);
        }
    }

    #[test]
    fn linear_stacks_are_those_in_memory(
        seed in 0u64..1000, rows in 60usize..200, chunk_rows in 1usize..250, weighted: bool, classes: bool,
        partial: bool,
    ) {
        use crate::combine::stack::{AffineModel, ElasticNet, Linear, MetaLearner, Ridge, Stack};
        fn agree<M: MetaLearner<Model = AffineModel>>(learner: M, file: &HeldOutFile) {
            let stack = Stack::new(learner);
            let (one, other) =
                (stack.fit(&file.load().unwrap()).unwrap(), stack.fit_on_disk(file).unwrap());
            assert_eq!((one.name(), one.columns(), one.fitted_on()), (other.name(), other.columns(), other.fitted_on()));
            let predictions = file.chunk(0).unwrap().predictions().clone();
            let [a, b] = [&one, &other].map(|fitted| {
                let predicted = fitted.combine(&predictions).unwrap().to_dtype(DType::F64).unwrap();
                predicted.flatten_all().unwrap().to_vec1::<f64>().unwrap()
            });
            a.iter().zip(&b).for_each(|(a, b)| assert!((a - b).abs() < 1e-5, "{stack:?}: {a} is not {b}"));
            let [one, other] = [&one, &other].map(|fitted| fitted.fitted().unwrap().objective);
            assert!((one - other).abs() < 1e-9 * (1. + one), "{one} is not {other}");
        }
        let folder = tempfile::tempdir().unwrap();
        let all = held_out(seed, rows, classes, if partial { &PARTIAL } else { &COMPLETE }, weighted);
        let path = folder.path().join("a");
        let file = on_disk(&path, &all, chunk_rows).with_memory(1 << 20);
        prop_assume!(file.rows() > 15);
        agree(Linear, &file);
        agree(Ridge::new(2.), &file);
        agree(ElasticNet::new(0.001, 0.5), &file);
        let error = Stack::new(Linear).fit_on_disk(&file.with_memory(1000)).unwrap_err().to_string();
        prop_assert!(error.contains("the moments of"), "{}", error);
    }
}

/// The joint distribution of the members is part of a stack, which then predicts from those that are there.
#[test]
fn a_stack_fitted_on_disk_predicts_with_members_missing() {
    use crate::combine::stack::{Linear, Stack};
    let folder = tempfile::tempdir().unwrap();
    let file = on_disk(&folder.path().join("a"), &held_out(11, 300, false, &COMPLETE, false), 70);
    let missing = held_out(12, 50, false, &PARTIAL, false);
    let one = Stack::new(Linear).fit(&file.load().unwrap()).unwrap().combine(missing.predictions()).unwrap();
    let other = Stack::new(Linear).fit_on_disk(&file).unwrap().combine(missing.predictions()).unwrap();
    let difference = (one - other).unwrap().abs().unwrap().max_all().unwrap().to_scalar::<f64>().unwrap();
    assert!(difference < 1e-6, "{difference}");
}

#[test]
fn any_criterion_is_fitted_in_memory() {
    let folder = tempfile::tempdir().unwrap();
    let file = on_disk(&folder.path().join("a"), &held_out(13, 90, true, &COMPLETE, true), 20);
    let plain = Custom::new("plain", |scored: &Scored<'_>| RowLoss::Brier.loss(scored));
    let selection = EnsembleSelection::new(5).criterion(plain);
    let want = selection.fit(&file.load().unwrap()).unwrap();
    let got = selection.fit_on_disk(&file).unwrap();
    assert_eq!(got.weights(), want.weights());
    let file = file.with_memory(0);
    assert!(selection.fit_on_disk(&file).unwrap_err().to_string().contains("EnsembleSelection"));
    let loss =
        file.loss_of(&want, &[0, 1, 2, 3, 4], &Custom::new("plain", |s: &Scored<'_>| RowLoss::Brier.loss(s)));
    assert!((loss.unwrap() - want.fitted().unwrap().objective).abs() < 1e-9);
    let error =
        EnsembleSelection::new(5).criterion(RowLoss::Squared).fit_on_disk(&file).unwrap_err().to_string();
    assert!(error.contains("a loss for classes"), "{error}");
}

/// One chunk is the case in memory, to the bit where the sums have the same order.
#[test]
fn the_log_loss_of_one_chunk_is_that_in_memory_to_the_bit() {
    let folder = tempfile::tempdir().unwrap();
    for coverages in [COMPLETE, PARTIAL] {
        let file = on_disk(&folder.path().join("a"), &held_out(3, 3000, true, &coverages, false), 5000);
        let [(one, fit), (other, other_fit)] = both(&SimplexLogLoss::new(), file);
        assert_eq!((one, fit.gap, fit.iterations), (other, other_fit.gap, other_fit.iterations));
    }
}

/// A slot that predicts no row gets the weight 0.
#[test]
fn a_slot_without_predictions_gets_no_weight() {
    let folder = tempfile::tempdir().unwrap();
    let coverages = [0.7, 0., 1., 0.8];
    for classes in [false, true] {
        let all = held_out(5, 200, classes, &coverages, false);
        let file = || on_disk(&folder.path().join("a"), &all, 64);
        agree(&InverseError::new(), file(), 1e-9);
        agree(&SimplexSquares::new(), file(), 1e-2);
        if classes {
            agree(&SimplexLogLoss::new(), file(), 1e-2);
        }
        let fitted = SimplexSquares::new().fit_on_disk(&file()).unwrap();
        assert_eq!(fitted.weights().unwrap()[1], 0.);
    }
}

#[test]
fn metrics_are_those_in_memory() {
    let folder = tempfile::tempdir().unwrap();
    for (classes, coverages) in [(true, COMPLETE), (false, PARTIAL), (true, PARTIAL)] {
        let all = held_out(7, 333, classes, &coverages, true);
        let file = on_disk(&folder.path().join("a"), &all, 50);
        let of = |metrics: Metrics| metrics.values().into_iter().map(|(_, value)| value).collect::<Vec<_>>();
        let want = of(file.load().unwrap().metrics(&Mean).unwrap());
        assert_eq!(of(file.metrics(&Mean).unwrap()), want);
    }
}

#[test]
fn other_rules_are_fitted_in_memory_or_refused() {
    let folder = tempfile::tempdir().unwrap();
    let all = held_out(9, 120, true, &COMPLETE, false);
    let file = on_disk(&folder.path().join("a"), &all, 50);
    assert_eq!(Mean.fit_on_disk(&file).unwrap(), Mean);
    for name in ["least-squares", "grid-search", "simplex-squares", "temperature"] {
        let rule = registry().parse(name).unwrap();
        let want = rule.fit(&file.load().unwrap()).unwrap();
        let got = rule.fit_on_disk(&file).unwrap();
        let rows = file.chunk(0).unwrap();
        let [want, got] = [want, got].map(|fitted| {
            fitted.combine(rows.predictions()).unwrap().flatten_all().unwrap().to_vec1::<f32>().unwrap()
        });
        want.iter().zip(&got).for_each(|(a, b)| assert!((a - b).abs() < 1e-4, "{name}"));
    }
    let file = file.with_memory(1000);
    let error = LeastSquares::new().fit_on_disk(&file).unwrap_err().to_string();
    assert!(error.contains("LeastSquares") && error.contains("at most 1000 bytes"), "{error}");
    let chosen = SimplexSquares::new().penalty(Penalty::chosen());
    assert!(chosen.fit_on_disk(&file).is_err());
    let error = KnoraE::new(7).fit_on_disk(&file).unwrap_err().to_string();
    assert!(error.contains("does not read the inputs"), "{error}");
}
