//! Targets on the scale of the outputs.
use super::{because, scaling, BuiltIn, Draft};
use crate::{diagnose::Finding, remedy::Start};

pub(super) const REMEDY: BuiltIn = BuiltIn {
    name: "standardize-targets",
    summary: "Target values with mean 0 and standard deviation 1",
    treats: &[
        ("unscaled_targets", 1.),
        ("first_loss_too_high", 0.95),
        ("exploding_gradients", 0.9),
        ("diverged", 0.94),
        ("unstable_learning", 0.85),
        ("cannot_fit_one_batch", 0.78),
        ("underfit_flat", 0.75),
        ("underfit_unfinished", 0.75),
        ("underfit_capacity", 0.7),
    ],
    source: "Bishop 1995, Neural Networks for Pattern Recognition, section 8.2",
    drafts,
};

fn drafts(finding: &Finding, start: &Start<'_>) -> Vec<Draft> {
    if !start.values() || start.config.target_scaling.is_some() {
        return vec![];
    }
    let reason =
        "The gradient grows with the error, so a rate suits targets of one size only, and the trainer does \
         not scale them.";
    let effect =
        "Targets in the hundreds no longer make the training diverge. Standardized ones make no difference.";
    let draft = Draft::new(because(finding, reason), effect).set("target_scaling", "standardize");
    scaling(draft, start.scales.map(|scales| scales.targets.as_slice()))
}
