//! A training that was stopped while the training loss still fell.
use super::{evidence, labelled, slow_learning, Labelled};
use crate::{
    diagnose::{
        extrapolation::{epochs_until_it_stops, FARTHEST},
        series::Series,
        words::{about, count, percent},
        Evidence, Finding, Label, Observations, Rule,
    },
    Result,
};

/// Finds training losses that still fall at the end.
pub(super) struct UnderfitUnfinished;

/// The fewest epochs that show a trend.
const EPOCHS: usize = 10;

impl Rule for UnderfitUnfinished {
    fn name(&self) -> &'static str {
        Label::UnderfitUnfinished.name()
    }

    fn detect(&self, seen: &Observations<'_>) -> Result<Vec<Finding>> {
        let Some(Labelled { probability, typical, .. }) = labelled(seen, Label::UnderfitUnfinished) else {
            return Ok(vec![]);
        };
        let train = &typical.train;
        if slow_learning::needs_many_times_the_epochs(train) {
            return Ok(vec![]);
        }
        let how = train.fall_of_last_fifth().map_or_else(String::new, |fall| {
            format!(": over the last fifth of the epochs it falls by {}", percent(fall))
        });
        let source = "Domhan, Springenberg and Hutter 2015, IJCAI; Bengio 2012, arXiv:1206.5533";
        let summary = format!("The training was stopped while the training loss still fell{how}.");
        let finding = Finding::of(Label::UnderfitUnfinished, probability, summary, source)
            .evidence_if(evidence::fall_of_last_fifth("training", train))
            .evidence_if(evidence::fall_of_last_fifth("validation", &typical.valid))
            .evidence_if(extrapolation(train))
            .evidence_if(evidence::gap(&typical))
            .evidence_if(evidence::learning_rate(seen))
            .experiment(format!(
                "Train {} with the same settings, and with three times the learning rate. If the validation loss ends \
                 lower, the training was too short; if it turns up, it was long enough.",
                count(4 * train.last().map_or(0, |(last, _)| last + 1), "epoch")
            ));
        Ok(vec![finding])
    }

    fn missing(&self, seen: &Observations<'_>) -> Vec<String> {
        let epochs = seen.curves.iter().flat_map(|curves| &curves.runs).map(|run| run.epochs()).max();
        match epochs {
            Some(epochs) if epochs < EPOCHS => vec![format!(
                "With {} trends are uncertain; {EPOCHS} or more would show whether the losses still change.",
                count(epochs, "epoch")
            )],
            _ => vec![],
        }
    }
}

/// After how many epochs the training loss would have stopped falling.
pub(super) fn extrapolation(train: &Series) -> Option<Evidence> {
    let epochs = (train.last()?.0 + 1) as f64;
    let (low, high) = epochs_until_it_stops(train).filter(|(low, _)| *low > 1.02 * epochs)?;
    let range = match (low.is_finite(), high.is_finite()) {
        (true, true) if about(low) == about(high) => format!("about {}", about(low)),
        (true, true) => format!("about {} to {}", about(low), about(high)),
        (true, false) => format!("about {} or many more", about(low)),
        _ => format!("more than {}", about(FARTHEST * epochs)),
    };
    let text = format!(
        "Extrapolated by an exponential or a power law that fits its second half, the training loss would have stopped \
         falling after {range} epochs in all, in place of {epochs}."
    );
    Some(Evidence::new(text).value(low))
}
