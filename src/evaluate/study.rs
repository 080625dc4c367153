//! Studies: repeated independent ensembles compared with single networks, on test rows.
use crate::{
    combine::FittedCombiner,
    data::{Dataset, Inputs, Scaler, TensorDataset},
    evaluate::{
        size_curve, EnsembleReport, RepeatReport, SingleReport, SizePoint, SizeSummary, VarianceReport,
    },
    kernels::argmax::argmax_rows,
    metrics::{bootstrap_statistic, t_interval, Interval, Metrics, Summary},
    network::Scale,
    plan::Plan,
    predictions::Predictions,
    store::Store,
    strategy::EnsembleBuilder,
    train::Learner,
    Error, Pool, Result, Seed, Session,
};
use candle_core::{DType, Device, Tensor};
use std::{collections::BTreeMap, time::Instant};

/// Number of rows in a forward pass.
const ROWS: usize = 1024;
/// The level of every interval.
const LEVEL: f64 = 0.95;
const RESAMPLES: usize = 2000;

/// Compares ensembles of several strategies and combiners with single networks, over independent repeats, on
/// test rows.
///
/// Each repeat trains a baseline and one ensemble of each strategy from a seed of its own. The members of the
/// baseline, each on its own, are the single networks. The [`VarianceReport`] has the mean and standard
/// deviation of every metric over the repeats, the difference from a single network with its 95 % interval,
/// and what training and prediction cost.
///
/// Use it to decide whether an ensemble is worth its cost on your data. With one repeat the interval of the
/// difference is a bootstrap over the test rows, and nothing is known about the spread from training to
/// training.
///
/// Cost: `repeats` times the training of the baseline and of each strategy.
///
/// ```
/// use candle_core::{Device, Tensor};
/// use candle_ensemble::{combine::*, data::*, evaluate::Study, strategy::*, train::Trainer, Seed, Session};
///
/// let x = Tensor::arange(0f32, 80., &Device::Cpu)?.affine(0.02, -0.8)?.reshape((40, 2))?;
/// let y = Tensor::from_iter((0..40u32).map(|i| i / 20), &Device::Cpu)?;
/// let all = TensorDataset::classification(x, &y)?;
/// let split = Split::stratified(all.strata().unwrap_or_default(), 0.3, Seed::from(1))?;
/// let (train, test) = (all.subset(&split.train)?, all.subset(&split.test)?);
/// let trainer = Trainer::new(|vb| candle_nn::linear(2, 2, vb)).epochs(2);
///
/// let report = Study::new(Session::new(&trainer, &train), &test)
///     .repeats(3)
///     .run(&MultiRun::new(4), &[&MultiRun::new(4), &Bagging::new(4)], &[&Mean, &HardVote], 42)?;
/// println!("{}", report.table());
/// # assert_eq!(report.ensembles.len(), 4);
/// # Ok::<(), candle_ensemble::Error>(())
/// ```
#[allow(missing_debug_implementations)] // neither learner nor data set need be Debug
pub struct Study<'a, L> {
    session: Session<'a, L>,
    test: &'a TensorDataset,
    scaler: Option<&'a Scaler>,
    stores: Option<&'a Stores<'a>>,
    repeats: usize,
}

/// A function from the name of a build to its store.
type Stores<'a> = dyn Fn(&str) -> Result<Box<dyn Store>> + 'a;

impl<'a, L: Learner> Study<'a, L> {
    /// A study that trains with `session` and measures on `test`.
    pub fn new(session: Session<'a, L>, test: &'a TensorDataset) -> Self {
        Self { session, test, scaler: None, stores: None, repeats: 10 }
    }

    /// Sets the scaler of the targets, so that predictions and test targets are measured in the original
    /// units, in f64. The test targets may be of another float type than those trained on, such as f64 beside
    /// f32.
    #[must_use]
    pub fn target_scaler(mut self, scaler: &'a Scaler) -> Self {
        self.scaler = Some(scaler);
        self
    }

    /// Sets where members are kept: `stores` returns the store of a build from its name, such as
    /// `"repeat-003/bootstrap"`. An interrupted study that is run again with the same stores resumes. By
    /// default members are kept in memory.
    #[must_use]
    pub fn stores(mut self, stores: &'a Stores<'a>) -> Self {
        self.stores = Some(stores);
        self
    }

    /// Sets the number of independent repeats, at least 1; the default is 10.
    #[must_use]
    pub fn repeats(mut self, repeats: usize) -> Self {
        self.repeats = repeats;
        self
    }

