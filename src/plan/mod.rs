//! Plans: what to train, as pure data.
//!
//! A strategy turns a data set and a seed into a [`Plan`]. A plan is a list of runs ([`RunSpec`]): each has
//! its rows, its seed, its [`Settings`], and when members are collected ([`Collect`]). The same strategy,
//! data and seed give the same plan on every machine, so several machines can share the runs of one plan.
//! Learning-rate schedules are here too ([`Schedule`]), because collecting members within a run can prescribe
//! the learning rate.
mod batch_size;
pub(crate) mod collect;
mod epoch_steps;
pub(crate) mod schedule;
mod settings;
mod written;

pub use batch_size::BatchSize;
pub use collect::*;
pub use epoch_steps::EpochSteps;
pub use schedule::{CyclicMode, LrSchedule, Position, Schedule, Span, SwaRate, Unit};
pub use settings::{Settings, Value};

use crate::{
    check, codec,
    data::{test_size, Dataset, Fingerprint, RowBitmap},
    resample::{
        planned::{How, RowUnits, Side},
        PlannedRows, ResampleUnit,
    },
    sequence::Sequence,
    Error, Result, Seed,
};
use serde::{Deserialize, Serialize};

/// One training run: everything that is needed to train its members, besides the data and the learner.
///
/// ```
/// use candle_ensemble::{plan::{Horizontal, RunSpec, Settings}, Seed};
///
/// let mut run = RunSpec::new(0, "model", Seed::from(7), vec![0, 1, 2, 3]);
/// run.valid = vec![4].into();
/// run.settings = Settings::new().with("epochs", 20);
/// run.collect = Horizontal::last(3).into();
/// assert_eq!(run.collect.members(20), 3);
/// assert_eq!(run.seen()?, [0, 1, 2, 3, 4]);
/// # Ok::<(), candle_ensemble::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct RunSpec {
    /// The position of the run in the plan, from 0.
    pub id: usize,
    /// The name of one of the learner's architectures.
    pub architecture: String,
    /// The slot of the run's members. Members of one slot act as one predictor: for each row, the prediction
    /// of a slot comes from those of its members that may predict the row. The k folds of one architecture
    /// share a slot. Where runs collect several members, the first members of the runs of a slot act as one
    /// predictor, the second members as another, and so on.
    pub slot: usize,
    /// The seed of the run. It determines the initial weights and the order of the rows.
    pub seed: Seed,
    /// The rows to train on. A row that occurs twice is used twice in each epoch.
    pub train: PlannedRows,
    /// The validation rows, for early stopping. They shape the members, so they count as seen.
    pub valid: PlannedRows,
    /// Excluded rows: the run does not use them, and its members still may not predict them. For example,
    /// these are rows that follow the training rows closely in time; see
    /// [`RunRows::excluded`](crate::resample::RunRows::excluded).
    pub excluded: PlannedRows,
    /// Whether the members replace all other members of their slot when the ensemble predicts. They take no
    /// part in held-out predictions. See [`KFold::refit`](crate::strategy::KFold::refit).
    pub refit: bool,
    /// The columns of the inputs `(N, D)` that the network receives, in this order; `None` means all.
    /// Prediction selects the same columns, so callers always pass all of them. The setting `"inputs"` is
    /// their number.
    pub features: Option<Vec<u32>>,
    /// When members are collected.
    pub collect: Collect,
    /// The settings of the run, which replace those of the learner.
    pub settings: Settings,
    /// The place of the run in a sequence of runs, each of which depends on those before it. `None` for a run that depends on
    /// no other.
    pub sequence: Option<Sequence>,
}

