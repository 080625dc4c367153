//! Batch normalization.
use super::{because, BuiltIn, Draft};
use crate::{
    diagnose::Finding,
    plan::{BatchSize, Value},
    remedy::Start,
};

pub(super) const REMEDY: BuiltIn = BuiltIn {
    name: "batch-normalization",
    summary: "Batch normalization, in a model that reads `batch_norm`",
    treats: &[
        ("vanishing_gradients", 0.8),
        ("saturated_units", 0.7),
        ("dead_units", 0.7),
        ("exploding_gradients", 0.6),
        ("underfit_flat", 0.5),
        ("unstable_learning", 0.4),
        ("underfit_unfinished", 0.4),
    ],
    source: "Ioffe and Szegedy 2015, arXiv:1502.03167",
    drafts,
};

fn drafts(finding: &Finding, start: &Start<'_>) -> Vec<Draft> {
    let tiny = match start.config.batch_size {
        BatchSize::Fixed(rows) => rows < 8,
        BatchSize::Online => true,
        _ => false,
    };
    let on = start.value("batch_norm") == Some(&Value::Flag(true));
    if !start.can_set("batch_norm") || on || tiny {
        return vec![];
    }
    let reason =
        "It brings the inputs of each layer to mean 0 and variance 1, whatever the layers before it do.";
    let effect = "Deep networks learn, and higher rates are stable. In a small network it makes no \
                  difference, or harm.";
    vec![Draft::new(because(finding, reason), effect).set("batch_norm", true).cost(1.3, 1.1)]
}
