//! Rules against the lists that were drawn before there were rules, and the draws by blocks against closed forms.
use super::{blocks::*, *};
use crate::{
    data::{apportion, members, Batch, Dataset, Fingerprint, Split, Task},
    resample::*,
    Seed,
};
use candle_core::{Device, Result as CandleResult};
use proptest::prelude::*;
use rand::{
    seq::{IndexedRandom, SliceRandom},
    Rng,
};
use std::collections::{BTreeMap, BTreeSet};

/// A data set with so many rows, and no content.
#[derive(Clone, Default)]
pub(crate) struct Stub {
    rows: usize,
    pub(crate) strata: Option<Vec<u32>>,
    pub(crate) groups: Option<Vec<u32>>,
}

impl Dataset for Stub {
    fn rows(&self) -> usize {
        self.rows
    }
    fn task(&self) -> Task {
        Task::Regression { outputs: 1 }
    }
    fn batch(&self, _: &[u32], _: &Device) -> CandleResult<Batch> {
        candle_core::bail!("no content")
    }
    fn strata(&self) -> Option<&[u32]> {
        self.strata.as_deref()
    }
    fn groups(&self) -> Option<&[u32]> {
        self.groups.as_deref()
    }
    fn fingerprint(&self) -> Fingerprint {
        Fingerprint::of(b"stub")
    }
}

/// The rows, with strata or groups of these ids.
pub(crate) fn stub(rows: usize, unit: ResampleUnit, ids: impl Fn(u32) -> u32) -> Stub {
    let ids = || Some((0..rows as u32).map(&ids).collect());
    match unit {
        ResampleUnit::Rows => Stub { rows, ..Stub::default() },
        ResampleUnit::Strata => Stub { rows, strata: ids(), groups: None },
        ResampleUnit::Groups => Stub { rows, strata: None, groups: ids() },
    }
}

pub(crate) const UNITS: [ResampleUnit; 3] = [ResampleUnit::Rows, ResampleUnit::Strata, ResampleUnit::Groups];

// ---- The algorithms of before there were rules.

fn bootstrap_before(data: &Stub, draws: usize, seed: Seed) -> Rows {
    let mut rng = seed.rng();
    let lists = |ids: &[u32]| members(ids).unwrap().into_values().collect::<Vec<Rows>>();
    let mut sample: Rows = match (&data.strata, &data.groups) {
        (_, Some(ids)) => {
            let groups = lists(ids);
            (0..draws).filter_map(|_| groups.choose(&mut rng)).flatten().copied().collect()
        }
        (Some(ids), _) => {
            let strata = lists(ids);
            let sizes: Vec<usize> = strata.iter().map(Vec::len).collect();
            let shares = apportion(&sizes, draws, |_| usize::MAX).unwrap();
            let of_stratum = |(rows, draws): (&Rows, usize)| -> Rows {
                (0..draws).filter_map(|_| rows.choose(&mut rng)).copied().collect()
            };
            strata.iter().zip(shares).flat_map(of_stratum).collect()
        }
        _ => (0..draws).map(|_| rng.random_range(0..data.rows as u32)).collect(),
    };
    sample.sort_unstable();
    sample
}

fn folds_before(data: &Stub, k: usize, seed: Seed) -> Vec<usize> {
    let mut folds = vec![0; data.rows];
    if let Some(ids) = &data.groups {
        let mut groups: Vec<Rows> = members(ids).unwrap().into_values().collect();
        groups.shuffle(&mut seed.rng());
        groups.sort_by_key(|rows| std::cmp::Reverse(rows.len()));
        let mut sizes = vec![0; k];
        for rows in groups {
            let smallest = (0..k).min_by_key(|fold| sizes[*fold]).unwrap();
            sizes[smallest] += rows.len();
            rows.into_iter().for_each(|row| folds[row as usize] = smallest);
        }
        return folds;
    }
    let mut strata: Vec<Rows> = match &data.strata {
        Some(ids) => members(ids).unwrap().into_values().collect(),
        None => vec![(0..data.rows as u32).collect()],
    };
    strata.sort_unstable();
    let mut rng = seed.rng();
    strata.iter_mut().for_each(|rows| rows.shuffle(&mut rng));
    for (position, row) in strata.concat().into_iter().enumerate() {
        folds[row as usize] = position % k;
    }
    folds
}

// ---- Rules.

