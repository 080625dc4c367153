//! Units whose output is 0 for every row.
use super::{certainty, monitors};
use crate::{
    diagnose::{words::percent, Evidence, Finding, Label, Observations, Problem, Rule},
    Result,
};

/// Finds layers in which most units are dead.
pub(super) struct DeadUnits;

/// The finding's name, for the findings that it causes.
pub(super) const NAME: &str = "dead_units";
/// From this share of dead units of a layer on.
const SHARE: f64 = 0.5;
/// At this share there is no doubt: with hardly a unit left, the output hardly depends on the inputs.
const SURE: f64 = 0.9;

/// The layers in which most units are dead at the end, the worst first.
pub(super) fn layers(seen: &Observations<'_>) -> Vec<monitors::LayerFigure> {
    let mut layers = monitors::outputs(seen, |record| Some(record.dead), |epochs| epochs.last().copied());
    layers.retain(|layer| layer.figure >= SHARE);
    layers.sort_by(|a, b| b.figure.total_cmp(&a.figure));
    layers
}

impl Rule for DeadUnits {
    fn name(&self) -> &'static str {
        NAME
    }

    fn detect(&self, seen: &Observations<'_>) -> Result<Vec<Finding>> {
        let layers = layers(seen);
        let Some(worst) = layers.first() else { return Ok(vec![]) };
        let Some(confidence) = certainty::ramp(worst.figure, SHARE, SURE) else { return Ok(vec![]) };
        let (share, layer) = (percent(worst.figure), &worst.layer);
        let summary =
            format!("In layer {layer}, {share} of the units are dead: their output is 0 for every row.");
        let source = "Lu, Shin, Su and Karniadakis 2020, arXiv:1903.06733; Zhang, Zhai, Ma and Shen 2021, \
                      doi:10.1109/ICSE43902.2021.00043";
        let text = format!(
            "At the end of the training, these layers have dead units in {} or more of their units: {}. A dead unit gets no \
             gradient, so it stays dead.",
            percent(SHARE),
            monitors::list(&layers, percent)
        );
        let finding =
            Finding::new(NAME, Problem::Learning, confidence, summary, source)
                .kind(Label::UnderfitFlat)
.with_curves(seen)
                .evidence(Evidence::new(text).value(worst.figure))
                .evidence_if(first_epoch(seen, layer))
                .experiment(
                    "Train once with leaky-relu units, or with initial weights drawn by he-normal and a tenth of the learning \
                     rate. If the loss then falls, the dead units were the cause.",
                );
        Ok(vec![finding])
    }
}

/// Whether the units are dead from the start, which is a fault of the initial weights or the inputs, or have died, which
/// is one of the learning rate.
fn first_epoch(seen: &Observations<'_>, layer: &str) -> Option<Evidence> {
    let first = monitors::outputs(seen, |record| Some(record.dead), |epochs| epochs.first().copied());
    let share = first.iter().find(|figure| figure.layer == layer)?.figure;
    let why = match share >= SHARE {
        true => "so the initial weights or the scale of the inputs have killed them",
        false => "so steps that were too large have killed them",
    };
    let text =
        format!("In the first epoch, {} of the units of layer {layer} are dead, {why}.", percent(share));
    Some(Evidence::new(text).value(share))
}
