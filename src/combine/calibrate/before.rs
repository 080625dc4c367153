//! A combiner of predictions that are calibrated first.
use crate::{
    combine::{
        calibrate::labels_and_weights, check_fitted_on, forward, Calibration, Calibrator, Combiner,
        FittedCombiner, FittedOn,
    },
    predictions::Predictions,
    threads::wide,
    HeldOut, Result,
};
use candle_core::{Result as CandleResult, Tensor};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

/// A combiner of predictions that are calibrated first, slot by slot; made by
/// [`Calibrate::on_calibrated`](crate::combine::Calibrate::on_calibrated).
///
/// ```text
/// p = combiner(calibrator_1(p_1), …, calibrator_S(p_S))
/// ```
///
/// The calibration of a slot is fitted on the slot's own held-out predictions. Then the combiner is fitted on the
/// calibrated predictions for the same rows. A slot without held-out predictions is left as it is.
/// Rows of weight 0 are as if they were not there.
///
/// # Errors
/// Fitting fails for regression, and when the fit of the combiner fails.
///
/// ```
/// use candle_core::{Device, Tensor};
/// use candle_ensemble::{combine::*, data::Task, predictions::*, HeldOut};
///
/// let predicted = Tensor::new(&[[[0.9f64, 0.1], [0.2, 0.8], [0.9, 0.1], [0.3, 0.7]]; 2], &Device::Cpu)?;
/// let predictions = Predictions::new(predicted, Task::Classification { classes: 2 })?;
/// let held_out = HeldOut::from_predictions(&predictions, &Tensor::new(&[0u32, 1, 1, 0], &Device::Cpu)?)?;
/// let fitted = GeometricMean.on_calibrated(Calibration::Temperature).fit(&held_out)?;
/// assert_eq!(fitted.name(), "temperature, geometric-mean");
/// assert_eq!(fitted.calibrators().len(), 2);
/// # Ok::<(), candle_ensemble::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct OnCalibrated<C> {
    combiner: C,
    calibration: Calibration,
}

impl<C> OnCalibrated<C> {
    pub(crate) fn new(combiner: C, calibration: Calibration) -> Self {
        Self { combiner, calibration }
    }
}

/// A fitted [`OnCalibrated`] combiner. [`FittedCombiner::weights`] and [`FittedCombiner::fitted`] are those
/// of the combiner within.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FittedOnCalibrated<F> {
    name: String,
    calibrators: Vec<Calibrator>,
    combiner: F,
    on: FittedOn,
}

impl<F> FittedOnCalibrated<F> {
    /// The fitted combiner.
    pub fn combiner(&self) -> &F {
        &self.combiner
    }

    /// The fitted calibration of each slot.
    #[must_use]
    pub fn calibrators(&self) -> &[Calibrator] {
        &self.calibrators
    }
}

impl<C: Combiner> Combiner for OnCalibrated<C> {
    type Fitted = FittedOnCalibrated<C::Fitted>;

    fn fit(&self, held_out: &HeldOut) -> Result<Self::Fitted> {
        let held_out = &held_out.rows_with_weight()?;
        let (labels, weights) = labels_and_weights(self.calibration, held_out)?;
        let (coverage, calibration) = (held_out.predictions().coverage_by_slot()?, self.calibration);
        let fit_slot = |slot: usize| -> Result<Calibrator> {
            let is_used = |row: &u32| coverage.as_ref().is_none_or(|c| c[slot][*row as usize] > 0.);
            let rows: Vec<u32> = (0..labels.len() as u32).filter(is_used).collect();
            if rows.is_empty() {
                return Ok(Calibrator::Identity);
            }
            let predicted = held_out.predictions().values().get(slot)?;
            let predicted = predicted.index_select(&Tensor::new(rows.as_slice(), predicted.device())?, 0)?;
            let labels: Vec<u32> = rows.iter().map(|row| labels[*row as usize]).collect();
            let weights: Option<Vec<f64>> =
                weights.as_ref().map(|all| rows.iter().map(|row| all[*row as usize]).collect());
            calibration.fit(&predicted, &labels, weights.as_deref())
        };
        let slots = held_out.predictions().slots();
        let calibrators: Vec<Result<Calibrator>> =
            wide(|| (0..slots).into_par_iter().map(fit_slot).collect());
        let calibrators = calibrators.into_iter().collect::<Result<Vec<_>>>()?;
        let predictions = calibrate_slots(held_out.predictions(), &calibrators)?;
        let costs = held_out.costs().to_vec();
        let calibrated =
            held_out.with_predictions(predictions, held_out.names().to_vec()).with_costs(costs)?;
        let combiner = self.combiner.fit(&calibrated)?;
        let name = format!("{}, {}", self.calibration.name(), combiner.name());
        Ok(FittedOnCalibrated { name, calibrators, combiner, on: FittedOn::new(held_out) })
    }

    fn needs_inputs(&self) -> bool {
        self.combiner.needs_inputs()
    }
}

impl<F: FittedCombiner> FittedCombiner for FittedOnCalibrated<F> {
    forward!(Self::combiner; weights, fitted, needs_inputs);

    fn name(&self) -> String {
        self.name.clone()
    }

    fn fitted_on(&self) -> Option<&FittedOn> {
        Some(&self.on)
    }

    fn check(&self) -> Result<()> {
        self.on.check(self.calibrators.len())?;
        self.calibrators.iter().try_for_each(Calibrator::check)?;
        self.combiner.check()
    }

    fn combine(&self, predictions: &Predictions) -> CandleResult<Tensor> {
        check_fitted_on(self, predictions)?;
        self.combiner.combine(&calibrate_slots(predictions, &self.calibrators)?)
    }
}

/// The predictions, calibrated slot by slot; missing ones stay missing.
fn calibrate_slots(predictions: &Predictions, calibrators: &[Calibrator]) -> CandleResult<Predictions> {
    let values = predictions.probabilities("a calibration")?;
    let calibrated =
        calibrators.iter().enumerate().map(|(slot, calibrator)| calibrator.apply(&values.get(slot)?));
    predictions.replace_values(Tensor::stack(&calibrated.collect::<CandleResult<Vec<_>>>()?, 0)?)
}
