//! What only other rows can solve.
use super::{because, BuiltIn, Draft};
use crate::{diagnose::Finding, remedy::Start};

pub(super) const MORE: BuiltIn = BuiltIn {
    name: "more-rows",
    summary: "More training rows, by hand",
    treats: &[("too_few_rows", 1.), ("unrepresentative_train", 0.98), ("overfit", 0.38)],
    source: "Hestness et al. 2017, arXiv:1712.00409",
    drafts: |finding, start| {
        let now =
            start.rows.map(|rows| format!(" The present {rows} rows are few for it.")).unwrap_or_default();
        let reason =
            format!("Rows that the network has not seen differ from those that it learned from.{now}");
        let effect = "The gap falls with the number of rows, about by a power law. A learning curve over \
                      sizes of the training set shows how much is left to gain.";
        vec![Draft::new(because(finding, reason), effect).by_hand(
            "collect more rows like those that the network will be used on, or augment the present ones",
        )]
    },
};

pub(super) const VALIDATION: BuiltIn = BuiltIn {
    name: "more-validation-rows",
    summary: "More validation rows, or k-fold cross-validation, by hand",
    treats: &[("small_validation", 0.97), ("unrepresentative_validation", 0.97)],
    source: "Varoquaux 2018, doi:10.1016/j.neuroimage.2017.06.061",
    drafts: |finding, start| {
        let effect = "Scores that tell small differences apart. The network itself stays the same.";
        let reason = "The score of these rows says little about others, and so do decisions by it.";
        let mut drafts = vec![Draft::new(because(finding, reason), effect).by_hand(
            "set more rows aside for validation, class by class and group by group, or train with k-fold:5, \
             which has a held-out prediction for every row",
        )];
        if start.setup.validation.is_some_and(|share| share < 0.3) {
            let reason = "Early stopping by so few rows follows their noise: set 30 % aside.";
            drafts.push(Draft::new(because(finding, reason), effect).validation(0.3).times(0.7));
        }
        drafts
    },
};

pub(super) const DEDUPLICATE: BuiltIn = by_hand(
    "remove-duplicates",
    "No row on both sides of the split, by hand",
    &[("duplicates", 1.)],
    "Barz and Denzler 2020, arXiv:1902.00423",
    |finding, _| {
        told(
            finding,
            "remove one of each pair of equal rows, or give equal rows one group \
             (TensorDataset::with_groups) and split by groups",
            "A score that is not too good. It falls.",
        )
    },
);

pub(super) const GROUPS: BuiltIn = by_hand(
    "split-by-groups",
    "Whole groups on one side of the split, by hand",
    &[("groups_split_apart", 1.)],
    "Roberts et al. 2017, doi:10.1111/ecog.02881",
    |finding, _| {
        told(
            finding,
            "give the data set its groups (TensorDataset::with_groups); strategies and splits then keep \
             each group whole",
            "A score that holds for new groups. It falls.",
        )
    },
);

pub(super) const LEAK: BuiltIn = by_hand(
    "drop-leaking-column",
    "No column that knows the target, by hand",
    &[("target_leak", 1.), ("first_loss_too_low", 0.6)],
    "Kaufman et al. 2012, doi:10.1145/2382577.2382579",
    |finding, _| {
        told(
            finding,
            "find out whether the column is known when a prediction is made; if it is not, leave it out and \
             train again",
            "A score that holds in use. It falls.",
        )
    },
);

pub(super) const DRIFT: BuiltIn = by_hand(
    "match-the-splits",
    "Training rows like those of use, by hand",
    &[("drift", 1.)],
    "Sugiyama, Krauledat and Müller 2007, JMLR 8:985–1005",
    |finding, _| {
        told(
            finding,
            "split at random within time and place if the difference is an accident; if use differs from \
             training, weight the training rows by their likeness to it (TensorDataset::with_weights), or \
             collect rows like it",
            "Scores that hold in use.",
        )
    },
);

const fn by_hand(
    name: &'static str,
    summary: &'static str,
    treats: &'static [(&'static str, f64)],
    source: &'static str,
    drafts: fn(&Finding, &Start<'_>) -> Vec<Draft>,
) -> BuiltIn {
    BuiltIn { name, summary, treats, source, drafts }
}

fn told(finding: &Finding, what: &str, effect: &'static str) -> Vec<Draft> {
    let reason = "Scores mean little before it is solved.";
    vec![Draft::new(because(finding, reason), effect).by_hand(what)]
}
