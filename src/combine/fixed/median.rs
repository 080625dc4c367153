//! The median.
use crate::{
    combine::{
        fixed::row_by_row::{column_by_column, without_extremes},
        FittedCombiner, FixedCombiner,
    },
    predictions::Predictions,
};
use candle_core::{Result, Tensor};
use serde::{Deserialize, Serialize};

/// The median of the predictions, for each class or output on its own.
///
/// ```text
/// p_c ∝ median_s p_sc    for classes, normalised to sum to one
/// y_k = median_s y_sk    for regression
/// ```
///
/// It combines `(S, B, C)` to `(B, C)`. For an even number of predictions it is the mean of the middle two. A
/// missing prediction is left out; a row that no slot predicts gives NaN. If all medians of a row are 0, all
/// classes get the same probability.
///
/// Use it when single members now and then fail badly. When all members are about equally good, the mean has
/// a lower variance. No gradient passes through it. The cost is a selection among `S` numbers for each of the
/// `B·C` results.
///
/// # Errors
/// Combining fails only when candle fails.
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
///
/// Source: Kittler, Hatef, Duin and Matas 1998, doi:10.1109/34.667881.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Median;

impl FixedCombiner for Median {}

impl FittedCombiner for Median {
    fn name(&self) -> String {
        "median".into()
    }

    fn combine(&self, predictions: &Predictions) -> Result<Tensor> {
        column_by_column(predictions, |values| match without_extremes(values, usize::MAX) {
            [one] => *one,
            // Halved before the sum, which could overflow.
            two => two.iter().map(|x| 0.5 * x).sum(),
        })
    }
}
