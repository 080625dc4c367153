//! Weighted averages.
use crate::{
    kernels::linear::{weighted_mean, weighted_sum},
    merge::{ElementwiseRule, Method, Needs, Sources, Strip},
    weights::RunWeights,
    Result,
};
use safetensors::Dtype;

/// Averages networks with given weights.
///
/// Formula: `θ = Σ wᵢ θᵢ / Σ wᵢ`. The mean of equal elements is that element, to the bit.
///
/// The weights are those of [`RunWeights`], but the networks come newest first. Tensors may have any shape;
/// see [`merge`](crate::merge::merge()) for dtypes.
///
/// Use it for checkpoints of one run, and for networks that were fine-tuned from one network with small
/// steps. Don't use it for independently trained networks: they lie in different basins, and must be
/// [aligned](crate::merge::align) first.
///
/// Cost: one pass over the inputs.
///
/// # Errors
/// As [`merge`](crate::merge::merge()); when the weights are not one for each network, negative, not finite,
/// or all 0.
///
/// ```
/// use candle_core::{Device, Tensor};
/// use candle_ensemble::{merge::{merge, LinearMerge}, weights::Weights};
///
/// let network = |x: f32| -> candle_core::Result<Weights> {
///     Ok(Weights::from([("bias".into(), Tensor::new(&[x, -x], &Device::Cpu)?)]))
/// };
/// let (newest, older) = (network(4.)?, network(1.)?);
/// let merged = merge(&LinearMerge::falling(), &[&newest, &older], None)?;
/// assert_eq!(merged["bias"].to_vec1::<f32>()?, [3., -3.]); // (1·4 + ½·1) / 1½
/// # Ok::<(), candle_ensemble::Error>(())
/// ```
///
/// Source: Izmailov et al. (2018), "Averaging weights leads to wider optima and better generalization",
/// arXiv:1803.05407; Wortsman et al. (2022), "Model soups", arXiv:2203.05482.
#[derive(Clone, Debug)]
pub struct LinearMerge(RunWeights);

impl LinearMerge {
    /// Equal weights: `wᵢ = 1`.
    #[must_use]
    pub fn uniform() -> Self {
        Self(RunWeights::Uniform)
    }

    /// Weights that fall in equal steps: `wᵢ = (n − i)/n` for network `i = 0 … n − 1`, the newest first.
    #[must_use]
    pub fn falling() -> Self {
        Self(RunWeights::Linear)
    }

    /// Weights that fall by a constant factor: `wᵢ = e^(−i/α)` for network `i = 0 … n − 1`, the newest first.
    /// `alpha` is above 0 and finite.
    #[must_use]
    pub fn exponential(alpha: f64) -> Self {
        Self(RunWeights::Exponential { alpha })
    }

    /// Given weights, one for each network: finite, at least 0, and not all 0. They are divided by their sum.
    #[must_use]
    pub fn weighted(weights: &[f64]) -> Self {
        Self(RunWeights::Given(weights.iter().rev().copied().collect()))
    }
}

impl Method for LinearMerge {
    fn name(&self) -> &'static str {
        match self.0 {
            RunWeights::Uniform => "uniform",
            RunWeights::Linear => "linear",
            RunWeights::Exponential { .. } => "exponential",
            RunWeights::Given(_) => "weighted",
        }
    }

    fn needs(&self) -> Needs {
        Needs::networks(1)
    }

    fn check(&self, networks: usize) -> Result<()> {
        self.0.weights(networks).map(drop)
    }

    fn rule(&self, tensor: &Sources<'_>) -> Result<Box<dyn ElementwiseRule>> {
        // Those of a run come oldest first.
        let mut weights = self.0.weights(tensor.networks())?;
        weights.reverse();
        Ok(Box::new(Weighted { weights, to: tensor.to }))
    }
}

struct Weighted {
    weights: Vec<f64>,
    /// The dtype of the result.
    to: Dtype,
}

impl ElementwiseRule for Weighted {
    fn apply(&self, strip: &Strip<'_>, out: &mut [f64]) -> Result<()> {
        // The error of a sum in f64 disappears when it is rounded to fewer digits.
        match self.to {
            Dtype::F64 => weighted_mean(&self.weights, strip.networks, out),
            _ => weighted_sum(&self.weights, strip.networks, out),
        }
        Ok(())
    }
}
