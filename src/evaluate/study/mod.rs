//! Studies: strategies and combinations compared with single networks, on test rows.
mod outcome;
pub(crate) mod over_rows;
mod pools;
mod summary;
pub(crate) mod test_rows;
mod trial;
mod why;

use crate::{
    codec,
    combine::Combiner,
    data::{Dataset, Scaler},
    evaluate::{combinations, Combination, StudyReport},
    metrics::MetricList,
    plan::{Plan, RunSpec},
    predictions::scored_rows::ScoredRows,
    registry::split_list,
    statistics::Interval,
    strategy::{self, EnsembleBuilder, MultiRun},
    train::Learner,
    Error, Result, Seed, Session,
};
use outcome::Outcomes;
use over_rows::OverRows;
use pools::Pools;
use std::{
    cell::OnceCell,
    path::PathBuf,
    sync::{Arc, OnceLock},
};
use test_rows::TestRows;
use trial::{folder, Outcome, ResultFolder, Trained};

/// The version of what is kept of results. Results of other versions are computed again.
const FORMAT: u32 = 2;

/// The level of every interval.
pub(crate) const LEVEL: f64 = 0.95;

/// Compares strategies and combinations with single networks, over independent trainings, on test rows.
///
/// Each repeat trains a baseline and each strategy from a seed of its own. The members of the baseline, each on
/// its own, are the single networks. Each [`Combination`] then makes an ensemble, or one network, of the members
/// of each strategy. The [`StudyReport`] has the mean and standard deviation of every metric over the repeats, the
/// difference from a single network with its 95 % interval, and what training and prediction cost.
///
/// A combination that learns is fitted on held-out rows: out-of-bag or out-of-fold rows where the strategy leaves
/// rows out, and otherwise reserved rows, for which the strategy is trained once more without them. Merges and
/// [`Combination::best_of`] are always measured on reserved rows. The report says which rows they were.
///
/// A combination that cannot be made, such as the average of networks with a high loss barrier between them, is a
/// row of the report with its reason, and not an error.
///
/// Use it to decide which ensemble is worth its cost on your data. With one repeat the interval of the difference
/// is a bootstrap over the test rows, and nothing is known about the spread from training to training. To include
/// the choice of the test rows, run [`trials`](Self::trials) on several splits of the data and put them together
/// with [`StudyReport::of`].
///
/// # Many members in one network
/// With a trainer that makes such networks of plain ones ([`Trainer::convertible`](crate::train::Trainer::convertible)),
/// `efficient:tab-m:32` is a strategy like any other ([`Efficient`](crate::strategy::Efficient)). Each of its members is a member
/// of the report. A prediction costs one network, whose size is in [`Cost::bytes`](crate::evaluate::Cost::bytes), also for some
/// of its members only. A sequence of members, as of [`AdaBoost`](crate::strategy::AdaBoost), is one member of the report, because
/// its networks predict together, and costs as many networks as it has.
///
/// Where rows have several positions, metrics are those of all positions, and intervals are of rows. If a network's
/// predictions for the test rows were more than 2²³ numbers, the same number of positions of each row is drawn, for all
/// networks alike.
///
/// Cost: `repeats` times the training of the baseline and of each strategy, twice for strategies some of whose
/// combinations need reserved rows.
///
/// ```
/// use candle_core::{Device, Tensor};
/// use candle_ensemble::{data::*, evaluate::Study, train::Trainer, Seed, Session};
///
/// let x = Tensor::arange(0f32, 80., &Device::Cpu)?.affine(0.02, -0.8)?.reshape((40, 2))?;
/// let y = Tensor::from_iter((0..40u32).map(|i| i / 20), &Device::Cpu)?;
/// let all = TensorDataset::classification(x, &y)?;
/// let split = Split::stratified(all.strata().unwrap_or_default(), 0.3, Seed::from(1))?;
/// let (train, test) = (all.subset(&split.train)?, all.subset(&split.test)?);
/// let trainer = Trainer::new(|vb| candle_nn::linear(2, 2, vb)).epochs(4);
///
/// let report = Study::new(Session::new(&trainer, &train), &test)
///     .strategies("multi-run:4,bootstrap:4,snapshot:2")?
///     .combinations("mean,hard-vote,average-weights,swa")?
///     .repeats(3)
///     .run(42)?;
/// println!("{}", report.table());
/// # assert_eq!(report.ensembles.len(), 12);
/// # Ok::<(), candle_ensemble::Error>(())
/// ```
#[allow(missing_debug_implementations)] // neither learner nor data set need be Debug
pub struct Study<'a, L> {
    session: Session<'a, L>,
    test: &'a dyn Dataset,
    scaler: Option<&'a Scaler>,
    baseline: Box<dyn EnsembleBuilder + 'a>,
    strategies: Vec<(String, Box<dyn EnsembleBuilder + 'a>)>,
    combinations: Vec<(String, Combination)>,
    metrics: Option<MetricList>,
    repeats: usize,
    reserve: f64,
    max_barrier: f64,
    budget: Option<usize>,
    folder: Option<PathBuf>,
    /// The test rows, once they have been read.
    scored: OnceLock<Arc<ScoredRows>>,
}

