//! The bootstrap of means, and of functions of means, in linear time.
use super::{
    bootstrap::{check_resamples, percentiles},
    inputs::{check_differences, check_finite, check_groups},
    interval::check_level,
    units::Units,
};
use crate::{statistics::Interval, Error, Result, Seed};
use rand::{Rng, RngCore};
use rayon::prelude::*;

/// From so many units on, the number of times that each is drawn is a Poisson variable of its own.
const POISSON_FROM: usize = 1024;

/// Computes the percentile bootstrap interval for the mean of differences by row, for example of two
/// predictors' losses on the rows of one test set.
///
/// ```text
/// quantiles (1 ∓ level) / 2 of the means of n rows drawn with replacement
/// ```
///
/// Rows are drawn `resamples` times, and quantiles are interpolated linearly. One seed always gives the same
/// interval, for any number of threads.
///
/// Use it for many independent rows; with fewer than about 30 it is too narrow. Where rows come in groups,
/// such as several rows of one patient, use [`cluster_bootstrap_interval`]. A few thousand resamples are
/// usual.
///
/// The cost is linear in the rows, and the scheme depends on their number `n`:
///
/// | Rows | A resample |
/// |---|---|
/// | below 1024 | draws `n` rows with replacement |
/// | from 1024 on | draws each row a number of times that is a Poisson variable with mean 1 |
/// | above 16,384 | as before, for 16,384 bins to which the rows were dealt at random in one pass |
///
/// Poisson numbers need no random access, and the mean over the drawn rows has the same variance. The bins
/// add an error of 0.6 % to the width of the interval, and a resample no longer costs more with more rows.
///
/// # Errors
/// When there are fewer than 2 differences, one is NaN or infinite, the level is not between 0 and 1, or
/// there are fewer resamples than `2 / (1 − level)`, which would leave less than one beyond each end.
///
/// # Examples
/// ```
/// use candle_ensemble::statistics::bootstrap_interval;
///
/// // Only the first predictor is right on 30 of 200 rows, only the second on 10.
/// let mut differences = vec![0.0; 200];
/// differences[..30].fill(1.0);
/// differences[30..40].fill(-1.0);
/// let gain = bootstrap_interval(&differences, 0.95, 2000, 1)?;
/// assert!((gain.estimate - 0.1).abs() < 1e-15);
/// assert!(gain.low > 0.02 && gain.high < 0.18);
/// # Ok::<(), candle_ensemble::Error>(())
/// ```
///
/// Sources: Efron 1979, doi:10.1214/aos/1176344552; for Poisson numbers Chamandy, Muralidharan, Najmi and
/// Naidu 2012, <https://research.google/pubs/pub43157/>; for bins Wolter 2007,
/// doi:10.1007/978-0-387-35099-8, chapter 2 (the random group method).
pub fn bootstrap_interval(
    differences: &[f64],
    level: f64,
    resamples: usize,
    seed: impl Into<Seed>,
) -> Result<Interval> {
    weighted_bootstrap(differences, None, None, (level, resamples), seed.into())
}

/// Computes the percentile bootstrap interval for the mean of differences by row, where rows of one group
/// depend on each other: whole groups are drawn.
///
/// ```text
/// quantiles (1 ∓ level) / 2 of Σ_g s_g / Σ_g n_g over G groups g drawn with replacement
/// ```
///
/// Here `G` is the number of groups, `s_g` the sum of the differences of a group, and `n_g` the number of its
/// rows. `groups` has the number of each row's group. With one row in each group it is
/// [`bootstrap_interval`], apart from the order of the rows.
///
/// Use it where several rows come from one patient, user, document or day. Their differences are alike, so
/// there is less to learn from them than from as many independent rows, and [`bootstrap_interval`] would be
/// too narrow: for equal differences within groups of `n` rows by the factor `√n`. What counts is the number
/// of groups; with fewer than about 30 the interval is too narrow.
///
/// The cost is one pass over the rows, and then that of [`bootstrap_interval`] for as many rows as there are
/// groups.
///
/// # Errors
/// As for [`bootstrap_interval`], and when there are fewer than 2 groups, or not as many group numbers as
/// differences.
///
/// # Examples
/// ```
/// use candle_ensemble::statistics::{bootstrap_interval, cluster_bootstrap_interval};
///
/// // 20 groups of 50 rows; all rows of a group have the same difference.
/// let groups: Vec<u32> = (0..1000).map(|row| row / 50).collect();
/// let differences: Vec<f64> = groups.iter().map(|group| f64::from(group % 5) - 2.0).collect();
/// let rows = bootstrap_interval(&differences, 0.95, 2000, 1)?;
/// let whole = cluster_bootstrap_interval(&differences, &groups, 0.95, 2000, 1)?;
/// let wider = (whole.high - whole.low) / (rows.high - rows.low);
/// assert!(wider > 6.0 && wider < 8.0); // √50 = 7.1
/// # Ok::<(), candle_ensemble::Error>(())
/// ```
///
/// Sources: Davison and Hinkley 1997, doi:10.1017/CBO9780511802843, section 3.8; Field and Welsh 2007,
/// doi:10.1111/j.1467-9868.2007.00593.x.
pub fn cluster_bootstrap_interval(
    differences: &[f64],
    groups: &[u32],
    level: f64,
    resamples: usize,
    seed: impl Into<Seed>,
) -> Result<Interval> {
    check_groups(groups, differences.len(), "difference")?;
    weighted_bootstrap(differences, None, Some(groups), (level, resamples), seed.into())
}

