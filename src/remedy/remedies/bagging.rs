//! Bagging.
use super::{because, BuiltIn, Draft};
use crate::{diagnose::Finding, remedy::Start};

pub(super) const REMEDY: BuiltIn = BuiltIn {
    name: "bagging",
    summary: "The mean prediction of 10 networks, each on rows drawn with replacement",
    treats: &[("high_variance", 0.75), ("unrepresentative_train", 0.7), ("overfit", 0.58)],
    source: "Breiman 1996, doi:10.1007/BF00058655",
    drafts,
};

fn drafts(finding: &Finding, start: &Start<'_>) -> Vec<Draft> {
    if start.setup.strategy.is_some() {
        return vec![];
    }
    let reason = "Each network sees other rows, so the mean depends less on single ones.";
    let effect = "Less variance where networks depend on their rows. Each trains on about 63 % of the rows, \
                  so several runs on all rows are often as good or better.";
    vec![Draft::new(because(finding, reason), effect).strategy("bootstrap:10").cost(10., 10.)]
}
