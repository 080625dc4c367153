//! The final scores, on rows that no decision saw.
use crate::{
    codec,
    data::{Dataset, Scaler, View},
    diagnose::{members, not_finite, Attempt},
    evaluate::study::{
        over_rows::{Resampled, Units},
        test_rows::TestRows,
    },
    improve::{layout, together::Together, FinalScores, Improve, Spent},
    metrics::{Metric, MetricList},
    plan::Plan,
    remedy::Setup,
    statistics::{quantile, Interval, Summary},
    Member, Network, Result, Rows, Seed,
};
use candle_core::Tensor;
use rand::Rng;
use std::collections::BTreeMap;

/// The level of the interval.
const LEVEL: f64 = 0.95;
/// Resamples of the test rows and the runs.
const RESAMPLES: usize = 2000;
/// The same where the metric has to be computed anew for each of them.
const FEW_RESAMPLES: usize = 400;

/// The final trainings of a setup.
pub(super) struct Final {
    pub(super) scores: FinalScores,
    /// The predictions of each run for the test rows; `None` if it diverged.
    pub(super) predictions: Vec<Option<Tensor>>,
    /// The plan and the members of the first run that has not diverged.
    pub(super) product: Option<(Plan, Vec<Member>)>,
    pub(super) spent: Spent,
}

/// The rows of the final scores, and all metrics of them.
pub(super) struct FinalRows<'v> {
    view: &'v View<'v>,
    rows: TestRows,
}

impl<'v> FinalRows<'v> {
    /// Scores these rows by the metric that decides and by the usual ones of the task.
    pub(super) fn new(view: &'v View<'v>, scaler: Option<&Scaler>, metric: &Metric) -> Result<Self> {
        let usual = MetricList::for_task(view.task());
        let others = usual.metrics().iter().filter(|other| other.name() != metric.name()).cloned();
        let metrics = MetricList::new(std::iter::once(metric.clone()).chain(others).collect())?;
        Ok(Self { view, rows: TestRows::of(view, scaler, metrics)? })
    }

    /// The gain from one setup to another in the first metric, positive for better, with its percentile
    /// interval: a bootstrap over the test rows (over whole groups, where there are groups, and with all
    /// positions of a row) and over the runs, which are paired by their seeds. `None` if no pair of runs is left that did not diverge.
    pub(super) fn gain(&self, from: &Final, to: &Final, seed: Seed) -> Result<Option<Interval>> {
        let units = Units::new(self.rows.targets().dim(0)?, self.rows.groups(), seed);
        let pairs = from.predictions.iter().zip(&to.predictions);
        let pairs = pairs.filter_map(|(from, to)| Some((from.as_ref()?, to.as_ref()?)));
        let of = |predicted| Resampled::new(&self.rows, &units, predicted);
        let pairs = pairs.map(|(from, to)| Ok((of(from)?, of(to)?))).collect::<Result<Vec<_>>>()?;
        let Some((first, _)) = pairs.first() else { return Ok(None) };
        let resamples = match first {
            Resampled::Sums(_) => RESAMPLES,
            Resampled::Predicted(_) => FEW_RESAMPLES,
        };
        let sign = if self.rows.metrics().headline().higher_is_better() { 1. } else { -1. };
        let gains = |counts: &[u8]| -> Result<Vec<f64>> {
            let metric = |of: &Resampled| of.metric(&self.rows, &units, counts);
            pairs.iter().map(|(from, to)| Ok(sign * (metric(to)? - metric(from)?))).collect()
        };
        let mean = |gains: &[f64]| gains.iter().sum::<f64>() / gains.len() as f64;
        let estimate = mean(&gains(&vec![1; units.count])?);
        let mut values = vec![];
        for resample in 0..resamples {
            let gains = gains(&units.draw(seed, resample))?;
            let mut rng = seed.nth("runs", resample as u64).rng();
            let drawn = gains.iter().map(|_| gains.get(rng.random_range(0..gains.len())).copied());
            values.push(mean(&drawn.flatten().collect::<Vec<_>>()));
        }
        values.sort_unstable_by(f64::total_cmp);
        let tail = (1. - LEVEL) / 2.;
        let (low, high) = (quantile(&values, tail), quantile(&values, 1. - tail));
        Ok(Some(Interval { estimate, low, high, level: LEVEL }))
    }

