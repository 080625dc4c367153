//! Gradient clipping.
use super::{because, BuiltIn, Draft};
use crate::{diagnose::Finding, remedy::Start, train::Clip};

pub(super) const REMEDY: BuiltIn = BuiltIn {
    name: "clip-gradients",
    summary: "Gradients of a norm of at most 1",
    treats: &[
        ("exploding_gradients", 0.95),
        ("diverged", 0.8),
        ("unstable_learning", 0.72),
        ("dead_units", 0.4),
    ],
    source: "Pascanu, Mikolov and Bengio 2013, arXiv:1211.5063",
    drafts,
};

fn drafts(finding: &Finding, start: &Start<'_>) -> Vec<Draft> {
    if start.config.clip != Clip::None {
        return vec![];
    }
    let reason = "A single large gradient can undo many steps. A limit of its norm keeps its direction.";
    let effect =
        "Training that becomes NaN stays finite. It does not replace a suitable rate or scaled targets.";
    vec![Draft::new(because(finding, reason), effect).set("clip", "norm:1").cost(1.05, 1.)]
}
