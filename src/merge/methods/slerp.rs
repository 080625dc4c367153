//! Spherical linear interpolation.
use crate::{
    kernels::{
        linear::{dot, weighted_sum},
        simd::vectorized,
    },
    merge::{ElementwiseRule, Method, Needs, Sources, Strip},
    Error, Result,
};

/// Directions closer than this (or to opposite ones) are interpolated linearly.
const PARALLEL: f64 = 0.9995;

/// SLERP of two networks: `θ = sin((1−t)Ω)/sin Ω · θ₁ + sin(tΩ)/sin Ω · θ₂`, where Ω is the angle between the two
/// tensors, each taken as one vector.
///
/// Where `|cos Ω| > .9995`, or one of them is 0, it is `(1−t)·θ₁ + t·θ₂`. The angle is taken between the normalised
/// vectors, but the tensors themselves are interpolated, as everyone does who merges networks: the norm goes from one's
/// to the other's instead of shrinking in between, as that of an average does.
///
/// Choose it for two fine-tuned relatives of which an average would be too timid; for more than two there is no such
/// formula.
///
/// Source: Shoemake (1985), "Animating rotation with quaternion curves", SIGGRAPH, doi:10.1145/325334.325242.
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
#[derive(Clone, Debug)]
pub struct Slerp {
    t: f64,
}

impl Slerp {
    /// From the first network (`t` = 0) to the second (`t` = 1).
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
        let sums = tensor.sums(3, |sums, strip| {
            if let [a, b] = strip.networks {
                vectorized(
                    #[inline(always)]
                    || {
                        sums[0] += dot(a, a);
                        sums[1] += dot(b, b);
                        sums[2] += dot(a, b);
                    },
                );
            }
        });
        let cosine = sums[2] / (sums[0].sqrt() * sums[1].sqrt());
        let t = self.t;
        // NaN, from a tensor of zeros, is no angle.
        if cosine.is_nan() || cosine.abs() > PARALLEL {
            return Ok(Box::new(Between([1. - t, t])));
        }
        let angle = cosine.acos();
        Ok(Box::new(Between([((1. - t) * angle).sin() / angle.sin(), (t * angle).sin() / angle.sin()])))
    }
}

struct Between([f64; 2]);

impl ElementwiseRule for Between {
    fn apply(&self, strip: &Strip<'_>, out: &mut [f32]) -> Result<()> {
        weighted_sum(&self.0, strip.networks, out);
        Ok(())
    }
}
