//! Nothing is wrong.
use super::{evidence, high_variance, labelled, run_spread::RunSpread, Labelled};
use crate::{
    diagnose::{
        words::{count, figure},
        Evidence, Finding, Label, Observations, Rule,
    },
    Result,
};

/// Finds trainings in which nothing is wrong.
pub(super) struct GoodFit;

impl Rule for GoodFit {
    fn name(&self) -> &'static str {
        Label::GoodFit.name()
    }

    fn detect(&self, seen: &Observations<'_>) -> Result<Vec<Finding>> {
        let Some(Labelled { probability, curves, typical }) = labelled(seen, Label::GoodFit) else {
            return Ok(vec![]);
        };
        let summary = "Nothing is wrong: the losses have converged, with a small gap and a small spread.";
        let source = "Goodfellow, Bengio and Courville 2016, Deep Learning, section 5.2";
        let mut finding = Finding::of(Label::GoodFit, probability, summary, source)
            .evidence_if(evidence::fall_of_last_fifth("training", &typical.train))
            .evidence_if(evidence::gap(&typical))
            .evidence_if(RunSpread::of(curves)?.as_ref().and_then(spread))
            .evidence_if(evidence::metric_level(curves, &typical));
        finding = high_variance::ensemble(seen)?.into_iter().fold(finding, Finding::evidence);
        if seen.named(Label::UnderfitCapacity).is_some() {
            finding = finding.experiment(evidence::larger_network(typical.train.level()));
        }
        Ok(vec![finding])
    }
}

fn spread(spread: &RunSpread) -> Option<Evidence> {
    let sd = spread.total?.estimate;
    let text = format!(
        "The {} of {} is {} ± {} (standard deviation).",
        spread.name,
        count(spread.runs, "run"),
        figure(spread.ends.0),
        figure(sd)
    );
    Some(Evidence::new(text).value(sd))
}
