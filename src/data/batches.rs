//! How rows are divided into batches, and what becomes of a last batch that is smaller than the others.
use crate::{Error, Result};
use serde::{Deserialize, Serialize};
use std::ops::Range;

/// What becomes of the last batch of an epoch when the rows do not divide evenly.
///
/// The case that matters is a last batch of a single row, in a network with batch normalization. One number
/// has no variance: candle's layer computes `0 · 1/(1 − 1)`, which is NaN, and keeps it in `running_var`
/// although the loss stays finite. PyTorch refuses such a batch and offers `drop_last`; Keras divides by 1 and
/// lets the statistics of one row in.
///
/// The only batch of an epoch is always used, whatever its size.
///
/// ```
/// use candle_ensemble::{data::LastBatch, train::Trainer};
///
/// let trainer = Trainer::new(|vb| candle_nn::linear(2, 1, vb)).batch_size(32).last_batch(LastBatch::Drop);
/// assert_eq!(trainer.config().last_batch, LastBatch::Drop);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum LastBatch {
    /// [`Join`](Self::Join) for a network with batch normalization, which is recognised by variables called
    /// `….running_mean` or `….running_var`, and [`Keep`](Self::Keep) for any other.
    #[default]
    Auto,
    /// The last batch is used as it is.
    Keep,
    /// A last batch of a single row joins the batch before it, which then has one row more. Larger batches
    /// are used as they are, and so are batches of one row if all of them have one.
    Join,
    /// A last batch that is smaller than the others is left out, as with `drop_last` in PyTorch. If rows are
    /// shuffled, other rows are left out in each epoch.
    Drop,
}

impl LastBatch {
    /// How many batches of `size` rows there are of `rows` rows. `size` is at least 1.
    pub(crate) fn count(self, rows: usize, size: usize, batch_norm: bool) -> usize {
        let (all, rest) = (rows.div_ceil(size), rows % size);
        let gone = match self {
            Self::Auto => batch_norm && rest == 1,
            Self::Join => rest == 1,
            Self::Keep => false,
            Self::Drop => rest > 0,
        };
        // With batches of one row there is never a rest.
        all - usize::from(gone && all > 1)
    }

    /// The batches, as ranges of positions. `batch_norm` says whether the network has batch normalization.
    pub(crate) fn split(
        self,
        rows: usize,
        size: usize,
        batch_norm: bool,
    ) -> impl Iterator<Item = Range<usize>> + use<> {
        let size = size.max(1);
        let count = self.count(rows, size, batch_norm);
        (0..count).map(move |batch| {
            let last = batch + 1 == count && self != Self::Drop;
            let end = if last { rows } else { rows.min((batch + 1) * size) };
            batch * size..end
        })
    }
}

/// Divides the rows into passes of `size`. A single last row joins the pass before, because one row has no
/// variance and gives candle's graph another shape (nothing is broadcast).
pub(crate) fn passes(rows: &[u32], size: usize) -> Result<Vec<&[u32]>> {
    if rows.len() < 2 {
        let what = "the number of rows to re-estimate batch-norm's statistics over";
        return Err(Error::invalid(what, "at least 2", rows.len()));
    }
    if size < 2 {
        return Err(Error::invalid("the number of rows in a pass", "at least 2", size));
    }
    Ok(LastBatch::Join.split(rows.len(), size, true).map(|part| &rows[part]).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use LastBatch::{Auto, Drop, Join, Keep};

    fn sizes(last: LastBatch, rows: usize, size: usize, batch_norm: bool) -> Vec<usize> {
        last.split(rows, size, batch_norm).map(|batch| batch.len()).collect()
    }

    #[test]
    fn a_single_last_row_is_kept_joined_or_dropped() {
        for (last, batch_norm, expected) in [
            (Auto, false, vec![4, 4, 1]),
            (Auto, true, vec![4, 5]),
            (Keep, true, vec![4, 4, 1]),
            (Join, false, vec![4, 5]),
            (Drop, true, vec![4, 4]),
        ] {
            assert_eq!(sizes(last, 9, 4, batch_norm), expected, "{last:?}");
        }
    }

    #[test]
    fn a_larger_last_batch_is_kept_or_dropped() {
        for last in [Auto, Keep, Join] {
            assert_eq!(sizes(last, 10, 4, true), [4, 4, 2], "{last:?}");
        }
        assert_eq!(sizes(Drop, 10, 4, true), [4, 4]);
        assert_eq!(sizes(Drop, 8, 4, true), [4, 4]);
    }

    #[test]
    fn the_only_batch_is_used_and_batches_of_one_row_stay_alone() {
        for last in [Auto, Keep, Join, Drop] {
            assert_eq!(sizes(last, 1, 4, true), [1], "{last:?}");
            assert_eq!(sizes(last, 3, 4, true), [3], "{last:?}");
            assert_eq!(sizes(last, 3, 1, true), [1, 1, 1], "{last:?}");
            assert_eq!(sizes(last, 0, 4, true), [0; 0], "{last:?}");
        }
    }

    #[test]
    fn batches_follow_each_other_and_their_number_is_known() {
        for (rows, size) in (0..40).flat_map(|rows| (1..12).map(move |size| (rows, size))) {
            for last in [Auto, Keep, Join, Drop] {
                let batches: Vec<_> = last.split(rows, size, true).collect();
                assert_eq!(batches.len(), last.count(rows, size, true));
                let covered: Vec<usize> = batches.into_iter().flatten().collect();
                let end = if last == Drop && rows > size { rows / size * size } else { rows };
                assert_eq!(covered, (0..end).collect::<Vec<_>>(), "{last:?} {rows} {size}");
            }
        }
    }

    #[test]
    fn passes_cover_the_rows_and_have_at_least_two_each() {
        for n in 2..40u32 {
            let rows: Vec<u32> = (0..n).collect();
            for size in 2..12 {
                let parts = passes(&rows, size).unwrap();
                assert_eq!(parts.concat(), rows);
                assert!(parts.iter().all(|part| (2..=size + 1).contains(&part.len())), "{n} {size}");
            }
        }
        assert!(passes(&[1], 4).is_err());
        assert!(passes(&[1, 2], 1).is_err());
    }
}
