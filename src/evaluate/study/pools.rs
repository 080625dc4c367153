//! The pools of one strategy in one repeat, trained when they are first needed.
use super::{
    test_rows::TestRows,
    trial::{folder, Array, Trained},
    Study,
};
use crate::{
    evaluate::{
        combination::{Combination, Way},
        FittedOnRows,
    },
    merge::Distill,
    metrics::ReliabilityBin,
    network::Scale,
    plan::{Plan, RunSpec, Settings},
    predictions::{
        live::flat_inputs,
        passes::{Passes, Source, ROWS},
        Predictions,
    },
    store::{
        member::{by_network, each_in_network, leading, predicting, predicting_with, with_own_slots},
        DirectoryStore,
    },
    train::{Averaging, Learner},
    Error, Member, Pool, Result, Rows, Seed,
};
use candle_core::{Device, Tensor};
use std::{
    cell::OnceCell,
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
    time::Instant,
};

/// The pools of one strategy: one that is trained on all rows, and one that leaves the reserved rows out.
pub(super) struct Pools<'s, 'a, L: Learner> {
    study: &'s Study<'a, L>,
    folder: Option<PathBuf>,
    plan: Plan,
    seed: Seed,
    full: OnceCell<TrainedPool<'a, L>>,
    reserved: OnceCell<TrainedPool<'a, L>>,
}

impl<'s, 'a, L: Learner> Pools<'s, 'a, L> {
    pub(super) fn new(study: &'s Study<'a, L>, folder: Option<PathBuf>, plan: Plan, seed: Seed) -> Self {
        Self { study, folder, plan, seed, full: OnceCell::new(), reserved: OnceCell::new() }
    }

    pub(super) fn plan(&self) -> &Plan {
        &self.plan
    }

