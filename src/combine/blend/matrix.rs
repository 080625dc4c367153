//! A dense matrix of predictions with one row for each slot. Each operation reads the matrix once, block by
//! block.
use crate::{
    files::map::Mapped,
    kernels::{float::Number, matmul::Matrix, simd::vectorized},
};
use rayon::prelude::*;
use std::ops::Range;

/// Cells that are processed at a time: few enough that those of every slot stay in a core's cache. The number is fixed, so
/// that sums do not depend on the number of threads.
const CELLS: usize = 1024;
/// Number of pieces of the cells in [`SlotMatrix::gram`], each of which has partial sums of its own.
const PIECES: usize = 16;
/// Cells that are processed at a time within a piece.
const STRIP: usize = 512;
/// Rows of a product at a time: of the products within a band, those below the diagonal are not needed.
const BAND: usize = 64;

/// Predictions of `S` slots for `N` cells, `(S, N)`. A cell is one number that each slot predicts: one class
/// or output of one row.
///
/// They are one block in memory, or blocks of a file, of which one is read at a time and released after use.
#[derive(Clone, Debug)]
pub(crate) struct SlotMatrix<'a, T> {
    blocks: Vec<Block<'a, T>>,
    pub(crate) slots: usize,
    pub(crate) cells: usize,
}

/// The predictions for some cells, slot by slot.
#[derive(Clone, Debug)]
pub(crate) struct Block<'a, T> {
    values: &'a [T],
    /// The places of the slots in `values`; `None` where these are all slots.
    places: Option<&'a [usize]>,
    /// The first cell among all of them.
    from: usize,
    cells: usize,
    /// The bytes of a file that these are, if they are released after use.
    mapped: Option<(&'a Mapped, Range<usize>)>,
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

impl<'a, T: Number> Block<'a, T> {
    /// All slots in memory.
    fn whole(values: &'a [T], cells: usize) -> Self {
        Self { values, places: None, from: 0, cells, mapped: None }
    }

    /// Numbers of a file, slot by slot, of which the slots at `places` take part, or all. Those at the bytes `mapped` are
    /// released after use.
    pub(crate) fn of_file(
        values: &'a [T],
        cells: usize,
        places: Option<&'a [usize]>,
        mapped: Option<(&'a Mapped, Range<usize>)>,
    ) -> Self {
        Self { values, places, from: 0, cells, mapped }
    }

    /// The first cell among all cells.
    pub(crate) fn from(&self) -> usize {
        self.from
    }

    /// The number of cells.
    pub(crate) fn cells(&self) -> usize {
        self.cells
    }

    /// The predictions of a slot for `count` cells from `from` on.
    #[inline(always)]
    fn part(&self, slot: usize, from: usize, count: usize) -> &'a [T] {
        let place = self.places.map_or(slot, |places| places[slot]);
        let start = place * self.cells + from;
        &self.values[start..start + count]
    }

    /// The predictions of a slot.
    pub(crate) fn slot(&self, slot: usize) -> &'a [T] {
        self.part(slot, 0, self.cells)
    }

    /// Gives back the memory of a block of a file.
    pub(crate) fn release(&self) {
        if let Some((mapped, bytes)) = &self.mapped {
            mapped.release(bytes);
        }
    }

    fn weighted_sum(&self, used: &[(usize, f64)], from: usize, out: &mut [f64]) {
        vectorized(
            #[inline(always)]
            || {
                for (slot, weight) in used {
                    let predicted = self.part(*slot, from, out.len());
                    out.iter_mut().zip(predicted).for_each(|(m, a)| *m += weight * (*a).into());
                }
            },
        );
    }

    /// The product of each slot's cells from `from` on with `factors`.
    fn dots(&self, slots: usize, from: usize, factors: &[f64]) -> Vec<f64> {
        vectorized(
            #[inline(always)]
            || (0..slots).map(|s| dot(self.part(s, from, factors.len()), factors)).collect(),
        )
    }

    /// Adds `Σ_i d_i a_s,i a_t,i` for the slots in `set` to the upper triangle of `full`.
    fn add_gram(&self, set: &[usize], d: &(impl Fn(usize) -> f64 + Sync), full: &mut [f64]) {
        let piece = self.cells.div_ceil(PIECES).next_multiple_of(STRIP);
        let part = |k: usize| {
            let mut sum = Triangle::new(set.len());
            let (mut scaled, mut root) = (vec![0.; set.len() * STRIP], [0.; STRIP]);
            let end = ((k + 1) * piece).min(self.cells);
            for from in (k * piece..end).step_by(STRIP) {
                let count = STRIP.min(end - from);
                let cells = (self.from + from..).zip(&mut root[..count]);
                cells.for_each(|(cell, root)| *root = d(cell).sqrt());
                vectorized(
                    #[inline(always)]
                    || {
                        for (strip, slot) in scaled.chunks_exact_mut(count).zip(set) {
                            let pairs = self.part(*slot, from, count).iter().zip(&root);
                            strip.iter_mut().zip(pairs).for_each(|(u, (a, r))| *u = (*a).into() * r);
                        }
                    },
                );
                sum.add_products(&scaled[..set.len() * count], count);
            }
            sum
        };
        let parts: Vec<Triangle> = (0..self.cells.div_ceil(piece)).into_par_iter().map(part).collect();
        parts.iter().for_each(|part| part.add_to(full));
    }
}

