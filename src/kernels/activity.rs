//! Passes over the outputs of a layer: their sums, how many are beyond given bounds, and penalties on them.
use crate::kernels::{
    float::Real,
    simd::vectorized,
    sums::{fold_in_lanes, plus},
};

/// The number of partial sums, which is fixed, so that results do not depend on the processor.
const LANES: usize = 8;

/// Sums over the outputs of a layer, as `outer × units × inner` elements.
#[derive(Clone, Debug, Default)]
pub(crate) struct ActivitySums {
    pub(crate) count: usize,
    /// What is subtracted from each element before it is summed, so that little is lost in the variance: the
    /// first element.
    pivot: Option<f64>,
    sum: f64,
    squares: f64,
    /// The number of elements beyond the bounds.
    pub(crate) beyond: f64,
    /// Whether a unit has had an output other than 0.
    alive: Vec<bool>,
}

impl ActivitySums {
    /// Adds the elements of `x`. `bounds` are the limits beyond which an element is counted.
    pub(crate) fn add<T: Real>(&mut self, x: &[T], units: usize, inner: usize, bounds: Option<(f64, f64)>) {
        let Some(first) = x.first() else { return };
        let pivot = *self.pivot.get_or_insert(first.wide());
        let around = T::of(pivot);
        let (low, high) = bounds.map_or((T::zero(), T::zero()), |(low, high)| (T::of(low), T::of(high)));
        let (blocks, rest) = x.as_chunks::<LANES>();
        let (mut sums, mut squares, mut beyond) = vectorized(
            #[inline(always)]
            || {
                // Not captured, so that they stay in registers.
                let (mut sums, mut squares, mut beyond) = ([0f64; LANES], [0f64; LANES], [0u32; LANES]);
                for block in blocks {
                    for lane in 0..LANES {
                        let d = (block[lane] - around).wide();
                        sums[lane] += d;
                        squares[lane] += d * d;
                    }
                }
                if bounds.is_some() {
                    for block in blocks {
                        for lane in 0..LANES {
                            beyond[lane] += u32::from((block[lane] < low) | (block[lane] > high));
                        }
                    }
                }
                (sums, squares, beyond)
            },
        );
        for (lane, x) in rest.iter().enumerate() {
            let d = (*x - around).wide();
            sums[lane] += d;
            squares[lane] += d * d;
            beyond[lane] += u32::from(bounds.is_some() && ((*x < low) | (*x > high)));
        }
        self.sum += sums.iter().sum::<f64>();
        self.squares += squares.iter().sum::<f64>();
        self.beyond += beyond.iter().copied().map(f64::from).sum::<f64>();
        self.count += x.len();
        self.mark_alive(x, units.max(1), inner.max(1));
    }

    fn mark_alive<T: Real>(&mut self, x: &[T], units: usize, inner: usize) {
        if self.alive.len() < units {
            self.alive.resize(units, false);
        }
        // After a few rows nearly all units have been seen alive, and only the others are looked at.
        for row in x.chunks_exact(units * inner) {
            if self.alive.iter().all(|alive| *alive) {
                break;
            }
            for (alive, outputs) in self.alive.iter_mut().zip(row.chunks_exact(inner)) {
                *alive = *alive || outputs.iter().any(|x| *x != T::zero());
            }
        }
    }

    /// The mean of the elements.
    pub(crate) fn mean(&self) -> f64 {
        self.pivot.unwrap_or(0.) + self.sum / self.count as f64
    }

    /// The standard deviation of the elements, divided by their number.
    pub(crate) fn deviation(&self) -> f64 {
        let n = self.count as f64;
        let variance = self.squares / n - (self.sum / n) * (self.sum / n);
        // `f64::max` would turn NaN into 0.
        if variance < 0. {
            0.
        } else {
            variance.sqrt()
        }
    }

    /// The share of the units whose output was always 0.
    pub(crate) fn dead(&self) -> f64 {
        self.alive.iter().filter(|alive| !**alive).count() as f64 / self.alive.len().max(1) as f64
    }
}

/// `Σ (l1 |x| + l2 x²)`.
pub(crate) fn penalty<T: Real>(x: &[T], l1: f64, l2: f64) -> f64 {
    vectorized(
        #[inline(always)]
        || {
            let absolute = match l1 > 0. {
                true => fold_in_lanes(
                    x,
                    0.,
                    #[inline(always)]
                    |a, x: T| a + x.abs().wide(),
                    plus,
                ),
                false => 0.,
            };
            let squares = match l2 > 0. {
                true => fold_in_lanes(
                    x,
                    0.,
                    #[inline(always)]
                    |a, x: T| a + x.wide() * x.wide(),
                    plus,
                ),
                false => 0.,
            };
            l1 * absolute + l2 * squares
        },
    )
}

/// The derivative of [`penalty`]: `l1 sign(x) + 2 l2 x`. The sign of 0 is 0.
pub(crate) fn penalty_gradient<T: Real>(x: &[T], l1: f64, l2: f64) -> Vec<T> {
    let (l1, l2) = (T::of(l1), T::of(2. * l2));
    let mut gradient = x.to_vec();
    vectorized(
        #[inline(always)]
        || {
            for g in &mut gradient {
                let sign = if *g > T::zero() {
                    l1
                } else if *g < T::zero() {
                    T::zero() - l1
                } else {
                    T::zero()
                };
                *g = sign + l2 * *g;
            }
        },
    );
    gradient
}
