//! Means that draw the extremes in.
use crate::{
    combine::{
        fixed::{
            row_by_row::{cell_by_cell, without_ends},
            trimmed_mean::{checked, count},
        },
        FittedCombiner, FixedCombiner,
    },
    predictions::Predictions,
    Result,
};
use candle_core::{Result as CandleResult, Tensor};
use serde::{Deserialize, Serialize};

/// The mean with the extremes drawn in: of `n` numbers the `⌊cut · n⌋` least count as the least of the others, as
/// many of the greatest as the greatest of the others. Output by output; for classes of each class's
/// probabilities, which are normalised again. No gradient passes through it.
///
/// Source: Dixon 1960, doi:10.1214/aoms/1177705900; the same counts as `scipy.stats.mstats.winsorize`.
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
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct WinsorizedMean {
    cut: f64,
}

impl WinsorizedMean {
    /// With this share drawn in at each end, from 0 to less than one half.
    ///
    /// # Errors
    /// When it is out of range.
    pub fn new(cut: f64) -> Result<Self> {
        Ok(Self { cut: checked(cut)? })
    }

    /// The share that is drawn in at each end.
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
        cell_by_cell(predictions, |predicted| {
            let n = predicted.len();
            let middle = without_ends(predicted, count(self.cut, n));
            let (mut least, mut greatest) = (f64::INFINITY, f64::NEG_INFINITY);
            for x in middle.iter() {
                (least, greatest) = (least.min(*x), greatest.max(*x));
            }
            let drawn_in = (n - middle.len()) as f64 / 2.;
            (middle.iter().sum::<f64>() + drawn_in * least + drawn_in * greatest) / n as f64
        })
    }
}
