//! Networks that hold several members.
use crate::{check::require, Result};
use serde::{Deserialize, Serialize};

/// How many members one network holds, and what each of them trains on.
///
/// ```
/// use candle_ensemble::network::{MemberBatches, Members};
///
/// assert_eq!(Members::default().count, 1);
/// let eight = Members { count: 8, batches: MemberBatches::Shared };
/// assert_ne!(eight, Members::default());
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Members {
    /// The number of members `M`, at least 1.
    pub count: usize,
    /// What each of them trains on.
    pub batches: MemberBatches,
}

impl Default for Members {
    /// A plain network, which is one member.
    fn default() -> Self {
        Self { count: 1, batches: MemberBatches::Single }
    }
}

impl Members {
    /// Checks that the numbers are in their ranges.
    pub(crate) fn check(self) -> Result<()> {
        require(self.count > 0, "the number of members of a network", "at least 1", self.count as f64)?;
        let MemberBatches::Own { repetitions, shared } = self.batches else { return Ok(()) };
        require(repetitions > 0, "MemberBatches::Own::repetitions", "at least 1", repetitions as f64)?;
        require((0.0..=1.0).contains(&shared), "MemberBatches::Own::shared", "from 0 to 1", shared)
    }
}

/// What the members of one network train on in a step.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum MemberBatches {
    /// The network trains as one: `(B, …)` in, `(B, …)` out. It has members in evaluation only, as in Monte-Carlo dropout.
    #[default]
    Single,
    /// All members train on the rows of the batch: `(B, …)` in, `(M·B, …)` out. The loss is the mean of the members' losses.
    Shared,
    /// Each member trains on rows of its own: `(M·R·B, …)` in, `(M·R·B, …)` out, the rows of one member after those of the
    /// other. They are the rows of the batch `R` times, shuffled for each member.
    Own {
        /// How often each row of the batch occurs for each member, `R`, at least 1.
        repetitions: usize,
        /// The share of the rows that are the same ones for all members, from 0 to 1.
        shared: f64,
    },
}
