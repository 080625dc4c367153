//! The methods for ensembles against the functions over slices, and what they refuse.
use crate::{
    combine::{FittedCombiner, Mean, Median, Weighted},
    conformal::*,
    data::Task,
    distribution::{Levels, Mixture},
    predictions::Predictions,
    HeldOut, Seed,
};
use candle_core::{Device, Tensor};
use rand::Rng;

const CPU: Device = Device::Cpu;

fn draws(name: &str, count: usize) -> Vec<f64> {
    let mut rng = Seed::from(3).child(name).rng();
    (0..count).map(|_| rng.random_range(-1.0..1.0)).collect()
}

fn values(slots: usize, rows: usize, outputs: usize, name: &str) -> Predictions {
    let values = Tensor::from_vec(draws(name, slots * rows * outputs), (slots, rows, outputs), &CPU).unwrap();
    Predictions::new(values, Task::Regression { outputs }).unwrap()
}

/// Every slot leaves some rows out.
fn partial(predictions: &Predictions) -> (Predictions, Vec<u8>) {
    let (slots, rows) = (predictions.slots(), predictions.rows());
    let covered: Vec<u8> = (0..slots * rows).map(|at| u8::from((at % rows + at / rows) % 3 > 0)).collect();
    let mask = Tensor::from_slice(&covered, (slots, rows), &CPU).unwrap();
    (Predictions::partial(predictions.values().clone(), mask, predictions.task()).unwrap(), covered)
}

fn targets(rows: usize, outputs: usize) -> Tensor {
    Tensor::from_vec(draws("targets", rows * outputs), (rows, outputs), &CPU).unwrap()
}

/// One output of `(S, N, K)`, or of `(N, K)`.
fn column(table: &Tensor, output: usize) -> Vec<f64> {
    let last = table.rank() - 1;
    table.narrow(last, output, 1).unwrap().flatten_all().unwrap().to_vec1().unwrap()
}

fn lists(intervals: &Tensor, outputs: usize) -> Vec<Vec<PredictionInterval>> {
    (0..outputs).map(|output| output_intervals(intervals, output).unwrap()).collect()
}

#[test]
fn jackknife_plus_intervals_are_those_of_the_table_of_each_output() {
    let (held_out, covered) = partial(&values(5, 40, 2, "held out"));
    let new = values(5, 70, 2, "new");
    let targets = targets(40, 2);
    let rows = HeldOut::from_predictions(&held_out, &targets).unwrap();
    let cases: [(&dyn FittedCombiner, Aggregation); 2] =
        [(&Mean, Aggregation::Mean), (&Median, Aggregation::Median)];
    for (combiner, aggregation) in cases {
        for method in [CrossMethod::Plus, CrossMethod::MinMax] {
            let fitted = CrossIntervals::new(0.2).method(method).fit(&rows, combiner).unwrap();
            assert_eq!((fitted.alpha(), fitted.rows(), fitted.by_group()), (0.2, 40, false));
            let found = fitted.predict(&new, combiner, None).unwrap();
            assert_eq!(found.dims(), [70, 2, 2]);
            for (output, found) in lists(&found, 2).into_iter().enumerate() {
                let mut table = column(held_out.values(), output);
                table.iter_mut().zip(&covered).filter(|(_, c)| **c == 0).for_each(|(x, _)| *x = f64::NAN);
                let y = column(&targets, output);
                let exact = CrossConformal::fit(&table, 5, &y, aggregation, method, 0.2).unwrap();
                assert_eq!(found, exact.predict(&column(new.values(), output)).unwrap());
            }
        }
    }
}

