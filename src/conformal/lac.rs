//! Scores of the least ambiguous set-valued classifiers.

/// Writes the score `1 − p` of each class of a row.
pub(super) fn lac_scores(probabilities: &[f64], scores: &mut [f64]) {
    for (score, p) in scores.iter_mut().zip(probabilities) {
        *score = 1.0 - p;
    }
}
