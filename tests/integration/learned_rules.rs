//! Properties of every combiner that learns, on kinds of held-out predictions that are difficult for some of
//! them. A new combiner is one line in `rules`; a new kind of predictions is one in `cases`.
use crate::common::{bits, blobs, flat, normal, CPU};
use candle_core::{DType, Tensor};
use candle_ensemble::{
    combine::*,
    data::{Task, TensorDataset},
    metrics::RowLoss,
    prune::{Ordered, Pruned},
    strategy::{Bagging, MultiRun},
    train::{Optimizer, Trainer},
    Error, HeldOut, Pool, Result, Seed, Session,
};
use candle_nn::{linear, Linear, VarBuilder};
use rand::Rng;
use rand_distr::StandardNormal;
use serde::{de::DeserializeOwned, Serialize};

/// The tasks that a combiner supports.
#[derive(Clone, Copy, PartialEq, Eq)]
enum For {
    All,
    Classes,
}

struct Entry {
    name: &'static str,
    tasks: For,
    rule: Box<dyn AnyRule>,
}

fn entry<C: Combiner + 'static>(name: &'static str, tasks: For, rule: C) -> Entry
where
    C::Fitted: Serialize + DeserializeOwned + 'static,
{
    Entry { name, tasks, rule: Box::new(rule) }
}

/// The combiners that learn.
fn rules() -> Vec<Entry> {
    let chosen = Penalty::chosen().seed(1);
    let careful = Penalty::CrossValidated { folds: 3, seed: Some(Seed::from(2)), one_standard_error: true };
    let evolution = || DifferentialEvolution::new().seed(1).max_generations(10);
    vec![
        entry("inverse error", For::All, InverseError::new()),
        entry(
            "inverse Brier score, squared",
            For::Classes,
            InverseError::new().loss(RowLoss::Brier).power(2.),
        ),
        entry("simplex squares", For::All, SimplexSquares::new()),
        entry("simplex squares, fixed", For::All, SimplexSquares::new().penalty(Penalty::Fixed(0.1))),
        entry("simplex squares, chosen", For::All, SimplexSquares::new().penalty(chosen)),
        entry("simplex log-loss", For::Classes, SimplexLogLoss::new()),
        entry("simplex log-loss, fixed", For::Classes, SimplexLogLoss::new().penalty(Penalty::Fixed(0.1))),
        entry("simplex log-loss, careful", For::Classes, SimplexLogLoss::new().penalty(careful)),
        entry("least squares", For::All, LeastSquares::new()),
        entry("ridge", For::All, LeastSquares::ridge(Penalty::Fixed(0.01))),
        entry("ridge, chosen", For::All, LeastSquares::ridge(chosen)),
        entry("grid search", For::All, GridSearch::new().steps(3)),
        entry(
            "grid search by log-loss",
            For::Classes,
            GridSearch::new().steps(3).criterion(RowLoss::LogLoss),
        ),
        entry("differential evolution", For::All, evolution()),
        entry("differential evolution by Brier", For::Classes, evolution().criterion(RowLoss::Brier)),
        entry("per class", For::All, PerClass),
        entry("pseudo-BMA", For::All, PseudoBma::new()),
        entry("pseudo-BMA+", For::All, PseudoBma::bootstrap(50).seed(3)),
        entry("predictive stacking", For::All, PredictiveStacking),
        entry("model combination", For::All, ModelCombination::new().seed(4).draws(60)),
        entry("KNORA-E", For::Classes, KnoraE::new(7)),
        entry("KNORA-E by outputs, soft", For::Classes, KnoraE::new(3).space(Space::Outputs).soft(true)),
        entry("KNORA-U", For::Classes, KnoraU::new(7)),
        entry("META-DES", For::Classes, MetaDes::new(7)),
        entry("META-DES by outputs, soft", For::Classes, MetaDes::new(3).space(Space::Outputs).soft(true)),
        entry("gating", For::All, Gating::new().hidden(3).max_epochs(3)),
        entry("gating without inputs, linear", For::All, Gating::new().hidden(0).inputs(false).epochs(2)),
        entry("ensemble selection", For::All, EnsembleSelection::new(10)),
        entry("bagged selection by error", For::Classes, {
            EnsembleSelection::new(5).criterion(RowLoss::Error).start(1).bags(3, 0.6)
        }),
        entry("temperature", For::Classes, Mean.calibrated(Calibration::Temperature)),
        entry("vector scaling", For::Classes, Mean.calibrated(Calibration::Vector)),
        entry("isotonic", For::Classes, Mean.calibrated(Calibration::Isotonic)),
        entry("shares of calibrated members", For::Classes, {
            SimplexLogLoss::new().on_calibrated(Calibration::Temperature)
        }),
        entry("shares after pruning", For::All, Pruned::new(Ordered::reduce_error(), SimplexSquares::new())),
        entry("linear stack", For::All, Stack::new(stack::Linear)),
        entry("ridge stack", For::All, Stack::new(stack::Ridge::cross_validated(3))),
        entry("elastic-net stack", For::All, Stack::new(stack::ElasticNet::new(0.01, 0.5))),
        entry(
            "layers",
            For::All,
            MultiLayerStack::new((Stack::new(stack::Ridge::new(1.)), Median), SimplexSquares::new()),
        ),
    ]
}

