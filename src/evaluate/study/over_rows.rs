//! The interval of a difference over the test rows, for a study with one repeat.
use super::{test_rows::TestRows, LEVEL};
use crate::{
    statistics::{quantile, Interval},
    Error, Result, Seed,
};
use candle_core::Tensor;
use rand::{seq::SliceRandom, Rng};
use rayon::prelude::*;
use std::collections::BTreeMap;

/// Resamples of the test rows.
const RESAMPLES: usize = 2000;
/// The same where the metric has to be computed anew for each of them.
const FEW_RESAMPLES: usize = 400;
/// The most units that are drawn. More are dealt into so many bins at random.
const MAX_UNITS: usize = 8192;

/// What is drawn: the rows, whole groups of them, or bins of either.
pub(crate) struct Units {
    /// The unit of each row.
    of_row: Vec<u32>,
    pub(crate) count: usize,
}

impl Units {
    /// The units of `rows` rows, which are in these groups.
    pub(crate) fn new(rows: usize, groups: Option<&[u32]>, seed: Seed) -> Self {
        let mut numbers: BTreeMap<u32, u32> = BTreeMap::new();
        let mut of_row: Vec<u32> = match groups {
            None => (0..rows as u32).collect(),
            Some(groups) => {
                let mut number = |group: &u32| {
                    let next = numbers.len() as u32;
                    *numbers.entry(*group).or_insert(next)
                };
                groups.iter().map(&mut number).collect()
            }
        };
        let mut count = of_row.iter().max().map_or(0, |last| *last as usize + 1);
        if count > MAX_UNITS {
            let mut bins: Vec<u32> = (0..count as u32).map(|unit| unit % MAX_UNITS as u32).collect();
            bins.shuffle(&mut seed.child("bins").rng());
            of_row.iter_mut().for_each(|unit| *unit = bins.get(*unit as usize).copied().unwrap_or_default());
            count = MAX_UNITS;
        }
        Self { of_row, count }
    }

    /// How often each unit is drawn in a resample.
    pub(crate) fn draw(&self, seed: Seed, resample: usize) -> Vec<u8> {
        let mut rng = seed.nth("bootstrap", resample as u64).rng();
        let mut counts = vec![0u8; self.count];
        for _ in 0..self.count {
            if let Some(count) = counts.get_mut(rng.random_range(0..self.count)) {
                *count = count.saturating_add(1);
            }
        }
        counts
    }
}

/// One predictor, in the form that is resampled.
pub(crate) enum Resampled {
    /// For a metric that is a function of a mean over rows: the sum of weighted losses and of weights of each
    /// unit.
    Sums(Vec<(f64, f64)>),
    /// The predictions, for other metrics.
    Predicted(Tensor),
}

impl Resampled {
    pub(crate) fn new(rows: &TestRows, units: &Units, predicted: &Tensor) -> Result<Self> {
        let Some(losses) = rows.losses(predicted)? else { return Ok(Self::Predicted(predicted.clone())) };
        let mut sums = vec![(0., 0.); units.count];
        for ((row, loss), unit) in losses.iter().enumerate().zip(&units.of_row) {
            if let Some((sum, total)) = sums.get_mut(*unit as usize) {
                let weight = rows.weight(row);
                (*sum, *total) = (*sum + weight * loss, *total + weight);
            }
        }
        Ok(Self::Sums(sums))
    }

    /// The headline metric where each unit is drawn so many times.
    pub(crate) fn metric(&self, rows: &TestRows, units: &Units, counts: &[u8]) -> Result<f64> {
        match self {
            Self::Sums(sums) => {
                let terms = sums.iter().zip(counts).map(|((sum, total), n)| {
                    let n = f64::from(*n);
                    (n * sum, n * total)
                });
                let (sum, total) = terms.fold((0., 0.), |all, term| (all.0 + term.0, all.1 + term.1));
                rows.of_mean(sum / total)
            }
            Self::Predicted(predicted) => {
                let count = |unit: &u32| counts.get(*unit as usize).copied().map_or(0., f64::from);
                let counted =
                    units.of_row.iter().enumerate().map(|(row, unit)| rows.weight(row) * count(unit));
                rows.score(predicted, Some(&counted.collect::<Vec<_>>()))
            }
        }
    }
}

