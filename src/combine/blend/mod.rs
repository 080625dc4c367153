//! Blending: one weight a slot, learned on held-out rows.
//!
//! Every rule here ends in a [`Weighted`](crate::combine::Weighted) mean, but for [`PerClass`], which has a weight for each
//! slot and class. They learn from filled predictions: one that is missing is stood in for by the mean of those that are
//! there.
mod densities;
mod differential_evolution;
mod grid_search;
mod inverse_error;
mod least_squares;
mod log_loss;
mod model_combination;
mod penalty;
mod per_class;
mod predictive_stacking;
mod pseudo_bma;
mod quadratic;
mod search;
mod simplex;
mod squares;
mod table;

pub use differential_evolution::DifferentialEvolution;
pub use grid_search::GridSearch;
pub use inverse_error::InverseError;
pub use least_squares::LeastSquares;
pub use log_loss::SimplexLogLoss;
pub use model_combination::ModelCombination;
pub use penalty::Penalty;
pub use per_class::{FittedPerClass, PerClass};
pub use predictive_stacking::PredictiveStacking;
pub use pseudo_bma::PseudoBma;
pub use squares::SimplexSquares;

#[cfg(test)]
mod tests;
