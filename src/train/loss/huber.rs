//! Huber's loss.
use crate::{
    check::positive,
    data::Task,
    kernels::float::Real,
    network::Output,
    registry::{Argument, Entry, Tasks},
    train::loss::{
        elementwise,
        evaluated::{Evaluated, FusedBatch},
        function::{needs_values, LossFunction},
        Loss,
    },
    Result,
};
use candle_core::{Result as CResult, Tensor};

pub(super) struct Huber {
    pub(super) delta: f64,
}

impl LossFunction for Huber {
    fn entry() -> Entry<Loss> {
        const ARGUMENTS: &[Argument] =
            &[Argument::new("delta", "1", "The difference at which the parabola becomes a line")];
        let summary = "Squared error for small differences, absolute error for large ones";
        Entry::new("huber", "Loss::Huber", summary, |arguments| {
            Ok(Loss::Huber { delta: arguments.get("delta")? })
        })
        .with_arguments(ARGUMENTS)
        .with_tasks(Tasks::Regression)
    }

    fn check(&self) -> Result<()> {
        positive("Loss::Huber::delta", self.delta)
    }

    fn misfit(&self, task: Task, _: Output) -> Option<&'static str> {
        needs_values(task)
    }

    fn fused<T: Real>(&self, batch: &FusedBatch<'_, T>) -> CResult<Evaluated<T>> {
        let delta = T::of(self.delta);
        elementwise::fused(batch, |x, y| {
            // Both branches are `c (d − c / 2)`, where `c` is the difference limited to ±δ.
            let d = x - y;
            let c = d.within(delta);
            (c * (d - T::of(0.5) * c), c)
        })
    }

    fn composed(&self, output: &Tensor, targets: &Tensor) -> CResult<Tensor> {
        elementwise::composed(output, targets, |x, y| {
            let d = (x - y)?;
            let c = d.detach().clamp(-self.delta, self.delta)?;
            &c * (&d - (&c * 0.5)?)?
        })
    }
}