    /// The pool that is trained on all rows.
    pub(super) fn full(&self) -> Result<&TrainedPool<'a, L>> {
        get_or_make(&self.full, || self.train("all-rows", &self.plan))
    }

    /// The pool whose runs leave the reserved rows out.
    pub(super) fn reserved(&self) -> Result<&TrainedPool<'a, L>> {
        get_or_make(&self.reserved, || {
            let data = self.study.session.data();
            let plan = self.plan.clone().reserve(self.study.reserve, data, self.seed)?;
            self.train("reserved", &plan)
        })
    }

    /// The pool on whose held-out rows a rule is fitted, and where these rows come from.
    pub(super) fn for_rules(&self) -> Result<(&TrainedPool<'a, L>, &'static str)> {
        Ok(match self.left_out()? {
            Some(source) => (self.full()?, source),
            None => (self.reserved()?, RESERVED),
        })
    }

    /// What the rows are called that the runs of the strategy leave out; `None` if there are none.
    fn left_out(&self) -> Result<Option<&'static str>> {
        let rows = self.study.session.data().rows();
        let mut runs = vec![];
        for run in self.plan.runs.iter().filter(|run| !run.refit) {
            runs.push((run, run.seen()?.len()));
        }
        if runs.iter().all(|(_, seen)| *seen == rows) {
            return Ok(None);
        }
        for (run, _) in &runs {
            if run.train.bitmap()?.len() < run.train.len()? {
                return Ok(Some("out-of-bag"));
            }
        }
        // In a slot of folds, each row is left out by one run.
        let mut left_out: BTreeMap<usize, usize> = BTreeMap::new();
        runs.iter().for_each(|(run, seen)| *left_out.entry(run.slot).or_default() += rows - seen);
        Ok(Some(if left_out.values().all(|count| *count == rows) { "out-of-fold" } else { "held-out" }))
    }

    /// Whether the combination needs a run of its own.
    pub(super) fn retrains(&self, combination: &Combination) -> bool {
        let first = self.plan.runs.first();
        let prescribes = |run: &RunSpec| run.collect.prescribes_rate(self.study.learner_epochs(run));
        match combination.0 {
            Way::Averaged(_) => !first.is_some_and(prescribes),
            Way::Distilled(_) => true,
            Way::Rule(_) | Way::Merge(_) | Way::BestOf { .. } => false,
        }
    }

    /// Whether the combination needs reserved rows.
    pub(super) fn reserves(&self, combination: &Combination) -> Result<bool> {
        let for_rule = combination.needs_held_out() && !combination.needs_reserved();
        Ok(combination.needs_reserved() || for_rule && self.left_out()?.is_none())
    }

    /// The network that averages those of the strategy's first run, and the epochs and seconds that it took.
    pub(super) fn averaged(&self, averaging: &Averaging) -> Result<(Pool<'a, L>, f64, f64)> {
        let Some(first) = self.plan.runs.first() else {
            return Err(Error::invalid("the plan", "a list of at least one run", "empty"));
        };
        let epochs = self.study.learner_epochs(first);
        if first.collect.prescribes_rate(epochs) {
            return self.average_of_members(averaging);
        }
        let learner = self.study.session.learner();
        if !learner.averages() {
            let must = "one that carries out the setting \"averaging\", such as Trainer";
            return Err(Error::invalid("the learner", must, "another one"));
        }
        let Some(text) = averaging.text() else {
            let must = "one that starts after a share of the run, without warm-up or with the default one";
            return Err(Error::invalid("the average", must, format!("{averaging:?}")));
        };
        let mut run =
            RunSpec { id: 0, slot: 0, collect: Default::default(), sequence: None, ..first.clone() };
        run.settings = run.settings.with("averaging", text.as_str());
        if let Some(budget) = self.study.budget {
            run.settings = run.settings.with("epochs", budget as i64);
        }
        let plan = Plan { runs: vec![run], ..self.plan.clone() };
        let trained = self.train(&text, &plan)?;
        Ok((trained.pool, trained.epochs, trained.seconds))
    }

    /// The student of the pool's members, and the epochs and seconds that all trainings took.
    pub(super) fn distilled(&self, options: &Distill) -> Result<(Pool<'a, L>, f64, f64)> {
        let full = self.full()?;
        let started = Instant::now();
        let options = self.student(options);
        let store = folder(self.folder.as_deref(), &options.text()).map(DirectoryStore::new).transpose()?;
        let session = match &store {
            Some(store) => self.study.session.clone().store(store),
            None => self.study.session.clone(),
        };
        let members = full.pool.distill_in(&session, &options, self.seed.child("student"))?.into_members();
        let student = full.pool.with_members(members)?;
        let (epochs, seconds) = (epochs(student.members()), started.elapsed().as_secs_f64());
        Ok((student, full.epochs + epochs, full.seconds + seconds))
    }

    /// The options of a student with the architecture and the settings of the strategy's first run.
    pub(super) fn student(&self, options: &Distill) -> Distill {
        let (mut options, mut settings) = (options.clone(), Settings::new());
        if let Some(first) = self.plan.runs.first() {
            options = options.architecture(&first.architecture);
            // The student sees all features, and the settings of a run that does not say how many it sees.
            settings = if first.features.is_none() { first.settings.clone() } else { settings };
        }
        if let Some(budget) = self.study.budget {
            settings = settings.with("epochs", budget as i64);
        }
        options.settings(settings)
    }

    /// The average of the members of the first run, whose learning rate its rule for collecting them prescribes.
    fn average_of_members(&self, averaging: &Averaging) -> Result<(Pool<'a, L>, f64, f64)> {
        let full = self.full()?;
        let members = by_network(full.pool.members().iter().filter(|member| member.record.run == 0));
        let networks: Vec<&Member> =
            members.iter().filter_map(|of_network| of_network.first().copied()).collect();
        let Some(last) = networks.last() else {
            return Err(Error::invalid("the number of members of run 0", "at least 1", 0));
        };
        let weights: Vec<_> = networks.iter().map(|network| &network.weights).collect();
        let mut record = last.record.clone();
        record.key = format!("averaged-{}", record.key);
        let network = Member { weights: averaging.of(&weights)?, record };
        let runs = self.plan.runs.len() as f64;
        let pool = full.pool.with_members(each_in_network(network))?.re_estimated()?;
        Ok((pool, full.epochs / runs, full.seconds / runs))
    }

    /// Trains a plan, or reads what has been trained.
    fn train(&self, name: &str, plan: &Plan) -> Result<TrainedPool<'a, L>> {
        let started = Instant::now();
        let plan = self.study.within_budget(plan.clone())?;
        let store = folder(self.folder.as_deref(), name).map(DirectoryStore::new).transpose()?;
        let session = match &store {
            Some(store) => self.study.session.clone().store(store),
            None => self.study.session.clone(),
        };
        let members = session.train(&plan)?.into_members();
        let seconds = started.elapsed().as_secs_f64();
        TrainedPool::new(self.study.session.pool(members, &plan)?, self.study, seconds)
    }
}

