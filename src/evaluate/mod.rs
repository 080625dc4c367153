//! Evaluation of ensembles on test rows.
//!
//! A [`Study`] trains ensembles of each strategy from different seeds, combines them in each way
//! ([`Combination`]), and compares them with single networks; its [`StudyReport`] has the metrics, confidence
//! intervals and costs, prints as a table and draws as charts. [`size_curve`] measures how a metric depends on the
//! number of members. A [`Leaderboard`] lists the members of one pool and combiners of them. A [`Sensitivity`] study shows
//! how the validation loss depends on the learning rate and the batch size.
mod combination;
mod data_sets;
pub mod decomposition;
pub mod diversity;
mod enough_members;
mod leaderboard;
mod row_targets;
mod sensitivity;
mod size_curve;
mod study;
mod study_report;

pub use combination::{combinations, Combination};
pub use data_sets::{DataSetsReport, SINGLE};
pub use diversity::{Diversity, KappaError};
pub use enough_members::SizeFit;
pub use leaderboard::{Leaderboard, LeaderboardOf, LeaderboardRow};
pub use row_targets::RowTargets;
pub use sensitivity::{Sensitivity, SensitivityCell, SensitivityFigure, SensitivityReport};
pub use size_curve::{size_curve, SizePoint};
pub use study::{Study, Trials};
pub use study_report::{
    Cost, CurvePoint, DiversityMeasure, EnsembleReport, Failure, FittedOnRows, RepeatReport, SingleReport,
    SizeSummary, Spread, StrategyReport, StudyReport,
};
