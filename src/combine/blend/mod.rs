//! Blending: one weight for each slot, learned on held-out rows.
//!
//! Every combiner here results in a [`Weighted`](crate::combine::Weighted) mean, except [`PerClass`], which
//! has a weight for each slot and class. They learn from complete predictions: a missing prediction is
//! replaced by the mean of the predictions of the same row.
mod densities;
mod differential_evolution;
mod grid_search;
mod inverse_error;
mod least_squares;
mod matrix;
mod model_combination;
mod penalty;
mod per_class;
mod predictive_stacking;
mod pseudo_bma;
mod quadratic;
mod search;
mod simplex;
mod simplex_log_loss;
mod simplex_squares;

pub use differential_evolution::DifferentialEvolution;
pub use grid_search::GridSearch;
pub use inverse_error::InverseError;
pub use least_squares::LeastSquares;
pub use model_combination::ModelCombination;
pub use penalty::Penalty;
pub use per_class::{FittedPerClass, PerClass};
pub use predictive_stacking::PredictiveStacking;
pub use pseudo_bma::PseudoBma;
pub use simplex_log_loss::SimplexLogLoss;
pub use simplex_squares::SimplexSquares;

#[cfg(test)]
mod tests;
