//! Confidence intervals for the difference between the scores of two predictors.
use crate::{metrics::Summary, Error, Result, Seed};
use rand::{seq::SliceRandom, Rng};
use serde::{Deserialize, Serialize};
use statrs::distribution::{ContinuousCDF, Normal, StudentsT};
use std::{collections::BTreeMap, f64::consts::PI};

/// An estimate with its confidence interval.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Interval {
    /// The estimate from the data.
    pub estimate: f64,
    /// The lower end.
    pub low: f64,
    /// The upper end.
    pub high: f64,
    /// The confidence level, above 0 and below 1: the share of such intervals, over repetitions, that contain
    /// the true value.
    pub level: f64,
}

impl Interval {
    /// Returns whether `value` is between the ends. When an interval of differences does not contain 0, one
    /// predictor is better.
    #[must_use]
    pub fn contains(&self, value: f64) -> bool {
        (self.low..=self.high).contains(&value)
    }
}

/// Computes Student's t interval for the mean of independent differences.
///
/// ```text
/// mean ± t sd / sqrt(n)
/// ```
///
/// `t` is the quantile of Student's distribution with `n − 1` degrees of freedom. There is one difference for
/// each repetition, in which both predictors have the same data.
///
/// Use it for a few independent repetitions, such as seeds. It is exact for normal differences, and close for
/// others unless they are few and skewed. For folds and repeated splits of one data set it is far too narrow;
/// use [`corrected_t_interval`]. Equal differences give an interval of width 0.
///
/// # Errors
/// When there are fewer than 2 differences, one is NaN or infinite, or the level is not between 0 and 1.
///
/// # Examples
/// ```
/// use candle_ensemble::metrics::t_interval;
///
/// let gain = t_interval(&[0.02, 0.03, 0.01, 0.02], 0.95)?;
/// assert!((gain.estimate - 0.02).abs() < 1e-15);
/// assert!(!gain.contains(0.0));
/// # Ok::<(), candle_ensemble::Error>(())
/// ```
///
/// Source: Student 1908, doi:10.1093/biomet/6.1.1.
pub fn t_interval(differences: &[f64], level: f64) -> Result<Interval> {
    corrected(differences, level, 0.0)
}

/// Computes the corrected resampled t interval for differences from folds or repeated splits of one data set.
///
/// ```text
/// mean ± t sd sqrt(1/n + test_rows/train_rows)
/// ```
///
/// Such differences share training rows, so they vary less than independent ones would, and [`t_interval`] is
/// far too narrow. The added term corresponds to a correlation of `test_rows / (test_rows + train_rows)`
/// between them. For k folds, `test_rows / train_rows` is `1 / (k − 1)`.
///
/// # Errors
/// When there are fewer than 2 differences, one is NaN or infinite, the level is not between 0 and 1, or a
/// number of rows is 0.
///
/// # Examples
/// ```
/// use candle_ensemble::metrics::{corrected_t_interval, t_interval};
///
/// let folds = [0.02, 0.03, 0.01, 0.02, 0.04];
/// let (naive, corrected) = (t_interval(&folds, 0.95)?, corrected_t_interval(&folds, 200, 800, 0.95)?);
/// let wider = (corrected.high - corrected.low) / (naive.high - naive.low);
/// assert!((wider - 1.5).abs() < 1e-12); // sqrt((1/5 + 200/800) / (1/5))
/// # Ok::<(), candle_ensemble::Error>(())
/// ```
///
/// Source: Nadeau and Bengio 2003, doi:10.1023/A:1024068626366.
pub fn corrected_t_interval(
    differences: &[f64],
    test_rows: usize,
    train_rows: usize,
    level: f64,
) -> Result<Interval> {
    for (what, rows) in [("test_rows", test_rows), ("train_rows", train_rows)] {
        if rows == 0 {
            return Err(Error::invalid(what, "at least 1", rows));
        }
    }
    corrected(differences, level, test_rows as f64 / train_rows as f64)
}