/// Three members and three rows: row 2 is out of the bag of members 0 and 1, and all residuals are 0.5.
#[test]
fn jackknife_plus_after_bootstrap_by_hand() {
    let table =
        Tensor::new(&[[[1f32], [2.], [3.]], [[1.5], [2.5], [4.]], [[0.5], [2.], [9.]]], &CPU).unwrap();
    let out_of_bag = Tensor::new(&[[0u8, 0, 1], [0, 1, 1], [1, 0, 0]], &CPU).unwrap();
    let task = Task::Regression { outputs: 1 };
    let predictions = Predictions::partial(table, out_of_bag, task).unwrap();
    let rows = HeldOut::from_predictions(&predictions, &Tensor::new(&[1f32, 3., 4.], &CPU).unwrap()).unwrap();
    let fitted = CrossIntervals::new(0.25).fit(&rows, &Mean).unwrap();
    let new = Predictions::new(Tensor::new(&[[[10f32]], [[20.]], [[30.]]], &CPU).unwrap(), task).unwrap();
    // Around 30 (member 2), 20 (member 1) and 15 (the mean of members 0 and 1).
    let found = fitted.predict(&new, &Mean, None).unwrap().to_vec3::<f64>().unwrap();
    assert_eq!(found, [[[14.5, 30.5]]]);
}

#[test]
fn split_intervals_are_those_of_the_combined_predictions() {
    let (old, new, targets) = (values(3, 30, 2, "old"), values(3, 9, 2, "new"), targets(30, 2));
    let rows = HeldOut::from_predictions(&old, &targets).unwrap();
    let weighted = Weighted::new(&[2., 1., 1.]).unwrap();
    for combiner in [&Mean as &dyn FittedCombiner, &Median, &weighted] {
        let split = SplitIntervals::new(0.1).fit(&rows, combiner).unwrap();
        let normalized = SplitIntervals::new(0.1).normalized(0.25).fit(&rows, combiner).unwrap();
        let found = [&split, &normalized].map(|fitted| fitted.predict(&new, combiner, None).unwrap());
        let combined = [&old, &new].map(|predictions| combiner.combine(predictions).unwrap());
        // The standard deviation of the members, with their weights.
        let scale = |predictions: &Predictions, output: usize| -> Vec<f64> {
            let weights = combiner.weights().map_or([1. / 3.; 3], |w| [w[0], w[1], w[2]]);
            let table = column(predictions.values(), output);
            let of_row = |row: usize| {
                let of = |slot: usize| table[slot * predictions.rows() + row];
                let mean: f64 = (0..3).map(|slot| weights[slot] * of(slot)).sum();
                (0..3).map(|slot| weights[slot] * (of(slot) - mean).powi(2)).sum::<f64>().sqrt() + 0.25
            };
            (0..predictions.rows()).map(of_row).collect()
        };
        for output in 0..2 {
            let [p, new_p] = [0, 1].map(|i| column(&combined[i], output));
            let y = column(&targets, output);
            let exact = SplitConformal::fit(&p, &y, None, 0.1).unwrap().predict(&new_p, None).unwrap();
            assert_eq!(lists(&found[0], 2)[output], exact);
            let exact = NormalizedConformal::fit(&p, &scale(&old, output), &y, None, 0.1).unwrap();
            let exact = exact.predict(&new_p, &scale(&new, output), None).unwrap();
            for (a, b) in lists(&found[1], 2)[output].iter().zip(&exact) {
                assert!((a.low - b.low).abs() < 1e-12 && (a.high - b.high).abs() < 1e-12, "{a:?} {b:?}");
            }
        }
    }
}

fn classes(slots: usize, rows: usize, name: &str) -> Predictions {
    let mut raw = draws(name, slots * rows * 3);
    raw.iter_mut().for_each(|x| *x = (2. * *x).exp());
    for row in raw.chunks_exact_mut(3) {
        let sum: f64 = row.iter().sum();
        row.iter_mut().for_each(|x| *x /= sum);
    }
    let values = Tensor::from_vec(raw, (slots, rows, 3), &CPU).unwrap();
    Predictions::new(values, Task::Classification { classes: 3 }).unwrap()
}

fn labels(rows: u32) -> Vec<u32> {
    (0..rows).map(|row| row * 7 % 5 % 3).collect()
}

