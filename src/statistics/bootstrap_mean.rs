//! The bootstrap of means, and of functions of means, in linear time.
use super::{
    bootstrap::{check_resamples, percentiles},
    inputs::{check_differences, check_finite, check_groups},
    interval::check_level,
    resamples::map_resamples,
    units::Units,
};
use crate::{statistics::Interval, Error, Result, Seed};
use rand::Rng;
use rand_chacha::ChaCha8Rng;

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
/// The cost is linear in the rows. Up to 8192 rows, each resample draws as many rows. More rows are first
/// dealt at random into 8192 bins, in one pass for all resamples, and each resample draws 8192 bins. That adds
/// an error of 0.8 % to the width of the interval, which is less than that of 2000 resamples (2.4 %), and a
/// resample no longer costs more with more rows. Resamples run in parallel.
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

/// The bootstrap interval for a function of the sums over drawn units.
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
    let buffers = || (vec![0.0; units.len()], sums.clone());
    let values = map_resamples(resamples, units.len(), buffers, |(times, sums), resample| {
        draw(times, &mut seed.nth("bootstrap", resample).rng());
        sums.iter_mut().zip(units.columns()).for_each(|(sum, column)| *sum = dot(times, column));
        statistic(sums)
    });
    percentiles(estimate, values, level)
}

