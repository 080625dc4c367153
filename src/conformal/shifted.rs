//! Selection from sorted lists, to each of which a number is added.
use super::{quantile::kth_smallest, ragged::Ragged};

/// From so many numbers for each list on, the lists are searched; fewer are put into one list.
const LONG: usize = 8;

/// A part of a sorted list, with the number that is added.
#[derive(Clone, Copy, Debug)]
struct Part<'a> {
    values: &'a [f64],
    shift: f64,
}

impl Part<'_> {
    fn middle(&self) -> Option<f64> {
        self.values.get(self.values.len() / 2).map(|value| value + self.shift)
    }

    /// How many numbers are below `pivot`, and how many are at most that.
    fn counts(&self, pivot: f64) -> [usize; 2] {
        // The sum rises with the value, after rounding too.
        let below = self.values.partition_point(|value| (value + self.shift).total_cmp(&pivot).is_lt());
        let through = self.values.partition_point(|value| (value + self.shift).total_cmp(&pivot).is_le());
        [below, through]
    }
}

/// Selects the k-th smallest of `v + shift of its list`, for sorted lists of numbers `v`.
///
/// With `n` numbers in `p` lists, a selection costs `O(p log² n)` where the lists are long, and `O(n)` where
/// they are short. The memory is kept from one selection to the next.
#[derive(Debug)]
pub(super) struct ShiftedSelection<'a> {
    lists: &'a Ragged<f64>,
    parts: Vec<Part<'a>>,
    middles: Vec<(f64, usize)>,
    values: Vec<f64>,
}

impl<'a> ShiftedSelection<'a> {
    /// For lists in ascending order.
    pub(super) fn new(lists: &'a Ragged<f64>) -> Self {
        Self { lists, parts: Vec::new(), middles: Vec::new(), values: Vec::new() }
    }

    /// The `rank`-th smallest, from 1. There is one shift for each list.
    pub(super) fn select(&mut self, shifts: impl Iterator<Item = f64>, rank: usize) -> Option<f64> {
        self.parts.clear();
        self.parts.extend(self.lists.iter().zip(shifts).map(|(values, shift)| Part { values, shift }));
        self.search(rank, LONG * self.lists.lists())
    }

    /// Leaves out numbers that are certainly below or above until `few` are left.
    fn search(&mut self, mut rank: usize, few: usize) -> Option<f64> {
        while self.parts.iter().map(|part| part.values.len()).sum::<usize>() > few {
            let pivot = self.pivot()?;
            let [mut below, mut through] = [0, 0];
            for part in &self.parts {
                let [b, t] = part.counts(pivot);
                below += b;
                through += t;
            }
            if (below + 1..=through).contains(&rank) {
                return Some(pivot);
            }
            let keep_lower = rank <= below;
            for part in &mut self.parts {
                let [b, t] = part.counts(pivot);
                let kept = if keep_lower { part.values.get(..b) } else { part.values.get(t..) };
                part.values = kept?;
            }
            if !keep_lower {
                rank -= through;
            }
            self.parts.retain(|part| !part.values.is_empty());
        }
        self.values.clear();
        for part in &self.parts {
            self.values.extend(part.values.iter().map(|value| value + part.shift));
        }
        kth_smallest(&mut self.values, rank)
    }

    /// The median of the middles of the parts, weighted with their lengths: a quarter of all numbers or more
    /// is on either side, the pivot included.
    fn pivot(&mut self) -> Option<f64> {
        self.middles.clear();
        let middles = self.parts.iter().filter_map(|part| Some((part.middle()?, part.values.len())));
        self.middles.extend(middles);
        self.middles.sort_unstable_by(|(a, _), (b, _)| a.total_cmp(b));
        let all: usize = self.middles.iter().map(|(_, length)| length).sum();
        let mut sum = 0;
        self.middles
            .iter()
            .find(|(_, length)| {
                sum += length;
                2 * sum >= all
            })
            .map(|(middle, _)| *middle)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_rank_that_no_number_has_gives_none() {
        let mut lists = Ragged::new();
        lists.push([1.0, 2.0]);
        let mut selection = ShiftedSelection::new(&lists);
        assert_eq!(selection.select([0.5].into_iter(), 2), Some(2.5));
        assert_eq!(selection.select([0.5].into_iter(), 3), None);
        assert_eq!(selection.select([0.5].into_iter(), 0), None);
    }

    proptest! {
        /// Against a sort of all numbers, for many ties and for none, and for every rank.
        #[test]
        fn the_search_finds_what_a_sort_finds(
            lists in prop::collection::vec((-1e3f64..1e3, prop::collection::vec(-9.0f64..9.0, 0..40)), 1..7),
            rounded in any::<bool>(),
            few in 0usize..20,
        ) {
            let mut ragged = Ragged::new();
            let (mut shifts, mut all) = (Vec::new(), Vec::new());
            for (shift, mut list) in lists {
                let shift = if rounded { (shift / 500.0).round() } else { shift };
                if rounded {
                    list.iter_mut().for_each(|value| *value = value.round());
                }
                list.sort_unstable_by(f64::total_cmp);
                all.extend(list.iter().map(|value| value + shift));
                shifts.push(shift);
                ragged.push(list);
            }
            all.sort_unstable_by(f64::total_cmp);
            let mut selection = ShiftedSelection::new(&ragged);
            for (at, expected) in all.iter().enumerate() {
                prop_assert_eq!(selection.select(shifts.iter().copied(), at + 1), Some(*expected));
                selection.select(shifts.iter().copied(), at + 1);
                let whole = ragged.iter().zip(&shifts).map(|(values, shift)| Part { values, shift: *shift });
                selection.parts = whole.collect();
                prop_assert_eq!(selection.search(at + 1, few), Some(*expected));
            }
        }
    }
}
