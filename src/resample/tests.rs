//! Properties of every resampling, and the numbers of scikit-learn 1.9.1 (tests/reference/resampling.py).
use crate::{
    data::{Batch, Dataset, Fingerprint, Task, TensorDataset},
    resample::*,
    Rows, Seed,
};
use candle_core::{DType, Device, Result as CandleResult, Tensor};
use proptest::prelude::{prop_assert, prop_assert_eq, prop_assert_ne, proptest};

fn numbers(rows: usize) -> TensorDataset {
    let x = Tensor::arange(0f32, (rows * 4) as f32, &Device::Cpu).unwrap();
    let x = x.affine(0.01, 0.).unwrap().reshape((rows, 4)).unwrap();
    TensorDataset::regression(x.clone(), &x.sum(1).unwrap()).unwrap()
}

fn strata(ids: &[u32]) -> TensorDataset {
    numbers(ids.len()).with_strata(ids.to_vec()).unwrap()
}

fn groups(ids: &[u32]) -> TensorDataset {
    numbers(ids.len()).with_groups(ids.to_vec()).unwrap()
}

/// `sizes[i]` times `i`.
fn repeated(sizes: &[usize]) -> Vec<u32> {
    (0u32..).zip(sizes).flat_map(|(id, size)| vec![id; *size]).collect()
}

/// The rows of a run as lists.
#[derive(Clone, Debug, PartialEq)]
struct Listed {
    train: Rows,
    valid: Rows,
    excluded: Rows,
    features: Option<Vec<u32>>,
}

fn draw(how: &impl Resample, data: &dyn Dataset, seed: u64) -> Vec<Listed> {
    let listed = |run: RunRows| Listed {
        train: run.train.to_vec().unwrap(),
        valid: run.valid.to_vec().unwrap(),
        excluded: run.excluded.to_vec().unwrap(),
        features: run.features,
    };
    how.draw(data, Seed::from(seed)).unwrap().into_iter().map(listed).collect()
}

fn refusal(how: &impl Resample, data: &dyn Dataset) -> String {
    how.draw(data, Seed::from(0)).unwrap_err().to_string()
}

fn held_out(draw: &Listed, rows: usize) -> Rows {
    let seen =
        |row: &u32| draw.train.contains(row) || draw.valid.contains(row) || draw.excluded.contains(row);
    (0..rows as u32).filter(|row| !seen(row)).collect()
}

/// How many of the rows have each id below `of`.
fn counts(rows: &[u32], ids: &[u32], of: usize) -> Vec<usize> {
    let mut counts = vec![0; of];
    rows.iter().for_each(|row| counts[ids[*row as usize] as usize] += 1);
    counts
}

fn folds(k: usize) -> Folds {
    Folds { k, repeats: 1, unit: None, refit: false }
}

fn bootstrap(runs: usize, amount: Amount, unit: Option<ResampleUnit>) -> Bootstrap {
    Bootstrap { runs, amount, unit }
}

fn subsample(runs: usize, amount: Amount, unit: Option<ResampleUnit>) -> Subsample {
    Subsample { runs, amount, unit }
}

// ---- scikit-learn's numbers.

#[test]
fn fold_sizes_are_those_of_k_fold() {
    for (n, k, sizes) in [
        (10, 3, &[4, 3, 3][..]),
        (11, 4, &[3, 3, 3, 2]),
        (7, 7, &[1, 1, 1, 1, 1, 1, 1]),
        (100, 7, &[15, 15, 14, 14, 14, 14, 14]),
        (5, 2, &[3, 2]),
    ] {
        let got: Vec<_> = draw(&folds(k), &numbers(n), 1).iter().map(|d| held_out(d, n).len()).collect();
        assert_eq!(got, sizes, "{n} {k}");
    }
}