/// Computes the percentile bootstrap interval for any function of means over rows, in linear time.
///
/// ```text
/// quantiles (1 ∓ level) / 2 of statistic(mean of column 1, mean of column 2, …) over drawn rows
/// ```
///
/// Most metrics are functions of means of numbers that each row has: the root mean squared error is the root
/// of the mean of squared errors, R² needs the means of squared errors, targets and squared targets, and a
/// weighted mean is the ratio of the means of `w x` and `w`. `columns` has such numbers, one slice for each
/// mean, with a number for each row; `statistic` gets the means in this order. It must return a finite number.
///
/// With `groups`, whole groups are drawn, as in [`cluster_bootstrap_interval`].
///
/// Use it instead of [`bootstrap_statistic`](crate::statistics::bootstrap_statistic) wherever the statistic is
/// such a function: the cost is that of [`bootstrap_interval`], while `bootstrap_statistic` passes over all
/// rows for each resample.
///
/// # Errors
/// As for [`bootstrap_interval`]; when there are no columns, or columns have different lengths; when there are
/// fewer than 2 groups, or not as many group numbers as rows; when the statistic is NaN or infinite.
///
/// # Examples
/// ```
/// use candle_ensemble::statistics::bootstrap_means;
///
/// // The difference of two root mean squared errors, from the squared errors of each row.
/// let first: Vec<f64> = (0..5000).map(|row| f64::from(row % 7) / 10.0).collect();
/// let second: Vec<f64> = (0..5000).map(|row| f64::from(row % 7) / 10.0 + f64::from(row % 3) / 10.0).collect();
/// let gain = bootstrap_means(&[&first, &second], None, 0.95, 2000, 1, |means| {
///     means[1].sqrt() - means[0].sqrt()
/// })?;
/// assert!(gain.low > 0.08 && gain.high < 0.09);
/// # Ok::<(), candle_ensemble::Error>(())
/// ```
///
/// Source: Davison and Hinkley 1997, doi:10.1017/CBO9780511802843, chapter 2.
pub fn bootstrap_means(
    columns: &[&[f64]],
    groups: Option<&[u32]>,
    level: f64,
    resamples: usize,
    seed: impl Into<Seed>,
    statistic: impl Fn(&[f64]) -> f64 + Sync,
) -> Result<Interval> {
    check_level(level)?;
    let Some(rows) = columns.first().map(|column| column.len()) else {
        return Err(Error::invalid("number of columns", "at least 1", 0));
    };
    for (i, column) in columns.iter().enumerate() {
        if column.len() != rows {
            let what = format!("number of rows of column {i}");
            return Err(Error::invalid(what, format!("{rows}, as many as of column 0"), column.len()));
        }
        check_finite(&format!("column {i}, row"), column)?;
    }
    if rows < 2 {
        return Err(Error::invalid("number of rows", "at least 2", rows));
    }
    let ones = vec![1.0; rows];
    let with_ones: Vec<&[f64]> = columns.iter().copied().chain([&ones[..]]).collect();
    let units = Units::new(&with_ones, groups)?;
    of_sums(units, (level, resamples), seed.into(), |sums| {
        let Some((count, sums)) = sums.split_last_mut() else { return f64::NAN };
        sums.iter_mut().for_each(|sum| *sum /= *count);
        statistic(sums)
    })
}

