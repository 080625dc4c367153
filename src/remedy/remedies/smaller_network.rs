//! Narrower layers.
use super::{because, size_ratio, widths, widths_text, BuiltIn, Draft};
use crate::{diagnose::Finding, remedy::Start};

pub(super) const REMEDY: BuiltIn = BuiltIn {
    name: "smaller-network",
    summary: "Hidden layers of a quarter of the units, in a model that reads `hidden`",
    treats: &[("overfit", 0.72), ("unrepresentative_train", 0.6), ("high_variance", 0.3)],
    source: "Goodfellow, Bengio and Courville 2016, Deep Learning, section 11.4.1",
    drafts,
};

/// Layers are not made narrower than this.
const LEAST: usize = 4;

fn drafts(finding: &Finding, start: &Start<'_>) -> Vec<Draft> {
    let Some(now) = widths(start).filter(|now| !now.is_empty()) else { return vec![] };
    let narrower: Vec<_> = now.iter().map(|width| (width / 4).max(LEAST).min(*width)).collect();
    let text = widths_text(&narrower);
    let reason = format!("The network has units enough to learn its rows by heart: hidden layers of {text}.");
    let effect = "Less overfitting, and a cheaper network. Penalties on a larger network are often better.";
    let cost = size_ratio(&now, &narrower, start);
    vec![Draft::new(because(finding, reason), effect).set("hidden", &*text).cost(cost, cost)]
}
