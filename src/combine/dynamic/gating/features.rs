//! What a gate sees of a row.
use crate::{data::Task, predictions::Predictions};
use candle_core::{DType, Result as CandleResult, Tensor};
use serde::{Deserialize, Serialize};

/// Standardized features are clipped to this size, so that a row far from all others does not get extreme
/// weights.
const MAX_FEATURE: f64 = 5.;

/// The features of a gate.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Features {
    pub(super) inputs: bool,
    pub(super) outputs: bool,
}

impl Features {
    /// The number of features of each slot.
    pub(super) fn of_slot(task: Task) -> usize {
        match task {
            // The probability of the last class follows from the others.
            Task::Classification { classes } if classes > 1 => classes - 1,
            task => task.width(),
        }
    }

    /// The features of the slots, `(B, S·C)`, slot by slot, in f64. Those of missing predictions have no
    /// meaning.
    pub(super) fn outputs(predictions: &Predictions) -> CandleResult<Tensor> {
        let values = predictions.values().narrow(2, 0, Self::of_slot(predictions.task()))?;
        values.transpose(0, 1)?.contiguous()?.flatten_from(1)?.to_dtype(DType::F64)
    }

    /// The table of features, `(B, F)`, in f64, from those of the slots.
    pub(super) fn table(self, outputs: Option<Tensor>, predictions: &Predictions) -> CandleResult<Tensor> {
        let mut tables: Vec<Tensor> = outputs.into_iter().collect();
        if self.inputs {
            match predictions.inputs() {
                Some(inputs) => tables.push(inputs.to_dtype(DType::F64)?),
                None => candle_core::bail!(
                    "the gate needs the inputs of the rows (Predictions::with_inputs, HeldOut::with_inputs); with \
                     Gating::inputs(false) it needs none"
                ),
            }
        }
        Tensor::cat(&tables, 1)
    }
}

/// Standardizes features to mean 0 and standard deviation 1.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Scaler {
    pub(super) means: Vec<f64>,
    /// One divided by the standard deviation; 0 for a constant feature.
    pub(super) factors: Vec<f64>,
}

impl Scaler {
    /// Fits the scaler on a table `(R, F)`.
    pub(super) fn fit(table: &Tensor) -> CandleResult<Self> {
        let mean = table.mean_keepdim(0)?;
        let deviation = table.broadcast_sub(&mean)?.sqr()?.mean(0)?.sqrt()?;
        let means: Vec<f64> = mean.squeeze(0)?.to_vec1()?;
        let factor = |(deviation, mean): (f64, &f64)| match deviation > 1e-9 * mean.abs() {
            true => 1. / deviation,
            false => 0.,
        };
        let factors = deviation.to_vec1()?.into_iter().zip(&means).map(factor).collect();
        Ok(Self { means, factors })
    }

    /// The standardized and clipped table, in f32.
    pub(super) fn transform(&self, table: &Tensor) -> CandleResult<Tensor> {
        let width = table.dim(1)?;
        if width != self.means.len() || width != self.factors.len() {
            candle_core::bail!("the gate was trained on {} features, not {width}", self.means.len());
        }
        let row = |numbers: Vec<f64>| Tensor::from_vec(numbers, (1, width), table.device());
        let scaled = table.broadcast_sub(&row(self.means.clone())?)?;
        let scaled = scaled.broadcast_mul(&row(self.factors.clone())?)?;
        scaled.clamp(-MAX_FEATURE, MAX_FEATURE)?.to_dtype(DType::F32)
    }
}
