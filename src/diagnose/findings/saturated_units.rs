//! Bounded units at their bounds.
use super::{certainty, monitors};
use crate::{
    diagnose::{series::median, words::percent, Evidence, Finding, Label, Observations, Problem, Rule},
    Result,
};

/// Finds layers of bounded units whose outputs are at a bound.
pub(super) struct SaturatedUnits;

/// The finding's name, for the findings that it causes.
pub(super) const NAME: &str = "saturated_units";
/// From this share of saturated outputs of a layer on.
const SHARE: f64 = 0.5;
/// At this share there is no doubt.
const SURE: f64 = 0.9;

/// The layers whose outputs are mostly saturated over the training, the worst first. The last layer is left out: margins
/// are meant to reach their bounds.
pub(super) fn layers(seen: &Observations<'_>) -> Vec<monitors::LayerFigure> {
    let mut layers = monitors::outputs(
        seen,
        |record| Some(record.saturated.unwrap_or(0.)),
        |epochs| median(epochs.iter().copied()),
    );
    layers.pop();
    layers.retain(|layer| layer.figure >= SHARE);
    layers.sort_by(|a, b| b.figure.total_cmp(&a.figure));
    layers
}

impl Rule for SaturatedUnits {
    fn name(&self) -> &'static str {
        NAME
    }

    fn detect(&self, seen: &Observations<'_>) -> Result<Vec<Finding>> {
        let layers = layers(seen);
        let Some(worst) = layers.first() else { return Ok(vec![]) };
        let Some(confidence) = certainty::ramp(worst.figure, SHARE, SURE) else { return Ok(vec![]) };
        let summary = format!(
            "In layer {}, {} of the outputs are saturated: they are at a bound of the activation function, where it has no \
             slope.",
            worst.layer,
            percent(worst.figure)
        );
        let text = format!(
            "Over the epochs, these layers have saturated outputs, within 1 % of a bound: {}. A saturated output passes on \
             almost no gradient.",
            monitors::list(&layers, percent)
        );
        let source = "Glorot and Bengio 2010, PMLR 9:249";
        let finding =
            Finding::new(NAME, Problem::Learning, confidence, summary, source)
                .kind(Label::UnderfitFlat)
.with_curves(seen)
                .evidence(Evidence::new(text).value(worst.figure))
                .experiment(
                    "Train once with inputs that are standardized and initial weights drawn by glorot-uniform, and once with \
                     relu units. If the loss then falls, saturation was the cause.",
                );
        Ok(vec![finding])
    }
}