    /// Runs the study. `baseline` trains the single networks; a strategy with the same plan is not trained a
    /// second time. The combiners must be ones that have nothing to learn, such as
    /// [`Mean`](crate::combine::Mean).
    ///
    /// # Errors
    /// When the test data does not fit the training data, a parameter is out of range, or a run fails.
    pub fn run(
        &self,
        baseline: &dyn EnsembleBuilder,
        strategies: &[&dyn EnsembleBuilder],
        combiners: &[&dyn FittedCombiner],
        seed: impl Into<Seed>,
    ) -> Result<VarianceReport> {
        let (seed, data) = (seed.into(), self.session.data());
        for (what, count) in
            [("repeats", self.repeats), ("strategies", strategies.len()), ("combiners", combiners.len())]
        {
            if count == 0 {
                return Err(Error::invalid(what, "at least 1", 0));
            }
        }
        if data.task() != self.test.task() {
            let must = format!("that of the training data, {:?}", data.task());
            return Err(Error::invalid("the task of the test data", must, format!("{:?}", self.test.task())));
        }
        let truth = Truth::of(self.test, self.scaler)?;
        let needs_logs = combiners.iter().any(|combiner| combiner.scale() == Scale::LogProbability);
        let pairs = strategies.iter().flat_map(|s| combiners.iter().map(|c| Collected::new(s.name(), *c)));
        let (mut singles, mut last, mut collected) = (vec![], None, pairs.collect::<Vec<_>>());
        for repeat in 0..self.repeats {
            let seed = seed.nth("repeat", repeat as u64);
            let plan = self.session.plan(baseline, seed)?;
            let name = |builder: &dyn EnsembleBuilder| format!("repeat-{repeat:03}/{}", builder.name());
            let single = self.train(&name(baseline), &plan, &truth, needs_logs)?;
            for (strategy, collected) in strategies.iter().zip(collected.chunks_mut(combiners.len())) {
                let own = self.session.plan(*strategy, seed)?;
                let other = if own == plan {
                    None
                } else {
                    Some(self.train(&name(*strategy), &own, &truth, needs_logs)?)
                };
                let trained = other.as_ref().unwrap_or(&single);
                collected.iter_mut().try_for_each(|c| c.push(repeat, trained, &single, &truth))?;
            }
            singles.push((single.members.clone(), single.seconds / single.cost));
            last = Some(single);
        }
        let single = single_report(&singles)?;
        let finish = |c: Collected<'_>| c.finish(&single, last.as_ref(), &truth, seed);
        Ok(VarianceReport {
            metric: truth.headline_name().into(),
            train_rows: data.rows(),
            test_rows: self.test.rows(),
            repeats: self.repeats,
            ensembles: collected.into_iter().map(finish).collect::<Result<_>>()?,
            single,
        })
    }

    fn train(&self, name: &str, plan: &Plan, truth: &Truth, needs_logs: bool) -> Result<Trained> {
        let started = Instant::now();
        let store = self.stores.map(|stores| stores(name)).transpose()?;
        let session = match &store {
            Some(store) => self.session.clone().store(&**store),
            None => self.session.clone(),
        };
        let pool = session.train(plan)?;
        let seconds = started.elapsed().as_secs_f64();
        let inputs = self.test.inputs();
        let probabilities = predicted(&pool, inputs, Scale::Probability)?;
        let logs = match truth.targets {
            Targets::Classes(_) if needs_logs => Some(predicted(&pool, inputs, Scale::LogProbability)?),
            _ => None,
        };
        let cost = pool.members().len() as f64;
        let slots = (0..probabilities.slots())
            .map(|slot| Ok(probabilities.narrow_slots(slot, 1)?.values().squeeze(0)?))
            .collect::<Result<Vec<_>>>()?;
        let members = slots.iter().map(|predicted| truth.metrics(predicted)).collect::<Result<_>>()?;
        let losses = slots.iter().map(|predicted| truth.by_row(predicted)).collect::<Result<_>>()?;
        Ok(Trained { probabilities, logs, members, losses, cost, seconds })
    }
}

/// The predictions of the pool for the test rows, on the CPU.
fn predicted<L: Learner>(pool: &Pool<'_, L>, inputs: &Inputs, scale: Scale) -> Result<Predictions> {
    let predictions = pool.live()?.predict_in_batches(inputs, ROWS, scale)?;
    Ok(predictions.to_device(&Device::Cpu)?)
}

/// One trained ensemble, with its predictions for the test rows.
struct Trained {
    probabilities: Predictions,
    logs: Option<Predictions>,
    members: Vec<Metrics>,
    /// By slot and row; see [`Truth::by_row`].
    losses: Vec<Vec<f64>>,
    cost: f64,
    seconds: f64,
}

impl Trained {
    fn predictions(&self, combiner: &dyn FittedCombiner) -> &Predictions {
        match (combiner.scale(), &self.logs) {
            (Scale::LogProbability, Some(logs)) => logs,
            _ => &self.probabilities,
        }
    }

