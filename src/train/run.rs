//! What a training loop may touch: the rows its run was granted, and nothing held out.
use crate::{
    data::{Batch, Dataset, Task},
    observe::{Event, Flow, Observer},
    plan::{Position, RunSpec, Settings},
    store::{checkpoint::LoopState, EpochRecord},
    train::keeper::Keeper,
    weights::{Vars, Weights},
    Error, Rows, Seed,
};
use candle_core::{Device, Result as CandleResult};
use rand::seq::SliceRandom;

/// One run, from the inside of its training loop.
#[allow(missing_debug_implementations)] // a data set need not be Debug
pub struct Run<'a> {
    data: &'a dyn Dataset,
    spec: &'a RunSpec,
    vars: &'a Vars,
    device: &'a Device,
    observer: &'a dyn Observer,
    epochs: usize,
    keeper: Keeper<'a>,
    take: &'a HandOver<'a>,
    taken: usize,
    curve: Vec<EpochRecord>,
    state: LoopState,
    failure: Option<Error>,
}

/// Puts a member into the store, by its number.
pub(crate) type HandOver<'a> = dyn Fn(usize, &[EpochRecord]) -> Result<(), Error> + 'a;

/// What a run is made of.
pub(crate) struct RunParts<'a> {
    pub(crate) data: &'a dyn Dataset,
    pub(crate) spec: &'a RunSpec,
    pub(crate) vars: &'a Vars,
    pub(crate) device: &'a Device,
    pub(crate) observer: &'a dyn Observer,
    /// As the learner tells; 0 where it does not.
    pub(crate) epochs: usize,
    pub(crate) keeper: Keeper<'a>,
    pub(crate) take: &'a HandOver<'a>,
}

impl<'a> Run<'a> {
    /// The run from its beginning, or from its last checkpoint.
    pub(crate) fn start(parts: RunParts<'a>) -> Result<Self, Error> {
        let RunParts { data, spec, vars, device, observer, epochs, keeper, take } = parts;
        let (curve, state, taken) = match keeper.restore(vars)? {
            None => (vec![], LoopState::default(), 0),
            Some(at) => {
                let epoch = at.epoch();
                let event = Event::Resumed { run: spec, epoch };
                if observer.notify(&event) == Flow::Stop {
                    return Err(Error::Cancelled { done: 0, of: 0 });
                }
                let taken = (0..epoch).filter(|epoch| spec.collect.due(*epoch, epochs).is_some()).count();
                (at.curve, at.state, taken as usize)
            }
        };
        let failure = None;
        Ok(Self { data, spec, vars, device, observer, epochs, keeper, take, taken, curve, state, failure })
    }

    /// The epoch to begin with: 0, or where a checkpoint left off. Weights are as the checkpoint has them.
    #[must_use]
    pub fn first_epoch(&self) -> usize {
        self.curve.last().map_or(0, |record| record.epoch + 1)
    }

    /// What the loop gave to the last checkpoint; empty when the run begins.
    #[must_use]
    pub fn state(&self) -> &[u8] {
        &self.state.bytes
    }

    /// The same for what the ready-made trainer gives as tensors; they are yielded.
    pub(crate) fn take_state_tensors(&mut self) -> Weights {
        std::mem::take(&mut self.state.tensors)
    }

    /// The learning rate at a position, where the way members are taken prescribes one (snapshots, fast geometric
    /// ensembling); `base` is the optimizer's.
    #[must_use]
    pub fn learning_rate(&self, base: f64, at: Position) -> Option<f64> {
        self.spec.collect.rate(base, at)
    }

