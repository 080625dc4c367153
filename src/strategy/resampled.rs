//! Which rows each run trains on × when it collects members × what varies between runs.
use crate::{
    check,
    data::Dataset,
    plan::{Collect, Plan, RunSpec, Settings},
    resample::{
        planned::{RowUnits, Watch},
        PlannedRows, Resample, ResampleUnit, RunRows,
    },
    strategy::EnsembleBuilder,
    Error, Result, Seed,
};
use std::{fmt, sync::Arc};

/// The settings of a run, from its number within its architecture and its seed.
type SettingsFn = Arc<dyn Fn(usize, Seed) -> Settings + Send + Sync>;

/// A strategy made of a resampling, a rule for collecting members, and settings that vary between runs.
///
/// [`MultiRun`](crate::strategy::MultiRun), [`Bagging`](crate::strategy::Bagging),
/// [`KFold`](crate::strategy::KFold) and the others are this type with one of the resamplings of
/// [`crate::resample`]; [`Strategy::of`] takes a resampling of your own. With several architectures, each of
/// them gets all the runs.
///
/// ```
/// use candle_ensemble::strategy::{KFold, Snapshot};
///
/// // Five folds; within each, three snapshots; a tenth of each run's rows watched for early stopping.
/// let builder = KFold::new(5).collect(Snapshot::new(3));
/// let watched = KFold::new(5).validation(0.1);
/// ```
#[derive(Clone)]
pub struct Strategy<R> {
    pub(crate) resample: R,
    collect: Collect,
    settings: Option<SettingsFn>,
    validation: Option<f64>,
}

impl<R: fmt::Debug> fmt::Debug for Strategy<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Strategy")
            .field("resample", &self.resample)
            .field("collect", &self.collect)
            .field("settings", &self.settings.is_some())
            .field("validation", &self.validation)
            .finish()
    }
}

impl<R: Resample> Strategy<R> {
    /// A strategy whose runs train on the rows that `resample` draws, with the learner's own settings.
    pub fn of(resample: R) -> Self {
        Self { resample, collect: Collect::default(), settings: None, validation: None }
    }

    /// Sets when members are collected: [`Horizontal`](crate::plan::Horizontal),
    /// [`Snapshot`](crate::plan::Snapshot) or [`FastGeometric`](crate::plan::FastGeometric). By default each
    /// run collects one member, at its end.
    #[must_use]
    pub fn collect(mut self, collect: impl Into<Collect>) -> Self {
        self.collect = collect.into();
        self
    }

    /// Takes the settings of each run from a list: the first run gets the first entry, and so on. After the
    /// last entry the list starts again.
    #[must_use]
    pub fn settings(self, list: impl IntoIterator<Item = Settings>) -> Self {
        let list: Vec<_> = list.into_iter().collect();
        self.settings_by(move |run| match list.len() {
            0 => Settings::new(),
            n => list[run % n].clone(),
        })
    }

    /// Takes the settings of each run from a function of the run's number within its architecture, from 0.
    #[must_use]
    pub fn settings_by(mut self, settings: impl Fn(usize) -> Settings + Send + Sync + 'static) -> Self {
        self.settings = Some(Arc::new(move |run, _| settings(run)));
        self
    }

    /// Draws the settings of each run at random, from a generator seeded with the run's own seed: a random
    /// search in which every candidate becomes a member.
    ///
    /// ```
    /// use candle_ensemble::{plan::Settings, strategy::MultiRun};
    /// use rand::Rng;
    ///
    /// let searched = MultiRun::new(20).settings_drawn(|rng| {
    ///     let rate = 10f64.powf(rng.random_range(-4. ..-2.));
    ///     Settings::new().with("learning_rate", rate).with("batch_size", [16, 32, 64][rng.random_range(0..3)])
    /// });
    /// ```
    #[must_use]
    pub fn settings_drawn(
        mut self,
        draw: impl Fn(&mut rand_chacha::ChaCha8Rng) -> Settings + Send + Sync + 'static,
    ) -> Self {
        self.settings = Some(Arc::new(move |_, seed| draw(&mut seed.child("settings").rng())));
        self
    }

    /// Sets aside a share of each run's distinct rows, in (0, 1), as validation rows for early stopping:
    /// whole groups where the data has groups, otherwise in proportion to the strata where it has strata.
    /// These rows count as seen by the run's members.
    #[must_use]
    pub fn validation(mut self, share: f64) -> Self {
        self.validation = Some(share);
        self
    }
}

impl<R: Resample> EnsembleBuilder for Strategy<R> {
    fn plan(&self, data: &dyn Dataset, architectures: &[String], seed: Seed) -> Result<Plan> {
        if architectures.is_empty() {
            return Err(Error::invalid("the learner", "of at least one architecture", "without any"));
        }
        let validation = match self.validation {
            None => None,
            Some(share) => {
                check::share("the validation share", share)?;
                Some((share, RowUnits::of(data, ResampleUnit::for_data(data))?))
            }
        };
        let draws = self.resample.draw(data, seed.child("rows"))?;
        let slots_of_draws: Vec<usize> = (0..draws.len()).map(|run| self.resample.slot(run)).collect();
        let slots_of_one = slots_of_draws.iter().max().map_or(0, |last| last.saturating_add(1));
        let mut runs = Vec::with_capacity(draws.len() * architectures.len());
        let mut first_slot = 0usize;
        for architecture in architectures {
            for (number, draw) in draws.iter().enumerate() {
                let id = runs.len();
                let seed = seed.nth("run", id as u64);
                let RunRows { train, valid, excluded, refit, features } = match &validation {
                    Some((share, units)) => {
                        let (units, seed) = (units.clone(), seed.child("validation"));
                        with_validation(draw, &Watch { units, share: *share, seed })?
                    }
                    None => draw.clone(),
                };
                let mut settings =
                    self.settings.as_ref().map_or_else(Settings::new, |settings| settings(number, seed));
                if let Some(features) = &features {
                    settings = settings.with("inputs", features.len() as i64);
                }
                let (slot, collect) = (first_slot.saturating_add(slots_of_draws[number]), self.collect);
                let run = RunSpec::new(id, architecture, seed, train);
                runs.push(RunSpec { slot, valid, excluded, refit, features, collect, settings, ..run });
            }
            first_slot = first_slot.saturating_add(slots_of_one);
        }
        Ok(Plan { runs, reserved: PlannedRows::none(), data: data.fingerprint(), seed })
    }

    fn name(&self) -> String {
        self.resample.name()
    }
}

/// The draw with a share of its distinct rows, and every copy of them, moved to the validation rows.
fn with_validation(draw: &RunRows, watch: &Watch) -> Result<RunRows> {
    let (train, watched) = draw.train.split(watch)?;
    Ok(RunRows { train, valid: watched.with(&draw.valid)?, ..draw.clone() })
}