    /// The mean and the standard deviation of each metric over the runs.
    fn scores(&self, predictions: &[Option<Tensor>]) -> Result<FinalScores> {
        let scored = predictions.iter().flatten().map(|predicted| self.rows.scores(predicted));
        let scored = scored.collect::<Result<Vec<Vec<f64>>>>()?;
        let (mut metrics, mut spread) = (BTreeMap::new(), BTreeMap::new());
        for (place, name) in self.rows.metrics().names().into_iter().enumerate() {
            let values: Vec<f64> = scored.iter().filter_map(|scores| scores.get(place).copied()).collect();
            // Without runs, or with a value that is not finite, there is no mean.
            let summary = Summary::of(&values).ok();
            metrics.insert(name.clone(), summary.map_or(f64::NAN, |summary| summary.mean));
            spread.insert(name, summary.and_then(|summary| summary.sd).unwrap_or(f64::NAN));
        }
        let diverged = predictions.iter().filter(|predicted| predicted.is_none()).count();
        Ok(FinalScores { metrics, spread, diverged, runs: predictions.len() })
    }
}

impl<N: Network> Improve<'_, N> {
    /// Trains setups on all rows of a view, with the same seeds, and scores them.
    pub(super) fn finals(
        &self,
        setups: &[&Setup],
        view: &View<'_>,
        rows: &FinalRows<'_>,
        seed: Seed,
    ) -> Result<Vec<Final>> {
        let all: Rows = (0..view.rows() as u32).collect();
        let mut plans = vec![];
        for setup in setups {
            for run in 0..self.final_runs {
                let seed = seed.nth("run", run as u64);
                plans.push(layout::plan(setup, self.trainer, view, (&all, &[]), seed)?);
            }
        }
        let folder = self.folder.as_ref().map(|folder| folder.join("final"));
        let attempts = self.attempts_on(self.trainer, view, folder).train(&plans)?;
        let of_setups = plans.chunks(self.final_runs).zip(attempts.chunks(self.final_runs));
        setups.iter().zip(of_setups).map(|(setup, of)| self.final_of(setup, of, view, rows)).collect()
    }

    fn final_of(
        &self,
        setup: &Setup,
        (plans, attempts): (&[Plan], &[Vec<Attempt>]),
        view: &View<'_>,
        rows: &FinalRows<'_>,
    ) -> Result<Final> {
        let (mut predictions, mut product, mut spent) = (vec![], None, Spent::default());
        for (plan, attempts) in plans.iter().zip(attempts) {
            let epochs = attempts.iter().map(|attempt| attempt.records().len()).sum();
            spent += Spent { trainings: attempts.len(), epochs };
            let members = members(attempts, plan);
            let predicted = match &members {
                Some(members) => {
                    let pool = self.pool(members.clone(), self.trainer, view, plan)?;
                    let ensemble = not_finite(Together::of(setup)?.ensemble(&pool))?;
                    let predicted = ensemble.map(|ensemble| {
                        not_finite(ensemble.on(rows.view).predict_scored(&rows.rows.scored()))
                    });
                    predicted.transpose()?.flatten()
                }
                None => None,
            };
            let predicted = predicted.map(|predicted| rows.rows.in_units(&predicted)).transpose()?;
            if let (None, Some(members), Some(_)) = (&product, members, &predicted) {
                product = Some((plan.clone(), members));
            }
            predictions.push(predicted);
        }
        Ok(Final { scores: rows.scores(&predictions)?, predictions, product, spent })
    }
}

/// A seed as a text of hexadecimal digits.
pub(super) fn hex(seed: Seed) -> Result<String> {
    Ok(codec::encode(&seed)?.iter().map(|byte| format!("{byte:02x}")).collect())
}
