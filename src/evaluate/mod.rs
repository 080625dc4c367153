//! Evaluation of ensembles on test rows.
//!
//! A [`Study`] trains ensembles of each strategy from different seeds, combines them in each way
//! ([`Combination`]), and compares them with single networks; its [`StudyReport`] has the metrics, confidence
//! intervals and costs, prints as a table and draws as charts. [`size_curve`] measures how a metric depends on the
//! number of members, and [`TrainingSizeCurve`] how it depends on the number of training rows. A [`TransferStudy`]
//! compares warm starts with fresh networks, and a [`Sensitivity`] study learning rates and batch sizes.
//! [`SplitCheck`] says whether test rows can stand for new ones. A [`Leaderboard`] lists the members of one pool and
//! combiners of them.
pub(crate) mod combination;
mod data_sets;
pub mod decomposition;
pub mod diversity;
mod enough_members;
mod leaderboard;
mod member_scores;
mod row_targets;
mod sensitivity;
mod size_curve;
mod split_check;
pub(crate) mod study;
mod study_report;
mod training_size;
mod transfer;

pub use combination::{combinations, Combination};
pub use data_sets::{DataSetsReport, SINGLE};
pub use diversity::{Diversity, KappaError};
pub use enough_members::SizeFit;
pub use leaderboard::{Leaderboard, LeaderboardOf, LeaderboardRow};
pub use row_targets::RowTargets;
pub use sensitivity::{Sensitivity, SensitivityCell, SensitivityFigure, SensitivityReport};
pub use size_curve::{size_curve, SizePoint};
pub use split_check::{ClassShares, ColumnDrift, Duplicate, SplitCheck};
pub use study::{Study, Trials};
pub use study_report::{
    Cost, CurvePoint, DiversityMeasure, EnsembleReport, Failure, FittedOnRows, RepeatReport, SingleReport,
    SizeSummary, Spread, StrategyReport, StudyReport,
};
pub use training_size::{TrainingSizeCurve, TrainingSizePoint, TrainingSizeReport};
pub use transfer::{TransferReport, TransferRow, TransferStudy};
