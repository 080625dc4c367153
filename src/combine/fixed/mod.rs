//! Combiners that have nothing to fit: means, votes, ranks, products and weights that are given.
//!
//! They need no held-out predictions. Each one is its own fitted combiner.
mod borda_count;
mod geometric_mean;
mod hard_vote;
mod log_odds_mean;
mod maximum;
mod mean;
mod median;
mod minimum;
mod product;
mod rank_average;
pub(crate) mod row_by_row;
pub(crate) mod softmax_mean;
mod trimmed_mean;
pub(crate) mod weighted;
pub(crate) mod weighted_sum;
pub(crate) mod weighted_vote;
mod winsorized_mean;

pub use borda_count::BordaCount;
pub use geometric_mean::GeometricMean;
pub use hard_vote::HardVote;
pub use log_odds_mean::LogOddsMean;
pub use maximum::Maximum;
pub use mean::Mean;
pub use median::Median;
pub use minimum::Minimum;
pub use product::Product;
pub use rank_average::RankAverage;
pub use trimmed_mean::TrimmedMean;
pub use weighted::{Fit, Weighted};
pub use weighted_vote::WeightedVote;
pub use winsorized_mean::WinsorizedMean;