/// Checks that the functions of a rule agree, and returns its rows.
pub(crate) fn consistent(rows: &PlannedRows, below: u32) -> Rows {
    let list = rows.to_vec().unwrap();
    assert!(list.is_sorted());
    assert_eq!(rows.len().unwrap(), list.len());
    assert_eq!(rows.iter().unwrap().collect::<Rows>(), list);
    assert_eq!(rows.is_empty(), list.is_empty());
    let set: BTreeSet<u32> = list.iter().copied().collect();
    assert_eq!(rows.bitmap().unwrap(), set.iter().copied().collect::<Rows>());
    let some = list.iter().step_by(list.len() / 3 + 1).copied().chain([0, below / 2, below - 1]);
    // Each draws the rows before it.
    some.take(if below < BLOCK { 6 } else { 1 })
        .for_each(|row| assert_eq!(rows.contains(row).unwrap(), set.contains(&row)));
    assert_eq!(*rows, list);
    assert!(rows.out_of_range(below).is_none());
    list
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn rules_of_one_block_draw_the_lists_of_before(rows in 30usize..90, ids in 2u32..7, seed: u64) {
        let own = Seed::from(seed);
        for unit in UNITS {
            let data = stub(rows, unit, |row| row * 7919 % ids);
            let bags = Bootstrap { runs: 2, amount: Amount::Share(0.7), unit: Some(unit) }.draw(&data, own)?;
            let draws = if unit == ResampleUnit::Groups { ids as usize } else { rows } as f64 * 0.7;
            for (run, bag) in (0..).zip(&bags) {
                let before = bootstrap_before(&data, draws.round() as usize, own.nth("bootstrap", run));
                prop_assert_eq!(consistent(&bag.train, rows as u32), before);
            }
            let folds = Folds { k: 2, repeats: 2, unit: None, refit: false }.draw(&data, own)?;
            for (run, fold) in folds.iter().enumerate() {
                let of_row = folds_before(&data, 2, own.nth("folds", run as u64 / 2));
                let before: Rows = (0..rows as u32).filter(|row| of_row[*row as usize] != run % 2).collect();
                prop_assert_eq!(consistent(&fold.train, rows as u32), before);
            }
            let splits = Subsample { runs: 2, amount: Amount::Count(1), unit: None }.draw(&data, own);
            for (run, split) in (0..).zip(splits.unwrap_or_default()) {
                let seed = own.nth("split", run);
                let before = match unit {
                    ResampleUnit::Rows => Split::random_of(rows, rows - 1, seed),
                    ResampleUnit::Strata => Split::stratified_of(data.strata().unwrap(), rows - 1, seed),
                    ResampleUnit::Groups => Split::grouped_of(data.groups().unwrap(), ids as usize - 1, seed),
                }?;
                prop_assert_eq!(consistent(&split.train, rows as u32), before.train);
            }
        }
    }
}

#[test]
fn rules_of_any_origin_have_few_steps() {
    let mut rows = PlannedRows::from(0..10);
    for _ in 0..=MOST_STEPS {
        assert!(rows.iter().is_ok());
        rows = rows.then(Step::Without(Base::Range(3..4)));
    }
    assert!(rows.iter().map(drop).unwrap_err().to_string().contains("must be at most 8"));
    assert_eq!(PlannedRows::from(vec![4, 2]).with(&vec![3].into()).unwrap(), [2, 3, 4]);
    assert_eq!(PlannedRows::from(2..5).with(&vec![9, 3].into()).unwrap(), [2, 3, 3, 4, 9]);
    assert!(PlannedRows::from(5..5).is_empty());
}

// ---- Data of several blocks.

/// Two blocks and a part of a third.
pub(crate) const ROWS: usize = 2 * (1 << 16) + 9_000;

/// The counts of strata in each fold differ by one at most within blocks that were dealt in turn, and so do those of the
/// whole, because the count goes on from block to block.
#[test]
fn folds_of_several_blocks_have_the_sizes_of_k_fold() {
    for k in [2, 7, 1000] {
        let data = stub(ROWS, ResampleUnit::Strata, |row| row % 3);
        let mut counts = BTreeMap::<u32, Vec<usize>>::new();
        for fold in [0, 1, k - 1] {
            let how = How::Folds { k: k as u32, fold: fold as u32 };
            let units = RowUnits::of(&data, ResampleUnit::Strata).unwrap();
            let out = PlannedRows::drawn(&units, how, Seed::from(4)).bitmap().unwrap().complement(ROWS);
            assert_eq!(out.len(), ROWS / k + usize::from(fold < ROWS % k), "as KFold");
            for stratum in 0..3 {
                counts.entry(stratum).or_default().push(out.iter().filter(|row| row % 3 == stratum).count());
            }
        }
        for counts in counts.values() {
            assert!(counts.iter().max().unwrap() - counts.iter().min().unwrap() <= 1, "{counts:?}");
        }
    }
}

/// `k` successes of a hypergeometric or binomial distribution, as a number of standard deviations from the mean.
fn z(count: usize, mean: f64, variance: f64) -> f64 {
    (count as f64 - mean) / variance.sqrt()
}

