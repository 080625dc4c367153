//! Validation rows that are training rows.
use super::certainty;
use crate::{
    diagnose::{
        words::{count, percent},
        Evidence, Finding, Observations, Problem, Rule,
    },
    evaluate::SplitCheck,
    Result,
};

/// Finds rows on both sides of the split, by their numbers and by their inputs.
pub(super) struct Duplicates;

/// From this share of the validation rows on, duplicates change a score.
const SHARE: f64 = 0.05;
/// At this share there is no doubt.
const SURE: f64 = 0.3;
/// The confidence for fewer duplicates: they are there, but a score hardly changes.
const FEW: f64 = 0.2;

impl Rule for Duplicates {
    fn name(&self) -> &'static str {
        "duplicates"
    }

    fn detect(&self, seen: &Observations<'_>) -> Result<Vec<Finding>> {
        let Some(split) = seen.split else { return Ok(vec![]) };
        let (both, alike) = (split.on_both_sides.len(), split.duplicates.len());
        if both + alike == 0 || split.test_rows == 0 {
            return Ok(vec![]);
        }
        let share = both.max(alike) as f64 / split.test_rows as f64;
        let confidence = certainty::ramp(share, SHARE, SURE).unwrap_or(FEW);
        let summary = format!(
            "{} of the validation rows are training rows as well, so their score is that of what was learned by heart.",
            percent(share)
        );
        let source = "Barz and Denzler 2020, arXiv:1902.00423";
        let finding = Finding::new(self.name(), Problem::Data, confidence, summary, source)
            .evidence_if(same_numbers(split))
            .evidence_if(same_inputs(split))
            .experiment(
                "Score the network on the validation rows without the duplicates. If the score is lower, they were the cause. \
                 Where inputs have few different values, new rows repeat as well, and duplicates do no harm.",
            );
        Ok(vec![finding])
    }
}

fn same_numbers(split: &SplitCheck) -> Option<Evidence> {
    let both = split.on_both_sides.len();
    let rows = count(both, "row");
    (both > 0).then(|| Evidence::new(format!("The numbers of {rows} are on both sides.")).value(both as f64))
}

fn same_inputs(split: &SplitCheck) -> Option<Evidence> {
    let alike = split.duplicates.len();
    let first = split.duplicates.first()?;
    let same = split.duplicates.iter().filter(|duplicate| duplicate.same_target).count();
    let text = format!(
        "{alike} of {} have the inputs of a training row, {same} of them with the same target: row {} those of row {}, for \
         instance.",
        count(split.test_rows, "validation row"),
        first.test,
        first.train
    );
    Some(Evidence::new(text).value(alike as f64))
}
