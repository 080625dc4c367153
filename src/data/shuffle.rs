//! How the rows of a run are shuffled.
use crate::{Rows, Seed};
use rand::seq::SliceRandom;
use serde::{Deserialize, Serialize};
use std::ops::Range;

/// How a run's training rows are shuffled in each epoch.
///
/// A full shuffle reads rows from anywhere in the data. That is right in memory. On a disk it costs a seek for each row, so
/// data that does not fit in memory is shuffled in blocks: blocks of consecutive rows are put in random order, and the rows
/// of `window` blocks that follow each other are mixed. Each row of the run occurs exactly as often as before, and the order
/// depends on the seed alone.
///
/// ```text
/// blocks:  0 1 2 3 4 5  →  4 1 | 5 0 | 3 2        (window 2: the rows of 4 and 1 are mixed, then those of 5 and 0, …)
/// ```
///
/// Within a window, two rows that follow each other are of one block with probability `(B − 1) / (k B − 1)`, for `k` blocks
/// of `B` rows. A full shuffle of `N` rows has `(B − 1) / (N − 1)`. What a batch of `b` rows loses is the spread between
/// windows. In the worst case each of `M` blocks has rows of one class only, because the rows are sorted by class. Then the
/// variance of the share of a class in a batch is larger than that of a full shuffle by the factor
///
/// ```text
/// 1 + (b / k) (M − k) / (M − 1)     (nearly, for b ≪ k B)
/// ```
///
/// So many small blocks in a window are better than a few large ones, and rows that are sorted should be shuffled once
/// before they are written. The variance is that of cluster sampling (Cochran 1977, *Sampling Techniques*, chapter 10). The
/// procedure is the shuffle buffer over shards of WebDataset and tf.data (Murray et al. 2021, arXiv:2101.12127).
///
/// ```
/// use candle_ensemble::{data::Shuffle, Seed};
///
/// let blocks = Shuffle::Blocks { rows: 2, window: 2 };
/// let order = blocks.order((0..8).collect(), Seed::from(42));
/// let mut first: Vec<u32> = order[..4].iter().map(|row| row / 2).collect();
/// first.sort();
/// first.dedup();
/// assert_eq!(first.len(), 2); // the first four rows are of two blocks
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Shuffle {
    /// All rows, as in a pack of cards. The default.
    #[default]
    Full,
    /// Blocks in random order, and the rows of some blocks mixed.
    Blocks {
        /// Rows of a block: those with the numbers `i · rows` to `(i + 1) · rows − 1`. At least 1.
        rows: usize,
        /// Blocks whose rows are mixed, at least 1.
        window: usize,
    },
}

impl Shuffle {
    /// These rows in an order that depends on the rows and the seed alone. A row that occurs twice stays twice.
    #[must_use]
    pub fn order(self, mut rows: Rows, seed: Seed) -> Rows {
        let mut rng = seed.rng();
        let (size, window) = match self {
            Self::Full => {
                rows.shuffle(&mut rng);
                return rows;
            }
            Self::Blocks { rows, window } => (rows.max(1), window.max(1)),
        };
        rows.sort_unstable();
        let mut start = 0;
        let mut blocks: Vec<Range<usize>> = vec![];
        for block in rows.chunk_by(|a, b| *a as usize / size == *b as usize / size) {
            blocks.push(start..start + block.len());
            start += block.len();
        }
        blocks.shuffle(&mut rng);
        let mut order = Vec::with_capacity(rows.len());
        for window in equal_parts(blocks.len(), window) {
            let start = order.len();
            for block in blocks.get(window).unwrap_or_default() {
                order.extend_from_slice(rows.get(block.clone()).unwrap_or_default());
            }
            if let Some(mixed) = order.get_mut(start..) {
                mixed.shuffle(&mut rng);
            }
        }
        order
    }
}

