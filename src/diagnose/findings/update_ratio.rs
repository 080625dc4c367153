//! Steps that are too small or too large for the weights.
use super::{certainty, monitors, vanishing_gradients};
use crate::{
    diagnose::{
        series::median,
        words::{figure, percent},
        Evidence, Finding, Label, Observations, Problem, Rule,
    },
    Result,
};

/// Finds steps that hardly change the weights, or change them by a large part.
pub(super) struct UpdateRatio;

/// Below this share of the weights a step hardly changes them; about 0.001 is usual.
const SMALL: f64 = 1e-4;
/// At this share there is no doubt.
const SURE_SMALL: f64 = 1e-7;
/// From this share on, a step changes the weights by a large part.
const LARGE: f64 = 0.1;
/// At this share there is no doubt.
const SURE_LARGE: f64 = 1.;

impl Rule for UpdateRatio {
    fn name(&self) -> &'static str {
        "update_ratio"
    }

    fn detect(&self, seen: &Observations<'_>) -> Result<Vec<Finding>> {
        let ratio = ratio(seen);
        let small = ratio.and_then(|ratio| Some((certainty::log_ramp(ratio, SMALL, SURE_SMALL)?, ratio)));
        let large = ratio.and_then(|ratio| Some((certainty::log_ramp(ratio, LARGE, SURE_LARGE)?, ratio)));
        let (confidence, ratio, label, summary, experiment) = match (small, large) {
            (Some((confidence, ratio)), _) => (
                confidence,
                ratio,
                Label::UnderfitFlat,
                "The steps hardly change the weights",
                "Train with ten times the learning rate. If the loss falls faster, the rate was too small.",
            ),
            (None, Some((confidence, ratio))) => (
                confidence,
                ratio,
                Label::UnstableLearning,
                "The steps are too large for the weights",
                "Train with a tenth of the learning rate. If the loss falls to a lower level, the rate was too large.",
            ),
            (None, None) => return Ok(vec![]),
        };
        // Where gradients vanish, the learning rate is not the cause.
        if label == Label::UnderfitFlat && vanishing_gradients::weakest(seen).is_some() {
            return Ok(vec![]);
        }
        let summary = format!("{summary}: each changes them by {} of their norm.", percent_or_figure(ratio));
        let source = "Karpathy 2016, CS231n, Neural Networks Part 3 (ratio of weights to updates)";
        let text = format!(
            "The norm of a step is {} times that of the weights in the first quarter of the epochs (median over matrices of weights); about 0.001 is \
             usual.",
            figure(ratio)
        );
        let finding = Finding::new(self.name(), Problem::Learning, confidence, summary, source)
            .kind(label)
            .with_curves(seen)
            .evidence(Evidence::new(text).value(ratio))
            .evidence_if(super::evidence::learning_rate(seen))
            .experiment(experiment);
        Ok(vec![finding])
    }
}

fn percent_or_figure(ratio: f64) -> String {
    if ratio >= 1e-4 {
        percent(ratio)
    } else {
        figure(ratio)
    }
}

/// The relative size of the steps in the first quarter of the epochs: the median over matrices of weights, epochs and runs.
/// Later steps are small because the network has learned, or because large steps have made the weights large.
fn ratio(seen: &Observations<'_>) -> Option<f64> {
    let of_run = |run: Vec<_>| {
        let epochs = monitors::update_ratios(&run);
        let early = epochs.get(..epochs.len().div_ceil(4))?;
        median(early.iter().flatten().copied())
    };
    median(monitors::runs(seen).into_iter().filter_map(of_run))
}
