//! A loss that is not made for the targets.
use crate::{
    data::Task,
    diagnose::{words::figure, ColumnScale, Evidence, Finding, Observations, Problem, Rule, ScaleCheck},
    network::Output,
    train::{Loss, TrainConfig},
    Result,
};

/// Finds losses that are not made for the task, its targets or the outputs.
pub(super) struct LossDoesNotFitTask;

/// The most different whole numbers that may be numbers of classes.
const CLASSES: usize = 10;
/// Below this share of the targets' spread, Huber's threshold makes it an absolute error.
const NARROW: f64 = 0.01;
/// From this label smoothing on, little of the labels is left.
const SMOOTHING: f64 = 0.5;

/// What is wrong, how sure that is, and what to do.
struct Misfit {
    confidence: f64,
    what: String,
    experiment: &'static str,
}

impl Rule for LossDoesNotFitTask {
    fn name(&self) -> &'static str {
        "loss_does_not_fit_task"
    }

    fn detect(&self, seen: &Observations<'_>) -> Result<Vec<Finding>> {
        let (Some(config), Some(task)) = (seen.config, seen.task) else { return Ok(vec![]) };
        let output = seen.output.unwrap_or_default();
        let found = refused(config, task, output)
            .or_else(|| smoothed_away(config))
            .or_else(|| seen.scales.and_then(|scales| of_values(config, task, scales)));
        let Some(Misfit { confidence, what, experiment }) = found else { return Ok(vec![]) };
        let summary = format!("The loss does not fit the task: {what}.");
        let source = "Bishop 2006, Pattern Recognition and Machine Learning, section 5.2 (losses by the distribution of the \
                      targets)";
        let name = config.loss.map_or_else(|| "the default of the task".into(), |loss| format!("{loss:?}"));
        let evidence = Evidence::new(format!("The loss is {name}."));
        let finding = Finding::new(self.name(), Problem::Learning, confidence, summary, source);
        Ok(vec![finding.evidence(evidence).experiment(experiment)])
    }
}

/// A loss that the trainer refuses.
fn refused(config: &TrainConfig, task: Task, output: Output) -> Option<Misfit> {
    let e = config.loss?.check_fit(task, output).err()?;
    Some(Misfit {
        confidence: 1.,
        what: e.to_string(),
        experiment: "Train with the default loss of the task.",
    })
}

fn smoothed_away(config: &TrainConfig) -> Option<Misfit> {
    let Some(Loss::CrossEntropy { smoothing }) = config.loss else { return None };
    (smoothing >= SMOOTHING).then(|| Misfit {
        confidence: 0.8,
        what: format!("a label smoothing of {smoothing} leaves little of the labels; 0.1 is usual"),
        experiment: "Train without label smoothing.",
    })
}

/// A loss of values that does not fit their distribution.
fn of_values(config: &TrainConfig, task: Task, scales: &ScaleCheck) -> Option<Misfit> {
    let Task::Regression { .. } = task else { return None };
    if config.custom_loss.is_some() {
        return None;
    }
    let target: &ColumnScale = scales.targets.first()?;
    let spread = if config.target_scaling.is_some() { 1. } else { target.deviation };
    let default = "Train with the default loss of the task, the squared error.";
    let misfit = |confidence, what: String| Some(Misfit { confidence, what, experiment: default });
    match config.loss {
        Some(Loss::MeanSquaredLogarithmic { clip: true }) if target.smallest < 0. => misfit(
            0.9,
            format!(
                "the smallest target is {}, and targets below 0 count as 0 for the squared error of logarithms",
                figure(target.smallest)
            ),
        ),
        Some(Loss::CosineSimilarity) => misfit(
            0.6,
            "the cosine similarity trains directions, and not the values that are predicted".into(),
        ),
        Some(Loss::Huber { delta }) if delta < NARROW * spread => misfit(
            0.6,
            format!(
                "Huber's threshold {delta} is far below the spread of the targets, {}, so all its gradients are as small as \
                 the threshold",
                figure(spread)
            ),
        ),
        Some(Loss::Hinge | Loss::SquaredHinge) => misfit(
            0.6,
            "the hinge loss of values 1 and −1 separates two classes; the targets should be classes".into(),
        ),
        None | Some(Loss::MeanSquared) => {
            let different = scales.whole_numbers.filter(|n| (3..=CLASSES).contains(n))?;
            let from_zero = target.smallest == 0. && target.largest == (different - 1) as f64;
            from_zero.then(|| Misfit {
                confidence: 0.3,
                what: format!(
                    "the targets are the numbers 0 to {}; if they are classes, the squared error takes class 0 to be nearer \
                     to class 1 than to class 2",
                    different - 1
                ),
                experiment: "If the numbers are classes, give them as classes (TensorDataset::classification), with one \
                             output for each.",
            })
        }
        _ => None,
    }
}
