//! The rows of a gate, and its loss.
use super::{
    features::{Features, Scaler},
    network::{gates, present},
};
use crate::{combine::joint_normal::JointNormal, data::Task, Error, HeldOut, Result};
use candle_core::{DType, Device, Result as CandleResult, Tensor, Var, D};

/// Added to a probability before its logarithm is taken.
const EPSILON: f64 = 1e-7;

/// The held-out rows as the gate is trained on them.
pub(super) struct GateDataset {
    /// The standardized features, `(R, F)`.
    pub(super) features: Tensor,
    /// What the gate averages for the loss, `(R, K, S)`: for classes the slots' probabilities of the true
    /// class, `K` = 1; for regression the slots' errors of each output, in standard deviations of the
    /// targets.
    pub(super) terms: Tensor,
    /// The weights of the rows, `(R,)`.
    pub(super) weights: Tensor,
    /// 1 where a slot predicts a row and 0 elsewhere, `(R, S)`; `None` where no prediction is missing.
    present: Option<Tensor>,
    classes: bool,
}

impl GateDataset {
    pub(super) fn new(features: Features, held_out: &HeldOut) -> Result<(Option<JointNormal>, Scaler, Self)> {
        let predictions = held_out.predictions().to_device(&Device::Cpu)?;
        let values = predictions.values().detach().to_dtype(DType::F64)?;
        let (slots, rows, width) = values.dims3()?;
        let (joint, outputs) = match features.outputs {
            true => {
                let table = Features::outputs(&predictions)?.detach();
                let targets = held_out.target_columns()?;
                let targets = &targets[..Features::of_slot(predictions.task())];
                let (joint, table) = JointNormal::fit_table(&table, held_out, targets)?;
                (Some(joint), Some(table))
            }
            false => (None, None),
        };
        let features = features.table(outputs, &predictions)?.detach();
        let sum = features.abs()?.sum_all()?.to_scalar::<f64>()?;
        if !sum.is_finite() {
            return Err(Error::invalid("the sum of the features of a gate", "finite", sum));
        }
        let scaler = Scaler::fit(&features)?;
        let targets = held_out.targets().to_device(&Device::Cpu)?;
        let (terms, classes) = match predictions.task() {
            Task::Classification { .. } => {
                let labels = targets.to_dtype(DType::U32)?.reshape((1, rows, 1))?;
                let labels = labels.broadcast_as((slots, rows, 1))?.contiguous()?;
                (values.contiguous()?.gather(&labels, 2)?, true)
            }
            Task::Regression { .. } => {
                let targets = targets.to_dtype(DType::F64)?.reshape((rows, width))?;
                let errors = values.broadcast_sub(&targets)?;
                let factors = Scaler::fit(&targets)?.factors;
                let factors: Vec<f64> = factors.into_iter().map(|f| if f > 0. { f } else { 1. }).collect();
                (errors.broadcast_mul(&Tensor::from_vec(factors, (1, 1, width), &Device::Cpu)?)?, false)
            }
        };
        let terms = terms.permute((1, 2, 0))?.contiguous()?.to_dtype(DType::F32)?;
        let present = present(&predictions)?;
        let terms = match &present {
            // A missing prediction has a weight of 0, and its value may be NaN.
            Some(present) => {
                let mask = present.unsqueeze(1)?.broadcast_as(terms.shape())?.to_dtype(DType::U8)?;
                mask.where_cond(&terms, &terms.zeros_like()?)?
            }
            None => terms,
        };
        let weights = match held_out.weights() {
            Some(weights) => weights.to_device(&Device::Cpu)?.to_dtype(DType::F32)?,
            None => Tensor::ones(rows, DType::F32, &Device::Cpu)?,
        };
        let features = scaler.transform(&features)?;
        Ok((joint, scaler, Self { features, terms, weights, present, classes }))
    }

    /// The loss of each of these rows, `(n,)`.
    pub(super) fn loss(&self, layers: &[(Tensor, Tensor)], rows: &Tensor) -> CandleResult<Tensor> {
        let present = self.present.as_ref().map(|present| present.index_select(rows, 0)).transpose()?;
        let gates = gates(layers, &self.features.index_select(rows, 0)?, present.as_ref())?;
        let mean = self.terms.index_select(rows, 0)?.broadcast_mul(&gates.unsqueeze(1)?)?.sum(D::Minus1)?;
        match self.classes {
            true => mean.squeeze(1)?.affine(1., EPSILON)?.log()?.neg(),
            false => mean.sqr()?.mean(1),
        }
    }

    /// The loss of each of these rows, without a graph.
    pub(super) fn losses(&self, layers: &[(Var, Var)], rows: &[u32]) -> Result<Vec<f64>> {
        let detached = |(weight, bias): &(Var, Var)| (weight.as_detached_tensor(), bias.as_detached_tensor());
        let layers: Vec<_> = layers.iter().map(detached).collect();
        let loss = self.loss(&layers, &Tensor::new(rows, &Device::Cpu)?)?;
        Ok(loss.to_dtype(DType::F64)?.to_vec1()?)
    }
}