#[test]
fn sets_are_those_of_the_combined_probabilities() {
    let (old, new, labels) = (classes(4, 60, "old"), classes(4, 25, "new"), labels(60));
    let rows = HeldOut::from_predictions(&old, &Tensor::new(&labels[..], &CPU).unwrap()).unwrap();
    let [p, new_p] = [&old, &new].map(|p| column_free(&Mean.combine(p).unwrap()));
    let [p, new_p] = [&p, &new_p].map(|p| ClassProbabilities::new(p, 3).unwrap());
    let raps = ClassScore::Raps { lambda: 0.1, k_reg: 1 };
    for score in [ClassScore::Lac, ClassScore::Aps, raps] {
        for (by_class, condition) in [(false, Condition::Marginal), (true, Condition::Classes)] {
            for seed in [None, Some(Seed::from(5))] {
                for empty in [EmptySets::Keep, EmptySets::MostProbable] {
                    let mut method = ClassSets::new(0.2).score(score).empty(empty);
                    method = if by_class { method.by_class() } else { method };
                    method = seed.map_or(method, |seed| method.randomized(seed));
                    let found = method.fit(&rows, &Mean).unwrap();
                    assert!(!found.by_group() && found.rows() == 60 && found.alpha() == 0.2);
                    let exact = ClassConformal::fit(score, &p, &labels, condition, 0.2, seed).unwrap();
                    assert_eq!(found.fitted(), Some(&exact));
                    let exact = exact.predict(&new_p, None, empty, seed).unwrap();
                    assert_eq!(found.predict(&new, &Mean, None).unwrap(), exact);
                }
            }
        }
    }
}

/// Every slot leaves some rows out.
#[test]
fn cross_conformal_sets_are_those_of_the_table_of_the_members() {
    let (old, new, labels) = (classes(5, 40, "old"), classes(5, 25, "new"), labels(40));
    let covered: Vec<u8> = (0..5 * 40).map(|at| u8::from((at % 40 + at / 40) % 3 > 0)).collect();
    let mask = Tensor::from_slice(&covered, (5, 40), &CPU).unwrap();
    let some = Predictions::partial(old.values().clone(), mask, old.task()).unwrap();
    let rows = HeldOut::from_predictions(&some, &Tensor::new(&labels[..], &CPU).unwrap()).unwrap();
    let mut table = column_free(old.values());
    let of_rows = table.chunks_exact_mut(3).zip(&covered);
    of_rows.filter(|(_, covered)| **covered == 0).for_each(|(p, _)| p.fill(f64::NAN));
    for score in [ClassScore::Lac, ClassScore::Aps, ClassScore::Raps { lambda: 0.1, k_reg: 1 }] {
        for seed in [None, Some(Seed::from(5))] {
            for empty in [EmptySets::Keep, EmptySets::MostProbable] {
                let method = CrossSets::new(0.3).score(score).empty(empty);
                let method = seed.map_or(method, |seed| method.randomized(seed));
                let found = method.fit(&rows, &Mean).unwrap();
                assert!(!found.by_group() && found.fitted().is_none());
                assert_eq!((found.rows(), found.alpha()), (40, 0.3));
                let exact = CrossClassConformal::fit(score, &table, 5, 3, &labels, 0.3, seed).unwrap();
                let exact = exact.predict(&column_free(new.values()), empty, seed).unwrap();
                let text = serde_json::to_string(&found).unwrap();
                let read: ConformalSets = serde_json::from_str(&text).unwrap();
                for found in [&found, &read] {
                    assert_eq!(found.predict(&new, &Mean, None).unwrap(), exact);
                }
                assert!(found.predict(&new, &Mean, Some(&[0; 25])).is_err());
            }
        }
    }
    let error = |method: CrossSets, rows: &HeldOut, combiner: &dyn FittedCombiner| {
        method.fit(rows, combiner).unwrap_err().to_string()
    };
    let rule = error(CrossSets::new(0.1), &rows, &Weighted::new(&[1.; 5]).unwrap());
    assert!(rule.contains("combiner of cross-conformal sets must be the mean, which is known"), "{rule}");
    let grouped = rows.clone().with_groups((0..40).collect()).unwrap();
    assert!(error(CrossSets::new(0.1), &grouped, &Mean).contains("not exchangeable (ClassSets takes groups)"));
    assert!(error(CrossSets::new(1.), &rows, &Mean).contains("alpha"));
    let y = targets(20, 1);
    let of_values = HeldOut::from_predictions(&values(3, 20, 1, "old"), &y).unwrap();
    assert!(error(CrossSets::new(0.1), &of_values, &Mean).contains("must be classification"));
}

