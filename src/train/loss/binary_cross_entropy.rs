//! Cross-entropy of two classes with one logit.
use crate::{
    data::Task,
    kernels::float::Real,
    network::Output,
    registry::{Entry, Tasks},
    train::loss::{
        elementwise,
        evaluated::{Evaluated, FusedBatch},
        function::{needs_logits, LossFunction},
        Loss,
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

    fn fused<T: Real>(&self, batch: &FusedBatch<'_, T>) -> CResult<Evaluated<T>> {
        elementwise::fused_labels(batch, at)
    }

    fn composed(&self, output: &Tensor, targets: &Tensor) -> CResult<Tensor> {
        elementwise::composed_labels(output, targets, |z, y| {
            // candle's relu and abs both have derivative 1 at 0, so the derivative of the sum is 1 − y − 1/2,
            // as it has to be.
            let rest = (z.abs()?.neg()?.exp()? + 1.0)?.log()?;
            (z.relu()? - (z * y)?)? + rest
        })
    }
}

fn at<T: Real>(z: T, positive: bool) -> (T, T) {
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
