//! A combiner whose result is calibrated.
use crate::{
    combine::{
        calibrate::labels_and_weights, check_fitted_on, cross_fit::cross_fit, forward, Calibration,
        Calibrator, Combiner, FittedCombiner, FittedOn,
    },
    predictions::Predictions,
    Error, HeldOut, Result,
};
use candle_core::{Result as CandleResult, Tensor};
use serde::{Deserialize, Serialize};

/// The largest number of folds of the held-out rows.
const FOLDS: usize = 5;

/// A combiner whose combined probabilities are calibrated; made by
/// [`Calibrate::calibrated`](crate::combine::Calibrate::calibrated).
///
/// ```text
/// p = calibrator(combiner(p_1, …, p_S))
/// ```
///
/// The calibration must not be fitted on predictions for rows that the combiner was fitted on. So the
/// combiner is fitted on four fifths of the held-out rows and predicts the last fifth, five times; the
/// calibration is fitted on these predictions, and the combiner once more on all rows. The seed of the folds
/// is that of the held-out predictions ([`HeldOut::seed`]). Rows of weight 0 are as if they were not there.
///
/// # Errors
/// Fitting fails for regression, and with fewer than two held-out rows or groups.
///
/// ```
/// use candle_core::{Device, Tensor};
/// use candle_ensemble::{combine::*, data::Task, predictions::*, HeldOut};
///
/// let predicted = Tensor::new(&[[[0.9f64, 0.1], [0.2, 0.8], [0.9, 0.1], [0.3, 0.7]]; 2], &Device::Cpu)?;
/// let predictions = Predictions::new(predicted, Task::Classification { classes: 2 })?;
/// let held_out = HeldOut::from_predictions(&predictions, &Tensor::new(&[0u32, 1, 1, 0], &Device::Cpu)?)?;
/// let fitted = Mean.calibrated(Calibration::Temperature).fit(&held_out)?;
/// assert_eq!(fitted.name(), "mean, temperature");
/// assert_eq!(fitted.combine(&predictions)?.dims(), [4, 2]);
/// # Ok::<(), candle_ensemble::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Calibrated<C> {
    combiner: C,
    calibration: Calibration,
}

impl<C> Calibrated<C> {
    pub(crate) fn new(combiner: C, calibration: Calibration) -> Self {
        Self { combiner, calibration }
    }
}

/// A fitted [`Calibrated`] combiner. [`FittedCombiner::weights`] and [`FittedCombiner::fitted`] are those of
/// the combiner within.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FittedCalibrated<F> {
    name: String,
    combiner: F,
    calibrator: Calibrator,
    on: FittedOn,
}

impl<F> FittedCalibrated<F> {
    /// The fitted combiner.
    pub fn combiner(&self) -> &F {
        &self.combiner
    }

    /// The fitted calibration.
    #[must_use]
    pub fn calibrator(&self) -> &Calibrator {
        &self.calibrator
    }
}

impl<C: Combiner> Combiner for Calibrated<C> {
    type Fitted = FittedCalibrated<C::Fitted>;

    fn fit(&self, held_out: &HeldOut) -> Result<Self::Fitted> {
        let held_out = &held_out.rows_with_weight()?;
        let (labels, weights) = labels_and_weights(self.calibration, held_out)?;
        let units = held_out.units();
        if units < 2 && held_out.groups().is_none() {
            let combiner = self.calibration.name().to_string();
            return Err(Error::HeldOut { combiner, need: 2, have: units, rows: held_out.total_rows() });
        }
        let folds = held_out.folds(FOLDS.min(units), held_out.seed().child("calibration"))?;
        let predicted = cross_fit(&self.combiner, held_out, &folds)?;
        let calibrator = self.calibration.fit(&predicted, &labels, weights.as_deref())?;
        let combiner = self.combiner.fit(held_out)?;
        let name = format!("{}, {}", combiner.name(), self.calibration.name());
        Ok(FittedCalibrated { name, combiner, calibrator, on: FittedOn::new(held_out) })
    }

    fn needs_inputs(&self) -> bool {
        self.combiner.needs_inputs()
    }
}

impl<F: FittedCombiner> FittedCombiner for FittedCalibrated<F> {
    forward!(Self::combiner; scale, weights, fitted, needs_inputs);

    fn name(&self) -> String {
        self.name.clone()
    }

    fn fitted_on(&self) -> Option<&FittedOn> {
        Some(&self.on)
    }

    fn check(&self) -> Result<()> {
        self.on.check(self.on.slots())?;
        self.calibrator.check()?;
        self.combiner.check()
    }

    fn combine(&self, predictions: &Predictions) -> CandleResult<Tensor> {
        check_fitted_on(self, predictions)?;
        self.calibrator.apply(&self.combiner.combine(predictions)?)
    }
}