/// Members that predict the quantiles 0.1, 0.5 and 0.9 of two outputs.
fn mixture(rows: usize, name: &str, weights: &[f64]) -> Mixture {
    let levels = Levels::new(&[0.1, 0.5, 0.9]).unwrap();
    let quantiles = Tensor::from_vec(draws(name, 2 * rows * 2 * 3), (2, rows, 2, 3), &CPU).unwrap();
    Mixture::of_quantiles(levels, &quantiles).unwrap().with_weights(weights).unwrap()
}

#[test]
fn intervals_of_quantiles_are_those_of_the_quantiles_of_the_mixture() {
    let (old, new, y) = (mixture(40, "old", &[3., 1.]), mixture(9, "new", &[3., 1.]), targets(40, 2));
    let means = |mixture: &Mixture| {
        let means = mixture.mean().unwrap().unsqueeze(0).unwrap();
        Predictions::new(means, Task::Regression { outputs: 2 }).unwrap()
    };
    let rows = HeldOut::from_predictions(&means(&old), &y).unwrap();
    let missing = QuantileIntervals::new(0.2).fit(&rows, &Mean).unwrap_err().to_string();
    assert!(missing.contains("HeldOut::with_distributions"), "{missing}");
    let rows = rows.with_distributions(old.clone()).unwrap();
    assert!(
        QuantileIntervals::new(0.2).needs_distributions() && !SplitIntervals::new(0.2).needs_distributions()
    );
    for correction in [QuantileCorrection::Symmetric, QuantileCorrection::Asymmetric] {
        let fitted = QuantileIntervals::new(0.2).correction(correction).fit(&rows, &Mean).unwrap();
        assert_eq!((fitted.alpha(), fitted.rows(), fitted.by_group()), (0.2, 40, false));
        let text = serde_json::to_string(&fitted).unwrap();
        let read: ConformalIntervals = serde_json::from_str(&text).unwrap();
        let found = lists(&read.predict_distributions(&new, None).unwrap(), 2);
        for (output, found) in found.into_iter().enumerate() {
            let [l, h, new_l, new_h] = [(&old, 0.1), (&old, 0.9), (&new, 0.1), (&new, 0.9)]
                .map(|(mixture, p)| column(&mixture.quantile(p).unwrap(), output));
            let exact = QuantileConformal::fit([&l, &h], &column(&y, output), None, correction, 0.2).unwrap();
            assert_eq!(found, exact.predict([&new_l, &new_h], None).unwrap());
        }
        // A row of weight 0 does not count, nor do its distributions.
        let mut weights = [1f64; 40];
        weights[7] = 0.;
        let weighted = rows.clone().with_weights(&Tensor::new(&weights, &CPU).unwrap()).unwrap();
        let kept: Vec<u32> = (0..40).filter(|row| *row != 7).collect();
        let method = QuantileIntervals::new(0.2).correction(correction);
        let of = |rows: &HeldOut| {
            let fitted = method.fit(rows, &Mean).unwrap();
            fitted.predict_distributions(&new, None).unwrap().to_vec3::<f64>().unwrap()
        };
        assert_eq!(of(&weighted), of(&rows.select(&kept).unwrap()));
    }
    // Groups as units, and corrections by group.
    let groups: Vec<u32> = (0..40).map(|row| row % 4).collect();
    let grouped = rows.clone().with_groups(groups.clone()).unwrap();
    let by_group = QuantileIntervals::new(0.2).by_group().fit(&grouped, &Mean).unwrap();
    assert!(by_group.by_group() && by_group.predict_distributions(&new, None).is_err());
    let found = lists(&by_group.predict_distributions(&new, Some(&[1; 9])).unwrap(), 2);
    let of_group: Vec<u32> = (0..40).filter(|row| row % 4 == 1).collect();
    let alone = QuantileIntervals::new(0.2).fit(&rows.select(&of_group).unwrap(), &Mean).unwrap();
    assert_eq!(found, lists(&alone.predict_distributions(&new, None).unwrap(), 2));
    let units = QuantileIntervals::new(0.2).fit(&grouped, &Mean).unwrap();
    let width = |fitted: &ConformalIntervals| {
        lists(&fitted.predict_distributions(&new, None).unwrap(), 2)[0][0].width()
    };
    // Four groups are too few for a finite quantile at 0.1, and forty rows are not.
    let few = QuantileIntervals::new(0.1).fit(&grouped, &Mean).unwrap();
    assert_eq!(width(&few), f64::INFINITY);
    assert!(width(&units).is_finite());

    let fitted = QuantileIntervals::new(0.2).fit(&rows, &Mean).unwrap();
    let e = fitted.predict_distributions(&mixture(9, "new", &[1., 1.]), None).unwrap_err().to_string();
    assert!(e.contains("must be [0.75, 0.25], as in the fit, but is [0.5, 0.5]"), "{e}");
    let e = fitted.predict(&means(&new), &Mean, None).unwrap_err().to_string();
    assert!(e.contains("ConformalIntervals::predict_distributions"), "{e}");
    let split = SplitIntervals::new(0.2).fit(&rows, &Mean).unwrap();
    assert!(split.predict_distributions(&new, None).unwrap_err().to_string().contains("QuantileIntervals"));
    assert!(rows.clone().with_distributions(new).is_err());
    assert!(rows.select_slots(&[0]).unwrap().distributions().is_none() || rows.predictions().slots() == 1);
}

