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
    head: H,
    calibrator: Calibrator,
}

impl<H> FittedCalibrated<H> {
    /// The rule.
    pub fn rule(&self) -> &H {
        &self.head
    }

    /// What comes after it.
    #[must_use]
    pub fn calibrator(&self) -> &Calibrator {
        &self.calibrator
    }
}

impl<C: Combiner> Combiner for Calibrated<C> {
    type Fitted = FittedCalibrated<C::Fitted>;

    fn fit(&self, held_out: &dyn Fn() -> Result<HeldOut>) -> Result<Self::Fitted> {
        let held_out = held_out()?;
        let (labels, weights) = answers(self.calibration, &held_out)?;
        let units = held_out.units();
        if units < 2 {
            let combiner = self.calibration.name().to_string();
            return Err(Error::HeldOut { combiner, need: 2, have: units, rows: held_out.of() });
        }
        let folds = held_out.folds(FOLDS.min(units), Seed::from(0).child("calibration"))?;
        let predicted = cross_fit(&self.rule, &held_out, &folds)?;
        let calibrator = self.calibration.fit(&predicted, &labels, weights.as_deref())?;
        let head = self.rule.fit(&|| Ok(held_out.clone()))?;
        Ok(FittedCalibrated {
            name: format!("{}, {}", head.name(), self.calibration.name()),
            head,
            calibrator,
        })
    }

    fn wants_inputs(&self) -> bool {
        self.rule.wants_inputs()
    }
}

impl<H: FittedCombiner> FittedCombiner for FittedCalibrated<H> {
    fn name(&self) -> String {
        self.name.clone()
    }

    fn scale(&self) -> Scale {
        self.head.scale()
    }

    fn weights(&self) -> Option<&[f64]> {
        self.head.weights()
    }

    fn fitted(&self) -> Option<&Fit> {
        self.head.fitted()
    }

    fn wants_inputs(&self) -> bool {
        self.head.wants_inputs()
    }

    fn combine(&self, predictions: &Predictions) -> CandleResult<Tensor> {
        self.calibrator.apply(&self.head.combine(predictions)?)
    }
}
