//! Several kinds of regularization at once.
use super::{because, dropout, early_stopping, l2_penalty, too_many_weights, BuiltIn, Draft};
use crate::{diagnose::Finding, remedy::Start};

pub(super) const REMEDY: BuiltIn = BuiltIn {
    name: "regularization-cocktail",
    summary: "Early stopping, dropout and an L2 penalty at once, as far as they are not in place",
    treats: &[("overfit", 0.92), ("unrepresentative_train", 0.66)],
    source: "Kadra et al. 2021, arXiv:2106.11189",
    drafts,
};

/// The priority for a network that is far too large: no single kind is enough for it.
const FAR_TOO_LARGE: f64 = 1.08;

fn drafts(finding: &Finding, start: &Start<'_>) -> Vec<Draft> {
    let parts = [early_stopping::REMEDY, dropout::REMEDY, l2_penalty::REMEDY];
    let first = |part: &BuiltIn| (part.drafts)(finding, start).into_iter().find(|draft| !draft.is_by_hand());
    let drafts: Vec<Draft> = parts.iter().filter_map(first).collect();
    if drafts.len() < 2 {
        return vec![];
    }
    let reason =
        "Each kind of regularization alone takes away a part of the gap, and together they take away more.";
    let effect = "A smaller gap. On 40 tables, networks with tuned cocktails were better than with any single kind, and \
                  than boosted trees. All at once may be too much for a small network.";
    let weight = if too_many_weights(start).is_some() { FAR_TOO_LARGE } else { 1. };
    vec![drafts
        .into_iter()
        .fold(Draft::new(because(finding, reason), effect), Draft::and)
        .cost(1.2, 1.)
        .times(weight)]
}