/// The largest number of units that are resampled one by one. More are dealt at random into so many bins of
/// equal size, which are then resampled. The variance between this many bins is known to 1.4 %, and so the
/// width of an interval to 0.7 %.
const MAX_UNITS: usize = 10_000;

/// Computes the percentile bootstrap interval for the mean of differences by row, for example of two
/// predictors' losses on the rows of one test set.
///
/// ```text
/// quantiles (1 ∓ level) / 2 of the means of n rows drawn with replacement
/// ```
///
/// Rows are drawn `resamples` times, and quantiles are interpolated linearly. One seed always gives the same
/// interval.
///
/// Use it for many independent rows; with fewer than about 30 it is too narrow. Where rows come in groups,
/// such as several rows of one patient, use [`cluster_bootstrap_interval`]. A few thousand resamples are
/// usual.
///
/// The cost is one pass over the rows for each resample, up to 10,000 rows. More rows are first dealt at
/// random into 10,000 bins of equal size, whose sums are drawn instead; the width of the interval then has an
/// error of 0.7 % from that, and the cost no longer grows with the rows.
///
/// # Errors
/// When there are fewer than 2 differences, one is NaN or infinite, the level is not between 0 and 1, or
/// there are fewer resamples than `2 / (1 − level)`, which would leave less than one beyond each end.
///
/// # Examples
/// ```
/// use candle_ensemble::metrics::bootstrap_interval;
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
/// Sources: Efron 1979, doi:10.1214/aos/1176344552; for bins Wolter 2007, doi:10.1007/978-0-387-35099-8,
/// chapter 2 (the random group method).
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
/// The cost is one pass over the groups for each resample, up to 10,000 groups; see [`bootstrap_interval`].
///
/// # Errors
/// As for [`bootstrap_interval`], and when there are fewer than 2 groups, or not as many group numbers as
/// differences.
///
/// # Examples
/// ```
/// use candle_ensemble::metrics::{bootstrap_interval, cluster_bootstrap_interval};
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
    if groups.len() != differences.len() {
        let must = format!("{}, one for each difference", differences.len());
        return Err(Error::invalid("number of group numbers", must, groups.len()));
    }
    weighted_bootstrap(differences, None, Some(groups), (level, resamples), seed.into())
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
    // What is drawn: its sum of w d, and its sum of w.
    let rows = (0..differences.len()).filter(|row| weight(*row) > 0.0);
    let term = |row: usize| (weight(row) * differences[row], weight(row));
    let units: Vec<(f64, f64)> = match groups {
        None => rows.map(term).collect(),
        Some(groups) => {
            let mut sums = BTreeMap::<u32, (f64, f64)>::new();
            rows.for_each(|row| add(sums.entry(groups[row]).or_default(), term(row)));
            sums.into_values().collect()
        }
    };
    if units.len() < 2 {
        let what = if groups.is_some() { "number of groups" } else { "number of rows with a weight above 0" };
        return Err(Error::invalid(what, "at least 2 for an interval", units.len()));
    }
    let units = in_bins(units, seed);
    bootstrap_statistic(units.len(), level, resamples, seed, |drawn| {
        let mut sums = (0.0, 0.0);
        drawn.iter().for_each(|&unit| add(&mut sums, units[unit as usize]));
        Ok(sums.0 / sums.1)
    })
}

fn add(sums: &mut (f64, f64), term: (f64, f64)) {
    sums.0 += term.0;
    sums.1 += term.1;
}

/// The sums of bins of units that are dealt at random, if there are more than [`MAX_UNITS`].
fn in_bins(mut units: Vec<(f64, f64)>, seed: Seed) -> Vec<(f64, f64)> {
    if units.len() <= MAX_UNITS {
        return units;
    }
    units.shuffle(&mut seed.child("bins").rng());
    let mut bins = vec![(0.0, 0.0); MAX_UNITS];
    for row_of_bins in units.chunks(MAX_UNITS) {
        bins.iter_mut().zip(row_of_bins).for_each(|(bin, unit)| add(bin, *unit));
    }
    bins
}