/// Each of the 2 × 3 counts of blocks, over 200 seeds, as standard deviations from their closed forms: means of 200 of them
/// are below 5 / √200, and their mean squares within 5 √(2 / 200) of 1. A correct draw fails with a probability of 1e-5.
#[test]
fn counts_of_blocks_are_multinomial_and_hypergeometric() {
    let data = stub(ROWS, ResampleUnit::Rows, |_| 0);
    let units = RowUnits::of(&data, ResampleUnit::Rows).unwrap();
    let (n, sizes) = (40_000, [65_536usize, 65_536, 9_000]);
    let all = ROWS as f64;
    let mut scores = vec![vec![]; 6];
    for seed in 0..200 {
        let hows = [How::Bootstrap { draws: n }, How::Split { test: n, side: Side::Test }];
        for (kind, how) in hows.into_iter().enumerate() {
            let rows = PlannedRows::drawn(&units, how, Seed::from(seed)).to_vec().unwrap();
            assert_eq!(rows.len(), n as usize);
            for (block, size) in sizes.iter().enumerate() {
                let count = rows.iter().filter(|row| (**row / BLOCK) as usize == block).count();
                let p = *size as f64 / all;
                let n = f64::from(n);
                let finite = if kind == 0 { 1. } else { (all - n) / (all - 1.) };
                scores[3 * kind + block].push(z(count, n * p, n * p * (1. - p) * finite));
            }
        }
    }
    for scores in scores {
        let mean = scores.iter().sum::<f64>() / 200.;
        let square = scores.iter().map(|z| z * z).sum::<f64>() / 200.;
        assert!(
            mean.abs() < 5. / 200f64.sqrt() && (square - 1.).abs() < 5. * (2f64 / 200.).sqrt(),
            "{mean} {square}"
        );
    }
}

/// How often each row is drawn, of streams of 3 blocks of which only some rows are looked at. Over 80 seeds, the number of
/// seeds that draw a row is binomial; 5 standard deviations are exceeded by chance with a probability of 4e-5 over all 66
/// counts. Two neighbours of a sample without replacement are drawn together with `n (n − 1) / (N (N − 1))`, those of a
/// bootstrap independently but for the number of draws.
#[test]
fn rows_of_several_blocks_are_included_with_the_probability_of_the_closed_form() {
    let (rows, n, seeds) = (2 * BLOCK + 500, 60_000u32, 80);
    let looked_at: Rows = (0..22).map(|i| i * 5_981).collect();
    let (nf, all) = (f64::from(n), f64::from(rows));
    let mut counts = [vec![0; 22], vec![0; 22], vec![0; 22]];
    let mut pairs = 0;
    for seed in 0..seeds {
        let seed = Seed::from(seed);
        let streams: [RowIter<'_>; 3] = [
            interleaved(None, rows, vec![Draws::new(rows, n as usize, seed)]),
            interleaved(None, rows, vec![Selected::new(rows as usize, n as usize, true, seed)]),
            interleaved(None, rows, vec![Dealt::new(rows, 3, (5, 1), seed)]),
        ];
        for (counts, stream) in counts.iter_mut().zip(streams) {
            let set: RowBitmap = stream.collect();
            counts
                .iter_mut()
                .zip(&looked_at)
                .for_each(|(count, row)| *count += usize::from(set.contains(*row)));
            if set.len() == n as usize {
                pairs += (0..21).filter(|i| set.contains(i * 5_981) && set.contains((i + 1) * 5_981)).count();
            }
        }
    }
    let p = [1. - (1. - 1. / all).powf(nf), nf / all, 0.8];
    for (counts, p) in counts.iter().zip(p) {
        for count in counts {
            assert!(
                z(*count, seeds as f64 * p, seeds as f64 * p * (1. - p)).abs() < 5.,
                "{count} of {seeds}, {p}"
            );
        }
    }
    // Of each sample 21 pairs, which overlap: the variance is at most three times that of independent ones.
    let p = nf * (nf - 1.) / (all * (all - 1.));
    let trials = 21. * seeds as f64;
    assert!(z(pairs, trials * p, 3. * trials * p * (1. - p)).abs() < 5., "{pairs}");
}

/// Two runs of one plan agree on as many rows as independent samples do: `n² / N` on average, with the variance of the
/// hypergeometric distribution. Over 20 pairs, 5 standard deviations are exceeded with a probability of 1e-5.
#[test]
fn runs_are_independent() {
    let data = stub(ROWS, ResampleUnit::Rows, |_| 0);
    let runs =
        Subsample { runs: 21, amount: Amount::Share(0.3), unit: None }.draw(&data, Seed::from(5)).unwrap();
    let sets: Vec<RowBitmap> = runs.iter().map(|run| run.train.bitmap().unwrap()).collect();
    let (n, all) = (sets[0].len() as f64, ROWS as f64);
    for pair in sets.windows(2) {
        let common = pair[0].intersection(&pair[1]).len();
        let (p, finite) = (n / all, (all - n) / (all - 1.));
        assert!(z(common, n * p, n * p * (1. - p) * finite).abs() < 5., "{common}");
    }
}
