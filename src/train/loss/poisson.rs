//! The likelihood of counts.
use crate::{
    data::Task,
    kernels::float::Real,
    network::Output,
    registry::{Argument, Entry, Tasks},
    train::loss::{
        elementwise::{self, none_negative},
        evaluated::{Evaluated, FusedBatch},
        function::{needs_values, Fault, LossFunction},
        Loss,
    },
};
use candle_core::{Result as CResult, Tensor};

pub(super) struct Poisson {
    pub(super) log_rate: bool,
}

impl LossFunction for Poisson {
    fn entry() -> Entry<Loss> {
        const ARGUMENTS: &[Argument] = &[Argument::new(
            "log-rate",
            "false",
            "Whether the network outputs the logarithm of the rate in place of the rate",
        )];
        Entry::new("poisson", "Loss::Poisson", "Likelihood of counts", |arguments| {
            Ok(Loss::Poisson { log_rate: arguments.get("log-rate")? })
        })
        .with_arguments(ARGUMENTS)
        .with_tasks(Tasks::Regression)
    }

    fn misfit(&self, task: Task, _: Output) -> Option<&'static str> {
        needs_values(task)
    }

    fn target_fault(&self, row: &[f64]) -> Option<Fault> {
        Fault::below_zero(row)
    }

    fn output_fault(&self, row: &[f64]) -> Option<Fault> {
        if self.log_rate {
            None
        } else {
            Fault::below_zero(row)
        }
    }

    fn fused<T: Real>(&self, batch: &FusedBatch<'_, T>) -> CResult<Evaluated<T>> {
        if self.log_rate {
            return elementwise::fused(batch, |z, y| {
                let rate = z.exp();
                (rate - y * z, rate - y)
            });
        }
        none_negative("the output", batch.output)?;
        let epsilon = T::of(EPSILON);
        elementwise::fused(batch, |p, y| {
            let rate = p + epsilon;
            (p - y * rate.ln(), T::one() - y / rate)
        })
    }

    fn composed(&self, output: &Tensor, targets: &Tensor) -> CResult<Tensor> {
        if self.log_rate {
            return elementwise::composed(output, targets, |z, y| z.exp()? - (y * z)?);
        }
        none_negative("the output", output)?;
        elementwise::composed(output, targets, |p, y| p - (y * (p + EPSILON)?.log()?)?)
    }
}

/// What is added to a rate before its logarithm is taken, as in Keras.
const EPSILON: f64 = 1e-7;