impl RunSpec {
    /// A run that trains `architecture` on the rows `train`, in a slot of its own, without validation rows,
    /// and with the learner's settings. It collects one member at its end. Change the public fields for
    /// anything else.
    #[must_use]
    pub fn new(id: usize, architecture: &str, seed: Seed, train: impl Into<PlannedRows>) -> Self {
        let (valid, excluded, features) = (PlannedRows::none(), PlannedRows::none(), None);
        let (collect, settings, refit) = (Collect::default(), Settings::new(), false);
        let (architecture, train, sequence) = (architecture.into(), train.into(), None);
        Self {
            id,
            architecture,
            slot: id,
            seed,
            train,
            valid,
            excluded,
            refit,
            features,
            collect,
            settings,
            sequence,
        }
    }

    /// The number of the run in its sequence, from 0; 0 for a run that depends on no other.
    #[must_use]
    pub fn round(&self) -> usize {
        self.sequence.as_ref().map_or(0, |sequence| self.id.saturating_sub(sequence.first))
    }

    /// The number by which the run belongs to a process: that of the run, or that of its sequence, because the runs of a
    /// sequence stay together.
    pub(crate) fn share_number(&self) -> usize {
        self.sequence.as_ref().map_or(self.id, |sequence| sequence.number)
    }

    /// The rows that the run's members may not predict: training, validation and [`excluded`](Self::excluded)
    /// rows.
    ///
    /// # Errors
    /// As [`PlannedRows::iter`].
    pub fn seen(&self) -> Result<RowBitmap> {
        let seen = match PlannedRows::before_split(&self.train, &self.valid) {
            Some(rows) => rows.bitmap()?,
            None => self.train.bitmap()?.union(&self.valid.bitmap()?),
        };
        Ok(seen.union(&self.excluded.bitmap()?))
    }
}

/// All runs of an ensemble.
///
/// [`Session::plan`](crate::Session::plan) makes a plan from a strategy, and
/// [`Session::train`](crate::Session::train) trains it.
///
/// ```
/// use candle_core::{Device, Tensor};
/// use candle_ensemble::{data::TensorDataset, strategy::Bagging, train::Trainer, Session};
///
/// let x = Tensor::arange(0f32, 20., &Device::Cpu)?.reshape((10, 2))?;
/// let data = TensorDataset::regression(x.clone(), &x.sum(1)?)?;
/// let trainer = Trainer::new(|vb| candle_nn::linear(2, 1, vb));
/// let plan = Session::new(&trainer, &data).plan(&Bagging::new(5), 42)?;
/// assert_eq!(plan.runs.len(), 5);
/// assert_eq!(plan.runs[0].train.len()?, 10); // with repetitions
/// # Ok::<(), candle_ensemble::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    /// The runs; `runs[i].id == i`.
    pub runs: Vec<RunSpec>,
    /// The reserved rows, which no run trains on; see [`Plan::reserve`].
    pub reserved: PlannedRows,
    /// The fingerprint of the data set that the row numbers refer to.
    pub data: Fingerprint,
    /// The seed from which the plan was made. Later random draws, such as the folds of a learned combiner,
    /// use it too.
    pub seed: Seed,
}

