//! The order of findings, and which one hides which.
use crate::diagnose::{Finding, Label, Problem};

/// A finding hides another one from this share of the other's confidence on.
const ABOUT_AS_LIKELY: f64 = 0.75;

/// Sorts findings, the likeliest first, and says which have to wait for another one.
///
/// Of equally likely ones, the one that hides the other comes first, and then the order of the rules counts.
/// A finding waits for the likeliest of those that hide it and are at least about as likely: a rule may have
/// said so itself.
pub(super) fn rank(findings: &mut [Finding]) {
    findings.sort_by(|a, b| b.confidence.total_cmp(&a.confidence).then(stage(a).cmp(&stage(b))));
    let all: Vec<(String, Stage, f64)> =
        findings.iter().map(|f| (f.name.clone(), stage(f), f.confidence)).collect();
    for finding in findings.iter_mut().filter(|finding| finding.after.is_none()) {
        let own = stage(finding);
        let hides = |(_, stage, confidence): &&(String, Stage, f64)| {
            stage.hides(own) && *confidence >= ABOUT_AS_LIKELY * finding.confidence
        };
        // The list is sorted: of several that hide it, the first stage counts, and there the likeliest one.
        let first = all.iter().filter(hides).min_by_key(|(_, stage, _)| *stage);
        finding.after = first.map(|(name, _, _)| name.clone());
    }
}

/// The order in which problems are solved.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Stage {
    /// Rows that make every score wrong, such as the same rows on both sides of a split. Without a solution
    /// nothing can be said, not even that nothing is wrong.
    Rows,
    /// The training loss, which validation rows do not change.
    Learning,
    /// Validation rows that do not stand for new rows.
    Validation,
    /// What validation rows show.
    Scores,
    /// Nothing is wrong.
    Nothing,
}

impl Stage {
    fn hides(self, other: Self) -> bool {
        self == Self::Rows && other != Self::Rows || self < other && other != Self::Nothing
    }
}

fn stage(finding: &Finding) -> Stage {
    match finding.problem {
        Problem::Data if finding.kind == Some(Label::UnrepresentativeValidation) => Stage::Validation,
        Problem::Data => Stage::Rows,
        Problem::Learning => Stage::Learning,
        Problem::Generalization | Problem::Prediction => Stage::Scores,
        Problem::None => Stage::Nothing,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ranked(findings: &[(&str, Problem, Option<Label>, f64)]) -> Vec<(String, Option<String>)> {
        let mut findings: Vec<Finding> = findings
            .iter()
            .map(|(name, problem, kind, confidence)| Finding {
                kind: *kind,
                ..Finding::new(name, *problem, *confidence, "", "")
            })
            .collect();
        rank(&mut findings);
        findings.into_iter().map(|f| (f.name, f.after)).collect()
    }

    fn expected(order: &[(&str, Option<&str>)]) -> Vec<(String, Option<String>)> {
        order.iter().map(|(name, after)| ((*name).into(), after.map(Into::into))).collect()
    }

    use Problem::{Data, Generalization, Learning, None as Nothing, Prediction};

    #[test]
    fn leakage_comes_before_learning_and_learning_before_the_rest() {
        let found = ranked(&[
            ("high_variance", Prediction, None, 0.5),
            ("underfit_flat", Learning, None, 0.4),
            ("duplicates", Data, None, 1.),
        ]);
        let order = [
            ("duplicates", None),
            ("high_variance", Some("duplicates")),
            ("underfit_flat", Some("duplicates")),
        ];
        assert_eq!(found, expected(&order));
    }

    #[test]
    fn a_good_fit_is_not_believed_where_rows_leak() {
        let found = ranked(&[("good_fit", Nothing, None, 0.95), ("target_leak", Data, None, 0.9)]);
        assert_eq!(found, expected(&[("good_fit", Some("target_leak")), ("target_leak", None)]));
        let found = ranked(&[("good_fit", Nothing, None, 0.5), ("overfit", Generalization, None, 0.5)]);
        assert_eq!(found, expected(&[("overfit", None), ("good_fit", None)]));
    }

    #[test]
    fn an_unlikely_finding_hides_nothing() {
        let found = ranked(&[("underfit_flat", Learning, None, 0.3), ("overfit", Generalization, None, 0.5)]);
        assert_eq!(found, expected(&[("overfit", None), ("underfit_flat", None)]));
        let found =
            ranked(&[("underfit_flat", Learning, None, 0.375), ("overfit", Generalization, None, 0.5)]);
        assert_eq!(found, expected(&[("overfit", Some("underfit_flat")), ("underfit_flat", None)]));
    }

    #[test]
    fn validation_rows_hide_scores_but_not_the_training_loss() {
        let kind = Some(Label::UnrepresentativeValidation);
        let found = ranked(&[
            ("unrepresentative_validation", Data, kind, 0.9),
            ("slow_learning", Learning, None, 0.9),
            ("overfit", Generalization, None, 0.8),
            ("good_fit", Nothing, None, 0.1),
        ]);
        let order = [
            ("slow_learning", None),
            ("unrepresentative_validation", Some("slow_learning")),
            ("overfit", Some("slow_learning")),
            ("good_fit", None),
        ];
        assert_eq!(found, expected(&order));
    }
}