fn column_free(table: &Tensor) -> Vec<f64> {
    table.flatten_all().unwrap().to_vec1().unwrap()
}

#[test]
fn groups_are_units_or_have_quantiles_of_their_own() {
    let (old, new, y) = (values(2, 12, 1, "old"), values(2, 3, 1, "new"), targets(12, 1));
    let groups: Vec<u32> = (0..12).map(|row| row / 3).collect();
    let rows = HeldOut::from_predictions(&old, &y).unwrap().with_groups(groups.clone()).unwrap();
    let residuals = absolute_residuals(&column(&Mean.combine(&old).unwrap(), 0), &column(&y, 0)).unwrap();

    // Four groups of three rows: with α = 0.4, the score that three of five units are at most.
    let fitted = SplitIntervals::new(0.4).fit(&rows, &Mean).unwrap();
    let exact =
        ScoreQuantiles::fit_for_new_groups(&residuals, &groups, 0.4).unwrap().of(None).unwrap().quantile;
    let found = output_intervals(&fitted.predict(&new, &Mean, None).unwrap(), 0).unwrap();
    assert!((found[0].width() - 2. * exact).abs() < 1e-12);
    // Twelve rows are enough for a finite quantile at 0.1, and four groups are not.
    let few = SplitIntervals::new(0.1).fit(&rows, &Mean).unwrap().predict(&new, &Mean, None).unwrap();
    assert_eq!(output_intervals(&few, 0).unwrap()[0].width(), f64::INFINITY);

    let by_group = SplitIntervals::new(0.4).by_group().fit(&rows, &Mean).unwrap();
    assert!(by_group.by_group());
    let found = by_group.predict(&new, &Mean, Some(&[3, 0, 9])).unwrap();
    let found = output_intervals(&found, 0).unwrap();
    for (interval, rows) in found.iter().zip([&residuals[9..], &residuals[..3]]) {
        assert!((interval.width() - 2. * conformal_quantile(rows, 0.4).unwrap()).abs() < 1e-12);
    }
    assert_eq!(found[2].width(), f64::INFINITY);
    assert!(
        by_group.predict(&new, &Mean, None).is_err() && fitted.predict(&new, &Mean, Some(&[0; 3])).is_err()
    );

    let error = CrossIntervals::new(0.1).fit(&rows, &Mean).unwrap_err().to_string();
    assert!(error.contains("not exchangeable"), "{error}");
    let labels = Tensor::new(labels(12), &CPU).unwrap();
    let sets =
        HeldOut::from_predictions(&classes(2, 12, "old"), &labels).unwrap().with_groups(groups).unwrap();
    assert!(ClassSets::new(0.1).by_class().fit(&sets, &Mean).unwrap_err().to_string().contains("by class"));
    assert!(ClassSets::new(0.1).by_group().fit(&sets, &Mean).unwrap().by_group());
    let plain = HeldOut::from_predictions(&old, &y).unwrap();
    let error = SplitIntervals::new(0.1).by_group().fit(&plain, &Mean).unwrap_err().to_string();
    assert!(error.contains("groups of the calibration rows must be given"), "{error}");
}

