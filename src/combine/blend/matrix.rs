//! A dense matrix of predictions with one row for each slot. Each operation reads the matrix once, block by
//! block.
use crate::kernels::{float::Number, simd::vectorized};
use rayon::prelude::*;

/// Cells in a block: few enough that one block of every slot stays in a core's cache. The number is fixed, so
/// that sums do not depend on the number of threads.
const CELLS: usize = 1024;
/// Number of pieces of the cells in [`SlotMatrix::gram`], each of which has partial sums of its own.
const PIECES: usize = 16;
/// Cells that are processed at a time within a piece, as vectors of [`LANES`] numbers.
const STRIP: usize = 256;
const LANES: usize = 4;

type Vector = [f64; LANES];
type Strip = [Vector; STRIP / LANES];

/// Predictions of `S` slots for `N` cells, `(S, N)`. A cell is one number that each slot predicts: one class
/// or output of one row.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SlotMatrix<'a, T> {
    values: &'a [T],
    pub(crate) slots: usize,
    pub(crate) cells: usize,
}

/// Value and gradient of `Σ_i φ_i(m_i)` with `m = Σ_s w_s a_s`.
#[derive(Clone, Debug)]
pub(crate) struct Evaluation {
    pub(crate) value: f64,
    /// The derivative by the weight of each slot.
    pub(crate) gradient: Vec<f64>,
    /// `m`.
    pub(crate) sums: Vec<f64>,
}

impl<'a, T: Number> SlotMatrix<'a, T> {
    /// A matrix with as many slots as `values` has rows of `cells` numbers.
    pub(crate) fn new(values: &'a [T], cells: usize) -> Self {
        Self { values, slots: values.len() / cells.max(1), cells }
    }

    /// The predictions of a slot for `count` cells from `from` on.
    #[inline(always)]
    fn block(&self, slot: usize, from: usize, count: usize) -> &'a [T] {
        let start = slot * self.cells + from;
        &self.values[start..start + count]
    }

    /// The predictions of one slot.
    pub(crate) fn slot(&self, slot: usize) -> &'a [T] {
        self.block(slot, 0, self.cells)
    }

    /// `Σ_s w_s a_s`.
    pub(crate) fn weighted_sum(&self, weights: &[f64]) -> Vec<f64> {
        let used = used(weights);
        let mut sums = vec![0.; self.cells];
        sums.par_chunks_mut(CELLS)
            .enumerate()
            .for_each(|(k, out)| self.weighted_sum_of_block(&used, k * CELLS, out));
        sums
    }

    fn weighted_sum_of_block(&self, used: &[(usize, f64)], from: usize, out: &mut [f64]) {
        vectorized(
            #[inline(always)]
            || {
                for (slot, weight) in used {
                    let predicted = self.block(*slot, from, out.len());
                    out.iter_mut().zip(predicted).for_each(|(m, a)| *m += weight * (*a).into());
                }
            },
        );
    }

    /// Evaluates `Σ_i φ_i(m_i)`, where `loss(i, m_i)` gives the value and the derivative of `φ_i`.
    pub(crate) fn evaluate(
        &self,
        weights: &[f64],
        loss: impl Fn(usize, f64) -> (f64, f64) + Sync,
    ) -> Evaluation {
        let used = used(weights);
        let mut sums = vec![0.; self.cells];
        let block = |(k, out): (usize, &mut [f64])| {
            let from = k * CELLS;
            self.weighted_sum_of_block(&used, from, out);
            let mut slopes = [0.; CELLS];
            let (mut value, slopes) = (0., &mut slopes[..out.len()]);
            for (i, (m, slope)) in out.iter().zip(slopes.iter_mut()).enumerate() {
                let (v, s) = loss(from + i, *m);
                (value, *slope) = (value + v, s);
            }
            (value, self.dots(from, slopes))
        };
        let parts: Vec<(f64, Vec<f64>)> = sums.par_chunks_mut(CELLS).enumerate().map(block).collect();
        let mut gradient = vec![0.; self.slots];
        let mut value = 0.;
        for (v, g) in parts {
            value += v;
            gradient.iter_mut().zip(g).for_each(|(sum, g)| *sum += g);
        }
        Evaluation { value, gradient, sums }
    }

    /// The product of each slot's predictions with `factors`.
    pub(crate) fn products(&self, factors: &[f64]) -> Vec<f64> {
        let blocks = factors.par_chunks(CELLS).enumerate();
        let parts: Vec<Vec<f64>> = blocks.map(|(k, factors)| self.dots(k * CELLS, factors)).collect();
        let mut products = vec![0.; self.slots];
        for part in parts {
            products.iter_mut().zip(part).for_each(|(sum, x)| *sum += x);
        }
        products
    }

    /// The product of each slot's block with `factors`.
    fn dots(&self, from: usize, factors: &[f64]) -> Vec<f64> {
        vectorized(
            #[inline(always)]
            || (0..self.slots).map(|s| dot(self.block(s, from, factors.len()), factors)).collect(),
        )
    }

    /// The weighted Gram matrix `Σ_i d_i a_s,i a_t,i` of the slots in `set`, in full, for `d ≥ 0`.
    pub(crate) fn gram(&self, set: &[usize], d: impl Fn(usize) -> f64 + Sync) -> Vec<f64> {
        let n = set.len();
        // Whole tiles of four slots; the added slots are zero.
        let padded = n.next_multiple_of(4);
        let piece = self.cells.div_ceil(PIECES).next_multiple_of(STRIP);
        let part = |k: usize| {
            let mut sum = vec![0.; padded * padded];
            let mut scaled: Vec<Strip> = vec![[[0.; LANES]; STRIP / LANES]; padded];
            let end = ((k + 1) * piece).min(self.cells);
            for from in (k * piece..end).step_by(STRIP) {
                let count = STRIP.min(end - from);
                let mut root = [0.; STRIP];
                root.iter_mut().take(count).enumerate().for_each(|(i, r)| *r = d(from + i).sqrt());
                vectorized(
                    #[inline(always)]
                    || {
                        for (strip, slot) in scaled.iter_mut().zip(set) {
                            let predicted = self.block(*slot, from, count);
                            let flat = strip.as_flattened_mut();
                            flat[count..].fill(0.);
                            let pairs = predicted.iter().zip(&root);
                            flat.iter_mut().zip(pairs).for_each(|(u, (a, r))| *u = (*a).into() * r);
                        }
                        add_products(&scaled, &mut sum);
                    },
                );
            }
            sum
        };
        let parts: Vec<Vec<f64>> = (0..self.cells.div_ceil(piece)).into_par_iter().map(part).collect();
        let mut full = vec![0.; n * n];
        for part in parts {
            for s in 0..n {
                for t in s..n {
                    full[s * n + t] += part[s * padded + t];
                }
            }
        }
        for s in 0..n {
            for t in 0..s {
                full[s * n + t] = full[t * n + s];
            }
        }
        full
    }
}

