//! The permutation test of paired differences: their signs are flipped.
use super::{
    inputs::{check_differences, check_groups},
    resamples::map_resamples,
    units::Units,
};
use crate::{statistics::TestResult, Error, Result, Seed};
use rand::RngCore;

/// Up to so many differences other than 0 the p-value of [`sign_flip_test`] is exact.
pub const SIGN_FLIP_EXACT: usize = 30;

/// Sums that differ by less than this share of the sum of all absolute differences are equal.
const TIE: f64 = 1e-12;

/// Tests whether the mean of independent differences is 0, by flipping their signs.
///
/// ```text
/// p = share of all signs s for which |Σ s_i d_i| ≥ |Σ d_i|
/// ```
///
/// **Setting**: differences by test row of two predictors' losses, or independent repetitions, such as seeds.
///
/// **Assumes** that the differences are independent and, without a difference, as likely to be `d` as `−d`.
/// That holds where the two predictors could be exchanged. They need not be normal. The test is then exact:
/// the error rate is not above the level. For rows in groups use [`cluster_sign_flip_test`]; for folds and
/// repeated splits, [`corrected_t_test`](crate::statistics::corrected_t_test).
///
/// Up to [`SIGN_FLIP_EXACT`] differences other than 0, all `2^n` signs count, and neither `resamples` nor
/// `seed` matters. Beyond, `resamples` random signs are drawn, and `p = (b + 1) / (resamples + 1)`, where `b`
/// of them reach the sum of the data; so p is at least `1 / (resamples + 1)`. With more than 8192 differences
/// these are dealt at random into so many bins, whose signs are flipped. The test stays exact, and its cost no
/// longer grows with the rows.
///
/// The effect and the statistic are the mean difference. Cost: `O(2^(n/2))` when exact, and otherwise one
/// pass over at most 8192 numbers for each resample, in parallel. One seed gives the same result for any
/// number of threads.
///
/// # Errors
/// When there are fewer than 2 differences, one is NaN or infinite, or there are no resamples.
///
/// # Examples
/// ```
/// use candle_ensemble::statistics::sign_flip_test;
///
/// let gains = [0.02, 0.03, 0.01, 0.02, 0.04, 0.01];
/// let test = sign_flip_test(&gains, 9999, 1)?;
/// assert_eq!(test.p_value, 2.0 / 64.0); // only these signs and their opposites reach the sum
/// # Ok::<(), candle_ensemble::Error>(())
/// ```
///
/// Sources: Fisher 1935, "The design of experiments", section 21; for random signs Phipson and Smyth 2010,
/// doi:10.2202/1544-6115.1585; for a part of the signs Hemerik and Goeman 2018,
/// doi:10.1007/s11749-017-0571-1.
pub fn sign_flip_test(differences: &[f64], resamples: usize, seed: impl Into<Seed>) -> Result<TestResult> {
    flip(differences, None, resamples, seed.into())
}

/// Tests whether the mean difference by row is 0, where rows of one group depend on each other: the sign of a
/// whole group is flipped.
///
/// ```text
/// p = share of all signs s for which |Σ_g s_g Σ_{i in g} d_i| ≥ |Σ d_i|
/// ```
///
/// **Setting**: differences by test row, with several rows for each patient, user, document or day. `groups`
/// has the number of each row's group.
///
/// **Assumes** that the groups are independent; otherwise as [`sign_flip_test`]. What counts is the number of
/// groups: fewer than 6 never give a p-value below 0.05.
///
/// # Errors
/// As for [`sign_flip_test`], and when there are not as many group numbers as differences, or fewer than 2
/// groups.
///
/// # Examples
/// ```
/// use candle_ensemble::statistics::{cluster_sign_flip_test, sign_flip_test};
///
/// // 4 groups of 10 equal rows.
/// let groups: Vec<u32> = (0..40).map(|row| row / 10).collect();
/// let differences: Vec<f64> = groups.iter().map(|group| 0.1 + 0.1 * f64::from(*group)).collect();
/// assert!(sign_flip_test(&differences, 999, 1)?.p_value < 0.01);
/// assert_eq!(cluster_sign_flip_test(&differences, &groups, 999, 1)?.p_value, 2.0 / 16.0);
/// # Ok::<(), candle_ensemble::Error>(())
/// ```
pub fn cluster_sign_flip_test(
    differences: &[f64],
    groups: &[u32],
    resamples: usize,
    seed: impl Into<Seed>,
) -> Result<TestResult> {
    check_groups(groups, differences.len(), "difference")?;
    flip(differences, Some(groups), resamples, seed.into())
}

