//! Decompositions of the loss of ensembles into parts that add up.
//!
//! They say why an ensemble is better than its members. [`ambiguity()`] is taken of one ensemble. The others
//! are taken over repeats of whole trainings, so that bias and variance are those of the training and not of
//! one run: make an accumulator, push the predictions of each repeat, and finish. An accumulator's memory does
//! not grow with the repeats.
//!
//! | Accumulator or function | Loss | What adds up to the expected loss of the ensemble |
//! |---|---|---|
//! | [`ambiguity()`] | squared | mean loss of the members − ambiguity |
//! | [`BiasVarianceRepeats`] | squared, cross-entropy | bias + variance of one predictor, such as any ensemble |
//! | [`DiversityRepeats`] | squared, cross-entropy | mean bias + mean variance − diversity of the members |
//! | [`BiasVarianceDiversity::covariance`] | squared | bias + variance/S + (1 − 1/S) covariance |
//! | [`ZeroOneRepeats`] | 0–1 | noise + bias + net variance of one classifier |
//! | [`DiversityEffectRepeats`] | 0–1 | mean bias + variance effect − diversity effect of the members |
//!
//! The parts are means over the rows, weighted by the weights of the [`RowTargets`](super::RowTargets). Noise
//! of the targets counts as bias, unless stated otherwise.
mod ambiguity;
mod bias_variance;
mod bias_variance_diversity;
mod covariance;
mod diversity_effect;
mod loss;
#[cfg(test)]
pub(in crate::evaluate) mod tests;
mod zero_one;

pub use ambiguity::{ambiguity, Ambiguity};
pub use bias_variance::{BiasVariance, BiasVarianceRepeats};
pub use bias_variance_diversity::{BiasVarianceDiversity, DiversityRepeats};
pub use covariance::BiasVarianceCovariance;
pub use diversity_effect::{DiversityEffect, DiversityEffectRepeats};
pub use loss::AdditiveLoss;
pub use zero_one::{ZeroOneBiasVariance, ZeroOneRepeats};
