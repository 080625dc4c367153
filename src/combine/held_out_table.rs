//! Held-out predictions as plain numbers, for combiners that learn.
//!
//! A [`HeldOutTable`] is complete: a missing prediction is replaced by the mean of the predictions of the
//! same row.
pub(crate) use crate::kernels::float::Number;
use crate::{data::Task, kernels::cpu, metrics::Truth, HeldOut, Result};
use candle_core::{DType, Device, Tensor};

/// Complete held-out predictions `(S, R, C)`, slots, rows, classes or outputs, with the targets.
#[derive(Clone, Debug)]
pub(crate) struct HeldOutTable {
    /// Contiguous, on the CPU, without missing predictions ([`HeldOut::fill_missing`]).
    values: Tensor,
    pub(crate) task: Task,
    pub(crate) truth: Truth,
    /// The weight of each row; the weights sum to one.
    pub(crate) weights: Vec<f64>,
}

impl HeldOutTable {
    pub(crate) fn of(held_out: &HeldOut) -> Result<Self> {
        let predictions = held_out.predictions().fill_missing()?;
        let task = predictions.task();
        let (truth, weights) = (held_out.truth()?, held_out.weights_or_ones()?);
        let total: f64 = weights.iter().sum();
        let weights = weights.into_iter().map(|w| w / total).collect();
        let values = predictions.values().detach().to_device(&Device::Cpu)?.contiguous()?;
        Ok(Self { values, task, truth, weights })
    }

    /// Slots, rows, classes or outputs.
    pub(crate) fn dims(&self) -> (usize, usize, usize) {
        let dims = self.values.dims();
        (dims[0], dims[1], dims[2])
    }

    /// The predictions of one slot, `(R, C)`, row by row.
    pub(crate) fn slot(&self, slot: usize) -> Result<Vec<f64>> {
        Ok(self.values.get(slot)?.to_dtype(DType::F64)?.flatten_all()?.to_vec1()?)
    }

    /// Calls `f` with all predictions, slot by slot, row by row.
    pub(crate) fn with<T: Number, R>(&self, f: impl FnOnce(&[T]) -> R) -> Result<R> {
        Ok(cpu::with_slice(&self.values, f)?)
    }
}

#[cfg(feature = "learned")]
/// Evaluates an expression with all predictions of a [`HeldOutTable`] as a slice: of `f32` for classes, whose
/// probabilities need no more digits, of `f64` for values. Gives a `Result`.
macro_rules! with_predictions {
    ($table:expr, |$all:ident| $body:expr) => {
        match $table.task {
            $crate::data::Task::Classification { .. } => $table.with(|$all: &[f32]| $body),
            $crate::data::Task::Regression { .. } => $table.with(|$all: &[f64]| $body),
        }
    };
}
#[cfg(feature = "learned")]
pub(crate) use with_predictions;
