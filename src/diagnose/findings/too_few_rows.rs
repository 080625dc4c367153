//! A score that still rises with the number of training rows.
use super::certainty;
use crate::{
    diagnose::{
        words::{figure, percent},
        Evidence, Finding, Label, Observations, Problem, Rule,
    },
    evaluate::{TrainingSizePoint, TrainingSizeReport},
    statistics::corrected_t_interval,
    Result,
};

/// Finds scores on validation rows that still get better with more training rows.
pub(super) struct TooFewRows;

/// From this share of the loss on, that twice the rows would take away.
const GAIN: f64 = 0.05;
/// At this share there is no doubt.
const SURE: f64 = 0.3;
/// The level of the interval of the last gain.
const LEVEL: f64 = 0.95;

impl Rule for TooFewRows {
    fn name(&self) -> &'static str {
        "too_few_rows"
    }

    fn detect(&self, seen: &Observations<'_>) -> Result<Vec<Finding>> {
        let Some(report) = seen.training_size else { return Ok(vec![]) };
        let [.., before, last] = report.points.as_slice() else { return Ok(vec![]) };
        let Some(low) = lowest_gain(report, before, last)?.filter(|low| *low > 0.) else { return Ok(vec![]) };
        let Some(share) = of_doubling(report, before, last) else { return Ok(vec![]) };
        let Some(confidence) = certainty::ramp(share, GAIN, SURE) else { return Ok(vec![]) };
        let metric = &report.metric;
        let summary = format!(
            "There are too few training rows: the {metric} on validation rows still gets better with each of them, and twice \
             the rows would take away about {} of what is missing.",
            percent(share)
        );
        let (from, to) = (before.validation_summary.mean, last.validation_summary.mean);
        let text = format!(
            "From {} to {} training rows, the {metric} on validation rows goes from {} to {}; the 95 % interval of the gain \
             begins at {}.",
            before.rows,
            last.rows,
            figure(from),
            figure(to),
            figure(low)
        );
        let source = "Hestness et al. 2017, arXiv:1712.00409; Cortes, Jackel, Solla, Vapnik and Denker 1993, NIPS 6:327";
        let finding = Finding::new(self.name(), Problem::Generalization, confidence, summary, source)
            .kind(Label::UnrepresentativeTrain)
            .evidence(Evidence::new(text).value(share))
            .evidence(of_training_rows(report, last));
        Ok(vec![finding])
    }
}

/// The lower end of the interval of the gain from one size to the next, positive for better; `None` with one repeat.
fn lowest_gain(
    report: &TrainingSizeReport,
    before: &TrainingSizePoint,
    last: &TrainingSizePoint,
) -> Result<Option<f64>> {
    let sign = if report.higher_is_better { 1. } else { -1. };
    let gains: Vec<f64> =
        last.validation.iter().zip(&before.validation).map(|(to, from)| sign * (to - from)).collect();
    if gains.len() < 2 || gains.iter().any(|gain| !gain.is_finite()) {
        return Ok(None);
    }
    Ok(Some(corrected_t_interval(&gains, report.validation_rows, last.rows, LEVEL)?.low))
}

/// The share of the loss that twice the rows would take away, by the power law through the last two sizes: `1 − 2^−b` with
/// `loss ∝ rows^−b`. The loss is the metric, or one minus it where higher is better.
fn of_doubling(
    report: &TrainingSizeReport,
    before: &TrainingSizePoint,
    last: &TrainingSizePoint,
) -> Option<f64> {
    let loss = |point: &TrainingSizePoint| {
        let mean = point.validation_summary.mean;
        if report.higher_is_better {
            1. - mean
        } else {
            mean
        }
    };
    let (from, to) = (loss(before), loss(last));
    if from <= 0. || to <= 0. || last.rows <= before.rows {
        return None;
    }
    let exponent = (from / to).ln() / (last.rows as f64 / before.rows as f64).ln();
    Some(1. - 2f64.powf(-exponent))
}

/// The gap to the training rows, which is what more rows can close.
fn of_training_rows(report: &TrainingSizeReport, last: &TrainingSizePoint) -> Evidence {
    let (train, valid) = (last.training_summary.mean, last.validation_summary.mean);
    let text = format!(
        "With {} training rows, the {} is {} on them and {} on validation rows: more rows can close this gap.",
        last.rows,
        report.metric,
        figure(train),
        figure(valid)
    );
    Evidence::new(text).value(valid - train)
}
