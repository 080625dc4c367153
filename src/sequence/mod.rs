//! Sequences: members that are trained one after the other, where each depends on those before it.
//!
//! A [`SequenceRule`] says how. Before a round it gives the [`RoundData`] of the next member: other weights of the rows, other
//! targets, or some of the rows. After the round it is told what the member predicts for all rows, and gives the
//! [`Outcome`]: the member's weight in the ensemble, and whether the sequence ends. A [`Join`] says how the predictions of
//! the members become one.
//!
//! The rules are pure functions of numbers: they know nothing of networks, stores or processes. A plan says which of its
//! runs form a sequence ([`RunSpec::sequence`](crate::plan::RunSpec::sequence)), and a
//! [`Session`](crate::Session) carries it out. [`strategy`](crate::strategy) has the ready-made ones:
//! [`AdaBoost`](crate::strategy::AdaBoost), [`GradientBoosting`](crate::strategy::GradientBoosting), and [`InSequence::of`](crate::strategy::InSequence::of) for a rule of your own.
mod adaboost;
mod erased;
mod gradient_boosting;
mod join;
mod rule;

pub use adaboost::{AdaBoostAlgorithm, AdaBoostRule, ErrorLoss};
pub(crate) use erased::Course;
pub use erased::Rule;
pub use gradient_boosting::{BoostedSums, GradientBoostingRule};
pub use join::Join;
pub use rule::{
    NewTargets, Outcome, Predicted, Round, RoundData, RowTargets, SequenceData, SequenceRows, SequenceRule,
};

use crate::{Error, Result};
use serde::{Deserialize, Serialize};

/// The place of a run in a sequence of runs, each of which depends on those before it.
///
/// The runs of a sequence have consecutive numbers, train on the same rows, and share a slot: together they are one
/// predictor.
#[derive(Clone, Debug, PartialEq)]
pub struct Sequence {
    /// The number of the sequence in the plan, from 0.
    pub number: usize,
    /// The number of its first run.
    pub first: usize,
    /// The number of its runs.
    pub rounds: usize,
    /// How its members depend on each other.
    pub rule: Rule,
}

impl Sequence {
    /// The sequence as a text, which plans are written with.
    pub(crate) fn to_text(&self) -> String {
        format!("{} {} {} {}", self.number, self.first, self.rounds, self.rule.text())
    }

    /// Reads what [`to_text`](Self::to_text) returns.
    pub(crate) fn from_text(text: &str) -> Result<Self> {
        let mut parts = text.splitn(4, ' ');
        let mut number = || parts.next()?.parse().ok();
        let numbers = (number(), number(), number());
        match (numbers, parts.next()) {
            ((Some(number), Some(first), Some(rounds)), Some(rule)) => {
                Ok(Self { number, first, rounds, rule: Rule::from_text(rule) })
            }
            _ => {
                Err(Error::invalid("the sequence of a run", "three numbers and a rule", format!("{text:?}")))
            }
        }
    }
}

/// The place of a member in a sequence of members, in its record.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RoundRecord {
    /// The number of the first run of the sequence, which tells sequences apart.
    pub sequence: usize,
    /// The member's round, from 0.
    pub round: usize,
    /// Its weight.
    #[serde(with = "crate::codec::real")]
    pub weight: f64,
    /// Where the sequence has ended with this round or before: how many of its members count. The others are not loaded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kept: Option<usize>,
    /// How the predictions of the members become one.
    pub join: Join,
}

impl RoundRecord {
    /// Refuses a member whose outputs are only added up with those of others.
    pub(crate) fn check_predictor(&self, what: impl Into<String>) -> Result<()> {
        match self.join.has_predictors() {
            true => Ok(()),
            false => {
                let must = "one that predicts by itself";
                Err(Error::invalid(what, must, "one of a sequence, whose outputs are added up"))
            }
        }
    }
}

#[cfg(test)]
mod tests;
