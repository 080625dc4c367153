//! The maximum.
use crate::{
    combine::{fixed::row_by_row::cell_by_cell, FittedCombiner, FixedCombiner},
    predictions::Predictions,
};
use candle_core::{Result, Tensor};
use serde::{Deserialize, Serialize};

/// The maximum of values, output by output; for classes the maximum of each class's probabilities, normalised again.
/// No gradient passes through it.
///
/// One member that is sure decides: `p_c ∝ max_s p_sc`.
/// Source: Kittler et al. 1998, doi:10.1109/34.667881.
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
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Maximum;

impl FixedCombiner for Maximum {}

impl FittedCombiner for Maximum {
    fn name(&self) -> String {
        "maximum".into()
    }

    fn combine(&self, predictions: &Predictions) -> Result<Tensor> {
        cell_by_cell(predictions, |predicted| predicted.iter().copied().fold(f64::NEG_INFINITY, f64::max))
    }
}