/// A combiner, whatever the type of its fitted combiner.
trait AnyRule {
    fn fit(&self, held_out: &HeldOut) -> Result<Box<dyn AnyFitted>>;
    fn fit_pool(&self, pool: Pool<'_, Trainer<Linear>>) -> Result<()>;
    fn judge(&self, held_out: &HeldOut) -> Result<CombinerReport>;
}

impl<C: Combiner> AnyRule for C
where
    C::Fitted: Serialize + DeserializeOwned + 'static,
{
    fn fit(&self, held_out: &HeldOut) -> Result<Box<dyn AnyFitted>> {
        Ok(Box::new(Combiner::fit(self, held_out)?))
    }

    fn fit_pool(&self, pool: Pool<'_, Trainer<Linear>>) -> Result<()> {
        pool.combine(self).map(drop)
    }

    fn judge(&self, held_out: &HeldOut) -> Result<CombinerReport> {
        held_out.judge(self)
    }
}

/// A fitted combiner that can be written and read.
trait AnyFitted: FittedCombiner {
    fn written(&self) -> String;
    fn read(&self, text: &str) -> Box<dyn AnyFitted>;
}

impl<H: FittedCombiner + Serialize + DeserializeOwned + 'static> AnyFitted for H {
    fn written(&self) -> String {
        serde_json::to_string(self).unwrap()
    }

    fn read(&self, text: &str) -> Box<dyn AnyFitted> {
        Box::new(serde_json::from_str::<H>(text).unwrap())
    }
}

struct Case {
    name: &'static str,
    held_out: HeldOut,
    /// Whether there are enough rows for every combiner.
    enough: bool,
}

const ROWS: usize = 48;

/// Predictions of `classes` classes, of which the first `seen` occur, better than chance.
fn classes(seed: u64, slots: usize, rows: usize, seen: u32, classes: usize) -> (Vec<f64>, Vec<u32>) {
    let mut rng = Seed::from(seed).rng();
    let labels: Vec<u32> = (0..rows as u32).map(|row| row * 7 % seen).collect();
    let mut all = vec![];
    for slot in 0..slots {
        for label in &labels {
            let skill = 1. + slot as f64 / 4.;
            let raw: Vec<f64> = (0..classes as u32)
                .map(|c| {
                    let noise: f64 = rng.sample(StandardNormal);
                    (skill * f64::from(u8::from(c == *label)) + noise).exp()
                })
                .collect();
            let total: f64 = raw.iter().sum();
            all.extend(raw.iter().map(|x| x / total));
        }
    }
    (all, labels)
}

