//! Diversity: how different the errors of the members of an ensemble are.
//!
//! Members that are right and wrong on the same rows gain nothing from being combined. [`Diversity`] computes
//! every measure for predictions `(S, N, C)` (slots, rows, classes or outputs). The functions compute one
//! measure each: those of a pair of members from [`PairCounts`], those of a whole group from
//! [`CorrectShares`].
//!
//! | Name | Function | Of | More diverse | Range | What it is |
//! |---|---|---|---|---|---|
//! | `q-statistic` | [`q_statistic()`] | pairs | less | −1 to 1 | Association of their being right |
//! | `correlation` | [`correlation()`] | pairs | less | −1 to 1 | Correlation of their being right |
//! | `disagreement` | [`disagreement()`] | pairs | more | 0 to 1 | Share of rows on which one of them is right |
//! | `double-fault` | [`double_fault()`] | pairs | less | 0 to 1 | Share of rows on which both are wrong |
//! | `ratio-of-errors` | [`ratio_of_errors()`] | pairs | more | 0 or more | Different errors for each common one |
//! | `kappa` | [`kappa()`] | pairs | less | −1 to 1 | Agreement in right and wrong, beyond chance |
//! | `cohen-kappa` | [`cohen_kappa()`] | pairs | less | −1 to 1 | Agreement in the class, beyond chance |
//! | `entropy` | [`entropy()`] | group | more | 0 to 1 | How evenly members are divided into right and wrong |
//! | `kohavi-wolpert` | [`kohavi_wolpert_variance()`] | group | more | 0 to 1/4 | Variance between right and wrong |
//! | `interrater-kappa` | [`interrater_kappa()`] | group | less | up to 1 | Agreement in right and wrong, beyond chance |
//! | `difficulty` | [`difficulty()`] | group | less | 0 to 1/4 | How much the rows differ in difficulty |
//! | `generalized` | [`generalized_diversity()`] | group | more | 0 to 1 | How seldom a second member fails with a first |
//! | `coincident-failure` | [`coincident_failure_diversity()`] | group | more | 0 to 1 | How few members fail together |
//! | `error-correlation` | [`Diversity`] | pairs, values | less | −1 to 1 | Correlation of their errors |
//! | `ambiguity` | [`ambiguity()`](crate::evaluate::decomposition::ambiguity()) | group, values | more | 0 or more | Mean squared distance from the ensemble |
//!
//! The error correlation pools all outputs, so scale outputs of different units first.
mod coincident_failure;
mod correct_shares;
mod correlation;
mod difficulty;
mod disagreement;
mod double_fault;
mod entropy;
mod error_correlation;
mod generalized;
mod interrater_kappa;
mod kappa;
mod kohavi_wolpert;
mod pair_counts;
mod pair_matrix;
mod q_statistic;
mod ratio_of_errors;
mod summary;
#[cfg(test)]
mod tests;
mod votes;

pub use coincident_failure::coincident_failure_diversity;
pub use correct_shares::CorrectShares;
pub use correlation::correlation;
pub use difficulty::difficulty;
pub use disagreement::disagreement;
pub use double_fault::double_fault;
pub use entropy::entropy;
pub use generalized::generalized_diversity;
pub use interrater_kappa::interrater_kappa;
pub use kappa::{cohen_kappa, kappa};
pub use kohavi_wolpert::kohavi_wolpert_variance;
pub use pair_counts::PairCounts;
pub use pair_matrix::PairMatrix;
pub use q_statistic::q_statistic;
pub use ratio_of_errors::ratio_of_errors;
pub use summary::{Diversity, KappaError, Measured};
