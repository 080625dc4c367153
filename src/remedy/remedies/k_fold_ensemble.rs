//! An ensemble of folds.
use super::{because, BuiltIn, Draft};
use crate::{diagnose::Finding, remedy::Start};

pub(super) const REMEDY: BuiltIn = BuiltIn {
    name: "k-fold-ensemble",
    summary: "The mean prediction of 5 networks, each on four fifths of the rows",
    treats: &[("unrepresentative_train", 0.68), ("high_variance", 0.6), ("overfit", 0.45)],
    source: "Krogh and Vedelsby 1995, NIPS 7:231–238",
    drafts,
};

fn drafts(finding: &Finding, start: &Start<'_>) -> Vec<Draft> {
    if start.setup.strategy.is_some() || start.rows.is_some_and(|rows| rows < 10) {
        return vec![];
    }
    let reason = "Each row is left out by one network, so no row shapes all of them, and each has a \
                  held-out prediction.";
    let effect = "About the gain of 5 runs, and an honest score of every row without a further split.";
    vec![Draft::new(because(finding, reason), effect).strategy("k-fold:5").cost(4., 5.)]
}
