//! More epochs.
use super::{because, BuiltIn, Draft};
use crate::{diagnose::Finding, remedy::Start};

pub(super) const REMEDY: BuiltIn = BuiltIn {
    name: "more-epochs",
    summary: "4 or 2 times as many epochs",
    treats: &[
        ("underfit_unfinished", 0.92),
        ("slow_learning", 0.8),
        ("underfit_capacity", 0.88),
        ("underfit_flat", 0.35),
    ],
    source: "Goodfellow, Bengio and Courville 2016, Deep Learning, section 11.4",
    drafts,
};

/// A training that is shorter than this is not worth a small step.
const SHORT: usize = 30;

fn drafts(finding: &Finding, start: &Start<'_>) -> Vec<Draft> {
    let epochs = start.config.epochs;
    let draft = |to: usize, weight: f64| {
        let reason =
            format!("The training ended before the loss did: train for {to} epochs in place of {epochs}.");
        let effect = "The loss goes on falling. Where it has converged, more epochs gain nothing or overfit.";
        let cost = to as f64 / epochs.max(1) as f64;
        Draft::new(because(finding, reason), effect).epochs(to).cost(cost, 1.).times(weight)
    };
    vec![draft(epochs.saturating_mul(4).max(SHORT), 1.), draft(epochs.saturating_mul(2), 0.8)]
}
