//! A loss and its gradient in one pass over the rows, on the CPU.
use crate::{
    kernels::{cpu, float::Real, simd::vectorized, sums::fold_in_lanes},
    train::{
        loss::{binary, classes, columns, labels},
        Loss,
    },
};
use candle_core::{CpuStorage, CustomOp1, Layout, Result as CResult, Shape, Tensor};

/// The mean loss, as one operation in the graph.
pub(crate) fn mean<T: Real>(
    loss: Loss,
    output: &Tensor,
    targets: &Tensor,
    weights: Option<Vec<f64>>,
) -> CResult<Tensor> {
    let output = output.contiguous()?;
    let evaluated = cpu::with_slice(&output, |x: &[T]| -> CResult<Evaluated<T>> {
        let rows = output.dim(0)?;
        let share = |row: usize| weights.as_ref().map_or(1.0 / rows as f64, |w| w[row]);
        match loss {
            Loss::CrossEntropy { smoothing } => {
                let (rows, classes) = classes(&output)?;
                let labels = labels(targets, rows, classes)?;
                Ok(vectorized(
                    #[inline(always)]
                    || cross_entropy(x, &labels, classes, smoothing, share),
                ))
            }
            Loss::BinaryCrossEntropy => {
                let y = labels(targets, binary(&output)?, 2)?;
                Ok(elementwise(x, &y, 1, share, |z, y| binary_cross_entropy(z, y == 1)))
            }
            Loss::MeanSquared | Loss::MeanAbsolute | Loss::Huber { .. } => {
                let (_, columns) = columns(&output, targets)?;
                cpu::with_slice(targets, |y: &[T]| match loss {
                    Loss::MeanAbsolute => elementwise(x, y, columns, share, |x, y| absolute(x - y)),
                    Loss::Huber { delta } => {
                        elementwise(x, y, columns, share, |x, y| huber(x - y, T::of(delta)))
                    }
                    _ => elementwise(x, y, columns, share, |x, y| squared(x - y)),
                })
            }
        }
    })??;
    output.apply_op1(evaluated)
}

/// The sum over the rows of `share(row)` times the loss of the row, and its gradient.
#[inline(always)]
fn cross_entropy<T: Real>(
    z: &[T],
    labels: &[u32],
    classes: usize,
    smoothing: f64,
    share: impl Fn(usize) -> f64,
) -> Evaluated<T> {
    let spread = T::of(smoothing / classes as f64);
    let at_label = T::of(1.0 - smoothing);
    let sum = |numbers: &[T]| fold_in_lanes(numbers, T::zero(), |a, x| a + x, |a, b| a + b);
    let greater = |a, b| if b > a { b } else { a };

    // `gradient` holds the logits minus the greatest of their row, then their exponentials, and finally the
    // gradient.
    let mut gradient = z.to_vec();
    let mut value = 0.0;
    for (row, (z, &label)) in gradient.chunks_exact_mut(classes).zip(labels).enumerate() {
        let greatest = fold_in_lanes(z, z[0], greater, greater);
        z.iter_mut().for_each(|z| *z -= greatest);
        let target = at_label * z[label as usize];
        // Without smoothing the sum is left out, because it may be infinite.
        let target = if smoothing > 0.0 { target + spread * sum(z) } else { target };
        value -= share(row) * target.wide();
    }
    T::exp_all(&mut gradient);
    for (row, (e, &label)) in gradient.chunks_exact_mut(classes).zip(labels).enumerate() {
        let total = sum(e);
        value += share(row) * total.ln().wide();
        let share = T::of(share(row));
        e.iter_mut().for_each(|e| *e = share * (*e / total - spread));
        e[label as usize] -= share * at_label;
    }
    Evaluated { value: T::of(value), gradient }
}

/// The same for a loss with the value and the derivative `f(x, y)` for each element of a row.
#[inline(always)]
fn elementwise<T: Real, Y: Copy>(
    x: &[T],
    y: &[Y],
    columns: usize,
    share: impl Fn(usize) -> f64,
    f: impl Fn(T, Y) -> (T, T),
) -> Evaluated<T> {
    let mut gradient = vec![T::zero(); x.len()];
    let mut value = 0.0;
    let rows = x.chunks_exact(columns).zip(y.chunks_exact(columns)).zip(gradient.chunks_exact_mut(columns));
    for (row, ((x, y), gradient)) in rows.enumerate() {
        let share = share(row) / columns as f64;
        for ((&x, &y), gradient) in x.iter().zip(y).zip(gradient) {
            let (loss, derivative) = f(x, y);
            value += share * loss.wide();
            *gradient = T::of(share) * derivative;
        }
    }
    Evaluated { value: T::of(value), gradient }
}

fn binary_cross_entropy<T: Real>(z: T, positive: bool) -> (T, T) {
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

fn squared<T: Real>(d: T) -> (T, T) {
    (d * d, d + d)
}

fn absolute<T: Real>(d: T) -> (T, T) {
    let sign = if d > T::zero() {
        T::one()
    } else if d < T::zero() {
        T::zero() - T::one()
    } else {
        T::zero()
    };
    (d.abs(), sign)
}

/// Both branches are `c (d − c / 2)`, where `c` is the difference limited to ±δ.
fn huber<T: Real>(d: T, delta: T) -> (T, T) {
    let c = d.within(delta);
    (c * (d - T::of(0.5) * c), c)
}

/// An operation whose value and gradient have been computed already.
struct Evaluated<T> {
    value: T,
    gradient: Vec<T>,
}

impl<T: Real> CustomOp1 for Evaluated<T> {
    fn name(&self) -> &'static str {
        "loss"
    }

    fn cpu_fwd(&self, _: &CpuStorage, _: &Layout) -> CResult<(CpuStorage, Shape)> {
        Ok((T::to_cpu_storage_owned(vec![self.value]), Shape::from(())))
    }

    fn bwd(&self, output: &Tensor, _: &Tensor, upstream: &Tensor) -> CResult<Option<Tensor>> {
        let factor = upstream.to_scalar::<T>()?;
        let gradient = self.gradient.iter().map(|&g| factor * g).collect::<Vec<_>>();
        Tensor::from_vec(gradient, output.shape(), output.device()).map(Some)
    }
}