/// Draws how many times each unit is in a resample.
fn draw(times: &mut [f64], rng: &mut ChaCha8Rng) {
    times.fill(0.0);
    let count = times.len() as u32;
    (0..count).for_each(|_| times[rng.random_range(0..count) as usize] += 1.0);
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::statistics::{
        testing::{close, count, normal, within_binomial_error},
        Summary,
    };
    use rayon::ThreadPoolBuilder;

    const GAINS: [f64; 10] = [0.012, -0.004, 0.021, 0.008, 0.015, 0.003, -0.001, 0.019, 0.007, 0.011];

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
        let whole = covered(500, draw, |d| cluster_bootstrap_interval(d, &groups, 0.95, 400, 5).unwrap());
        // With 100 groups the percentile interval itself covers about 94 %.
        assert!((449.0..=494.0).contains(&whole), "{whole}");
        let rows = covered(500, draw, |d| bootstrap_interval(d, 0.95, 400, 5).unwrap());
        assert!(rows < 400.0, "{rows}");
    }

    /// With more rows than are drawn one by one, the width is that of the normal limit to 5 %: it has errors
    /// of .8 % from the bins and of 1.7 % from 4000 resamples. Sorted rows give the same.
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
            close(interval.high - interval.low, width, 0.05);
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

    /// Differences of 0/1 losses, 200 rows: -1, 0 and 1 with probability .1, .7 and .2, shifted to a mean of
    /// 3. The percentile interval's own error at this size is about half a percent of coverage.
    #[test]
    fn bootstrap_intervals_have_their_level() {
        let draw = |rng: &mut ChaCha8Rng| {
            let loss = |u: f64| if u < 0.1 { -1.0 } else { f64::from(u < 0.3) };
            (0..200).map(|_| 2.9 + loss(rng.random())).collect()
        };
        let covered = covered(500, draw, |d| bootstrap_interval(d, 0.95, 400, Seed::from(5)).unwrap());
        within_binomial_error(covered, 500.0, 0.95);
    }

    /// How many of `simulations` intervals contain 3, their true mean.
    fn covered(
        simulations: u64,
        draw: impl Fn(&mut ChaCha8Rng) -> Vec<f64>,
        interval: impl Fn(&[f64]) -> Interval,
    ) -> f64 {
        count(simulations, |rng| interval(&draw(rng)).contains(3.0))
    }

    #[test]
    fn bad_inputs_are_errors_that_name_them() {
        let message = |r: Result<Interval>| r.unwrap_err().to_string();
        for level in [0.0, 1.0, -0.5, 95.0, f64::NAN] {
            let expected = format!("level must be above 0 and below 1, but is {level}");
            assert_eq!(message(bootstrap_interval(&GAINS, level, 100, 1)), expected);
        }
        for few in [&[][..], &[1.0]] {
            let expected = format!("number of differences must be at least 2, but is {}", few.len());
            assert_eq!(message(bootstrap_interval(few, 0.9, 100, 1)), expected);
        }
        assert_eq!(
            message(bootstrap_interval(&[1.0, f64::NAN], 0.9, 100, 1)),
            "difference 1 must be finite, but is NaN"
        );
        assert_eq!(
            message(bootstrap_interval(&GAINS, 0.95, 39, 1)),
            "resamples must be at least 40 at level 0.95, but is 39"
        );
        assert!(bootstrap_interval(&GAINS, 0.95, 40, 1).is_ok());
        let means = |columns: &[&[f64]], groups, statistic: fn(&[f64]) -> f64| {
            message(bootstrap_means(columns, groups, 0.9, 100, 1, statistic))
        };
        assert_eq!(means(&[], None, |_| 0.0), "number of columns must be at least 1, but is 0");
        assert_eq!(
            means(&[&GAINS, &GAINS[1..]], None, |_| 0.0),
            "number of rows of column 1 must be 10, as many as of column 0, but is 9"
        );
        assert_eq!(
            means(&[&GAINS, &[f64::NAN; 10]], None, |_| 0.0),
            "column 1, row 0 must be finite, but is NaN"
        );
        assert_eq!(means(&[&GAINS], None, |means| means[0] / 0.0), "statistic must be finite, but is inf");
        assert_eq!(
            means(&[&GAINS], Some(&[1; 9]), |_| 0.0),
            "number of group numbers must be 10, one for each row, but is 9"
        );
        assert!(bootstrap_means(&[&[1.0]], None, 0.9, 100, 1, |_| 0.0).is_err());
    }

    #[test]
    fn one_seed_gives_one_interval_for_any_number_of_threads() {
        for rows in [10, 8192, 8193, 40_000] {
            let differences: Vec<f64> = (0..rows).map(|row| f64::from(row * 7 % 11)).collect();
            let draw = |threads, seed: u64| {
                let pool = ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
                pool.install(|| bootstrap_interval(&differences, 0.9, 200, seed).unwrap())
            };
            assert_eq!(draw(1, 1), draw(3, 1));
            assert_ne!(draw(1, 1), draw(1, 2));
        }
    }

    /// Rows and bins have one limit: the delta method's for a difference of root mean squared errors,
    /// `Var(s_2 / 2r_2 − s_1 / 2r_1) / n`. Widths have errors of 1.7 % from 4000 resamples and .8 % from bins;
    /// those of 500 rows also differ from the limit.
    #[test]
    fn functions_of_means_have_the_width_of_the_delta_method() {
        for (rows, slack) in [(500, 0.08), (5000, 0.05), (100_000, 0.05)] {
            let mut rng = Seed::from(21).rng();
            let (first, second): (Vec<f64>, Vec<f64>) = (0..rows)
                .map(|_| {
                    let (shared, own) = (normal(&mut rng), normal(&mut rng));
                    (shared * shared, (shared + 0.5 * own) * (shared + 0.5 * own))
                })
                .unzip();
            let gain = |means: &[f64]| means[1].sqrt() - means[0].sqrt();
            let interval = bootstrap_means(&[&first, &second], None, 0.95, 4000, 3, gain).unwrap();
            let roots = [&first, &second].map(|s| (s.iter().sum::<f64>() / f64::from(rows)).sqrt());
            close(interval.estimate, roots[1] - roots[0], 1e-9);
            let influence: Vec<f64> =
                first.iter().zip(&second).map(|(a, b)| b / (2.0 * roots[1]) - a / (2.0 * roots[0])).collect();
            let sd = Summary::of(&influence).unwrap().sd.unwrap();
            close(interval.high - interval.low, 2.0 * 1.959964 * sd / f64::from(rows).sqrt(), slack);
        }
    }

    /// 30,000 groups of unequal size, more than are drawn one by one: the width is that of the ratio's
    /// linearization, `sd(s_g − mean n_g) sqrt(G) / n`. The groups' numbers have gaps.
    #[test]
    fn many_groups_give_the_width_of_the_ratio_s_limit() {
        let mut rng = Seed::from(22).rng();
        let (mut differences, mut groups, mut residuals) = (vec![], vec![], vec![]);
        for group in 0..30_000u32 {
            let effect = normal(&mut rng) + f64::from(group % 5);
            let size = 1 + group % 5;
            let own: Vec<f64> = (0..size).map(|_| effect + 0.3 * normal(&mut rng)).collect();
            residuals.push((own.iter().sum::<f64>(), f64::from(size)));
            groups.extend(own.iter().map(|_| group * 100_003));
            differences.extend(own);
        }
        let interval = cluster_bootstrap_interval(&differences, &groups, 0.95, 4000, 3).unwrap();
        let n = differences.len() as f64;
        let mean = differences.iter().sum::<f64>() / n;
        close(interval.estimate, mean, 1e-9);
        let squares: f64 =
            residuals.iter().map(|(sum, size)| (sum - mean * size) * (sum - mean * size)).sum();
        close(interval.high - interval.low, 2.0 * 1.959964 * squares.sqrt() / n, 0.05);
    }
}
