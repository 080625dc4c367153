//! Runs that depend on earlier ones: what the next member of a sequence trains on, and what it adds.
//!
//! A process keeps what it knows of the sequences that it works on. It starts anew from the members in the store where it
//! knows nothing yet, so that a sequence can go on in any process, with the same bytes.
use crate::{
    data::{Dataset, Purpose, Task},
    network::{Aggregation, Output},
    observe::Event,
    plan::RunSpec,
    predictions::{
        joined::{numbers, predict_alone},
        live::Constructor,
        passes::{Passes, Source, ROWS},
        workers::Workers,
    },
    sequence::{
        Course, Outcome, Predicted, Round, RoundData, RoundRecord, RowTargets, Sequence, SequenceData,
        SequenceRows,
    },
    session::{
        build::Build,
        round_dataset::{Places, RoundDataset},
    },
    train::{check_run, train_run, Collected, Learner, RunParts},
    weights::{init, Weights},
    Error, Member, Network, Result,
};
use candle_core::{DType, Device};
use std::{
    cell::RefCell,
    collections::{BTreeMap, BTreeSet},
    sync::{atomic::AtomicUsize, Arc, Mutex, PoisonError},
    time::Instant,
};

/// The sequences that this process works on.
#[derive(Default)]
pub(super) struct UnderWay {
    /// The task that the members learn, by the number of the first run.
    tasks: BTreeMap<usize, Task>,
    /// What is known of each sequence, by the number of its first run.
    known: Mutex<BTreeMap<usize, Known>>,
}

/// What is known of a sequence.
struct Known {
    course: Box<dyn Course>,
    places: Arc<Places>,
    /// How many members have been taken in.
    rounds: usize,
    /// How many members count, where the sequence has ended.
    kept: Option<usize>,
}

impl UnderWay {
    /// The tasks that members of sequences learn, and the checks of their runs.
    pub(super) fn check<L: Learner>(
        learner: &L,
        runs: &[RunSpec],
        data: &dyn Dataset,
        device: &Device,
    ) -> Result<Self> {
        let mut tasks = BTreeMap::new();
        for run in runs {
            if run.sequence.is_some() {
                check_aggregation(learner, run).map_err(|e| e.in_run(run.id))?;
            }
            let task = match &run.sequence {
                None => data.task(),
                Some(sequence) => match tasks.get(&sequence.first) {
                    Some(task) => *task,
                    None => {
                        let task = member_task(learner, run, sequence, data, device);
                        let task = task.map_err(|e| e.in_run(run.id))?;
                        tasks.insert(sequence.first, task);
                        task
                    }
                },
            };
            let checked = match task == data.task() {
                true => check_run(learner, run, data),
                false => check_run(learner, run, &RoundDataset { data, task, round_data: None }),
            };
            checked.map_err(|e| e.in_run(run.id))?;
        }
        Ok(Self { tasks, known: Mutex::default() })
    }

    fn take(&self, sequence: &Sequence) -> Option<Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner).remove(&sequence.first)
    }

    /// Keeps what is known, if it is still needed.
    fn keep(&self, sequence: &Sequence, known: Known) {
        if known.rounds < sequence.rounds {
            self.known.lock().unwrap_or_else(PoisonError::into_inner).insert(sequence.first, known);
        }
    }
}

/// Checks how the members that the network of a run holds predict: of a sequence a network is one member, whose prediction is
/// that of the mean of its members' outputs.
fn check_aggregation<L: Learner>(learner: &L, run: &RunSpec) -> Result<()> {
    match learner.aggregation(&run.settings)? {
        Aggregation::SumOutput { .. } => {
            let must = "one whose members predict as their mean, such as member-mean, because a network is one member of \
                        a sequence";
            let got = "one whose members predict as their sum, such as soft-gradient-boosting";
            Err(Error::invalid("the joint loss of a run of a sequence", must, got))
        }
        _ => Ok(()),
    }
}

/// The task that the members of a sequence learn.
fn member_task<L: Learner>(
    learner: &L,
    run: &RunSpec,
    sequence: &Sequence,
    data: &dyn Dataset,
    device: &Device,
) -> Result<Task> {
    let rule = sequence.rule.get()?;
    if !rule.changes_task() {
        return Ok(data.task());
    }
    if learner.output() != Output::Logits {
        let must = "plain values (Output::Logits), because its members learn residuals";
        return Err(Error::invalid(
            "the output of the networks of a sequence",
            must,
            format!("{:?}", learner.output()),
        ));
    }
    rule.member_task(data.task(), outputs(learner, run, data, device)?)
}

/// How many numbers the network of a run puts out for a row.
fn outputs<L: Learner>(learner: &L, run: &RunSpec, data: &dyn Dataset, device: &Device) -> Result<usize> {
    let (_vars, vb) = init::fresh(run.seed, learner.init(&run.settings)?, learner.dtype(), device);
    let network = learner.build(&run.architecture, &run.settings, vb)?;
    let row = run.train.a_row().unwrap_or_default();
    let inputs = data.batch(&[row], device)?.inputs.columns(run.features.as_deref())?;
    Ok(network.run(&inputs, false)?.elem_count())
}