impl<'a, L: Learner> Study<'a, L> {
    /// A study that trains with `session` and measures on `test`, which is read in batches and need not fit in
    /// memory. The observer of the session is notified of the rows that are predicted, too. The session must not
    /// reserve rows or have a store: the study does both ([`reserve`](Self::reserve),
    /// [`folder`](Self::folder)).
    pub fn new(session: Session<'a, L>, test: &'a dyn Dataset) -> Self {
        Self {
            session,
            test,
            scaler: None,
            baseline: Box::new(MultiRun::new(10)),
            strategies: vec![],
            combinations: vec![],
            metrics: None,
            repeats: 10,
            reserve: 0.2,
            max_barrier: 0.05,
            budget: None,
            folder: None,
            scored: OnceLock::new(),
        }
    }

    /// Adds the strategies that a list names, separated by commas, such as `bootstrap:10,snapshot:5`; see
    /// [`strategy::parse`].
    ///
    /// # Errors
    /// When a name or an argument is unknown, or a value cannot be read.
    pub fn strategies(mut self, list: &str) -> Result<Self> {
        for text in split_list(list) {
            let strategy = strategy::parse(&text)?;
            self.strategies.push((text, strategy));
        }
        Ok(self)
    }

    /// Adds a strategy under a name.
    #[must_use]
    pub fn strategy(mut self, name: impl Into<String>, strategy: impl EnsembleBuilder + 'a) -> Self {
        self.strategies.push((name.into(), Box::new(strategy)));
        self
    }

    /// Adds a strategy that was made at run time, under a name.
    #[must_use]
    pub fn boxed_strategy(mut self, name: impl Into<String>, strategy: Box<dyn EnsembleBuilder>) -> Self {
        self.strategies.push((name.into(), strategy));
        self
    }

    /// Adds the combinations that a list names, separated by commas, such as `mean,stack-logistic,swa`; see
    /// [`combinations`].
    ///
    /// # Errors
    /// When a name or an argument is unknown, or a value cannot be read.
    pub fn combinations(mut self, list: &str) -> Result<Self> {
        for text in split_list(list) {
            let combination = combinations().parse(&text)?;
            self.combinations.push((text, combination));
        }
        Ok(self)
    }

    /// Adds a combination under a name.
    #[must_use]
    pub fn combination(mut self, name: impl Into<String>, combination: impl Into<Combination>) -> Self {
        self.combinations.push((name.into(), combination.into()));
        self
    }

    /// Adds a combiner under a name.
    #[must_use]
    pub fn combiner<C: Combiner + 'static>(self, name: impl Into<String>, combiner: C) -> Self
    where
        C::Fitted: 'static,
    {
        self.combination(name, Combination::rule(combiner))
    }

    /// Sets the strategy whose members are the single networks; the default is `MultiRun::new(10)`. A strategy
    /// with the same plan is not trained a second time.
    #[must_use]
    pub fn baseline(mut self, baseline: impl EnsembleBuilder + 'a) -> Self {
        self.baseline = Box::new(baseline);
        self
    }

    /// Sets the strategy of the single networks to one that was made at run time; see [`baseline`](Self::baseline).
    #[must_use]
    pub fn boxed_baseline(mut self, baseline: Box<dyn EnsembleBuilder>) -> Self {
        self.baseline = baseline;
        self
    }

