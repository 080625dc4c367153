#[cfg(feature = "learned")]
use crate::{combine::InverseError, metrics::Summary, Seed};
use crate::{
    combine::{Mean, Predictions, Weighted},
    data::Task,
    HeldOut,
};
use candle_core::{DType, Device, Tensor};
#[cfg(feature = "learned")]
use {rand::Rng, rand_distr::StandardNormal};

/// Rows with the target 0 and these predictions, `[slot][row]`.
fn held_out(predicted: &[Vec<Option<f64>>]) -> HeldOut {
    let (slots, rows) = (predicted.len(), predicted[0].len());
    let cells = || predicted.iter().flatten();
    let values: Vec<f64> = cells().map(|x| x.unwrap_or(f64::NAN)).collect();
    let covered: Vec<u8> = cells().map(|x| u8::from(x.is_some())).collect();
    let predictions = Predictions::partial(
        Tensor::from_vec(values, (slots, rows, 1), &Device::Cpu).unwrap(),
        Tensor::from_vec(covered, (slots, rows), &Device::Cpu).unwrap(),
        Task::Regression { outputs: 1 },
    );
    let targets = Tensor::zeros((rows, 1), DType::F64, &Device::Cpu).unwrap();
    HeldOut::from_predictions(&predictions.unwrap(), &targets).unwrap()
}

/// 20 groups of 50 equal gains, evenly spaced with a standard deviation of .94: an interval over 20 groups has
/// a width of 2 · 1.96 · .94 / √20 = .82, one over 1000 rows would have .12. With 1000 resamples the width has
/// a standard error of 3 %, and the quantiles of 20 equal steps are not quite those of a normal distribution.
#[test]
fn whole_groups_are_drawn_where_there_are_groups() {
    let gains: Vec<f64> = (0..20).map(|g| (f64::from(g) - 9.5) * 0.94 / 5.766).collect();
    // The first slot is off by 2, and the mean by as much as gives the gain.
    let (mut first, mut second, mut groups) = (vec![], vec![], vec![]);
    for row in 0..1000 {
        let gain = gains[row % 20];
        first.push(Some(2.));
        second.push(Some(2. * (4. + gain).sqrt() - 2.));
        groups.push((row % 20) as u32);
    }
    let rows = held_out(&[first, second]);
    let grouped = rows.clone().with_groups(groups).unwrap();
    let combiner = Weighted::new(&[1., 0.]).unwrap();
    let width = |held_out: &HeldOut| {
        let report = held_out.judge(&combiner).unwrap();
        assert!(report.gain.estimate.abs() < 1e-12);
        let direct = held_out.gain(&combiner, &Mean).unwrap();
        assert!((direct.high - direct.low) / (report.gain.high - report.gain.low) - 1. < 0.15);
        report.gain.high - report.gain.low
    };
    let (whole, single) = (width(&grouped), width(&rows));
    assert!((0.74..0.9).contains(&whole), "{whole}");
    assert!((0.105..0.13).contains(&single), "{single}");
    // The intervals of the losses are over groups too.
    let loss = grouped.judge(&combiner).unwrap().mean.loss;
    assert!((0.74..0.9).contains(&(loss.high - loss.low)), "{loss:?}");
}

/// Four equally good slots: choosing a single one has a mean squared error of 1, whatever the slots cover.
/// With the mean of the others in place of missing predictions it would be about .5. Over 60 seeds the mean is
/// within four standard errors.
#[cfg(feature = "learned")]
#[test]
fn the_best_single_slot_is_scored_on_its_own_rows() {
    let reports = (0..60).map(|seed| {
        let mut rng = Seed::from(seed).rng();
        let slots = [0.1, 0.37, 0.63, 1.].map(|share| {
            let cell = |_| {
                let x: f64 = rng.sample(StandardNormal);
                rng.random_bool(share).then_some(x)
            };
            (0..300).map(cell).collect::<Vec<_>>()
        });
        held_out(&slots).with_seed(seed).judge(&InverseError::new()).unwrap()
    });
    let (mut losses, mut gains) = (vec![], vec![]);
    for report in reports {
        let best = report.best_single.as_ref().unwrap();
        assert!(best.rows <= report.rows && best.rows > 10);
        let shown = report.to_string();
        let own = format!("best single ({}, its {} rows)", best.name, best.rows);
        assert!(best.rows == report.rows || shown.contains(&own), "{shown}");
        losses.push(best.score.loss.estimate);
        // The mean of the slots that predict these rows is better, and nothing else is compared.
        gains.push(best.gain.estimate);
    }
    let Summary { mean, sd, .. } = Summary::of(&losses).unwrap();
    let error = sd.unwrap() / 60f64.sqrt();
    assert!((mean - 1.).abs() < 4. * error && error < 0.04, "{mean} ± {error}");
    let Summary { mean, sd, .. } = Summary::of(&gains).unwrap();
    assert!(mean - 4. * sd.unwrap() / 60f64.sqrt() > 0.2, "{mean}");
}

/// The comparison with the best single slot is on its rows only: elsewhere the combiner is far off.
#[test]
fn the_combiner_is_compared_with_the_best_single_slot_on_common_rows() {
    // Slot 0 predicts the even rows, with an error of 1; slot 1 all rows, with errors of 2 and 9 in turn.
    let first = (0..40).map(|row| (row % 2 == 0).then_some(1.)).collect();
    let second = (0..40).map(|row| Some(if row % 2 == 0 { 2. } else { 9. })).collect();
    let report = held_out(&[first, second]).judge(&Mean).unwrap();
    let best = report.best_single.unwrap();
    assert_eq!((best.name.as_str(), best.rows), ("member 0", 20));
    assert_eq!(best.score.loss.estimate, 1.);
    assert_eq!(best.gain.estimate, 1. - 2.25);
    assert_eq!(report.score.loss.estimate, (2.25 + 81.) / 2.);
    assert_eq!(report.gain.estimate, 0.);
}

#[cfg(feature = "learned")]
#[test]
fn a_report_is_that_of_the_rows_with_weight() {
    let mut rng = Seed::from(4).rng();
    let mut cell = |share: f64| rng.random_bool(share).then(|| rng.random_range(-1.0..2.0));
    let slots: Vec<Vec<Option<f64>>> =
        [0.5, 1.].iter().map(|share| (0..90).map(|_| cell(*share)).collect()).collect();
    let all = held_out(&slots).with_groups((0..90).map(|row| row / 2).collect()).unwrap();
    let kept: Vec<u32> = (0..90).filter(|row| row % 3 != 0).collect();
    let weights = (0..90).map(|row| if row % 3 == 0 { 0. } else { 1. + (row % 5) as f32 });
    let weighted = all.clone().with_weights(&Tensor::from_iter(weights, &Device::Cpu).unwrap()).unwrap();
    let report = weighted.judge(&InverseError::new()).unwrap();
    assert_eq!(report.rows, 60);
    assert_eq!(report, weighted.select(&kept).unwrap().judge(&InverseError::new()).unwrap());
}

/// Two rows that different slots predict: there is no slot to choose on one and score on the other.
#[test]
fn without_common_folds_there_is_no_best_single_slot() {
    let report = held_out(&[vec![Some(1.), None], vec![None, Some(2.)]]).judge(&Mean).unwrap();
    assert!(report.best_single.is_none() && !report.to_string().contains("best single"));
}