/// Computes the percentile bootstrap interval for any statistic of a set of rows, as [`bootstrap_interval`]
/// does for the mean.
///
/// `statistic` gets row numbers below `rows`: first all of them in order, for the estimate, and then `rows`
/// numbers drawn with replacement for each resample. It must return a finite number for any of them. Its
/// error ends the bootstrap.
///
/// # Errors
/// When there are fewer than 2 rows, the level is not between 0 and 1, there are fewer resamples than
/// `2 / (1 − level)`, or the statistic fails, is NaN or infinite.
///
/// # Examples
/// ```
/// use candle_ensemble::metrics::bootstrap_statistic;
///
/// // Difference of two root mean squared errors from the squared errors of each row.
/// let (first, second) = ([0.1, 0.2, 0.1, 0.4], [0.2, 0.3, 0.1, 0.9]);
/// let rmse = |squares: &[f64], rows: &[u32]| {
///     (rows.iter().map(|&row| squares[row as usize]).sum::<f64>() / rows.len() as f64).sqrt()
/// };
/// let difference = |rows: &[u32]| Ok(rmse(&second, rows) - rmse(&first, rows));
/// let gain = bootstrap_statistic(4, 0.9, 1000, 1, difference)?;
/// assert!(gain.contains(gain.estimate));
/// # Ok::<(), candle_ensemble::Error>(())
/// ```
///
/// Source: Efron 1979, doi:10.1214/aos/1176344552.
pub fn bootstrap_statistic(
    rows: usize,
    level: f64,
    resamples: usize,
    seed: impl Into<Seed>,
    mut statistic: impl FnMut(&[u32]) -> Result<f64>,
) -> Result<Interval> {
    check_level(level)?;
    let seed = seed.into();
    let least = (2.0 / (1.0 - level)).ceil();
    // The factor keeps the rounding of `1 - level` from requiring a 41st resample at 95 %.
    if (resamples as f64) < 2.0 / (1.0 - level) * (1.0 - 1e-9) {
        return Err(Error::invalid("resamples", format!("at least {least} at level {level}"), resamples));
    }
    let count = match u32::try_from(rows) {
        Ok(count) if count >= 2 => count,
        _ => return Err(Error::invalid("number of rows", "2 to 4294967295", rows)),
    };
    let mut finite = |rows: &[u32]| match statistic(rows)? {
        x if x.is_finite() => Ok(x),
        x => Err(Error::invalid("statistic", "finite", x)),
    };
    let mut drawn: Vec<u32> = (0..count).collect();
    let estimate = finite(&drawn)?;
    let mut values = Vec::with_capacity(resamples);
    for resample in 0..resamples {
        let mut rng = seed.nth("bootstrap", resample as u64).rng();
        drawn.fill_with(|| rng.random_range(0..count));
        values.push(finite(&drawn)?);
    }
    values.sort_unstable_by(f64::total_cmp);
    let tail = (1.0 - level) / 2.0;
    Ok(Interval { estimate, low: quantile(&values, tail), high: quantile(&values, 1.0 - tail), level })
}

/// The interval `mean ± t sd sqrt(1/n + extra)`.
fn corrected(differences: &[f64], level: f64, extra: f64) -> Result<Interval> {
    check_level(level)?;
    check_differences(differences)?;
    let Summary { n, mean, sd } = Summary::of(differences)?;
    let error = sd.unwrap_or_default() * (1.0 / n as f64 + extra).sqrt();
    let half = t_quantile((n - 1) as f64, level)? * error;
    Ok(Interval { estimate: mean, low: mean - half, high: mean + half, level })
}

