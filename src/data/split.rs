//! Splits into rows to train on and rows to test on.
use crate::{data::Dataset, Error, Result, Rows, Seed};
use rand::seq::SliceRandom;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Rows to train on and rows to test on, each in increasing order, with no row in both.
///
/// The number of test rows is `ceil(rows × fraction)`, as in scikit-learn's `train_test_split`. A split
/// depends on the arguments alone.
///
/// ```
/// use candle_ensemble::{data::Split, Seed};
///
/// let split = Split::random(10, 0.25, Seed::from(1))?;
/// assert_eq!((split.train.len(), split.test.len()), (7, 3));
///
/// // Two thirds of class 0 and one third of class 1, on both sides.
/// let split = Split::stratified(&[0, 0, 1, 0, 1, 0], 0.5, Seed::from(1))?;
/// assert_eq!(split.test.iter().filter(|row| [2, 4].contains(*row)).count(), 1);
/// # Ok::<(), candle_ensemble::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Split {
    /// Rows to train on.
    pub train: Rows,
    /// Rows to test on.
    pub test: Rows,
}

impl Split {
    /// Trains on the first `train` of `rows` rows and tests on the others: for data whose test set comes
    /// last, or in order of time.
    ///
    /// # Errors
    /// When one side is empty.
    pub fn first(rows: usize, train: usize) -> Result<Self> {
        let (rows, train) = (number(rows)?, number(train)?);
        if train == 0 || train >= rows {
            let must = format!("from 1 to one less than all rows, {rows}");
            return Err(Error::invalid("the number of rows to train on", must, train));
        }
        Ok(Self { train: (0..train).collect(), test: (train..rows).collect() })
    }

    /// Draws the test rows from all rows, each with the same probability.
    ///
    /// # Errors
    /// When the fraction is not between 0 and 1, or one side is empty.
    pub fn random(rows: usize, test_fraction: f64, seed: Seed) -> Result<Self> {
        Self::random_of(rows, test_size("rows", rows, test_fraction)?, seed)
    }

    /// As [`Self::random`], for a number of test rows, at most all.
    pub(crate) fn random_of(rows: usize, test: usize, seed: Seed) -> Result<Self> {
        let mut all = (0..number(rows)?).collect();
        Ok(Self::holding_out(rows, draw(&mut all, test, seed.child("split"))))
    }

    /// Draws the test rows from each stratum in proportion to its size.
    ///
    /// A stratum of `n` rows gets `test × n / rows` test rows, rounded down. The rows that are then missing
    /// from the total go to the strata with the largest remainders (Hamilton's method); ties go to the lower
    /// stratum id. Every stratum keeps a row to train on: a stratum of one row has no test row and is left
    /// out of the shares.
    ///
    /// # Errors
    /// When the fraction is not between 0 and 1, one side is empty, or there are too few rows to leave one of
    /// each stratum to train on.
    pub fn stratified(strata: &[u32], test_fraction: f64, seed: Seed) -> Result<Self> {
        Self::stratified_of(strata, test_size("rows", strata.len(), test_fraction)?, seed)
    }

    /// As [`Self::stratified`], for a number of test rows.
    pub(crate) fn stratified_of(strata: &[u32], size: usize, seed: Seed) -> Result<Self> {
        let mut rows = members(strata)?;
        let sizes: Vec<_> = rows.values().map(Vec::len).collect();
        let shares = test_shares(&sizes, size)?;
        let drawn = rows
            .iter_mut()
            .zip(shares)
            .flat_map(|((&stratum, rows), share)| draw(rows, share, seed.nth("split", stratum.into())));
        Ok(Self::holding_out(strata.len(), drawn.collect()))
    }

