//! The loss of an untrained network against the value that it should have.
use super::certainty;
use crate::{
    data::Task,
    diagnose::{words::figure, Evidence, Finding, FirstLoss, Label, Mark, Observations, Problem, Rule},
    Result,
};

/// Finds untrained networks whose loss is far from that of a constant output.
pub(super) struct OfUntrained;

/// From this multiple of the loss of the best constant on, the first loss is too high. Weights of usual variance give up
/// to twice the loss for classes.
const HIGH: f64 = 4.;
/// The same for values: outputs of the size of 2 have five times the squared error of a constant.
const HIGH_OF_VALUES: f64 = 10.;
/// At this multiple of the threshold there is no doubt.
const SURE_HIGH: f64 = 30.;
/// Below this multiple, the first loss is too low.
const LOW: f64 = 0.5;
/// At this multiple there is no doubt.
const SURE_LOW: f64 = 0.1;

impl Rule for OfUntrained {
    fn name(&self) -> &'static str {
        "first_loss"
    }

    fn detect(&self, seen: &Observations<'_>) -> Result<Vec<Finding>> {
        let Some(first) = seen.first_loss.filter(|first| !first.warm_start) else { return Ok(vec![]) };
        let Some(constant) = first.constant.filter(|constant| *constant > 0.) else { return Ok(vec![]) };
        let ratio = if first.loss.is_finite() { first.loss / constant } else { f64::INFINITY };
        let limit = match seen.task {
            Some(Task::Classification { .. }) => HIGH,
            _ => HIGH_OF_VALUES,
        };
        let high = certainty::log_ramp(ratio, limit, SURE_HIGH * limit)
            .map(|confidence| high(first, constant, confidence));
        let low = certainty::log_ramp(ratio, LOW, SURE_LOW).map(|confidence| low(first, confidence));
        // Rows that leak do not show in the curves.
        let high = high.map(|finding| finding.with_curves(seen));
        let found = high.or(low).map(|mut finding| {
            let text = format!(
                "Before the first step, the loss on {} training rows is {}; the best constant output has {}.",
                first.rows,
                figure(first.loss),
                figure(constant)
            );
            finding.evidence.insert(0, Evidence::new(text).value(ratio).mark(Mark::Level(constant)));
            finding
        });
        Ok(found.into_iter().collect())
    }
}

const SOURCE: &str = "Karpathy 2019, A Recipe for Training Neural Networks (verify loss at init)";

fn high(first: &FirstLoss, constant: f64, confidence: f64) -> Finding {
    // Outputs of 0 are no better where the targets are far from 0.
    let of_targets = first.zero.filter(|zero| *zero >= HIGH * constant);
    let cause = match of_targets {
        Some(_) => "the targets are far from 0, where the outputs begin",
        None => "its outputs are too large",
    };
    let summary = format!(
        "Before its first step, the network has a loss of {}, far above the {} of a constant output: {cause}.",
        figure(first.loss),
        figure(constant)
    );
    let of_outputs = format!(
        "The untrained outputs have a size of {} (root of the mean square); some tenths to a few units are usual.",
        figure(first.output_size)
    );
    let finding = Finding::new("first_loss_too_high", Problem::Learning, confidence, summary, SOURCE)
        .kind(Label::UnstableLearning)
        .experiment(
            "Standardize inputs and targets, and draw the initial weights by glorot-uniform. If the first loss then is near \
             that of a constant, their scale was the cause.",
        );
    let finding = match of_targets {
        Some(zero) => {
            let text = format!("Outputs of 0 have a loss of {}.", figure(zero));
            finding.evidence(Evidence::new(text).value(zero))
        }
        None => finding,
    };
    finding.evidence(Evidence::new(of_outputs).value(first.output_size))
}

fn low(first: &FirstLoss, confidence: f64) -> Finding {
    let summary = format!(
        "Before its first step, the network has a loss of {}, far below that of a constant output: it knows the targets \
         already.",
        figure(first.loss)
    );
    Finding::new("first_loss_too_low", Problem::Data, confidence, summary, SOURCE).experiment(
        "Shuffle the targets among the rows and measure again. If the loss stays as low, the loss is computed wrongly; if it \
         rises, an input holds the target, or the weights come from a network that has seen these rows.",
    )
}
