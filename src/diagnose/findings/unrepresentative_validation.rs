//! Validation rows that are too few, or easier than the training rows.
use super::{evidence, labelled, Labelled};
use crate::{
    diagnose::{
        series::{median, share, Series, Typical},
        spread::{accuracy_half_width, rmse_half_width, rows_for_accuracy, rows_for_rmse},
        words::{about, count, figure, percent},
        CurveMetric, Curves, Evidence, Finding, Label, Observations, Rule,
    },
    Result,
};

/// Finds validation rows that are too few, or easier than the training rows.
pub(super) struct UnrepresentativeValidation;

/// Up to this ratio of validation to training loss the validation rows are easier: less may be noise.
const EASIER: f64 = 0.9;
/// How well an accuracy should be known: ± 2 percentage points.
const ACCURACY_WITHIN: f64 = 0.02;
/// How well a root mean squared error should be known: ± 5 %.
const RMSE_WITHIN: f64 = 0.05;

impl Rule for UnrepresentativeValidation {
    fn name(&self) -> &'static str {
        Label::UnrepresentativeValidation.name()
    }

    fn detect(&self, seen: &Observations<'_>) -> Result<Vec<Finding>> {
        let label = Label::UnrepresentativeValidation;
        let Some(Labelled { probability, curves, typical }) = labelled(seen, label) else {
            return Ok(vec![]);
        };
        let (easier, noise) = (easier(&typical), noise(curves));
        let what = match (&easier, curves.valid_rows) {
            (Some(_), _) => "they are easier than the training rows".into(),
            (None, Some(rows)) => format!("{} are too few to tell the loss", count(rows, "row")),
            (None, None) => "they are too few to tell the loss".into(),
        };
        let source = "Raschka 2018, arXiv:1811.12808";
        let finding = Finding::of(
            label,
            probability,
            format!("The validation rows do not stand for new rows: {what}."),
            source,
        )
        .evidence_if(easier)
        .evidence_if(noise)
        .evidence_if(rows(curves, &typical))
        .evidence_if(evidence::metric_level(curves, &typical))
        .experiment(
            "Score the network on other validation rows, drawn at random, or by cross-validation. If the loss is then at \
             or above the training loss and changes smoothly, the validation rows were the cause. Dropout and noise in \
             training also raise the training loss above the validation loss: compare both without them.",
        );
        Ok(vec![finding])
    }

    fn missing(&self, seen: &Observations<'_>) -> Vec<String> {
        let unknown = seen.curves.is_some_and(|curves| curves.valid_rows.is_none());
        match seen.named(Label::UnrepresentativeValidation) {
            Some(_) if unknown => {
                vec!["With the number of validation rows, the noise of their score would be known.".into()]
            }
            _ => vec![],
        }
    }
}

/// The gap, where the validation loss ends below the training loss.
fn easier(typical: &Typical) -> Option<Evidence> {
    let (train, valid) = (typical.train.level()?, typical.valid.level()?);
    (valid <= EASIER * train).then(|| evidence::gap(typical)).flatten()
}

/// The noise of both losses from epoch to epoch in the second half, as shares of the validation loss: medians
/// over the runs.
fn noise(curves: &Curves) -> Option<Evidence> {
    let sizes = |of: fn(&crate::diagnose::Curve) -> &[f64]| {
        median(curves.runs.iter().filter_map(|run| {
            let level = median(Series::of(&run.valid_loss).tail(0.5).values())?;
            share(Series::of(of(run)).tail(0.5).noise()?, level)
        }))
    };
    let (valid, train) = (sizes(|run| &run.valid_loss)?, sizes(|run| &run.train_loss)?);
    let text = format!(
        "In the second half of the epochs, the validation loss varies about its trend by {} of its level, and the training \
         loss by {} of it.",
        percent(valid),
        percent(train)
    );
    Some(Evidence::new(text).value(valid))
}

/// How well the metric is known on so many validation rows, and how many would do.
fn rows(curves: &Curves, typical: &Typical) -> Option<Evidence> {
    let (rows, metric) = (curves.valid_rows.filter(|rows| *rows > 0)?, typical.valid_metric.level()?);
    let on = count(rows, "validation row");
    let (text, enough) = match curves.metric? {
        CurveMetric::Accuracy => {
            // An accuracy of 0 or 1 on few rows is not known exactly: half a row is added to both sides.
            let accuracy = (metric * rows as f64 + 0.5) / (rows as f64 + 1.);
            let half = accuracy_half_width(accuracy, rows);
            let enough = rows_for_accuracy(accuracy, ACCURACY_WITHIN);
            let text = format!(
                "On {on}, an accuracy of {} is known to ± {half:.2} (95 %); about {} rows would give \
                 ± {ACCURACY_WITHIN}.",
                figure(metric),
                about(enough)
            );
            (text, enough)
        }
        CurveMetric::Rmse => {
            let (half, enough) = (rmse_half_width(rows), rows_for_rmse(RMSE_WITHIN));
            let text = format!(
                "On {on}, a root mean squared error of {} is known to ± {} of it (95 %, normal errors); about {} rows would \
                 give ± {}.",
                figure(metric),
                percent(half),
                about(enough),
                percent(RMSE_WITHIN)
            );
            (text, enough)
        }
    };
    if rows as f64 >= enough {
        return None;
    }
    Some(Evidence::new(text).value(enough))
}