fn flip(differences: &[f64], groups: Option<&[u32]>, resamples: usize, seed: Seed) -> Result<TestResult> {
    check_differences(differences)?;
    if resamples == 0 {
        return Err(Error::invalid("resamples", "at least 1", 0));
    }
    let mean = differences.iter().sum::<f64>() / differences.len() as f64;
    let units = Units::new(&[differences], groups)?.into_nonzero(seed);
    let limit = units.iter().sum::<f64>().abs() - TIE * units.iter().map(|d| d.abs()).sum::<f64>();
    let p_value = if limit <= 0.0 {
        1.0
    } else if units.len() <= SIGN_FLIP_EXACT {
        exact(&units, limit)
    } else {
        let reaches = |_: &mut (), r| flipped_sum(&units, seed.nth("signs", r)).abs() >= limit;
        let reached = map_resamples(resamples, units.len(), || (), reaches).iter().filter(|r| **r).count();
        (reached + 1) as f64 / (resamples + 1) as f64
    };
    Ok(TestResult { effect: mean, statistic: Some(mean), p_value })
}

/// The share of all signs whose sum reaches `limit` or `−limit`, from the sums of two halves.
fn exact(units: &[f64], limit: f64) -> f64 {
    let (first, second) = units.split_at(units.len() / 2);
    let (first, second) = (all_sums(first), all_sums(second));
    // For growing a, ever more of the sorted b have a + b ≥ limit.
    let (mut from, mut reached) = (second.len(), 0u64);
    for a in &first {
        while from > 0 && a + second[from - 1] >= limit {
            from -= 1;
        }
        reached += (second.len() - from) as u64;
    }
    // As many reach the other side.
    2.0 * reached as f64 / (first.len() as f64 * second.len() as f64)
}

/// The sums over all signs in ascending order: each value merges the sums with and without its sign.
fn all_sums(values: &[f64]) -> Vec<f64> {
    let mut sums = vec![0.0];
    for value in values.iter().map(|value| value.abs()) {
        let (mut low, mut high) = (0, 0);
        let mut merged = Vec::with_capacity(2 * sums.len());
        while low < sums.len() || high < sums.len() {
            if low < sums.len() && sums[low] - value <= sums[high] + value {
                merged.push(sums[low] - value);
                low += 1;
            } else {
                merged.push(sums[high] + value);
                high += 1;
            }
        }
        sums = merged;
    }
    sums
}

