//! A network that cannot fit a single batch.
use crate::{
    diagnose::{
        words::{count, figure},
        Evidence, Finding, Label, Observations, OneBatchReport, OneBatchTraining, Problem, Rule,
    },
    Result,
};

/// Finds networks that cannot fit a single batch, and learning rates with which they cannot.
pub(super) struct CannotFitOneBatch;

/// The confidence if no learning rate fits the batch.
const NONE_FITS: f64 = 0.9;
/// The confidence if another learning rate than the trainer's fits it.
const OTHER_FITS: f64 = 0.6;

impl Rule for CannotFitOneBatch {
    fn name(&self) -> &'static str {
        "cannot_fit_one_batch"
    }

    fn detect(&self, seen: &Observations<'_>) -> Result<Vec<Finding>> {
        let Some(report) = seen.one_batch else { return Ok(vec![]) };
        let Some(own) = report.trainings.first().filter(|own| !own.fitted) else { return Ok(vec![]) };
        let rows = count(report.rows, "row");
        let other = report.trainings.iter().find(|training| training.fitted);
        let (confidence, summary, kind, experiment) = match other {
            None => (
                NONE_FITS,
                format!("The network cannot fit a single batch of {rows}, with no learning rate that was tried."),
                Label::UnderfitFlat,
                "Train on one batch without hidden layers, and add them one by one. Where the loss stops falling is the \
                 fault: an activation function, the initial weights, or the loss. Check that inputs and targets of a row \
                 belong together.",
            ),
            Some(other) => (
                OTHER_FITS,
                format!(
                    "With its learning rate of {}, the network does not fit a single batch of {rows}; with {} it does.",
                    own.learning_rate, other.learning_rate
                ),
                if other.learning_rate > own.learning_rate { Label::UnderfitFlat } else { Label::UnstableLearning },
                "Train with the learning rate that fits the batch.",
            ),
        };
        let source = "Karpathy 2019, A Recipe for Training Neural Networks (overfit one batch)";
        let finding = Finding::new(self.name(), Problem::Learning, confidence, summary, source)
            .kind(kind)
            .with_curves(seen)
            .experiment(experiment);
        let evidence = report.trainings.iter().map(|training| of_training(training, report));
        Ok(vec![evidence.fold(finding, Finding::evidence)])
    }
}

fn of_training(training: &OneBatchTraining, report: &OneBatchReport) -> Evidence {
    let name = if report.classes { "accuracy" } else { "R²" };
    let OneBatchTraining { learning_rate, first_loss, loss, score, .. } = *training;
    let end = if training.diverged { ", and then it diverges" } else { "" };
    let steps = count(training.steps, "step");
    let text = format!(
        "In {steps} with the learning rate {learning_rate}, the loss goes from {} to {}, and the {name} reaches {}{end}.",
        figure(first_loss),
        figure(loss),
        figure(score)
    );
    Evidence::new(text).value(score)
}