/// The runs without a sequence, and the first run of each other sequence: what executors are given. The whole sequence of a
/// first run is trained with it.
pub(super) fn units<'b>(all: &'b [RunSpec], todo: &[&'b RunSpec]) -> Vec<&'b RunSpec> {
    let mut begun = BTreeSet::new();
    let unit = |run: &&'b RunSpec| match &run.sequence {
        None => Some(*run),
        Some(sequence) => begun.insert(sequence.first).then(|| all.get(sequence.first)).flatten(),
    };
    todo.iter().filter_map(unit).collect()
}

/// Those of these runs that belong to the units.
pub(super) fn of_units<'b>(todo: &[&'b RunSpec], units: &[&RunSpec]) -> Vec<&'b RunSpec> {
    let first = |run: &RunSpec| run.sequence.as_ref().map_or(run.id, |sequence| sequence.first);
    let units: BTreeSet<usize> = units.iter().map(|run| first(run)).collect();
    todo.iter().copied().filter(|run| units.contains(&first(run))).collect()
}

impl<L: Learner> Build<'_, '_, L> {
    /// Trains the runs of a sequence that are not in the store, one after the other.
    pub(super) fn run_sequence(
        &self,
        sequence: &Sequence,
        device: &Device,
        done: &AtomicUsize,
    ) -> Result<()> {
        let runs = self.plan.runs.iter().skip(sequence.first).take(sequence.rounds);
        for run in runs {
            if !self.is_done(run)? {
                self.run_round(run, sequence, device, done).map_err(|e| e.in_run(run.id))?;
            }
        }
        Ok(())
    }

    /// Trains one run of a sequence, those before which are in the store.
    pub(super) fn run_round(
        &self,
        run: &RunSpec,
        sequence: &Sequence,
        device: &Device,
        done: &AtomicUsize,
    ) -> Result<()> {
        let started = Instant::now();
        self.notify(&Event::RunStarted { run })?;
        let known = self.before(run, sequence, device)?;
        if let Some(kept) = known.kept {
            let left_out = self.left_out(run, sequence, &known, kept)?;
            self.put(run, left_out, done)?;
            self.under_way.keep(sequence, Known { rounds: run.round() + 1, ..known });
            return self.finish_run(run, &[], started);
        }
        let round_data = known.course.round_data(round(run, sequence))?;
        let spec = self.spec_of(run, &known.places, &round_data);
        let task = known.course.data().member_task;
        let round_data = Some((known.places.clone(), round_data));
        let data = RoundDataset { data: self.session.data, task, round_data };
        let known = RefCell::new(known);
        let store_member = |index: usize, collected: Collected<'_>| {
            let mut member =
                Member { weights: collected.vars.snapshot()?, record: self.record(run, index, &collected)? };
            let known = &mut *known.borrow_mut();
            // It predicts as a member of the sequence, though its weight is not known yet.
            member.record.round = Some(round_record(run, sequence, &*known.course, Outcome::proceed(0.)));
            let outcome = self.update(known, &member, run, sequence, device)?;
            member.record.round = Some(round_record(run, sequence, &*known.course, outcome));
            self.put(run, member, done)?;
            self.notify(&Event::MemberCollected { run, index })
        };
        let parts = RunParts { data: &data, spec: &spec, ..self.parts(run, device, &store_member)? };
        let trained = train_run(self.session.learner, parts);
        self.unless_lost(run, trained.and_then(|(_, curve)| self.finish_run(run, &curve, started)))?;
        let known = known.into_inner();
        // It is not where the run was given up.
        if known.rounds == run.round() + 1 {
            self.under_way.keep(sequence, known);
        }
        Ok(())
    }

    /// What is known of the sequence before this run.
    fn before(&self, run: &RunSpec, sequence: &Sequence, device: &Device) -> Result<Known> {
        let known = self.under_way.take(sequence).filter(|known| known.rounds <= run.round());
        let mut known = known.map_or_else(|| self.beginning(run, sequence), Ok)?;
        while known.rounds < run.round() {
            let earlier = self.plan.runs.get(sequence.first + known.rounds);
            let earlier = earlier.ok_or_else(|| missing(sequence.first + known.rounds))?;
            let member = self.store.get(&self.key(earlier, 0)?)?.ok_or_else(|| missing(earlier.id))?;
            match known.kept {
                Some(_) => known.rounds += 1,
                None => _ = self.update(&mut known, &member, earlier, sequence, device)?,
            }
        }
        Ok(known)
    }

    /// What is known of a sequence before its first run.
    fn beginning(&self, run: &RunSpec, sequence: &Sequence) -> Result<Known> {
        let data = self.session.data;
        let places = Arc::new(Places::new(data, run.train.to_vec()?, run.valid.to_vec()?)?);
        let task = data.task();
        let data = SequenceData {
            task,
            member_task: self.under_way.tasks.get(&sequence.first).copied().unwrap_or(task),
            train: rows_of(data, &places.train, Purpose::Training)?,
            valid: rows_of(data, &places.valid, Purpose::Validation)?,
        };
        let course = sequence.rule.get()?.clone().start(data)?;
        Ok(Known { course, places, rounds: 0, kept: None })
    }

    /// Takes in what a member predicts.
    fn update(
        &self,
        known: &mut Known,
        member: &Member,
        run: &RunSpec,
        sequence: &Sequence,
        device: &Device,
    ) -> Result<Outcome> {
        let task = known.course.data().member_task;
        let predict = |rows: &[u32]| self.predict(member, rows, task, device);
        let (train, valid) = (predict(&known.places.train)?, predict(&known.places.valid)?);
        let outcome =
            known.course.update(round(run, sequence), &Predicted { train, valid, width: task.width() })?;
        known.rounds = run.round() + 1;
        known.kept = outcome.kept;
        Ok(outcome)
    }

    /// What a member predicts for these rows by itself, one row after the other.
    fn predict(&self, member: &Member, rows: &[u32], task: Task, device: &Device) -> Result<Vec<f64>> {
        if rows.is_empty() {
            return Ok(vec![]);
        }
        let build = || Constructor::of(self.session.learner).build(member, device);
        let live = build()?;
        let workers = Workers::new(&live, device.is_cpu().then(|| Box::new(build) as _), live.parameters);
        let passes = Passes::new(Source::Rows(self.session.data, rows), ROWS, device);
        let mut predicted = Vec::with_capacity(rows.len() * task.width());
        passes.spread(
            &workers,
            |live, inputs| Ok(predict_alone(live, inputs, task)?.detach()),
            |pass, of_pass| {
                passes.check_predicted(&of_pass, 0, (pass.start, 1))?;
                predicted.extend(numbers(&of_pass)?);
                Ok(())
            },
        )?;
        Ok(predicted)
    }

    /// The run with the rows of its round.
    fn spec_of(&self, run: &RunSpec, places: &Places, round_data: &RoundData) -> RunSpec {
        let row = |position: &usize| places.train.get(*position).copied();
        match &round_data.rows {
            None => run.clone(),
            Some(rows) => {
                RunSpec { train: rows.iter().filter_map(row).collect::<Vec<_>>().into(), ..run.clone() }
            }
        }
    }

    /// What stands in the store for the member of a run that comes after the end of its sequence.
    fn left_out(&self, run: &RunSpec, sequence: &Sequence, known: &Known, kept: usize) -> Result<Member> {
        let scaling = Default::default();
        let nothing = Collected { vars: &Default::default(), curve: &[], scaling: &scaling, count: 1 };
        let mut record = self.record(run, 0, &nothing)?;
        record.round = Some(round_record(run, sequence, &*known.course, Outcome::stop(0., kept)));
        Ok(Member { weights: Weights::new(), record })
    }
}

