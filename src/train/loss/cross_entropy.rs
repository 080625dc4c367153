//! Cross-entropy of classes.
use crate::{
    check::below_one,
    data::Task,
    kernels::{cpu, float::Real, simd::vectorized, sums::fold_in_lanes},
    network::Output,
    registry::{Argument, Entry, Tasks},
    train::loss::{
        evaluated::{Evaluated, FusedBatch},
        function::{needs_logits, Fault, LossFunction},
        shapes::{classes, columns, labels},
        soft, Loss,
    },
    Result,
};
use candle_core::{Result as CResult, Tensor, D};

pub(super) struct CrossEntropy {
    pub(super) smoothing: f64,
}

impl LossFunction for CrossEntropy {
    fn entry() -> Entry<Loss> {
        const ARGUMENTS: &[Argument] = &[Argument::new("smoothing", "0", "Label smoothing")];
        Entry::new("cross-entropy", "Loss::CrossEntropy", "Cross-entropy of classes", |arguments| {
            Ok(Loss::CrossEntropy { smoothing: arguments.get("smoothing")? })
        })
        .with_arguments(ARGUMENTS)
        .with_tasks(Tasks::Classification)
    }

    fn check(&self) -> Result<()> {
        below_one("Loss::CrossEntropy::smoothing", self.smoothing)
    }

    fn misfit(&self, task: Task, output: Output) -> Option<&'static str> {
        needs_logits(task, output)
    }

    fn target_fault(&self, row: &[f64]) -> Option<Fault> {
        soft::fault(row)
    }

    fn fused<T: Real>(&self, batch: &FusedBatch<'_, T>) -> CResult<Evaluated<T>> {
        let (rows, classes) = classes(batch.output)?;
        if batch.targets.dtype().is_float() {
            columns(batch.output, batch.targets)?;
            return cpu::with_slice(batch.targets, |y: &[T]| self.fused_soft(batch, y, classes));
        }
        let labels = labels(batch.targets, rows, classes)?;
        Ok(vectorized(
            #[inline(always)]
            || fused(batch, &labels, classes, self.smoothing),
        ))
    }

    fn composed(&self, output: &Tensor, targets: &Tensor) -> CResult<Tensor> {
        let (rows, classes) = classes(output)?;
        if targets.dtype().is_float() {
            let y = soft::like(output, targets)?;
            return soft::cross(output, &y.affine(1.0 - self.smoothing, self.smoothing / classes as f64)?);
        }
        labels(targets, rows, classes)?;
        let neg_log_prob = log_softmax(output)?.neg()?;
        let at_label = neg_log_prob.gather(&targets.unsqueeze(1)?.contiguous()?, 1)?.squeeze(1)?;
        if self.smoothing == 0.0 {
            return Ok(at_label);
        }
        (at_label * (1.0 - self.smoothing))? + (neg_log_prob.mean(D::Minus1)? * self.smoothing)?
    }
}

impl CrossEntropy {
    /// The same for probabilities in place of labels.
    fn fused_soft<T: Real>(&self, batch: &FusedBatch<'_, T>, y: &[T], classes: usize) -> Evaluated<T> {
        let (kept, spread) = (T::of(1.0 - self.smoothing), T::of(self.smoothing / classes as f64));
        let smoothed: Vec<T>;
        let y = match self.smoothing > 0.0 {
            true => {
                smoothed = y.iter().map(|y| kept * *y + spread).collect();
                &smoothed
            }
            false => y,
        };
        vectorized(
            #[inline(always)]
            || soft::fused(batch, y, classes, |_| T::zero()),
        )
    }
}

/// The logarithm of the softmax of each row.
pub(super) fn log_softmax(z: &Tensor) -> CResult<Tensor> {
    // The shift changes neither the value nor the gradient, so it is detached.
    let shifted = z.broadcast_sub(&z.detach().max_keepdim(D::Minus1)?)?;
    let log_sum = shifted.exp()?.sum_keepdim(D::Minus1)?.log()?;
    shifted.broadcast_sub(&log_sum)
}

/// The sum over the rows of their share times their loss, and its gradient.
#[inline(always)]
pub(super) fn fused<T: Real>(
    batch: &FusedBatch<'_, T>,
    labels: &[u32],
    classes: usize,
    smoothing: f64,
) -> Evaluated<T> {
    let spread = T::of(smoothing / classes as f64);
    let at_label = T::of(1.0 - smoothing);
    let sum = |numbers: &[T]| fold_in_lanes(numbers, T::zero(), |a, x| a + x, |a, b| a + b);
    let greater = |a, b| if b > a { b } else { a };

    // `gradient` holds the logits minus the greatest of their row, then their exponentials, and finally the
    // gradient.
    let mut gradient = batch.x.to_vec();
    let mut value = 0.0;
    for (row, (z, &label)) in gradient.chunks_exact_mut(classes).zip(labels).enumerate() {
        let greatest = fold_in_lanes(z, z[0], greater, greater);
        z.iter_mut().for_each(|z| *z -= greatest);
        let target = at_label * z[label as usize];
        // Without smoothing the sum is left out, because it may be infinite.
        let target = if smoothing > 0.0 { target + spread * sum(z) } else { target };
        value -= batch.share(row) * target.wide();
    }
    T::exp_all(&mut gradient);
    for (row, (e, &label)) in gradient.chunks_exact_mut(classes).zip(labels).enumerate() {
        let total = sum(e);
        value += batch.share(row) * total.ln().wide();
        let share = T::of(batch.share(row));
        e.iter_mut().for_each(|e| *e = share * (*e / total - spread));
        e[label as usize] -= share * at_label;
    }
    Evaluated { value: T::of(value), gradient }
}
