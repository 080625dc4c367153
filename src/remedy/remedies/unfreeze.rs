//! Training of all layers.
use super::{because, BuiltIn, Draft};
use crate::{diagnose::Finding, remedy::Start, train::Freeze};

pub(super) const REMEDY: BuiltIn = BuiltIn {
    name: "unfreeze",
    summary: "Training of layers that are frozen",
    treats: &[
        ("underfit_flat", 0.99),
        ("cannot_fit_one_batch", 0.95),
        ("underfit_capacity", 0.95),
        ("underfit_unfinished", 0.6),
    ],
    source: "Yosinski et al. 2014, arXiv:1411.1792",
    drafts,
};

fn drafts(finding: &Finding, start: &Start<'_>) -> Vec<Draft> {
    if start.config.freeze == Freeze::None {
        return vec![];
    }
    let reason = format!("The layers of {:?} are frozen and learn nothing.", start.config.freeze);
    let effect = "The network can fit the training rows. With few rows it may overfit.";
    vec![Draft::new(because(finding, reason), effect).set("freeze", "none")]
}