fn held_out(predictions: Predictions, targets: &Tensor) -> HeldOut {
    let all = HeldOut::from_predictions(&predictions, targets).unwrap();
    let names = (0..all.predictions().slots()).map(|s| format!("net {s}")).collect();
    let inputs = normal(9, all.rows().len(), 3);
    all.with_names(names).unwrap().with_inputs(&inputs).unwrap()
}

fn of_classes(all: Vec<f64>, labels: &[u32], classes: usize) -> HeldOut {
    let slots = all.len() / labels.len() / classes;
    let predicted = Tensor::from_vec(all, (slots, labels.len(), classes), &CPU).unwrap();
    let predictions =
        Predictions::new(predicted.to_dtype(DType::F32).unwrap(), Task::Classification { classes }).unwrap();
    held_out(predictions, &Tensor::new(labels, &CPU).unwrap())
}

fn values(seed: u64, slots: usize, rows: usize, outputs: usize) -> (Vec<f64>, Vec<f64>) {
    let mut rng = Seed::from(seed).rng();
    let truth: Vec<f64> = (0..rows * outputs).map(|_| 3. * rng.sample::<f64, _>(StandardNormal)).collect();
    let mut all = vec![];
    for slot in 0..slots {
        let noise = 0.5 + slot as f64 / 4.;
        all.extend(truth.iter().map(|y| y + 0.2 + noise * rng.sample::<f64, _>(StandardNormal)));
    }
    (all, truth)
}

fn of_values(all: Vec<f64>, truth: Vec<f64>, outputs: usize) -> HeldOut {
    let (rows, slots) = (truth.len() / outputs, all.len() / truth.len());
    let predicted = Tensor::from_vec(all, (slots, rows, outputs), &CPU).unwrap();
    let predictions = Predictions::new(predicted, Task::Regression { outputs }).unwrap();
    held_out(predictions, &Tensor::from_vec(truth, (rows, outputs), &CPU).unwrap())
}

/// The same, without the predictions of each slot for a third of the rows, and of the last slot for all rows
/// but three.
fn partial(full: &HeldOut) -> HeldOut {
    let (slots, rows, width) = full.predictions().values().dims3().unwrap();
    let silent = |s: usize, i: usize| (i + s).is_multiple_of(3) || (s == slots - 1 && i > 2);
    let cells = (0..slots).flat_map(|s| (0..rows).map(move |i| (s, i)));
    let covered =
        Tensor::from_iter(cells.clone().map(|(s, i)| f32::from(u8::from(!silent(s, i)))), &CPU).unwrap();
    let mut all = flat(full.predictions().values());
    for (at, (s, i)) in cells.enumerate() {
        if silent(s, i) {
            all[at * width..(at + 1) * width].fill(f64::NAN);
        }
    }
    let values = Tensor::from_vec(all, (slots, rows, width), &CPU).unwrap();
    let values = values.to_dtype(full.predictions().values().dtype()).unwrap();
    let covered = covered.reshape((slots, rows)).unwrap();
    held_out(Predictions::partial(values, covered, full.predictions().task()).unwrap(), full.targets())
}

/// The same with weights of rows, some of them zero.
fn weighted(full: HeldOut) -> HeldOut {
    let weights = (0..full.rows().len()).map(|i| (i % 4) as f32);
    full.with_weights(&Tensor::from_iter(weights, &CPU).unwrap()).unwrap()
}

/// The same with the predictions of slot 0 changed.
fn first_slot(full: &HeldOut, change: impl Fn(usize, &mut [f64])) -> HeldOut {
    let (slots, rows, width) = full.predictions().values().dims3().unwrap();
    let mut all = flat(full.predictions().values());
    all[..rows * width]
        .chunks_exact_mut(width)
        .enumerate()
        .for_each(|(row, predicted)| change(row, predicted));
    let values = Tensor::from_vec(all, (slots, rows, width), &CPU).unwrap();
    let values = values.to_dtype(full.predictions().values().dtype()).unwrap();
    held_out(Predictions::new(values, full.predictions().task()).unwrap(), full.targets())
}