/// The `t` with `P(|T| < t) = level` for a Student variable `T`, with ten correct digits for levels of 0.01
/// and more.
///
/// statrs inverts the incomplete beta function by iteration, which is wrong at both ends: by 88 % for one
/// degree of freedom at level 1 − 10⁻⁹, and by 7 % for ten million at level 0.95. One and two degrees of
/// freedom have closed forms. From 500 degrees on there is a series (Abramowitz and Stegun 1964, 26.7.5),
/// whose omitted terms are below 10⁻¹⁰ of t for levels up to 1 − 10⁻⁶.
fn t_quantile(freedom: f64, level: f64) -> Result<f64> {
    // The tail keeps its digits when the level is close to 1.
    let tail = (1.0 - level) / 2.0;
    let invalid = |e| Error::invalid("degrees of freedom", "positive", e);
    let t = if freedom == 1.0 {
        1.0 / (PI * tail).tan()
    } else if freedom == 2.0 {
        level * (2.0 / ((1.0 - level) * (1.0 + level))).sqrt()
    } else if freedom < 500.0 {
        -StudentsT::new(0.0, 1.0, freedom).map_err(invalid)?.inverse_cdf(tail)
    } else {
        series(-Normal::standard().inverse_cdf(tail), freedom)
    };
    if t.is_finite() {
        Ok(t)
    } else {
        Err(Error::invalid("level", "not as close to 0 or 1", level))
    }
}

/// The quantile of Student's distribution as a series in `1 / freedom`, from the normal quantile `z`.
fn series(z: f64, freedom: f64) -> f64 {
    let terms = [
        (4.0, &[1.0, 1.0][..]),
        (96.0, &[3.0, 16.0, 5.0]),
        (384.0, &[-15.0, 17.0, 19.0, 3.0]),
        (92160.0, &[-945.0, -1920.0, 1482.0, 776.0, 79.0]),
    ];
    let mut t = z;
    let mut power = 1.0;
    for (divisor, coefficients) in terms {
        power /= freedom;
        let polynomial = coefficients.iter().rev().fold(0.0, |sum, c| sum * z * z + c);
        t += power * z * polynomial / divisor;
    }
    t
}

/// The quantile of sorted values, interpolated linearly between the two nearest (Hyndman and Fan 1996, type
/// 7, which is numpy's default).
fn quantile(sorted: &[f64], p: f64) -> f64 {
    let place = p * (sorted.len() - 1) as f64;
    let below = place as usize;
    let (a, b) = (sorted[below], sorted[(below + 1).min(sorted.len() - 1)]);
    a + (place - below as f64) * (b - a)
}

fn check_level(level: f64) -> Result<()> {
    if level > 0.0 && level < 1.0 {
        return Ok(());
    }
    Err(Error::invalid("level", "above 0 and below 1", level))
}

