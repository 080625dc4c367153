//! Divergence of the predicted distribution over classes from the true one.
use crate::{
    data::Task,
    kernels::{cpu, float::Real, simd::vectorized, sums::fold_in_lanes},
    network::Output,
    registry::Entry,
    train::loss::{
        cross_entropy::{self, log_softmax},
        evaluated::{Evaluated, FusedBatch},
        function::{needs_logits, Fault, LossFunction},
        shapes::{classes, columns, labels},
        Loss,
    },
};
use candle_core::{DType, Result as CResult, Tensor, D};

pub(super) struct KlDivergence {}

/// By how much the probabilities of a row may miss 1.
const TOLERANCE: f64 = 1e-3;

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
        let sum: f64 = row.iter().sum();
        let sums_to_one = sum.is_nan() || (sum - 1.0).abs() <= TOLERANCE;
        Fault::below_zero(row).or((!sums_to_one).then_some(Fault {
            column: None,
            must: "probabilities that sum to 1",
            value: sum,
        }))
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
                || fused(batch, y, classes),
            )
        })
    }

    fn composed(&self, output: &Tensor, targets: &Tensor) -> CResult<Tensor> {
        classes(output)?;
        if targets.dtype() == DType::U32 {
            return cross_entropy::CrossEntropy { smoothing: 0.0 }.composed(output, targets);
        }
        let shape = columns(output, targets)?;
        let y = targets.detach().to_dtype(output.dtype())?.reshape(shape)?;
        // 0 ln 0 is 0, and so is 0 times the logarithm of a probability that is 0.
        let absent = y.eq(0.0)?;
        let zeros = y.zeros_like()?;
        let entropy = absent.where_cond(&zeros, &(&y * y.log()?)?)?;
        let cross = absent.where_cond(&zeros, &(&y * log_softmax(output)?)?)?;
        (entropy - cross)?.sum(D::Minus1)
    }
}

/// The sum over the rows of their share times their loss, and its gradient.
#[inline(always)]
fn fused<T: Real>(batch: &FusedBatch<'_, T>, y: &[T], classes: usize) -> Evaluated<T> {
    let sum = |numbers: &[T]| fold_in_lanes(numbers, T::zero(), |a, x| a + x, |a, b| a + b);
    let greater = |a, b| if b > a { b } else { a };

    // As for the cross-entropy: logits minus the greatest of their row, exponentials, gradient.
    let mut gradient = batch.x.to_vec();
    let mut value = 0.0;
    for (row, (z, y)) in gradient.chunks_exact_mut(classes).zip(y.chunks_exact(classes)).enumerate() {
        let greatest = fold_in_lanes(z, z[0], greater, greater);
        z.iter_mut().for_each(|z| *z -= greatest);
        let terms = z.iter().zip(y).filter(|(_, y)| **y != T::zero());
        let row_value: f64 = terms.map(|(z, y)| (*y * (y.ln() - *z)).wide()).sum();
        value += batch.share(row) * row_value;
    }
    T::exp_all(&mut gradient);
    for (row, (e, y)) in gradient.chunks_exact_mut(classes).zip(y.chunks_exact(classes)).enumerate() {
        let (total, mass) = (sum(e), sum(y));
        value += batch.share(row) * (mass * total.ln()).wide();
        let share = T::of(batch.share(row));
        e.iter_mut().zip(y).for_each(|(e, y)| *e = share * (mass * (*e / total) - *y));
    }
    Evaluated { value: T::of(value), gradient }
}
