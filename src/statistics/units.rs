//! What is drawn at random: rows, whole groups, or bins of many of either.
use super::inputs::check_groups;
use crate::{Error, Result, Seed};
use rand::RngCore;
use rayon::prelude::*;

/// The number of bins at which more units are dealt at random. The variance between so many bins is known to
/// 1.6 %, and so the width of an interval to 0.8 %.
pub(super) const BINS: usize = 1 << 13;

/// How many units one generator deals to bins. It is fixed, so that threads do not matter.
const BLOCK: usize = 1 << 16;

/// The sums of some columns of numbers over the rows of each unit.
pub(super) struct Units {
    columns: Vec<Vec<f64>>,
}

impl Units {
    /// Each row is a unit, or each group of rows, in ascending order of its number. All columns have the same
    /// number of rows.
    ///
    /// # Errors
    /// When there is another number of group numbers, or there are fewer than 2 groups.
    pub(super) fn new(columns: &[&[f64]], groups: Option<&[u32]>) -> Result<Self> {
        let Some(groups) = groups else {
            return Ok(Self { columns: columns.iter().map(|column| column.to_vec()).collect() });
        };
        check_groups(groups, columns.first().map_or(0, |column| column.len()), "row")?;
        let (places, count) = places(groups);
        if count < 2 {
            return Err(Error::invalid("number of groups", "at least 2 for an interval", count));
        }
        Ok(Self { columns: columns.iter().map(|column| sums(column, &places, count)).collect() })
    }

    pub(super) fn len(&self) -> usize {
        self.columns.first().map_or(0, Vec::len)
    }

    pub(super) fn columns(&self) -> &[Vec<f64>] {
        &self.columns
    }

    /// The only column, without its zeros, in bins.
    pub(super) fn into_nonzero(mut self, seed: Seed) -> Vec<f64> {
        self.columns.truncate(1);
        self.columns.iter_mut().for_each(|column| column.retain(|sum| *sum != 0.0));
        self.in_bins(seed).columns.pop().unwrap_or_default()
    }

    /// The same units, if there are at most [`BINS`]; otherwise bins to which each is dealt at random. One pass
    /// over the units.
    pub(super) fn in_bins(self, seed: Seed) -> Self {
        if self.len() <= BINS {
            return self;
        }
        let mut bins = vec![0u32; self.len()];
        bins.par_chunks_mut(BLOCK).enumerate().for_each(|(block, bins)| {
            let mut rng = seed.nth("bins", block as u64).rng();
            // The high bits, of which BINS takes 13.
            bins.iter_mut().for_each(|bin| *bin = rng.next_u32() >> (32 - BINS.trailing_zeros()));
        });
        Self { columns: self.columns.par_iter().map(|column| sums(column, &bins, BINS)).collect() }
    }
}

/// The sums of the values at each place.
fn sums(values: &[f64], places: &[u32], count: usize) -> Vec<f64> {
    let mut sums = vec![0.0; count];
    places.iter().zip(values).for_each(|(&place, value)| sums[place as usize] += value);
    sums
}

/// The place of each row's group in the ascending order of the groups, and the number of groups.
fn places(groups: &[u32]) -> (Vec<u32>, usize) {
    let largest = groups.iter().copied().max().map_or(0, |largest| largest as usize);
    // Numbers without large gaps have a table; others are sorted.
    if largest < 8 * groups.len() {
        let mut table = vec![0u32; largest + 1];
        groups.iter().for_each(|&group| table[group as usize] = 1);
        let mut count = 0;
        for place in &mut table {
            count += std::mem::replace(place, count);
        }
        return (groups.iter().map(|&group| table[group as usize]).collect(), count as usize);
    }
    let mut numbers = groups.to_vec();
    numbers.sort_unstable();
    numbers.dedup();
    let place = |group: &u32| numbers.partition_point(|number| number < group) as u32;
    (groups.iter().map(place).collect(), numbers.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_are_in_the_order_of_their_numbers() {
        assert_eq!(places(&[7, 3, 7, 9, 3]), (vec![1, 0, 1, 2, 0], 3));
        assert_eq!(places(&[4_000_000_000, 3, 4_000_000_000, 9, 3]), (vec![2, 0, 2, 1, 0], 3));
    }

    #[test]
    fn bins_have_all_rows_and_no_order() {
        let (values, ones): (Vec<f64>, Vec<f64>) = (0..200_000).map(|i| (f64::from(i), 1.0)).unzip();
        let bins = Units::new(&[&values, &ones], None).unwrap().in_bins(Seed::from(1));
        let total = |column: usize| bins.columns()[column].iter().sum::<f64>();
        assert_eq!((bins.len(), total(0), total(1)), (BINS, 199_999.0 * 100_000.0, 200_000.0));
        // Sizes are binomial: mean 24.4, variance 24.4, with a standard error of 1.6 %.
        let mean = 200_000.0 / BINS as f64;
        let variance = bins.columns()[1].iter().map(|n| (n - mean) * (n - mean)).sum::<f64>() / BINS as f64;
        assert!((variance / mean - 1.0).abs() < 0.063, "{variance}");
    }
}
