//! What an ensemble bought: repeated independent ensembles against a single network, on rows nobody saw.
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

/// Rows a forward pass.
const ROWS: usize = 1024;
/// Of every interval.
const LEVEL: f64 = 0.95;
const RESAMPLES: usize = 2000;

/// Independent repeats of several strategies, combined by several rules, scored on test rows.
///
/// ```
/// use candle_core::{Device, Tensor};
/// use candle_ensemble::{combine::*, data::*, evaluate::Study, plan::*, predictions::*, strategy::*, train::Trainer, Seed, Session};
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

/// The store of each build, by the build's name.
type Stores<'a> = dyn Fn(&str) -> Result<Box<dyn Store>> + 'a;

impl<'a, L: Learner> Study<'a, L> {
    /// Trains in `session`, scores on `test`.
    pub fn new(session: Session<'a, L>, test: &'a TensorDataset) -> Self {
        Self { session, test, scaler: None, stores: None, repeats: 10 }
    }

    /// For targets that were scaled: predictions and test targets are brought back before they are scored.
    #[must_use]
    pub fn target_scaler(mut self, scaler: &'a Scaler) -> Self {
        self.scaler = Some(scaler);
        self
    }

    /// Where members are kept: `stores` gives a store for each build, by a name like `"repeat-003/bootstrap"`. A study
    /// that was interrupted and is run again with the same stores goes on where it was.
    #[must_use]
    pub fn stores(mut self, stores: &'a Stores<'a>) -> Self {
        self.stores = Some(stores);
        self
    }

    /// Independent ensembles, at least 1; 10, if not set.
    #[must_use]
    pub fn repeats(mut self, repeats: usize) -> Self {
        self.repeats = repeats;
        self
    }

    /// Runs the study. `baseline` grows the single networks; where a strategy lays out the same plan, it is not
    /// trained twice. Each rule must be one that has nothing to fit ([`Rule`](crate::combine::Rule)).
    ///
    /// # Errors
    /// When the test data does not go with the training data, a parameter is out of range, or a run fails.
    pub fn run(
        &self,
        baseline: &dyn EnsembleBuilder,
        strategies: &[&dyn EnsembleBuilder],
        rules: &[&dyn FittedCombiner],
        seed: impl Into<Seed>,
    ) -> Result<VarianceReport> {
        let (seed, data) = (seed.into(), self.session.data());
        for (what, count) in
            [("repeats", self.repeats), ("strategies", strategies.len()), ("rules", rules.len())]
        {
            if count == 0 {
                return Err(Error::invalid(what, "at least 1", 0));
            }
        }
        if data.task() != self.test.task() {
            let must = format!("for {:?}, as the training data", data.task());
            return Err(Error::invalid("the test data", must, format!("for {:?}", self.test.task())));
        }
        let truth = Truth::of(self.test, self.scaler)?;
        let wants_logs = rules.iter().any(|rule| rule.scale() == Scale::LogProbability);
        let pairs = strategies.iter().flat_map(|s| rules.iter().map(|r| Gathered::new(s.name(), *r)));
        let (mut singles, mut last, mut gathered) = (vec![], None, pairs.collect::<Vec<_>>());
        for repeat in 0..self.repeats {
            let seed = seed.nth("repeat", repeat as u64);
            let plan = self.session.plan(baseline, seed)?;
            let name = |builder: &dyn EnsembleBuilder| format!("repeat-{repeat:03}/{}", builder.name());
            let single = self.grown(&name(baseline), &plan, &truth, wants_logs)?;
            for (strategy, gathered) in strategies.iter().zip(gathered.chunks_mut(rules.len())) {
                let own = self.session.plan(*strategy, seed)?;
                let other = if own == plan {
                    None
                } else {
                    Some(self.grown(&name(*strategy), &own, &truth, wants_logs)?)
                };
                let grown = other.as_ref().unwrap_or(&single);
                gathered.iter_mut().try_for_each(|g| g.push(repeat, grown, &single, &truth))?;
            }
            singles.push((single.members.clone(), single.seconds / single.cost));
            last = Some(single);
        }
        let single = single_report(&singles)?;
        let finish = |g: Gathered<'_>| g.finish(&single, last.as_ref(), &truth, seed);
        Ok(VarianceReport {
            metric: truth.headline_name().into(),
            train_rows: data.rows(),
            test_rows: self.test.rows(),
            repeats: self.repeats,
            ensembles: gathered.into_iter().map(finish).collect::<Result<_>>()?,
            single,
        })
    }

    fn grown(&self, name: &str, plan: &Plan, truth: &Truth, wants_logs: bool) -> Result<Grown> {
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
            Targets::Classes(_) if wants_logs => Some(predicted(&pool, inputs, Scale::LogProbability)?),
            _ => None,
        };
        let cost = pool.members().len() as f64;
        let predictions = 0..probabilities.slots();
        let each = predictions.map(|slot| Ok(probabilities.narrow_slots(slot, 1)?.values().squeeze(0)?));
        let each = each.collect::<Result<Vec<_>>>()?;
        let members = each.iter().map(|predicted| truth.metrics(predicted)).collect::<Result<_>>()?;
        let losses = each.iter().map(|predicted| truth.by_row(predicted)).collect::<Result<_>>()?;
        Ok(Grown { probabilities, logs, members, losses, cost, seconds })
    }
}

