//! Intervals and tests for the difference between predictors.
//!
//! Which one to use depends on where the differences come from. Each assumes something about them, and its
//! documentation says what.
//!
//! | Setting | Interval | Test |
//! |---|---|---|
//! | Independent repetitions, such as seeds on one split | [`t_interval`] | [`paired_t_test`], [`sign_flip_test`] |
//! | Repeated splits or folds of one data set | [`corrected_t_interval`] | [`corrected_t_test`] |
//! | Five times two-fold cross-validation | | [`five_by_two_f_test`], [`five_by_two_t_test`] |
//! | Two fitted classifiers, same test rows | [`bootstrap_interval`] of 0/1 losses | [`mcnemar_test`] |
//! | Several fitted classifiers, same test rows | | [`cochran_q_test`], then pairs with [`holm`] |
//! | Two fitted predictors, losses on the same test rows | [`bootstrap_interval`] | [`sign_flip_test`] |
//! | As before, rows in groups | [`cluster_bootstrap_interval`] | [`cluster_sign_flip_test`] |
//! | A metric that is a function of means, same test rows | [`bootstrap_means`] | |
//! | Any metric, same test rows | [`bootstrap_statistic`] | |
//! | Two methods on several data sets | | [`wilcoxon_test`] with [`hodges_lehmann`] |
//! | Two samples of rows, one feature | | [`kolmogorov_smirnov_test`] |
//! | Two samples of rows, class shares | | [`homogeneity_test`] |
//! | A share of independent rows | [`clopper_pearson`] | |
//! | Several methods on several data sets | | [`RankTest`]: [`friedman_test`], [`holm`], Nemenyi |
//!
//! A test of two fitted predictors does not know how much another training run would change them; a test over
//! seeds does not know about other test rows. [`variance_components`] says how large either is.
//!
//! ```
//! use candle_ensemble::statistics::{corrected_t_interval, corrected_t_test};
//!
//! // Gains in accuracy on five splits with 800 training and 200 test rows.
//! let gains = [0.02, 0.03, 0.01, 0.02, 0.04];
//! let (gain, test) = (corrected_t_interval(&gains, 200, 800, 0.95)?, corrected_t_test(&gains, 200, 800)?);
//! assert!(gain.low > 0.0 && test.p_value < 0.05);
//! # Ok::<(), candle_ensemble::Error>(())
//! ```
mod adjust;
mod bootstrap;
mod bootstrap_mean;
mod clopper_pearson;
mod cochran;
mod corrected_t;
mod five_by_two;
mod friedman;
mod hodges_lehmann;
mod homogeneity;
mod inputs;
mod interval;
mod kolmogorov_smirnov;
mod mcnemar;
mod nemenyi;
mod rank_test;
mod ranks;
mod resamples;
mod sign_flip;
#[cfg(test)]
mod simulations;
mod student;
mod studentized_range;
mod summary;
mod tails;
mod test_result;
#[cfg(test)]
mod testing;
mod units;
mod variance_components;
mod wilcoxon;

pub use adjust::{bonferroni, hochberg, holm};
pub use bootstrap::bootstrap_statistic;
pub(crate) use bootstrap::quantile;
pub(crate) use bootstrap_mean::weighted_bootstrap;
pub use bootstrap_mean::{bootstrap_interval, bootstrap_means, cluster_bootstrap_interval};
pub use clopper_pearson::clopper_pearson;
pub(crate) use clopper_pearson::upper_bound;
pub use cochran::cochran_q_test;
pub use corrected_t::{corrected_t_interval, corrected_t_test};
pub use five_by_two::{five_by_two_f_test, five_by_two_t_test};
pub use friedman::{friedman_test, Friedman};
pub use hodges_lehmann::hodges_lehmann;
pub use homogeneity::homogeneity_test;
pub use interval::Interval;
pub use kolmogorov_smirnov::kolmogorov_smirnov_test;
pub use mcnemar::{mcnemar_test, McNemar};
pub use nemenyi::{nemenyi_critical_difference, nemenyi_p_value};
pub use rank_test::{PairComparison, PairTest, RankComparison, RankTest};
pub use sign_flip::{cluster_sign_flip_test, sign_flip_test, SIGN_FLIP_EXACT};
pub use student::{paired_t_test, t_interval};
pub use summary::Summary;
pub(crate) use tails::t_two_sided;
pub use test_result::TestResult;
pub use variance_components::{variance_components, VarianceComponents};
pub use wilcoxon::{wilcoxon_test, ZeroDifferences, WILCOXON_EXACT};