#[test]
fn stratum_counts_are_those_of_stratified_k_fold() {
    for (sizes, k, expected) in [
        ([13, 7, 5], 4, &[[3, 2, 2], [4, 1, 1], [3, 2, 1], [3, 2, 1]][..]),
        ([20, 3, 10], 5, &[[4, 1, 2], [4, 1, 2], [4, 1, 2], [4, 0, 2], [4, 0, 2]]),
        ([6, 6, 6], 3, &[[2, 2, 2], [2, 2, 2], [2, 2, 2]]),
        ([1, 9, 2], 3, &[[0, 3, 1], [0, 3, 1], [1, 3, 0]]),
    ] {
        // Stratum 2 comes first, then 0, then 1.
        let ids = [vec![2; sizes[2]], vec![0; sizes[0]], vec![1; sizes[1]]].concat();
        let fold = |draw: &Listed| counts(&held_out(draw, ids.len()), &ids, 3);
        let got: Vec<_> = draw(&folds(k), &strata(&ids), 1).iter().map(fold).collect();
        assert_eq!(got, expected, "{sizes:?} {k}");
    }
}

#[test]
fn fold_sizes_by_groups_are_those_of_group_k_fold() {
    for (sizes, k, expected) in [
        (&[5, 1, 1, 4, 3, 3, 2][..], 3, &[7, 6, 6][..]),
        (&[10, 1, 1, 1], 2, &[10, 3]),
        (&[2, 2, 2, 2, 2], 3, &[4, 4, 2]),
        (&[9, 8, 7, 6, 5, 4, 3, 2, 1], 4, &[12, 11, 11, 11]),
    ] {
        let ids = repeated(sizes);
        let draws = draw(&folds(k), &groups(&ids), 1);
        let got: Vec<_> = draws.iter().map(|d| held_out(d, ids.len()).len()).collect();
        assert_eq!(got, expected, "{sizes:?} {k}");
    }
}

