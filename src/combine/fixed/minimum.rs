//! The minimum.
use crate::{
    combine::{fixed::row_by_row::cell_by_cell, FittedCombiner, FixedCombiner},
    predictions::Predictions,
};
use candle_core::{Result, Tensor};
use serde::{Deserialize, Serialize};

/// The minimum of values, output by output; for classes the minimum of each class's probabilities, normalised again.
/// No gradient passes through it.
///
/// A class has to convince every member: `p_c ∝ min_s p_sc`. Where no class convinces all (each has a probability of 0 from
/// someone), every class is as probable.
/// Source: Kittler et al. 1998, doi:10.1109/34.667881.
///
/// ```
/// use candle_core::{Device, Tensor};
/// use candle_ensemble::{combine::*, data::Task, predictions::*};
///
/// let members = Tensor::new(&[[[1f32, 6.]], [[3., 5.]]], &Device::Cpu)?;
/// let predictions = Predictions::new(members, Task::Regression { outputs: 2 })?;
/// assert_eq!(Minimum.combine(&predictions)?.to_vec2::<f32>()?, [[1., 5.]]);
/// # Ok::<(), candle_core::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Minimum;

impl FixedCombiner for Minimum {}

impl FittedCombiner for Minimum {
    fn name(&self) -> String {
        "minimum".into()
    }

    fn combine(&self, predictions: &Predictions) -> Result<Tensor> {
        cell_by_cell(predictions, |predicted| predicted.iter().copied().fold(f64::INFINITY, f64::min))
    }
}
