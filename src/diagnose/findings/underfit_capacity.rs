//! A training loss that has converged at a poor level.
use super::{evidence, labelled, Labelled};
use crate::{
    diagnose::{
        series::{share, Series},
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
            .evidence_if(smoothness(train))
            .evidence_if(evidence::gap(&typical))
            .evidence_if(evidence::without_a_model(seen, train))
            .evidence_if(evidence::metric_level(curves, &typical))
            .experiment(evidence::larger_network(level));
        Ok(vec![finding])
    }
}

/// From this share of its whole fall on, the noise of a plateau may come from a learning rate that is too high.
const NOISY: f64 = 0.02;

/// The noise of the training loss from epoch to epoch in the second half, as a share of its whole fall: a learning rate
/// that is too high shows in it, a network that is too small does not.
fn smoothness(train: &Series) -> Option<Evidence> {
    let noise = share(train.tail(0.5).noise()?, train.first()?.1 - train.level()?)?;
    let so = match noise < NOISY {
        true => "too little for a learning rate that is too high",
        false => "so that a learning rate that is too high may be the cause as well",
    };
    let text = format!(
        "In the second half, the training loss varies from epoch to epoch by {} of its whole fall, {so}.",
        percent(noise)
    );
    Some(Evidence::new(text).value(noise))
}