#[test]
fn rows_of_weight_0_do_not_count_and_other_weights_are_equal() {
    let (old, new, y) = (values(2, 12, 1, "old"), values(2, 3, 1, "new"), targets(12, 1));
    let rows = HeldOut::from_predictions(&old, &y).unwrap();
    let weighted =
        |weights: [f64; 12]| rows.clone().with_weights(&Tensor::new(&weights, &CPU).unwrap()).unwrap();
    let kept: Vec<u32> = (0..12).filter(|row| row % 4 > 0).collect();
    let weights = std::array::from_fn(|row| if row % 4 > 0 { 2.5 } else { 0. });
    for (all, some) in [(weighted(weights), rows.select(&kept).unwrap()), (weighted([3.; 12]), rows.clone())]
    {
        let found = [&all, &some].map(|rows| {
            let fitted = SplitIntervals::new(0.2).fit(rows, &Mean).unwrap();
            fitted.predict(&new, &Mean, None).unwrap().to_vec3::<f64>().unwrap()
        });
        assert_eq!(found[0], found[1]);
    }
    let mut weights = [1.; 12];
    weights[5] = 2.;
    for error in [
        SplitIntervals::new(0.2).fit(&weighted(weights), &Mean).unwrap_err(),
        CrossIntervals::new(0.2).fit(&weighted(weights), &Mean).unwrap_err(),
    ] {
        assert!(error.to_string().contains("weights of the calibration rows must be 0 or equal"), "{error}");
    }
}

