//! A column that alone predicts the target.
use super::certainty;
use crate::{
    diagnose::{words::figure, ColumnScore, Evidence, Finding, LeakCheck, Observations, Problem, Rule},
    Result,
};

/// Finds columns that alone predict the target.
pub(super) struct TargetLeak;

/// From this score on, a column is suspicious: of an accuracy above that of the largest class, or `R²`.
const SCORE: f64 = 0.98;
/// At this score there is hardly another explanation.
const SURE: f64 = 0.9999;

impl Rule for TargetLeak {
    fn name(&self) -> &'static str {
        "target_leak"
    }

    fn detect(&self, seen: &Observations<'_>) -> Result<Vec<Finding>> {
        let Some(leaks) = seen.leaks else { return Ok(vec![]) };
        let Some(best) = leaks.best() else { return Ok(vec![]) };
        // On a logarithmic scale of what is missing to a perfect score.
        let missing = 1. - best.score;
        let Some(confidence) = certainty::log_ramp(missing.max(0.), 1. - SCORE, 1. - SURE) else {
            return Ok(vec![]);
        };
        let summary = format!(
            "Column {} of the inputs alone predicts the target{}: does it know what is to be predicted?",
            best.column,
            if missing < 1e-9 { " without an error" } else { " almost without an error" }
        );
        let source = "Kaufman, Rosset, Perlich and Stitelman 2012, doi:10.1145/2382577.2382579";
        let finding = Finding::new(self.name(), Problem::Data, confidence, summary, source)
            .evidence(of_column(best, leaks))
            .evidence_if(second(best, leaks))
            .experiment(
                "Find out when the column is written down. If it is not known when a prediction is made, leave it out, and \
                 train again.",
            );
        Ok(vec![finding])
    }
}

fn of_column(best: &ColumnScore, leaks: &LeakCheck) -> Evidence {
    let what = match leaks.classes {
        true => "the share of the errors without a model that it takes away",
        false => "R²",
    };
    let text = format!(
        "Column {} has a score of {} out of 1 on {} rows, each predicted from others ({what}).",
        best.column,
        figure(best.score),
        leaks.rows
    );
    Evidence::new(text).value(best.score)
}

/// The next column, which shows how unusual the first one is.
fn second(best: &ColumnScore, leaks: &LeakCheck) -> Option<Evidence> {
    let others = leaks.columns.iter().filter(|column| column.column != best.column);
    let next = others.reduce(|a, b| if b.score > a.score { b } else { a })?;
    let text = format!("The next best column, {}, has {}.", next.column, figure(next.score));
    Some(Evidence::new(text).value(next.score))
}