    /// Sets the metrics; the first is that of the differences and size curves. The default is accuracy, nll,
    /// brier and ece for classes; rmse, mae and r2 for values.
    #[must_use]
    pub fn metrics(mut self, metrics: MetricList) -> Self {
        self.metrics = Some(metrics);
        self
    }

    /// Sets the scaler of the targets, so that predictions and test targets are measured in the original
    /// units, in f64. The test targets may be of another float type than those trained on, such as f64 beside
    /// f32.
    #[must_use]
    pub fn target_scaler(mut self, scaler: &'a Scaler) -> Self {
        self.scaler = Some(scaler);
        self
    }

    /// Sets the number of trainings of each strategy, at least 1; the default is 10.
    #[must_use]
    pub fn repeats(mut self, repeats: usize) -> Self {
        self.repeats = repeats;
        self
    }

    /// Sets the share of the training rows, in (0, 1), that is reserved for combinations that need rows which no
    /// member was fitted on; the default is 0.2. No rows are reserved for the other combinations.
    #[must_use]
    pub fn reserve(mut self, share: f64) -> Self {
        self.reserve = share;
        self
    }

    /// Sets the highest loss barrier at which networks are merged, in nats for classes and in squared units of
    /// the targets trained on for values; the default is 0.05.
    #[must_use]
    pub fn max_barrier(mut self, limit: f64) -> Self {
        self.max_barrier = limit;
        self
    }

    /// Gives every strategy the same number of training epochs: each of its runs gets an equal share of them, and
    /// the single networks get all of them. By default each run trains for the learner's number of epochs.
    #[must_use]
    pub fn budget_epochs(mut self, epochs: usize) -> Self {
        self.budget = Some(epochs);
        self
    }

    /// Sets the folder where networks and results are kept. An interrupted study that is run again with the same
    /// folder resumes, and one that is finished trains and fits nothing. By default nothing is kept.
    ///
    /// The results of a combination are found by its name. Give another name to a combination of your own
    /// whenever you change it.
    #[must_use]
    pub fn folder(mut self, folder: impl Into<PathBuf>) -> Self {
        self.folder = Some(folder.into());
        self
    }

    /// The number of builds of the study, for a progress bar: trainings of a whole strategy. An interrupted study
    /// has fewer left.
    ///
    /// # Errors
    /// As [`trials`](Self::trials), before it trains.
    pub fn builds(&self, seed: impl Into<Seed>) -> Result<usize> {
        self.check()?;
        let seed = seed.into().nth("repeat", 0);
        let baseline = self.single_plan(seed)?;
        let mut builds = 1;
        for (_, strategy) in &self.strategies {
            let plan = self.within_budget(self.session.plan(&**strategy, seed)?)?;
            builds += usize::from(plan != baseline);
            let pools = Pools::new(self, None, plan, seed);
            builds += self.combinations.iter().filter(|(_, c)| pools.retrains(c)).count();
            let reserve = self.combinations.iter().map(|(_, c)| pools.reserves(c));
            builds += usize::from(reserve.collect::<Result<Vec<_>>>()?.contains(&true));
        }
        Ok(builds * self.repeats)
    }

    /// Runs the study on the one split of its training and test data.
    ///
    /// # Errors
    /// As [`trials`](Self::trials).
    pub fn run(&self, seed: impl Into<Seed>) -> Result<StudyReport> {
        StudyReport::of(&[self.trials(seed)?])
    }

