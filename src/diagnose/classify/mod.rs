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

/// The probability of each label, the likeliest first; equal ones in the order of their declaration. It is empty if there
/// is no loss at all.
///
/// A forest of extremely randomized trees (Geurts et al. 2006, doi:10.1007/s10994-006-6226-1) votes on the
/// [`Features`]. It was fitted by `tests/reference/fit_curves.py` on learning curves whose condition had been verified by
/// an intervention. The shares of the votes are sharpened so that they are probabilities on data sets that the forest was
/// not fitted on, and "nothing is wrong" is preferred, because a false alarm costs more than a second place.
pub(crate) fn classify(curves: &Curves) -> Vec<(Label, f64)> {
    let losses = curves.runs.iter().flat_map(|run| run.train_loss.iter().chain(&run.valid_loss));
    if losses.count() == 0 {
        return vec![];
    }
    let shares = FOREST.probabilities(&Features::of(curves).values());
    let mut labels: Vec<(Label, f64)> = Label::ALL.into_iter().zip(shares).collect();
    labels.sort_by(|a, b| b.1.total_cmp(&a.1));
    labels
}
