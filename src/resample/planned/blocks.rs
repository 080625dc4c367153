//! Draws from more rows than one block, block by block: the rows come in order, and no more than a block is in memory.
//!
//! Each stratum is a stream that says for its next row how often it is drawn. All counts are drawn as integers, so that the
//! draws are those of the distributions exactly: a bootstrap first counts the draws of each block (a multinomial
//! distribution, by its definition), and a sample without replacement takes each row with the share that is still missing of
//! the rows that are still there (selection sampling, Knuth 1997, algorithm 3.4.2 S).
use super::{row_units::Ids, RowIter};
use crate::Seed;
use rand::{seq::SliceRandom, Rng};
use rand_chacha::ChaCha8Rng;
use std::sync::Arc;

/// Rows of a block. Data of at most so many rows is drawn at once, as it was before there were blocks.
pub(crate) const BLOCK: u32 = 1 << 16;

/// Says how often each row of a stratum is drawn.
pub(crate) trait Copies: Send + 'static {
    /// How often the next row is drawn.
    fn next_copies(&mut self) -> u32;
}

/// The drawn rows of all strata in order. Without `ids` there is one stratum.
pub(crate) fn interleaved<S: Copies>(
    ids: Option<Arc<Ids>>,
    rows: u32,
    mut streams: Vec<S>,
) -> RowIter<'static> {
    let copies = move |row: u32| {
        let stratum = ids.as_ref().map_or(Some(0), |ids| ids.of_row.get(row as usize).copied());
        let stream = stratum.and_then(|stratum| streams.get_mut(stratum as usize));
        stream.map_or(0, Copies::next_copies)
    };
    Box::new(Repeated { copies, next: 0, rows, left: 0 })
}

/// Each row as often as a function says, which is called once for each row in order.
pub(crate) struct Repeated<F> {
    pub(crate) copies: F,
    /// The next row to ask for.
    pub(crate) next: u32,
    pub(crate) rows: u32,
    /// How often the row before it is still to come.
    pub(crate) left: u32,
}

impl<F: FnMut(u32) -> u32> Iterator for Repeated<F> {
    type Item = u32;

    fn next(&mut self) -> Option<u32> {
        while self.left == 0 {
            if self.next == self.rows {
                return None;
            }
            self.left = (self.copies)(self.next);
            self.next += 1;
        }
        self.left -= 1;
        Some(self.next - 1)
    }
}

/// Draws with replacement.
pub(crate) struct Draws {
    seed: Seed,
    /// How many draws fall into each block.
    of_block: Vec<u32>,
    rows: u32,
    /// The number of the next block.
    block: usize,
    /// How often each row of the block before it is drawn.
    counts: Vec<u32>,
    at: usize,
}

impl Draws {
    /// `draws` draws of `rows` rows.
    pub(crate) fn new(rows: u32, draws: usize, seed: Seed) -> Self {
        let mut of_block = vec![0u32; rows.div_ceil(BLOCK) as usize];
        match &mut *of_block {
            [only] => *only = draws as u32,
            several => {
                let mut rng = seed.child("blocks").rng();
                for _ in 0..draws {
                    let block = rng.random_range(0..rows) / BLOCK;
                    if let Some(count) = several.get_mut(block as usize) {
                        *count += 1;
                    }
                }
            }
        }
        Self { seed, of_block, rows, block: 0, counts: vec![], at: 0 }
    }

    fn load(&mut self) {
        let first = self.block as u32 * BLOCK;
        let size = self.rows.saturating_sub(first).min(BLOCK);
        self.counts.clear();
        self.counts.resize(size as usize, 0);
        let mut rng = self.seed.nth("block", self.block as u64).rng();
        for _ in 0..self.of_block.get(self.block).copied().unwrap_or_default() {
            if let Some(count) = self.counts.get_mut(rng.random_range(0..size.max(1)) as usize) {
                *count += 1;
            }
        }
        (self.block, self.at) = (self.block + 1, 0);
    }
}

impl Copies for Draws {
    fn next_copies(&mut self) -> u32 {
        if self.at == self.counts.len() {
            self.load();
        }
        let count = self.counts.get(self.at).copied().unwrap_or_default();
        self.at += 1;
        count
    }
}

/// A sample without replacement, or what it leaves.
pub(crate) struct Selected {
    /// How many rows are still to come.
    rows: u32,
    /// How many of them are in the sample.
    sample: u32,
    /// Whether the rows of the sample are drawn, or the others.
    keep: bool,
    rng: ChaCha8Rng,
}

impl Selected {
    /// `sample` of `rows` rows, or with `keep` false the other ones.
    pub(crate) fn new(rows: usize, sample: usize, keep: bool, seed: Seed) -> Self {
        Self { rows: rows as u32, sample: sample as u32, keep, rng: seed.rng() }
    }
}

impl Copies for Selected {
    fn next_copies(&mut self) -> u32 {
        if self.rows == 0 {
            return 0;
        }
        let is_in = self.rng.random_range(0..self.rows) < self.sample;
        self.rows -= 1;
        self.sample -= u32::from(is_in);
        u32::from(is_in == self.keep)
    }
}

/// The rows outside of a fold: the rows of each block are shuffled and dealt to the folds in turn.
pub(crate) struct Dealt {
    seed: Seed,
    rows: u32,
    /// How many rows of strata before this one were dealt.
    before: u64,
    k: u64,
    fold: u64,
    block: u32,
    /// Whether each row of the block before it is outside of the fold.
    outside: Vec<bool>,
    at: usize,
}

impl Dealt {
    pub(crate) fn new(rows: u32, before: usize, (k, fold): (u32, u32), seed: Seed) -> Self {
        let (k, fold) = (u64::from(k.max(1)), u64::from(fold));
        Self { seed, rows, before: before as u64, k, fold, block: 0, outside: vec![], at: 0 }
    }

    fn load(&mut self) {
        let first = self.block * BLOCK;
        let size = self.rows.saturating_sub(first).min(BLOCK);
        let mut order: Vec<u32> = (0..size).collect();
        order.shuffle(&mut self.seed.nth("block", u64::from(self.block)).rng());
        self.outside.clear();
        self.outside.resize(size as usize, true);
        let start = self.before + u64::from(first);
        for (number, row) in (start..).zip(order) {
            if number % self.k == self.fold
                && let Some(outside) = self.outside.get_mut(row as usize)
            {
                *outside = false;
            }
        }
        (self.block, self.at) = (self.block + 1, 0);
    }
}

impl Copies for Dealt {
    fn next_copies(&mut self) -> u32 {
        if self.at == self.outside.len() {
            self.load();
        }
        let outside = self.outside.get(self.at).copied().unwrap_or_default();
        self.at += 1;
        u32::from(outside)
    }
}