/// Rows, folds, training window, gap, test window; then by fold: training from and to, test from and to.
type Chained = (usize, usize, Option<usize>, usize, Option<usize>, &'static [[u32; 4]]);

#[test]
fn windows_are_those_of_time_series_split() {
    let cases: [Chained; 7] = [
        (12, 3, None, 0, None, &[[0, 3, 3, 6], [0, 6, 6, 9], [0, 9, 9, 12]]),
        (13, 4, None, 0, None, &[[0, 5, 5, 7], [0, 7, 7, 9], [0, 9, 9, 11], [0, 11, 11, 13]]),
        (12, 3, None, 2, Some(2), &[[0, 4, 6, 8], [0, 6, 8, 10], [0, 8, 10, 12]]),
        (20, 4, Some(6), 0, None, &[[0, 4, 4, 8], [2, 8, 8, 12], [6, 12, 12, 16], [10, 16, 16, 20]]),
        (20, 4, Some(5), 1, Some(3), &[[2, 7, 8, 11], [5, 10, 11, 14], [8, 13, 14, 17], [11, 16, 17, 20]]),
        (
            30,
            5,
            Some(40),
            3,
            Some(4),
            &[[0, 7, 10, 14], [0, 11, 14, 18], [0, 15, 18, 22], [0, 19, 22, 26], [0, 23, 26, 30]],
        ),
        (
            7,
            6,
            None,
            0,
            None,
            &[[0, 1, 1, 2], [0, 2, 2, 3], [0, 3, 3, 4], [0, 4, 4, 5], [0, 5, 5, 6], [0, 6, 6, 7]],
        ),
    ];
    for (rows, folds, window, gap, test, expected) in cases {
        let draws = draw(&Windows { folds, window, gap, test }, &numbers(rows), 0);
        assert_eq!(draws.len(), expected.len());
        for (i, (draw, [from, to, start, end])) in draws.iter().zip(expected).enumerate() {
            assert_eq!(draw.train, (*from..*to).collect::<Rows>(), "{rows} {folds} {i}");
            assert_eq!(held_out(draw, rows), (*start..rows as u32).collect::<Rows>());
            assert_eq!(*end, expected.get(i + 1).map_or(rows as u32, |next| next[2]), "windows are adjacent");
        }
    }
}

// ---- Refused parameters and data.

/// A data set with as many rows and groups as a test needs, and no content.
struct Stub {
    rows: usize,
    groups: Option<Vec<u32>>,
}

impl Dataset for Stub {
    fn rows(&self) -> usize {
        self.rows
    }
    fn task(&self) -> Task {
        Task::Regression { outputs: 1 }
    }
    fn batch(&self, _: &[u32], _: &Device) -> CandleResult<Batch> {
        candle_core::bail!("no rows")
    }
    fn groups(&self) -> Option<&[u32]> {
        self.groups.as_deref()
    }
    fn fingerprint(&self) -> Fingerprint {
        Fingerprint::of(b"odd")
    }
}

#[test]
fn data_without_rows_or_with_too_few_ids_is_refused() {
    let (none, few) = (Stub { rows: 0, groups: None }, Stub { rows: 4, groups: Some(vec![0, 1, 2]) });
    let half = Amount::Share(0.5);
    for data in [&none, &few] {
        assert!(folds(2).draw(data, Seed::from(0)).is_err());
        assert!(bootstrap(1, half, None).draw(data, Seed::from(0)).is_err());
        assert!(subsample(1, half, None).draw(data, Seed::from(0)).is_err());
    }
    assert!(AllRows { runs: 1 }.draw(&none, Seed::from(0)).is_err());
    assert!(Windows { folds: 1, window: None, gap: 0, test: None }.draw(&none, Seed::from(0)).is_err());
    assert_eq!(refusal(&folds(2), &few), "the number of groups must be that of rows, 4, but is 3");
}

#[test]
fn impossible_folds_are_refused() {
    let data = numbers(6);
    assert_eq!(refusal(&folds(1), &data), "k must be at least 2, but is 1");
    assert_eq!(refusal(&folds(7), &data), "k must be at most the number of rows, 6, but is 7");
    let by_groups = refusal(&folds(4), &groups(&[0, 0, 1, 1, 2, 2]));
    assert_eq!(by_groups, "k must be at most the number of groups, 3, but is 4");
    assert!(
        refusal(&Folds { k: 2, repeats: 0, unit: None, refit: false }, &data).starts_with("repeats must be")
    );
    for unit in [ResampleUnit::Strata, ResampleUnit::Groups] {
        assert!(
            Folds { k: 2, repeats: 1, unit: Some(unit), refit: false }.draw(&data, Seed::from(0)).is_err(),
            "{unit:?}"
        );
    }
    let split = Folds { k: 2, repeats: 1, unit: Some(ResampleUnit::Rows), refit: false };
    let message = "a resampling by rows must be of data without groups, but is of data with groups";
    assert_eq!(refusal(&split, &groups(&[0, 0, 1, 1])), message);
}

#[test]
fn impossible_sizes_are_refused() {
    let data = numbers(6);
    let bad = [Amount::Share(0.), Amount::Share(-1.), Amount::Share(f64::NAN), Amount::Count(0)];
    for amount in bad.into_iter().chain([Amount::Share(f64::INFINITY), Amount::Share(1e300)]) {
        assert!(bootstrap(1, amount, None).draw(&data, Seed::from(0)).is_err(), "{amount:?}");
        assert!(subsample(1, amount, None).draw(&data, Seed::from(0)).is_err(), "{amount:?}");
        let subspace = Subspace { rows: AllRows { runs: 1 }, features: amount };
        assert!(subspace.draw(&data, Seed::from(0)).is_err(), "{amount:?}");
    }
    for amount in [Amount::Share(1.), Amount::Count(6), Amount::Share(0.95)] {
        let message = "the number of rows must be at most 5 of 6, but is 6";
        assert_eq!(refusal(&subsample(1, amount, None), &data), message);
    }
    for amount in [Amount::Share(1.2), Amount::Count(5)] {
        let subspace = Subspace { rows: AllRows { runs: 1 }, features: amount };
        assert_eq!(refusal(&subspace, &data), "the number of features must be at most 4 of 4, but is 5");
    }
    assert!(bootstrap(0, Amount::default(), None).draw(&data, Seed::from(0)).is_err());
    assert!(subsample(0, Amount::Share(0.5), None).draw(&data, Seed::from(0)).is_err());
}

#[test]
fn impossible_windows_are_refused() {
    let data = numbers(10);
    let windows = Windows { folds: 3, window: None, gap: 0, test: None };
    for bad in [
        Windows { folds: 0, ..windows },
        Windows { folds: 10, ..windows },
        Windows { folds: usize::MAX, ..windows },
        Windows { window: Some(0), ..windows },
        Windows { test: Some(0), ..windows },
        Windows { test: Some(4), ..windows },
        Windows { test: Some(usize::MAX), ..windows },
        Windows { gap: 4, ..windows },
        Windows { gap: usize::MAX, ..windows },
    ] {
        assert!(bad.draw(&data, Seed::from(0)).is_err(), "{bad:?}");
    }
    assert!(Windows { gap: 3, ..windows }.draw(&data, Seed::from(0)).is_ok());
    let message = refusal(&Windows { test: Some(4), ..windows }, &data);
    let expected = "the number of rows must be more than 3 test windows of 4 and a gap of 0, but is 10";
    assert_eq!(message, expected);
}

#[test]
fn features_are_drawn_from_one_tensor_of_rank_two_only() {
    let subspace = Subspace { rows: AllRows { runs: 2 }, features: Amount::Share(0.5) };
    let x = Tensor::zeros((5, 2, 3), DType::F32, &Device::Cpu).unwrap();
    let y = Tensor::zeros(5, DType::F32, &Device::Cpu).unwrap();
    let images = TensorDataset::regression(x.clone(), &y).unwrap();
    let message = "inputs whose features are drawn must be one tensor (N, D), but is of shape [2, 3] a row";
    assert_eq!(refusal(&subspace, &images), message);
    let two = TensorDataset::regression(vec![x.clone(), x], &y).unwrap();
    assert!(refusal(&subspace, &two).ends_with("but is 2 tensors"));
}

// ---- Properties of every draw.

#[test]
fn draws_equal_the_golden_ones() {
    let ids = repeated(&[6, 4]);
    let (plain, by_strata, by_groups) = (numbers(10), strata(&ids), groups(&[0, 0, 1, 1, 2, 2, 3, 3, 4, 4]));
    let first = |how: &dyn Resample, data: &dyn Dataset| {
        how.draw(data, Seed::from(42)).unwrap().remove(0).train.to_vec().unwrap()
    };
    let half = Amount::Share(0.5);
    let got = [
        first(&folds(2), &plain),
        first(&folds(2), &by_strata),
        first(&folds(2), &by_groups),
        first(&subsample(1, half, None), &plain),
        first(&subsample(1, half, None), &by_strata),
        first(&subsample(1, half, None), &by_groups),
        first(&bootstrap(1, half, None), &plain),
        first(&bootstrap(1, half, Some(ResampleUnit::Strata)), &by_strata),
        first(&bootstrap(1, half, None), &by_groups),
    ];
    assert_eq!(got, GOLDEN);
    let subspace = Subspace { rows: AllRows { runs: 5 }, features: half };
    let features: Vec<_> = draw(&subspace, &plain, 42).into_iter().filter_map(|d| d.features).collect();
    assert_eq!(features, GOLDEN_FEATURES);
}
const GOLDEN: [&[u32]; 9] = [
    &[1, 4, 6, 7, 8],
    &[0, 1, 4, 6, 9],
    &[0, 1, 8, 9],
    &[0, 1, 2, 7, 8],
    &[1, 2, 3, 6, 7],
    &[0, 1, 2, 3, 8, 9],
    &[3, 3, 6, 8, 8],
    &[2, 2, 4, 9, 9],
    &[2, 2, 3, 3, 6, 7],
];
const GOLDEN_FEATURES: [[u32; 2]; 5] = [[1, 3], [1, 3], [2, 3], [0, 2], [1, 2]];

#[test]
fn leave_one_out_is_as_many_folds_as_rows() {
    // Stratified too, which scikit-learn refuses.
    for data in [numbers(9), strata(&repeated(&[4, 3, 2]))] {
        let draws = draw(&folds(9), &data, 3);
        let mut out: Vec<Rows> = draws.iter().map(|d| held_out(d, 9)).collect();
        assert!(draws.iter().all(|d| d.train.len() == 8));
        out.sort();
        assert_eq!(out.concat(), (0..9).collect::<Rows>());
    }
    // Leave one group out.
    let ids = repeated(&[3, 1, 2]);
    for draw in draw(&folds(3), &groups(&ids), 3) {
        let out = held_out(&draw, 6);
        assert!(out.iter().all(|row| ids[*row as usize] == ids[out[0] as usize]));
    }
}

#[test]
fn the_default_unit_is_groups_where_there_are_groups() {
    let ids = repeated(&[5, 5]);
    let sample = |unit, data: &dyn Dataset| draw(&bootstrap(3, Amount::default(), unit), data, 1);
    assert_eq!(sample(None, &strata(&ids)), sample(Some(ResampleUnit::Rows), &numbers(10)));
    assert_eq!(sample(None, &groups(&ids)), sample(Some(ResampleUnit::Groups), &groups(&ids)));
    let both = strata(&ids).with_groups(repeated(&[2, 2, 2, 2, 2])).unwrap();
    assert_eq!(ResampleUnit::for_data(&both), ResampleUnit::Groups);
    assert_eq!(ResampleUnit::for_data(&strata(&ids)), ResampleUnit::Strata);
    assert_eq!(ResampleUnit::for_data(&numbers(3)), ResampleUnit::Rows);
}

proptest! {
    #[test]
    fn folds_partition_the_rows(n in 4usize..60, k in 2usize..5, repeats in 1usize..4, seed: u64) {
        let data = numbers(n);
        let how = Folds { k, repeats, unit: None, refit: false };
        let draws = draw(&how, &data, seed);
        prop_assert_eq!(draws.len(), k * repeats);
        prop_assert_eq!(&draws, &draw(&how, &data, seed));
        for (repeat, folds) in draws.chunks(k).enumerate() {
            let mut all: Rows = folds.iter().flat_map(|d| held_out(d, n)).collect();
            all.sort_unstable();
            prop_assert_eq!(all, (0..n as u32).collect::<Rows>(), "each row is held out once");
            for (fold, draw) in folds.iter().enumerate() {
                prop_assert_eq!(draw.train.len() + held_out(draw, n).len(), n);
                prop_assert_eq!(how.slot(repeat * k + fold), repeat);
            }
        }
    }

    #[test]
    fn repeats_and_seeds_differ(seed: u64) {
        // 40 rows fall into 2 folds in 7e10 ways.
        let draws = draw(&Folds { k: 2, repeats: 2, unit: None, refit: false }, &numbers(40), seed);
        prop_assert_ne!(&draws[0], &draws[2]);
        prop_assert_ne!(&draws[0], &draw(&folds(2), &numbers(40), seed ^ 1)[0]);
    }

    #[test]
    fn stratified_folds_differ_by_one_row_at_most(
        ids in proptest::collection::vec(0u32..4, 10..80),
        k in 2usize..8,
        seed: u64,
    ) {
        let draws = draw(&folds(k), &strata(&ids), seed);
        let folds: Vec<_> = draws.iter().map(|d| counts(&held_out(d, ids.len()), &ids, 4)).collect();
        let even = |counts: Vec<usize>| counts.iter().max().unwrap() - counts.iter().min().unwrap() <= 1;
        for stratum in 0..4 {
            prop_assert!(even(folds.iter().map(|f| f[stratum]).collect()), "{folds:?}");
        }
        prop_assert!(even(folds.iter().map(|f| f.iter().sum()).collect()), "{folds:?}");
    }

    #[test]
    fn groups_are_never_split(
        ids in proptest::collection::vec(0u32..12, 20..80),
        share in 0.2f64..0.8,
        seed: u64,
    ) {
        let mut ids = ids;
        ids.extend([90, 91, 92]);
        let (data, n) = (groups(&ids), ids.len());
        let distinct = ids.iter().collect::<std::collections::BTreeSet<_>>().len();
        let mut draws = draw(&folds(3), &data, seed);
        let split = draw(&subsample(3, Amount::Share(share), None), &data, seed);
        for draw in &split {
            let trained = draw.train.iter().map(|r| ids[*r as usize]).collect::<std::collections::BTreeSet<_>>();
            prop_assert_eq!(trained.len(), ((share * distinct as f64).round() as usize).max(1));
        }
        draws.extend(split);
        draws.extend(draw(&bootstrap(3, Amount::Share(share), None), &data, seed));
        draws.extend(draw(&Windows { folds: 3, window: None, gap: 2, test: None }, &data, seed));
        for draw in draws {
            let out = held_out(&draw, n);
            let id = |row: &u32| ids[*row as usize];
            prop_assert!(!draw.train.iter().any(|row| out.iter().any(|other| id(row) == id(other))));
        }
    }

    #[test]
    fn splits_are_disjoint_and_of_the_given_size(n in 2usize..80, share in 0.01f64..0.99, seed: u64) {
        let train = ((share * n as f64).round() as usize).max(1);
        if train < n {
            for amount in [Amount::Share(share), Amount::Count(train)] {
                for draw in draw(&subsample(2, amount, None), &numbers(n), seed) {
                    prop_assert_eq!(draw.train.len(), train);
                    prop_assert!(draw.train.is_sorted_by(|a, b| a < b));
                    prop_assert_eq!(held_out(&draw, n).len(), n - train);
                }
            }
        }
    }

    #[test]
    fn strata_keep_their_proportions(
        sizes in proptest::collection::vec(8usize..40, 3),
        share in 0.2f64..0.8,
        seed: u64,
    ) {
        let ids = repeated(&sizes);
        let amount = Amount::Share(share);
        let mut draws = draw(&subsample(2, amount, None), &strata(&ids), seed);
        draws.extend(draw(&bootstrap(2, amount, Some(ResampleUnit::Strata)), &strata(&ids), seed));
        for draw in draws {
            let total = draw.train.len() as f64;
            prop_assert_eq!(total, (share * ids.len() as f64).round());
            for (count, size) in counts(&draw.train, &ids, 3).into_iter().zip(&sizes) {
                let quota = total * *size as f64 / ids.len() as f64;
                prop_assert!((count as f64 - quota).abs() < 1., "{count} {quota}");
            }
        }
    }

    #[test]
    fn every_row_of_a_group_is_drawn_as_often_as_its_group(
        sizes in proptest::collection::vec(1usize..6, 4..12),
        draws in 1usize..20,
        seed: u64,
    ) {
        let ids = repeated(&sizes);
        for draw in draw(&bootstrap(3, Amount::Count(draws), None), &groups(&ids), seed) {
            let mut drawn_groups = 0;
            for (count, size) in counts(&draw.train, &ids, sizes.len()).into_iter().zip(&sizes) {
                prop_assert_eq!(count % size, 0);
                drawn_groups += count / size;
            }
            prop_assert_eq!(drawn_groups, draws);
            let copies = |row: u32| draw.train.iter().filter(|r| **r == row).count();
            for rows in (0..ids.len() as u32).collect::<Rows>().windows(2) {
                if ids[rows[0] as usize] == ids[rows[1] as usize] {
                    prop_assert_eq!(copies(rows[0]), copies(rows[1]));
                }
            }
        }
    }

    #[test]
    fn no_row_before_the_test_window_is_held_out(n in 10usize..60, k in 1usize..5, gap in 0usize..4, window in 1usize..20) {
        let how = Windows { folds: k, window: Some(window), gap, test: Some(1) };
        for draw in draw(&how, &numbers(n), 0) {
            let (last, out) = (*draw.train.last().unwrap(), held_out(&draw, n));
            prop_assert_eq!(out[0] as usize, last as usize + 1 + gap);
            prop_assert!(draw.train.len() <= window);
        }
    }

    #[test]
    fn features_are_distinct_columns(share in 0.01f64..1., seed: u64) {
        let how = Subspace { rows: folds(2), features: Amount::Share(share) };
        for (draw, rows) in draw(&how, &numbers(10), seed).into_iter().zip(draw(&folds(2), &numbers(10), seed)) {
            let features = draw.features.clone().unwrap();
            prop_assert_eq!(features.len(), ((share * 4.).round() as usize).max(1));
            prop_assert!(features.is_sorted_by(|a, b| a < b) && features.iter().all(|f| *f < 4));
            prop_assert_eq!(Listed { features: None, ..draw }, rows);
        }
        prop_assert_eq!((how.slot(0), how.slot(1)), (0, 0));
    }
}

/// A row of a stratum of `n` is in its full-size sample with probability `1 − (1 − 1/n)ⁿ`, a group in one of
/// `m` of `g` groups with `1 − (1 − 1/g)ᵐ`. Over 4,000 samples, 5 standard deviations (at most 40 each) are
/// exceeded by chance with probability 3e-5 over all 38 counts.
#[test]
fn inclusion_frequencies_match_their_probabilities() {
    let runs = 4000;
    let included =
        |draws: &[Listed], row: u32| draws.iter().filter(|d| d.train.binary_search(&row).is_ok()).count();
    let check = |count: usize, p: f64| {
        let (mean, sd) = (runs as f64 * p, (runs as f64 * p * (1. - p)).sqrt());
        assert!((count as f64 - mean).abs() < 5. * sd, "{count} is not {mean} ± {sd}");
    };
    let sizes = [2, 5, 13];
    let ids = repeated(&sizes);
    let draws = draw(&bootstrap(runs, Amount::default(), Some(ResampleUnit::Strata)), &strata(&ids), 7);
    assert!(draws.iter().all(|draw| counts(&draw.train, &ids, 3) == sizes), "each stratum keeps its size");
    for (row, stratum) in (0u32..).zip(&ids) {
        let n = sizes[*stratum as usize] as i32;
        check(included(&draws, row), 1. - (1. - 1. / f64::from(n)).powi(n));
    }
    let draws = draw(&bootstrap(runs, Amount::Share(0.5), None), &groups(&repeated(&[1, 2, 3, 4])), 8);
    for row in [0, 1, 3, 6] {
        check(included(&draws, row), 1. - (1. - 0.25f64).powi(2));
    }
    let draws = draw(&subsample(runs, Amount::Share(0.3), None), &numbers(10), 9);
    (0..10).for_each(|row| check(included(&draws, row), 0.3));
    let how = Subspace { rows: AllRows { runs }, features: Amount::Count(3) };
    let draws = draw(&how, &numbers(2), 10);
    for feature in 0..4 {
        let has = |draw: &&Listed| draw.features.as_ref().is_some_and(|f| f.contains(&feature));
        check(draws.iter().filter(has).count(), 0.75);
    }
}
