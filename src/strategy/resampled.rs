//! What each run trains on × when it yields members × what varies between runs.
use crate::{
    check,
    data::{Dataset, Split},
    plan::{Collect, Plan, RunSpec, Settings},
    resample::{unit::Units, Resample, ResampleUnit, RunRows},
    strategy::EnsembleBuilder,
    Error, Result, Rows, Seed,
};
use std::{fmt, sync::Arc};

/// Settings for the run with this number, within one architecture, and this seed.
type Vary = Arc<dyn Fn(usize, Seed) -> Settings + Send + Sync>;

/// Any resampling, with the rest of a strategy around it. [`MultiRun`](crate::strategy::MultiRun),
/// [`Bagging`](crate::strategy::Bagging), [`KFold`](crate::strategy::KFold) and the others make one; [`Strategy::of`] makes one of a
/// way to resample of your own.
///
/// With several architectures each of them gets all the runs.
#[derive(Clone)]
pub struct Strategy<R> {
    pub(crate) resample: R,
    collect: Collect,
    vary: Option<Vary>,
    validation: Option<f64>,
}

impl<R: fmt::Debug> fmt::Debug for Strategy<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Strategy")
            .field("resample", &self.resample)
            .field("collect", &self.collect)
            .field("varies", &self.vary.is_some())
            .field("validation", &self.validation)
            .finish()
    }
}

impl<R: Resample> Strategy<R> {
    /// Runs on the rows that `resample` gives them, all with the learner's own settings.
    pub fn of(resample: R) -> Self {
        Self { resample, collect: Collect::default(), vary: None, validation: None }
    }

    /// When members are taken; at the end of each run, if not set. [`Horizontal`](crate::plan::Horizontal),
    /// [`Snapshot`](crate::plan::Snapshot) and [`FastGeometric`](crate::plan::FastGeometric) go here.
    #[must_use]
    pub fn collect(mut self, collect: impl Into<Collect>) -> Self {
        self.collect = collect.into();
        self
    }

    /// Settings from a list: the first run gets the first, and so on, from the start again at its end.
    #[must_use]
    pub fn settings(self, list: impl IntoIterator<Item = Settings>) -> Self {
        let list: Vec<_> = list.into_iter().collect();
        self.settings_by(move |run| match list.len() {
            0 => Settings::new(),
            n => list[run % n].clone(),
        })
    }

    /// Settings from a function of the run's number within its architecture.
    #[must_use]
    pub fn settings_by(mut self, vary: impl Fn(usize) -> Settings + Send + Sync + 'static) -> Self {
        self.vary = Some(Arc::new(move |run, _| vary(run)));
        self
    }

    /// Settings drawn at random for each run, from a generator seeded by the run's own seed: random search, with every
    /// candidate a member.
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
        self.vary = Some(Arc::new(move |_, seed| draw(&mut seed.child("settings").rng())));
        self
    }

    /// Keeps a share of each run's distinct rows, in (0, 1), to watch for early stopping: whole groups where the
    /// data has them, else in proportion to the strata where it has them. These rows count as seen by the run's
    /// members.
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
        if let Some(share) = self.validation {
            check::share("the validation share", share)?;
        }
        let draws = self.resample.draw(data, seed.child("rows"))?;
        let own: Vec<usize> = (0..draws.len()).map(|run| self.resample.slot(run)).collect();
        let mut runs = Vec::with_capacity(draws.len() * architectures.len());
        let mut slots = 0usize;
        for architecture in architectures {
            for (number, draw) in draws.iter().enumerate() {
                let id = runs.len();
                let seed = seed.nth("run", id as u64);
                let RunRows { train, valid, excluded, refit, features } = match self.validation {
                    Some(share) => watched(draw, share, data, seed.child("validation"))?,
                    None => draw.clone(),
                };
                let mut settings = self.vary.as_ref().map_or_else(Settings::new, |vary| vary(number, seed));
                if let Some(features) = &features {
                    settings = settings.with("inputs", features.len() as i64);
                }
                let (slot, collect) = (slots.saturating_add(own[number]), self.collect);
                let run = RunSpec::new(id, architecture, seed, train);
                runs.push(RunSpec { slot, valid, excluded, refit, features, collect, settings, ..run });
            }
            slots = slots.saturating_add(own.iter().max().map_or(0, |last| last.saturating_add(1)));
        }
        Ok(Plan { runs, reserved: Rows::new(), data: data.fingerprint(), seed })
    }

    fn name(&self) -> String {
        self.resample.name()
    }
}

/// Splits a share of the distinct rows off a draw, with every copy of them.
fn watched(draw: &RunRows, share: f64, data: &dyn Dataset, seed: Seed) -> Result<RunRows> {
    let mut distinct = draw.train.clone();
    distinct.sort_unstable();
    distinct.dedup();
    let of_distinct = |ids: &[u32]| {
        distinct.iter().map(|row| ids.get(*row as usize).copied().unwrap_or_default()).collect::<Vec<_>>()
    };
    let split = match ResampleUnit::suiting(data).units(data)? {
        Units::Groups(groups) => Split::grouped(&of_distinct(groups), share, seed)?,
        Units::Strata(strata) => Split::stratified(&of_distinct(strata), share, seed)?,
        Units::Rows(_) => Split::random(distinct.len(), share, seed)?,
    };
    let mut valid: Rows = split.test.iter().map(|i| distinct[*i as usize]).collect();
    let train = draw.train.iter().copied().filter(|row| valid.binary_search(row).is_err()).collect();
    valid.extend(&draw.valid);
    valid.sort_unstable();
    Ok(RunRows { train, valid, ..draw.clone() })
}
