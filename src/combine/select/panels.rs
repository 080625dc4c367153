//! The memory layout of the candidates' numbers, and sums of them over the rows.
use crate::{kernels::float::Number, threads::wide};
use rayon::prelude::*;
use std::ops::Range;

/// Number of candidates in a panel, one lane of a vector for each.
pub(crate) const LANES: usize = 8;
/// Number of rows in a partial sum.
const CHUNK: usize = 1024;

/// The numbers of all candidates, interleaved: `[panel of candidates][row][number of the row][lane]`.
pub(crate) struct Panels<T> {
    data: Vec<[T; LANES]>,
    rows: usize,
    depth: usize,
    slots: usize,
}

impl<T: Number> Panels<T> {
    /// Panels with `depth` numbers for each row; `pick(slot, row, k)` gives number `k` of a row of a
    /// candidate.
    pub(crate) fn new(
        [slots, rows, depth]: [usize; 3],
        pick: impl Fn(usize, usize, usize) -> T + Sync,
    ) -> Self {
        let mut data = vec![[T::zero(); LANES]; slots.div_ceil(LANES) * rows * depth];
        let fill = |(panel, data): (usize, &mut [[T; LANES]])| {
            for lane in 0..LANES.min(slots - panel * LANES) {
                for (i, lanes) in data.iter_mut().enumerate() {
                    lanes[lane] = pick(panel * LANES + lane, i / depth, i % depth);
                }
            }
        };
        wide(|| data.par_chunks_mut((rows * depth).max(1)).enumerate().for_each(fill));
        Self { data, rows, depth, slots }
    }

    /// The numbers of some rows, `depth` for each row, panel by panel.
    pub(crate) fn of_rows(&self, rows: &Range<usize>) -> impl Iterator<Item = &[[T; LANES]]> {
        let (start, count) = (rows.start * self.depth, rows.len() * self.depth);
        self.data.chunks_exact((self.rows * self.depth).max(1)).map(move |all| &all[start..start + count])
    }

    /// The sum over all rows for each candidate; `add` adds the sum over a range of rows.
    pub(crate) fn sums(&self, add: impl Fn(&Range<usize>, &mut [[f64; LANES]]) + Sync) -> Vec<f64> {
        let panels = self.slots.div_ceil(LANES);
        let sums = over_rows(self.rows, panels, [0.; LANES], add, |total, part| {
            total.iter_mut().zip(part).for_each(|(t, p)| *t += p);
        });
        sums.into_iter().flatten().take(self.slots).collect()
    }
}

/// Computes `count` sums over the rows, in chunks that do not depend on the number of threads, joined in
/// order.
pub(crate) fn over_rows<A: Copy + Send + Sync>(
    rows: usize,
    count: usize,
    zero: A,
    add: impl Fn(&Range<usize>, &mut [A]) + Sync,
    join: impl Fn(&mut A, A),
) -> Vec<A> {
    let partial = |chunk: usize| {
        let mut sums = vec![zero; count];
        add(&(chunk * CHUNK..rows.min((chunk + 1) * CHUNK)), &mut sums);
        sums
    };
    let partials: Vec<Vec<A>> = wide(|| (0..rows.div_ceil(CHUNK)).into_par_iter().map(partial).collect());
    let mut sums = vec![zero; count];
    for partial in partials {
        sums.iter_mut().zip(partial).for_each(|(sum, part)| join(sum, part));
    }
    sums
}
