//! Settings to compare, as data: a table has rows, and a row has two settings.
use super::{
    data::{Problem, Scores},
    reference::{Difference, Direction, Expected},
};
use candle_ensemble::{
    exec::Sequential, observe::Observer, train::Learner, train::Trainer, Error, Network, Pool, Result, Seed,
    Session,
};
use std::sync::Arc;

/// Trains a network from a seed and scores it; `None` if its loss became NaN or infinite.
type Job = dyn Fn(Seed, &dyn Observer) -> Result<Option<Scores>> + Send + Sync;

/// A way to train a network. Settings of the same name are the same: their networks are trained once.
#[derive(Clone)]
pub struct Setting {
    pub name: String,
    pub problem: Arc<Problem>,
    pub expected: Expected,
    /// About how long a network takes, in the time of a step of the smallest one.
    pub cost: f64,
    job: Arc<Job>,
}

impl Setting {
    /// Networks that the trainer makes, one for each seed.
    pub fn new<N: Network + 'static>(
        name: impl Into<String>,
        problem: &Arc<Problem>,
        trainer: Trainer<N>,
        expected: impl Into<Expected>,
    ) -> Self {
        let config = trainer.config();
        let rows = problem.train.len();
        let steps = rows.div_ceil(config.batch_size.rows_at(0, rows).max(1));
        let cost = (config.epochs * steps) as f64;
        let of = problem.clone();
        let job = move |seed, observer: &dyn Observer| train(&trainer, &of, seed, observer);
        Self::of(name, problem, expected, cost, job)
    }

    /// Networks that the function makes.
    pub fn of(
        name: impl Into<String>,
        problem: &Arc<Problem>,
        expected: impl Into<Expected>,
        cost: f64,
        job: impl Fn(Seed, &dyn Observer) -> Result<Option<Scores>> + Send + Sync + 'static,
    ) -> Self {
        let (name, expected, problem) = (name.into(), expected.into(), problem.clone());
        Self { name, problem, expected, cost, job: Arc::new(job) }
    }

    /// Steps that take so many times as long.
    pub fn slower(self, times: f64) -> Self {
        Self { cost: self.cost * times, ..self }
    }

    pub fn run(&self, seed: Seed, observer: &dyn Observer) -> Result<Option<Scores>> {
        (self.job)(seed, observer)
    }
}

/// Trains one network and scores it; `None` if its loss became NaN or infinite.
pub fn train<L: Learner>(
    learner: &L,
    problem: &Problem,
    seed: Seed,
    observer: &dyn Observer,
) -> Result<Option<Scores>> {
    fit(learner, problem, seed, observer)?.map(|pool| problem.score(&pool)).transpose()
}

/// The pool of one network; `None` if its loss became NaN or infinite.
pub fn fit<'a, L: Learner>(
    learner: &'a L,
    problem: &'a Problem,
    seed: Seed,
    observer: &'a dyn Observer,
) -> Result<Option<Pool<'a, L>>> {
    let session = Session::new(learner, &problem.data).executor(&Sequential).observer(observer);
    match session.train(&problem.plan(seed)) {
        Ok(pool) => Ok(Some(pool)),
        Err(Error::Diverged { .. }) => Ok(None),
        Err(e) => Err(e),
    }
}

/// A comparison: a technique, without it and with it.
pub struct Row {
    /// The word that selects the row, with `-` before what tells it from others of the same technique.
    pub key: &'static str,
    pub name: &'static str,
    pub without: Setting,
    pub with: Setting,
    /// What the reference measures on the test rows.
    pub test: Option<Difference>,
    /// The same on new rows.
    pub new: Option<Difference>,
    pub gate: Direction,
    pub new_gate: Direction,
    /// Whether the scores of both settings must be the same up to rounding.
    pub same: bool,
    /// What a reader should know besides the figures.
    pub note: &'static str,
}

impl Row {
    /// A row without reference differences, and without gates on them.
    pub fn new(key: &'static str, name: &'static str, without: &Setting, with: Setting) -> Self {
        let without = without.clone();
        let (gate, new_gate) = Default::default();
        let (test, new, same, note) = (None, None, false, "");
        Self { key, name, without, with, test, new, gate, new_gate, same, note }
    }

    /// Sets what the reference measures on test rows, and the direction that is required there.
    pub fn test(self, test: Option<Difference>, gate: Direction) -> Self {
        Self { test, gate, ..self }
    }

    /// Sets the direction that is required on the test rows.
    pub fn gate(self, gate: Direction) -> Self {
        Self { gate, ..self }
    }

    /// Sets what the reference measures on new rows, and the direction that is required there.
    pub fn fresh(self, new: Option<Difference>, new_gate: Direction) -> Self {
        Self { new, new_gate, ..self }
    }

    pub fn note(self, note: &'static str) -> Self {
        Self { note, ..self }
    }

    /// Requires that both settings have the same scores up to rounding.
    pub fn same(self) -> Self {
        Self { same: true, ..self }
    }

    /// Whether a word selects the row: its table, its key or the first part of its key.
    pub fn is(&self, table: &str, word: &str) -> bool {
        let word = match word.split_once('/') {
            Some((before, _)) if before != table => return false,
            Some((_, after)) => after,
            None if word == table => return true,
            None => word,
        };
        self.key.strip_prefix(word).is_some_and(|rest| rest.is_empty() || rest.starts_with('-'))
    }
}

/// The comparisons on one problem.
pub struct Table {
    /// The word that selects all of its rows.
    pub key: &'static str,
    pub title: &'static str,
    pub rows: Vec<Row>,
}