impl Plan {
    /// Reserves a share of all rows, in (0, 1): no run trains on them. Learned combiners, the barrier of a
    /// merge and [`best_of`](crate::merge::best_of()) then have held-out rows with any strategy.
    ///
    /// The rows are drawn at random, in proportion to the strata if the data set has strata.
    ///
    /// # Errors
    /// When the share is out of range, or a run has no training rows left.
    ///
    /// ```
    /// # use candle_ensemble::{data::TensorDataset, strategy::{EnsembleBuilder, MultiRun}, Seed};
    /// # use candle_core::{Device, Tensor};
    /// # let x = Tensor::arange(0f32, 20., &Device::Cpu)?.reshape((10, 2))?;
    /// # let y = Tensor::arange(0f32, 10., &Device::Cpu)?;
    /// let data = TensorDataset::regression(x, &y)?;
    /// let plan = MultiRun::new(3).plan(&data, &["mlp".into()], Seed::from(1))?;
    /// let plan = plan.reserve(0.2, &data, Seed::from(1))?;
    /// assert_eq!(plan.runs[0].train.len()?, 8);
    /// # Ok::<(), candle_ensemble::Error>(())
    /// ```
    pub fn reserve(mut self, share: f64, data: &dyn Dataset, seed: impl Into<Seed>) -> Result<Self> {
        check::share("the reserved share", share)?;
        let seed = seed.into().child("reserve");
        let units = RowUnits::of(data, ResampleUnit::for_data(data))?;
        let (count, what) = units.count();
        let test = test_size(what, count, share)?;
        units.check_split(test)?;
        let how = How::Split { test: test as u32, side: Side::Test };
        self.reserved = PlannedRows::drawn(&units, how, seed);
        let mut set = None;
        for run in &mut self.runs {
            for rows in [&mut run.train, &mut run.valid].into_iter().filter(|rows| !rows.is_empty()) {
                *rows = rows.without(&self.reserved, &mut set)?;
            }
            if run.train.is_empty() {
                let must = format!("small enough to leave run {} training rows", run.id);
                return Err(Error::invalid("the reserved share", must, share));
            }
        }
        Ok(self)
    }

    /// Checks that the plan belongs to `data` and is consistent.
    ///
    /// # Errors
    /// When the plan was made for other data, when it has no runs, or when a run has no training rows or a
    /// row that is out of range.
    pub fn check(&self, data: &dyn Dataset) -> Result<()> {
        self.check_data(data)?;
        if self.runs.is_empty() {
            return Err(Error::invalid("the plan", "a list of at least one run", "empty"));
        }
        let rows = data.rows() as u32;
        for (i, run) in self.runs.iter().enumerate() {
            let name = |what: &str| format!("{what} of run {i}");
            if run.id != i {
                return Err(Error::invalid(name("the number"), "its position in the plan", run.id));
            }
            if run.train.is_empty() {
                return Err(Error::invalid(name("the training rows"), "at least one", 0));
            }
            let all = [&run.train, &run.valid, &run.excluded];
            if let Some(row) = all.into_iter().find_map(|of_run| of_run.out_of_range(rows)) {
                return Err(Error::invalid(name("a row"), format!("below {rows}"), row));
            }
            self.check_sequence(run, data)?;
        }
        Ok(())
    }

    /// Checks the place of a run in its sequence.
    fn check_sequence(&self, run: &RunSpec, data: &dyn Dataset) -> Result<()> {
        let Some(sequence) = &run.sequence else { return Ok(()) };
        let wrong =
            |must: &str, was: &str| Err(Error::invalid(format!("the sequence of run {}", run.id), must, was));
        let runs = sequence.first..sequence.first.saturating_add(sequence.rounds);
        if !runs.contains(&run.id) || runs.end > self.runs.len() {
            return wrong("consecutive runs of the plan", "of other runs");
        }
        let Some(first) = self.runs.get(sequence.first) else { return Ok(()) };
        if first.sequence != run.sequence {
            return wrong("the same for all its runs", "another one than that of its first run");
        }
        let has_rows_of_first =
            [(&run.train, &first.train), (&run.valid, &first.valid), (&run.excluded, &first.excluded)];
        let has_rows_of_first = has_rows_of_first.iter().all(|(rows, of_first)| rows == of_first);
        if !has_rows_of_first || (run.slot, run.refit) != (first.slot, first.refit) {
            return wrong("of runs with the same rows and the same slot", "of runs with others");
        }
        if !run.collect.at_end() {
            let must = "of runs that collect one member, at their end";
            return wrong(must, &format!("of runs that collect by {}", run.collect.name()));
        }
        data.positions().check_one("members in sequence")?;
        sequence.rule.get()?.check(data.task())
    }

