//! Decisions that the user takes in place of the rule.
use crate::{diagnose::Finding, improve::Step, remedy::Proposal};

/// Takes the decisions of a loop of improvement in place of its rules: an interactive prompt, or a program.
///
/// Each method has the loop's own rule as its default. Decisions are kept in the
/// [folder](crate::improve::Improve::folder) of the loop, so a use that is resumed does not ask again.
///
/// A remedy that is chosen or kept for its scores on these rows is no surprise on them any more: the bound on
/// the share of false remedies holds for the rules alone. The final scores stay honest, because no decision
/// sees their rows.
///
/// ```
/// use candle_ensemble::{diagnose::Finding, improve::{Choice, Decide}, remedy::Proposal};
///
/// /// Never tries an ensemble.
/// struct OneNetwork;
///
/// impl Decide for OneNetwork {
///     fn choose(&self, _: &Finding, proposals: &[Proposal]) -> Choice {
///         let one = proposals.iter().position(|proposal| proposal.cost.prediction <= 1.);
///         one.map_or(Choice::Skip, Choice::Try)
///     }
/// }
/// ```
pub trait Decide {
    /// Which of the remedies for a finding is tried next. The proposals are those that have not been tried,
    /// the best first. The default is the first one.
    fn choose(&self, finding: &Finding, proposals: &[Proposal]) -> Choice {
        let _ = (finding, proposals);
        Choice::Try(0)
    }

    /// Whether the change of a step is kept, after it was tried. The default is the rule's decision,
    /// [`Step::kept`].
    fn keep(&self, step: &Step) -> bool {
        step.kept
    }
}

/// What is done next about a finding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum Choice {
    /// The remedy at this position is tried.
    Try(usize),
    /// Nothing more is tried for this finding.
    Skip,
    /// The loop ends, and the final scores follow.
    Stop,
}

/// Leaves every decision to the rules: the default.
#[derive(Clone, Copy, Debug, Default)]
pub struct ByRule;

impl Decide for ByRule {}
