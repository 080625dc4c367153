//! A run as its training loop sees it: the rows that it may train on, the network's variables, and the calls
//! that report progress.
use crate::{
    data::{
        positions::pass_rows, Batch, Dataset, FittedScalings, LastBatch, Positions, Purpose, Rows, Scaling,
        Task, Upcoming,
    },
    network::{dtype, Output},
    observe::{Event, Flow, Observer},
    plan::{Position, RunSpec, Settings},
    store::{checkpoint::LoopState, EpochRecord},
    train::{
        class_weights::FittedClassWeights, fit::check_output_at, run_checkpoints::RunCheckpoints,
        ClassWeights,
    },
    weights::{
        compatibility::is_statistic,
        finite::{first_non_finite, NonFinite},
        Vars, Weights,
    },
    Error, Network, Seed,
};
use candle_core::{Device, Error as CandleError, Result as CandleResult, Tensor};
use std::{
    collections::BTreeSet,
    ops::Range,
    sync::atomic::{AtomicBool, Ordering},
};

/// One run, as its training loop sees it.
///
/// [`Learner::fit`](crate::train::Learner::fit) receives a `Run`. It provides the batches of the run's
/// training and validation rows ([`batches`](Run::batches), [`validation`](Run::validation)), the network's
/// variables ([`vars`](Run::vars)), the device, the settings of the run, and seeds for random draws. It gives
/// no access to rows that the plan holds out.
///
/// A loop calls [`end_epoch`](Run::end_epoch) after each epoch. The call extends the learning curve, collects
/// the members that are due within the run, and notifies the observer. A loop that only returns the last
/// network may leave the call out. To resume an interrupted run, a loop also starts at
/// [`first_epoch`](Run::first_epoch) and calls [`checkpoint`](Run::checkpoint);
/// [`Learner`](crate::train::Learner) shows an example.
#[allow(missing_debug_implementations)] // a data set need not be Debug
pub struct Run<'a> {
    parts: RunParts<'a>,
    /// The rows of the plan.
    train: Rows,
    valid: Rows,
    vars: &'a Vars,
    /// How many members the network holds.
    count: usize,
    /// Epochs of the whole run; 0 if the learner does not know.
    epochs: usize,
    /// Members that have been collected.
    collected: usize,
    curve: Vec<EpochRecord>,
    state: LoopState,
    scaling: FittedScalings,
    failure: Option<Error>,
    /// Variables that the network's constructor sets to infinity, such as a mask.
    infinite: BTreeSet<String>,
    /// Whether a training batch of a single row was made.
    single_row: AtomicBool,
}

/// Stores the variables as the run's member of a number.
pub(crate) type StoreMember<'a> = dyn Fn(usize, Collected<'_>) -> Result<(), Error> + 'a;

/// What becomes a member.
pub(crate) struct Collected<'c> {
    pub(crate) vars: &'c Vars,
    /// The learning curve so far.
    pub(crate) curve: &'c [EpochRecord],
    pub(crate) scaling: &'c FittedScalings,
    /// How many members the network holds.
    pub(crate) count: usize,
}

/// Is told the learning rate and the loss of each step of the ready-made trainer, and may stop the run.
pub(crate) type AfterStep<'a> = dyn Fn(f64, f64) -> Flow + 'a;

/// What a run needs besides its learner.
pub(crate) struct RunParts<'a> {
    pub(crate) data: &'a dyn Dataset,
    pub(crate) spec: &'a RunSpec,
    pub(crate) device: &'a Device,
    pub(crate) observer: &'a dyn Observer,
    /// `None` if the run writes no checkpoints and never resumes.
    pub(crate) checkpoints: Option<RunCheckpoints<'a>>,
    pub(crate) store_member: &'a StoreMember<'a>,
    pub(crate) after_step: Option<&'a AfterStep<'a>>,
}

