//! A rule, then a calibration of what it says.
use crate::{
    combine::{
        calibrate::answers, cross_fit::cross_fit, Calibration, Calibrator, Combiner, Fit, FittedCombiner,
    },
    network::Scale,
    predictions::Predictions,
    Error, HeldOut, Result, Seed,
};
use candle_core::{Result as CandleResult, Tensor};
use serde::{Deserialize, Serialize};

/// Folds of the held-out rows, where there are as many.
const FOLDS: usize = 5;

/// A rule whose word is calibrated: [`Calibrate::calibrated`](crate::combine::Calibrate::calibrated). The calibration is fitted
/// on what the rule says of each fifth of the held-out rows when it is fitted on the others; then the rule is fitted on
/// all.
#[derive(Clone, Debug, PartialEq)]
pub struct Calibrated<C> {
    rule: C,
    calibration: Calibration,
}

impl<C> Calibrated<C> {
    pub(crate) fn new(rule: C, calibration: Calibration) -> Self {
        Self { rule, calibration }
    }
}

/// [`Calibrated`], fitted. [`FittedCombiner::weights`] and [`FittedCombiner::fitted`] are those of the rule within.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FittedCalibrated<H> {
    name: String,
    fitted: H,
    calibrator: Calibrator,
}

impl<H> FittedCalibrated<H> {
    /// The rule.
    pub fn rule(&self) -> &H {
        &self.fitted
    }

    /// What comes after it.
    #[must_use]
    pub fn calibrator(&self) -> &Calibrator {
        &self.calibrator
    }
}

impl<C: Combiner> Combiner for Calibrated<C> {
    type Fitted = FittedCalibrated<C::Fitted>;

    fn fit(&self, held_out: &HeldOut) -> Result<Self::Fitted> {
        let (labels, weights) = answers(self.calibration, &held_out)?;
        let units = held_out.units();
        if units < 2 {
            let combiner = self.calibration.name().to_string();
            return Err(Error::HeldOut { combiner, need: 2, have: units, rows: held_out.total_rows() });
        }
        let folds = held_out.folds(FOLDS.min(units), Seed::from(0).child("calibration"))?;
        let predicted = cross_fit(&self.rule, &held_out, &folds)?;
        let calibrator = self.calibration.fit(&predicted, &labels, weights.as_deref())?;
        let fitted = self.rule.fit(&held_out)?;
        Ok(FittedCalibrated {
            name: format!("{}, {}", fitted.name(), self.calibration.name()),
            fitted,
            calibrator,
        })
    }

    fn needs_inputs(&self) -> bool {
        self.rule.needs_inputs()
    }
}

impl<H: FittedCombiner> FittedCombiner for FittedCalibrated<H> {
    fn name(&self) -> String {
        self.name.clone()
    }

    fn scale(&self) -> Scale {
        self.fitted.scale()
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
        self.calibrator.apply(&self.fitted.combine(predictions)?)
    }
}
