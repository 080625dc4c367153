//! Losses of networks that put out several numbers for each target: the parameters of a distribution, or quantiles.
use crate::{
    distribution::{positive, FLOOR},
    kernels::{cpu, float::Real},
    train::loss::{
        evaluated::{Evaluated, FusedBatch},
        shapes::invalid,
    },
};
use candle_core::{Result as CResult, Tensor};

/// How the numbers for one target are found in a row of outputs.
#[derive(Clone, Copy)]
pub(super) enum Layout {
    /// Blocks of so many components: the first parameter of all targets and their components, then the second one, and so
    /// on.
    Blocks { parameters: usize, components: usize },
    /// The numbers of the first target, then those of the second one, and so on.
    Together { numbers: usize },
}

impl Layout {
    /// How many numbers there are for a target.
    fn numbers(self) -> usize {
        match self {
            Self::Blocks { parameters, components } => parameters * components,
            Self::Together { numbers } => numbers,
        }
    }

    /// The position of number `i` of target `target` in a row of `targets` targets.
    fn position(self, i: usize, target: usize, targets: usize) -> usize {
        match self {
            Self::Blocks { components, .. } => {
                let (parameter, component) = (i / components, i % components);
                (parameter * targets + target) * components + component
            }
            Self::Together { numbers } => target * numbers + i,
        }
    }
}

/// Rows and targets of a row.
fn shape(output: &Tensor, targets: &Tensor, numbers: usize) -> CResult<(usize, usize)> {
    let (rows, columns) = match *targets.dims() {
        [rows] => (rows, 1),
        [rows, columns] if columns > 0 => (rows, columns),
        _ => return Err(invalid("the targets", "of shape [rows] or [rows, columns]", targets)),
    };
    if !targets.dtype().is_float() {
        return Err(invalid("the targets", "floating-point numbers", targets));
    }
    let width = numbers * columns;
    let one_number = width == 1 && output.dims() == [rows];
    if output.dims() != [rows, width] && !one_number {
        let must =
            format!("of shape [{rows}, {width}]: {numbers} for each of the {columns} targets of a row");
        return Err(invalid("the output", &must, output));
    }
    Ok((rows, columns))
}

/// The mean loss over the targets. `f` gets the numbers of a target and the target, returns the loss, and replaces the
/// numbers by their derivatives. It computes in f64: logarithms of densities are differences of large numbers.
pub(super) fn fused<T: Real>(
    batch: &FusedBatch<'_, T>,
    layout: Layout,
    f: impl Fn(&mut [f64], f64) -> f64,
) -> CResult<Evaluated<T>> {
    let (_, columns) = shape(batch.output, batch.targets, layout.numbers())?;
    cpu::with_slice(batch.targets, |y: &[T]| {
        let width = layout.numbers() * columns;
        let mut gradient = vec![T::zero(); batch.x.len()];
        let mut numbers = vec![0.; layout.numbers()];
        let mut value = 0.0;
        let rows =
            batch.x.chunks_exact(width).zip(y.chunks_exact(columns)).zip(gradient.chunks_exact_mut(width));
        for (row, ((x, y), gradient)) in rows.enumerate() {
            let share = batch.share(row) / columns as f64;
            for (target, y) in y.iter().enumerate() {
                let position = |i| layout.position(i, target, columns);
                for (i, number) in numbers.iter_mut().enumerate() {
                    *number = x.get(position(i)).map_or(f64::NAN, |x| x.wide());
                }
                value += share * f(&mut numbers, y.wide());
                for (i, derivative) in numbers.iter().enumerate() {
                    if let Some(to) = gradient.get_mut(position(i)) {
                        *to = T::of(share * derivative);
                    }
                }
            }
        }
        Evaluated { value: T::of(value), gradient }
    })
}

/// The losses `(B,)` of the rows in tensor operations. `f` gets the numbers of the targets as tensors `(B, K, components)`,
/// one for each parameter, and the targets `(B, K, 1)`, and returns the losses `(B, K)`.
pub(super) fn composed(
    output: &Tensor,
    targets: &Tensor,
    layout: Layout,
    f: impl Fn(&[Tensor], &Tensor) -> CResult<Tensor>,
) -> CResult<Tensor> {
    let (rows, columns) = shape(output, targets, layout.numbers())?;
    let parameters = match layout {
        Layout::Blocks { parameters, components } => {
            let blocks = output.reshape((rows, parameters, columns, components))?;
            (0..parameters).map(|i| blocks.narrow(1, i, 1)?.squeeze(1)).collect::<CResult<Vec<_>>>()?
        }
        Layout::Together { numbers } => vec![output.reshape((rows, columns, numbers))?],
    };
    let targets = targets.detach().to_dtype(output.dtype())?.reshape((rows, columns, 1))?;
    f(&parameters, &targets)?.mean(1)
}

/// A location and a raw scale for each target.
pub(super) const LOCATION_AND_SCALE: Layout = Layout::Blocks { parameters: 2, components: 1 };

/// The mean of losses `f(d, s)` of the difference `d` of location and target and the positive scale `s`, where `f` returns
/// the loss and its derivatives by `d` and by `s`.
pub(super) fn fused_with_scale<T: Real>(
    batch: &FusedBatch<'_, T>,
    f: impl Fn(f64, f64) -> (f64, f64, f64),
) -> CResult<Evaluated<T>> {
    fused(batch, LOCATION_AND_SCALE, |numbers, y| {
        let [location, raw] = numbers else { return f64::NAN };
        let (scale, slope) = positive(*raw);
        let (loss, by_difference, by_scale) = f(*location - y, scale);
        (*location, *raw) = (by_difference, by_scale * slope);
        loss
    })
}

/// The same in tensor operations: `f` gets the differences and the scales, `(B, K, 1)`.
pub(super) fn composed_with_scale(
    output: &Tensor,
    targets: &Tensor,
    f: impl Fn(&Tensor, &Tensor) -> CResult<Tensor>,
) -> CResult<Tensor> {
    composed(output, targets, LOCATION_AND_SCALE, |parameters, y| match parameters {
        [location, raw] => f(&(location - y)?, &softplus(raw)?)?.squeeze(2),
        _ => Err(invalid("the output", "a location and a scale for each target", output)),
    })
}

/// `ln(1 + eᵗ) + 10⁻⁶`.
pub(super) fn softplus(t: &Tensor) -> CResult<Tensor> {
    // ln(1 + eᵗ) = max(t, 0) + ln(1 + e^−|t|). candle's abs has derivative 1 at 0, where the sum of both has ½.
    let size = t.abs()?;
    (((t + &size)? * 0.5)? + (size.neg()?.exp()? + 1.0)?.log()?)? + FLOOR
}
