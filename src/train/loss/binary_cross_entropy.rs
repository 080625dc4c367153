//! Cross-entropy of two classes with one logit.
use crate::{
    data::Task,
    kernels::{cpu, float::Real},
    network::Output,
    registry::{Entry, Tasks},
    train::loss::{
        elementwise,
        evaluated::{Evaluated, FusedBatch},
        function::{needs_logits, Fault, LossFunction},
        shapes::binary,
        soft, Loss,
    },
};
use candle_core::{Result as CResult, Tensor};

pub(super) struct BinaryCrossEntropy {}

impl LossFunction for BinaryCrossEntropy {
    fn entry() -> Entry<Loss> {
        let summary = "Cross-entropy of two classes with one logit";
        Entry::new("binary-cross-entropy", "Loss::BinaryCrossEntropy", summary, |_| {
            Ok(Loss::BinaryCrossEntropy)
        })
        .with_aliases(&["bce"])
        .with_tasks(Tasks::Classification)
    }

    fn misfit(&self, task: Task, output: Output) -> Option<&'static str> {
        match task {
            Task::Classification { classes } if classes != 2 => {
                Some("Loss::CrossEntropy unless there are 2 classes")
            }
            _ => needs_logits(task, output),
        }
    }

    fn target_fault(&self, row: &[f64]) -> Option<Fault> {
        soft::fault(row)
    }

    fn fused<T: Real>(&self, batch: &FusedBatch<'_, T>) -> CResult<Evaluated<T>> {
        if !batch.targets.dtype().is_float() {
            return elementwise::fused_labels(batch, at);
        }
        let y = soft::of_class_one(batch.targets, binary(batch.output)?)?;
        cpu::with_slice(&y, |y: &[T]| elementwise::each(batch, y, 1, at_soft))
    }

    fn composed(&self, output: &Tensor, targets: &Tensor) -> CResult<Tensor> {
        if !targets.dtype().is_float() {
            return elementwise::composed_labels(output, targets, composed);
        }
        let rows = binary(output)?;
        let y = soft::of_class_one(targets, rows)?;
        composed(&output.reshape(rows)?, &y.to_dtype(output.dtype())?)
    }
}

/// The losses of logits and probabilities of class 1.
pub(super) fn composed(z: &Tensor, y: &Tensor) -> CResult<Tensor> {
    // candle's relu and abs both have derivative 1 at 0, so the derivative of the sum is 1 − y − 1/2, as it has
    // to be.
    let rest = (z.abs()?.neg()?.exp()? + 1.0)?.log()?;
    (z.relu()? - (z * y)?)? + rest
}

/// The loss and its derivative `σ(z) − y` for a probability `y` of class 1.
fn at_soft<T: Real>(z: T, y: T) -> (T, T) {
    let small = (T::zero() - z.abs()).exp();
    let (near, far) = (T::one() / (T::one() + small), small / (T::one() + small));
    let positive = z >= T::zero();
    let (loss, sigmoid) = if positive { (z - z * y, near) } else { (T::zero() - z * y, far) };
    (loss + small.ln_1p(), sigmoid - y)
}

/// The loss and its derivative for class 1 (`positive`) or 0.
pub(super) fn at<T: Real>(z: T, positive: bool) -> (T, T) {
    let small = (T::zero() - z.abs()).exp();
    let rest = small.ln_1p();
    // Both σ(z) and 1 − σ(z) are computed from the exponential that cannot overflow.
    let (near, far) = (T::one() / (T::one() + small), small / (T::one() + small));
    match (positive, z >= T::zero()) {
        (true, true) => (rest, T::zero() - far),
        (true, false) => (rest - z, T::zero() - near),
        (false, true) => (rest + z, near),
        (false, false) => (rest, far),
    }
}
