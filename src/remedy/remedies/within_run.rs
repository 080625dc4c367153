//! Ensembles of networks of one run.
use super::{because, not_stopped, BuiltIn, Draft};
use crate::{diagnose::Finding, plan::LrSchedule, remedy::Start};

pub(super) const HORIZONTAL: BuiltIn = BuiltIn {
    name: "horizontal-ensemble",
    summary: "The mean prediction of the networks of the last epochs of one run",
    treats: &[("high_variance", 0.72), ("overfit", 0.2)],
    source: "Xie et al. 2013, arXiv:1306.2759",
    drafts: horizontal,
};

pub(super) const SNAPSHOT: BuiltIn = BuiltIn {
    name: "snapshot-ensemble",
    summary: "The mean prediction of 5 networks of one run, at the ends of cosine cycles",
    treats: &[("high_variance", 0.7), ("overfit", 0.3), ("unrepresentative_train", 0.3)],
    source: "Huang et al. 2017, arXiv:1704.00109",
    drafts: snapshot,
};

fn horizontal(finding: &Finding, start: &Start<'_>) -> Vec<Draft> {
    let last = (start.config.epochs / 5).min(10);
    if start.setup.strategy.is_some() || last < 2 {
        return vec![];
    }
    let reason =
        format!("The result depends on the epoch at which training ends: use the mean of the last {last}.");
    let effect = "Less spread over the last epochs for one training. The spread from run to run stays.";
    vec![not_stopped(Draft::new(because(finding, reason), effect), start)
        .strategy(format!("horizontal:{last}"))
        .cost(1., last as f64)]
}

fn snapshot(finding: &Finding, start: &Start<'_>) -> Vec<Draft> {
    if start.setup.strategy.is_some() || start.config.epochs < 20 {
        return vec![];
    }
    let reason =
        "Each restart of the learning rate leads to another network, and the mean varies less than each.";
    let effect = "A part of the gain of 5 runs for the cost of one. Cycles of few epochs give networks that \
                  are worse.";
    let draft = not_stopped(Draft::new(because(finding, reason), effect), start);
    // The cycles set the rate of every step.
    let draft = match start.config.schedule == LrSchedule::default() {
        true => draft,
        false => draft.set("schedule", "constant"),
    };
    vec![draft.strategy("snapshot:5").cost(1., 5.)]
}