    /// The run's place in the plan, its rows, its seed, its settings.
    #[must_use]
    pub fn spec(&self) -> &'a RunSpec {
        self.spec
    }

    /// What differs from the learner's own settings.
    #[must_use]
    pub fn settings(&self) -> &'a Settings {
        &self.spec.settings
    }

    /// The network's variables, by name; `run.vars().all_vars()` is what candle's optimizers take.
    #[must_use]
    pub fn vars(&self) -> &'a Vars {
        self.vars
    }

    /// What is predicted.
    #[must_use]
    pub fn task(&self) -> Task {
        self.data.task()
    }

    /// Where to compute.
    #[must_use]
    pub fn device(&self) -> &'a Device {
        self.device
    }

    /// A seed for whatever else the loop draws at random.
    #[must_use]
    pub fn seed(&self, name: &str) -> Seed {
        self.spec.seed.child("loop").child(name)
    }

    /// This epoch's batches of `size` rows, the last one short where they don't divide evenly, in an order
    /// fixed by run and epoch.
    pub fn batches(&self, epoch: usize, size: usize) -> impl Iterator<Item = CandleResult<Batch>> + use<'a> {
        let mut rows = self.spec.train.clone();
        rows.shuffle(&mut self.spec.seed.nth("epoch", epoch as u64).rng());
        self.in_batches(rows, size)
    }

    /// The training rows in the order of the plan, in batches.
    pub fn batches_in_order(&self, size: usize) -> impl Iterator<Item = CandleResult<Batch>> + use<'a> {
        self.in_batches(self.spec.train.clone(), size)
    }

    /// The validation rows, in batches; nothing where the run has none.
    pub fn validation(&self, size: usize) -> impl Iterator<Item = CandleResult<Batch>> + use<'a> {
        self.in_batches(self.spec.valid.clone(), size)
    }

    /// These rows, of the run's own features.
    pub(crate) fn batch(&self, rows: &[u32]) -> CandleResult<Batch> {
        of_features(self.data.batch(rows, self.device)?, self.spec.features.as_deref())
    }

    /// Rows in batches, of the run's own features.
    fn in_batches(&self, rows: Rows, size: usize) -> impl Iterator<Item = CandleResult<Batch>> + use<'a> {
        let features = self.spec.features.as_deref();
        in_batches(self.data, rows, size, self.device).map(move |batch| of_features(batch?, features))
    }

    /// To be called after each epoch: keeps its record in the learning curve, hands over the member that is due, and
    /// tells the observer.
    ///
    /// # Errors
    /// When the member cannot be stored, or the observer asks to stop; hand the error up.
    pub fn end_epoch(&mut self, record: EpochRecord) -> CandleResult<()> {
        self.curve.push(record);
        if let Some(index) = self.spec.collect.due(record.epoch, self.epochs) {
            (self.take)(index, &self.curve).map_err(|e| self.fail(e))?;
            self.taken += 1;
        }
        let event = Event::EpochEnded { run: self.spec, record: &record };
        match self.observer.notify(&event) {
            Flow::Continue => Ok(()),
            Flow::Stop => Err(self.fail(Error::Cancelled { done: 0, of: 0 })),
        }
    }

    /// To be called after [`Run::end_epoch`] by a loop that can go on from a checkpoint: keeps the run's weights and
    /// learning curve when a checkpoint is due, with `state`, whatever else the loop needs ([`Run::state`]).
    ///
    /// A loop that never calls it starts anew when its run was interrupted.
    ///
    /// # Errors
    /// When `state` fails, or the checkpoint cannot be stored; hand the error up.
    pub fn checkpoint(&mut self, state: impl FnOnce() -> Result<Vec<u8>, Error>) -> CandleResult<()> {
        self.checkpoint_with(|| Ok(state()?.into()))
    }

    /// The same for a loop whose state is tensors too, which go to the store one by one.
    pub(crate) fn checkpoint_with(
        &mut self,
        state: impl FnOnce() -> Result<LoopState, Error>,
    ) -> CandleResult<()> {
        if !self.keeper.due(self.curve.len()) {
            return Ok(());
        }
        let kept = state().and_then(|state| self.keeper.keep(self.vars, &self.curve, state));
        kept.map_err(|e| self.fail(e))
    }

    /// Turns an error of this library into one that the loop can return: the caller of the build gets the
    /// original.
    pub fn fail(&mut self, error: Error) -> candle_core::Error {
        let told = candle_core::Error::Msg(error.to_string());
        self.failure = Some(error);
        told
    }

    /// What the loop left behind: its learning curve, or its error. The last member is yielded.
    pub(crate) fn finish(mut self, outcome: CandleResult<()>) -> Result<Vec<EpochRecord>, Error> {
        match (outcome, self.failure.take()) {
            (Err(_), Some(failure)) => return Err(failure),
            (Err(e), None) => return Err(e.into()),
            (Ok(()), _) => {}
        }
        if self.spec.collect.at_end() {
            (self.take)(0, &self.curve)?;
            return Ok(self.curve);
        }
        let due = self.spec.collect.members(self.epochs);
        if self.taken != due {
            let must = format!("one that calls Run::end_epoch for each of {} epochs", self.epochs);
            let got =
                format!("one that called it {} times, for {} of {due} members", self.curve.len(), self.taken);
            return Err(Error::invalid("the training loop", must, got));
        }
        Ok(self.curve)
    }
}

fn of_features(batch: Batch, features: Option<&[u32]>) -> CandleResult<Batch> {
    Ok(Batch { inputs: batch.inputs.columns(features)?, ..batch })
}

/// Rows in batches of `size`, at least 1.
pub(crate) fn in_batches<'a>(
    data: &'a dyn Dataset,
    rows: Rows,
    size: usize,
    device: &'a Device,
) -> impl Iterator<Item = CandleResult<Batch>> + 'a {
    let size = size.max(1);
    (0..rows.len().div_ceil(size))
        .map(move |b| data.batch(&rows[b * size..rows.len().min((b + 1) * size)], device))
}