/// The bootstrap over the test rows, or over whole groups of them where the test data has groups.
pub(super) struct OverRows<'r> {
    rows: &'r TestRows,
    units: Units,
    /// How often each unit is drawn, by resample.
    counts: Vec<Vec<u8>>,
    /// The mean metric of the single networks: of all rows, and of each resample.
    single: f64,
    singles: Vec<f64>,
}

impl<'r> OverRows<'r> {
    /// For the differences from single networks with these predictions.
    pub(super) fn new(rows: &'r TestRows, singles: &[Tensor], seed: Seed) -> Result<Self> {
        let units = Units::new(rows.targets().dim(0)?, rows.groups(), seed);
        let singles = singles.iter().map(|p| Resampled::new(rows, &units, p)).collect::<Result<Vec<_>>>()?;
        let resamples = match singles.first() {
            Some(Resampled::Sums(_)) => RESAMPLES,
            _ => FEW_RESAMPLES,
        };
        let counts: Vec<Vec<u8>> =
            (0..resamples).into_par_iter().map(|resample| units.draw(seed, resample)).collect();
        let mean_single = |counts: &[u8]| -> Result<f64> {
            let all = singles.iter().map(|single| single.metric(rows, &units, counts));
            let all = all.collect::<Result<Vec<f64>>>()?;
            match all.is_empty() {
                true => Err(Error::invalid("the number of single networks", "at least 1", 0)),
                false => Ok(all.iter().sum::<f64>() / all.len() as f64),
            }
        };
        let single = mean_single(&vec![1; units.count])?;
        let means = counts.iter().map(|counts| mean_single(counts)).collect::<Result<_>>()?;
        Ok(Self { rows, counts, single, singles: means, units })
    }

    /// The difference of a predictor from the single networks, with its percentile interval.
    pub(super) fn difference(&self, predicted: &Tensor) -> Result<Interval> {
        let resampled = Resampled::new(self.rows, &self.units, predicted)?;
        let metric = |counts: &[u8]| resampled.metric(self.rows, &self.units, counts);
        let estimate = metric(&vec![1; self.units.count])? - self.single;
        let pairs = self.counts.iter().zip(&self.singles);
        let mut values =
            pairs.map(|(counts, single)| Ok(metric(counts)? - single)).collect::<Result<Vec<f64>>>()?;
        values.sort_unstable_by(f64::total_cmp);
        let tail = (1. - LEVEL) / 2.;
        let (low, high) = (quantile(&values, tail), quantile(&values, 1. - tail));
        Ok(Interval { estimate, low, high, level: LEVEL })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        data::{Dataset, TensorDataset},
        metrics::MetricList,
    };
    use candle_core::{DType, Device};

    fn rows(groups: Option<&[u32]>, metrics: &str) -> TestRows {
        let x = Tensor::zeros((4, 1), DType::F32, &Device::Cpu).unwrap();
        let ids = Tensor::new(&[0u32, 1, 1, 0], &Device::Cpu).unwrap();
        let mut test = TensorDataset::classification(x, &ids).unwrap();
        if let Some(groups) = groups {
            test = test.with_groups(groups.to_vec()).unwrap();
        }
        assert_eq!(Dataset::groups(&test), groups);
        TestRows::of(&test, None, MetricList::parse(metrics).unwrap()).unwrap()
    }

    fn predicted() -> Tensor {
        Tensor::new(&[[0.9, 0.1], [0.6, 0.4], [0.2, 0.8], [0.3, 0.7f64]], &Device::Cpu).unwrap()
    }