    /// Draws whole groups for the test side: `ceil(groups × fraction)` of them, as scikit-learn's
    /// `GroupShuffleSplit`. The fraction is one of groups, not of rows.
    ///
    /// # Errors
    /// When the fraction is not between 0 and 1, or one side is empty.
    pub fn grouped(groups: &[u32], test_fraction: f64, seed: Seed) -> Result<Self> {
        Self::grouped_of(groups, test_size("groups", members(groups)?.len(), test_fraction)?, seed)
    }

    /// As [`Self::grouped`], for a number of test groups, at most all.
    pub(crate) fn grouped_of(groups: &[u32], size: usize, seed: Seed) -> Result<Self> {
        let members = members(groups)?;
        let drawn = draw(&mut members.keys().copied().collect(), size, seed.child("split"));
        let test = drawn.iter().filter_map(|group| members.get(group)).flatten().copied();
        Ok(Self::holding_out(groups.len(), test.collect()))
    }

    /// Splits by what the data has: [`Self::grouped`] where it has groups, otherwise [`Self::stratified`]
    /// where it has strata, otherwise [`Self::random`].
    ///
    /// # Errors
    /// As those methods.
    pub fn of(data: &dyn Dataset, test_fraction: f64, seed: Seed) -> Result<Self> {
        match (data.groups(), data.strata()) {
            (Some(groups), _) => Self::grouped(groups, test_fraction, seed),
            (None, Some(strata)) => Self::stratified(strata, test_fraction, seed),
            (None, None) => Self::random(data.rows(), test_fraction, seed),
        }
    }

    fn holding_out(rows: usize, mut test: Rows) -> Self {
        test.sort_unstable();
        let mut held = test.iter().copied().peekable();
        let train = (0..rows as u32).filter(|row| held.next_if_eq(row).is_none()).collect();
        Self { train, test }
    }
}

/// `rows` as a `u32`, the type of row numbers.
fn number(rows: usize) -> Result<u32> {
    u32::try_from(rows)
        .map_err(|_| Error::invalid("the number of rows", format!("at most {}", u32::MAX), rows))
}

/// The number of rows or groups to test on, of so many.
pub(crate) fn test_size(what: &str, count: usize, fraction: f64) -> Result<usize> {
    if !(fraction > 0. && fraction < 1.) {
        return Err(Error::invalid("the test fraction", "between 0 and 1", fraction));
    }
    let size = (count as f64 * fraction).ceil() as usize;
    if size == 0 || size >= count {
        let must = format!("large enough that a test fraction of {fraction} leaves some on both sides");
        return Err(Error::invalid(format!("the number of {what}"), must, count));
    }
    Ok(size)
}

/// The rows of each stratum or group.
pub(crate) fn members(ids: &[u32]) -> Result<BTreeMap<u32, Rows>> {
    let mut rows = BTreeMap::<_, Rows>::new();
    for (&id, row) in ids.iter().zip(0..number(ids.len())?) {
        rows.entry(id).or_default().push(row);
    }
    Ok(rows)
}

/// `n` of the rows, drawn without replacement.
fn draw(rows: &mut Rows, n: usize, seed: Seed) -> Rows {
    rows.partial_shuffle(&mut seed.rng(), n).0.to_vec()
}

/// How many rows of each stratum to test on, where strata have so many rows and `size` rows in all are tested on. Each
/// stratum keeps a row to train on; those of one row are left out of the shares.
pub(crate) fn test_shares(sizes: &[usize], size: usize) -> Result<Vec<usize>> {
    let several: Vec<usize> = sizes.iter().copied().filter(|size| *size > 1).collect();
    let mut shares = shares(&several, size)
        .ok_or_else(|| {
            let must = format!("enough for {size} rows to test on and one of each stratum to train on");
            Error::invalid("the number of rows", must, sizes.iter().sum::<usize>())
        })?
        .into_iter();
    Ok(sizes.iter().map(|size| if *size > 1 { shares.next().unwrap_or_default() } else { 0 }).collect())
}