fn check_differences(differences: &[f64]) -> Result<()> {
    if differences.len() < 2 {
        return Err(Error::invalid("number of differences", "at least 2", differences.len()));
    }
    match differences.iter().position(|d| !d.is_finite()) {
        None => Ok(()),
        Some(i) => Err(Error::invalid(format!("difference {i}"), "finite", differences[i])),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand_chacha::ChaCha8Rng;
    use rand_distr::{Distribution, StandardNormal};

    const GAINS: [f64; 10] = [0.012, -0.004, 0.021, 0.008, 0.015, 0.003, -0.001, 0.019, 0.007, 0.011];

    #[track_caller]
    fn close(a: f64, b: f64, relative: f64) {
        assert!((a - b).abs() <= relative * b.abs(), "{a} is not {b}");
    }

    /// `scipy.stats.t.interval(level, 9, loc=mean, scale=sem)` of scipy 1.17.1; the last with the scale of
    /// Nadeau and Bengio. See tests/reference/metrics.py.
    #[test]
    fn intervals_agree_with_scipy() {
        for (level, low, high) in [
            (0.5, 0.007281199654454965, 0.010918800345545036),
            (0.9, 0.004355498278015607, 0.013844501721984391),
            (0.95, 0.0032450369133868694, 0.014954963086613132),
            (0.999, -0.003274059225984895, 0.021474059225985102),
        ] {
            let interval = t_interval(&GAINS, level).unwrap();
            close(interval.low, low, 1e-10);
            close(interval.high, high, 1e-10);
            close(interval.estimate, 0.0091, 1e-14);
            assert_eq!(interval.level, level);
        }
        let corrected = corrected_t_interval(&GAINS, 100, 900, 0.95).unwrap();
        close(corrected.low, 0.0005929358624307945, 1e-10);
        close(corrected.high, 0.017607064137569205, 1e-10);
    }

    /// `-scipy.stats.t.ppf((1 - level) / 2, freedom)` of scipy 1.17.1.
    #[test]
    fn quantiles_agree_with_scipy() {
        let freedoms = [1.0, 2.0, 3.0, 9.0, 499.0, 500.0, 1e7];
        for (level, quantiles) in [
            (
                0.1,
                [
                    0.15838444032453633,
                    0.14213381090374025,
                    0.1365981993536989,
                    0.129252932151831,
                    0.12572531464151335,
                    0.12572518667195287,
                    0.12566135004621498,
                ],
            ),
            (
                0.5,
                [
                    1.0000000000000002,
                    0.8164965809277261,
                    0.7648923284043444,
                    0.7027221467513264,
                    0.6749817225476649,
                    0.6749807379659394,
                    0.6744897747295749,
                ],
            ),
            (
                0.95,
                [
                    12.706204736174694,
                    4.302652729749462,
                    3.1824463052837078,
                    2.262157162798205,
                    1.9647293909876886,
                    1.9647198374673676,
                    1.959964221767205,
                ],
            ),
            (
                0.999,
                [
                    636.619248768719,
                    31.599054576443606,
                    12.923978636687476,
                    4.780912585931138,
                    3.3101305703977983,
                    3.31009115152267,
                    3.2905277044652217,
                ],
            ),
            (
                0.999999,
                [
                    636619.7723487513,
                    999.9992499854659,
                    130.1545895571102,
                    11.636782027289474,
                    4.953400539173342,
                    4.95327566652914,
                    4.891641524179213,
                ],
            ),
        ] {
            for (freedom, expected) in freedoms.into_iter().zip(quantiles) {
                close(t_quantile(freedom, level).unwrap(), expected, 1e-10);
            }
        }
    }

    #[test]
    fn quantiles_interpolate() {
        let sorted = [1.0, 2.0, 4.0, 8.0, 16.0];
        for (p, expected) in [(0.0, 1.0), (0.1, 1.4), (0.5, 4.0), (0.875, 12.0), (1.0, 16.0)] {
            assert_eq!(quantile(&sorted, p), expected);
        }
    }

    #[test]
    fn equal_differences_give_an_interval_of_width_zero() {
        for interval in
            [t_interval(&[0.1; 7], 0.95).unwrap(), corrected_t_interval(&[0.1; 7], 10, 60, 0.95).unwrap()]
        {
            assert_eq!((interval.low, interval.estimate, interval.high), (0.1, 0.1, 0.1));
        }
    }

    #[test]
    fn bad_inputs_are_errors_that_name_them() {
        let seed = Seed::from(1);
        let message = |r: Result<Interval>| r.unwrap_err().to_string();
        for level in [0.0, 1.0, -0.5, 95.0, f64::NAN] {
            let expected = format!("level must be above 0 and below 1, but is {level}");
            assert_eq!(message(t_interval(&GAINS, level)), expected);
            assert_eq!(message(corrected_t_interval(&GAINS, 1, 9, level)), expected);
            assert_eq!(message(bootstrap_interval(&GAINS, level, 100, seed)), expected);
        }
        for few in [&[][..], &[1.0]] {
            let expected = format!("number of differences must be at least 2, but is {}", few.len());
            assert_eq!(message(t_interval(few, 0.9)), expected);
            assert_eq!(message(bootstrap_interval(few, 0.9, 100, seed)), expected);
        }
        let nan = [1.0, f64::NAN];
        assert_eq!(message(t_interval(&nan, 0.9)), "difference 1 must be finite, but is NaN");
        assert_eq!(
            message(bootstrap_interval(&nan, 0.9, 100, seed)),
            "difference 1 must be finite, but is NaN"
        );
        assert_eq!(
            message(bootstrap_interval(&GAINS, 0.95, 39, seed)),
            "resamples must be at least 40 at level 0.95, but is 39"
        );
        assert!(bootstrap_interval(&GAINS, 0.95, 40, seed).is_ok());
        assert_eq!(
            message(corrected_t_interval(&GAINS, 0, 9, 0.9)),
            "test_rows must be at least 1, but is 0"
        );
        assert_eq!(
            message(corrected_t_interval(&GAINS, 1, 0, 0.9)),
            "train_rows must be at least 1, but is 0"
        );
        let broken = bootstrap_statistic(5, 0.9, 100, seed, |_| Ok(f64::NAN));
        assert_eq!(message(broken), "statistic must be finite, but is NaN");
        assert!(bootstrap_statistic(1, 0.9, 100, seed, |_| Ok(0.0)).is_err());
        // An extreme level gives an interval or an error.
        for level in [f64::MIN_POSITIVE, 1e-300, 1.0 - f64::EPSILON / 2.0] {
            for d in [&GAINS[..], &GAINS[..2], &GAINS[..3], &GAINS.repeat(60)] {
                assert!(t_interval(d, level).map_or(true, |i| i.low <= i.estimate && i.estimate <= i.high));
            }
        }
    }

    #[test]
    fn one_seed_gives_one_interval_and_resamples_have_all_rows() {
        let draw = |seed| bootstrap_interval(&GAINS, 0.9, 500, Seed::from(seed)).unwrap();
        assert_eq!(draw(1), draw(1));
        assert_ne!(draw(1), draw(2));
        let mut calls = 0;
        let check = |rows: &[u32]| {
            assert!(rows.len() == 7 && rows.iter().all(|&row| row < 7));
            calls += 1;
            Ok(0.0)
        };
        bootstrap_statistic(7, 0.5, 20, Seed::from(1), check).unwrap();
        assert_eq!(calls, 21);
    }

    /// The distribution of the bootstrap's mean is known: here (n = 2, values 0 and 1) 0, 1/2 and 1 with
    /// probability 1/4, 1/2 and 1/4.
    #[test]
    fn resampled_means_have_their_known_distribution() {
        let mut counts = [0u32; 3];
        let count = |rows: &[u32]| {
            counts[(rows[0] + rows[1]) as usize] += 1;
            Ok(0.0)
        };
        bootstrap_statistic(2, 0.9, 4000, Seed::from(3), count).unwrap();
        // Four standard deviations; the first call, rows 0 and 1, counts once in the middle.
        for (count, p) in counts.into_iter().zip([0.25, 0.5, 0.25]) {
            let expected = 4000.0 * p;
            assert!((f64::from(count) - expected).abs() < 4.0 * (expected * (1.0 - p)).sqrt() + 1.0);
        }
    }

    /// 20 groups of 50 equal rows: the interval has the width of one over 20 independent rows. The values come
    /// from numpy: `tests/reference/cluster_bootstrap.py` (200,000 resamples).
    #[test]
    fn whole_groups_are_drawn_as_in_numpy() {
        for (equal_sizes, low, high) in [(true, 0.545, 1.3525), (false, 0.4969665, 1.4537645)] {
            let (mut differences, mut groups) = (vec![], vec![]);
            for group in 0..20u32 {
                let size = if equal_sizes { 50 } else { 5 + 10 * (group % 10) };
                let value = f64::from((group * 7 + 3) % 20) / 20.0 - 0.475 + f64::from(group % 3);
                // Numbers of the groups in another order.
                groups.extend((0..size).map(|_| (group * 13) % 20));
                differences.extend((0..size).map(|row| value + f64::from(row % 5) / 10.0 - 0.2));
            }
            let found = cluster_bootstrap_interval(&differences, &groups, 0.95, 20_000, 1).unwrap();
            // The quantiles of 20,000 resamples have a standard error of about .004.
            assert!((found.low - low).abs() < 0.016 && (found.high - high).abs() < 0.016, "{found:?}");
            let mean = differences.iter().sum::<f64>() / differences.len() as f64;
            close(found.estimate, mean, 1e-12);
        }
    }

    #[test]
    fn groups_of_one_row_are_rows() {
        let order: Vec<u32> = (0..GAINS.len() as u32).collect();
        let rows = bootstrap_interval(&GAINS, 0.9, 500, 1).unwrap();
        assert_eq!(cluster_bootstrap_interval(&GAINS, &order, 0.9, 500, 1).unwrap(), rows);
    }

    /// Group effects with a standard deviation of 1 and rows with one of .5: 200 × 4 groups of unequal size.
    #[test]
    fn cluster_intervals_have_their_level_and_those_of_rows_do_not() {
        let groups: Vec<u32> = (0..100u32).flat_map(|g| vec![g; 1 + g as usize % 7]).collect();
        let draw = |rng: &mut ChaCha8Rng| {
            let effects: Vec<f64> = (0..100).map(|_| normal(rng)).collect();
            groups.iter().map(|g| 3.0 + effects[*g as usize] + 0.5 * normal(rng)).collect()
        };
        let whole = covered(1000, draw, |d| cluster_bootstrap_interval(d, &groups, 0.95, 400, 5).unwrap());
        // With 100 groups the percentile interval itself covers about 94 %.
        assert!((915.0..=975.0).contains(&whole), "{whole}");
        let rows = covered(1000, draw, |d| bootstrap_interval(d, 0.95, 400, 5).unwrap());
        assert!(rows < 800.0, "{rows}");
    }

    /// With more rows than are drawn one by one, the width is that of the normal limit to 3 %: it has errors
    /// of .7 % from the bins and of 1.3 % from 4000 resamples. Sorted rows give the same.
    #[test]
    fn many_rows_give_the_width_of_the_normal_limit() {
        let mut rng = Seed::from(8).rng();
        let mut differences: Vec<f64> = (0..300_007).map(|_| normal(&mut rng)).collect();
        for sorted in [false, true] {
            if sorted {
                differences.sort_by(f64::total_cmp);
            }
            let interval = bootstrap_interval(&differences, 0.95, 4000, 3).unwrap();
            let sd = Summary::of(&differences).unwrap().sd.unwrap();
            let width = 2.0 * 1.959963984540054 * sd / (differences.len() as f64).sqrt();
            close(interval.high - interval.low, width, 0.03);
            close(interval.estimate, differences.iter().sum::<f64>() / differences.len() as f64, 1e-9);
        }
    }

    #[test]
    fn rows_of_weight_zero_are_as_if_they_were_not_there() {
        let all: Vec<f64> = GAINS.iter().flat_map(|gain| [*gain, 77.0]).collect();
        let weights: Vec<f64> =
            (0..20).map(|row| if row % 2 == 0 { 0.5 + row as f64 } else { 0.0 }).collect();
        let own: Vec<f64> = weights.iter().copied().filter(|w| *w > 0.0).collect();
        let groups: Vec<u32> = (0..20).map(|row| if row % 2 == 0 { row / 4 } else { 50 + row }).collect();
        let own_groups: Vec<u32> = groups.iter().copied().filter(|group| *group < 50).collect();
        for grouped in [false, true] {
            let interval = |differences: &[f64], weights: &[f64], groups: &[u32]| {
                let groups = grouped.then_some(groups);
                weighted_bootstrap(differences, Some(weights), groups, (0.9, 300), Seed::from(2)).unwrap()
            };
            assert_eq!(interval(&all, &weights, &groups), interval(&GAINS, &own, &own_groups));
        }
        // Weights that differ do not widen the interval of a constant.
        let flat = weighted_bootstrap(&[0.25; 10], Some(&own), None, (0.9, 300), Seed::from(2)).unwrap();
        assert!((flat.high - flat.low).abs() < 1e-15 && (flat.estimate - 0.25).abs() < 1e-15);
    }

    #[test]
    fn one_group_is_an_error() {
        let message = |r: Result<Interval>| r.unwrap_err().to_string();
        assert_eq!(
            message(cluster_bootstrap_interval(&GAINS, &[4; 10], 0.9, 100, 1)),
            "number of groups must be at least 2 for an interval, but is 1"
        );
        assert_eq!(
            message(cluster_bootstrap_interval(&GAINS, &[4; 9], 0.9, 100, 1)),
            "number of group numbers must be 10, one for each difference, but is 9"
        );
    }

    fn normal(rng: &mut ChaCha8Rng) -> f64 {
        StandardNormal.sample(rng)
    }

    /// How many of `simulations` intervals contain 3, their true mean.
    fn covered(
        simulations: u64,
        draw: impl Fn(&mut ChaCha8Rng) -> Vec<f64>,
        interval: impl Fn(&[f64]) -> Interval,
    ) -> f64 {
        let seed = Seed::from(11);
        let hit = |i| interval(&draw(&mut seed.nth("simulation", i).rng())).contains(3.0);
        (0..simulations).filter(|&i| hit(i)).count() as f64
    }

    /// Four standard deviations of a binomial count: a right method misses by more for one seed in 16,000.
    #[track_caller]
    fn within_binomial_error(covered: f64, simulations: f64, level: f64) {
        let slack = 4.0 * (simulations * level * (1.0 - level)).sqrt();
        let expected = simulations * level;
        assert!((covered - expected).abs() <= slack, "{covered} of {simulations}, {expected} expected");
    }

    #[test]
    fn t_intervals_of_normal_differences_have_their_level() {
        for n in [2, 5, 20] {
            let draw = |rng: &mut ChaCha8Rng| (0..n).map(|_| 3.0 + 2.0 * normal(rng)).collect();
            let covered = covered(4000, draw, |d| t_interval(d, 0.95).unwrap());
            within_binomial_error(covered, 4000.0, 0.95);
        }
    }

    /// With the correlation that Nadeau and Bengio assume, test / (test + train), their interval is exact for
    /// normal differences, and the naive interval is far too narrow.
    #[test]
    fn corrected_intervals_of_correlated_differences_have_their_level() {
        let (n, test, train) = (10, 100, 900);
        let shared = (test as f64 / (test + train) as f64).sqrt();
        let own = (1.0 - shared * shared).sqrt();
        let draw = |rng: &mut ChaCha8Rng| {
            let common = shared * normal(rng);
            (0..n).map(|_| 3.0 + common + own * normal(rng)).collect()
        };
        let corrected = covered(4000, draw, |d| corrected_t_interval(d, test, train, 0.95).unwrap());
        within_binomial_error(corrected, 4000.0, 0.95);
        let naive = covered(4000, draw, |d| t_interval(d, 0.95).unwrap());
        // The naive error is too small by √(.19 / .09): scipy's 2 t.cdf(t.ppf(.975, 9) / 1.453, 9) − 1.
        within_binomial_error(naive, 4000.0, 0.8460855099);
    }

    /// Differences of 0/1 losses, 200 rows: -1, 0 and 1 with probability .1, .7 and .2, shifted to a mean of
    /// 3. The percentile interval's own error at this size is about half a percent of coverage.
    #[test]
    fn bootstrap_intervals_have_their_level() {
        let draw = |rng: &mut ChaCha8Rng| {
            let loss = |u: f64| if u < 0.1 { -1.0 } else { f64::from(u < 0.3) };
            (0..200).map(|_| 2.9 + loss(rng.random())).collect()
        };
        let covered = covered(1000, draw, |d| bootstrap_interval(d, 0.95, 400, Seed::from(5)).unwrap());
        within_binomial_error(covered, 1000.0, 0.95);
    }
}
