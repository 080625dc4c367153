//! A training loss that becomes infinite or NaN.
use super::evidence;
use crate::{
    diagnose::{
        series::{usable, Series},
        words::{count, figure},
        Curve, Evidence, Finding, Label, Mark, Observations, Problem, Rule,
    },
    Result,
};

/// Finds runs whose losses are not finite at the end.
pub(super) struct Diverged;

/// The first epoch from which on the losses of a run are not finite; `None` if the run ends with a finite
/// loss. A loss that is missing in the last epoch is no divergence where the other one is there.
pub(super) fn diverged_at(run: &Curve) -> Option<usize> {
    let last = run.epochs().checked_sub(1)?;
    let finite = |epoch: usize| {
        [&run.train_loss, &run.valid_loss].iter().any(|loss| loss.get(epoch).is_some_and(|x| usable(*x)))
    };
    let end = (0..=last).rev().find(|epoch| finite(*epoch));
    match end {
        Some(end) if end == last => None,
        Some(end) => Some(end + 1),
        None => Some(0),
    }
}

impl Rule for Diverged {
    fn name(&self) -> &'static str {
        "diverged"
    }

    fn detect(&self, seen: &Observations<'_>) -> Result<Vec<Finding>> {
        let runs = seen.curves.map(|curves| curves.runs.as_slice()).unwrap_or_default();
        let ends: Vec<(usize, &Curve)> =
            runs.iter().filter_map(|run| Some((diverged_at(run)?, run))).collect();
        let Some(first) = ends.iter().map(|(epoch, _)| *epoch).min() else { return Ok(vec![]) };
        let (how_many, of) = (ends.len(), count(runs.len(), "run"));
        let summary = format!(
            "The training diverges: the loss of {how_many} of {of} is infinite or not a number, from epoch {first} on."
        );
        let text = format!(
            "{how_many} of {of} {} with a loss that is not finite, the earliest from epoch {first} on.",
            if how_many == 1 { "ends" } else { "end" }
        );
        let lost = Evidence::new(text).value(how_many as f64).mark(Mark::Epoch(first));
        let source =
            "Zhang, Shen, Ma, Zhai and Lin 2024, doi:10.1109/TDSC.2024.3450951; Bengio 2012, arXiv:1206.5533";
        let finding = Finding::new(self.name(), Problem::Learning, 1., summary, source)
            .kind(Label::UnstableLearning)
            .evidence(lost)
            .evidence_if(growth(&ends))
            .evidence_if(evidence::learning_rate(seen))
            .experiment(
                "Train with a tenth of the learning rate, and once more with standardized inputs and targets. If only the \
                 second one stays finite, the scale of the data was the cause.",
            );
        Ok(vec![finding])
    }
}

/// How far the loss rose before it was lost, in the run in which it rose most.
fn growth(ends: &[(usize, &Curve)]) -> Option<Evidence> {
    let rise = |run: &Curve| {
        let loss = Series::of(&run.train_loss);
        let ((_, low), (_, last)) = (loss.lowest()?, loss.last()?);
        (low > 0. && last > low).then_some((last / low, low, last))
    };
    let most = ends.iter().filter_map(|(_, run)| rise(run)).reduce(|a, b| if b.0 > a.0 { b } else { a })?;
    let text = format!(
        "Before that, the training loss rose from {} to {}, by a factor of {}.",
        figure(most.1),
        figure(most.2),
        figure(most.0)
    );
    Some(Evidence::new(text).value(most.0))
}
