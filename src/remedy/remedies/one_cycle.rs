//! One cycle of the learning rate.
use super::{because, BuiltIn, Draft};
use crate::{diagnose::Finding, plan::Schedule, remedy::Start};

pub(super) const REMEDY: BuiltIn = BuiltIn {
    name: "one-cycle",
    summary: "A learning rate that rises to 3 times the present one and falls to almost 0",
    treats: &[("underfit_unfinished", 0.6), ("underfit_flat", 0.3), ("underfit_capacity", 0.35)],
    source: "Smith and Topin 2018, arXiv:1708.07120",
    drafts,
};

fn drafts(finding: &Finding, start: &Start<'_>) -> Vec<Draft> {
    let rate = super::rounded(start.config.optimizer.learning_rate() * 3.);
    if start.config.schedule.shape != Schedule::Constant
        || rate > super::highest_rate(&start.config.optimizer)
    {
        return vec![];
    }
    let reason = format!("A rate that reaches {rate} for a short time learns more in the same epochs.");
    let effect = "More is learned in as many epochs, and the end is smooth.";
    vec![Draft::new(because(finding, reason), effect).set("schedule", "one-cycle").set("learning_rate", rate)]
}
