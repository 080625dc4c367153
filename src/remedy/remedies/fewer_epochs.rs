//! Fewer epochs.
use super::{because, BuiltIn, Draft};
use crate::{
    diagnose::{Finding, Mark},
    remedy::Start,
};

pub(super) const REMEDY: BuiltIn = BuiltIn {
    name: "fewer-epochs",
    summary: "As many epochs as there are before the validation loss turns",
    treats: &[("overfit", 0.7)],
    source: "Prechelt 1998, doi:10.1007/3-540-49430-8_3",
    drafts,
};

fn drafts(finding: &Finding, start: &Start<'_>) -> Vec<Draft> {
    let epoch = |mark| match mark {
        Mark::Epoch(epoch) => Some(epoch),
        _ => None,
    };
    let Some(turn) = finding.evidence.iter().find_map(|evidence| epoch(evidence.mark?)) else {
        return vec![];
    };
    let (epochs, now) = (turn.saturating_add(1), start.config.epochs);
    if epochs >= now {
        return vec![];
    }
    let reason = format!("The network is best after {epochs} of {now} epochs.");
    let effect =
        "The gain of early stopping without its validation rows. The best number differs from run to run.";
    vec![Draft::new(because(finding, reason), effect).epochs(epochs).cost(epochs as f64 / now as f64, 1.)]
}
