//! A gap between training and validation loss that stays.
use super::{evidence, labelled, Labelled};
use crate::{
    diagnose::{
        series::{share, Typical},
        words::{count, figure, percent},
        Evidence, Finding, Label, Mark, Observations, Rule,
    },
    evaluate::TrainingSizeReport,
    Result,
};

/// Finds gaps between training and validation loss that stay.
pub(super) struct UnrepresentativeTrain;

impl Rule for UnrepresentativeTrain {
    fn name(&self) -> &'static str {
        Label::UnrepresentativeTrain.name()
    }

    fn detect(&self, seen: &Observations<'_>) -> Result<Vec<Finding>> {
        let Some(Labelled { probability, curves, typical }) = labelled(seen, Label::UnrepresentativeTrain)
        else {
            return Ok(vec![]);
        };
        let summary = "The training rows do not stand for the others: the validation loss stays above the training loss, \
                       though it does not turn up. There are too few of them, or they are of another kind.";
        let source = "Cortes, Jackel, Solla, Vapnik and Denker 1993, NIPS 6:327";
        let rows = curves.train_rows.map(|rows| {
            Evidence::new(format!("The network learned from {}.", count(rows, "row"))).value(rows as f64)
        });
        let finding = Finding::of(Label::UnrepresentativeTrain, probability, summary, source)
            .evidence_if(evidence::gap(&typical))
            .evidence_if(gap_of_second_half(&typical))
            .evidence_if(rise_from_the_lowest(&typical))
            .evidence_if(seen.training_size.and_then(more_rows))
            .evidence_if(rows)
            .evidence_if(evidence::metric_level(curves, &typical))
            .experiment(
                "Train on half of the training rows. If the gap grows clearly, more rows will make it smaller. If it \
                 does not, the training rows are of another kind than the validation rows: compare the columns of both.",
            );
        Ok(vec![finding])
    }

    fn missing(&self, seen: &Observations<'_>) -> Vec<String> {
        match seen.named(Label::UnrepresentativeTrain) {
            Some(_) if seen.training_size.is_none() => vec![
                "Whether more training rows would close the gap is told by a curve over training-set sizes \
                 (TrainingSizeCurve)."
                    .into(),
            ],
            _ => vec![],
        }
    }
}

/// The gap halfway and at the end.
fn gap_of_second_half(typical: &Typical) -> Option<Evidence> {
    let (to, train, valid) = typical.end()?;
    let from = to / 2;
    let half = typical.valid.at(from)? - typical.train.at(from)?;
    let text = format!(
        "The gap between validation and training loss is {} at epoch {from} and {} at epoch {to}.",
        figure(half),
        figure(valid - train)
    );
    Some(Evidence::new(text).value(valid - train - half).mark(Mark::Epochs { from, to }))
}

/// How far the validation loss ends above its lowest value.
fn rise_from_the_lowest(typical: &Typical) -> Option<Evidence> {
    let ((epoch, lowest), end) = (typical.valid.lowest()?, typical.valid.level()?);
    let rise = share(end - lowest, lowest)?;
    let text =
        format!("The validation loss ends {} above its lowest value, that of epoch {epoch}.", percent(rise));
    Some(Evidence::new(text).value(rise))
}

/// What the last increase of the training rows gained.
fn more_rows(report: &TrainingSizeReport) -> Option<Evidence> {
    let [.., before, last] = report.points.as_slice() else { return None };
    let (from, to) = (before.validation_summary.mean, last.validation_summary.mean);
    let better = if report.higher_is_better { to > from } else { to < from };
    let verdict = if better { "so more rows help" } else { "so more rows alone do not help" };
    let text = format!(
        "From {} to {} training rows, the {} on the validation rows goes from {} to {}, {verdict}.",
        before.rows,
        last.rows,
        report.metric,
        figure(from),
        figure(to)
    );
    Some(Evidence::new(text).value(to - from))
}
