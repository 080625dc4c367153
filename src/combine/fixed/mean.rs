//! The mean.
use crate::{
    combine::{fixed::weighted_sum::weighted_mean, FittedCombiner, FixedCombiner},
    predictions::Predictions,
};
use candle_core::{Result, Tensor};
use serde::{Deserialize, Serialize};

/// The mean of the predictions: of probabilities for classes (the soft vote), of values for regression.
///
/// ```text
/// p = Σ_s p_s / S
/// ```
///
/// It combines `(S, B, C)` to `(B, C)`. A missing prediction is left out; a row that no slot predicts gives
/// NaN.
///
/// Use it first: for the squared error, the log-loss and the Brier score, the loss of the mean is never above
/// the mean loss of the members. A learned combiner has to beat it, which takes members of unequal quality
/// and many held-out rows. One very bad member harms the mean; [`Median`](crate::combine::Median) tolerates
/// it. Gradients pass through. The cost is one pass over the `S·B·C` numbers.
///
/// # Errors
/// Combining fails only when candle fails.
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
///
/// Source: Krogh and Vedelsby 1995, "Neural network ensembles, cross validation, and active learning".
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
