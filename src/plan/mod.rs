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

pub use batch_size::BatchSize;
pub use collect::*;
pub use epoch_steps::EpochSteps;
pub use schedule::{CyclicMode, LrSchedule, Position, Schedule, Span, SwaRate, Unit};
pub use settings::{Settings, Value};

use crate::{
    check, codec,
    data::{Dataset, Fingerprint, Split},
    Error, Result, Rows, Seed,
};
use serde::{Deserialize, Serialize};

/// One training run: everything that is needed to train its members, besides the data and the learner.
///
/// ```
/// use candle_ensemble::{plan::{Horizontal, RunSpec, Settings}, Seed};
///
/// let mut run = RunSpec::new(0, "model", Seed::from(7), vec![0, 1, 2, 3]);
/// run.valid = vec![4];
/// run.settings = Settings::new().with("epochs", 20);
/// run.collect = Horizontal::last(3).into();
/// assert_eq!(run.collect.members(20), 3);
/// assert_eq!(run.seen(), [0, 1, 2, 3, 4]);
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
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
    pub train: Rows,
    /// The validation rows, for early stopping. They shape the members, so they count as seen.
    pub valid: Rows,
    /// Excluded rows: the run does not use them, and its members still may not predict them. For example,
    /// these are rows that follow the training rows closely in time; see
    /// [`RunRows::excluded`](crate::resample::RunRows::excluded).
    pub excluded: Rows,
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
}

impl RunSpec {
    /// A run that trains `architecture` on the rows `train`, in a slot of its own, without validation rows,
    /// and with the learner's settings. It collects one member at its end. Change the public fields for
    /// anything else.
    #[must_use]
    pub fn new(id: usize, architecture: &str, seed: Seed, train: Rows) -> Self {
        let (valid, excluded, features) = (Rows::new(), Rows::new(), None);
        let (collect, settings, refit) = (Collect::default(), Settings::new(), false);
        let architecture = architecture.into();
        Self { id, architecture, slot: id, seed, train, valid, excluded, refit, features, collect, settings }
    }

    /// The rows that the run's members may not predict: training, validation and [`excluded`](Self::excluded)
    /// rows, sorted and without repetitions.
    #[must_use]
    pub fn seen(&self) -> Rows {
        let mut rows: Rows = self.train.iter().chain(&self.valid).chain(&self.excluded).copied().collect();
        rows.sort_unstable();
        rows.dedup();
        rows
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
/// assert_eq!(plan.runs[0].train.len(), 10); // with repetitions
/// # Ok::<(), candle_ensemble::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    /// The runs; `runs[i].id == i`.
    pub runs: Vec<RunSpec>,
    /// The reserved rows, which no run trains on; see [`Plan::reserve`].
    pub reserved: Rows,
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
    /// assert_eq!(plan.runs[0].train.len(), 8);
    /// # Ok::<(), candle_ensemble::Error>(())
    /// ```
    pub fn reserve(mut self, share: f64, data: &dyn Dataset, seed: impl Into<Seed>) -> Result<Self> {
        check::share("the reserved share", share)?;
        let seed = seed.into().child("reserve");
        self.reserved = Split::of(data, share, seed)?.test;
        for run in &mut self.runs {
            run.train.retain(|row| self.reserved.binary_search(row).is_err());
            run.valid.retain(|row| self.reserved.binary_search(row).is_err());
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
        if self.data != data.fingerprint() {
            let why = "it was made for other data".to_string();
            return Err(Error::Foreign { what: "the plan".into(), why });
        }
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
            let mut all = run.train.iter().chain(&run.valid).chain(&run.excluded);
            if let Some(row) = all.find(|row| **row >= rows) {
                return Err(Error::invalid(name("a row"), format!("below {rows}"), row));
            }
        }
        Ok(())
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
        Ok(hasher.finalize())
    }
}
