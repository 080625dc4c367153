//! Statistics of the outputs of layers over several passes.
use crate::{
    codec::real,
    kernels::{activity::ActivitySums, cpu},
    nn::tap::{Bounds, Observed},
};
use candle_core::{DType, Result};
use serde::{Deserialize, Serialize};

/// What the outputs of a layer were in an epoch.
///
/// The figures are over all outputs of the measured steps. Vanishing signals show as deviations that shrink
/// from layer to layer, exploding ones as deviations that grow. Dead units of a rectified layer get no
/// gradient, and neither do saturated outputs of a bounded one.
///
/// ```
/// use candle_ensemble::nn::ActivationRecord;
///
/// let dying = |record: &ActivationRecord| record.dead > 0.5;
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ActivationRecord {
    /// The layer: its number in its [`Sequential`](crate::nn::Sequential), after the numbers of those around
    /// it, such as `3.0`. If a network has several of them side by side, `#2` marks the second layer with a
    /// number.
    pub layer: String,
    /// The mean of the outputs.
    #[serde(with = "real")]
    pub mean: f64,
    /// The standard deviation of the outputs, divided by their number.
    #[serde(with = "real")]
    pub deviation: f64,
    /// The share of the units whose output was 0 for every row. Units are counted by the second dimension.
    pub dead: f64,
    /// The share of the outputs within 1 % of a bound of the activation: below 0.01 or above 0.99 for a
    /// sigmoid, beyond ±0.99 for tanh. `None` for a layer without known bounds.
    pub saturated: Option<f64>,
}

/// Sums over the outputs of all layers, for the records of an epoch.
#[derive(Debug, Default)]
pub(crate) struct ActivationMeter {
    layers: Vec<Layer>,
}

#[derive(Debug)]
struct Layer {
    name: String,
    bounds: Option<Bounds>,
    sums: ActivitySums,
}

impl ActivationMeter {
    /// Adds the outputs of a pass.
    pub(crate) fn add(&mut self, activations: &[Observed]) -> Result<()> {
        for Observed { layer, bounds, output } in activations {
            let at = match self.layers.iter().position(|known| known.name == *layer) {
                Some(at) => at,
                None => {
                    let sums = ActivitySums::default();
                    self.layers.push(Layer { name: layer.clone(), bounds: *bounds, sums });
                    self.layers.len() - 1
                }
            };
            let Some(Layer { bounds, sums, .. }) = self.layers.get_mut(at) else { continue };
            let bounds = bounds.map(|Bounds { low, high }| (low, high));
            let (units, inner) = match output.dims() {
                [_, units, inner @ ..] => (*units, inner.iter().product()),
                _ => (1, 1),
            };
            match output.dtype() {
                DType::F64 => cpu::with_slice(output, |x: &[f64]| sums.add(x, units, inner, bounds))?,
                _ => cpu::with_slice(output, |x: &[f32]| sums.add(x, units, inner, bounds))?,
            }
        }
        Ok(())
    }

    /// The records, in the order in which the layers were first seen. Layers without outputs have none.
    pub(crate) fn finish(self) -> Vec<ActivationRecord> {
        let seen = self.layers.into_iter().filter(|layer| layer.sums.count > 0);
        seen.map(|Layer { name, bounds, sums }| ActivationRecord {
            layer: name,
            mean: sums.mean(),
            deviation: sums.deviation(),
            dead: sums.dead(),
            saturated: bounds.map(|_| sums.beyond / sums.count as f64),
        })
        .collect()
    }
}