/// The sum with random signs, 64 from each random number, in eight lanes.
fn flipped_sum(units: &[f64], seed: Seed) -> f64 {
    let mut rng = seed.rng();
    let mut lanes = [0.0; 8];
    for block in units.chunks(64) {
        let mut signs = rng.next_u64();
        for units in block.chunks(8) {
            for (place, (lane, unit)) in lanes.iter_mut().zip(units).enumerate() {
                // The sign bit.
                *lane += f64::from_bits(unit.to_bits() ^ ((signs >> place) << 63));
            }
            signs >>= 8;
        }
    }
    lanes.iter().sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::statistics::testing::{close, draws, normal};
    use rayon::ThreadPoolBuilder;

    const GAINS: [f64; 10] = [0.012, -0.004, 0.021, 0.008, 0.015, 0.003, -0.001, 0.019, 0.007, 0.011];

    /// `scipy.stats.permutation_test` with `permutation_type="samples"`, and all signs listed in integers:
    /// `tests/reference/statistics.py`.
    #[test]
    fn exact_values_agree_with_scipy() {
        let test = sign_flip_test(&GAINS, 1, 1).unwrap();
        assert_eq!(test.p_value, 0.01171875);
        close(test.effect, 0.0091, 1e-14);
        let mut draw = draws(9);
        let values: Vec<f64> = (0..16).map(|_| draw() - 0.4).collect();
        close(sign_flip_test(&values, 1, 1).unwrap().p_value, 0.794708251953125, 1e-14);
        let hundredths = hundredths(26);
        close(sign_flip_test(&hundredths, 1, 1).unwrap().p_value, 0.3233717679977417, 1e-14);
        // Differences of 0 do not count.
        let zeros: Vec<f64> = GAINS.iter().copied().chain([0.0; 40]).collect();
        assert_eq!(sign_flip_test(&zeros, 1, 1).unwrap().p_value, 0.01171875);
    }

    /// In units that are not exact in binary, so that equal sums have to be recognized.
    fn hundredths(count: usize) -> Vec<f64> {
        let mut draw = draws(10);
        (0..count).map(|_| ((draw() * 100.0).floor() - 42.0) / 100.0).collect()
    }

    /// The exact p-value of 60 differences by convolution: `tests/reference/statistics.py`.
    #[test]
    fn random_signs_approach_the_exact_value() {
        let test = sign_flip_test(&hundredths(60), 20_000, 3).unwrap();
        let exact: f64 = 0.6986220954821623;
        assert!((test.p_value - exact).abs() < 4.0 * (exact * (1.0 - exact) / 20_000.0).sqrt());
    }

    /// No random signs reach the sum of 40 ones: one in a million million would.
    #[test]
    fn the_least_p_value_counts_the_data() {
        assert_eq!(sign_flip_test(&[1.0; 40], 999, 1).unwrap().p_value, 1.0 / 1000.0);
        assert_eq!(sign_flip_test(&[0.0; 40], 999, 1).unwrap().p_value, 1.0);
    }

    /// With more rows than are flipped one by one, the p-value is that of the normal limit.
    #[test]
    fn many_rows_give_the_p_value_of_the_normal_limit() {
        let mut rng = Seed::from(8).rng();
        let mut differences: Vec<f64> = (0..100_000).map(|_| normal(&mut rng)).collect();
        let mean = differences.iter().sum::<f64>() / 1e5;
        let sd = (differences.iter().map(|d| (d - mean) * (d - mean)).sum::<f64>() / 1e5).sqrt();
        // The mean becomes 1.5 standard errors.
        differences.iter_mut().for_each(|d| *d += 1.5 * sd / 1e5f64.sqrt() - mean);
        differences.sort_by(f64::total_cmp);
        let p = sign_flip_test(&differences, 4000, 3).unwrap().p_value;
        // 2 Φ(−1.5); four standard errors of 4000 resamples, and the bins' error of the standard error.
        assert!((p - 0.1336).abs() < 0.0215 + 0.01, "{p}");
    }

    #[test]
    fn threads_do_not_matter_and_seeds_do() {
        let mut draw = draws(6);
        let differences: Vec<f64> = (0..20_000).map(|_| draw() - 0.5).collect();
        let run = |threads, seed| {
            let pool = ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| sign_flip_test(&differences, 200, seed).unwrap())
        };
        assert_eq!(run(1, 5u64), run(3, 5));
        assert!((0..8).any(|seed| run(1, seed).p_value != run(1, 5).p_value));
    }

    #[test]
    fn groups_of_one_row_are_rows_and_bad_inputs_errors() {
        let groups: Vec<u32> = (0..10).map(|row| 100 - row).collect();
        let whole = cluster_sign_flip_test(&GAINS, &groups, 9, 1).unwrap();
        assert_eq!(whole, sign_flip_test(&GAINS, 9, 1).unwrap());
        let message = |r: Result<TestResult>| r.unwrap_err().to_string();
        assert_eq!(message(sign_flip_test(&GAINS, 0, 1)), "resamples must be at least 1, but is 0");
        assert_eq!(
            message(cluster_sign_flip_test(&GAINS, &[1; 9], 9, 1)),
            "number of group numbers must be 10, one for each difference, but is 9"
        );
        assert!(cluster_sign_flip_test(&GAINS, &[1; 10], 9, 1).is_err());
        assert!(sign_flip_test(&[1.0, f64::NAN], 9, 1).is_err() && sign_flip_test(&[1.0], 9, 1).is_err());
    }
}