    fn mean_headline(&self) -> f64 {
        mean(self.members.iter().map(Metrics::headline))
    }
}

/// The targets and weights of the test rows.
struct Truth {
    targets: Targets,
    weights: Option<Vec<f32>>,
}

enum Targets {
    Classes(Vec<u32>),
    /// Values in the original units and in f64, and the scaler that brings predictions there.
    Values(Tensor, Option<Scaler>),
}

impl Truth {
    fn of(test: &TensorDataset, scaler: Option<&Scaler>) -> Result<Self> {
        let targets = match test.labels() {
            Some(labels) => Targets::Classes(labels.to_vec()),
            None => Targets::Values(restored(test.targets(), scaler)?, scaler.cloned()),
        };
        let weights = test.weights().map(|w| w.to_device(&Device::Cpu)?.to_vec1()).transpose()?;
        Ok(Self { targets, weights })
    }

    fn headline_name(&self) -> &'static str {
        match self.targets {
            Targets::Classes(_) => "accuracy",
            Targets::Values(..) => "rmse",
        }
    }

    fn metrics(&self, predicted: &Tensor) -> Result<Metrics> {
        let weights = self.weights.as_deref();
        match &self.targets {
            Targets::Classes(labels) => Metrics::classification(predicted, labels, weights),
            Targets::Values(values, scaler) => {
                Metrics::regression(&restored(predicted, scaler.as_ref())?, values, weights)
            }
        }
    }

    /// For each row, 1 or 0 for right or wrong, or the mean squared error of its outputs: the values that
    /// [`Truth::pooled`] averages to the headline metric.
    fn by_row(&self, predicted: &Tensor) -> Result<Vec<f64>> {
        let (_, width) = predicted.dims2()?;
        match &self.targets {
            Targets::Classes(labels) => {
                let classes = argmax_rows(predicted)?;
                Ok(classes.iter().zip(labels).map(|(class, id)| f64::from(u8::from(class == id))).collect())
            }
            Targets::Values(values, scaler) => {
                let error = (restored(predicted, scaler.as_ref())? - values.reshape(((), width))?)?;
                Ok(error.sqr()?.mean(1)?.to_vec1()?)
            }
        }
    }

    /// The headline metric of these rows.
    fn pooled(&self, by_row: &[f64], rows: &[u32]) -> f64 {
        let weight = |row: usize| self.weights.as_ref().map_or(1., |w| f64::from(w[row]));
        let weighted = |row: &u32| (weight(*row as usize) * by_row[*row as usize], weight(*row as usize));
        let (sum, total) = rows.iter().map(weighted).fold((0., 0.), |(s, t), (x, w)| (s + x, t + w));
        match self.targets {
            Targets::Classes(_) => sum / total,
            Targets::Values(..) => (sum / total).sqrt(),
        }
    }
}

/// Values in the original units, in f64 on the CPU: an offset of 1e9 leaves f32 no digits for what networks
/// predict.
fn restored(values: &Tensor, scaler: Option<&Scaler>) -> Result<Tensor> {
    let values = values.to_device(&Device::Cpu)?.to_dtype(DType::F64)?;
    scaler.map_or_else(|| Ok(values.clone()), |scaler| scaler.inverse(&values))
}

fn mean(values: impl ExactSizeIterator<Item = f64>) -> f64 {
    let n = values.len() as f64;
    values.sum::<f64>() / n
}

/// Mean and standard deviation of each metric.
fn summaries<'m>(metrics: impl Iterator<Item = &'m Metrics> + Clone) -> Result<BTreeMap<String, Summary>> {
    let names = metrics.clone().next().map(Metrics::names).unwrap_or_default();
    let column = |i: usize| metrics.clone().map(|m| m.values()[i].1).collect::<Vec<_>>();
    names.iter().enumerate().map(|(i, name)| Ok((name.to_string(), Summary::of(&column(i))?))).collect()
}

/// The report of the single networks, from the metrics of each repeat's networks and the seconds for one of
/// them.
fn single_report(singles: &[(Vec<Metrics>, f64)]) -> Result<SingleReport> {
    Ok(SingleReport {
        metrics: summaries(singles.iter().flat_map(|(metrics, _)| metrics))?,
        train_seconds: mean(singles.iter().map(|(_, seconds)| *seconds)),
        repeats: singles.iter().map(|(metrics, _)| metrics.clone()).collect(),
    })
}

/// The results of one strategy and combiner, repeat by repeat.
struct Collected<'r> {
    strategy: String,
    combiner: &'r dyn FittedCombiner,
    members: f64,
    differences: Vec<f64>,
    curves: Vec<Vec<SizePoint>>,
    repeats: Vec<RepeatReport>,
    /// Losses of the last repeat's ensemble; see [`Truth::by_row`].
    by_row: Vec<f64>,
}

