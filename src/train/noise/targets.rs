//! Noise on targets.
use crate::{
    check::{below_one, non_negative},
    data::Task,
    registry::{Argument, Entry},
    train::noise::{made, normal::add_normal, Noise, NoiseSource, NoiseStep},
    Result,
};
use candle_core::{DType, Device, Tensor};
use rand::Rng;
use serde::{Deserialize, Serialize};
use std::fmt;

/// Noise on the targets of each batch. See [`Noise`].
///
/// ```text
/// values:   y ← y + a n,        n standard normal, new for each number in each step
/// classes:  y ← another class with probability a, each of the others alike, new for each row in each step
/// ```
///
/// For classes use it in place of label smoothing, to which it is equal on average: with `C` classes,
/// probability `a` stands for smoothing by `a C / (C − 1)`. It is DisturbLabel with a noise rate of that size,
/// which also draws the true class. For values it makes the loss noisier and little else; use it for
/// experiments with noise, and noise on inputs or weights as a regularizer. The recorded training loss is that
/// of the noisy targets.
///
/// # Errors
/// [`Noise::check`] names the amount if it is negative or not finite, and
/// [`Noises::check_task`](crate::train::Noises::check_task) if it is 1 or more for classes.
///
/// # Source
/// Xie et al. 2016, arXiv:1605.00055 (DisturbLabel).
///
/// ```
/// use candle_ensemble::train::{Noise, TargetNoise};
///
/// assert_eq!(Noise::registry().parse("target:0.05")?, TargetNoise::new(0.05).into());
/// # Ok::<(), candle_ensemble::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct TargetNoise {
    /// The amount `a`: the standard deviation for values, 0 or more; the probability of another class for
    /// classes, from 0 to less than 1.
    pub amount: f64,
}

impl TargetNoise {
    /// Noise of this amount.
    #[must_use]
    pub fn new(amount: f64) -> Self {
        Self { amount }
    }
}

impl NoiseSource for TargetNoise {
    const ENTRY: Entry<Noise> = Entry::new(
        "target",
        "Noise::Targets",
        "Normal noise on values, or other classes for some rows",
        |arguments| made(TargetNoise::new(arguments.get("amount")?)),
    )
    .with_arguments(&[Argument::required(
        "amount",
        "The standard deviation of values, or the probability of another class",
    )])
    .with_source("Xie et al. 2016, arXiv:1605.00055");

    fn check(&self) -> Result<()> {
        non_negative("TargetNoise::amount", self.amount)
    }

    fn check_task(&self, task: Task) -> Result<()> {
        match task {
            Task::Classification { .. } => below_one("TargetNoise::amount, for classes,", self.amount),
            Task::Regression { .. } => Ok(()),
        }
    }

    fn targets(&self, targets: Tensor, task: Task, at: NoiseStep) -> Result<Tensor> {
        self.check_task(task)?;
        let mut rng = at.rng("targets");
        let classes = match task {
            Task::Classification { classes } if classes > 1 => classes as u32,
            Task::Classification { .. } => return Ok(targets),
            Task::Regression { .. } => return Ok(add_normal(&targets, self.amount, &mut rng)?),
        };
        let mut ids = targets.to_dtype(DType::U32)?.flatten_all()?.to_vec1::<u32>()?;
        for id in &mut ids {
            // Both draws for every row, so that a larger amount replaces the same rows and more.
            let (is_replaced, other) = (rng.random::<f64>() < self.amount, rng.random_range(0..classes - 1));
            if is_replaced {
                // Any class but its own.
                *id = other + u32::from(other >= *id);
            }
        }
        let noisy = Tensor::from_vec(ids, targets.shape(), &Device::Cpu)?;
        Ok(noisy.to_dtype(targets.dtype())?.to_device(targets.device())?)
    }
}

impl fmt::Display for TargetNoise {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "target:{}", self.amount)
    }
}
