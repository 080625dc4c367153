//! The mean of the weights over the end of a run.
use super::{because, not_stopped, steps, BuiltIn, Draft};
use crate::{diagnose::Finding, remedy::Start};

pub(super) const SWA: BuiltIn = BuiltIn {
    name: "stochastic-weight-averaging",
    summary: "The mean of the weights over the last half of the epochs",
    treats: &[("high_variance", 0.62), ("overfit", 0.4), ("unrepresentative_train", 0.3)],
    source: "Izmailov et al. 2018, arXiv:1803.05407",
    drafts: swa,
};

pub(super) const EMA: BuiltIn = BuiltIn {
    name: "moving-average",
    summary: "The exponential moving average of the weights",
    treats: &[("high_variance", 0.65), ("unstable_learning", 0.3)],
    source: "Tarvainen and Valpola 2017, arXiv:1703.01780",
    drafts: ema,
};

const EFFECT: &str =
    "Less spread over the last epochs at no cost in prediction. The spread from run to run stays.";

fn swa(finding: &Finding, start: &Start<'_>) -> Vec<Draft> {
    if start.config.averaging.is_some() || start.config.epochs < 4 {
        return vec![];
    }
    let reason = "The mean of many networks of one run lies in the middle of the region in which they move.";
    vec![not_stopped(Draft::new(because(finding, reason), EFFECT), start).set("averaging", "swa:0.5")]
}

fn ema(finding: &Finding, start: &Start<'_>) -> Vec<Draft> {
    if start.config.averaging.is_some() {
        return vec![];
    }
    // The average reaches over some 1 / (1 − decay) steps.
    let decay = if steps(start).is_some_and(|steps| steps > 10_000) { 0.999 } else { 0.99 };
    let reason = format!("An average over some {:.0} steps moves less than the network.", 1. / (1. - decay));
    let draft = not_stopped(Draft::new(because(finding, reason), EFFECT), start);
    vec![draft.set("averaging", &*format!("ema:{decay}")).cost(1.05, 1.)]
}
