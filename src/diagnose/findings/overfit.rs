//! A validation loss that turns up while the training loss falls.
use super::{evidence, labelled, Labelled};
use crate::{
    diagnose::{
        series::{share, Series, Typical},
        words::{count, figure, percent},
        Curves, Evidence, Finding, Label, Mark, Observations, Rule,
    },
    Result,
};

/// Finds validation losses that turn up.
pub(super) struct Overfit;

impl Rule for Overfit {
    fn name(&self) -> &'static str {
        Label::Overfit.name()
    }

    fn detect(&self, seen: &Observations<'_>) -> Result<Vec<Finding>> {
        let Some(Labelled { probability, curves, typical }) = labelled(seen, Label::Overfit) else {
            return Ok(vec![]);
        };
        let turn = turn(&typical.valid);
        let how = turn.as_ref().map_or_else(String::new, |turn| {
            format!(
                ": its validation loss is lowest in epoch {} and ends {} higher",
                turn.epoch,
                percent(turn.cost)
            )
        });
        let source = "Prechelt 1998, doi:10.1007/3-540-49430-8_3";
        let finding = Finding::of(
            Label::Overfit,
            probability,
            format!("The network overfits its training rows{how}."),
            source,
        )
        .evidence_if(turn.as_ref().map(|turn| turn.evidence(curves)))
        .evidence_if(turn.as_ref().and_then(|turn| growth_of_the_gap(&typical, turn.epoch)))
        .evidence_if(evidence::gap(&typical))
        .evidence_if(evidence::fall_of_last_fifth("training", &typical.train))
        .evidence_if(evidence::metric_level(curves, &typical));
        let experiment = match &turn {
            Some(turn) => format!(
                "Train {}, or with early stopping, and compare both networks on rows that neither decision saw.",
                count(turn.epoch + 1, "epoch")
            ),
            None => "Train with half of the epochs, and compare both networks on other rows.".into(),
        };
        Ok(vec![finding.experiment(experiment)])
    }

    fn missing(&self, seen: &Observations<'_>) -> Vec<String> {
        let Some(curves) = seen.curves else { return vec![] };
        let known = curves.runs.iter().any(|run| !run.valid_loss.is_empty());
        match known {
            true => vec![],
            false => vec![
                "There is no validation loss, so nothing can be said about generalization: set rows aside, and record \
                 the loss on them after each epoch."
                    .into(),
            ],
        }
    }
}

/// The epoch at which the validation loss is lowest, and the cost of going on: how much higher it ends, as a
/// share.
struct Turn {
    epoch: usize,
    lowest: f64,
    end: f64,
    cost: f64,
}

fn turn(valid: &Series) -> Option<Turn> {
    let ((epoch, lowest), end) = (valid.lowest()?, valid.level()?);
    Some(Turn { epoch, lowest, end, cost: share(end - lowest, lowest)? })
}

impl Turn {
    fn evidence(&self, curves: &Curves) -> Evidence {
        let turns: Vec<usize> =
            curves.runs.iter().filter_map(|run| Some(Series::of(&run.valid_loss).lowest()?.0)).collect();
        let range = match (turns.iter().min(), turns.iter().max()) {
            (Some(low), Some(high)) if turns.len() > 1 => format!(" (runs: epochs {low} to {high})"),
            _ => String::new(),
        };
        let text = format!(
            "The validation loss turns up at epoch {}{range}: from {} it rises to {}, by {}.",
            self.epoch,
            figure(self.lowest),
            figure(self.end),
            percent(self.cost)
        );
        Evidence::new(text).value(self.cost).mark(Mark::Epoch(self.epoch))
    }
}

/// The gap of the two losses at the turn and at the end.
fn growth_of_the_gap(typical: &Typical, turn: usize) -> Option<Evidence> {
    let (end, train, valid) = typical.end()?;
    let (before, after) = (typical.valid.at(turn)? - typical.train.at(turn)?, valid - train);
    let text = format!(
        "The gap between validation and training loss grows from {} at epoch {turn} to {} at epoch {end}.",
        figure(before),
        figure(after)
    );
    let mark = Mark::Epochs { from: turn, to: end };
    (end > turn && after > before).then(|| Evidence::new(text).value(after - before).mark(mark))
}
