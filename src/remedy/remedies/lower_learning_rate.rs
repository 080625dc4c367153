//! A lower learning rate.
use super::{because, is_coarse, rounded, BuiltIn, Draft};
use crate::{
    diagnose::{Finding, Label},
    remedy::Start,
    train::RangeTestReport,
};

pub(super) const REMEDY: BuiltIn = BuiltIn {
    name: "lower-learning-rate",
    summary: "A learning rate that is 3, 10 or 100 times as low",
    treats: &[
        ("unstable_learning", 0.92),
        ("dead_units", 0.8),
        ("cannot_fit_one_batch", 0.65),
        ("underfit_flat", 0.55),
        ("underfit_capacity", 0.9),
        ("high_variance", 0.5),
        ("coarse_learning_rate", 0.8),
    ],
    source: "Bengio 2012, arXiv:1206.5533, section 3.1.1",
    drafts,
};

/// What is left of the priority of a lower rate where a range test speaks against it.
const TESTED: f64 = 0.6;

fn drafts(finding: &Finding, start: &Start<'_>) -> Vec<Draft> {
    let factors: &[(f64, f64)] = match finding.kind {
        Some(Label::UnderfitCapacity | Label::HighVariance) => &[(10., 1.), (100., 0.7), (3., 0.6)],
        _ if is_coarse(finding) => &[(3., 1.)],
        _ if finding.name == "diverged" => &[(10., 1.), (100., 0.95), (3., 0.7)],
        _ => &[(10., 1.), (3., 0.9), (100., 0.85)],
    };
    let rate = start.config.optimizer.learning_rate();
    // A plateau has other causes where a range test says that the loss falls well at the present rate or above.
    let fine = |test: &RangeTestReport| test.valley.is_some_and(|valley| valley >= rate);
    let measured = finding.is(Label::UnderfitCapacity.name()) && start.range_test.is_some_and(fine);
    let drafts = factors.iter().map(|(factor, weight)| {
        let lower = rounded(rate / factor);
        let reason = match () {
            () if is_coarse(finding) => format!("The rate is {rate}, and {lower} may be better."),
            () => format!(
                "Steps that are too large overshoot the minimum: the rate is {rate}, and {lower} makes each \
             step {factor} times as small."
            ),
        };
        let effect = "The loss falls without jumps, and settles lower. It needs more epochs.";
        let weight = if measured { TESTED * weight } else { *weight };
        Draft::new(because(finding, reason), effect).set("learning_rate", lower).times(weight)
    });
    drafts.collect()
}
