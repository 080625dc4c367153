//! How sure a finding is, from a figure and from what the learning curves say.
use crate::diagnose::{Finding, Label, Observations, Problem};

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

/// The confidence of a finding about the training, after a look at the learning curves: less where they show that the
/// network learns well in spite of it, and more where they show the condition that it leads to.
///
/// ```text
/// c = (0.4 + 0.6 min(1, 2 P(a problem of learning))) · confidence
/// c + (0.95 − c) P(kind)
/// ```
///
/// Without learning curves it is the confidence itself.
fn with_curves(confidence: f64, kind: Option<Label>, seen: &Observations<'_>) -> f64 {
    if seen.labels.is_empty() {
        return confidence;
    }
    let sum = |counts: &dyn Fn(Label) -> bool| -> f64 {
        seen.labels.iter().filter(|(label, _)| counts(*label)).map(|(_, probability)| probability).sum()
    };
    let learning = sum(&|label| label.problem() == Problem::Learning);
    let own = confidence * (LEARNS_WELL + (1. - LEARNS_WELL) * (2. * learning).min(1.));
    let of_kind = sum(&|label| Some(label) == kind).min(1.);
    own + (SURE - own).max(0.) * of_kind
}

impl Finding {
    /// The finding with the confidence of [`with_curves`].
    pub(super) fn with_curves(mut self, seen: &Observations<'_>) -> Self {
        self.confidence = with_curves(self.confidence, self.kind, seen);
        self
    }
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
    fn the_curves_lower_or_raise_the_confidence() {
        let of = |confidence, labels: &[(Label, f64)]| {
            let seen = Observations { labels: labels.to_vec(), ..Observations::default() };
            with_curves(confidence, Some(Label::UnderfitFlat), &seen)
        };
        assert_eq!(of(0.5, &[]), 0.5);
        assert_eq!(of(0.5, &[(Label::GoodFit, 1.)]), 0.2);
        assert_eq!(of(0.5, &[(Label::UnstableLearning, 0.6)]), 0.5);
        // 0.5 (0.4 + 0.6 · 0.5) = 0.35, and a quarter of the way from there to 0.95.
        assert!((of(0.5, &[(Label::Overfit, 0.75), (Label::UnderfitFlat, 0.25)]) - 0.5).abs() < 1e-12);
        assert!((of(0.5, &[(Label::UnderfitFlat, 0.9)]) - 0.905).abs() < 1e-12);
        assert!((of(0.97, &[(Label::UnderfitFlat, 0.9)]) - 0.97).abs() < 1e-12);
    }
}