/// Divides `total` in proportion to `sizes`, by largest remainders, so that each share is below its size.
fn shares(sizes: &[usize], total: usize) -> Option<Vec<usize>> {
    apportion(sizes, total, |size| size.saturating_sub(1))
}

/// Divides `total` in proportion to `sizes`, by largest remainders (Hamilton's method), with `max` of a size
/// as the limit of its share; `None` where the limits add up to less than `total`.
pub(crate) fn apportion(sizes: &[usize], total: usize, max: impl Fn(usize) -> usize) -> Option<Vec<usize>> {
    let all: usize = sizes.iter().sum();
    if all == 0 || total > sizes.iter().map(|&n| max(n)).fold(0, usize::saturating_add) {
        return None;
    }
    // In integers, so that equal remainders compare equal; u128 holds their products.
    let quota = |n: usize| n as u128 * total as u128;
    let mut shares: Vec<_> = sizes.iter().map(|&n| (quota(n) / all as u128) as usize).collect();
    let mut missing = total - shares.iter().sum::<usize>();
    let mut order: Vec<_> = (0..sizes.len()).collect();
    order.sort_by_key(|&i| std::cmp::Reverse(sizes.get(i).map(|&n| quota(n) % all as u128)));
    // The first round distributes all that is missing, unless some strata are at their limit.
    while missing > 0 {
        for &i in &order {
            if let (Some(share), Some(&size)) = (shares.get_mut(i), sizes.get(i))
                && missing > 0
                && *share < max(size)
            {
                *share += 1;
                missing -= 1;
            }
        }
    }
    Some(shares)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::TensorDataset;
    use candle_core::{Device, Tensor};
    use proptest::prelude::*;

    fn covers(split: &Split, rows: usize) {
        let mut all = [&split.train[..], &split.test[..]].concat();
        all.sort_unstable();
        assert_eq!(all, (0..rows as u32).collect::<Rows>(), "each row is on one side");
        assert!(split.train.is_sorted() && split.test.is_sorted());
        assert!(!split.train.is_empty() && !split.test.is_empty());
    }

    #[test]
    fn the_first_rows_are_trained_on() {
        let split = Split::first(5, 3).unwrap();
        assert_eq!((split.train, split.test), (vec![0, 1, 2], vec![3, 4]));
        assert!(Split::first(5, 0).is_err() && Split::first(5, 5).is_err() && Split::first(0, 0).is_err());
    }

    /// Sizes of scikit-learn 1.9.1: `[len(x) for x in train_test_split(range(n), test_size=f)]`.
    #[test]
    fn sizes_are_those_of_scikit_learn() {
        for (n, fraction, train, test) in
            [(10, 0.25, 7, 3), (100, 0.07, 92, 8), (150, 0.2, 120, 30), (7, 0.5, 3, 4), (2, 0.01, 1, 1)]
        {
            let split = Split::random(n, fraction, Seed::from(0)).unwrap();
            assert_eq!((split.train.len(), split.test.len()), (train, test), "{n} {fraction}");
        }
    }

    #[test]
    fn bad_fractions_and_empty_sides_are_errors() {
        for fraction in [0., 1., -0.1, 1.1, f64::NAN, f64::INFINITY] {
            assert!(Split::random(10, fraction, Seed::from(0)).is_err(), "{fraction}");
            assert!(Split::stratified(&[0, 1, 0, 1], fraction, Seed::from(0)).is_err(), "{fraction}");
            assert!(Split::grouped(&[0, 1, 0, 1], fraction, Seed::from(0)).is_err(), "{fraction}");
        }
        for rows in [0, 1] {
            assert!(Split::random(rows, 0.5, Seed::from(0)).is_err());
            assert!(Split::stratified(&vec![0; rows], 0.5, Seed::from(0)).is_err());
        }
        assert!(Split::random(10, 0.95, Seed::from(0)).is_err(), "no row is left to train on");
        assert!(Split::stratified(&[0, 1, 2, 3], 0.5, Seed::from(0)).is_err(), "one row each");
        assert!(Split::stratified(&[0, 0, 1, 1], 0.75, Seed::from(0)).is_err());
        assert!(Split::grouped(&[3, 3, 3], 0.5, Seed::from(0)).is_err(), "one group");
        assert!(Split::random(u32::MAX as usize + 1, 0.5, Seed::from(0)).is_err());
    }

    #[test]
    fn shares_by_hand() {
        assert_eq!(shares(&[50, 30, 20], 10), Some(vec![5, 3, 2]));
        // Quotas 1.5, 1.5, 3.0: the tie goes to the first.
        assert_eq!(shares(&[5, 5, 10], 6), Some(vec![2, 1, 3]));
        // Quotas 3.3, 3.3, 3.3.
        assert_eq!(shares(&[10, 10, 10], 10), Some(vec![4, 3, 3]));
        // Quotas 1.6, 6.4: the remainder of the first is larger, but it must keep a row to train on.
        assert_eq!(shares(&[2, 8], 8), Some(vec![1, 7]));
        assert_eq!(shares(&[2, 2, 2], 3), Some(vec![1, 1, 1]));
        assert_eq!(shares(&[2, 2, 2], 4), None);
    }

    #[test]
    fn a_class_of_one_row_is_trained_on() {
        for seed in 0..20 {
            let split = Split::stratified(&[7, 1, 1, 1, 1, 9], 0.5, Seed::from(seed)).unwrap();
            covers(&split, 6);
            assert_eq!(split.test.len(), 3);
            assert!(split.train.contains(&0) && split.train.contains(&5));
        }
    }

    #[test]
    fn splits_equal_the_golden_ones() {
        assert_eq!(Split::random(20, 0.25, Seed::from(42)).unwrap().test, GOLDEN_RANDOM);
        let strata: Vec<_> = (0..20).map(|row| row % 2).collect();
        assert_eq!(Split::stratified(&strata, 0.3, Seed::from(42)).unwrap().test, GOLDEN_STRATIFIED);
        let groups: Vec<_> = (0..20).map(|row| row / 2).collect();
        assert_eq!(Split::grouped(&groups, 0.3, Seed::from(42)).unwrap().test, GOLDEN_GROUPED);
    }
    const GOLDEN_RANDOM: [u32; 5] = [2, 5, 10, 15, 17];
    const GOLDEN_STRATIFIED: [u32; 6] = [0, 2, 7, 8, 15, 19];
    const GOLDEN_GROUPED: [u32; 6] = [8, 9, 10, 11, 12, 13];

    /// Each of 30 rows is held out with probability 0.4: over 4,000 seeds, 1,600 times with a standard
    /// deviation of 31; 5 of them are exceeded by chance with probability 2e-5 over all rows and both kinds.
    #[test]
    fn every_row_is_equally_likely_to_be_tested() {
        let strata: Vec<u32> = (0..30).map(|row| row % 3).collect();
        let (mut random, mut stratified) = ([0i32; 30], [0i32; 30]);
        for seed in 0..4000 {
            let count = |counts: &mut [i32; 30], split: Split| {
                split.test.iter().for_each(|&row| counts[row as usize] += 1);
            };
            count(&mut random, Split::random(30, 0.4, Seed::from(seed)).unwrap());
            count(&mut stratified, Split::stratified(&strata, 0.4, Seed::from(seed)).unwrap());
        }
        for count in random.iter().chain(&stratified) {
            assert!((count - 1600).abs() < 155, "{count}");
        }
    }

    #[test]
    fn the_default_split_depends_on_groups_and_strata() {
        let x = Tensor::zeros((8, 1), candle_core::DType::F32, &Device::Cpu).unwrap();
        let y = Tensor::new(&[0u32, 0, 0, 0, 1, 1, 1, 1], &Device::Cpu).unwrap();
        let classes = TensorDataset::classification(x.clone(), &y).unwrap();
        let numbers = TensorDataset::regression(x.clone(), &x).unwrap();
        let seed = Seed::from(3);
        assert_eq!(Split::of(&numbers, 0.5, seed).unwrap(), Split::random(8, 0.5, seed).unwrap());
        let ids = [0, 0, 0, 0, 1, 1, 1, 1];
        assert_eq!(Split::of(&classes, 0.5, seed).unwrap(), Split::stratified(&ids, 0.5, seed).unwrap());
        let grouped = classes.with_groups(ids.to_vec()).unwrap();
        assert_eq!(Split::of(&grouped, 0.5, seed).unwrap(), Split::grouped(&ids, 0.5, seed).unwrap());
    }

    proptest! {
        #[test]
        fn a_random_split_covers_and_repeats(n in 30usize..200, fraction in 0.2f64..0.8, seed: u64) {
            let split = Split::random(n, fraction, Seed::from(seed)).unwrap();
            covers(&split, n);
            prop_assert_eq!(split.test.len(), (n as f64 * fraction).ceil() as usize);
            prop_assert_eq!(&split, &Split::random(n, fraction, Seed::from(seed)).unwrap());
            // 6 rows of 30 can be drawn in 593,775 ways.
            prop_assert_ne!(&split, &Split::random(n, fraction, Seed::from(seed ^ 1)).unwrap());
        }

        #[test]
        fn a_stratified_split_keeps_proportions(
            strata in proptest::collection::vec(0u32..5, 40..200),
            fraction in 0.2f64..0.7,
            seed: u64,
        ) {
            let mut strata = strata;
            strata.extend((0..5).flat_map(|c| [c; 8])); // large enough that no share reaches its limit
            let split = Split::stratified(&strata, fraction, Seed::from(seed)).unwrap();
            covers(&split, strata.len());
            prop_assert_eq!(split.test.len(), (strata.len() as f64 * fraction).ceil() as usize);
            for class in 0..5 {
                let count = |rows: &[u32]| rows.iter().filter(|&&r| strata[r as usize] == class).count() as f64;
                let share = (count(&split.train) + count(&split.test)) / strata.len() as f64;
                prop_assert!((count(&split.test) - share * split.test.len() as f64).abs() < 1.);
            }
            prop_assert_eq!(&split, &Split::stratified(&strata, fraction, Seed::from(seed)).unwrap());
            prop_assert_ne!(&split, &Split::stratified(&strata, fraction, Seed::from(seed ^ 1)).unwrap());
        }

        /// For all sizes, the shares add up to the total, every stratum keeps a row, and only impossible
        /// splits fail.
        #[test]
        fn shares_add_up(sizes in proptest::collection::vec(2usize..40, 1..12), fraction in 0f64..1.) {
            let all: usize = sizes.iter().sum();
            let total = (all as f64 * fraction) as usize;
            match shares(&sizes, total) {
                None => prop_assert!(total > all - sizes.len()),
                Some(shares) => {
                    prop_assert_eq!(shares.iter().sum::<usize>(), total);
                    prop_assert!(shares.iter().zip(&sizes).all(|(share, size)| share < size));
                }
            }
        }

        #[test]
        fn a_group_is_never_split(groups in proptest::collection::vec(0u32..12, 30..80), seed: u64) {
            let split = Split::grouped(&groups, 0.3, Seed::from(seed)).unwrap();
            covers(&split, groups.len());
            let of = |rows: &[u32]| -> std::collections::BTreeSet<u32> {
                rows.iter().map(|&r| groups[r as usize]).collect()
            };
            let (train, test) = (of(&split.train), of(&split.test));
            prop_assert!(train.is_disjoint(&test));
            prop_assert_eq!(test.len(), ((train.len() + test.len()) as f64 * 0.3).ceil() as usize);
        }
    }
}