    /// The results of all trainings on the one split, for [`StudyReport::of`].
    ///
    /// # Errors
    /// When there are no strategies, combinations or repeats, two have the same name, the test data does not fit
    /// the training data, a parameter is out of range, or a run fails; [`Error::Cancelled`] when the observer
    /// stops a build.
    pub fn trials(&self, seed: impl Into<Seed>) -> Result<Trials> {
        let (seed, data) = (seed.into(), self.session.data());
        self.check()?;
        // A strategy that cannot be trained is an error before another one is.
        for (_, strategy) in &self.strategies {
            let plan = self.session.plan(&**strategy, seed.nth("repeat", 0))?;
            self.session.check(&self.within_budget(plan)?)?;
        }
        let metrics = self.metrics.clone().unwrap_or_else(|| MetricList::for_task(data.task()));
        let rows = TestRows::of(self.test, self.scaler, metrics)?;
        // Another call has read the same rows.
        let _ = self.scored.set(rows.scored());
        let inputs = OnceCell::new();
        let outcomes = Outcomes { study: self, rows: &rows, inputs: &inputs };
        let mut singles = vec![];
        let mut strategies: Vec<Vec<StrategyTrial>> = self.strategies.iter().map(|_| vec![]).collect();
        for repeat in 0..self.repeats {
            let seed = seed.nth("repeat", repeat as u64);
            let at = folder(self.folder.as_deref(), &format!("repeat-{repeat:03}"));
            let plan = self.single_plan(seed)?;
            let baseline = Pools::new(self, folder(at.as_deref(), "single"), plan, seed);
            let single_results = self.results(folder(at.as_deref(), "single"), baseline.plan(), &rows)?;
            singles.push(kept(&single_results, TRAINED, || baseline.full()?.facts(&rows))?);
            for ((name, strategy), trials) in self.strategies.iter().zip(&mut strategies) {
                let plan = self.within_budget(self.session.plan(&**strategy, seed)?)?;
                let place = folder(at.as_deref(), name);
                let results = self.results(place.clone(), &plan, &rows)?;
                let own;
                let pools = match plan == *baseline.plan() {
                    true => &baseline,
                    false => {
                        own = Pools::new(self, place, plan, seed);
                        &own
                    }
                };
                let trained = kept(&results, TRAINED, || pools.full()?.facts(&rows))?;
                let outcome = |(name, combination): &(String, Combination)| {
                    kept(&results, &format!("combination {name}"), || outcomes.of(combination, pools))
                };
                let outcomes = self.combinations.iter().map(outcome).collect::<Result<_>>()?;
                trials.push(StrategyTrial { trained, outcomes });
            }
        }
        let over_rows = match self.repeats {
            1 => self.over_rows(&rows, &singles, &strategies, seed)?,
            _ => vec![],
        };
        Ok(Trials {
            metrics: rows.metrics().metrics().iter().map(|m| (m.name(), m.higher_is_better())).collect(),
            rows,
            train_rows: data.rows(),
            test_rows: self.test.rows(),
            budget: self.budget,
            strategies: self.strategies.iter().map(|(name, _)| name.clone()).zip(strategies).collect(),
            combinations: self
                .combinations
                .iter()
                .map(|(name, combination)| (name.clone(), combination.is_one_network()))
                .collect(),
            singles,
            over_rows,
        })
    }

    fn check(&self) -> Result<()> {
        for (what, count) in [
            ("repeats", self.repeats),
            ("strategies", self.strategies.len()),
            ("combinations", self.combinations.len()),
        ] {
            if count == 0 {
                return Err(Error::invalid(what, "at least 1", 0));
            }
        }
        let strategies: Vec<&str> = self.strategies.iter().map(|(name, _)| name.as_str()).collect();
        let combinations: Vec<&str> = self.combinations.iter().map(|(name, _)| name.as_str()).collect();
        for (what, names) in
            [("the names of the strategies", strategies), ("the names of the combinations", combinations)]
        {
            if let Some(twice) = names.iter().enumerate().find(|(i, name)| names[..*i].contains(name)) {
                return Err(Error::invalid(what, "different", format!("{:?} twice", twice.1)));
            }
        }
        if self.max_barrier.is_nan() {
            return Err(Error::invalid("max_barrier", "a number", self.max_barrier));
        }
        if self.session.reserves_or_stores() {
            let must =
                "one without a store and without reserved rows, for which the study has settings of its own";
            return Err(Error::invalid("the session of a study", must, "one with them"));
        }
        let (train, test) = (self.session.data().task(), self.test.task());
        if train != test {
            let must = format!("that of the training data, {train}");
            return Err(Error::invalid("the task of the test data", must, test));
        }
        crate::check::share("the reserved share", self.reserve)
    }