impl<'r> Collected<'r> {
    fn new(strategy: String, combiner: &'r dyn FittedCombiner) -> Self {
        let (differences, curves, repeats, by_row) = (vec![], vec![], vec![], vec![]);
        Self { strategy, combiner, members: 0., differences, curves, repeats, by_row }
    }

    fn push(&mut self, repeat: usize, trained: &Trained, single: &Trained, truth: &Truth) -> Result<()> {
        let predictions = trained.predictions(self.combiner);
        let predicted = self.combiner.combine(predictions)?;
        let metrics = truth.metrics(&predicted)?;
        self.by_row = truth.by_row(&predicted)?;
        self.members = trained.cost;
        self.differences.push(metrics.headline() - single.mean_headline());
        self.curves.push(size_curve(predictions, self.combiner, |predicted| {
            Ok(truth.metrics(predicted)?.headline())
        })?);
        let (members_mean, train_seconds) = (trained.mean_headline(), trained.seconds);
        self.repeats.push(RepeatReport { repeat, metrics, members_mean, train_seconds });
        Ok(())
    }

    fn finish(
        self,
        single: &SingleReport,
        last: Option<&Trained>,
        truth: &Truth,
        seed: Seed,
    ) -> Result<EnsembleReport> {
        let metrics = summaries(self.repeats.iter().map(|r| &r.metrics))?;
        let sd = |of: &BTreeMap<String, Summary>| of.get(truth.headline_name()).and_then(|s| s.sd);
        let sd_ratio = match (sd(&single.metrics), sd(&metrics)) {
            (Some(one), Some(many)) if many > 0. => Some(one / many),
            _ => None,
        };
        let difference = match (&self.differences[..], last) {
            ([_], Some(last)) => self.over_rows(last, truth, seed)?,
            (differences, _) => t_interval(differences, LEVEL)?,
        };
        let seconds = mean(self.repeats.iter().map(|r| r.train_seconds));
        Ok(EnsembleReport {
            strategy: self.strategy,
            combine: self.combiner.name(),
            members: self.members as usize,
            difference,
            sd_ratio,
            train_seconds: seconds,
            prediction_cost: self.members,
            size_curve: size_summaries(&self.curves)?,
            metrics,
            repeats: self.repeats,
        })
    }

    /// The interval for one repeat, which has no spread over repeats: a bootstrap over the test rows.
    fn over_rows(&self, single: &Trained, truth: &Truth, seed: Seed) -> Result<Interval> {
        let difference = |rows: &[u32]| {
            let singles = single.losses.iter().map(|losses| truth.pooled(losses, rows));
            Ok(truth.pooled(&self.by_row, rows) - mean(singles))
        };
        bootstrap_statistic(self.by_row.len(), LEVEL, RESAMPLES, seed.child("test rows"), difference)
    }
}

fn size_summaries(curves: &[Vec<SizePoint>]) -> Result<Vec<SizeSummary>> {
    let sizes = curves.first().map_or(0, Vec::len);
    let summary = |i: usize| {
        let repeats: Vec<_> = curves.iter().map(|curve| curve[i].values.clone()).collect();
        Ok(SizeSummary { size: i + 1, summary: Summary::of(&repeats.concat())?, repeats })
    };
    (0..sizes).map(summary).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Errors of 0.5, −0.5, 0.5 and −0.5 in standardized values, whose standard deviation is √5/2.
    #[test]
    fn an_offset_changes_no_score() {
        for offset in [0., 1e9, -1.7e12] {
            let y = [0., 1., 2., 3.].map(|y| y + offset);
            let y = Tensor::new(&y, &Device::Cpu).unwrap();
            let scaler = Scaler::standardize(&y).unwrap();
            let z = scaler.transform(&y).unwrap();
            let test = TensorDataset::regression(z.reshape((4, 1)).unwrap(), &z).unwrap();
            let truth = Truth::of(&test, Some(&scaler)).unwrap();
            let errors = Tensor::new(&[0.5f32, -0.5, 0.5, -0.5], &Device::Cpu).unwrap();
            let predicted = (z.to_dtype(DType::F32).unwrap() + errors).unwrap().reshape((4, 1)).unwrap();
            let Metrics::Regression { rmse, mae, r2 } = truth.metrics(&predicted).unwrap() else { panic!() };
            let error = 0.5 * 1.25f64.sqrt();
            for (got, want) in [(rmse, error), (mae, error), (r2, 0.75)] {
                assert!((got - want).abs() < 1e-3 * want, "{got} is not {want} at {offset}");
            }
            for got in truth.by_row(&predicted).unwrap() {
                assert!((got - error * error).abs() < 1e-3, "{got} at {offset}");
            }
        }
    }
}
