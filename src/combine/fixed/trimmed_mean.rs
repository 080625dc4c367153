//! Means that leave out the extremes.
use crate::{
    combine::{
        fixed::row_by_row::{cell_by_cell, without_ends},
        FittedCombiner, FixedCombiner,
    },
    predictions::Predictions,
    Error, Result,
};
use candle_core::{Result as CandleResult, Tensor};
use serde::{Deserialize, Serialize};

/// The mean without the extremes: of `n` numbers the `⌊cut · n⌋` least and as many of the greatest are left out.
/// Output by output; for classes of each class's probabilities, which are normalised again. No gradient passes
/// through it.
///
/// `cut` 0 is the mean, towards one half it becomes the median. Source: Tukey and McLaughlin 1963; the
/// same counts as `scipy.stats.trim_mean`.
///
/// ```
/// use candle_core::{Device, Tensor};
/// use candle_ensemble::{combine::*, data::Task, predictions::*};
///
/// let members = Tensor::new(&[[[1f32]], [[2.]], [[4.]], [[900.]]], &Device::Cpu)?;
/// let predictions = Predictions::new(members, Task::Regression { outputs: 1 })?;
/// assert_eq!(TrimmedMean::new(0.25)?.combine(&predictions)?.to_vec2::<f32>()?, [[3.]]);
/// # Ok::<(), candle_ensemble::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct TrimmedMean {
    cut: f64,
}

impl TrimmedMean {
    /// With this share left out at each end, from 0 to less than one half.
    ///
    /// # Errors
    /// When it is out of range.
    pub fn new(cut: f64) -> Result<Self> {
        Ok(Self { cut: checked(cut)? })
    }

    /// The share that is left out at each end.
    #[must_use]
    pub fn cut(&self) -> f64 {
        self.cut
    }
}

impl FixedCombiner for TrimmedMean {}

impl FittedCombiner for TrimmedMean {
    fn name(&self) -> String {
        "trimmed-mean".into()
    }

    fn combine(&self, predictions: &Predictions) -> CandleResult<Tensor> {
        cell_by_cell(predictions, |predicted| {
            let middle = without_ends(predicted, count(self.cut, predicted.len()));
            middle.iter().sum::<f64>() / middle.len() as f64
        })
    }
}

/// A share at each end.
pub(crate) fn checked(cut: f64) -> Result<f64> {
    match (0. ..0.5).contains(&cut) {
        true => Ok(cut),
        false => Err(Error::invalid("the share cut at each end", "from 0 to less than 0.5", cut)),
    }
}

/// How many of `n` that share is.
pub(crate) fn count(cut: f64, n: usize) -> usize {
    (cut * n as f64) as usize
}
