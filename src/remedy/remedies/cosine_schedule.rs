//! A learning rate that falls.
use super::{because, BuiltIn, Draft};
use crate::{diagnose::Finding, plan::Schedule, remedy::Start};

pub(super) const REMEDY: BuiltIn = BuiltIn {
    name: "cosine-schedule",
    summary: "A learning rate that falls to 0 along a cosine",
    treats: &[("high_variance", 0.78), ("unstable_learning", 0.65), ("underfit_capacity", 0.48)],
    source: "Loshchilov and Hutter 2017, arXiv:1608.03983",
    drafts,
};

fn drafts(finding: &Finding, start: &Start<'_>) -> Vec<Draft> {
    if start.config.schedule.shape != Schedule::Constant {
        return vec![];
    }
    let reason = "With a constant rate the weights move to the end; with one that falls to 0 they settle.";
    let effect =
        "Less spread over the last epochs, and often a lower loss. The spread from run to run stays.";
    vec![Draft::new(because(finding, reason), effect).set("schedule", "cosine")]
}
