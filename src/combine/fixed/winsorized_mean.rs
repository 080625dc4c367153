//! The Winsorized mean.
use crate::{
    combine::{
        fixed::{
            row_by_row::{column_by_column, without_extremes},
            trimmed_mean::{check_cut, cut_count},
        },
        FittedCombiner, FixedCombiner,
    },
    predictions::Predictions,
    Result,
};
use candle_core::{Result as CandleResult, Tensor};
use serde::{Deserialize, Serialize};

/// The Winsorized mean: the mean after the extreme predictions are replaced by the nearest ones that are not
/// extreme, for each class or output on its own.
///
/// ```text
/// y = mean of the n predictions, the ⌊cut · n⌋ smallest replaced by the next larger one, and as many of the largest by the next
///     smaller one
/// ```
///
/// It combines `(S, B, C)` to `(B, C)`; probabilities are normalised to sum to one. The counts are those of
/// `scipy.stats.mstats.winsorize`. A missing prediction is left out; a row that no slot predicts gives NaN.
///
/// Use it like the [`TrimmedMean`](crate::combine::TrimmedMean), when some members fail badly now and then;
/// an extreme member still counts, but not by how far off it is. No gradient passes through it. The cost is a
/// selection among `S` numbers for each of the `B·C` results.
///
/// # Errors
/// [`WinsorizedMean::new`] fails when `cut` is not from 0 to less than one half.
///
/// ```
/// use candle_core::{Device, Tensor};
/// use candle_ensemble::{combine::*, data::Task, predictions::*};
///
/// let members = Tensor::new(&[[[1f32]], [[2.]], [[4.]], [[900.]]], &Device::Cpu)?;
/// let predictions = Predictions::new(members, Task::Regression { outputs: 1 })?;
/// assert_eq!(WinsorizedMean::new(0.25)?.combine(&predictions)?.to_vec2::<f32>()?, [[3.]]); // of 2, 2, 4, 4
/// # Ok::<(), candle_ensemble::Error>(())
/// ```
///
/// Source: Dixon 1960, doi:10.1214/aoms/1177705900.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct WinsorizedMean {
    cut: f64,
}

impl WinsorizedMean {
    /// A mean that replaces this share of the predictions at each end.
    ///
    /// # Errors
    /// When the share is not from 0 to less than one half.
    pub fn new(cut: f64) -> Result<Self> {
        Ok(Self { cut: check_cut(cut)? })
    }

    /// The share that is replaced at each end.
    #[must_use]
    pub fn cut(&self) -> f64 {
        self.cut
    }
}

impl FixedCombiner for WinsorizedMean {}

impl FittedCombiner for WinsorizedMean {
    fn name(&self) -> String {
        "winsorized-mean".into()
    }

    fn combine(&self, predictions: &Predictions) -> CandleResult<Tensor> {
        column_by_column(predictions, |values| {
            let n = values.len();
            let middle = without_extremes(values, cut_count(self.cut, n));
            let (mut least, mut greatest) = (f64::INFINITY, f64::NEG_INFINITY);
            for x in middle.iter() {
                (least, greatest) = (least.min(*x), greatest.max(*x));
            }
            let replaced = (n - middle.len()) as f64 / 2.;
            (middle.iter().sum::<f64>() + replaced * least + replaced * greatest) / n as f64
        })
    }
}