    /// The plan with the strata and groups of its data, which are not written to disk: a plan that was read from a file
    /// ([`Manifest`](crate::store::Manifest)) needs them before rows that are drawn by strata or groups can be listed. A
    /// [`Session`](crate::Session) binds the plans that it is given by itself.
    ///
    /// # Errors
    /// [`Error::Foreign`] when the plan was made for other data.
    ///
    /// ```
    /// # use candle_core::{Device, Tensor};
    /// use candle_ensemble::{data::TensorDataset, store::Manifest, strategy::{EnsembleBuilder, KFold}, Seed};
    ///
    /// # let x = Tensor::arange(0f32, 20., &Device::Cpu)?.reshape((10, 2))?;
    /// let y = Tensor::new(&[0u32, 1, 0, 1, 0, 1, 0, 1, 0, 1], &Device::Cpu)?;
    /// let data = TensorDataset::classification(x, &y)?; // its classes are its strata
    /// let plan = KFold::new(5).plan(&data, &["mlp".into()], Seed::from(1))?;
    /// let file = Manifest::new(&plan, "a learner", &[]).to_bytes()?;
    ///
    /// let read = Manifest::from_bytes(&file)?.plan.into_owned();
    /// assert!(read == plan && read.runs[0].train.iter().is_err());
    /// let bound = read.bind(&data)?;
    /// assert_eq!(bound.runs[0].train.to_vec()?, plan.runs[0].train.to_vec()?);
    /// # Ok::<(), candle_ensemble::Error>(())
    /// ```
    pub fn bind(mut self, data: &dyn Dataset) -> Result<Self> {
        self.check_data(data)?;
        let mut known = vec![];
        for run in &mut self.runs {
            for rows in [&mut run.train, &mut run.valid, &mut run.excluded] {
                *rows = rows.bound(data, &mut known)?;
            }
        }
        self.reserved = self.reserved.bound(data, &mut known)?;
        Ok(self)
    }

    /// Whether no strata or groups are missing.
    pub(crate) fn is_bound(&self) -> bool {
        let bound =
            |run: &RunSpec| [&run.train, &run.valid, &run.excluded].iter().all(|rows| rows.is_bound());
        self.reserved.is_bound() && self.runs.iter().all(bound)
    }

    fn check_data(&self, data: &dyn Dataset) -> Result<()> {
        match self.data == data.fingerprint() {
            true => Ok(()),
            false => {
                let why = "it was made for other data".to_string();
                Err(Error::Foreign { what: "the plan".into(), why })
            }
        }
    }

    /// The key under which member `index` of a run is stored. It depends on the data, the run, the learner's
    /// tag and the signature of the run's network.
    pub(crate) fn key(&self, run: &RunSpec, tag: &str, network: &str, index: usize) -> Result<String> {
        let hash = self.hash(run, tag, network)?;
        Ok(format!("{:05}-{index:03}-{}", run.id, &hash.to_hex()[..32]))
    }

    /// The keys of so many members of a run, in order.
    pub(crate) fn keys(
        &self,
        run: &RunSpec,
        tag: &str,
        network: &str,
        members: usize,
    ) -> Result<Vec<String>> {
        let hash = self.hash(run, tag, network)?.to_hex();
        Ok((0..members).map(|index| format!("{:05}-{index:03}-{}", run.id, &hash[..32])).collect())
    }

    fn hash(&self, run: &RunSpec, tag: &str, network: &str) -> Result<blake3::Hash> {
        let mut hasher = blake3::Hasher::new();
        hasher.update(self.data.as_bytes()).update(&codec::encode(&(tag, network, run))?);
        // The member also depends on those before it, which have the same rows.
        for earlier in run.sequence.iter().flat_map(|of| self.runs.get(of.first..run.id).unwrap_or_default())
        {
            let RunSpec { architecture, seed, features, settings, .. } = earlier;
            hasher.update(&codec::encode(&(architecture, seed, features, settings))?);
        }
        Ok(hasher.finalize())
    }
}
