//! Absolute error.
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

pub(super) struct MeanAbsolute {}

impl LossFunction for MeanAbsolute {
    fn entry() -> Entry<Loss> {
        Entry::new("mean-absolute", "Loss::MeanAbsolute", "Absolute error", |_| Ok(Loss::MeanAbsolute))
            .with_aliases(&["mae"])
            .with_tasks(Tasks::Regression)
    }

    fn misfit(&self, task: Task, _: Output) -> Option<&'static str> {
        needs_values(task)
    }

    fn fused<T: Real>(&self, batch: &FusedBatch<'_, T>) -> CResult<Evaluated<T>> {
        elementwise::fused(batch, |x, y| at(x - y))
    }

    fn composed(&self, output: &Tensor, targets: &Tensor) -> CResult<Tensor> {
        elementwise::composed(output, targets, |x, y| {
            let d = (x - y)?;
            &d * d.detach().sign()?
        })
    }
}

fn at<T: Real>(d: T) -> (T, T) {
    let sign = if d > T::zero() {
        T::one()
    } else if d < T::zero() {
        T::zero() - T::one()
    } else {
        T::zero()
    };
    (d.abs(), sign)
}
