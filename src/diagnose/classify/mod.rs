//! Which condition learning curves show: nine labels with their probabilities.
mod features;
mod forest;
mod numbers;
#[cfg(test)]
mod tests;
mod untrained;

pub use features::Features;

use crate::diagnose::{Curves, Label};
use forest::FOREST;

/// The standard deviation from run to run, below which scores are as good as the same: in accuracy, or in errors as
/// multiples of the first one.
const SAME_SCORE: f64 = 0.0125;
/// The weight of a high variance where the scores are as good as the same.
const SAME_SCORE_WEIGHT: f64 = 0.2;

/// The probability of each label, the likeliest first; equal ones in the order of their declaration. It is empty if there
/// is no loss at all.
///
/// A forest of extremely randomized trees (Geurts et al. 2006, doi:10.1007/s10994-006-6226-1) votes on the
/// [`Features`]. It was fitted by `tests/reference/fit_curves.py` on learning curves whose condition had been verified by
/// an intervention. The shares of the votes are sharpened so that they are probabilities on data sets that the forest was
/// not fitted on, and "nothing is wrong" is preferred, because a false alarm costs more than a second place. Runs whose
/// scores are all within about a hundredth of one another hardly vary, whatever their losses do.
pub(crate) fn classify(curves: &Curves) -> Vec<(Label, f64)> {
    let losses = curves.runs.iter().flat_map(|run| run.train_loss.iter().chain(&run.valid_loss));
    if losses.count() == 0 {
        return vec![];
    }
    let features = Features::of(curves);
    let mut labels: Vec<(Label, f64)> =
        Label::ALL.into_iter().zip(FOREST.probabilities(&features.values())).collect();
    if features.train_score_spread.max(features.valid_score_spread) < SAME_SCORE {
        scale(&mut labels, Label::HighVariance, SAME_SCORE_WEIGHT);
    }
    labels.sort_by(|a, b| b.1.total_cmp(&a.1));
    labels
}

/// Multiplies the probability of a label. They add up to 1 again.
pub(crate) fn scale(labels: &mut [(Label, f64)], label: Label, factor: f64) {
    let mut sum = 0.;
    for (other, probability) in labels.iter_mut() {
        *probability *= if *other == label { factor } else { 1. };
        sum += *probability;
    }
    labels.iter_mut().filter(|_| sum > 0.).for_each(|(_, probability)| *probability /= sum);
}
