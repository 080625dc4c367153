//! The trimmed mean.
use crate::{
    combine::{
        fixed::row_by_row::{column_by_column, without_extremes},
        FittedCombiner, FixedCombiner,
    },
    predictions::Predictions,
    Error, Result,
};
use candle_core::{Result as CandleResult, Tensor};
use serde::{Deserialize, Serialize};

/// The trimmed mean: the mean without the smallest and the largest predictions, for each class or output on
/// its own.
///
/// ```text
/// y = mean of the n − 2⌊cut · n⌋ middle ones of the n predictions
/// ```
///
/// It combines `(S, B, C)` to `(B, C)`; probabilities are normalised to sum to one. With `cut` 0 it is the
/// mean; towards one half it becomes the median. The counts are those of `scipy.stats.trim_mean`. A missing
/// prediction is left out; a row that no slot predicts gives NaN.
///
/// Use it when some members fail badly now and then, as a middle way between the mean and the
/// [`Median`](crate::combine::Median). With fewer than `1 / cut` members nothing is left out. No gradient
/// passes through it. The cost is a selection among `S` numbers for each of the `B·C` results.
///
/// # Errors
/// [`TrimmedMean::new`] fails when `cut` is not from 0 to less than one half.
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
///
/// Source: Tukey and McLaughlin 1963, "Less vulnerable confidence and significance procedures for location
/// based on a single sample".
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct TrimmedMean {
    cut: f64,
}

impl TrimmedMean {
    /// A mean that leaves out this share of the predictions at each end.
    ///
    /// # Errors
    /// When the share is not from 0 to less than one half.
    pub fn new(cut: f64) -> Result<Self> {
        Ok(Self { cut: check_cut(cut)? })
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
        column_by_column(predictions, |values| {
            let middle = without_extremes(values, cut_count(self.cut, values.len()));
            middle.iter().sum::<f64>() / middle.len() as f64
        })
    }
}

/// Checks the share that is cut at each end.
pub(crate) fn check_cut(cut: f64) -> Result<f64> {
    match (0. ..0.5).contains(&cut) {
        true => Ok(cut),
        false => Err(Error::invalid("the share that is cut at each end", "from 0 to less than 0.5", cut)),
    }
}

/// The number of `n` predictions that is cut at each end.
pub(crate) fn cut_count(cut: f64, n: usize) -> usize {
    (cut * n as f64) as usize
}
