//! Losses that are a sum over single numbers.
use crate::{
    kernels::{cpu, float::Real},
    train::loss::{
        evaluated::{Evaluated, FusedBatch},
        shapes::{binary, columns, labels},
    },
    Error,
};
use candle_core::{DType, Result as CResult, Tensor};

/// The mean loss over float targets, with the value and the derivative `f(x, y)` for each element of a row.
#[inline(always)]
pub(super) fn fused<T: Real>(batch: &FusedBatch<'_, T>, f: impl Fn(T, T) -> (T, T)) -> CResult<Evaluated<T>> {
    let (_, columns) = columns(batch.output, batch.targets)?;
    cpu::with_slice(batch.targets, |y: &[T]| each(batch, y, columns, f))
}

/// The same over labels of two classes, for one output for each row. `f` gets whether the class is 1.
#[inline(always)]
pub(super) fn fused_labels<T: Real>(
    batch: &FusedBatch<'_, T>,
    f: impl Fn(T, bool) -> (T, T),
) -> CResult<Evaluated<T>> {
    let labels = labels(batch.targets, binary(batch.output)?, 2)?;
    Ok(each(batch, &labels, 1, |x, label| f(x, label == 1)))
}

/// The same over targets of any kind, with this number of `columns`.
#[inline(always)]
pub(super) fn each<T: Real, Y: Copy>(
    batch: &FusedBatch<'_, T>,
    y: &[Y],
    columns: usize,
    f: impl Fn(T, Y) -> (T, T),
) -> Evaluated<T> {
    let mut gradient = vec![T::zero(); batch.x.len()];
    let mut value = 0.0;
    let rows =
        batch.x.chunks_exact(columns).zip(y.chunks_exact(columns)).zip(gradient.chunks_exact_mut(columns));
    for (row, ((x, y), gradient)) in rows.enumerate() {
        let share = batch.share(row) / columns as f64;
        for ((&x, &y), gradient) in x.iter().zip(y).zip(gradient) {
            let (loss, derivative) = f(x, y);
            value += share * loss.wide();
            *gradient = T::of(share) * derivative;
        }
    }
    Evaluated { value: T::of(value), gradient }
}

/// The losses of the rows `(B,)` over float targets, with the loss `f(x, y)` of each element.
pub(super) fn composed(
    output: &Tensor,
    targets: &Tensor,
    f: impl Fn(&Tensor, &Tensor) -> CResult<Tensor>,
) -> CResult<Tensor> {
    let shape = columns(output, targets)?;
    let targets = targets.detach().to_dtype(output.dtype())?.reshape(shape)?;
    f(&output.reshape(shape)?, &targets)?.mean(1)
}

/// The same over labels of two classes. `f` gets them as 0 and 1.
pub(super) fn composed_labels(
    output: &Tensor,
    targets: &Tensor,
    f: impl Fn(&Tensor, &Tensor) -> CResult<Tensor>,
) -> CResult<Tensor> {
    let rows = binary(output)?;
    labels(targets, rows, 2)?;
    f(&output.reshape(rows)?, &targets.to_dtype(output.dtype())?)
}

/// Checks that no number is below 0. NaN passes.
pub(super) fn none_negative(what: &str, numbers: &Tensor) -> CResult<()> {
    let numbers = numbers.detach().flatten_all()?;
    let least = match (numbers.device().is_cpu(), numbers.dtype()) {
        (true, DType::F32) => least::<f32>(&numbers)?,
        (true, _) => least::<f64>(&numbers)?,
        _ => numbers.to_dtype(DType::F32)?.min_all()?.to_scalar::<f32>()?.into(),
    };
    match least < 0.0 {
        true => Err(Error::invalid(what, "0 or more", least).into()),
        false => Ok(()),
    }
}

/// The least of the numbers, or infinity; NaN does not count.
fn least<T: Real>(numbers: &Tensor) -> CResult<f64> {
    cpu::with_slice(numbers, |numbers: &[T]| {
        let least = |a: T, b: T| if b < a { b } else { a };
        numbers.iter().fold(T::of(f64::INFINITY), |a, b| least(a, *b)).wide()
    })
}
