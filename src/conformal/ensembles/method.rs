//! The trait of methods that are fitted on held-out predictions.
use crate::{combine::FittedCombiner, HeldOut, Result};

/// Which rows a [`ConformalMethod`] is calibrated on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CalibrationRows {
    /// Rows that no member has seen, each predicted by every slot.
    Unseen,
    /// Rows that some members have not seen, each predicted by these members alone.
    HeldOut,
}

/// A method of conformal prediction, before it is fitted: [`SplitIntervals`](super::SplitIntervals),
/// [`QuantileIntervals`](super::QuantileIntervals), [`CrossIntervals`](super::CrossIntervals),
/// [`ClassSets`](super::ClassSets) or [`CrossSets`](super::CrossSets).
///
/// [`Pool::conformal`](crate::Pool::conformal) fits it on rows of the pool's own data, and
/// [`OnDataset::conformal`](crate::OnDataset::conformal) on those of a data set that was kept for calibration.
/// [`fit`](Self::fit) takes held-out predictions of any origin.
///
/// # Examples
/// ```
/// use candle_core::{Device, Tensor};
/// use candle_ensemble::{combine::Mean, conformal::*, data::Task, predictions::Predictions, HeldOut};
///
/// // Two members, three calibration rows; their mean is 1, 2, 3.
/// let values = Tensor::new(&[[[0f64], [1.], [2.]], [[2.], [3.], [4.]]], &Device::Cpu)?;
/// let predictions = Predictions::new(values, Task::Regression { outputs: 1 })?;
/// let targets = Tensor::new(&[1.5f64, 2.25, 4.], &Device::Cpu)?;
/// let calibration = HeldOut::from_predictions(&predictions, &targets)?;
/// let fitted = SplitIntervals::new(0.5).fit(&calibration, &Mean)?; // the second of 0.25, 0.5, 1
/// let new = Predictions::new(Tensor::new(&[[[9f64]], [[11.]]], &Device::Cpu)?, Task::Regression { outputs: 1 })?;
/// assert_eq!(fitted.predict(&new, &Mean, None)?.to_vec3::<f64>()?, [[[9.5, 10.5]]]);
/// # Ok::<(), candle_ensemble::Error>(())
/// ```
pub trait ConformalMethod {
    /// What comes of the fit.
    type Fitted;

    /// Which rows it is calibrated on.
    fn calibration_rows(&self) -> CalibrationRows;

    /// Whether it is fitted on the distributions that the ensemble predicts ([`HeldOut::distributions`]). It is then calibrated
    /// on rows that no member has seen.
    fn needs_distributions(&self) -> bool {
        false
    }

    /// Fits on held-out predictions of members whose predictions are combined by `combiner`. The combiner must not be
    /// fitted on these rows.
    ///
    /// A row of weight 0 does not count, and the other rows must have equal weights.
    ///
    /// # Errors
    /// When a setting is out of range, the task is another one, weights differ, or the combiner fails.
    fn fit(&self, calibration: &HeldOut, combiner: &dyn FittedCombiner) -> Result<Self::Fitted>;
}
