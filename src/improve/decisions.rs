//! The decisions of a loop that cannot be computed again: those of the user, and those of the clock.
use crate::{
    diagnose::Finding,
    improve::{kept::Kept, Choice, Decide, Step},
    remedy::Proposal,
    Error, Result,
};
use serde::{Deserialize, Serialize};
use std::time::Instant;

/// A decision.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Decision {
    /// Whether there is time for a remedy.
    Time(bool),
    /// Which remedy is tried.
    Choice(Choice),
    /// Whether a change is kept.
    Keep(bool),
}

/// The log of a loop.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Log {
    decisions: Vec<Decision>,
    /// Seconds that the loop has worked, over all uses that were interrupted.
    seconds: f64,
}

/// Takes decisions, and keeps them; a loop that is resumed takes them again as they were.
pub(super) struct Decisions<'d> {
    decide: &'d dyn Decide,
    kept: &'d Kept,
    name: String,
    log: Log,
    /// The number of decisions that have been taken in this use.
    taken: usize,
    started: Instant,
    earlier: f64,
}

impl<'d> Decisions<'d> {
    /// The decisions of the loop that has this key.
    pub(super) fn new(decide: &'d dyn Decide, kept: &'d Kept, key: &str) -> Result<Self> {
        let name = format!("decisions-{key}");
        let log: Log = kept.get(&name)?.unwrap_or_default();
        let earlier = log.seconds;
        Ok(Self { decide, kept, name, log, taken: 0, started: Instant::now(), earlier })
    }

    /// The seconds that the loop has worked.
    pub(super) fn seconds(&self) -> f64 {
        self.earlier + self.started.elapsed().as_secs_f64()
    }

    /// Whether there is time, as the function says.
    pub(super) fn time(&mut self, there_is: impl FnOnce(f64) -> bool) -> Result<bool> {
        let seconds = self.seconds();
        match self.take(|_| Decision::Time(there_is(seconds)))? {
            Decision::Time(there_is) => Ok(there_is),
            other => Err(unexpected(&other)),
        }
    }

    /// Which of the proposals is tried.
    pub(super) fn choose(&mut self, finding: &Finding, proposals: &[Proposal]) -> Result<Choice> {
        match self.take(|decide| Decision::Choice(decide.choose(finding, proposals)))? {
            Decision::Choice(Choice::Try(place)) if place >= proposals.len() => {
                let must = format!("below {}, the number of proposals", proposals.len());
                Err(Error::invalid("the position of the chosen proposal", must, place))
            }
            Decision::Choice(choice) => Ok(choice),
            other => Err(unexpected(&other)),
        }
    }

    /// Whether the change of a step is kept.
    pub(super) fn keep(&mut self, step: &Step) -> Result<bool> {
        match self.take(|decide| Decision::Keep(decide.keep(step)))? {
            Decision::Keep(keep) => Ok(keep),
            other => Err(unexpected(&other)),
        }
    }

    /// The next decision: that of the log, or a new one.
    fn take(&mut self, decide: impl FnOnce(&dyn Decide) -> Decision) -> Result<Decision> {
        self.taken += 1;
        if let Some(known) = self.log.decisions.get(self.taken - 1) {
            return Ok(known.clone());
        }
        let decision = decide(self.decide);
        self.log.decisions.push(decision.clone());
        self.log.seconds = self.seconds();
        self.kept.put(&self.name, &self.log)?;
        Ok(decision)
    }
}

fn unexpected(decision: &Decision) -> Error {
    let what = "the decisions in the folder".to_owned();
    Error::Foreign { what, why: format!("{decision:?} does not come next") }
}