    /// The results of one strategy in one repeat, where they are kept.
    fn results(&self, folder: Option<PathBuf>, plan: &Plan, rows: &TestRows) -> Result<ResultFolder> {
        let metrics = rows.metrics().names();
        let scaler = format!("{:?}", self.scaler);
        let settings =
            (self.session.learner().tag(), metrics, scaler, self.reserve, self.max_barrier, self.budget);
        let bytes = codec::encode(&(FORMAT, plan, self.test.fingerprint(), settings))?;
        ResultFolder::new(folder, blake3::hash(&bytes).to_hex().to_string())
    }

    /// The plan of the single networks.
    fn single_plan(&self, seed: Seed) -> Result<Plan> {
        let mut plan = self.session.plan(&*self.baseline, seed)?;
        if let Some(budget) = self.budget {
            plan.runs
                .iter_mut()
                .for_each(|run| run.settings = run.settings.clone().with("epochs", budget as i64));
        }
        Ok(plan)
    }

    /// The plan with its share of the budget for each run, where there is a budget.
    fn within_budget(&self, mut plan: Plan) -> Result<Plan> {
        let Some(budget) = self.budget else { return Ok(plan) };
        let runs = plan.runs.len();
        let epochs = budget / runs.max(1);
        if epochs == 0 {
            let must = format!("at least {runs}, an epoch for each run");
            return Err(Error::invalid("budget_epochs", must, budget));
        }
        for run in &mut plan.runs {
            if run.settings.count("epochs")?.is_none() {
                run.settings = run.settings.clone().with("epochs", epochs as i64);
            }
            let planned = self.learner_epochs(run);
            if planned != epochs && planned != budget {
                let must =
                    "one that reads the setting \"epochs\", such as Trainer, where epochs are budgeted";
                return Err(Error::invalid("the learner", must, format!("one that trains {planned} epochs")));
            }
        }
        Ok(plan)
    }

    fn learner_epochs(&self, run: &RunSpec) -> usize {
        self.session.learner().epochs(run)
    }

    /// The intervals of one repeat, which has no spread over repeats: a bootstrap over the test rows.
    fn over_rows(
        &self,
        rows: &TestRows,
        singles: &[Trained],
        strategies: &[Vec<StrategyTrial>],
        seed: Seed,
    ) -> Result<Vec<Vec<Option<Interval>>>> {
        let Some(single) = singles.first() else { return Ok(vec![]) };
        let single = single.predictions.tensor()?;
        let singles = (0..single.dim(0)?).map(|m| Ok(single.get(m)?)).collect::<Result<Vec<_>>>()?;
        let resampling = OverRows::new(rows, &singles, seed.child("test rows"))?;
        let interval = |outcome: &Outcome| match &outcome.result {
            Ok(combined) => resampling.difference(&combined.predictions.tensor()?).map(Some),
            Err(_) => Ok(None),
        };
        let of_strategy = strategies.iter().map(|trials| {
            let outcomes = trials.iter().flat_map(|trial| &trial.outcomes);
            outcomes.map(interval).collect::<Result<Vec<_>>>()
        });
        of_strategy.collect()
    }
}

/// The name of the result that says what was trained.
const TRAINED: &str = "trained";

/// The result of this name, computed and kept where the folder does not have it.
fn kept<T: serde::Serialize + serde::de::DeserializeOwned>(
    results: &ResultFolder,
    name: &str,
    compute: impl FnOnce() -> Result<T>,
) -> Result<T> {
    if let Some(there) = results.get(name)? {
        return Ok(there);
    }
    let computed = compute()?;
    results.put(name, &computed)?;
    Ok(computed)
}

/// One training of one strategy, with what each combination made of it.
struct StrategyTrial {
    trained: Trained,
    outcomes: Vec<Outcome>,
}

/// The results of all trainings of a [`Study`] on one split of the data. [`StudyReport::of`] makes a report of the
/// trials of one or several splits.
#[allow(missing_debug_implementations)] // large
pub struct Trials {
    rows: TestRows,
    /// Names, and whether higher is better.
    metrics: Vec<(String, bool)>,
    train_rows: usize,
    test_rows: usize,
    budget: Option<usize>,
    /// By name and repeat.
    strategies: Vec<(String, Vec<StrategyTrial>)>,
    /// Names, and whether they give one network.
    combinations: Vec<(String, bool)>,
    /// By repeat.
    singles: Vec<Trained>,
    /// By strategy and combination, if there is one repeat.
    over_rows: Vec<Vec<Option<Interval>>>,
}