    #[test]
    fn resampled_metrics_are_those_of_repeated_rows() {
        let (all, counts) = (predicted().to_vec2::<f64>().unwrap(), [2, 0, 1, 1]);
        let repeated: Vec<Vec<f64>> = [0, 0, 2, 3].map(|row: usize| all[row].clone()).to_vec();
        let repeated = Tensor::new(repeated, &Device::Cpu).unwrap();
        let ids = Tensor::new(&[0u32, 0, 1, 0], &Device::Cpu).unwrap();
        for name in ["accuracy", "nll", "brier", "ece", "f1-macro"] {
            let rows = rows(None, name);
            let units = Units::new(4, None, Seed::from(1));
            let resampled = Resampled::new(&rows, &units, &predicted()).unwrap();
            let got = resampled.metric(&rows, &units, &counts).unwrap();
            let want = MetricList::parse(name).unwrap().headline().compute(&repeated, &ids, None).unwrap();
            assert!((got - want).abs() < 1e-12, "{name}: {got} is not {want}");
        }
    }

    /// Rows of one group are drawn together, so a resample has all or none of them equally often.
    #[test]
    fn groups_are_drawn_whole() {
        for name in ["nll", "ece"] {
            let rows = rows(Some(&[7, 3, 7, 3]), name);
            let units = Units::new(4, rows.groups(), Seed::from(1));
            assert_eq!((units.count, &units.of_row[..]), (2, &[0, 1, 0, 1][..]));
            let resampled = Resampled::new(&rows, &units, &predicted()).unwrap();
            let got = resampled.metric(&rows, &units, &[2, 0]).unwrap();
            let only = predicted().index_select(&Tensor::new(&[0u32, 2], &Device::Cpu).unwrap(), 0).unwrap();
            let ids = Tensor::new(&[0u32, 1], &Device::Cpu).unwrap();
            let want = MetricList::parse(name).unwrap().headline().compute(&only, &ids, None).unwrap();
            assert!((got - want).abs() < 1e-12, "{name}: {got} is not {want}");
        }
    }

    #[test]
    fn many_rows_are_dealt_into_bins_of_about_the_same_size() {
        let units = Units::new(100_000, None, Seed::from(1));
        assert_eq!(units.count, MAX_UNITS);
        let mut sizes = vec![0usize; MAX_UNITS];
        units.of_row.iter().for_each(|unit| sizes[*unit as usize] += 1);
        assert!(sizes.iter().all(|size| (12..=13).contains(size)));
        // Not in the order of the rows.
        assert!(units.of_row.windows(2).filter(|pair| pair[1] == pair[0] + 1).count() < 100);
    }

    /// The percentile interval of the mean of 200 values has about the width of the normal one.
    #[test]
    fn the_interval_is_that_of_the_mean() {
        let n = 200;
        let x = Tensor::zeros((n, 1), DType::F32, &Device::Cpu).unwrap();
        let y = Tensor::zeros(n, DType::F64, &Device::Cpu).unwrap();
        let test = TensorDataset::regression(x, &y).unwrap();
        let rows = TestRows::of(&test, None, MetricList::parse("mae").unwrap()).unwrap();
        let errors: Vec<f64> = (0..n).map(|i| (i * 37 % n) as f64 / n as f64).collect();
        let predicted = Tensor::from_vec(errors, (n, 1), &Device::Cpu).unwrap();
        let single = Tensor::ones((n, 1), DType::F64, &Device::Cpu).unwrap();
        let interval =
            OverRows::new(&rows, &[single], Seed::from(3)).unwrap().difference(&predicted).unwrap();
        let half = 1.96 * (1f64 / 12.).sqrt() / (n as f64).sqrt();
        assert!((interval.estimate + 0.5025).abs() < 1e-12, "{interval:?}");
        assert!(((interval.high - interval.low) / (2. * half) - 1.).abs() < 0.08, "{interval:?} {half}");
    }
}
