//! Validation rows that are too few.
use super::certainty;
use crate::{
    diagnose::{
        series::Typical,
        spread::{accuracy_half_width, rmse_half_width, rows_for_accuracy, rows_for_rmse},
        words::{about, count, percent},
        CurveMetric, Evidence, Finding, Label, Observations, Problem, Rule,
    },
    Result,
};

/// Finds validation rows that are so few that the noise of their score hides everything.
pub(super) struct SmallValidation;

/// From this half width of the 95 % interval of the accuracy on, or of the share of the root mean squared error.
const HALF_WIDTH: f64 = 0.15;
/// At this half width there is no doubt.
const SURE: f64 = 0.3;
/// The half width that would do.
const ENOUGH: f64 = 0.05;

impl Rule for SmallValidation {
    fn name(&self) -> &'static str {
        "small_validation"
    }

    fn detect(&self, seen: &Observations<'_>) -> Result<Vec<Finding>> {
        let of_curves = seen.curves.and_then(|curves| curves.valid_rows);
        let rows = of_curves.or(seen.split.map(|split| split.test_rows)).filter(|rows| *rows > 0);
        let (Some(rows), Some(known)) = (rows, known(seen)) else { return Ok(vec![]) };
        let (half, enough) = match known {
            Known::Accuracy(accuracy) => {
                // Half a row is added to both sides: an accuracy of 1 on few rows is not known exactly.
                let accuracy = (accuracy * rows as f64 + 0.5) / (rows as f64 + 1.);
                (accuracy_half_width(accuracy, rows), rows_for_accuracy(accuracy, ENOUGH))
            }
            Known::Error => (rmse_half_width(rows), rows_for_rmse(ENOUGH)),
        };
        let Some(confidence) = certainty::ramp(half, HALF_WIDTH, SURE) else { return Ok(vec![]) };
        // The curves have said the same.
        let label = Label::UnrepresentativeValidation;
        if seen.named(label).is_some_and(|probability| probability >= confidence) {
            return Ok(vec![]);
        }
        let what = match known {
            Known::Accuracy(_) => "the accuracy",
            Known::Error => "the error",
        };
        let of = if matches!(known, Known::Error) { " of it" } else { "" };
        let on = count(rows, "validation row");
        let summary = format!(
            "On {on}, {what} is known only to ± {}{of}: differences between networks are hidden by noise.",
            percent(half)
        );
        let text = format!(
            "The 95 % interval of {what} on {on} is ± {}{of}; about {} rows would give ± {}.",
            percent(half),
            about(enough),
            percent(ENOUGH)
        );
        let source = "Raschka 2018, arXiv:1811.12808; Varoquaux 2018, doi:10.1016/j.neuroimage.2017.06.061";
        let finding = Finding::new(self.name(), Problem::Data, confidence, summary, source)
            .kind(label)
            .evidence(Evidence::new(text).value(half))
            .experiment("Score the network by cross-validation: every row is then a validation row once.");
        Ok(vec![finding])
    }
}

/// The level of the metric, as far as its noise depends on it.
#[derive(Clone, Copy)]
enum Known {
    Accuracy(f64),
    Error,
}

fn known(seen: &Observations<'_>) -> Option<Known> {
    let curves = seen.curves?;
    match curves.metric? {
        CurveMetric::Accuracy => Some(Known::Accuracy(Typical::of(curves).valid_metric.level()?)),
        CurveMetric::Rmse => Some(Known::Error),
    }
}
