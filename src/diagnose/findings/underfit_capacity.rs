//! A training loss that has converged at a poor level.
use super::{evidence, labelled, Labelled};
use crate::{
    diagnose::{
        series::share,
        words::{figure, percent},
        Evidence, Finding, Label, Mark, Observations, Rule,
    },
    Result,
};

/// Finds training losses that have converged at a poor level.
pub(super) struct UnderfitCapacity;

impl Rule for UnderfitCapacity {
    fn name(&self) -> &'static str {
        Label::UnderfitCapacity.name()
    }

    fn detect(&self, seen: &Observations<'_>) -> Result<Vec<Finding>> {
        let Some(Labelled { probability, curves, typical }) = labelled(seen, Label::UnderfitCapacity) else {
            return Ok(vec![]);
        };
        let train = &typical.train;
        let level = train.level();
        let plateau = level.zip(train.first()).and_then(|(level, (_, first))| {
            let left = share(level, first)?;
            let text = format!(
                "The training loss levels off at {}, which is {} of its first value, {}.",
                figure(level),
                percent(left),
                figure(first)
            );
            Some(Evidence::new(text).value(left).mark(Mark::Level(level)))
        });
        let how = level.map_or_else(String::new, |level| format!(", {}", figure(level)));
        let summary = format!(
            "The training loss has converged at a poor level{how}: the network is too small, or the columns say no more \
             about the target."
        );
        let source = "Goodfellow, Bengio and Courville 2016, Deep Learning, section 11.3";
        let finding = Finding::of(Label::UnderfitCapacity, probability, summary, source)
            .evidence_if(plateau)
            .evidence_if(evidence::fall_of_last_fifth("training", train))
            .evidence_if(evidence::gap(&typical))
            .evidence_if(evidence::without_a_model(seen, train))
            .evidence_if(evidence::metric_level(curves, &typical))
            .experiment(evidence::larger_network(level));
        Ok(vec![finding])
    }
}
