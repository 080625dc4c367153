//! Blending: one weight for each slot, learned on held-out rows.
//!
//! Every combiner here results in a [`Weighted`](crate::combine::Weighted) mean, except [`PerClass`], which
//! has a weight for each slot and class. Where predictions are missing, they learn from those that are there:
//! the loss of a slot is that on the rows that it predicts, and the loss of weights is that of what the fitted
//! combiner computes on each row from the slots that predict it. So members of equal skill get equal weights,
//! whatever share of the rows each of them predicts, and [`Fit::objective`](crate::combine::Fit) is the loss of
//! the fitted combiner on the same rows. A slot that predicts no row of weight above 0 gets the weight 0.
mod densities;
mod differential_evolution;
mod error_rate;
mod grid_search;
mod inverse_error;
mod known;
mod least_squares;
pub(crate) mod matrix;
mod means;
mod model_combination;
pub(crate) mod on_disk;
mod penalty;
mod per_class;
mod predictive_stacking;
mod pseudo_bma;
mod quadratic;
mod search;
mod simplex;
mod simplex_log_loss;
mod simplex_squares;
mod squared_error;
mod two_way;

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