#[test]
fn predictions_of_another_kind_are_refused() {
    let (old, y) = (values(3, 20, 1, "old"), targets(20, 1));
    let rows = HeldOut::from_predictions(&old, &y).unwrap();
    let fitted = SplitIntervals::new(0.2).fit(&rows, &Mean).unwrap();
    let error = |predictions: &Predictions, combiner: &dyn FittedCombiner| {
        fitted.predict(predictions, combiner, None).unwrap_err().to_string()
    };
    let task = error(&values(3, 2, 2, "new"), &Mean);
    assert!(
        task.contains("must be regression with 1 output, as in the fit, but is regression with 2"),
        "{task}"
    );
    assert!(
        error(&values(2, 2, 1, "new"), &Mean).contains("number of members for conformal intervals must be 3")
    );
    assert!(error(&values(3, 2, 1, "new"), &Median).contains("must be \"mean\", as in the fit"));
    assert!(error(&partial(&values(3, 9, 1, "new")).0, &Mean).contains("missing for some"));

    let (some, _) = partial(&old);
    let some = HeldOut::from_predictions(&some, &y).unwrap();
    let missing = SplitIntervals::new(0.2).fit(&some, &Mean).unwrap_err().to_string();
    assert!(missing.contains("no member has seen"), "{missing}");
    let rule =
        CrossIntervals::new(0.2).fit(&some, &Weighted::new(&[1.; 3]).unwrap()).unwrap_err().to_string();
    assert!(rule.contains("the mean or the median"), "{rule}");
    let named = old.with_names(["a", "b", "c"].map(String::from).to_vec()).unwrap();
    let named = HeldOut::from_predictions(&named, &y).unwrap();
    let fitted = CrossIntervals::new(0.2).fit(&named, &Mean).unwrap();
    let other = values(3, 2, 1, "new").with_names(["a", "c", "b"].map(String::from).to_vec()).unwrap();
    let order = fitted.predict(&other, &Mean, None).unwrap_err().to_string();
    assert!(order.contains("member 1 for conformal intervals must be \"b\""), "{order}");

    let sets =
        HeldOut::from_predictions(&classes(3, 9, "old"), &Tensor::new(labels(9), &CPU).unwrap()).unwrap();
    assert!(SplitIntervals::new(0.2)
        .fit(&sets, &Mean)
        .unwrap_err()
        .to_string()
        .contains("must be regression"));
    assert!(CrossIntervals::new(0.2)
        .fit(&sets, &Mean)
        .unwrap_err()
        .to_string()
        .contains("must be regression"));
    assert!(ClassSets::new(0.2)
        .fit(&rows, &Mean)
        .unwrap_err()
        .to_string()
        .contains("must be classification"));
    for alpha in [0., 1., f64::NAN] {
        assert!(SplitIntervals::new(alpha).fit(&rows, &Mean).unwrap_err().to_string().contains("alpha"));
        assert!(ClassSets::new(alpha).fit(&sets, &Mean).unwrap_err().to_string().contains("alpha"));
    }
    let floor = SplitIntervals::new(0.1).normalized(0.).fit(&rows, &Mean).unwrap_err().to_string();
    assert!(floor.contains("floor of the normalized intervals"), "{floor}");
}

/// With too few rows the quantiles are infinite, for which JSON has no number.
#[test]
fn what_is_saved_and_read_is_the_same() {
    let (old, y) = (values(3, 6, 1, "old"), targets(6, 1));
    let rows = HeldOut::from_predictions(&old, &y).unwrap();
    let grouped = rows.clone().with_groups(vec![1, 1, 1, 1, 1, 2]).unwrap();
    let (some, _) = partial(&old);
    let some = HeldOut::from_predictions(&some, &y).unwrap();
    for alpha in [0.05, 0.4] {
        for fitted in [
            SplitIntervals::new(alpha).fit(&rows, &Mean).unwrap(),
            SplitIntervals::new(alpha).normalized(0.1).by_group().fit(&grouped, &Mean).unwrap(),
            CrossIntervals::new(alpha).fit(&some, &Median).unwrap(),
        ] {
            let text = serde_json::to_string(&fitted).unwrap();
            assert_eq!(serde_json::from_str::<ConformalIntervals>(&text).unwrap(), fitted, "{text}");
            let bytes = crate::codec::encode(&fitted).unwrap();
            assert_eq!(crate::codec::decode::<ConformalIntervals>(&bytes).unwrap(), fitted);
        }
        let rows =
            HeldOut::from_predictions(&classes(3, 9, "old"), &Tensor::new(labels(9), &CPU).unwrap()).unwrap();
        let fitted = ClassSets::new(alpha).by_class().randomized(3u64).fit(&rows, &Mean).unwrap();
        let text = serde_json::to_string(&fitted).unwrap();
        assert_eq!(serde_json::from_str::<ConformalSets>(&text).unwrap(), fitted, "{text}");
    }
    let bad = r#"{"inside": [true], "classes": 0}"#;
    assert!(serde_json::from_str::<PredictionSets>(bad).is_err());
}
