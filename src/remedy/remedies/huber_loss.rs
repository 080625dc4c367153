//! The Huber loss.
use super::{because, BuiltIn, Draft};
use crate::{diagnose::Finding, remedy::Start, train::Loss};

pub(super) const REMEDY: BuiltIn = BuiltIn {
    name: "huber-loss",
    summary: "A loss on which outliers have a bounded effect",
    treats: &[("unstable_learning", 0.4), ("exploding_gradients", 0.4), ("high_variance", 0.25)],
    source: "Huber 1964, doi:10.1214/aoms/1177703732",
    drafts,
};

fn drafts(finding: &Finding, start: &Start<'_>) -> Vec<Draft> {
    let usual =
        start.config.custom_loss.is_none() && matches!(start.config.loss, None | Some(Loss::MeanSquared));
    if !start.values() || start.output.is_distribution() || !usual {
        return vec![];
    }
    let reason = "The squared error of a single outlier can be larger than that of all other rows together.";
    let effect = "Outliers no longer make the loss jump. Without outliers there is no difference.";
    let draft = Draft::new(because(finding, reason), effect).set("loss", "huber:1");
    // The bound is in the unit of the targets.
    vec![match start.config.target_scaling {
        None => draft.set("target_scaling", "standardize"),
        Some(_) => draft,
    }]
}
