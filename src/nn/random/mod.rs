//! Layers that draw random numbers in training, and the seed and the counter that determine these numbers.
mod alpha_dropout;
mod drop_connect;
mod dropout;
mod gaussian_dropout;
mod gaussian_noise;
mod spatial_dropout;
#[cfg(test)]
mod tests;

pub use alpha_dropout::AlphaDropout;
pub use drop_connect::DropConnect;
pub use dropout::Dropout;
pub use gaussian_dropout::GaussianDropout;
pub use gaussian_noise::GaussianNoise;
pub use spatial_dropout::{SpatialDropout1d, SpatialDropout2d};

use crate::Seed;
use candle_core::{DType, Device, Result, Shape, Tensor, Var};
use candle_nn::{Init, VarBuilder};
use rand::Rng;
use rand_chacha::ChaCha8Rng;
use rand_distr::StandardNormal;

/// The source of a layer's random numbers: two integer variables of the network.
///
/// `seed` is drawn with the initial weights and depends on the run's seed and the layer's name. `step` counts
/// the forward passes in training. Each pass has a generator of its own, which these two determine.
#[derive(Clone, Debug)]
struct Draws {
    seed: Tensor,
    step: Var,
}

impl Draws {
    /// Makes the variables `seed` and `step`.
    fn new(vb: &VarBuilder<'_>) -> Result<Self> {
        let any = Init::Uniform { lo: 0., up: u32::MAX.into() };
        let seed = vb.get_with_hints_dtype(4, "seed", any, DType::U32)?;
        let step = Var::from_tensor(&vb.get_with_hints_dtype((), "step", Init::Const(0.), DType::U32)?)?;
        Ok(Self { seed, step })
    }

    /// The generator of this pass. It counts the pass.
    fn next(&self) -> Result<ChaCha8Rng> {
        let step = self.step.to_scalar::<u32>()?;
        let seeds = self.seed.to_vec1::<u32>()?;
        let seed = seeds.into_iter().fold(Seed::from(0), |seed, part| seed.nth("dropout", part.into()));
        self.step.set(&Tensor::new(step.wrapping_add(1), self.step.device())?)?;
        Ok(seed.nth("step", step.into()).rng())
    }

    /// A choice for each element: `dropped` with probability `p`, else `kept`.
    fn mask(&self, p: f64, elements: usize, dropped: f32, kept: f32) -> Result<Vec<f32>> {
        Ok(keep_mask(&mut self.next()?, p, elements, dropped, kept))
    }

    /// Numbers from `N(mean, deviation²)`, one for each element of `like`, in its type and on its device.
    fn normal(&self, like: &Tensor, mean: f64, deviation: f64) -> Result<Tensor> {
        let mut rng = self.next()?;
        let draws = (0..like.elem_count()).map(|_| mean + deviation * rng.sample::<f64, _>(StandardNormal));
        match like.dtype() {
            DType::F64 => of_elements(draws.collect::<Vec<f64>>(), like.shape(), like),
            _ => of_elements(draws.map(|x| x as f32).collect::<Vec<f32>>(), like.shape(), like),
        }
    }
}

/// A choice for each element: `dropped` with probability `p`, else `kept`.
pub(super) fn keep_mask(rng: &mut ChaCha8Rng, p: f64, elements: usize, dropped: f32, kept: f32) -> Vec<f32> {
    let limit = (p * 2f64.powi(32)) as u32;
    (0..elements).map(|_| if rng.random::<u32>() < limit { dropped } else { kept }).collect()
}

/// The elements times those of a mask.
pub(super) fn masked(x: &Tensor, mask: Vec<f32>) -> Result<Tensor> {
    x * of_elements(mask, x.shape(), x)?
}

/// A tensor of these elements, in the type and on the device of `like`.
fn of_elements<T: candle_core::WithDType>(
    elements: Vec<T>,
    shape: impl Into<Shape>,
    like: &Tensor,
) -> Result<Tensor> {
    Tensor::from_vec(elements, shape.into(), &Device::Cpu)?.to_dtype(like.dtype())?.to_device(like.device())
}
