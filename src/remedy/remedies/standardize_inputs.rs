//! Inputs on one scale.
use super::{because, scaling, BuiltIn, Draft};
use crate::{diagnose::Finding, remedy::Start};

pub(super) const REMEDY: BuiltIn = BuiltIn {
    name: "standardize-inputs",
    summary: "Input columns with mean 0 and standard deviation 1",
    treats: &[
        ("unscaled_inputs", 1.),
        ("first_loss_too_high", 0.85),
        ("unstable_learning", 0.68),
        ("cannot_fit_one_batch", 0.68),
        ("saturated_units", 0.6),
        ("exploding_gradients", 0.6),
        ("underfit_flat", 0.6),
        ("dead_units", 0.5),
        ("underfit_capacity", 0.55),
        ("underfit_unfinished", 0.45),
        ("high_variance", 0.25),
    ],
    source: "LeCun et al. 1998, Efficient BackProp, doi:10.1007/3-540-49430-8_2",
    drafts,
};

fn drafts(finding: &Finding, start: &Start<'_>) -> Vec<Draft> {
    if start.config.input_scaling.is_some() {
        return vec![];
    }
    let reason =
        "One learning rate suits all weights only if the inputs are on one scale, and the trainer does not \
         scale them.";
    let effect = "The loss falls evenly and faster. Inputs that are on one scale already make no difference.";
    let draft = Draft::new(because(finding, reason), effect).set("input_scaling", "standardize");
    scaling(draft, start.scales.map(|scales| scales.inputs.as_slice()))
}
