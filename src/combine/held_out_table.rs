//! Held-out predictions as plain numbers, for rules that learn.
pub(crate) use crate::kernels::cpu::Number;
use crate::{data::Task, kernels::cpu, metrics::Truth, HeldOut, Result};
use candle_core::{DType, Device, Tensor};

/// `(S, R, C)` complete predictions with their answers.
#[derive(Clone, Debug)]
pub(crate) struct HeldOutTable {
    /// Dense, on the CPU, every prediction there ([`HeldOut::fill_missing`]).
    values: Tensor,
    pub(crate) task: Task,
    pub(crate) truth: Truth,
    /// The weight of each row; they sum to one.
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

    /// What one slot says, `(R, C)`, row by row.
    pub(crate) fn slot(&self, slot: usize) -> Result<Vec<f64>> {
        Ok(self.values.get(slot)?.to_dtype(DType::F64)?.flatten_all()?.to_vec1()?)
    }

    /// Calls `f` with the predictions, slot by slot, row by row.
    pub(crate) fn with<T: Number, R>(&self, f: impl FnOnce(&[T]) -> R) -> Result<R> {
        Ok(cpu::with(&self.values, f)?)
    }
}