fn round(run: &RunSpec, sequence: &Sequence) -> Round {
    Round { number: run.round(), of: sequence.rounds, seed: run.seed.child("sequence") }
}

fn round_record(run: &RunSpec, sequence: &Sequence, course: &dyn Course, outcome: Outcome) -> RoundRecord {
    let Outcome { weight, kept } = outcome;
    RoundRecord { sequence: sequence.first, round: run.round(), weight, kept, join: course.join() }
}

fn missing(run: usize) -> Error {
    let must = "in the store before the next one of its sequence is trained";
    Error::invalid(format!("the member of run {run}"), must, "not there")
}

/// The targets and the weights of these rows. They are read in batches, because a batch has the inputs of its rows too.
fn rows_of(data: &dyn Dataset, rows: &[u32], purpose: Purpose) -> Result<SequenceRows> {
    let (mut classes, mut values, mut weights) = (vec![], vec![], Vec::with_capacity(rows.len()));
    for rows in rows.chunks(ROWS) {
        let batch = data.batch_for(purpose, rows, &Device::Cpu)?;
        match data.task() {
            Task::Classification { .. } => classes.extend(batch.targets.to_vec1::<u32>()?),
            Task::Regression { .. } => values.extend(numbers(&batch.targets)?),
        }
        match batch.weights {
            Some(of_rows) => weights.extend(of_rows.to_dtype(DType::F64)?.to_vec1::<f64>()?),
            None => weights.resize(weights.len() + rows.len(), 1.),
        }
    }
    let sum: f64 = weights.iter().sum();
    if !rows.is_empty() && sum <= 0. {
        return Err(Error::invalid("the sum of the weights of the rows of a sequence", "above 0", sum));
    }
    weights.iter_mut().for_each(|weight| *weight /= sum);
    let targets = match data.task() {
        Task::Classification { .. } => RowTargets::Classes(classes),
        Task::Regression { .. } => RowTargets::Values(values),
    };
    Ok(SequenceRows { targets, weights })
}
