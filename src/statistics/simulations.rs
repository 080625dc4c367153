//! Error rates of the tests where there is no difference, each in the setting that it is made for. At level
//! 0.05 a share of 0.05 of the simulations rejects, up to four standard deviations of a binomial count: for
//! 2000 simulations from 0.031 to 0.069. Tests of counts or ranks and conservative tests may reject less.
use super::testing::{count, normal, within_binomial_error};
use crate::statistics::*;
use rand::{seq::SliceRandom, Rng};
use rand_chacha::ChaCha8Rng;

const RUNS: u64 = 2000;

/// The share of simulations that reject, after a check that it is not above the level.
#[track_caller]
fn error_rate(runs: u64, p_value: impl Fn(&mut ChaCha8Rng) -> f64) -> f64 {
    let rejected = count(runs, |rng| p_value(rng) <= 0.05);
    let most = 0.05 * runs as f64 + 4.0 * (runs as f64 * 0.05 * 0.95).sqrt();
    assert!(rejected <= most, "{rejected} of {runs}");
    rejected / runs as f64
}

#[track_caller]
fn has_its_level(runs: u64, p_value: impl Fn(&mut ChaCha8Rng) -> f64) {
    let rejected = count(runs, |rng| p_value(rng) <= 0.05);
    within_binomial_error(rejected, runs as f64, 0.05);
}

/// A sample of rows `(a, b, y)` with `y = a + b + noise`, all three independent and normal. A regression on `a`
/// alone and one on `b` alone have the same expected loss, whatever rows they are trained on.
fn sample(rng: &mut ChaCha8Rng, rows: usize) -> Vec<[f64; 3]> {
    let mut row = || {
        let (a, b) = (normal(rng), normal(rng));
        [a, b, a + b + normal(rng)]
    };
    (0..rows).map(|_| row()).collect()
}

/// The difference of the mean squared errors of the two regressions, fitted on the first rows and tested on
/// the others.
fn difference(train: &[[f64; 3]], test: &[[f64; 3]]) -> f64 {
    let slope = |input: usize| {
        let (xy, xx) = train
            .iter()
            .fold((0.0, 0.0), |(xy, xx), row| (xy + row[input] * row[2], xx + row[input] * row[input]));
        xy / xx
    };
    let slopes = [slope(0), slope(1)];
    let loss = |row: &[f64; 3], input: usize| (row[2] - slopes[input] * row[input]).powi(2);
    test.iter().map(|row| loss(row, 0) - loss(row, 1)).sum::<f64>() / test.len() as f64
}

/// Differences over random splits of one sample of 100 rows, with 20 rows for tests.
fn random_splits(rng: &mut ChaCha8Rng, splits: usize) -> Vec<f64> {
    let mut rows = sample(rng, 100);
    let mut split = || {
        rows.shuffle(rng);
        let (test, train) = rows.split_at(20);
        difference(train, test)
    };
    (0..splits).map(|_| split()).collect()
}

/// Differences of five repetitions of two-fold cross-validation of one sample of 100 rows.
fn five_by_two(rng: &mut ChaCha8Rng) -> [[f64; 2]; 5] {
    let mut rows = sample(rng, 100);
    std::array::from_fn(|_| {
        rows.shuffle(rng);
        let (a, b) = rows.split_at(50);
        [difference(a, b), difference(b, a)]
    })
}

#[test]
fn the_corrected_test_has_its_level_on_random_splits_and_the_paired_test_fails() {
    for splits in [10, 30] {
        has_its_level(RUNS, |rng| corrected_t_test(&random_splits(rng, splits), 20, 80).unwrap().p_value);
        let paired = count(RUNS, |rng| paired_t_test(&random_splits(rng, splits)).unwrap().p_value <= 0.05);
        // The more splits, the worse: 28 % and 50 %.
        let least = if splits == 10 { 0.2 } else { 0.4 };
        assert!(paired > least * RUNS as f64, "{splits}: {paired}");
    }
}

/// Each fold of one cross-validation.
#[test]
fn the_corrected_test_does_not_reject_too_often_on_folds() {
    error_rate(RUNS, |rng| {
        let rows = sample(rng, 100);
        let folds: Vec<f64> = (0..10)
            .map(|fold| {
                let (test, train): (Vec<_>, Vec<_>) = (0..100).partition(|row| row % 10 == fold);
                let rows_of = |places: Vec<usize>| places.iter().map(|&i| rows[i]).collect::<Vec<_>>();
                difference(&rows_of(train), &rows_of(test))
            })
            .collect();
        corrected_t_test(&folds, 10, 90).unwrap().p_value
    });
}

#[test]
fn tests_of_five_times_two_folds_have_their_level() {
    let t = error_rate(RUNS, |rng| five_by_two_t_test(&five_by_two(rng)).unwrap().p_value);
    let f = error_rate(RUNS, |rng| five_by_two_f_test(&five_by_two(rng)).unwrap().p_value);
    // F is conservative, as its author says.
    assert!(t > 0.031 && f > 0.005, "{t} {f}");
}

#[test]
fn tests_over_seeds_have_their_level() {
    for n in [3, 10] {
        has_its_level(RUNS, |rng| {
            paired_t_test(&(0..n).map(|_| normal(rng)).collect::<Vec<_>>()).unwrap().p_value
        });
    }
}