/// The bootstrap interval for the weighted mean `Σ w d / Σ w`. Groups are drawn where there are groups, rows
/// otherwise. Rows of weight 0 are left out.
pub(crate) fn weighted_bootstrap(
    differences: &[f64],
    weights: Option<&[f64]>,
    groups: Option<&[u32]>,
    (level, resamples): (f64, usize),
    seed: Seed,
) -> Result<Interval> {
    check_level(level)?;
    check_differences(differences)?;
    let weight = |row: usize| weights.map_or(1.0, |w| w[row]);
    let rows = || (0..differences.len()).filter(|row| weight(*row) > 0.0);
    let (terms, used): (Vec<f64>, Vec<f64>) =
        rows().map(|row| (weight(row) * differences[row], weight(row))).unzip();
    let groups: Option<Vec<u32>> = groups.map(|groups| rows().map(|row| groups[row]).collect());
    if terms.len() < 2 && groups.is_none() {
        let what = "number of rows with a weight above 0";
        return Err(Error::invalid(what, "at least 2 for an interval", terms.len()));
    }
    let units = Units::new(&[&terms, &used], groups.as_deref())?;
    of_sums(units, (level, resamples), seed, |sums| match sums {
        [sum, weights] => *sum / *weights,
        _ => f64::NAN,
    })
}

/// The bootstrap interval for a function of the sums over drawn units. Each resample has a generator of its
/// own, so that threads do not matter.
fn of_sums(
    units: Units,
    (level, resamples): (f64, usize),
    seed: Seed,
    statistic: impl Fn(&mut [f64]) -> f64 + Sync,
) -> Result<Interval> {
    check_resamples(level, resamples)?;
    let mut sums: Vec<f64> = units.columns().iter().map(|column| column.iter().sum()).collect();
    let estimate = statistic(&mut sums);
    let units = units.in_bins(seed);
    let buffers = || (vec![0.0; units.len()], vec![0u8; 2 * units.len()], sums.clone());
    let values = (0..resamples as u64).into_par_iter().map_init(buffers, |(times, bytes, sums), resample| {
        draw(times, bytes, &mut seed.nth("bootstrap", resample).rng());
        sums.iter_mut().zip(units.columns()).for_each(|(sum, column)| *sum = dot(times, column));
        statistic(sums)
    });
    percentiles(estimate, values.collect(), level)
}

/// Draws how many times each unit is in a resample.
fn draw(times: &mut [f64], bytes: &mut [u8], rng: &mut (impl Rng + RngCore)) {
    if times.len() < POISSON_FROM {
        times.fill(0.0);
        let count = times.len() as u32;
        (0..count).for_each(|_| times[rng.random_range(0..count) as usize] += 1.0);
        return;
    }
    rng.fill_bytes(bytes);
    for (times, pair) in times.iter_mut().zip(bytes.as_chunks::<2>().0) {
        *times = poisson(u16::from_le_bytes(*pair));
    }
}

/// `65536 P(X ≤ j)` for a Poisson variable with mean 1 and j from 0 to 7.
const CUMULATIVE: [u16; 8] = [24109, 48219, 60273, 64292, 65296, 65497, 65531, 65535];

/// A Poisson variable with mean 1 from 16 random bits, by inversion. Its mean is 1,
/// and its variance 0.99997.
fn poisson(bits: u16) -> f64 {
    f64::from(CUMULATIVE.iter().map(|&bound| u16::from(bits >= bound)).sum::<u16>())
}

/// The sum of products, in eight lanes.
fn dot(a: &[f64], b: &[f64]) -> f64 {
    let ((a, a_rest), (b, b_rest)) = (a.as_chunks::<8>(), b.as_chunks::<8>());
    let mut lanes = [0.0; 8];
    for (a, b) in a.iter().zip(b) {
        for ((lane, a), b) in lanes.iter_mut().zip(a).zip(b) {
            *lane += a * b;
        }
    }
    lanes.iter().sum::<f64>() + a_rest.iter().zip(b_rest).map(|(a, b)| a * b).sum::<f64>()
}
