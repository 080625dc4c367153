//! Targets that are probabilities of classes in place of labels.
use crate::{
    kernels::{float::Real, sums::fold_in_lanes},
    train::loss::{
        cross_entropy::log_softmax,
        evaluated::{Evaluated, FusedBatch},
        function::Fault,
        shapes::{columns, invalid},
    },
};
use candle_core::{Result as CResult, Tensor, D};

/// By how much the probabilities of a row may miss 1.
const TOLERANCE: f64 = 1e-3;

/// What is wrong with a row of probabilities.
pub(super) fn fault(row: &[f64]) -> Option<Fault> {
    let sum: f64 = row.iter().sum();
    let sums_to_one = sum.is_nan() || (sum - 1.0).abs() <= TOLERANCE;
    Fault::below_zero(row).or((!sums_to_one).then_some(Fault {
        column: None,
        must: "probabilities that sum to 1",
        value: sum,
    }))
}

/// The sum over the rows of their share times `Σ_c y_c (a(y_c) − ln softmax(z)_c)`, and its gradient. A class with
/// `y_c = 0` adds nothing.
#[inline(always)]
pub(super) fn fused<T: Real>(
    batch: &FusedBatch<'_, T>,
    y: &[T],
    classes: usize,
    a: impl Fn(T) -> T,
) -> Evaluated<T> {
    let sum = |numbers: &[T]| fold_in_lanes(numbers, T::zero(), |a, x| a + x, |a, b| a + b);
    let greater = |a, b| if b > a { b } else { a };

    // As for the cross-entropy: logits minus the greatest of their row, exponentials, gradient.
    let mut gradient = batch.x.to_vec();
    let mut value = 0.0;
    for (row, (z, y)) in gradient.chunks_exact_mut(classes).zip(y.chunks_exact(classes)).enumerate() {
        let greatest = fold_in_lanes(z, z[0], greater, greater);
        z.iter_mut().for_each(|z| *z -= greatest);
        let terms = z.iter().zip(y).filter(|(_, y)| **y != T::zero());
        let row_value: f64 = terms.map(|(z, y)| (*y * (a(*y) - *z)).wide()).sum();
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

/// `−Σ_c y_c ln softmax(z)_c` of each row, for probabilities `y` in the type of the outputs.
pub(super) fn cross(output: &Tensor, y: &Tensor) -> CResult<Tensor> {
    // 0 times the logarithm of a probability that is 0 is 0.
    let cross = y.eq(0.0)?.where_cond(&y.zeros_like()?, &(y * log_softmax(output)?)?)?;
    cross.sum(D::Minus1)?.neg()
}

/// The probabilities of a batch in the shape and the type of the outputs.
pub(super) fn like(output: &Tensor, targets: &Tensor) -> CResult<Tensor> {
    let shape = columns(output, targets)?;
    targets.detach().to_dtype(output.dtype())?.reshape(shape)
}

/// The probabilities of class 1 of two, for one logit for each of these rows.
pub(super) fn of_class_one(targets: &Tensor, rows: usize) -> CResult<Tensor> {
    if targets.dims() != [rows, 2] {
        let must = format!("u32 labels of shape [{rows}], or probabilities of shape [{rows}, 2]");
        return Err(invalid("the targets", &must, targets));
    }
    targets.detach().narrow(1, 1, 1)?.squeeze(1)?.contiguous()
}