/// Right answers of classifiers with equal accuracy, which depend on how hard a row is.
fn answers(rng: &mut ChaCha8Rng, classifiers: usize, rows: usize) -> Vec<Vec<bool>> {
    let mut right = vec![vec![]; classifiers];
    for _ in 0..rows {
        let hard = rng.random::<f64>();
        right.iter_mut().for_each(|answers| answers.push(rng.random::<f64>() * 1.2 > hard));
    }
    right
}

#[test]
fn mcnemar_s_tests_have_their_level_on_the_same_rows() {
    for (rows, runs) in [(40, RUNS), (300, RUNS)] {
        let rate = |method| {
            error_rate(runs, |rng| {
                let right = answers(rng, 2, rows);
                mcnemar_test(&right[0], &right[1], method).unwrap().p_value
            })
        };
        let (exact, mid_p, chi_square) =
            (rate(McNemar::Exact), rate(McNemar::MidP), rate(McNemar::ChiSquare));
        assert!(
            exact <= mid_p && exact > 0.01 && mid_p > 0.031 && chi_square > 0.01,
            "{exact} {mid_p} {chi_square}"
        );
    }
}

#[test]
fn cochran_s_test_has_its_level_on_the_same_rows() {
    has_its_level(RUNS, |rng| cochran_q_test(&answers(rng, 4, 200)).unwrap().p_value);
}

/// Twelve skewed differences that could as well have the other sign: 204 of 4096 signs reject at most. Sixty
/// with random signs.
#[test]
fn sign_flips_have_their_level() {
    let skewed = |rng: &mut ChaCha8Rng, n: usize| -> Vec<f64> {
        (0..n).map(|_| normal(rng).exp() * if rng.random() { 1.0 } else { -1.0 }).collect()
    };
    has_its_level(RUNS, |rng| sign_flip_test(&skewed(rng, 12), 1, 1).unwrap().p_value);
    has_its_level(RUNS, |rng| {
        let seed = rng.random::<u64>();
        sign_flip_test(&skewed(rng, 60), 199, seed).unwrap().p_value
    });
}

/// Whole groups: rows of one group are alike, and flipping rows rejects far too often.
#[test]
fn sign_flips_of_groups_have_their_level_and_those_of_rows_do_not() {
    let groups: Vec<u32> = (0..60).map(|row| row / 5).collect();
    let draw = |rng: &mut ChaCha8Rng| {
        let effects: Vec<f64> = (0..12).map(|_| normal(rng)).collect();
        groups.iter().map(|group| effects[*group as usize] + 0.5 * normal(rng)).collect::<Vec<_>>()
    };
    has_its_level(RUNS, |rng| cluster_sign_flip_test(&draw(rng), &groups, 1, 1).unwrap().p_value);
    let rows = count(500, |rng| sign_flip_test(&draw(rng), 99, 1).unwrap().p_value <= 0.05);
    assert!(rows > 150.0, "{rows}");
}

/// Symmetric differences with long tails, over few and over many data sets. The exact test at 15 has the
/// level 0.0479, that at 7 has 0.0469.
#[test]
fn wilcoxon_s_test_has_its_level_over_data_sets() {
    for n in [7, 15, 80] {
        has_its_level(RUNS, |rng| {
            let differences: Vec<f64> = (0..n).map(|_| normal(rng) / normal(rng)).collect();
            wilcoxon_test(&differences, ZeroDifferences::Pratt).unwrap().p_value
        });
    }
    // With ties and zeros.
    let tied = error_rate(RUNS, |rng| {
        let differences: Vec<f64> = (0..15).map(|_| (2.0 * normal(rng)).round()).collect();
        wilcoxon_test(&differences, ZeroDifferences::Pratt).unwrap().p_value
    });
    assert!(tied > 0.031, "{tied}");
}

/// Methods without a difference over data sets of different difficulty.
fn scores(rng: &mut ChaCha8Rng, datasets: usize, methods: usize) -> Vec<Vec<Option<f64>>> {
    let mut row = || {
        let level = normal(rng);
        (0..methods).map(|_| Some(level + 0.1 * normal(rng))).collect()
    };
    (0..datasets).map(|_| row()).collect()
}

const METHODS: [&str; 5] = ["a", "b", "c", "d", "e"];

#[test]
fn friedman_s_test_has_its_level_over_data_sets() {
    for datasets in [5, 12] {
        has_its_level(RUNS, |rng| {
            let table: Vec<Vec<f64>> =
                scores(rng, datasets, 5).into_iter().map(|row| row.into_iter().flatten().collect()).collect();
            friedman_test(&table, true).unwrap().p_value
        });
    }
}

/// One false difference or more: of all pairs by Nemenyi, of all pairs by Holm, with a control by Holm.
#[test]
fn comparisons_over_data_sets_have_their_level_for_the_whole_family() {
    type Values = fn(&PairComparison) -> f64;
    let least =
        |found: &RankComparison, value: Values| found.comparisons.iter().map(value).fold(1.0, f64::min);
    let (all, ranks) = (RankTest::new(true), RankTest::new(true).pairs(PairTest::MeanRanks));
    let (holm, nemenyi): (Values, Values) = (|pair| pair.holm_p_value, |pair| pair.nemenyi_p_value);
    for (test, value) in [
        (&ranks, nemenyi),
        (&all, holm),
        (&ranks, holm),
        (&all.clone().control("a"), holm),
        (&ranks.clone().control("a"), holm),
    ] {
        let rate = error_rate(500, |rng| least(&test.compare(&METHODS, &scores(rng, 12, 5)).unwrap(), value));
        assert!(rate > 0.004, "{test:?}: {rate}");
    }
}
