//! Squared error of logarithms.
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

pub(super) struct MeanSquaredLogarithmic {
    pub(super) clip: bool,
}

impl LossFunction for MeanSquaredLogarithmic {
    fn entry() -> Entry<Loss> {
        const ARGUMENTS: &[Argument] =
            &[Argument::new("clip", "true", "Whether smaller numbers count as 1e-7, as in Keras")];
        Entry::new(
            "mean-squared-logarithmic",
            "Loss::MeanSquaredLogarithmic",
            "Squared error of the logarithms of one plus the values",
            |arguments| Ok(Loss::MeanSquaredLogarithmic { clip: arguments.get("clip")? }),
        )
        .with_aliases(&["msle"])
        .with_arguments(ARGUMENTS)
        .with_tasks(Tasks::Regression)
    }

    fn misfit(&self, task: Task, _: Output) -> Option<&'static str> {
        needs_values(task)
    }

    fn target_fault(&self, row: &[f64]) -> Option<Fault> {
        if self.clip {
            None
        } else {
            Fault::below_zero(row)
        }
    }

    fn output_fault(&self, row: &[f64]) -> Option<Fault> {
        if self.clip {
            None
        } else {
            Fault::below_zero(row)
        }
    }

    fn fused<T: Real>(&self, batch: &FusedBatch<'_, T>) -> CResult<Evaluated<T>> {
        if !self.clip {
            none_negative("the output", batch.output)?;
            none_negative("the targets", batch.targets)?;
        }
        let least = T::of(self.least());
        elementwise::fused(batch, |x, y| {
            let limited = |x: T| if x < least { least } else { x };
            let d = limited(x).ln_1p() - limited(y).ln_1p();
            let derivative = if x < least { T::zero() } else { (d + d) / (T::one() + x) };
            (d * d, derivative)
        })
    }

    fn composed(&self, output: &Tensor, targets: &Tensor) -> CResult<Tensor> {
        if !self.clip {
            none_negative("the output", output)?;
            none_negative("the targets", targets)?;
        }
        elementwise::composed(output, targets, |x, y| {
            // The gradient of a number that is replaced is 0.
            let logarithm = |x: &Tensor| {
                let least = x.detach().zeros_like()?.affine(1., self.least())?;
                (x.detach().lt(self.least())?.where_cond(&least, x)? + 1.0)?.log()
            };
            (logarithm(x)? - logarithm(y)?)?.sqr()
        })
    }
}

impl MeanSquaredLogarithmic {
    /// The number that replaces every smaller one. Without clipping there is none.
    fn least(&self) -> f64 {
        if self.clip {
            1e-7
        } else {
            0.0
        }
    }
}
