//! How sure a finding is, from a figure and from what the learning curves say.
use crate::diagnose::{Observations, Problem};

/// The confidence of a finding whose figure has reached its threshold.
const HALF: f64 = 0.5;
/// The confidence of a finding whose figure leaves no doubt.
const SURE: f64 = 0.95;
/// The share of the confidence that is left where the learning curves show that the network learns well.
const LEARNS_WELL: f64 = 0.4;

/// The confidence of a figure: 0.5 at `threshold`, 0.95 at `sure` and beyond it, and linear between the two.
/// `None` for a figure that does not reach the threshold. `sure` may lie on either side of it.
pub(super) fn ramp(figure: f64, threshold: f64, sure: f64) -> Option<f64> {
    let share = (figure - threshold) / (sure - threshold);
    (share >= 0.).then(|| HALF + (SURE - HALF) * share.min(1.))
}

/// The same on a logarithmic scale, for figures above 0; 0 and infinity are the ends of the scale.
pub(super) fn log_ramp(figure: f64, threshold: f64, sure: f64) -> Option<f64> {
    ramp(figure.ln(), threshold.ln(), sure.ln())
}

/// How far a finding about the training counts, from 0.4 to 1: fully if the learning curves show a problem of
/// learning, or if there are none, and less if they show that the network learns well in spite of it.
pub(super) fn of_learning(seen: &Observations<'_>) -> f64 {
    if seen.labels.is_empty() {
        return 1.;
    }
    let learning = seen.labels.iter().filter(|(label, _)| label.problem() == Problem::Learning);
    let probability: f64 = learning.map(|(_, probability)| probability).sum();
    LEARNS_WELL + (1. - LEARNS_WELL) * (2. * probability).min(1.)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnose::Label;

    #[test]
    fn confidence_grows_from_the_threshold_on() {
        assert_eq!(ramp(0.49, 0.5, 0.9), None);
        assert_eq!(ramp(0.5, 0.5, 0.9), Some(0.5));
        assert!((ramp(0.7, 0.5, 0.9).unwrap() - 0.725).abs() < 1e-12);
        assert_eq!(ramp(2., 0.5, 0.9), Some(0.95));
        assert_eq!(ramp(f64::NAN, 0.5, 0.9), None);
        // Downwards: 10⁻⁶ is half of the way from 10⁻³ to 10⁻⁹.
        assert!((log_ramp(1e-6, 1e-3, 1e-9).unwrap() - 0.725).abs() < 1e-12);
        assert_eq!((log_ramp(0., 1e-3, 1e-9), log_ramp(2e-3, 1e-3, 1e-9)), (Some(0.95), None));
        assert_eq!(log_ramp(f64::INFINITY, 10., 100.), Some(0.95));
    }

    #[test]
    fn a_network_that_learns_well_lowers_the_confidence() {
        let of = |labels: &[(Label, f64)]| {
            of_learning(&Observations { labels: labels.to_vec(), ..Observations::default() })
        };
        assert_eq!(of(&[]), 1.);
        assert_eq!(of(&[(Label::GoodFit, 1.)]), 0.4);
        assert_eq!(of(&[(Label::UnderfitFlat, 0.3), (Label::UnstableLearning, 0.3)]), 1.);
        assert!((of(&[(Label::Overfit, 0.75), (Label::UnderfitFlat, 0.25)]) - 0.7).abs() < 1e-12);
    }
}
