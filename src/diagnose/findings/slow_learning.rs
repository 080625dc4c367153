//! A training loss that falls steadily, but far too slowly.
use super::{evidence, labelled, underfit_unfinished};
use crate::{
    diagnose::{
        extrapolation::epochs_until_it_stops,
        series::Series,
        words::{count, percent},
        Evidence, Finding, Label, Observations, Problem, Rule,
    },
    Result,
};

/// Finds training losses that fall steadily, but so slowly that the learning rate is the likelier cause.
pub(super) struct SlowLearning;

/// From this share of falling epochs on a flat loss falls steadily: noise alone falls in half of them.
const STEADY: f64 = 0.9;
/// The fewest epochs that show whether a loss falls steadily.
const EPOCHS: usize = 10;
/// From how many times the epochs on a training is too slow rather than too short.
const TOO_MANY: f64 = 4.;
/// Up to this fall of the loss, as a share of its first value, it has hardly begun.
const BEGUN: f64 = 0.2;

/// Whether a loss is that of slow learning.
type Test = fn(&Series) -> bool;

/// Whether a loss falls in nearly every epoch.
pub(super) fn falls_steadily(loss: &Series) -> bool {
    loss.len() >= EPOCHS && loss.share_of_falls().is_some_and(|share| share >= STEADY)
}

/// Whether a loss has hardly begun to fall, and every fitted curve would need many times the epochs.
pub(super) fn needs_many_times_the_epochs(loss: &Series) -> bool {
    let epochs = loss.last().map_or(0., |(last, _)| (last + 1) as f64);
    loss.fall().is_some_and(|fall| fall <= BEGUN)
        && epochs_until_it_stops(loss).is_some_and(|(low, _)| low >= TOO_MANY * epochs)
}

impl Rule for SlowLearning {
    fn name(&self) -> &'static str {
        "slow_learning"
    }

    fn detect(&self, seen: &Observations<'_>) -> Result<Vec<Finding>> {
        let kinds: [(Label, Test); 2] =
            [(Label::UnderfitFlat, falls_steadily), (Label::UnderfitUnfinished, needs_many_times_the_epochs)];
        let found = kinds.into_iter().filter_map(|(kind, slow)| {
            let known = labelled(seen, kind)?;
            let train = &known.typical.train;
            let (fall, steady) = (train.fall()?, train.share_of_falls()?);
            let summary = format!(
                "The network learns far too slowly: its training loss falls by only {} in {}.",
                percent(fall),
                count(train.len(), "epoch")
            );
            let text = format!("The training loss falls in {} of the epochs.", percent(steady));
            let source = "Smith 2017, arXiv:1506.01186; Bengio 2012, arXiv:1206.5533";
            let finding = Finding::new(self.name(), Problem::Learning, known.probability, summary, source)
                .kind(kind)
                .evidence(Evidence::new(text).value(steady))
                .evidence_if(evidence::fall(train))
                .evidence_if(evidence::fall_of_last_fifth("training", train))
                .evidence_if(underfit_unfinished::extrapolation(train))
                .evidence_if(evidence::without_a_model(seen, train))
                .evidence_if(evidence::learning_rate(seen))
                .experiment(
                    "Run a learning-rate range test, and train with ten times the learning rate. If the loss is then \
                     lower after the same number of epochs, the rate was too small; if it jumps, only more epochs help.",
                );
            slow(train).then_some(finding)
        });
        // Both kinds are one finding, under the likelier of them.
        Ok(found.reduce(|a, b| if b.confidence > a.confidence { b } else { a }).into_iter().collect())
    }
}
