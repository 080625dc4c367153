//! Gradients that shrink from layer to layer.
use super::{certainty, dead_units, monitors, saturated_units};
use crate::{
    diagnose::{words::figure, Evidence, Finding, Label, Observations, Problem, Rule},
    Result,
};

/// Finds layers whose gradient is far smaller than that of the others.
pub(super) struct VanishingGradients;

/// From this share of the largest gradient on, as in AutoTrainer (its β₁).
const SHARE: f64 = 1e-3;
/// At this share there is no doubt.
const SURE: f64 = 1e-6;

/// The layer with the smallest gradient, if it vanishes.
pub(super) fn weakest(seen: &Observations<'_>) -> Option<monitors::LayerGradient> {
    monitors::gradients(seen).into_iter().next().filter(|layer| layer.share <= SHARE)
}

impl Rule for VanishingGradients {
    fn name(&self) -> &'static str {
        "vanishing_gradients"
    }

    fn detect(&self, seen: &Observations<'_>) -> Result<Vec<Finding>> {
        let Some(weakest) = weakest(seen) else { return Ok(vec![]) };
        let Some(confidence) = certainty::log_ramp(weakest.share, SHARE, SURE) else { return Ok(vec![]) };
        let summary = format!(
            "The gradients vanish: that of layer {} is {} times as large as the largest one of a layer.",
            weakest.layer,
            figure(weakest.share)
        );
        let source = "Glorot and Bengio 2010, PMLR 9:249; Zhang, Zhai, Ma and Shen 2021, \
                      doi:10.1109/ICSE43902.2021.00043";
        let mut finding =
            Finding::new(self.name(), Problem::Learning, confidence, summary, source)
                .kind(Label::UnderfitFlat)
.with_curves(seen)
                .evidence_if(norms(seen))
                .experiment(
                    "Train once with relu units and initial weights drawn by he-normal, or with fewer layers, or with batch \
                     normalization. If the loss then falls, the gradients were the cause.",
                );
        // Units without a slope stop the gradient: they are the cause.
        finding.after = if !dead_units::layers(seen).is_empty() {
            Some(dead_units::NAME.into())
        } else if !saturated_units::layers(seen).is_empty() {
            Some(saturated_units::NAME.into())
        } else {
            None
        };
        Ok(vec![finding])
    }
}

/// The gradients of the layers, the smallest first.
fn norms(seen: &Observations<'_>) -> Option<Evidence> {
    let gradients = monitors::gradients(seen);
    let share = gradients.first()?.share;
    let layers: Vec<monitors::LayerFigure> =
        gradients.into_iter().map(|g| monitors::LayerFigure { layer: g.layer, figure: g.norm }).collect();
    let text = format!(
        "The norms of the layers' gradients in the first half of the epochs (median), the smallest first: {}.",
        monitors::list(&layers, figure)
    );
    Some(Evidence::new(text).value(share))
}