/// The slots whose weight is not zero, with their weights.
fn used(weights: &[f64]) -> Vec<(usize, f64)> {
    weights.iter().copied().enumerate().filter(|(_, w)| *w != 0.).collect()
}

#[inline(always)]
fn dot<T: Number>(a: &[T], b: &[f64]) -> f64 {
    const WIDTH: usize = 2 * LANES;
    let mut sums = [0.; WIDTH];
    let (a, b) = (a.chunks_exact(WIDTH), b.chunks_exact(WIDTH));
    let rest: f64 = a.remainder().iter().zip(b.remainder()).map(|(a, b)| (*a).into() * b).sum();
    for (a, b) in a.zip(b) {
        for ((sum, a), b) in sums.iter_mut().zip(a).zip(b) {
            *sum += (*a).into() * b;
        }
    }
    sums.iter().sum::<f64>() + rest
}

/// Adds the products of all pairs of strips to the upper triangle of `sum`, in tiles of two by four.
#[inline(always)]
fn add_products(strips: &[Strip], sum: &mut [f64]) {
    let n = strips.len();
    for s in (0..n).step_by(2) {
        for t in (s / 4 * 4..n).step_by(4) {
            let [Some(a), Some(b)] = [strips.get(s..s + 2), strips.get(t..t + 4)] else { continue };
            let mut tile = [[[0.; LANES]; 4]; 2];
            for k in 0..STRIP / LANES {
                for (row, a) in tile.iter_mut().zip(a) {
                    for (lanes, b) in row.iter_mut().zip(b) {
                        for (l, lane) in lanes.iter_mut().enumerate() {
                            *lane += a[k][l] * b[k][l];
                        }
                    }
                }
            }
            for (i, row) in tile.iter().enumerate() {
                for (j, lanes) in row.iter().enumerate() {
                    sum[(s + i) * n + t + j] += lanes.iter().sum::<f64>();
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn operations_agree_with_loops_over_all_cells() {
        for (slots, cells) in [(1, 1), (3, 7), (6, 1024), (5, 5000), (9, 4097)] {
            let values: Vec<f32> = (0..slots * cells).map(|i| ((i * 37) % 101) as f32 / 101.).collect();
            let matrix = SlotMatrix::new(&values, cells);
            let a = |s: usize, i: usize| f64::from(values[s * cells + i]);
            let weights: Vec<f64> = (0..slots).map(|s| s as f64 - 1.).collect();
            let evaluation = matrix.evaluate(&weights, |i, m| (m * i as f64, m + i as f64));
            let sums: Vec<f64> = (0..cells).map(|i| (0..slots).map(|s| weights[s] * a(s, i)).sum()).collect();
            let close = |x: f64, y: f64| assert!((x - y).abs() <= 1e-9 * (1. + y.abs()), "{x} {y}");
            sums.iter().zip(&evaluation.sums).zip(matrix.weighted_sum(&weights)).for_each(|((x, y), z)| {
                close(*y, *x);
                close(z, *x);
            });
            close(evaluation.value, sums.iter().enumerate().map(|(i, m)| m * i as f64).sum());
            for s in 0..slots {
                close(evaluation.gradient[s], (0..cells).map(|i| a(s, i) * (sums[i] + i as f64)).sum());
            }
            let set: Vec<usize> = (0..slots).rev().step_by(2).collect();
            let got = matrix.gram(&set, |i| (i % 5) as f64);
            for (x, s) in set.iter().enumerate() {
                for (y, t) in set.iter().enumerate() {
                    let want = (0..cells).map(|i| (i % 5) as f64 * a(*s, i) * a(*t, i)).sum();
                    close(got[x * set.len() + y], want);
                }
            }
        }
    }
}
