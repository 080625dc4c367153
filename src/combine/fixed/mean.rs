//! The mean.
use crate::{
    combine::{fixed::weighted_sum::weighted_mean, FittedCombiner, FixedCombiner},
    predictions::Predictions,
};
use candle_core::{Result, Tensor};
use serde::{Deserialize, Serialize};

/// The mean of probabilities (soft vote) for classes, of values for regression: `p̄ = Σₛ pₛ / S`.
///
/// The rule to start with: for squared error, log-loss and Brier score it is never worse than the mean of its
/// members (Krogh and Vedelsby 1995).
///
/// ```
/// use candle_core::{Device, Tensor};
/// use candle_ensemble::{combine::*, data::Task, predictions::*};
///
/// let members = Tensor::new(&[[[1f32], [3.]], [[2.], [5.]]], &Device::Cpu)?;
/// let predictions = Predictions::new(members, Task::Regression { outputs: 1 })?;
/// assert_eq!(Mean.combine(&predictions)?.to_vec2::<f32>()?, [[1.5], [4.]]);
/// # Ok::<(), candle_core::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mean;

impl FixedCombiner for Mean {}

impl FittedCombiner for Mean {
    fn name(&self) -> String {
        "mean".into()
    }

    fn is_mean(&self) -> bool {
        true
    }

    fn combine(&self, predictions: &Predictions) -> Result<Tensor> {
        match weighted_mean(predictions, &vec![1.; predictions.slots()], predictions.slots() as f64)? {
            Some(mean) => Ok(mean),
            None => predictions.mean_over_slots(predictions.values()),
        }
    }
}
