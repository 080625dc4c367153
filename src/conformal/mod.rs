//! Conformal prediction: intervals and sets of classes that contain the target with a stated probability.
//!
//! A network predicts a value or probabilities, and says little about how wrong it may be. Conformal
//! prediction takes the errors on calibration rows, on which the network was not fitted, and makes from them
//! an interval or a set of classes for each new row. It contains the target with probability `1 − α` at
//! least, for any network, any number of rows and any distribution, as long as the calibration rows and the
//! new rows are exchangeable. They are not where the data drift, in time series, or where rows in groups
//! share their errors.
//!
//! The probability is an average over all rows. It is not the probability for one row, about which nothing
//! more can be stated without assumptions. Groups ([`ScoreQuantiles`]) bring it closer to that.
//!
//! # With an ensemble
//!
//! | you have | use | it needs |
//! |---|---|---|
//! | bagging, cross-validation | [`CrossIntervals`] for values, [`CrossSets`] for classes: jackknife+-after-bootstrap, CV+, jackknife+ | no rows set aside |
//! | rows that no member has seen | [`SplitIntervals`] for values | a calibration set, or reserved rows |
//! | the same, and networks that put out distributions | [`QuantileIntervals`]: conformalized quantile regression | the same |
//! | the same | [`ClassSets`] for classes: LAC, APS, RAPS | the same |
//!
//! [`Pool::conformal`](crate::Pool::conformal) and [`OnDataset::conformal`](crate::OnDataset::conformal) fit them;
//! [`Ensemble::predict_intervals`](crate::Ensemble::predict_intervals) and
//! [`Ensemble::predict_sets`](crate::Ensemble::predict_sets) apply them.
//!
//! # With numbers
//!
//! | you have | use |
//! |---|---|
//! | predictions on rows that are set aside | [`SplitConformal`] |
//! | as before, and a standard deviation for each row | [`NormalizedConformal`] |
//! | as before, with predicted quantiles | [`QuantileConformal`] |
//! | members of a cross-validation, one for each fold or row | [`CrossConformal`] |
//! | members of bagging | [`CrossConformal::after_bootstrap`] |
//! | probabilities on rows that are set aside | [`ClassConformal`] |
//! | probabilities of members of a cross-validation or of bagging | [`CrossClassConformal`] |
//! | scores of your own | [`conformal_quantile`], [`ScoreQuantiles`] |
//! | rows from another distribution of inputs, with known weights | [`WeightedScores`] |
//!
//! [`coverage()`] and its relatives measure on test rows what the intervals and sets are worth.
//!
//! These functions take slices of f64; tables are row-major. `alpha`, the share of errors that is allowed, is
//! above 0 and below 1. With fewer calibration rows than [`rows_needed`], the intervals are infinite.
//!
//! ```
//! use candle_ensemble::conformal::*;
//!
//! // Errors of −0.9, −0.8, …, 0.9 on 19 calibration rows.
//! let predictions: Vec<f64> = (0..19).map(f64::from).collect();
//! let targets: Vec<f64> = (0..19).map(|row| f64::from(row) + f64::from(row - 9) / 10.0).collect();
//! let split = SplitConformal::fit(&predictions, &targets, None, 0.1)?;
//! let intervals = split.predict(&[3.0, 5.0], None)?;
//! assert!((intervals[0].low - 2.1).abs() < 1e-12 && (intervals[0].high - 3.9).abs() < 1e-12);
//! let found = coverage(&intervals_contain(&intervals, &[3.5, 7.0])?, 0.95)?;
//! assert_eq!(found.share.estimate, 0.5);
//! # Ok::<(), candle_ensemble::Error>(())
//! ```
mod after_bootstrap;
mod aggregation;
mod aps;
mod class_score;
mod classes;
mod coverage;
mod cross;
mod cross_classes;
mod ensembles;
mod inputs;
mod interval;
mod lac;
mod mondrian;
mod normalized;
mod probabilities;
mod quantile;
mod quantile_regression;
mod ragged;
mod raps;
mod sets;
mod shifted;
mod split;
#[cfg(test)]
mod tests;
mod weighted;

pub use aggregation::Aggregation;
pub use class_score::ClassScore;
pub use classes::{ClassConformal, Condition, EmptySets};
pub use coverage::{
    coverage, coverage_by_group, coverage_by_size, mean_set_size, mean_width, Coverage, SizeCoverage,
};
pub use cross::{CrossConformal, CrossMethod};
pub use cross_classes::CrossClassConformal;
pub use ensembles::{
    output_intervals, CalibrationRows, ClassSets, ConformalIntervals, ConformalMethod, ConformalSets,
    CrossIntervals, CrossSets, QuantileIntervals, SplitIntervals,
};
pub use interval::{intervals_contain, PredictionInterval};
pub use mondrian::{ScoreQuantile, ScoreQuantiles};
pub use normalized::{normalized_residuals, NormalizedConformal};
pub use probabilities::ClassProbabilities;
pub use quantile::{conformal_quantile, lower_conformal_quantile, rows_needed};
pub use quantile_regression::{quantile_excesses, QuantileConformal, QuantileCorrection};
pub use raps::{select_raps, RAPS_LAMBDAS};
pub use sets::PredictionSets;
pub use split::{absolute_residuals, SplitConformal};
pub use weighted::WeightedScores;
