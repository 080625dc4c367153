//! How the inputs of a step are moved.
use crate::{
    data::{FittedScalings, Inputs},
    train::{
        adversarial::{Adversarial, FastGradientSign, ProjectedGradient},
        Run,
    },
    Error, Result, Seed,
};
use candle_core::{backprop::GradStore, DType, Device, Result as CResult, Tensor, Var};
use rand::Rng;

/// Rows that are read at a time.
const BATCH_ROWS: usize = 1024;

/// How far and how often the inputs are moved.
#[derive(Debug)]
pub(crate) struct Moves {
    /// How far in all, and in one step, for one row: `(1, …)`.
    sizes: Tensor,
    step: Tensor,
    steps: usize,
    random_start: bool,
    limits: Option<(f64, f64)>,
    /// The share of the loss of the moved inputs.
    share: f64,
}

impl Adversarial {
    /// The moves for the training rows of a run.
    pub(crate) fn fit(self, run: &Run<'_>, scalings: &FittedScalings) -> Result<Moves> {
        let mut ends: Option<(Tensor, Tensor)> = None;
        for rows in run.train_rows().chunks(BATCH_ROWS) {
            let inputs = scalings.scale_inputs(&run.batch(rows)?.inputs)?;
            let x = only(&inputs)?.to_dtype(DType::F32)?;
            let (low, high) = (x.min_keepdim(0)?, x.max_keepdim(0)?);
            ends = Some(match ends {
                None => (low, high),
                Some((least, most)) => (least.minimum(&low)?, most.maximum(&high)?),
            });
        }
        let Some((low, high)) = ends else {
            return Err(Error::invalid("the number of training rows", "at least 1", 0));
        };
        Ok(Moves::new(self, &(high - low)?)?)
    }
}

impl Moves {
    /// For inputs of these ranges, `(1, …)`.
    pub(super) fn new(method: Adversarial, range: &Tensor) -> CResult<Self> {
        Ok(match method {
            Adversarial::FastGradientSign(FastGradientSign { epsilon }) => {
                let sizes = (range * epsilon)?;
                let step = sizes.clone();
                Self { sizes, step, steps: 1, random_start: false, limits: None, share: 0.5 }
            }
            Adversarial::ProjectedGradient(method) => {
                let ProjectedGradient { radius, steps, random_start, share, limits, .. } = method;
                let (sizes, step) = ((range * radius)?, (range * method.size_of_step())?);
                Self { sizes, step, steps, random_start, limits, share }
            }
        })
    }

    /// The inputs as a variable, so that a backward pass gives their gradient.
    pub(crate) fn tracked(inputs: &Inputs) -> Result<Var> {
        Ok(Var::from_tensor(&only(inputs)?.detach())?)
    }

    /// The inputs, moved in the direction of their gradient, step by step. `gradients` are those at the inputs, and `again`
    /// computes those at others.
    pub(crate) fn moved(
        &self,
        inputs: &Var,
        gradients: &GradStore,
        seed: Seed,
        again: impl Fn(&Var) -> Result<GradStore>,
    ) -> Result<Inputs> {
        let origin = inputs.as_detached_tensor();
        let typed = |sizes: &Tensor| sizes.to_dtype(origin.dtype());
        let (sizes, step) = (typed(&self.sizes)?, typed(&self.step)?);
        // How far the inputs have been moved so far.
        let mut moved: Option<Tensor> = match self.random_start {
            true => Some(self.limited(&origin, uniform(&origin, &sizes, seed)?)?),
            false => None,
        };
        for _ in 0..self.steps {
            let sign = match &moved {
                None => sign(gradients, inputs)?,
                Some(moved) => {
                    let here = Var::from_tensor(&(&origin + moved)?.detach())?;
                    sign(&again(&here)?, &here)?
                }
            };
            let by = sign.broadcast_mul(&step)?;
            let sum = match moved {
                None => by,
                Some(moved) => (moved + by)?,
            };
            let kept = sum.broadcast_minimum(&sizes)?.broadcast_maximum(&sizes.neg()?)?;
            moved = Some(self.limited(&origin, kept)?);
        }
        Ok(match moved {
            Some(moved) => (origin + moved)?.into(),
            None => origin.into(),
        })
    }

    /// A move after which the inputs are within their limits.
    fn limited(&self, origin: &Tensor, by: Tensor) -> CResult<Tensor> {
        match self.limits {
            Some((low, high)) => (origin + by)?.clamp(low, high)? - origin,
            None => Ok(by),
        }
    }

    /// Makes the gradients of the variables those of the losses of both inputs, by their shares.
    pub(crate) fn mix(
        &self,
        gradients: &mut GradStore,
        moved: &GradStore,
        variables: &[(String, Var)],
    ) -> CResult<()> {
        let (own, share) = (1. - self.share, self.share);
        for (_, var) in variables {
            let sum = match (gradients.get(var), moved.get(var)) {
                (None, None) => continue,
                (Some(one), None) => (one * own)?,
                (None, Some(other)) => (other * share)?,
                (Some(_), Some(other)) if own == 0. => other.clone(),
                (Some(one), Some(other)) if own == share => ((one + other)? * own)?,
                (Some(one), Some(other)) => ((one * own)? + (other * share)?)?,
            };
            gradients.insert(var, sum);
        }
        Ok(())
    }
}

/// The signs of the gradient of the inputs.
fn sign(gradients: &GradStore, inputs: &Var) -> Result<Tensor> {
    match gradients.get(inputs) {
        Some(gradient) => Ok(gradient.detach().to_dtype(inputs.dtype())?.sign()?),
        None => {
            let must = "reached by the gradient, for adversarial training";
            let got = "not reached: the network detaches it";
            Err(Error::invalid("the input of the network", must, got))
        }
    }
}

/// Numbers from `−sizes` to `sizes`, uniformly, for each element of `like`. Draws are in f64 and on the CPU.
fn uniform(like: &Tensor, sizes: &Tensor, seed: Seed) -> CResult<Tensor> {
    let mut rng = seed.rng();
    let draws: Vec<f64> = (0..like.elem_count()).map(|_| rng.random_range(-1f64..=1.)).collect();
    let draws = Tensor::from_vec(draws, like.shape(), &Device::Cpu)?;
    draws.to_dtype(like.dtype())?.to_device(like.device())?.broadcast_mul(sizes)
}

/// The only input, of floats.
fn only(inputs: &Inputs) -> Result<&Tensor> {
    match inputs.tensors() {
        [only] if only.dtype().is_float() => Ok(only),
        [other] => {
            let must = "floating-point numbers for adversarial training";
            Err(Error::invalid("the inputs", must, other.dtype().as_str()))
        }
        several => Err(Error::invalid("the number of inputs for adversarial training", "1", several.len())),
    }
}
