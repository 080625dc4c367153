//! Spherical linear interpolation.
use crate::{
    kernels::linear::{weighted_mean, weighted_sum},
    merge::{methods::cosines::Cosines, ElementwiseRule, Method, Needs, Sources, Strip},
    Error, Result,
};

/// The absolute cosine above which the interpolation is linear.
const PARALLEL: f64 = 0.9995;

/// Interpolates between two networks along the arc between them (spherical linear interpolation).
///
/// Formula: `θ = sin((1−t)Ω)/sin Ω · θ₁ + sin(tΩ)/sin Ω · θ₂`, for each tensor, where `Ω` is the angle
/// between the two tensors as vectors.
///
/// Where `|cos Ω| > 0.9995`, or one of the tensors is 0, the interpolation is linear: `(1−t)·θ₁ + t·θ₂`. The
/// angle is taken between the normalized vectors, but the tensors themselves are interpolated, as in other
/// programs that merge networks. So the norm goes from one to the other, while that of an average is smaller
/// in between. Tensors may have any shape.
///
/// Use it for two networks that were fine-tuned from one network. There is no such formula for more than two
/// networks.
///
/// Cost: two passes over the inputs.
///
/// # Errors
/// As [`merge`](crate::merge::merge()); when `t` is not from 0 to 1.
///
/// ```
/// use candle_core::{Device, Tensor};
/// use candle_ensemble::{merge::{merge, Slerp}, weights::Weights};
///
/// let network = |x: [f32; 2]| -> candle_core::Result<Weights> {
///     Ok(Weights::from([("w".into(), Tensor::new(&x, &Device::Cpu)?)]))
/// };
/// let merged = merge(&Slerp::new(0.5), &[&network([1., 0.])?, &network([0., 1.])?], None)?;
/// let w = merged["w"].to_vec1::<f32>()?;
/// assert!(w.iter().all(|x| (x - 0.5f32.sqrt()).abs() < 1e-6));
/// # Ok::<(), candle_ensemble::Error>(())
/// ```
///
/// Source: Shoemake (1985), "Animating rotation with quaternion curves", SIGGRAPH, doi:10.1145/325334.325242.
#[derive(Clone, Debug)]
pub struct Slerp {
    t: f64,
}

impl Slerp {
    /// An interpolation at `t`, from 0 (the first network) to 1 (the second network).
    #[must_use]
    pub fn new(t: f64) -> Self {
        Self { t }
    }
}

impl Method for Slerp {
    fn name(&self) -> &'static str {
        "SLERP"
    }

    fn needs(&self) -> Needs {
        Needs { most: 2, ..Needs::networks(2) }
    }

    fn check(&self, _networks: usize) -> Result<()> {
        if (0. ..=1.).contains(&self.t) {
            return Ok(());
        }
        Err(Error::invalid("t", "from 0 to 1", self.t))
    }

    fn rule(&self, tensor: &Sources<'_>) -> Result<Box<dyn ElementwiseRule>> {
        let t = self.t;
        // There is no cosine with a tensor of zeros.
        match Cosines::of(tensor).between(0, 1) {
            Some(cosine) if cosine.abs() <= PARALLEL => {
                let angle = cosine.acos();
                let weights = [((1. - t) * angle).sin() / angle.sin(), (t * angle).sin() / angle.sin()];
                Ok(Box::new(OnArc(weights)))
            }
            _ => Ok(Box::new(OnLine([1. - t, t]))),
        }
    }
}

/// A sum of the two networks with these weights.
struct OnArc([f64; 2]);

impl ElementwiseRule for OnArc {
    fn apply(&self, strip: &Strip<'_>, out: &mut [f64]) -> Result<()> {
        weighted_sum(&self.0, strip.networks, out);
        Ok(())
    }
}

/// A mean of the two networks with these weights.
struct OnLine([f64; 2]);

impl ElementwiseRule for OnLine {
    fn apply(&self, strip: &Strip<'_>, out: &mut [f64]) -> Result<()> {
        weighted_mean(&self.0, strip.networks, out);
        Ok(())
    }
}
