//! Conformal prediction of ensembles: methods that are fitted on held-out predictions, and what comes of them.
mod calibration;
mod class_sets;
mod cross_intervals;
mod cross_sets;
mod intervals;
mod method;
mod quantile_intervals;
mod sets;
mod split_intervals;
#[cfg(test)]
mod tests;

pub use class_sets::ClassSets;
pub use cross_intervals::CrossIntervals;
pub use cross_sets::CrossSets;
pub use intervals::{output_intervals, ConformalIntervals};
pub use method::{CalibrationRows, ConformalMethod};
pub use quantile_intervals::QuantileIntervals;
pub use sets::ConformalSets;
pub use split_intervals::SplitIntervals;
