//! The kinds of problems that a network may have, and what learning curves can show.
use serde::{Deserialize, Serialize};
use std::fmt;

/// What kind of problem a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Problem {
    /// The rows themselves: leakage, drift, a split that misleads. Scores mean little before it is solved.
    Data,
    /// The network does not fit its training rows.
    Learning,
    /// The network fits its training rows and does worse on others.
    Generalization,
    /// The network varies from epoch to epoch or from run to run.
    Prediction,
    /// Nothing is wrong.
    None,
}

impl Problem {
    /// Its name in files: `data`, `learning`, `generalization`, `prediction` or `none`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Data => "data",
            Self::Learning => "learning",
            Self::Generalization => "generalization",
            Self::Prediction => "prediction",
            Self::None => "none",
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What learning curves show: the nine conditions that they are sorted into.
///
/// Each [`Finding`](crate::diagnose::Finding) belongs to one of them, its `kind`, unless it is about something that
/// curves do not show.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Label {
    /// The training loss hardly falls.
    UnderfitFlat,
    /// The training loss still falls at the end.
    UnderfitUnfinished,
    /// The training loss jumps, oscillates or becomes NaN.
    UnstableLearning,
    /// The training loss has converged at a poor level.
    UnderfitCapacity,
    /// The validation loss turns up while the training loss falls.
    Overfit,
    /// Converged, with a small gap and a small spread.
    GoodFit,
    /// The result varies from epoch to epoch or from run to run.
    HighVariance,
    /// The training rows do not stand for the others: a gap that stays.
    UnrepresentativeTrain,
    /// The validation rows do not stand for the others: too few, or easier.
    UnrepresentativeValidation,
}

impl Label {
    /// All labels, in the order of the declaration.
    pub const ALL: [Self; 9] = [
        Self::UnderfitFlat,
        Self::UnderfitUnfinished,
        Self::UnstableLearning,
        Self::UnderfitCapacity,
        Self::Overfit,
        Self::GoodFit,
        Self::HighVariance,
        Self::UnrepresentativeTrain,
        Self::UnrepresentativeValidation,
    ];

    /// Its name in files, such as `underfit_flat`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::UnderfitFlat => "underfit_flat",
            Self::UnderfitUnfinished => "underfit_unfinished",
            Self::UnstableLearning => "unstable_learning",
            Self::UnderfitCapacity => "underfit_capacity",
            Self::Overfit => "overfit",
            Self::GoodFit => "good_fit",
            Self::HighVariance => "high_variance",
            Self::UnrepresentativeTrain => "unrepresentative_train",
            Self::UnrepresentativeValidation => "unrepresentative_validation",
        }
    }

    /// The kind of problem.
    #[must_use]
    pub const fn problem(self) -> Problem {
        match self {
            Self::UnderfitFlat
            | Self::UnderfitUnfinished
            | Self::UnstableLearning
            | Self::UnderfitCapacity => Problem::Learning,
            Self::Overfit | Self::UnrepresentativeTrain => Problem::Generalization,
            Self::HighVariance => Problem::Prediction,
            Self::UnrepresentativeValidation => Problem::Data,
            Self::GoodFit => Problem::None,
        }
    }
}

impl fmt::Display for Label {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
