//! The median.
use crate::{
    combine::{
        fixed::row_by_row::{cell_by_cell, without_ends},
        FittedCombiner, FixedCombiner,
    },
    predictions::Predictions,
};
use candle_core::{Result, Tensor};
use serde::{Deserialize, Serialize};

/// The median of values, output by output; for classes the median of each class's probabilities, normalised
/// again. Of an even number, the mean of the middle two. No gradient passes through it.
///
/// Choose it over the mean when single members now and then fail badly.
///
/// ```
/// use candle_core::{Device, Tensor};
/// use candle_ensemble::{combine::*, data::Task, predictions::*};
///
/// let members = Tensor::new(&[[[1f32]], [[2.]], [[900.]]], &Device::Cpu)?;
/// let predictions = Predictions::new(members, Task::Regression { outputs: 1 })?;
/// assert_eq!(Median.combine(&predictions)?.to_vec2::<f32>()?, [[2.]]);
/// # Ok::<(), candle_core::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Median;

impl FixedCombiner for Median {}

impl FittedCombiner for Median {
    fn name(&self) -> String {
        "median".into()
    }

    fn combine(&self, predictions: &Predictions) -> Result<Tensor> {
        cell_by_cell(predictions, |predicted| match without_ends(predicted, usize::MAX) {
            [one] => *one,
            // Halved first: the sum of two large numbers may be none.
            two => two.iter().map(|x| 0.5 * x).sum(),
        })
    }
}
