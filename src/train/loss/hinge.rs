//! The hinge loss of margins: outputs whose sign is the class.
use crate::{
    data::Task,
    kernels::float::Real,
    network::Output,
    registry::Entry,
    train::loss::{
        elementwise,
        evaluated::{Evaluated, FusedBatch},
        function::{needs_margins, Fault, LossFunction},
        Loss,
    },
};
use candle_core::{DType, Result as CResult, Tensor};

pub(super) struct Hinge {}

impl LossFunction for Hinge {
    fn entry() -> Entry<Loss> {
        let summary = "Distance of the margin of two classes from 1, where it is smaller";
        Entry::new("hinge", "Loss::Hinge", summary, |_| Ok(Loss::Hinge))
    }

    fn misfit(&self, task: Task, output: Output) -> Option<&'static str> {
        needs_margins(task, output)
    }

    fn target_fault(&self, row: &[f64]) -> Option<Fault> {
        not_a_sign(row)
    }

    fn fused<T: Real>(&self, batch: &FusedBatch<'_, T>) -> CResult<Evaluated<T>> {
        fused(batch, |y, missing| (missing, if missing > T::zero() { T::zero() - y } else { T::zero() }))
    }

    fn composed(&self, output: &Tensor, targets: &Tensor) -> CResult<Tensor> {
        by_margin(output, targets, |missing| Ok(missing.clone()))
    }
}

/// A target that is neither 1 nor −1.
pub(super) fn not_a_sign(row: &[f64]) -> Option<Fault> {
    Fault::first(row, "-1 or 1", |y| y == 1.0 || y == -1.0 || y.is_nan())
}

/// The mean loss, with the value and the derivative `f(y, max(0, 1 − y m))` for each margin `m`.
#[inline(always)]
pub(super) fn fused<T: Real>(batch: &FusedBatch<'_, T>, f: impl Fn(T, T) -> (T, T)) -> CResult<Evaluated<T>> {
    let at = |m: T, y: T| {
        let missing = T::one() - y * m;
        f(y, if missing <= T::zero() { T::zero() } else { missing })
    };
    match batch.targets.dtype() {
        DType::U32 => elementwise::fused_labels(batch, |m, positive| {
            at(m, if positive { T::one() } else { T::zero() - T::one() })
        }),
        _ => elementwise::fused(batch, at),
    }
}

/// `f(max(0, 1 − y m))` of each margin, averaged over each row.
pub(super) fn by_margin(
    output: &Tensor,
    targets: &Tensor,
    f: impl Fn(&Tensor) -> CResult<Tensor>,
) -> CResult<Tensor> {
    let at = |m: &Tensor, y: &Tensor| {
        let missing = (1.0 - (y * m)?)?;
        // candle's relu would turn NaN into 0.
        f(&missing.detach().le(0.0)?.where_cond(&missing.zeros_like()?, &missing)?)
    };
    match targets.dtype() {
        DType::U32 => elementwise::composed_labels(output, targets, |m, y| at(m, &y.affine(2.0, -1.0)?)),
        _ => elementwise::composed(output, targets, at),
    }
}
