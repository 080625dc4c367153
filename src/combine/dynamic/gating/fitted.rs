//! A gate that is fitted.
use super::{
    features::{Features, Scaler},
    network::{gates, present},
};
use crate::{
    combine::{check_fitted_on, joint_normal::JointNormal, Fit, FittedCombiner, FittedOn},
    predictions::Predictions,
    Error, Result,
};
use candle_core::{Device, Result as CandleResult, Tensor, Var};
use serde::{Deserialize, Serialize};

/// A trained layer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Layer {
    /// The weights `(in, out)`, row by row.
    pub(super) weight: Vec<f32>,
    pub(super) bias: Vec<f32>,
}

impl Layer {
    pub(super) fn of((weight, bias): &(Var, Var)) -> CandleResult<Self> {
        Ok(Self { weight: weight.flatten_all()?.to_vec1()?, bias: bias.flatten_all()?.to_vec1()? })
    }

    /// Weight `(in, out)` and bias `(1, out)`.
    fn tensors(&self, device: &Device) -> CandleResult<(Tensor, Tensor)> {
        let out = self.bias.len().max(1);
        let weight = Tensor::from_slice(&self.weight, (self.weight.len() / out, out), device)?;
        Ok((weight, Tensor::from_slice(&self.bias, (1, out), device)?))
    }
}

/// A fitted [`Gating`](super::Gating).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FittedGating {
    pub(super) features: Features,
    /// The distribution of the features of the slots, for those that are missing.
    pub(super) joint: Option<JointNormal>,
    pub(super) scaler: Scaler,
    pub(super) layers: Vec<Layer>,
    pub(super) on: FittedOn,
    pub(super) fit: Fit,
}

impl FittedGating {
    /// The weights of the slots for each row, `(B, S)` in f32. They are not negative and sum to one over the
    /// slots that predict the row.
    ///
    /// # Errors
    /// When the task, the slots, or the number of inputs is not that of the fit.
    pub fn gates(&self, predictions: &Predictions) -> CandleResult<Tensor> {
        check_fitted_on(self, predictions)?;
        let outputs = match &self.joint {
            Some(joint) => Some(joint.complete_table(&Features::outputs(predictions)?, predictions)?),
            None => None,
        };
        let features = self.scaler.transform(&self.features.table(outputs, predictions)?)?;
        let layers = self.layers.iter().map(|layer| layer.tensors(features.device()));
        gates(&layers.collect::<CandleResult<Vec<_>>>()?, &features, present(predictions)?.as_ref())
    }
}

impl FittedCombiner for FittedGating {
    fn name(&self) -> String {
        "gating".into()
    }

    fn fitted(&self) -> Option<&Fit> {
        Some(&self.fit)
    }

    fn fitted_on(&self) -> Option<&FittedOn> {
        Some(&self.on)
    }

    fn needs_inputs(&self) -> bool {
        self.features.inputs
    }

    fn check(&self) -> Result<()> {
        if !self.features.inputs && !self.features.outputs {
            return Err(Error::invalid("the features of a gate", "inputs, outputs or both", "neither"));
        }
        let (means, factors) = (self.scaler.means.len(), self.scaler.factors.len());
        if means == 0 || means != factors {
            let got = format!("{means} and {factors}");
            return Err(Error::invalid("numbers of means and factors of a gate", "equal and positive", got));
        }
        if !(1..=2).contains(&self.layers.len()) {
            return Err(Error::invalid("number of layers of a gate", "1 or 2", self.layers.len()));
        }
        let mut width = means;
        for layer in &self.layers {
            let units = layer.bias.len();
            if units == 0 || width.checked_mul(units) != Some(layer.weight.len()) {
                let must = format!("{width} for each of its units, with {units} units");
                return Err(Error::invalid("number of weights of a gate's layer", must, layer.weight.len()));
            }
            width = units;
        }
        self.on.check(width)?;
        match &self.joint {
            Some(joint) => joint.check(width, joint.columns()),
            None if self.features.outputs => Err(Error::invalid(
                "the joint distribution of the slots",
                "there for a gate on outputs",
                "missing",
            )),
            None => Ok(()),
        }
    }

    fn combine(&self, predictions: &Predictions) -> CandleResult<Tensor> {
        let gates = self.gates(predictions)?.to_dtype(predictions.values().dtype())?;
        let combined =
            predictions.sum_over_slots(&predictions.values().broadcast_mul(&gates.t()?.unsqueeze(2)?)?)?;
        match predictions.covered() {
            // 0 / 0: a row that no slot predicts is NaN.
            Some(covered) => {
                let any = covered.sum(0)?.gt(0f64)?.to_dtype(combined.dtype())?;
                combined.broadcast_div(&any.unsqueeze(1)?)
            }
            None => Ok(combined),
        }
    }
}
