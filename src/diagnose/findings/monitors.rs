//! What the monitors of several runs say about each layer.
use crate::{
    diagnose::{series::median, Observations},
    store::{EpochRecord, Monitors, VariableRecord},
};
use std::collections::BTreeMap;

/// The gradients of a layer, compared with those of the layer that has the largest.
pub(super) struct LayerGradient {
    pub(super) layer: String,
    /// The norm of its gradient.
    pub(super) norm: f64,
    /// The same as a share of the largest norm of a layer.
    pub(super) share: f64,
}

/// A figure of a layer.
pub(super) struct LayerFigure {
    pub(super) layer: String,
    pub(super) figure: f64,
}

/// The measured epochs of each run that has any.
pub(super) fn runs<'a>(seen: &Observations<'a>) -> Vec<Vec<(&'a EpochRecord, &'a Monitors)>> {
    let measured = |records: &&'a [EpochRecord]| -> Vec<_> {
        records.iter().filter_map(|record| Some((record, record.monitors.as_ref()?))).collect()
    };
    seen.records.iter().map(measured).filter(|epochs| !epochs.is_empty()).collect()
}

/// The part of the name before the last point: the layer that a variable belongs to.
fn layer_of(variable: &VariableRecord) -> &str {
    variable.name.rsplit_once('.').map_or(variable.name.as_str(), |(layer, _)| layer)
}

/// Whether the variable is a matrix of weights by its name: a bias begins at 0, so its relative change means nothing.
fn is_kernel(variable: &VariableRecord) -> bool {
    let last = variable.name.rsplit('.').next().unwrap_or_default();
    !["bias", "beta", "b"].contains(&last)
}

/// The first half of the epochs, at least one: where most of the training happens.
fn first_half<T>(epochs: &[T]) -> &[T] {
    epochs.get(..epochs.len().div_ceil(2)).unwrap_or(epochs)
}

/// The norm of the gradient of each layer, in the first half of the epochs: medians over epochs and runs. The
/// smallest share first.
pub(super) fn gradients(seen: &Observations<'_>) -> Vec<LayerGradient> {
    let mut shares = BTreeMap::<String, Vec<(f64, f64)>>::new();
    for epochs in runs(seen) {
        let mut norms = BTreeMap::<&str, Vec<f64>>::new();
        for (_, monitors) in first_half(&epochs) {
            let mut squares = BTreeMap::<&str, f64>::new();
            for variable in &monitors.variables {
                *squares.entry(layer_of(variable)).or_default() += variable.gradient.powi(2);
            }
            for (layer, square) in squares {
                norms.entry(layer).or_default().push(square.sqrt());
            }
        }
        let of_run: Vec<(&str, f64)> =
            norms.into_iter().filter_map(|(layer, norms)| Some((layer, median(norms)?))).collect();
        let largest = of_run.iter().map(|(_, norm)| *norm).fold(0., f64::max);
        for (layer, norm) in of_run {
            if largest > 0. {
                shares.entry(layer.to_owned()).or_default().push((norm, norm / largest));
            }
        }
    }
    let of_layer = |(layer, values): (String, Vec<(f64, f64)>)| {
        let norm = median(values.iter().map(|(norm, _)| *norm))?;
        let share = median(values.iter().map(|(_, share)| *share))?;
        Some(LayerGradient { layer, norm, share })
    };
    let mut all: Vec<LayerGradient> = shares.into_iter().filter_map(of_layer).collect();
    all.sort_by(|a, b| a.share.total_cmp(&b.share));
    all
}

/// A statistic of the outputs of each layer, in the order of the forward pass: the median over the runs of what `of`
/// makes of its values in the epochs of a run.
pub(super) fn outputs(
    seen: &Observations<'_>,
    value: impl Fn(&crate::nn::ActivationRecord) -> Option<f64>,
    of: impl Fn(&[f64]) -> Option<f64>,
) -> Vec<LayerFigure> {
    let mut layers: Vec<(String, Vec<f64>)> = vec![];
    for epochs in runs(seen) {
        let mut of_run: Vec<(&str, Vec<f64>)> = vec![];
        for (_, monitors) in &epochs {
            for record in &monitors.layers {
                let Some(value) = value(record) else { continue };
                match of_run.iter_mut().find(|(layer, _)| *layer == record.layer) {
                    Some((_, values)) => values.push(value),
                    None => of_run.push((&record.layer, vec![value])),
                }
            }
        }
        for (layer, values) in of_run {
            let Some(figure) = of(&values) else { continue };
            match layers.iter_mut().find(|(known, _)| known == layer) {
                Some((_, figures)) => figures.push(figure),
                None => layers.push((layer.to_owned(), vec![figure])),
            }
        }
    }
    let figure = |(layer, figures)| Some(LayerFigure { layer, figure: median(figures)? });
    layers.into_iter().filter_map(figure).collect()
}

/// The relative size of the steps, `‖Δw‖ / ‖w‖`, of each matrix of weights in each epoch of a run; the epochs in
/// their order.
pub(super) fn update_ratios(epochs: &[(&EpochRecord, &Monitors)]) -> Vec<Vec<f64>> {
    let of_epoch = |(_, monitors): &(&EpochRecord, &Monitors)| {
        let kernels = monitors.variables.iter().filter(|variable| is_kernel(variable));
        kernels.filter_map(VariableRecord::update_ratio).collect()
    };
    epochs.iter().map(of_epoch).collect()
}

/// The layers with their figures, such as `2 (97 %), 0 (81 %)`, at most five of them.
pub(super) fn list(layers: &[LayerFigure], text: impl Fn(f64) -> String) -> String {
    let shown =
        layers.iter().take(5).map(|LayerFigure { layer, figure }| format!("{layer} ({})", text(*figure)));
    let more = layers.len().saturating_sub(5);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    format!("{}{more}", shown.collect::<Vec<_>>().join(", "))
}
