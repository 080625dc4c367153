//! A larger batch.
use super::{because, BuiltIn, Draft};
use crate::{diagnose::Finding, plan::BatchSize, remedy::Start};

pub(super) const REMEDY: BuiltIn = BuiltIn {
    name: "larger-batch",
    summary: "Batches of 4 times as many rows",
    treats: &[
        ("unstable_learning", 0.62),
        ("dead_units", 0.55),
        ("high_variance", 0.5),
        ("exploding_gradients", 0.4),
    ],
    source: "Smith et al. 2018, arXiv:1711.00489",
    drafts,
};

/// The size that a tiny batch is brought to.
const USUAL: usize = 32;

/// The gradient of fewer rows is mostly noise, which no learning rate takes away.
const TINY: usize = 8;

fn drafts(finding: &Finding, start: &Start<'_>) -> Vec<Draft> {
    let now = match start.config.batch_size {
        BatchSize::Fixed(rows) => rows,
        BatchSize::Online => 1,
        _ => return vec![],
    };
    let most = start.rows.unwrap_or(usize::MAX);
    let more = now.saturating_mul(4).max(USUAL).min(most);
    if more <= now {
        return vec![];
    }
    let reason = format!(
        "The mean gradient of {more} rows has {:.1} times less noise than that of {now}.",
        (more as f64 / now as f64).sqrt()
    );
    let effect = "Smoother steps, and fewer of them in an epoch: it may need more epochs or a higher rate.";
    let tiny = if now < TINY { 1.4 } else { 1. };
    vec![Draft::new(because(finding, reason), effect).batch(more).times(tiny)]
}