impl<'a> Run<'a> {
    /// The run at its beginning, or at its last checkpoint.
    pub(crate) fn start(
        parts: RunParts<'a>,
        (vars, network): (&'a Vars, &impl Network),
        epochs: usize,
    ) -> Result<Self, Error> {
        let (train, valid) = (parts.spec.train.to_vec()?, parts.spec.valid.to_vec()?);
        let mut run = Self {
            parts,
            train,
            valid,
            vars,
            count: network.members().count.max(1),
            epochs,
            collected: 0,
            curve: vec![],
            state: LoopState::default(),
            scaling: FittedScalings::default(),
            failure: None,
            infinite: BTreeSet::new(),
            single_row: AtomicBool::new(false),
        };
        // Before the checkpoint is read: nothing has been trained.
        while let Some((name, _)) = run.first_non_finite()? {
            run.infinite.insert(name);
        }
        let checkpoint = run.parts.checkpoints.as_ref().map(|checkpoints| checkpoints.restore(vars));
        if let Some(checkpoint) = checkpoint.transpose()?.flatten() {
            let (spec, epoch) = (run.parts.spec, checkpoint.epoch());
            run.notify(&Event::Resumed { run: spec, epoch })?;
            run.collected = (0..epoch).filter(|epoch| spec.collect.due(*epoch, epochs).is_some()).count();
            (run.curve, run.state) = (checkpoint.curve, checkpoint.state);
        }
        Ok(run)
    }

    /// The epoch to begin with: 0, or the first epoch after the checkpoint from which the run resumes. The
    /// network's variables already have the checkpoint's values.
    #[must_use]
    pub fn first_epoch(&self) -> usize {
        self.curve.last().map_or(0, |record| record.epoch + 1)
    }

    /// The state that the loop passed to [`Run::checkpoint`] for the checkpoint from which the run resumes.
    /// Empty when the run starts from the beginning.
    #[must_use]
    pub fn state(&self) -> &[u8] {
        &self.state.bytes
    }

    /// Moves the tensors of that state out of the run; see [`Run::checkpoint_with`].
    pub(crate) fn take_state_tensors(&mut self) -> Weights {
        std::mem::take(&mut self.state.tensors)
    }

    /// The learning rate at a position, if the way in which members are collected prescribes it
    /// ([`Snapshot`](crate::plan::Snapshot), [`FastGeometric`](crate::plan::FastGeometric)). `base` is the
    /// learning rate of the optimizer. Where the result is `None`, the loop uses its own learning rate.
    #[must_use]
    pub fn learning_rate(&self, base: f64, at: Position) -> Option<f64> {
        self.parts.spec.collect.rate(base, at)
    }

    /// The run's entry in the plan: its number, rows, seed and settings.
    #[must_use]
    pub fn spec(&self) -> &'a RunSpec {
        self.parts.spec
    }

    /// The rows to train on, each as often as it is trained on in an epoch, in the order of the plan.
    #[must_use]
    pub fn train_rows(&self) -> &[u32] {
        &self.train
    }

    /// The validation rows.
    #[must_use]
    pub fn valid_rows(&self) -> &[u32] {
        &self.valid
    }

