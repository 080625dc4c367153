//! Members that are trained one after the other, because each depends on those before it.
use crate::{
    data::Dataset,
    plan::{Plan, RunSpec},
    sequence::{Rule, Sequence, SequenceRule},
    strategy::{EnsembleBuilder, MultiRun},
    Error, Result, Seed,
};
use std::fmt;

/// Trains the members of an ensemble one after the other, by a [rule](SequenceRule) that says what the next one learns from
/// what those before it predict.
///
/// [`AdaBoost`](crate::strategy::AdaBoost) is this type with a rule of the library; [`InSequence::of`] takes a rule of your own
/// ([`SequenceRule`] has an example). The members of a sequence predict together, so they have one slot: combiners, held-out
/// predictions and charts see the whole sequence as one predictor. `pool.combine(&Mean)` of one sequence is the boosted
/// ensemble itself.
///
/// # Several sequences
/// There is one sequence for each architecture. [`within`](Self::within) makes one for each run of another strategy, on the
/// rows of that run: `within(KFold::new(5))` gives held-out predictions of boosted ensembles for every row, and
/// `within(MultiRun::new(3))` three sequences from other seeds. Sequences are trained in parallel, and a
/// [`Shard`](crate::exec::Shard) has whole sequences. A [`Worker`](crate::exec::Worker) takes a run when the one before it is
/// done, whoever trained that.
///
/// # Validation rows
/// Those of the other strategy, such as `within(MultiRun::new(1).validation(0.1))`. They count as seen by all members of the
/// sequence.
///
/// # Cost
/// That of as many networks as there are rounds, and one pass over the training and validation rows after each round.
/// 8 bytes for each number that is predicted for these rows are kept while the sequence is trained. The members cannot be
/// trained side by side.
pub struct InSequence<R> {
    rounds: usize,
    pub(crate) rule: R,
    within: Box<dyn EnsembleBuilder>,
}

impl<R: fmt::Debug> fmt::Debug for InSequence<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("InSequence")
            .field("rounds", &self.rounds)
            .field("rule", &self.rule)
            .field("within", &self.within)
            .finish()
    }
}

impl<R: SequenceRule + Clone> InSequence<R> {
    /// At most so many members by this rule, on all rows.
    #[must_use]
    pub fn of(rounds: usize, rule: R) -> Self {
        Self { rounds, rule, within: Box::new(MultiRun::new(1)) }
    }

    /// Makes a sequence of each run of another strategy, on the rows of that run and with its settings. The default is one
    /// run on all rows.
    #[must_use]
    pub fn within(mut self, other: impl EnsembleBuilder + 'static) -> Self {
        self.within = Box::new(other);
        self
    }
}

impl<R: SequenceRule + Clone> EnsembleBuilder for InSequence<R> {
    fn plan(&self, data: &dyn Dataset, architectures: &[String], seed: Seed) -> Result<Plan> {
        if self.rounds == 0 {
            return Err(Error::invalid("the number of rounds of a sequence", "at least 1", 0));
        }
        self.rule.check(data.task())?;
        data.positions().check_one("members in sequence")?;
        let plan = self.within.plan(data, architectures, seed)?;
        let rule = Rule::new(self.rule.clone());
        let mut runs = Vec::with_capacity(plan.runs.len().saturating_mul(self.rounds));
        for (number, run) in plan.runs.iter().enumerate() {
            if run.sequence.is_some() || !run.collect.at_end() {
                let must = "one whose runs collect one member each, at their end, and depend on no other";
                return Err(Error::invalid("the strategy around a sequence", must, self.within.name()));
            }
            let first = runs.len();
            for round in 0..self.rounds {
                let sequence = Sequence { number, first, rounds: self.rounds, rule: rule.clone() };
                let seed = run.seed.nth("round", round as u64);
                runs.push(RunSpec { id: runs.len(), seed, sequence: Some(sequence), ..run.clone() });
            }
        }
        Ok(Plan { runs, ..plan })
    }

    fn name(&self) -> String {
        let text = self.rule.text();
        let rule = text.split([' ', ',', ':']).next().unwrap_or_default();
        match self.within.name() {
            all_rows if all_rows == MultiRun::new(1).name() => rule.into(),
            other => format!("{other}+{rule}"),
        }
    }

    fn within(&self, other: Box<dyn EnsembleBuilder>) -> Result<Box<dyn EnsembleBuilder>> {
        Ok(Box::new(Self { rounds: self.rounds, rule: self.rule.clone(), within: other }))
    }
}
