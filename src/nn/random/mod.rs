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

use crate::{nn::stack, Seed};
use candle_core::{bail, DType, Device, Result, Shape, Tensor, Var};
use candle_nn::{Init, VarBuilder};
use rand::Rng;
use rand_chacha::ChaCha8Rng;
use rand_distr::StandardNormal;

/// The source of a layer's random numbers: two integer variables of the network.
///
/// `seed` is drawn with the initial weights and depends on the run's seed and the layer's name. `step` counts
/// the forward passes in training. Each pass has a generator of its own, which these two determine.
#[derive(Clone, Debug)]
pub(in crate::nn) struct Draws {
    seed: Tensor,
    step: Var,
}

impl Draws {
    /// Makes the variables `seed` and `step`.
    pub(in crate::nn) fn new(vb: &VarBuilder<'_>) -> Result<Self> {
        let any = Init::Uniform { lo: 0., up: u32::MAX.into() };
        let seed = vb.get_with_hints_dtype(4, "seed", any, DType::U32)?;
        let step = Var::from_tensor(&vb.get_with_hints_dtype((), "step", Init::Const(0.), DType::U32)?)?;
        Ok(Self { seed, step })
    }

    /// The generators of this pass: one, or one for each member of a pass for several members. It counts the pass.
    fn next(&self) -> Result<Vec<ChaCha8Rng>> {
        match (stack::members(&self.seed)?, stack::members(&self.step)?) {
            (Some(seeds), Some(steps)) => {
                seeds.iter().zip(&steps).map(|(seed, step)| generator(seed, step)).collect()
            }
            _ => Ok(vec![generator(&self.seed, &self.step)?]),
        }
    }

    /// A choice for each element: `dropped` with probability `p`, else `kept`.
    fn mask(&self, p: f64, elements: usize, dropped: f32, kept: f32) -> Result<Vec<f32>> {
        keep_masks(self.next()?, p, elements, dropped, kept)
    }

    /// Numbers from `N(mean, deviation²)`, one for each element of `like`, in its type and on its device.
    pub(in crate::nn) fn normal(&self, like: &Tensor, mean: f64, deviation: f64) -> Result<Tensor> {
        let (mut rngs, elements) = (self.next()?, like.elem_count());
        let each = share(elements, rngs.len())?;
        let draws = rngs
            .iter_mut()
            .flat_map(|rng| (0..each).map(move |_| mean + deviation * rng.sample::<f64, _>(StandardNormal)));
        match like.dtype() {
            DType::F64 => of_elements(draws.collect::<Vec<f64>>(), like.shape(), like),
            _ => of_elements(draws.map(|x| x as f32).collect::<Vec<f32>>(), like.shape(), like),
        }
    }
}

/// The generator of the next pass of a layer with these variables. It counts the pass.
fn generator(seed: &Tensor, counter: &Var) -> Result<ChaCha8Rng> {
    let step = counter.to_scalar::<u32>()?;
    let seed = seed_of(&seed.to_vec1::<u32>()?);
    counter.set(&Tensor::new(step.wrapping_add(1), counter.device())?)?;
    Ok(seed.nth("step", step.into()).rng())
}

/// The seed that integers of a variable make.
pub(super) fn seed_of(parts: &[u32]) -> Seed {
    parts.iter().fold(Seed::from(0), |seed, part| seed.nth("dropout", (*part).into()))
}

/// The number of elements that each of several generators draws.
fn share(elements: usize, generators: usize) -> Result<usize> {
    if generators == 0 || !elements.is_multiple_of(generators) {
        bail!("{elements} random numbers cannot be shared by {generators} members")
    }
    Ok(elements / generators)
}

/// A choice for each element: `dropped` with probability `p`, else `kept`. Each generator draws those of an equal part of
/// the elements.
pub(super) fn keep_masks(
    rngs: impl IntoIterator<Item = ChaCha8Rng, IntoIter: ExactSizeIterator>,
    p: f64,
    elements: usize,
    dropped: f32,
    kept: f32,
) -> Result<Vec<f32>> {
    let (limit, rngs) = ((p * 2f64.powi(32)) as u32, rngs.into_iter());
    let (each, mut mask) = (share(elements, rngs.len())?, Vec::with_capacity(elements));
    for mut rng in rngs {
        mask.extend((0..each).map(|_| if rng.random::<u32>() < limit { dropped } else { kept }));
    }
    Ok(mask)
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
