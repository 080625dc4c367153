//! Model Stock.
use crate::{
    kernels::linear::weighted_mean,
    merge::{methods::cosines::Cosines, ElementwiseRule, Method, Needs, Sources, Strip},
    Result,
};

/// The denominator below which the task vectors cancel, and the base is kept.
const CANCELLED: f64 = 1e-6;

/// Moves from the base towards the mean of fine-tuned networks, as far as the angle between their task
/// vectors says (Model Stock).
///
/// Formula: `θ = t·mean(θᵢ) + (1 − t)·base` with `t = M cos φ / (1 + (M − 1) cos φ)`, for each tensor of `M`
/// networks, where `cos φ` is the mean cosine between the task vectors `θᵢ − base` of two networks, over all
/// pairs.
///
/// A task vector of zeros has cosine 0. The paper derives `t` for equal angles, and its code merges two
/// networks; the mean over pairs for more networks is as in mergekit. If the task vectors cancel (the
/// denominator is 0), the base is kept. A negative mean cosine gives a negative `t`, as the formula says.
/// Tensors may have any shape.
///
/// Use it for two or more runs of the same fine-tuning: with two networks it comes near the average of many.
/// Don't use it for networks that were fine-tuned for different tasks.
///
/// Cost: two passes over the inputs, the first with `M²/2` products for each element.
///
/// # Errors
/// As [`merge`](crate::merge::merge()); when there are fewer than two networks.
///
/// ```
/// use candle_core::{Device, Tensor};
/// use candle_ensemble::{merge::{merge, ModelStock}, weights::Weights};
///
/// let network = |x: [f32; 2]| -> candle_core::Result<Weights> {
///     Ok(Weights::from([("w".into(), Tensor::new(&x, &Device::Cpu)?)]))
/// };
/// // Task vectors (1, 0) and (1, √3): cos φ = ½, t = 1 / 1.5.
/// let (base, a, b) = (network([0., 0.])?, network([1., 0.])?, network([1., 3f32.sqrt()])?);
/// let merged = merge(&ModelStock::new(), &[&a, &b], Some(&base))?;
/// assert!((merged["w"].to_vec1::<f32>()?[0] - 2. / 3.).abs() < 1e-6);
/// # Ok::<(), candle_ensemble::Error>(())
/// ```
///
/// Source: Jang et al. (2024), "Model Stock: all we need is just a few fine-tuned models", arXiv:2403.19522.
#[derive(Clone, Copy, Debug, Default)]
pub struct ModelStock;

impl ModelStock {
    /// The method, which has no settings.
    #[must_use]
    pub fn new() -> Self {
        Self
    }
}

impl Method for ModelStock {
    fn name(&self) -> &'static str {
        "Model Stock"
    }

    fn needs(&self) -> Needs {
        Needs::fine_tuned(2)
    }

    fn check(&self, _networks: usize) -> Result<()> {
        Ok(())
    }

    fn rule(&self, tensor: &Sources<'_>) -> Result<Box<dyn ElementwiseRule>> {
        let (n, cosines) = (tensor.networks(), Cosines::of(tensor));
        let pairs = (0..n).flat_map(|i| (0..i).map(move |j| (i, j)));
        let count = (n * n.saturating_sub(1) / 2) as f64;
        let mean = pairs.map(|(i, j)| cosines.between(i, j).unwrap_or(0.)).sum::<f64>() / count;
        let m = n as f64;
        let denominator = 1. + (m - 1.) * mean;
        let t = if denominator < CANCELLED { 0. } else { m * mean / denominator };
        Ok(Box::new(TowardsMean { weights: vec![1. / m; n], t }))
    }
}

/// A sum of the networks' mean and the base.
struct TowardsMean {
    /// The weights of the mean.
    weights: Vec<f64>,
    t: f64,
}

impl ElementwiseRule for TowardsMean {
    fn apply(&self, strip: &Strip<'_>, out: &mut [f64]) -> Result<()> {
        weighted_mean(&self.weights, strip.networks, out);
        for (out, base) in out.iter_mut().zip(strip.base) {
            *out = self.t * *out + (1. - self.t) * base;
        }
        Ok(())
    }
}
