//! Weighted average.
use super::{
    method::{check_weights, Method, Needs, Rule, Strip},
    strips::weighted_sum,
    Sources,
};
use crate::{Error, Result};

/// Weighted average: `θ = Σ wᵢ θᵢ / Σ wᵢ`.
///
/// Choose it for checkpoints of one run, and for networks that were fine-tuned from one ancestor with small steps: it
/// needs nothing else, and costs nothing. Networks trained apart lie in different basins: align them first.
///
/// Sources: Izmailov et al. (2018), "Averaging weights leads to wider optima and better generalization",
/// arXiv:1803.05407; Wortsman et al. (2022), "Model soups", arXiv:2203.05482.
///
/// ```
/// use candle_core::{Device, Tensor};
/// use candle_ensemble::{member::Weights, merge::{merge, LinearMerge}};
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
pub struct LinearMerge(Kind);

#[derive(Clone, Debug)]
enum Kind {
    Uniform,
    Falling,
    Exponential(f64),
    Weighted(Vec<f64>),
}

impl LinearMerge {
    /// All networks alike: `wᵢ = 1`.
    #[must_use]
    pub fn uniform() -> Self {
        Self(Kind::Uniform)
    }

    /// Falling in equal steps: `wᵢ = (n − i)/n` for network `i` of `n`, from 0, the newest first.
    #[must_use]
    pub fn falling() -> Self {
        Self(Kind::Falling)
    }

    /// Falling by the same share each time: `wᵢ = e^(−i/α)` for network `i`, from 0, the newest first; `alpha` is
    /// finite and above 0.
    #[must_use]
    pub fn exponential(alpha: f64) -> Self {
        Self(Kind::Exponential(alpha))
    }

    /// These weights, one for each network: finite, at least 0, and not all 0. They are divided by their sum.
    #[must_use]
    pub fn weighted(weights: &[f64]) -> Self {
        Self(Kind::Weighted(weights.to_vec()))
    }

    fn weights(&self, networks: usize) -> Vec<f64> {
        let n = networks as f64;
        let weights: Vec<f64> = match &self.0 {
            Kind::Uniform => vec![1.; networks],
            Kind::Falling => (0..networks).map(|i| (n - i as f64) / n).collect(),
            Kind::Exponential(alpha) => (0..networks).map(|i| (-(i as f64) / alpha).exp()).collect(),
            Kind::Weighted(weights) => weights.clone(),
        };
        let sum: f64 = weights.iter().sum();
        weights.iter().map(|w| w / sum).collect()
    }
}

impl Method for LinearMerge {
    fn name(&self) -> &'static str {
        match self.0 {
            Kind::Uniform => "uniform",
            Kind::Falling => "linear",
            Kind::Exponential(_) => "exponential",
            Kind::Weighted(_) => "weighted",
        }
    }

    fn needs(&self) -> Needs {
        Needs::networks(1)
    }

    fn check(&self, networks: usize) -> Result<()> {
        match &self.0 {
            Kind::Exponential(alpha) if !(alpha.is_finite() && *alpha > 0.) => {
                Err(Error::invalid("alpha", "finite and above 0", alpha))
            }
            Kind::Weighted(weights) => check_weights(Some(weights), networks, false),
            _ => Ok(()),
        }
    }

    fn rule(&self, tensor: &Sources<'_>) -> Result<Box<dyn Rule>> {
        Ok(Box::new(Weighted(self.weights(tensor.networks()))))
    }
}

struct Weighted(Vec<f64>);

impl Rule for Weighted {
    fn apply(&self, strip: &Strip<'_>, out: &mut [f32]) -> Result<()> {
        weighted_sum(&self.0, strip.networks, out);
        Ok(())
    }
}