fn predicted<L: Learner>(pool: &Pool<'_, L>, inputs: &Inputs, scale: Scale) -> Result<Predictions> {
    let predictions = pool.live()?.predict_in_batches(inputs, ROWS, scale)?;
    Ok(predictions.to_device(&Device::Cpu)?)
}

/// One trained ensemble, and what its predictions say of the test rows.
struct Grown {
    probabilities: Predictions,
    logs: Option<Predictions>,
    members: Vec<Metrics>,
    /// By prediction and row; see [`Truth::by_row`].
    losses: Vec<Vec<f64>>,
    cost: f64,
    seconds: f64,
}

impl Grown {
    fn predictions(&self, rule: &dyn FittedCombiner) -> &Predictions {
        match (rule.scale(), &self.logs) {
            (Scale::LogProbability, Some(logs)) => logs,
            _ => &self.probabilities,
        }
    }

    fn mean_headline(&self) -> f64 {
        mean(self.members.iter().map(Metrics::headline))
    }
}

/// What is true of the test rows.
struct Truth {
    targets: Targets,
    weights: Option<Vec<f32>>,
}

enum Targets {
    Classes(Vec<u32>),
    /// In the user's own units; the scaler brings predictions there.
    Values(Tensor, Option<Scaler>),
}

impl Truth {
    fn of(test: &TensorDataset, scaler: Option<&Scaler>) -> Result<Self> {
        let targets = match test.labels() {
            Some(labels) => Targets::Classes(labels.to_vec()),
            None => {
                let values = restored(test.targets(), scaler)?.to_device(&Device::Cpu)?;
                Targets::Values(values, scaler.cloned())
            }
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

    /// For each row 1 or 0 for right or wrong, or the mean squared error of its outputs: what
    /// [`Truth::pooled`] makes the headline metric of.
    fn by_row(&self, predicted: &Tensor) -> Result<Vec<f64>> {
        let (_, width) = predicted.dims2()?;
        match &self.targets {
            Targets::Classes(labels) => {
                let winners = argmax_rows(predicted)?;
                Ok(winners.iter().zip(labels).map(|(won, id)| f64::from(u8::from(won == id))).collect())
            }
            Targets::Values(values, scaler) => {
                let predicted = restored(predicted, scaler.as_ref())?.to_dtype(DType::F64)?;
                let error = (predicted - values.to_dtype(DType::F64)?.reshape(((), width))?)?;
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

/// Values in the user's own units.
fn restored(values: &Tensor, scaler: Option<&Scaler>) -> Result<Tensor> {
    match scaler {
        Some(scaler) => scaler.inverse(values),
        None => Ok(values.clone()),
    }
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

/// Of each repeat's single networks: their metrics, and the seconds that one took.
fn single_report(singles: &[(Vec<Metrics>, f64)]) -> Result<SingleReport> {
    Ok(SingleReport {
        metrics: summaries(singles.iter().flat_map(|(metrics, _)| metrics))?,
        train_seconds: mean(singles.iter().map(|(_, seconds)| *seconds)),
        repeats: singles.iter().map(|(metrics, _)| metrics.clone()).collect(),
    })
}

/// One strategy and rule, repeat by repeat.
struct Gathered<'r> {
    strategy: String,
    rule: &'r dyn FittedCombiner,
    members: f64,
    differences: Vec<f64>,
    curves: Vec<Vec<SizePoint>>,
    repeats: Vec<RepeatReport>,
    /// Of the last repeat's ensemble; see [`Truth::by_row`].
    by_row: Vec<f64>,
}

impl<'r> Gathered<'r> {
    fn new(strategy: String, rule: &'r dyn FittedCombiner) -> Self {
        let (differences, curves, repeats, by_row) = (vec![], vec![], vec![], vec![]);
        Self { strategy, rule, members: 0., differences, curves, repeats, by_row }
    }

    fn push(&mut self, repeat: usize, grown: &Grown, single: &Grown, truth: &Truth) -> Result<()> {
        let predictions = grown.predictions(self.rule);
        let predicted = self.rule.combine(predictions)?;
        let metrics = truth.metrics(&predicted)?;
        self.by_row = truth.by_row(&predicted)?;
        self.members = grown.cost;
        self.differences.push(metrics.headline() - single.mean_headline());
        self.curves
            .push(size_curve(predictions, self.rule, |predicted| Ok(truth.metrics(predicted)?.headline()))?);
        let (members_mean, train_seconds) = (grown.mean_headline(), grown.seconds);
        self.repeats.push(RepeatReport { repeat, metrics, members_mean, train_seconds });
        Ok(())
    }

    fn finish(
        self,
        single: &SingleReport,
        last: Option<&Grown>,
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
            combine: self.rule.name(),
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

    /// Of one repeat there is no spread over repeats: what can be told is what other test rows would give.
    fn over_rows(&self, single: &Grown, truth: &Truth, seed: Seed) -> Result<Interval> {
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