/// What reserved rows are called in reports.
const RESERVED: &str = "reserved";

/// A trained pool, with its predictions for the test rows.
pub(super) struct TrainedPool<'a, L: Learner> {
    pub(super) pool: Pool<'a, L>,
    pub(super) epochs: f64,
    pub(super) seconds: f64,
    /// By member, on the CPU.
    members: Predictions,
    /// By slot, on the CPU.
    slots: Predictions,
    logs: OnceCell<Predictions>,
}

impl<'a, L: Learner> TrainedPool<'a, L> {
    fn new(pool: Pool<'a, L>, study: &Study<'a, L>, seconds: f64) -> Result<Self> {
        let epochs = epochs(pool.members());
        let slots = study.predict(&pool, Scale::Probability)?;
        let members = match slots.slots() == leading(predicting(pool.members())).len() {
            true => slots.clone(),
            false => {
                let own = pool.with_members(with_own_slots(predicting(pool.members())))?;
                study.predict(&own, Scale::Probability)?
            }
        };
        Ok(Self { pool, epochs, seconds, members, slots, logs: OnceCell::new() })
    }

    /// The predictions of each member for the test rows.
    pub(super) fn of_members(&self) -> &Predictions {
        &self.members
    }

    /// The predictions of each slot for the test rows, on this scale.
    pub(super) fn of_slots(&self, study: &Study<'a, L>, scale: Scale) -> Result<&Predictions> {
        match scale {
            Scale::LogProbability => get_or_make(&self.logs, || study.predict(&self.pool, scale)),
            _ => Ok(&self.slots),
        }
    }

    /// The cost of a prediction with these slots, by their positions: the networks that run, and the size of their weights.
    pub(super) fn cost_of(&self, needed: impl Fn(usize) -> bool) -> (f64, f64) {
        let slots: BTreeSet<usize> = predicting(self.pool.members()).map(|m| m.record.slot).collect();
        let needed: BTreeSet<usize> =
            slots.into_iter().enumerate().filter(|(at, _)| needed(*at)).map(|(_, slot)| slot).collect();
        cost_of(predicting(self.pool.members()).filter(|m| needed.contains(&m.record.slot)))
    }

    /// The cost of a prediction with one member, on average: with one of a sequence, its networks together.
    fn cost_of_one(&self) -> (f64, f64) {
        let members: Vec<Member> = predicting(self.pool.members()).cloned().collect();
        let each = leading(&members);
        let costs = each.iter().map(|first| cost_of(predicting_with(&members, first)));
        let (networks, bytes) = costs.fold((0., 0.), |sum, cost| (sum.0 + cost.0, sum.1 + cost.1));
        let count = each.len().max(1) as f64;
        (networks / count, bytes / count)
    }

    /// The rows that rules are fitted on.
    pub(super) fn fitted_on(&self, source: &str) -> Result<FittedOnRows> {
        Ok(FittedOnRows { source: source.into(), rows: self.pool.held_out()?.rows().len() })
    }

    /// The rows that merges are measured on.
    pub(super) fn measured_on(&self) -> FittedOnRows {
        FittedOnRows { source: RESERVED.into(), rows: self.pool.reserved().len() }
    }

    /// The facts about the training.
    pub(super) fn facts(&self, rows: &TestRows) -> Result<Trained> {
        let predictions = rows.members_in_units(self.members.values())?;
        let (members, _, _) = predictions.dims3()?;
        let each = (0..members).map(|m| Ok(predictions.get(m)?)).collect::<Result<Vec<Tensor>>>()?;
        let (mut confusion, mut reliability) = (None, vec![]);
        for predicted in &each {
            add_counts(&mut confusion, rows.confusion(predicted)?);
            add_bins(&mut reliability, &rows.reliability(predicted));
        }
        let runs: BTreeMap<usize, &Member> = self.pool.members().iter().map(|m| (m.record.run, m)).collect();
        let (networks_of_one, bytes_of_one) = self.cost_of_one();
        let curve = |m: &&Member| m.record.curve.iter().map(|epoch| epoch.train_loss).collect();
        Ok(Trained {
            members,
            networks: by_network(predicting(self.pool.members())).len(),
            member_scores: each.iter().map(|predicted| rows.scores(predicted)).collect::<Result<_>>()?,
            curves: runs.values().map(curve).collect(),
            epochs: self.epochs,
            seconds: self.seconds,
            networks_of_one,
            bytes_of_one,
            confusion,
            reliability,
            predictions: Array::of(&predictions)?,
        })
    }
}

