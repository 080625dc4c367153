//! Noise on the inputs.
use super::{because, BuiltIn, Draft};
use crate::{
    diagnose::Finding,
    remedy::Start,
    train::{Noise, Noises},
};

pub(super) const REMEDY: BuiltIn = BuiltIn {
    name: "input-noise",
    summary: "Normal noise of 0.1 on the inputs in training",
    treats: &[("overfit", 0.35), ("unrepresentative_train", 0.4)],
    source: "Bishop 1995, doi:10.1162/neco.1995.7.1.108",
    drafts,
};

fn drafts(finding: &Finding, start: &Start<'_>) -> Vec<Draft> {
    let present = &start.config.noise;
    if present.iter().any(|noise| matches!(noise, Noise::Inputs(_))) {
        return vec![];
    }
    let noises: Noises = present.iter().cloned().chain([Noise::inputs(0.1)]).collect();
    let reason = "Rows that differ in each epoch cannot be learned by heart.";
    let effect =
        "It acts like a penalty on slopes. For inputs of standard deviation 1, noise of 0.1 often makes no \
                  difference, and does harm where classes are close.";
    vec![Draft::new(because(finding, reason), effect).set("noise", &*noises.to_string()).cost(1.1, 1.)]
}
