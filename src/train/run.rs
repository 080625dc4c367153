//! What a training loop may touch: the rows its run was granted, and nothing held out.
use crate::{
    build::{RunSpec, Settings},
    data::{Batch, Dataset, Task},
    init::Vars,
    member::EpochRecord,
    observe::{Event, Flow, Observer},
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
    curve: Vec<EpochRecord>,
    failure: Option<Error>,
}

impl<'a> Run<'a> {
    pub(crate) fn new(
        data: &'a dyn Dataset,
        spec: &'a RunSpec,
        vars: &'a Vars,
        device: &'a Device,
        observer: &'a dyn Observer,
    ) -> Self {
        Self { data, spec, vars, device, observer, curve: vec![], failure: None }
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
    pub fn batches(&self, epoch: u32, size: usize) -> impl Iterator<Item = CandleResult<Batch>> + 'a {
        let mut rows = self.spec.train.clone();
        rows.shuffle(&mut self.spec.seed.nth("epoch", epoch.into()).rng());
        self.in_batches(rows, size)
    }

    /// The training rows in the order of the plan, in batches.
    pub fn batches_in_order(&self, size: usize) -> impl Iterator<Item = CandleResult<Batch>> + 'a {
        self.in_batches(self.spec.train.clone(), size)
    }

    /// The validation rows, in batches; nothing where the run has none.
    pub fn validation(&self, size: usize) -> impl Iterator<Item = CandleResult<Batch>> + 'a {
        self.in_batches(self.spec.valid.clone(), size)
    }

    /// Rows in batches, of the run's own features.
    fn in_batches(&self, rows: Rows, size: usize) -> impl Iterator<Item = CandleResult<Batch>> + 'a {
        let features = self.spec.features.as_deref();
        in_batches(self.data, rows, size, self.device).map(move |batch| {
            let batch = batch?;
            Ok(Batch { inputs: batch.inputs.columns(features)?, ..batch })
        })
    }

    /// To be called after each epoch: keeps its record in the learning curve and tells the observer.
    ///
    /// # Errors
    /// When the observer asks to stop; hand the error up.
    pub fn end_epoch(&mut self, record: EpochRecord) -> CandleResult<()> {
        self.curve.push(record);
        let event = Event::EpochEnded { run: self.spec, record: &record };
        match self.observer.notify(&event) {
            Flow::Continue => Ok(()),
            Flow::Stop => Err(self.fail(Error::Cancelled { done: 0, of: 0 })),
        }
    }

    /// Turns an error of this library into one that the loop can return: the caller of the build gets the
    /// original.
    pub fn fail(&mut self, error: Error) -> candle_core::Error {
        let told = candle_core::Error::Msg(error.to_string());
        self.failure = Some(error);
        told
    }

    /// What the loop left behind: its learning curve, or its error.
    pub(crate) fn finish(self, outcome: CandleResult<()>) -> Result<Vec<EpochRecord>, Error> {
        match (outcome, self.failure) {
            (Ok(()), _) => Ok(self.curve),
            (Err(_), Some(failure)) => Err(failure),
            (Err(e), None) => Err(e.into()),
        }
    }
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