/// Adds counts of true and predicted classes.
pub(super) fn add_counts(sum: &mut Option<Vec<Vec<f64>>>, counts: Option<Vec<Vec<f64>>>) {
    match (sum.as_mut(), counts) {
        (None, counts) => *sum = counts,
        (Some(sum), Some(counts)) => {
            let cells = sum.iter_mut().zip(&counts).flat_map(|(to, from)| to.iter_mut().zip(from));
            cells.for_each(|(to, from)| *to += from);
        }
        (Some(_), None) => {}
    }
}

/// Puts bins of other rows together with bins of the same intervals.
pub(super) fn add_bins(sum: &mut Vec<ReliabilityBin>, bins: &[ReliabilityBin]) {
    for bin in bins {
        match sum.iter_mut().find(|known| known.low == bin.low) {
            None => sum.push(*bin),
            Some(known) => {
                let weight = known.weight + bin.weight;
                let mean = |a: f64, b: f64| (known.weight * a + bin.weight * b) / weight;
                let (confidence, accuracy) =
                    (mean(known.confidence, bin.confidence), mean(known.accuracy, bin.accuracy));
                *known = ReliabilityBin { confidence, accuracy, weight, ..*known };
            }
        }
    }
    sum.sort_by(|a, b| a.low.total_cmp(&b.low));
}

/// The epochs of all runs together.
fn epochs(members: &[Member]) -> f64 {
    let mut runs: BTreeMap<usize, usize> = BTreeMap::new();
    for Member { record, .. } in members {
        let epochs = runs.entry(record.run).or_default();
        *epochs = record.curve.len().max(*epochs);
    }
    runs.values().sum::<usize>() as f64
}

/// The networks that hold these members, and the size of their weights in bytes. A network that holds several members runs as a
/// whole, however many of them are needed.
pub(super) fn cost_of<'m>(members: impl IntoIterator<Item = &'m Member>) -> (f64, f64) {
    let networks = by_network(members);
    (networks.len() as f64, networks.iter().filter_map(|members| members.first()).map(|m| bytes(m)).sum())
}

/// The size of a member's weights.
fn bytes(member: &Member) -> f64 {
    member.weights.values().map(|w| (w.elem_count() * w.dtype().size_in_bytes()) as f64).sum()
}

/// The inputs of all test rows, `(N, F)`.
pub(super) fn test_inputs(data: &dyn crate::data::Dataset) -> Result<Tensor> {
    data.positions().check_one("a combiner that reads the inputs of a row")?;
    let rows: Rows = (0..data.rows() as u32).collect();
    flat_inputs(data, &rows, &Device::Cpu)
}

impl<'a, L: Learner> Study<'a, L> {
    /// The predictions of the pool for the test rows, on the CPU.
    pub(super) fn predict(&self, pool: &Pool<'_, L>, scale: Scale) -> Result<Predictions> {
        let rows: Rows = (0..self.test.rows() as u32).collect();
        let (_, _, device) = pool.parts();
        let passes = Passes::new(Source::Rows(self.test, &rows), ROWS, device)
            .limited((self.test.task(), self.test.positions()));
        let passes = passes.observer(self.session.own_observer());
        let scored = self.scored.get();
        let predictions = pool.predict_kept(&passes, scale, |places, predicted| match scored {
            Some(scored) => scored.select(places, predicted),
            None => Ok(predicted),
        })?;
        predictions.to_device(&Device::Cpu)?.with_names(pool.names())
    }
}

/// The content of the cell, made first where it is empty.
pub(super) fn get_or_make<T>(cell: &OnceCell<T>, make: impl FnOnce() -> Result<T>) -> Result<&T> {
    if let Some(made) = cell.get() {
        return Ok(made);
    }
    let made = make()?;
    Ok(cell.get_or_init(|| made))
}
