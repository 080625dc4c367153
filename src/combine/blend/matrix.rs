//! A dense matrix of predictions with one row for each slot. Each operation reads the matrix once, block by
//! block.
use crate::{
    files::map::Mapped,
    kernels::{float::Number, simd::vectorized},
};
use rayon::prelude::*;
use std::ops::Range;

/// Cells that are processed at a time: few enough that those of every slot stay in a core's cache. The number is fixed, so
/// that sums do not depend on the number of threads.
const CELLS: usize = 1024;
/// Number of pieces of the cells in [`SlotMatrix::gram`], each of which has partial sums of its own.
const PIECES: usize = 16;
/// Cells that are processed at a time within a piece, as vectors of [`LANES`] numbers.
const STRIP: usize = 256;
/// Slots whose strips are multiplied with those of others while both stay in a core's nearest cache.
const TILE_SLOTS: usize = 16;
const LANES: usize = 4;

type Vector = [f64; LANES];
type Strip = [Vector; STRIP / LANES];

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
                root.iter_mut()
                    .take(count)
                    .enumerate()
                    .for_each(|(i, r)| *r = d(self.from + from + i).sqrt());
                vectorized(
                    #[inline(always)]
                    || {
                        for (strip, slot) in scaled.iter_mut().zip(set) {
                            let predicted = self.part(*slot, from, count);
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
        for part in parts {
            for s in 0..n {
                for t in s..n {
                    full[s * n + t] += part[s * padded + t];
                }
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

/// Adds the products of all pairs of strips to the upper triangle of `sum`.
#[inline(always)]
fn add_products(strips: &[Strip], sum: &mut [f64]) {
    let blocks =
        || (0..strips.len()).step_by(TILE_SLOTS).map(|from| from..(from + TILE_SLOTS).min(strips.len()));
    for (i, above) in blocks().enumerate() {
        for right in blocks().skip(i) {
            add_block(strips, above.clone(), right, sum);
        }
    }
}

/// Adds the products of the strips `above` with those at the `right`, in tiles of two by four.
#[inline(always)]
fn add_block(strips: &[Strip], above: Range<usize>, right: Range<usize>, sum: &mut [f64]) {
    let n = strips.len();
    for s in above.step_by(2) {
        for t in (right.start.max(s / 4 * 4)..right.end).step_by(4) {
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
