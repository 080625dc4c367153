//! The plan: what to train, as pure data, the same on every machine.
pub(crate) mod collect;
pub(crate) mod schedule;
mod settings;

pub use collect::{Collect, FastGeometric, Horizontal, Snapshot};
pub use schedule::{LrSchedule, Position, Schedule, Span, SwaRate, Unit};
pub use settings::{Settings, Value};

use crate::{
    check, codec,
    data::{Dataset, Fingerprint, Split},
    Error, Result, Rows, Seed,
};
use serde::{Deserialize, Serialize};

/// One training run: everything a machine needs besides the data and the learner.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RunSpec {
    /// Position in the plan.
    pub id: usize,
    /// Which of the learner's architectures.
    pub architecture: String,
    /// Members of the same slot act as one predictor (the k folds of one architecture, say).
    pub slot: usize,
    /// Seed of this run alone.
    pub seed: Seed,
    /// Rows to fit on, as often as they occur.
    pub train: Rows,
    /// Rows to watch for early stopping. They count as seen.
    pub valid: Rows,
    /// Rows that count as seen though the run has no use of them; see [`RunRows::excluded`](crate::resample::RunRows::excluded).
    pub excluded: Rows,
    /// Whether its members predict in the place of all others of their slot at inference, and have no part in what is
    /// held out; see [`KFold::refit`](crate::strategy::KFold::refit).
    pub refit: bool,
    /// The columns of the inputs `(N, D)` that the network sees, in this order; all, if `None`. Prediction
    /// selects the same ones, so callers always give all. Their number is the setting `"inputs"`.
    pub features: Option<Vec<u32>>,
    /// When members are taken.
    pub collect: Collect,
    /// What differs from the learner's own settings.
    pub settings: Settings,
}

impl RunSpec {
    /// A run that fits `architecture` on the rows `train`: with a prediction of its own, without validation rows,
    /// with the learner's own settings. The fields are there to be changed.
    #[must_use]
    pub fn new(id: usize, architecture: &str, seed: Seed, train: Rows) -> Self {
        let (valid, excluded, features) = (Rows::new(), Rows::new(), None);
        let (collect, settings, refit) = (Collect::default(), Settings::new(), false);
        let architecture = architecture.into();
        Self { id, architecture, slot: id, seed, train, valid, excluded, refit, features, collect, settings }
    }

    /// Every row that the run's members may not predict, sorted, each once: those that shape them, and
    /// [`excluded`](Self::excluded).
    #[must_use]
    pub fn seen(&self) -> Rows {
        let mut rows: Rows = self.train.iter().chain(&self.valid).chain(&self.excluded).copied().collect();
        rows.sort_unstable();
        rows.dedup();
        rows
    }
}

/// All runs of an ensemble: what a builder lays out and an executor carries out.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    /// The runs; `runs[i].id == i`.
    pub runs: Vec<RunSpec>,
    /// Rows kept back from every run.
    pub reserved: Rows,
    /// Of the data set that the row numbers refer to.
    pub data: Fingerprint,
    /// The seed that the plan was made from. What is drawn later, such as the folds of a combiner that learns, is drawn
    /// from it too.
    pub seed: Seed,
}

impl Plan {
    /// Keeps a share of the rows from every run, so that rules that learn can follow any builder.
    ///
    /// The rows are drawn in proportion to the strata where the data set has them. The share is of all rows,
    /// in (0, 1).
    ///
    /// # Errors
    /// When the share is out of range, or leaves some run without rows to fit on.
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
                let must = format!("small enough to leave run {} rows to fit on", run.id);
                return Err(Error::invalid("the reserved share", must, share));
            }
        }
        Ok(self)
    }

    /// Checks that the plan fits `data` and is consistent.
    ///
    /// # Errors
    /// When the plan was made for other data, has no runs, or a run has no rows or rows out of range.
    pub fn check(&self, data: &dyn Dataset) -> Result<()> {
        if self.data != data.fingerprint() {
            let why = "it was made for other rows than these".to_string();
            return Err(Error::Foreign { what: "the plan".into(), why });
        }
        if self.runs.is_empty() {
            return Err(Error::invalid("the plan", "of at least one run", "empty"));
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
            if let Some(row) =
                run.train.iter().chain(&run.valid).chain(&run.excluded).find(|row| **row >= rows)
            {
                return Err(Error::invalid(name("a row"), format!("below {rows}"), row));
            }
        }
        Ok(())
    }

    /// The key that member `index` of a run is stored under: of the data, the run, the learner's tag
    /// and the run's network.
    pub(crate) fn key(&self, run: &RunSpec, tag: &str, network: &str, index: usize) -> Result<String> {
        let mut hasher = blake3::Hasher::new();
        hasher.update(self.data.as_bytes()).update(&codec::encode(&(tag, network, run))?);
        Ok(format!("{:05}-{index:03}-{}", run.id, &hasher.finalize().to_hex()[..32]))
    }
}