    /// The settings of this run, which take precedence over those of the learner.
    #[must_use]
    pub fn settings(&self) -> &'a Settings {
        &self.parts.spec.settings
    }

    /// The network's variables, by name. `run.vars().all_vars()` is what candle's optimizers take.
    #[must_use]
    pub fn vars(&self) -> &'a Vars {
        self.vars
    }

    /// The task: classes or values, and how many.
    #[must_use]
    pub fn task(&self) -> Task {
        self.parts.data.task()
    }

    /// How many predictions a row takes.
    #[must_use]
    pub fn positions(&self) -> Positions {
        self.parts.data.positions()
    }

    /// The task of a position, and how many a row has.
    pub(crate) fn kind_of_targets(&self) -> (Task, Positions) {
        (self.task(), self.positions())
    }

    /// The device that the network's variables and the batches are on.
    #[must_use]
    pub fn device(&self) -> &'a Device {
        self.parts.device
    }

    /// A seed for other random draws of the loop. It depends on the run's seed and on `name` only.
    #[must_use]
    pub fn seed(&self, name: &str) -> Seed {
        self.parts.spec.seed.child("loop").child(name)
    }

    /// The training rows in batches of `size`, in an order that depends on the run's seed and the epoch only.
    /// The last batch is smaller if the rows do not divide evenly. In a network with batch normalization a
    /// last batch of a single row joins the batch before it; see [`LastBatch::Auto`].
    pub fn batches(&self, epoch: usize, size: usize) -> impl Iterator<Item = CandleResult<Batch>> + use<'a> {
        self.training_batches(self.shuffled_rows(epoch), size, LastBatch::Auto).map(|(_, batch)| batch)
    }

    /// The training rows in batches of `size`, in the order of the plan, with the same last batch.
    pub fn batches_in_order(&self, size: usize) -> impl Iterator<Item = CandleResult<Batch>> + use<'a> {
        let rows = self.train.clone();
        self.training_batches(rows, size, LastBatch::Auto).map(|(_, batch)| batch)
    }

    /// The validation rows in batches of `size`, with their validation weights. There are no batches if the run has no
    /// validation rows.
    pub fn validation(&self, size: usize) -> impl Iterator<Item = CandleResult<Batch>> + use<'a> {
        self.validation_batches(size).map(|(_, batch)| batch)
    }

    /// The training rows in the order of an epoch.
    pub(crate) fn shuffled_rows(&self, epoch: usize) -> Rows {
        self.shuffled(self.train.clone(), epoch)
    }

    /// These rows in the order of an epoch.
    pub(crate) fn shuffled(&self, rows: Rows, epoch: usize) -> Rows {
        self.parts.data.shuffle().order(rows, self.parts.spec.seed.nth("epoch", epoch as u64))
    }

    /// These rows as one batch, with the features of the run.
    pub(crate) fn batch(&self, rows: &[u32]) -> CandleResult<Batch> {
        self.reader()(rows)
    }

    /// The weights of the classes for the training rows.
    pub(crate) fn fit_class_weights(&self, weights: &ClassWeights) -> Result<FittedClassWeights, Error> {
        weights.fit(self.parts.data, &self.train)
    }

    /// The soft targets of these rows, if the data has any.
    pub(crate) fn soft_targets(&self, rows: &[u32]) -> CandleResult<Option<Tensor>> {
        self.parts.data.soft_targets(rows, self.parts.device)
    }

    /// What reads rows of the run's data, on any thread.
    pub(crate) fn reader(&self) -> impl Fn(&[u32]) -> CandleResult<Batch> + Sync + use<'a> {
        let RunParts { data, device, spec, .. } = self.parts;
        move |rows| select_features(data.batch(rows, device)?, spec.features.as_deref())
    }

    /// The numbers of the rows of each training batch, and the batch.
    pub(crate) fn training_batches(
        &self,
        rows: Rows,
        size: usize,
        last: LastBatch,
    ) -> impl Iterator<Item = (Rows, CandleResult<Batch>)> + use<'a> {
        let parts: Vec<_> = last.split(rows.len(), size, self.vars.has_statistics()).collect();
        if parts.iter().any(|part| part.len() == 1) {
            self.single_row.store(true, Ordering::Relaxed);
        }
        self.numbered_batches(Purpose::Training, rows, parts.into_iter())
    }

    /// The rows of a batch that is evaluated: `most`, or fewer where rows have many positions.
    pub(crate) fn evaluation_rows(&self, most: usize) -> usize {
        let (data, train) = (self.parts.data, &self.train);
        let first = || Ok(data.batch(train.get(..1).unwrap_or_default(), &Device::Cpu)?.inputs);
        pass_rows(most, self.kind_of_targets(), first)
    }

    /// The numbers of the rows of each validation batch, and the batch.
    pub(crate) fn validation_batches(
        &self,
        size: usize,
    ) -> impl Iterator<Item = (Rows, CandleResult<Batch>)> + use<'a> {
        let rows = self.valid.clone();
        let parts = LastBatch::Keep.split(rows.len(), size, false);
        self.numbered_batches(Purpose::Validation, rows, parts)
    }

    /// The numbers of these parts of the rows, and their batches with the features of the run.
    fn numbered_batches<P: Iterator<Item = Range<usize>>>(
        &self,
        purpose: Purpose,
        rows: Rows,
        parts: P,
    ) -> impl Iterator<Item = (Rows, CandleResult<Batch>)> + use<'a, P> {
        let RunParts { data, device, spec, .. } = self.parts;
        let features = spec.features.as_deref();
        let mut upcoming = Upcoming::new(data);
        parts.map(move |part| {
            upcoming.before(&rows, part.end);
            let rows = rows[part].to_vec();
            let batch =
                data.batch_for(purpose, &rows, device).and_then(|batch| select_features(batch, features));
            (rows, batch)
        })
    }

    /// Checks that the output of the network for a batch of `rows` rows fits the task: `(B, C)` logits for `C`
    /// classes, one logit `(B,)` or `(B, 1)` for two classes, `(B, K)` values, or `(B,)` for one value; logits at each
    /// position where rows have several.
    ///
    /// The ready-made learners call it on their first batch, so that a network of another shape is refused
    /// before it is trained. Call it in a [`Learner`](crate::train::Learner) of your own.
    ///
    /// # Errors
    /// When the output has another shape. Return the error from the loop.
    pub fn check_output(&mut self, output: &Tensor, rows: usize) -> CandleResult<()> {
        check_output_at(output, self.kind_of_targets(), rows, Output::Logits).map_err(|e| self.fail(e))
    }

    /// Runs the network on its first rows, without training, and checks the output.
    pub(crate) fn try_network(&mut self, network: &impl Network, kind: Output) -> CandleResult<()> {
        let rows = self.train.iter().take(2).copied().collect::<Rows>();
        let output = network.run(&self.batch(&rows)?.inputs, false)?;
        check_output_at(&output, self.kind_of_targets(), rows.len(), kind).map_err(|e| self.fail(e))
    }

    /// The first variable, in the order of names, that is not finite although it was at the start.
    pub(crate) fn first_non_finite(&self) -> Result<Option<(String, NonFinite)>, Error> {
        for (name, var) in self.vars.named() {
            if !self.infinite.contains(&name)
                && let Some(found) = first_non_finite(var.as_tensor())?
            {
                return Ok(Some((name, found)));
            }
        }
        Ok(None)
    }

    /// The variables that were not finite at the start, for an error.
    pub(crate) fn infinite_variables(&self) -> Option<String> {
        let names: Vec<_> = self.infinite.iter().map(|name| format!("`{name}`")).collect();
        (!names.is_empty()).then(|| names.join(", "))
    }

    /// The error for a variable that is not finite. `None` if the reason is most likely that the training
    /// diverged.
    pub(crate) fn batch_norm_error(&self, name: &str, found: &NonFinite, when: &str) -> Option<Error> {
        if !is_statistic(name) {
            return None;
        }
        let rows = self.train.len();
        let cause = match self.single_row.load(Ordering::Relaxed) {
            true => format!(
                "batch normalization had a batch of a single row, and one number has no variance; train with \
                 batches of at least 2 rows (the run trains on {rows}; see Trainer::batch_size and \
                 Trainer::last_batch), or without batch normalization"
            ),
            false => {
                "the numbers that batch normalization measured are not finite, or too large for its type; \
                      standardize the data or lower the learning rate"
                    .into()
            }
        };
        Some(self.not_finite(named_element(name, found), found.value, when, cause))
    }

    pub(crate) fn not_finite(&self, what: String, value: f64, when: &str, cause: impl Into<String>) -> Error {
        Error::NotFinite { run: self.parts.spec.id, what, value, when: when.into(), cause: cause.into() }
    }

    /// Checks that all variables are finite before they become a member.
    fn check_finite(&self) -> Result<(), Error> {
        let Some((name, found)) = self.first_non_finite()? else { return Ok(()) };
        let when = match self.curve.last() {
            Some(record) => format!("after epoch {}", record.epoch),
            None => "after the training".into(),
        };
        Err(self.batch_norm_error(&name, &found, &when).unwrap_or_else(|| {
            let cause = "the training loop has diverged; lower the learning rate, clip gradients or \
                         standardize the data";
            self.not_finite(named_element(&name, &found), found.value, &when, cause)
        }))
    }

    /// Reports a step with its learning rate and the loss before it.
    pub(crate) fn end_step(&self, rate: f64, loss: f64) -> Result<(), Error> {
        match self.parts.after_step.map(|after_step| after_step(rate, loss)) {
            None | Some(Flow::Continue) => Ok(()),
            Some(Flow::Stop) => Err(Error::Cancelled { done: 0, of: 0 }),
        }
    }

    /// Reports the end of an epoch. The record is added to the learning curve, a member that is due at the
    /// end of this epoch is collected, and the observer is notified.
    ///
    /// # Errors
    /// When the member cannot be stored, or the observer stops the training. Return the error from the loop.
    pub fn end_epoch(&mut self, record: EpochRecord) -> CandleResult<()> {
        self.curve.push(record.clone());
        self.collect_and_notify(&record).map_err(|e| self.fail(e))
    }

    fn collect_and_notify(&mut self, record: &EpochRecord) -> Result<(), Error> {
        if let Some(index) = self.parts.spec.collect.due(record.epoch, self.epochs) {
            self.check_finite()?;
            self.store_member(index)?;
            self.collected += 1;
        }
        self.notify(&Event::EpochEnded { run: self.parts.spec, record })
    }

    fn store_member(&self, index: usize) -> Result<(), Error> {
        let (curve, scaling) = (&*self.curve, &self.scaling);
        (self.parts.store_member)(index, Collected { vars: self.vars, curve, scaling, count: self.count })
    }

    /// Fits scalings on the training rows, unless that has been done. They become part of the run's members.
    pub(crate) fn fit_scaling(
        &mut self,
        inputs: Option<&Scaling>,
        targets: Option<&Scaling>,
    ) -> Result<(), Error> {
        if self.scaling.is_none() {
            let RunParts { data, spec, .. } = self.parts;
            let features = spec.features.as_deref();
            self.scaling = FittedScalings::fit(data, &self.train, features, inputs, targets)?;
        }
        Ok(())
    }

    /// The scalings that the run has fitted.
    pub(crate) fn scaling(&self) -> &FittedScalings {
        &self.scaling
    }

    /// Writes a checkpoint if one is due. It holds the network's variables, the learning curve, and `state`:
    /// whatever else the loop needs in order to resume, which [`Run::state`] then returns.
    ///
    /// Call it after [`Run::end_epoch`]. `state` is only called if a checkpoint is due. If a loop never calls
    /// this method, an interrupted run starts from the beginning.
    ///
    /// # Errors
    /// When `state` fails, or the checkpoint cannot be stored. Return the error from the loop.
    pub fn checkpoint(&mut self, state: impl FnOnce() -> Result<Vec<u8>, Error>) -> CandleResult<()> {
        self.checkpoint_with(|| Ok(state()?.into()))
    }

    /// The same for a loop whose state includes tensors. They are written one by one, without a copy of all
    /// of them.
    pub(crate) fn checkpoint_with(
        &mut self,
        state: impl FnOnce() -> Result<LoopState, Error>,
    ) -> CandleResult<()> {
        match &mut self.parts.checkpoints {
            Some(checkpoints) if checkpoints.is_due(self.curve.len()) => {
                let written = state().and_then(|state| checkpoints.write(self.vars, &self.curve, state));
                written.map_err(|e| self.fail(e))
            }
            _ => Ok(()),
        }
    }

    /// Turns an error of this library into an error that the loop can return. The caller of
    /// [`Session::train`](crate::Session::train) receives the original error.
    pub fn fail(&mut self, error: Error) -> candle_core::Error {
        let message = candle_core::Error::Msg(error.to_string());
        self.failure = Some(error);
        message
    }

    /// The original of an error that [`Run::fail`] turned into an error of candle, for a loop that goes on with errors of
    /// this library.
    pub(crate) fn failed(&mut self, error: candle_core::Error) -> Error {
        self.failure.take().unwrap_or_else(|| error.into())
    }

    /// Ends the run after its loop has returned `outcome`: collects the member that is due at the end, and
    /// returns the learning curve.
    pub(crate) fn finish(mut self, outcome: CandleResult<()>) -> Result<Vec<EpochRecord>, Error> {
        match (outcome, self.failure.take()) {
            (Err(_), Some(Error::Candle(e))) | (Err(e), None) => return Err(self.name_inputs(e).into()),
            (Err(_), Some(failure)) => return Err(failure),
            (Ok(()), _) => {}
        }
        let collect = &self.parts.spec.collect;
        if collect.at_end() {
            self.check_finite()?;
            self.store_member(0)?;
            return Ok(self.curve);
        }
        let due = collect.members(self.epochs);
        if self.collected != due {
            let must = format!("one that calls Run::end_epoch for each of {} epochs", self.epochs);
            let (calls, collected) = (self.curve.len(), self.collected);
            let got = format!(
                "one that called it {calls} times, so that {collected} of {due} members were collected"
            );
            return Err(Error::invalid("the training loop", must, got));
        }
        Ok(self.curve)
    }

    /// The error of the training loop, which names the inputs if they are floats of another type than the variables.
    fn name_inputs(&self, e: CandleError) -> CandleError {
        let first = self.train.iter().take(1).copied().collect::<Rows>();
        let variables = self.vars.all_vars();
        match (variables.first(), self.batch(&first)) {
            (Some(variable), Ok(batch)) => dtype::name_inputs(e, &batch.inputs, variable.dtype()),
            _ => e,
        }
    }

    pub(crate) fn notify(&self, event: &Event<'_>) -> Result<(), Error> {
        match self.parts.observer.notify(event) {
            Flow::Continue => Ok(()),
            // The session fills in the numbers.
            Flow::Stop => Err(Error::Cancelled { done: 0, of: 0 }),
        }
    }
}

/// The name of a variable with the position of one of its numbers.
pub(crate) fn named_element(name: &str, found: &NonFinite) -> String {
    match found.position.is_empty() {
        true => format!("`{name}`"),
        false => format!("`{name}`{:?}", found.position),
    }
}

fn select_features(batch: Batch, features: Option<&[u32]>) -> CandleResult<Batch> {
    Ok(Batch { inputs: batch.inputs.columns(features)?, ..batch })
}

/// Rows in batches of `size`, at least 1, with the weights that they have where they are scored.
pub(crate) fn in_batches<'a>(
    data: &'a dyn Dataset,
    rows: Rows,
    size: usize,
    device: &'a Device,
) -> impl Iterator<Item = CandleResult<Batch>> + 'a {
    let parts = LastBatch::Keep.split(rows.len(), size, false);
    parts.map(move |part| data.batch_for(Purpose::Scoring, &rows[part], device))
}
