//! Wider layers.
use super::{because, size_ratio, widths, widths_text, BuiltIn, Draft};
use crate::{
    diagnose::{Finding, Label},
    remedy::Start,
};

pub(super) const REMEDY: BuiltIn = BuiltIn {
    name: "wider-network",
    summary: "Hidden layers of 4 or 2 times as many units, in a model that reads `hidden`",
    treats: &[
        ("underfit_capacity", 0.92),
        ("cannot_fit_one_batch", 0.6),
        ("high_variance", 0.85),
        ("underfit_flat", 0.3),
        ("underfit_unfinished", 0.3),
    ],
    source: "Goodfellow, Bengio and Courville 2016, Deep Learning, section 11.4.1",
    drafts,
};

const EFFECT: &str =
    "The training loss falls below its plateau, unless the rest is noise that no network can remove.";

/// Layers of so few units are narrow.
const NARROW: usize = 8;

fn drafts(finding: &Finding, start: &Start<'_>) -> Vec<Draft> {
    let Some(now) = widths(start) else {
        let reason = because(finding, "The network may be too small for the rows.");
        return vec![Draft::new(reason, EFFECT).by_hand("double the units of the hidden layers").times(0.7)];
    };
    // The result of a narrow network hangs on its initial weights; that of a wide one varies for other reasons.
    if finding.is(Label::HighVariance.name()) && now.iter().all(|width| *width > NARROW) {
        return vec![];
    }
    // A batch that a narrow network cannot fit is most likely too much for it.
    let cannot_fit = finding.name == "cannot_fit_one_batch";
    let narrow = now.iter().all(|width| *width <= NARROW);
    let to = |wider: Vec<usize>, weight: f64| {
        let text = widths_text(&wider);
        let from = if now.is_empty() { "none".into() } else { widths_text(&now) };
        let reason =
            format!("The network may be too small for the rows: hidden layers of {text} in place of {from}.");
        let cost = size_ratio(&now, &wider, start);
        let draft = Draft::new(because(finding, reason), EFFECT).set("hidden", &*text);
        draft.cost(cost, cost).times(if cannot_fit && narrow { 1.5 * weight } else { weight })
    };
    match now.is_empty() {
        true => vec![to(vec![32], 1.)],
        false => {
            let by = |factor: usize| now.iter().map(|width| width.saturating_mul(factor)).collect();
            vec![to(by(4), 1.), to(by(2), 0.9)]
        }
    }
}