/// The upper triangle of a symmetric matrix, in bands of [`BAND`] rows. A band begins at the column of its first row.
struct Triangle {
    size: usize,
    bands: Vec<Vec<f64>>,
}

impl Triangle {
    fn new(size: usize) -> Self {
        let bands = (0..size).step_by(BAND).map(|from| vec![0.; BAND.min(size - from) * (size - from)]);
        Self { size, bands: bands.collect() }
    }

    /// Adds the products of all pairs of rows of so many numbers.
    fn add_products(&mut self, rows: &[f64], columns: usize) {
        for (band, from) in self.bands.iter_mut().zip((0..self.size).step_by(BAND)) {
            let right = &rows[from * columns..];
            let above = &right[..BAND.min(self.size - from) * columns];
            let count = BAND.min(self.size - from);
            let right = Matrix::new(right, self.size - from, columns);
            let above = Matrix::new(above, count, columns);
            // The sizes fit, so that there is no error.
            _ = above.and_then(|above| above.add_times(right?.t(), band));
        }
    }

    /// Adds the triangle to that of a whole matrix.
    fn add_to(&self, full: &mut [f64]) {
        for (band, from) in self.bands.iter().zip((0..self.size).step_by(BAND)) {
            for (row, sums) in band.chunks_exact(self.size - from).enumerate() {
                let start = (from + row) * self.size + from;
                full[start..].iter_mut().zip(sums).skip(row).for_each(|(sum, x)| *sum += x);
            }
        }
    }
}

impl<'a, T: Number> SlotMatrix<'a, T> {
    /// A matrix with as many slots as `values` has rows of `cells` numbers.
    pub(crate) fn new(values: &'a [T], cells: usize) -> Self {
        let slots = values.len() / cells.max(1);
        Self { blocks: vec![Block::whole(values, cells)], slots, cells }
    }

    /// A matrix of so many slots, whose cells are those of the blocks, one after the other.
    pub(crate) fn of_blocks(slots: usize, mut blocks: Vec<Block<'a, T>>) -> Self {
        let mut cells = 0;
        for block in &mut blocks {
            block.from = cells;
            cells += block.cells;
        }
        Self { blocks, slots, cells }
    }

    /// The blocks. Whoever reads one releases it.
    pub(crate) fn blocks(&self) -> &[Block<'a, T>] {
        &self.blocks
    }

