//! Divergence of the predicted distribution over classes from the true one.
use crate::{
    data::Task,
    kernels::{cpu, float::Real, simd::vectorized},
    network::Output,
    registry::Entry,
    train::loss::{
        cross_entropy,
        evaluated::{Evaluated, FusedBatch},
        function::{needs_logits, Fault, LossFunction},
        shapes::{classes, columns, labels},
        soft, Loss,
    },
};
use candle_core::{DType, Result as CResult, Tensor, D};

pub(super) struct KlDivergence {}

impl LossFunction for KlDivergence {
    fn entry() -> Entry<Loss> {
        let summary = "Kullback–Leibler divergence from rows of probabilities, or from labels";
        Entry::new("kl-divergence", "Loss::KlDivergence", summary, |_| Ok(Loss::KlDivergence))
            .with_aliases(&["kl"])
    }

    fn misfit(&self, task: Task, output: Output) -> Option<&'static str> {
        match task {
            Task::Classification { .. } => needs_logits(task, output),
            Task::Regression { outputs: 0 | 1 } => Some(
                "used with 2 values or more for each row, because a row of targets has a probability for \
                 each class",
            ),
            Task::Regression { .. } => None,
        }
    }

    fn target_fault(&self, row: &[f64]) -> Option<Fault> {
        soft::fault(row)
    }

    fn fused<T: Real>(&self, batch: &FusedBatch<'_, T>) -> CResult<Evaluated<T>> {
        let (rows, classes) = classes(batch.output)?;
        if batch.targets.dtype() == DType::U32 {
            let labels = labels(batch.targets, rows, classes)?;
            return Ok(vectorized(
                #[inline(always)]
                || cross_entropy::fused(batch, &labels, classes, 0.0),
            ));
        }
        columns(batch.output, batch.targets)?;
        cpu::with_slice(batch.targets, |y: &[T]| {
            vectorized(
                #[inline(always)]
                || soft::fused(batch, y, classes, T::ln),
            )
        })
    }

    fn composed(&self, output: &Tensor, targets: &Tensor) -> CResult<Tensor> {
        classes(output)?;
        if targets.dtype() == DType::U32 {
            return cross_entropy::CrossEntropy { smoothing: 0.0 }.composed(output, targets);
        }
        let y = soft::like(output, targets)?;
        // 0 ln 0 is 0.
        let entropy = y.eq(0.0)?.where_cond(&y.zeros_like()?, &(&y * y.log()?)?)?;
        entropy.sum(D::Minus1)? + soft::cross(output, &y)?
    }
}
