//! The maximum.
use crate::{
    combine::{fixed::row_by_row::column_by_column, FittedCombiner, FixedCombiner},
    predictions::Predictions,
};
use candle_core::{Result, Tensor};
use serde::{Deserialize, Serialize};

/// The maximum of the predictions, for each class or output on its own.
///
/// ```text
/// p_c ∝ max_s p_sc    for classes, normalised to sum to one
/// y_k = max_s y_sk    for regression
/// ```
///
/// It combines `(S, B, C)` to `(B, C)`. A missing prediction is left out; a row that no slot predicts gives
/// NaN.
///
/// Use it when a class must not be overlooked: one confident member decides. It is a poor choice when members
/// are overconfident, and for regression it is biased upwards. No gradient passes through it. The cost is one
/// pass over the `S·B·C` numbers.
///
/// # Errors
/// Combining fails only when candle fails.
///
/// ```
/// use candle_core::{Device, Tensor};
/// use candle_ensemble::{combine::*, data::Task, predictions::*};
///
/// let members = Tensor::new(&[[[1f32, 6.]], [[3., 5.]]], &Device::Cpu)?;
/// let predictions = Predictions::new(members, Task::Regression { outputs: 2 })?;
/// assert_eq!(Maximum.combine(&predictions)?.to_vec2::<f32>()?, [[3., 6.]]);
/// # Ok::<(), candle_core::Error>(())
/// ```
///
/// Source: Kittler, Hatef, Duin and Matas 1998, doi:10.1109/34.667881.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Maximum;

impl FixedCombiner for Maximum {}

impl FittedCombiner for Maximum {
    fn name(&self) -> String {
        "maximum".into()
    }

    fn combine(&self, predictions: &Predictions) -> Result<Tensor> {
        column_by_column(predictions, |values| values.iter().copied().fold(f64::NEG_INFINITY, f64::max))
    }
}
