//! Early stopping from text.
use crate::{
    registry::{Argument, Entry, Registry},
    train::{EarlyStopping, Retrain, StoppingCriterion},
};
use std::sync::LazyLock;

const EPOCHS: &[Argument] = &[
    Argument::new("patience", "10", "Epochs without improvement after which the run stops"),
    Argument::new("min-delta", "0", "The least improvement that counts"),
];
const OF_CRITERIA: &[Argument] = &[
    Argument::new("restore-best", "true", "Whether the member gets the weights of the best epoch"),
    Argument::optional("metric", "The metric that is watched in place of the loss").nested(),
    Argument::new("start-epoch", "0", "Epochs at the start that do not count"),
    Argument::optional("baseline", "The value that the run has to beat"),
    Argument::new("again", "false", "Whether the network is trained again on all rows"),
];

impl EarlyStopping {
    /// The rules by name: `patience`, and the criteria of Prechelt, `generalization-loss`, `progress-quotient` and `up`.
    /// The trainer reads such a text from a run's setting `"early_stopping"`.
    ///
    /// ```
    /// use candle_ensemble::train::{EarlyStopping, Retrain};
    ///
    /// let rule = EarlyStopping::registry().parse("patience:5:metric=accuracy:again=true")?;
    /// assert_eq!((rule.patience, rule.metric.as_deref()), (5, Some("accuracy")));
    /// assert_eq!(rule.then, Retrain::FromScratch);
    /// let rule = EarlyStopping::registry().parse("patience:metric=interval-score:0.8")?;
    /// assert_eq!(rule.metric.as_deref(), Some("interval-score:0.8"));
    /// # Ok::<(), candle_ensemble::Error>(())
    /// ```
    #[must_use]
    pub fn registry() -> &'static Registry<Self> {
        static ARGUMENTS: LazyLock<[Vec<Argument>; 4]> = LazyLock::new(|| {
            let with = |own: &[Argument]| [own, OF_CRITERIA].concat();
            [
                with(EPOCHS),
                with(&[Argument::new("alpha", "5", "Percent by which the loss may be above the best")]),
                with(&[
                    Argument::new(
                        "alpha",
                        "0.75",
                        "The largest quotient of generalization loss and progress",
                    ),
                    Argument::new("strip", "5", "Epochs over which the progress is measured"),
                ]),
                with(&[
                    Argument::new("strips", "3", "Strips in a row in which the loss has to rise"),
                    Argument::new("length", "5", "Epochs of a strip"),
                ]),
            ]
        });
        static REGISTRY: LazyLock<Registry<EarlyStopping>> = LazyLock::new(|| {
            let [patience, loss, quotient, up] = &*ARGUMENTS;
            let entries = vec![
                Entry::new("patience", "EarlyStopping", "After epochs without improvement", |arguments| {
                    let (patience, min_delta) = (arguments.get("patience")?, arguments.get("min-delta")?);
                    let rule = of_criteria(arguments)?;
                    Ok(EarlyStopping { patience, min_delta, ..rule })
                })
                .with_arguments(patience),
                Entry::new(
                    "generalization-loss",
                    "StoppingCriterion::GeneralizationLoss",
                    "When the loss is a share above the best",
                    |arguments| {
                        let criterion =
                            StoppingCriterion::GeneralizationLoss { alpha: arguments.get("alpha")? };
                        Ok(EarlyStopping { criterion, ..of_criteria(arguments)? })
                    },
                )
                .with_arguments(loss),
                Entry::new(
                    "progress-quotient",
                    "StoppingCriterion::ProgressQuotient",
                    "When that share is large against the progress of the training",
                    |arguments| {
                        let (alpha, strip) = (arguments.get("alpha")?, arguments.get("strip")?);
                        let criterion = StoppingCriterion::ProgressQuotient { alpha, strip };
                        Ok(EarlyStopping { criterion, ..of_criteria(arguments)? })
                    },
                )
                .with_arguments(quotient),
                Entry::new(
                    "up",
                    "StoppingCriterion::Up",
                    "When the loss rises in strips in a row",
                    |arguments| {
                        let (strips, length) = (arguments.get("strips")?, arguments.get("length")?);
                        let criterion = StoppingCriterion::Up { strips, length };
                        Ok(EarlyStopping { criterion, ..of_criteria(arguments)? })
                    },
                )
                .with_arguments(up),
            ];
            Registry::new("rule of early stopping", entries)
        });
        &REGISTRY
    }
}

/// What all rules share.
fn of_criteria(arguments: &crate::registry::Arguments) -> crate::Result<EarlyStopping> {
    let again: bool = arguments.get("again")?;
    Ok(EarlyStopping {
        restore_best: arguments.get("restore-best")?,
        metric: arguments.optional("metric")?,
        start_epoch: arguments.get("start-epoch")?,
        baseline: arguments.optional("baseline")?,
        then: if again { Retrain::FromScratch } else { Retrain::No },
        ..EarlyStopping::default()
    })
}
