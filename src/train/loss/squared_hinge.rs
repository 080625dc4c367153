//! The square of the hinge loss.
use crate::{
    data::Task,
    kernels::float::Real,
    network::Output,
    registry::Entry,
    train::loss::{
        evaluated::{Evaluated, FusedBatch},
        function::{needs_margins, Fault, LossFunction},
        hinge, Loss,
    },
};
use candle_core::{Result as CResult, Tensor};

pub(super) struct SquaredHinge {}

impl LossFunction for SquaredHinge {
    fn entry() -> Entry<Loss> {
        let summary = "Squared distance of the margin of two classes from 1, where it is smaller";
        Entry::new("squared-hinge", "Loss::SquaredHinge", summary, |_| Ok(Loss::SquaredHinge))
    }

    fn misfit(&self, task: Task, output: Output) -> Option<&'static str> {
        needs_margins(task, output)
    }

    fn target_fault(&self, row: &[f64]) -> Option<Fault> {
        hinge::not_a_sign(row)
    }

    fn fused<T: Real>(&self, batch: &FusedBatch<'_, T>) -> CResult<Evaluated<T>> {
        hinge::fused(batch, |y, missing| (missing * missing, T::of(-2.0) * y * missing))
    }

    fn composed(&self, output: &Tensor, targets: &Tensor) -> CResult<Tensor> {
        hinge::by_margin(output, targets, Tensor::sqr)
    }
}