fn cases() -> Vec<Case> {
    let of = |slots, rows, seen, width| {
        let (all, labels) = classes(1, slots, rows, seen, width);
        of_classes(all, &labels, width)
    };
    let (three, line) = (of(4, ROWS, 3, 3), |slots, rows, outputs| {
        let (all, truth) = values(2, slots, rows, outputs);
        of_values(all, truth, outputs)
    });
    let certain = |hits: bool| {
        let labels: Vec<u32> = three.targets().to_vec1().unwrap();
        let say = |row: usize, predicted: &mut [f64]| {
            let class = if hits || row.is_multiple_of(2) { labels[row] } else { (labels[row] + 1) % 3 };
            predicted.fill(0.);
            predicted[class as usize] = 1.;
        };
        first_slot(&three, say)
    };
    // All members are certain, and none is right.
    let wrong: Vec<f64> = (0..3 * ROWS as u32)
        .flat_map(|at| {
            let label = at % ROWS as u32 * 7 % 3;
            (0..3).map(move |c| f64::from(u8::from(c == (label + 1) % 3)))
        })
        .collect();
    let labels: Vec<u32> = three.targets().to_vec1().unwrap();
    let two_outputs = line(4, ROWS, 2);
    let truth = flat(two_outputs.targets());
    let groups: Vec<u32> = (0..ROWS as u32).map(|row| row / 4).collect();
    let case = |name, held_out| Case { name, held_out, enough: true };
    let few = |name, held_out| Case { name, held_out, enough: false };
    vec![
        case("three classes", three.clone()),
        case("two classes", of(4, ROWS, 2, 2)),
        case("ten classes", of(4, 2 * ROWS, 10, 10)),
        case("partial coverage", partial(&three)),
        case("one member", of(1, ROWS, 3, 3)),
        case("duplicate members", three.select_slots(&[0, 1, 1, 0, 0]).unwrap()),
        case("nothing but duplicates", three.select_slots(&[2, 2, 2]).unwrap()),
        case(
            "a constant member",
            first_slot(&three, |_, predicted| predicted.copy_from_slice(&[0.5, 0.25, 0.25])),
        ),
        case("a member that is certain", certain(false)),
        case("a member that knows", certain(true)),
        case("all certain and wrong", of_classes(wrong, &labels, 3)),
        case("classes that no row has", of(4, ROWS, 2, 5)),
        case("one class", of(4, ROWS, 1, 3)),
        case("weights of rows", weighted(three.clone())),
        case("weights and partial coverage", weighted(partial(&three))),
        case("groups", three.clone().with_groups(groups).unwrap()),
        few("two rows", of(4, 2, 2, 3)),
        few("one row", of(4, 1, 1, 3)),
        case("values", line(4, ROWS, 1)),
        case("two outputs", two_outputs.clone()),
        case("values, partial coverage", partial(&two_outputs)),
        case("values, one member", line(1, ROWS, 2)),
        case("values, duplicate members", two_outputs.select_slots(&[0, 1, 1, 0, 0]).unwrap()),
        case("values, nothing but duplicates", two_outputs.select_slots(&[2, 2, 2]).unwrap()),
        case("values, a constant member", first_slot(&two_outputs, |_, predicted| predicted.fill(1.5))),
        case(
            "values, a member that always predicts 0",
            first_slot(&two_outputs, |_, predicted| predicted.fill(0.)),
        ),
        case(
            "values, a member that knows",
            first_slot(&two_outputs, |row, predicted| {
                predicted.copy_from_slice(&truth[2 * row..2 * row + 2])
            }),
        ),
        case("values, weights of rows", weighted(two_outputs.clone())),
        few("values, two rows", line(4, 2, 2)),
        few("values, one row", line(4, 1, 2)),
    ]
}

/// Calls `check` with each combiner on each case that it supports.
fn for_each(check: impl Fn(&str, &Entry, &Case)) {
    let rules = rules();
    for case in cases() {
        let values = matches!(case.held_out.predictions().task(), Task::Regression { .. });
        for rule in rules.iter().filter(|rule| !values || rule.tasks == For::All) {
            check(&format!("{} on {}", rule.name, case.name), rule, &case);
        }
    }
}