/// Divides `count` things into as few parts of at most `most` as there can be, whose sizes differ by one at most. So no last
/// part is much smaller than the others.
fn equal_parts(count: usize, most: usize) -> impl Iterator<Item = Range<usize>> {
    let parts = count.div_ceil(most);
    (0..parts).map(move |part| part * count / parts..(part + 1) * count / parts)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const BLOCKS: Shuffle = Shuffle::Blocks { rows: 10, window: 5 };

    fn seed(epoch: u64) -> Seed {
        Seed::from(7).nth("epoch", epoch)
    }

    proptest! {
        #[test]
        fn every_row_stays_as_often_as_it_was(
            mut rows in prop::collection::vec(0u32..300, 0..400),
            size in 1usize..40,
            window in 1usize..9,
            draw: u64,
        ) {
            let shuffle = Shuffle::Blocks { rows: size, window };
            let mut order = shuffle.order(rows.clone(), Seed::from(draw));
            prop_assert_eq!(&order, &shuffle.order(rows.iter().rev().copied().collect(), Seed::from(draw)));
            // No more than `window` blocks are in use at a time.
            let mut left: Vec<u32> = order.iter().map(|row| row / size as u32).collect();
            let mut open = std::collections::BTreeSet::new();
            while let Some(block) = left.pop() {
                open.insert(block);
                open.retain(|block| left.contains(block));
                prop_assert!(open.len() <= window);
            }
            order.sort_unstable();
            rows.sort_unstable();
            prop_assert_eq!(order, rows);
        }
    }

    #[test]
    fn parts_are_of_equal_size() {
        let sizes = |count, most| equal_parts(count, most).map(|part| part.len()).collect::<Vec<_>>();
        assert_eq!(sizes(9, 4), [3, 3, 3]);
        assert_eq!(sizes(8, 4), [4, 4]);
        assert_eq!(sizes(11, 4), [3, 4, 4]);
        assert!(sizes(0, 4).is_empty());
    }

    #[test]
    fn a_full_shuffle_is_that_of_earlier_versions() {
        let mut rows: Rows = (0..100).collect();
        rows.shuffle(&mut seed(3).rng());
        assert_eq!(Shuffle::Full.order((0..100).collect(), seed(3)), rows);
    }

    /// χ² of the position of a row, by tenths of the order, over 2000 epochs: 9 degrees of freedom, whose quantile of
    /// 1 − 10⁻⁶ is 45.1. Each of three rows has its own, so a right shuffle fails with a probability of 3 · 10⁻⁶.
    #[test]
    fn the_position_of_a_row_is_uniform() {
        let mut counts = [[0f64; 10]; 3];
        for epoch in 0..2000 {
            let order = BLOCKS.order((0..200).collect(), seed(epoch));
            for (counts, row) in counts.iter_mut().zip([0, 101, 199]) {
                counts[order.iter().position(|x| *x == row).unwrap() / 20] += 1.;
            }
        }
        for counts in counts {
            let chi: f64 = counts.iter().map(|n| (n - 200.).powi(2) / 200.).sum();
            assert!(chi < 45.1, "{counts:?}");
        }
    }

    /// Pairs of neighbours within a window that are of one block: (B − 1) / (k B − 1) of them. Pairs are nearly independent,
    /// so the limit of 5 standard deviations of independent ones fails with a probability of about 10⁻⁶.
    #[test]
    fn neighbours_are_of_one_block_as_often_as_they_should() {
        let (mut same, mut pairs) = (0f64, 0f64);
        for epoch in 0..1000 {
            let order = BLOCKS.order((0..200).collect(), seed(epoch));
            for window in order.chunks(50) {
                for pair in window.windows(2) {
                    pairs += 1.;
                    same += f64::from(u8::from(pair[0] / 10 == pair[1] / 10));
                }
            }
        }
        let expected = 9. / 49.;
        let deviation = (expected * (1. - expected) / pairs).sqrt();
        assert!((same / pairs - expected).abs() < 5. * deviation, "{} {expected}", same / pairs);
    }

    /// The variance of the share of class 1 in a batch of 20 rows, of 400 rows sorted by class, three tenths of class 1:
    /// two-stage sampling of `k` of `M` blocks, then of `b` of their rows, in closed form. The estimate over 4000 epochs has
    /// a relative standard deviation of √(2 / 4000) = 2.2 % for a normal share; the limit is 5 of them, which a right
    /// shuffle passes but for a probability of about 10⁻⁶.
    #[test]
    fn the_classes_of_a_batch_vary_as_in_two_stage_sampling() {
        let (n, b, p) = (400f64, 20f64, 0.3);
        for (size, window) in [(10, 4), (10, 20), (5, 40), (40, 2), (10, 40)] {
            let (m, k, rows) = (n / size as f64, window as f64, (size * window) as f64);
            let between = p * (1. - p) / k * (m - k) / (m - 1.);
            let within = (p * (1. - p) - between) / b * (rows - b) / (rows - 1.);
            let full = p * (1. - p) / b * (n - b) / (n - 1.);
            let shuffle = Shuffle::Blocks { rows: size, window };
            let share = |epoch| {
                let order = shuffle.order((0..400).collect(), seed(epoch));
                order.iter().take(20).filter(|row| **row < 120).count() as f64 / b
            };
            let epochs = 4000;
            let variance = (0..epochs).map(|epoch| (share(epoch) - p).powi(2)).sum::<f64>() / epochs as f64;
            let ratio = variance / (between + within);
            assert!((ratio - 1.).abs() < 5. * (2. / epochs as f64).sqrt(), "{size} {window}: {ratio}");
            // The factor of the documentation, which neglects that rows of a window are drawn without replacement.
            let factor = 1. + b / k * (m - k) / (m - 1.);
            assert!(((between + within) / full / factor - 1.).abs() < 0.25, "{size} {window}: {factor}");
        }
    }
}
