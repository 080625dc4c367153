//! Weighted average.
use crate::{
    kernels::linear::weighted_sum,
    merge::{ElementwiseRule, Method, Needs, Sources, Strip},
    weights::RunWeights,
    Result,
};

/// Weighted average: `θ = Σ wᵢ θᵢ / Σ wᵢ`, with the weights of [`RunWeights`] for networks that come newest first.
///
/// Choose it for checkpoints of one run, and for networks that were fine-tuned from one ancestor with small steps: it
/// needs nothing else, and costs nothing. Networks trained apart lie in different basins: align them first.
///
/// Sources: Izmailov et al. (2018), "Averaging weights leads to wider optima and better generalization",
/// arXiv:1803.05407; Wortsman et al. (2022), "Model soups", arXiv:2203.05482.
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
#[derive(Clone, Debug)]
pub struct LinearMerge(RunWeights);

impl LinearMerge {
    /// All networks alike: `wᵢ = 1`.
    #[must_use]
    pub fn uniform() -> Self {
        Self(RunWeights::Uniform)
    }

    /// Falling in equal steps: `wᵢ = (n − i)/n` for network `i` of `n`, from 0, the newest first.
    #[must_use]
    pub fn falling() -> Self {
        Self(RunWeights::Linear)
    }

    /// Falling by the same share each time: `wᵢ = e^(−i/α)` for network `i`, from 0, the newest first; `alpha` is
    /// finite and above 0.
    #[must_use]
    pub fn exponential(alpha: f64) -> Self {
        Self(RunWeights::Exponential { alpha })
    }

    /// These weights, one for each network: finite, at least 0, and not all 0. They are divided by their sum.
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
        // A run's come oldest first.
        let mut weights = self.0.weights(tensor.networks())?;
        weights.reverse();
        Ok(Box::new(Weighted(weights)))
    }
}

struct Weighted(Vec<f64>);

impl ElementwiseRule for Weighted {
    fn apply(&self, strip: &Strip<'_>, out: &mut [f32]) -> Result<()> {
        weighted_sum(&self.0, strip.networks, out);
        Ok(())
    }
}