/// The fitted combiner; `None` where it refuses too few rows with a clear error.
fn fitted(name: &str, rule: &Entry, case: &Case) -> Option<Box<dyn AnyFitted>> {
    match rule.rule.fit(&case.held_out) {
        Ok(head) => Some(head),
        Err(Error::HeldOut { .. } | Error::Invalid { .. }) if !case.enough => None,
        Err(e) => panic!("{name}: {e}"),
    }
}

#[test]
fn combined_predictions_are_probabilities_or_values() {
    for_each(|name, rule, case| {
        let Some(head) = fitted(name, rule, case) else { return };
        for predictions in
            [case.held_out.predictions().clone(), case.held_out.predictions().fill_missing().unwrap()]
        {
            let predicted = head.combine(&predictions).unwrap_or_else(|e| panic!("{name}: {e}"));
            let width = predictions.task().width();
            assert_eq!(predicted.dims(), [predictions.rows(), width], "{name}");
            let predicted = flat(&predicted);
            assert!(predicted.iter().all(|x| x.is_finite()), "{name}: {predicted:?}");
            if let Task::Classification { .. } = predictions.task() {
                for row in predicted.chunks_exact(width) {
                    assert!(row.iter().all(|p| (0. ..=1. + 1e-6).contains(p)), "{name}: {row:?}");
                    assert!((row.iter().sum::<f64>() - 1.).abs() < 1e-5, "{name}: {row:?}");
                }
            }
        }
        if let Some(weights) = head.weights() {
            assert_eq!(weights.len(), case.held_out.predictions().slots(), "{name}");
            assert!(weights.iter().all(|w| w.is_finite()), "{name}: {weights:?}");
        }
    });
}

#[test]
fn a_fitted_combiner_is_read_back_equal() {
    for_each(|name, rule, case| {
        let Some(head) = fitted(name, rule, case) else { return };
        let text = head.written();
        let back = head.read(&text);
        assert_eq!(back.written(), text, "{name}");
        assert_eq!(back.name(), head.name(), "{name}");
        let predicted = |head: &dyn AnyFitted| bits(&head.combine(case.held_out.predictions()).unwrap());
        assert_eq!(predicted(&*back), predicted(&*head), "{name}");
    });
}

#[test]
fn fitting_again_or_on_one_thread_gives_the_same() {
    let one = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
    let rules = |check: &(dyn Fn(&str, &Entry, &Case) + Sync)| for_each(check);
    rules(&|name, rule, case| {
        let Some(head) = fitted(name, rule, case) else { return };
        assert_eq!(fitted(name, rule, case).unwrap().written(), head.written(), "{name}");
    });
    let texts = || {
        let texts = std::cell::RefCell::new(vec![]);
        for_each(|name, rule, case| {
            let written = fitted(name, rule, case).map(|head| head.written());
            texts.borrow_mut().push((name.to_string(), written));
        });
        texts.into_inner()
    };
    let wide = texts();
    for (narrow, wide) in one.install(texts).iter().zip(&wide) {
        assert_eq!(narrow, wide);
    }
}

/// What the last line of a report must say of this gain.
fn verdict(low: f64, high: f64) -> &'static str {
    match (low > 0., high < 0.) {
        (true, _) => ": better than the mean (gain",
        (_, true) => ": worse than the mean (gain",
        _ => ": not better than the mean: these rows show no difference (gain",
    }
}

