//! Narrower layers.
use super::{because, size_ratio, too_many_weights, widths, widths_text, BuiltIn, Draft};
use crate::{diagnose::Finding, remedy::Start};

pub(super) const REMEDY: BuiltIn = BuiltIn {
    name: "smaller-network",
    summary: "Hidden layers of a quarter or a sixteenth of the units, in a model that reads `hidden`",
    treats: &[("overfit", 0.72), ("unrepresentative_train", 0.6), ("high_variance", 0.3)],
    source: "Goodfellow, Bengio and Courville 2016, Deep Learning, section 11.4.1",
    drafts,
};

/// Layers are not made narrower than this.
const LEAST: usize = 4;

const EFFECT: &str =
    "Less overfitting, and a cheaper network. Penalties on a larger network are often better.";

/// The priority of a network that is far too large: its size comes before penalties.
const FAR_TOO_LARGE: f64 = 1.25;

fn drafts(finding: &Finding, start: &Start<'_>) -> Vec<Draft> {
    let Some(now) = widths(start) else {
        let reason = because(finding, "The network may have units enough to learn its rows by heart.");
        return vec![Draft::new(reason, EFFECT).by_hand("halve the units of the hidden layers").times(0.7)];
    };
    let too_many = too_many_weights(start);
    let size = if too_many.is_some() { FAR_TOO_LARGE } else { 1. };
    let by = |(divisor, weight): (usize, f64)| {
        let narrower: Vec<_> = now.iter().map(|width| (width / divisor).max(LEAST).min(*width)).collect();
        let text = widths_text(&narrower);
        let reason = match too_many {
            Some(per_row) => {
                format!("The network has {per_row:.0} weights for each row to learn from: hidden layers of {text}.")
            }
            None => {
                format!("The network has units enough to learn its rows by heart: hidden layers of {text}.")
            }
        };
        let cost = size_ratio(&now, &narrower, start);
        Draft::new(because(finding, reason), EFFECT)
            .set("hidden", &*text)
            .cost(cost, cost)
            .times(weight * size)
    };
    match now.is_empty() {
        true => vec![],
        false => [(4, 1.), (16, 0.9)].into_iter().map(by).collect(),
    }
}