    /// The predictions of one slot.
    pub(crate) fn slot(&self, slot: usize) -> impl Iterator<Item = f64> + '_ {
        self.blocks.iter().flat_map(move |block| block.slot(slot)).map(|a| (*a).into())
    }

    /// The prediction of a slot for a cell.
    pub(crate) fn at(&self, slot: usize, cell: usize) -> f64 {
        let block = self.blocks.partition_point(|block| block.from + block.cells <= cell);
        self.blocks.get(block).map_or(f64::NAN, |block| block.part(slot, cell - block.from, 1)[0].into())
    }

    /// `Σ_s w_s a_s`.
    pub(crate) fn weighted_sum(&self, weights: &[f64]) -> Vec<f64> {
        let used = used(weights);
        let mut sums = vec![0.; self.cells];
        for block in &self.blocks {
            let own = &mut sums[block.from..block.from + block.cells];
            own.par_chunks_mut(CELLS)
                .enumerate()
                .for_each(|(k, out)| block.weighted_sum(&used, k * CELLS, out));
            block.release();
        }
        sums
    }

    /// Evaluates `Σ_i φ_i(m_i)`, where `loss(i, m_i)` gives the value and the derivative of `φ_i`.
    pub(crate) fn evaluate(
        &self,
        weights: &[f64],
        loss: impl Fn(usize, f64) -> (f64, f64) + Sync,
    ) -> Evaluation {
        let used = used(weights);
        let mut sums = vec![0.; self.cells];
        let mut gradient = vec![0.; self.slots];
        let mut value = 0.;
        for block in &self.blocks {
            let part = |(k, out): (usize, &mut [f64])| {
                let from = k * CELLS;
                block.weighted_sum(&used, from, out);
                let mut slopes = [0.; CELLS];
                let (mut value, slopes) = (0., &mut slopes[..out.len()]);
                for (i, (m, slope)) in out.iter().zip(slopes.iter_mut()).enumerate() {
                    let (v, s) = loss(block.from + from + i, *m);
                    (value, *slope) = (value + v, s);
                }
                (value, block.dots(self.slots, from, slopes))
            };
            let own = &mut sums[block.from..block.from + block.cells];
            let parts: Vec<(f64, Vec<f64>)> = own.par_chunks_mut(CELLS).enumerate().map(part).collect();
            for (v, g) in parts {
                value += v;
                gradient.iter_mut().zip(g).for_each(|(sum, g)| *sum += g);
            }
            block.release();
        }
        Evaluation { value, gradient, sums }
    }

    /// The product of each slot's predictions with `factors`.
    pub(crate) fn products(&self, factors: &[f64]) -> Vec<f64> {
        let mut products = vec![0.; self.slots];
        for block in &self.blocks {
            let own = factors[block.from..block.from + block.cells].par_chunks(CELLS).enumerate();
            let dots = |(k, factors): (usize, &[f64])| block.dots(self.slots, k * CELLS, factors);
            let parts: Vec<Vec<f64>> = own.map(dots).collect();
            for part in parts {
                products.iter_mut().zip(part).for_each(|(sum, x)| *sum += x);
            }
            block.release();
        }
        products
    }

    /// The weighted Gram matrix `Σ_i d_i a_s,i a_t,i` of the slots in `set`, in full, for `d ≥ 0`.
    pub(crate) fn gram(&self, set: &[usize], d: impl Fn(usize) -> f64 + Sync) -> Vec<f64> {
        let n = set.len();
        let mut full = vec![0.; n * n];
        for block in &self.blocks {
            block.add_gram(set, &d, &mut full);
            block.release();
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
    const WIDTH: usize = 8;
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

    /// Cells in several blocks, which need not be whole multiples of anything.
    #[test]
    fn blocks_are_one_matrix() {
        let (slots, cells) = (5usize, 5000usize);
        let values: Vec<f64> = (0..slots * cells).map(|i| ((i * 37) % 101) as f64 / 101.).collect();
        let whole = SlotMatrix::new(&values, cells);
        let weights = [0.3, 0., -0.1, 0.5, 0.2];
        let loss = |i: usize, m: f64| (m * (i % 7) as f64, m + (i % 3) as f64);
        let factors: Vec<f64> = (0..cells).map(|i| (i % 11) as f64 - 5.).collect();
        for cuts in [vec![0, cells], vec![0, 1024, 3072, cells], vec![0, 1, 700, 4999, cells]] {
            let part = |cut: &[usize]| -> Vec<f64> {
                (0..slots).flat_map(|s| values[s * cells + cut[0]..s * cells + cut[1]].to_vec()).collect()
            };
            let parts: Vec<Vec<f64>> = cuts.windows(2).map(part).collect();
            let blocks = parts.iter().map(|part| Block::whole(part, part.len() / slots)).collect();
            let blocked = SlotMatrix::of_blocks(slots, blocks);
            assert_eq!(blocked.weighted_sum(&weights), whole.weighted_sum(&weights));
            let (one, other) = (whole.evaluate(&weights, loss), blocked.evaluate(&weights, loss));
            assert_eq!(one.sums, other.sums);
            let close = |x: f64, y: f64| assert!((x - y).abs() <= 1e-9 * (1. + y.abs()), "{x} {y}");
            close(other.value, one.value);
            other.gradient.iter().zip(&one.gradient).for_each(|(x, y)| close(*x, *y));
            if cuts.iter().all(|cut| cut % CELLS == 0 || *cut == cells) {
                assert_eq!((one.value, one.gradient), (other.value, other.gradient), "to the bit");
            }
            blocked.products(&factors).iter().zip(whole.products(&factors)).for_each(|(x, y)| close(*x, y));
            let grams = [&blocked, &whole].map(|m| m.gram(&[0, 2, 4], |i| (i % 5) as f64));
            grams[0].iter().zip(&grams[1]).for_each(|(x, y)| close(*x, *y));
            assert_eq!(blocked.slot(3).collect::<Vec<_>>(), whole.slot(3).collect::<Vec<_>>());
            assert_eq!(blocked.at(2, 4321), whole.at(2, 4321));
        }
    }
}