#[test]
fn a_report_has_names_weights_intervals_and_a_verdict() {
    let seen = std::cell::RefCell::new(std::collections::BTreeMap::<&str, usize>::new());
    for_each(|name, rule, case| {
        if !case.enough {
            return;
        }
        let report = rule.rule.judge(&case.held_out).unwrap_or_else(|e| panic!("{name}: {e}"));
        let best = report.best_single.as_ref().unwrap_or_else(|| panic!("{name}: no best single slot"));
        for score in [&report.score, &best.score, &report.mean] {
            let loss = &score.loss;
            assert!(loss.estimate.is_finite(), "{name}: {loss:?}");
            assert!(loss.low <= loss.high + 1e-9, "{name}: {loss:?}");
        }
        let weights = case.held_out.weights().map(flat);
        let rows = weights.map_or(case.held_out.rows().len(), |w| w.iter().filter(|w| **w > 0.).count());
        assert_eq!(report.rows, rows, "{name}");
        assert!((1..=rows).contains(&best.rows), "{name}");
        assert!(best.rows == rows || case.held_out.predictions().covered().is_some(), "{name}");
        if let Some(weights) = &report.weights {
            let names: Vec<&String> = weights.iter().map(|(name, _)| name).collect();
            assert_eq!(names, case.held_out.names().iter().collect::<Vec<_>>(), "{name}");
        }
        assert!(case.held_out.names().contains(&best.name), "{name}");
        // The gain is the difference of the losses in the table, and the verdict follows from its interval.
        let (gain, apart) = (report.gain, report.mean.loss.estimate - report.score.loss.estimate);
        let size = report.mean.loss.estimate.abs() + report.score.loss.estimate.abs();
        assert!((gain.estimate - apart).abs() <= 1e-9 * size, "{name}: {gain:?} {apart}");
        assert!(gain.low <= gain.high, "{name}: {gain:?}");
        let text = report.to_string();
        let expected = verdict(gain.low, gain.high);
        let last = text.lines().last().unwrap();
        assert!(last.starts_with(&report.combiner) && last.contains(expected), "{name}: {text}");
        assert_eq!(report.better_than_mean(), expected.starts_with(": better"), "{name}: {text}");
        *seen.borrow_mut().entry(expected).or_default() += 1;
    });
    // Each verdict occurs, so that each was checked.
    assert_eq!(seen.into_inner().len(), 3);
}

/// Rules that are fitted on the rows with a weight alone; the others are checked through `judge`.
fn leave_rows_out() -> Vec<Entry> {
    let parts = ["KNORA", "META-DES", "gating", "temperature", "scaling", "isotonic", "calibrated", "layers"];
    let is_one =
        |rule: &Entry| parts.iter().any(|part| rule.name.contains(part)) || rule.name.ends_with(" stack");
    let mut some: Vec<Entry> = rules().into_iter().filter(is_one).collect();
    assert_eq!(some.len(), 15);
    let network = stack::NeuralNetwork::new(stack::Mlp::new(&[3])).epochs(2);
    some.push(entry("logistic stack", For::Classes, Stack::new(stack::Logistic::new())));
    some.push(entry("network stack", For::All, Stack::new(network)));
    some
}

#[test]
fn rows_of_weight_zero_are_as_if_they_were_not_there() {
    let mut checked = [0; 2];
    for case in cases().iter().filter(|case| case.enough) {
        let rows = case.held_out.rows().len() as u32;
        let weight =
            |row: u32| if row % 5 == 2 || row.is_multiple_of(7) { 0. } else { 0.5 + (row % 3) as f32 };
        let weights = Tensor::from_iter((0..rows).map(weight), &CPU).unwrap();
        let weighted = case.held_out.clone().with_weights(&weights).unwrap();
        let kept: Vec<u32> = (0..rows).filter(|row| weight(*row) > 0.).collect();
        let without = weighted.select(&kept).unwrap();
        let values = matches!(case.held_out.predictions().task(), Task::Regression { .. });
        let suits = |rule: &&Entry| !values || rule.tasks == For::All;
        for rule in leave_rows_out().iter().filter(suits) {
            // A rule may refuse rows of one class; then it refuses both.
            let fit = |held_out: &HeldOut| rule.rule.fit(held_out).ok().map(|fitted| fitted.written());
            let fitted = fit(&weighted);
            checked[0] += usize::from(fitted.is_some());
            assert_eq!(fitted, fit(&without), "{} on {}", rule.name, case.name);
        }
        if case.name.contains("partial coverage") || case.name == "groups" {
            for rule in rules().iter().filter(suits) {
                let report = rule.rule.judge(&weighted).unwrap();
                assert_eq!(report, rule.rule.judge(&without).unwrap(), "{} on {}", rule.name, case.name);
                checked[1] += 1;
            }
        }
    }
    assert!(checked[0] > 200 && checked[1] > 100, "{checked:?}");
}

