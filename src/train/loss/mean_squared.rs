//! Squared error.
use crate::{
    data::Task,
    kernels::float::Real,
    network::Output,
    registry::{Entry, Tasks},
    train::loss::{
        elementwise,
        evaluated::{Evaluated, FusedBatch},
        function::{needs_values, LossFunction},
        Loss,
    },
};
use candle_core::{Result as CResult, Tensor};

pub(super) struct MeanSquared {}

impl LossFunction for MeanSquared {
    fn entry() -> Entry<Loss> {
        Entry::new("mean-squared", "Loss::MeanSquared", "Squared error", |_| Ok(Loss::MeanSquared))
            .with_aliases(&["mse"])
            .with_tasks(Tasks::Regression)
    }

    fn misfit(&self, task: Task, _: Output) -> Option<&'static str> {
        needs_values(task)
    }

    fn fused<T: Real>(&self, batch: &FusedBatch<'_, T>) -> CResult<Evaluated<T>> {
        elementwise::fused(batch, |x, y| {
            let d = x - y;
            (d * d, d + d)
        })
    }

    fn composed(&self, output: &Tensor, targets: &Tensor) -> CResult<Tensor> {
        elementwise::composed(output, targets, |x, y| (x - y)?.sqr())
    }
}
