//! Logarithm of the hyperbolic cosine.
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

pub(super) struct LogCosh {}

impl LossFunction for LogCosh {
    fn entry() -> Entry<Loss> {
        Entry::new(
            "log-cosh",
            "Loss::LogCosh",
            "Logarithm of the hyperbolic cosine of the difference",
            |_| Ok(Loss::LogCosh),
        )
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
            // candle's abs has derivative 1 at 0, where the derivatives of the two terms cancel.
            let a = (x - y)?.abs()?;
            (&a + ((&a * -2.0)?.exp()? + 1.0)?.log()?)? - std::f64::consts::LN_2
        })
    }
}

/// The loss of a difference `d` and its derivative `tanh d`, both from `m = e^(−2|d|) − 1`, which neither
/// overflows nor cancels.
fn at<T: Real>(d: T) -> (T, T) {
    let a = d.abs();
    let m = (T::of(-2.0) * a).exp_m1();
    let tanh = T::zero() - m / (T::of(2.0) + m);
    let loss = if a < T::one() {
        // ln cosh = −½ ln(1 − tanh²)
        T::of(-0.5) * (T::zero() - tanh * tanh).ln_1p()
    } else {
        a + (T::one() + m).ln_1p() - T::of(std::f64::consts::LN_2)
    };
    (loss, if d < T::zero() { T::zero() - tanh } else { tanh })
}