/// Groups of one row each, so that splits do not depend on the targets.
fn row_by_row(held_out: HeldOut) -> HeldOut {
    let groups = held_out.rows().to_vec();
    held_out.with_groups(groups).unwrap()
}

#[test]
fn the_target_of_a_row_does_not_influence_its_held_out_prediction() {
    let (all, labels) = classes(5, 4, ROWS, 3, 3);
    let mut other = labels.clone();
    other[11] = (other[11] + 1) % 3;
    let (predicted, truth) = values(6, 4, ROWS, 2);
    let mut shifted = truth.clone();
    shifted[22] += 5.;
    let pairs = [
        (of_classes(all.clone(), &labels, 3), of_classes(all, &other, 3)),
        (of_values(predicted.clone(), truth, 2), of_values(predicted, shifted, 2)),
    ];
    for (before, after) in pairs {
        let (before, after) = (row_by_row(before), row_by_row(after));
        let values = matches!(before.predictions().task(), Task::Regression { .. });
        let folds = before.folds(4, Seed::from(1)).unwrap();
        assert_eq!(folds, after.folds(4, Seed::from(1)).unwrap());
        let fold = folds.iter().find(|fold| fold.contains(&11)).unwrap();
        let rest: Vec<u32> = (0..ROWS as u32).filter(|row| !fold.contains(row)).collect();
        for rule in rules().iter().filter(|rule| !values || rule.tasks == For::All) {
            let prediction = |held_out: &HeldOut| {
                let head = rule.rule.fit(&held_out.select(&rest).unwrap()).unwrap();
                bits(&head.combine(held_out.select(&[11]).unwrap().predictions()).unwrap())
            };
            assert_eq!(prediction(&before), prediction(&after), "{}", rule.name);
            // The fit on all rows does depend on it.
            let all = |held_out: &HeldOut| rule.rule.fit(held_out).unwrap().written();
            assert_ne!(all(&before), all(&after), "{}", rule.name);
        }
    }
}

fn learner() -> Trainer<Linear> {
    Trainer::new(|vb: VarBuilder<'_>| linear(2, 3, vb)).epochs(3).optimizer(Optimizer::adam(0.05))
}

#[test]
fn combiners_learn_from_rows_only_that_members_have_not_seen() {
    let (data, learner) = (blobs(4, 40, 3, 0.8), learner());
    let mut labels = data.labels().unwrap().to_vec();
    labels[7] = (labels[7] + 1) % 3;
    let inputs = data.inputs().only().unwrap().clone();
    let other = TensorDataset::classification(inputs, &Tensor::new(labels, &CPU).unwrap()).unwrap();
    let held_out = |data: &TensorDataset| {
        Session::new(&learner, data).fit(&Bagging::new(6), 42).unwrap().held_out().unwrap().clone()
    };
    let (before, after) = (held_out(&data), held_out(&other));
    let of_row = |held_out: &HeldOut, row: u32| {
        let at = held_out.rows().iter().position(|r| *r == row).unwrap();
        bits(held_out.select(&[at as u32]).unwrap().predictions().values())
    };
    assert_eq!(of_row(&before, 7), of_row(&after, 7));
    let rows = before.rows().iter().filter(|row| **row != 7);
    assert!(
        rows.clone().any(|row| of_row(&before, *row) != of_row(&after, *row)),
        "the target had no part at all"
    );
    // Members that have seen every row make no held-out predictions.
    for rule in rules() {
        let pool = Session::new(&learner, &data).fit(&MultiRun::new(3), 42).unwrap();
        let error = rule.rule.fit_pool(pool).unwrap_err();
        assert!(matches!(error, Error::HeldOut { have: 0, .. }), "{}: {error}", rule.name);
    }
}
