//! A calibration of each prediction, then a rule.
use crate::{
    combine::{calibrate::answers, Calibration, Calibrator, Combiner, Fit, FittedCombiner},
    predictions::Predictions,
    threads::wide,
    HeldOut, Result,
};
use candle_core::{Result as CandleResult, Tensor};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

/// A rule on predictions that are each calibrated first: [`Calibrate::on_calibrated`](crate::combine::Calibrate::on_calibrated). Each
/// slot's calibration is fitted on the rows that it held out; then the rule is fitted on the calibrated predictions of the
/// same rows.
#[derive(Clone, Debug, PartialEq)]
pub struct OnCalibrated<C> {
    rule: C,
    calibration: Calibration,
}

impl<C> OnCalibrated<C> {
    pub(crate) fn new(rule: C, calibration: Calibration) -> Self {
        Self { rule, calibration }
    }
}

/// [`OnCalibrated`], fitted. [`FittedCombiner::weights`] and [`FittedCombiner::fitted`] are those of the rule within.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FittedOnCalibrated<H> {
    name: String,
    calibrators: Vec<Calibrator>,
    fitted: H,
}

impl<H> FittedOnCalibrated<H> {
    /// The rule.
    pub fn rule(&self) -> &H {
        &self.fitted
    }

    /// What comes before it, for each slot.
    #[must_use]
    pub fn calibrators(&self) -> &[Calibrator] {
        &self.calibrators
    }
}

impl<C: Combiner> Combiner for OnCalibrated<C> {
    type Fitted = FittedOnCalibrated<C::Fitted>;

    fn fit(&self, held_out: &HeldOut) -> Result<Self::Fitted> {
        let (labels, weights) = answers(self.calibration, &held_out)?;
        let (coverage, calibration) = (held_out.predictions().coverage_by_slot()?, self.calibration);
        let fit = |slot: usize| -> Result<Calibrator> {
            let counts = |row: &u32| {
                let there = coverage.as_ref().is_none_or(|c| c[slot][*row as usize] > 0.);
                there && weights.as_ref().is_none_or(|w| w[*row as usize] > 0.)
            };
            let rows: Vec<u32> = (0..labels.len() as u32).filter(counts).collect();
            if rows.is_empty() {
                return Ok(Calibrator::Identity);
            }
            let predicted = held_out.predictions().values().get(slot)?;
            let predicted = predicted.index_select(&Tensor::new(rows.as_slice(), predicted.device())?, 0)?;
            let labels: Vec<u32> = rows.iter().map(|row| labels[*row as usize]).collect();
            let weights: Option<Vec<f32>> =
                weights.as_ref().map(|all| rows.iter().map(|row| all[*row as usize]).collect());
            calibration.fit(&predicted, &labels, weights.as_deref())
        };
        let slots = held_out.predictions().slots();
        let calibrators: Vec<Result<Calibrator>> = wide(|| (0..slots).into_par_iter().map(fit).collect());
        let calibrators = calibrators.into_iter().collect::<Result<Vec<_>>>()?;
        let predictions = calibrated(held_out.predictions(), &calibrators)?;
        let costs = held_out.costs().to_vec();
        let calibrated =
            held_out.with_predictions(predictions, held_out.names().to_vec()).with_costs(costs)?;
        let fitted = self.rule.fit(&calibrated)?;
        Ok(FittedOnCalibrated {
            name: format!("{}, {}", self.calibration.name(), fitted.name()),
            calibrators,
            fitted,
        })
    }

    fn needs_inputs(&self) -> bool {
        self.rule.needs_inputs()
    }
}

impl<H: FittedCombiner> FittedCombiner for FittedOnCalibrated<H> {
    fn name(&self) -> String {
        self.name.clone()
    }

    fn weights(&self) -> Option<&[f64]> {
        self.fitted.weights()
    }

    fn fitted(&self) -> Option<&Fit> {
        self.fitted.fitted()
    }

    fn needs_inputs(&self) -> bool {
        self.fitted.needs_inputs()
    }

    fn combine(&self, predictions: &Predictions) -> CandleResult<Tensor> {
        self.fitted.combine(&calibrated(predictions, &self.calibrators)?)
    }
}

/// The predictions, each calibrated; what is missing stays missing.
fn calibrated(predictions: &Predictions, calibrators: &[Calibrator]) -> CandleResult<Predictions> {
    if predictions.slots() != calibrators.len() {
        candle_core::bail!("calibrated for {} predictions, not {}", calibrators.len(), predictions.slots());
    }
    let values = predictions.probabilities("a calibration")?;
    let predicted =
        calibrators.iter().enumerate().map(|(slot, calibrator)| calibrator.apply(&values.get(slot)?));
    predictions.replace_values(Tensor::stack(&predicted.collect::<CandleResult<Vec<_>>>()?, 0)?)
}
