//! A training loss that hardly falls.
use super::{evidence, labelled, slow_learning, Labelled};
use crate::{
    diagnose::{
        words::{count, pair, percent},
        Finding, Label, Observations, Rule,
    },
    Result,
};

/// Finds training losses that hardly fall.
pub(super) struct UnderfitFlat;

impl Rule for UnderfitFlat {
    fn name(&self) -> &'static str {
        Label::UnderfitFlat.name()
    }

    fn detect(&self, seen: &Observations<'_>) -> Result<Vec<Finding>> {
        let Some(Labelled { probability, curves, typical }) = labelled(seen, Label::UnderfitFlat) else {
            return Ok(vec![]);
        };
        if slow_learning::falls_steadily(&typical.train) {
            return Ok(vec![]);
        }
        let train = &typical.train;
        let how = match (train.first(), train.lowest(), train.fall()) {
            (Some((_, first)), Some((_, lowest)), Some(fall)) => {
                let (from, to) = pair(first, lowest);
                let epochs = count(train.len(), "epoch");
                format!(", from {from} to {to} in {epochs}, by {}", percent(fall))
            }
            _ => String::new(),
        };
        let source = "Glorot and Bengio 2010, PMLR 9:249; Smith 2017, arXiv:1506.01186";
        let finding = Finding::of(
            Label::UnderfitFlat,
            probability,
            format!("The network does not learn: its training loss hardly falls{how}."),
            source,
        )
        .evidence_if(evidence::fall(train))
        .evidence_if(evidence::without_a_model(seen, train))
        .evidence_if(evidence::metric_level(curves, &typical))
        .evidence_if(evidence::learning_rate(seen))
        .experiment(
            "Run a learning-rate range test. If the loss falls at a larger rate, the rate was too small. If it falls at \
             no rate, the gradients vanish or the units are dead: measure them with a monitor, and train once with relu \
             units and initial weights drawn by he_uniform.",
        );
        Ok(vec![finding])
    }

    fn missing(&self, seen: &Observations<'_>) -> Vec<String> {
        let Some(curves) = seen.curves else {
            return vec![
                "There are no learning curves, and without them nothing can be said about learning.".into(),
            ];
        };
        let known = curves.runs.iter().any(|run| !run.train_loss.is_empty());
        match known {
            true => vec![],
            false => {
                vec!["There is no training loss, and without it little can be said about learning.".into()]
            }
        }
    }
}
