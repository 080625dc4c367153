//! Metrics of predictions, and intervals for the difference between two predictors.
//!
//! Class probabilities are a tensor `(N, C)` with labels `&[u32]`; regression predictions and targets are
//! tensors `(N,)` or `(N, K)`, with N rows, C classes and K outputs. They may be f16, bf16, f32 or f64, on
//! any device. Metrics are summed in f64. Weights are finite, not negative and not all zero; only their
//! ratios matter.
//!
//! Every metric fails with [`Error::Invalid`](crate::Error::Invalid) when there are no rows, when numbers of
//! rows or shapes differ, when a label is not below C, when a value is NaN or infinite, when a probability is
//! not between 0 and 1, and when the probabilities of a row do not sum to one. Probabilities and sums may be
//! off by 10⁻³ (by 2⁻⁹ in f16 and 2⁻⁶ in bf16, which is twice the spacing of these types at one); nothing is
//! rescaled.
//!
//! ```
//! use candle_core::{Device, Tensor};
//! use candle_ensemble::metrics::{accuracy, Metrics};
//!
//! let probs = Tensor::new(&[[0.9f32, 0.1], [0.4, 0.6], [0.7, 0.3]], &Device::Cpu)?;
//! let labels = [0, 1, 1];
//! assert_eq!(accuracy(&probs, &labels, None)?, 2.0 / 3.0);
//! assert_eq!(accuracy(&probs, &labels, Some(&[1.0, 1.0, 2.0]))?, 0.5);
//! println!("{:?}", Metrics::classification(&probs, &labels, None)?);
//! # Ok::<(), candle_ensemble::Error>(())
//! ```
//!
//! [`registry()`] makes a [`Metric`] from a name with its arguments, [`MetricList`] computes several metrics
//! in one pass, and [`Score`] is the trait of a metric of your own. Everything that takes a metric takes all
//! of these: the combiners that minimise a [`Criterion`], and early stopping
//! ([`EarlyStopping`](crate::train::EarlyStopping)).
//!
//! | to judge | use |
//! |---|---|
//! | how often a classifier is right | [`accuracy()`]; [`balanced_accuracy()`] where classes are unbalanced; [`top_k_accuracy()`] where there are many |
//! | how it finds the rows of a class | [`f1()`], [`precision()`] and [`recall()`] |
//! | how it finds the pixels of a class | [`jaccard()`], whose macro average is the mean IoU |
//! | which labels to report, of several | [`LabelThresholds`] |
//! | a language model | [`perplexity()`] |
//! | its confusion matrix in one number | [`matthews_correlation()`]; [`cohen_kappa()`] where classes have an order |
//! | classes with an order | [`ordinal_mae()`]; [`rps()`], a proper score of their probabilities |
//! | its probabilities | [`nll()`] and [`brier()`], which are proper scores |
//! | whether they can be trusted | [`ece()`], [`classwise_ece()`], the reliability of [`brier_decomposition()`] |
//! | how they order the rows | [`roc_auc()`]; [`average_precision()`] where a class is rare |
//! | values | [`rmse()`] for means, [`mae()`] for medians, [`pinball()`] for other quantiles, [`median_absolute_error()`] where some targets are wrong |
//! | values beside their spread | [`r2()`], [`explained_variance()`] |
//! | values that grow by factors | [`msle()`], [`mape()`] |
//! | predicted distributions of values | `distribution-nll` or `crps`, which are proper scores; `quantile-loss` and `interval-score` for what is used of them; `coverage` |
//!
//! Metrics of predicted distributions ([`Metric::needs_distributions`]) go with networks whose output is one, such as
//! [`Output::Gaussian`](crate::network::Output::Gaussian): early stopping watches them, and
//! [`OnDataset::metrics`](crate::OnDataset::metrics) and [`MetricList::compute_distributions`] compute them. What works on
//! predicted values alone, such as studies, leaderboards and the criteria of combiners, refuses them before it starts. A
//! coverage should be its level; more is not better, so nothing is stopped or ranked by it.
//!
//! | Name | Item | Tasks | What it does | Arguments |
//! |---|---|---|---|---|
//! | `accuracy` | [`accuracy()`] | classes | Share of rows whose most probable class is the true one | |
//! | `error` | [`RowLoss::Error`] | classes | One minus the accuracy | |
//! | `balanced-accuracy` | [`balanced_accuracy()`] | classes | Mean over the classes of the share of their rows that are right | |
//! | `top-k`, `top-3` (`top-k:3`), `top-5` (`top-k:5`) | [`top_k_accuracy()`] | classes | Share of rows whose true class is among the k most probable | `k=5` |
//! | `f1`, `f1-macro` (`f1:macro`), `f1-weighted` (`f1:weighted`), `f1-micro` (`f1:micro`), `f1-binary` (`f1:binary`) | [`f1()`] | classes | Harmonic mean of precision and recall | `average=macro` |
//! | `precision` | [`precision()`] | classes | Share of rows predicted as a class that are of it | `average=macro` |
//! | `recall` | [`recall()`] | classes | Share of rows of a class that are predicted as it | `average=macro` |
//! | `jaccard`, `iou`, `mean-iou` (`jaccard:macro`) | [`jaccard()`] | classes | Intersection over union of true and predicted rows of a class; its mean is the mean IoU | `average=macro` |
//! | `mcc`, `matthews` | [`matthews_correlation()`] | classes | Correlation of Matthews between predicted and true classes | |
//! | `kappa`, `kappa-linear` (`kappa:linear`), `kappa-quadratic` (`kappa:quadratic`) | [`cohen_kappa()`] | classes | Agreement of predicted and true classes beyond chance | `weights=equal` |
//! | `ordinal-mae` | [`ordinal_mae()`] | classes | Mean number of classes, which have an order, between the predicted and the true one | |
//! | `nll`, `log-loss` | [`nll()`] | classes | Negative log-likelihood in nats | |
//! | `perplexity` | [`perplexity()`] | classes | Exponential of the negative log-likelihood | |
//! | `brier` | [`brier()`] | classes | Brier score, summed over the classes | |
//! | `rps`, `ranked-probability-score` | [`rps()`] | classes | Ranked probability score of classes with an order | |
//! | `brier-reliability` | [`brier_decomposition()`] | classes | Reliability of the Brier score: the part of calibration | `bins=15` |
//! | `brier-resolution` | [`brier_decomposition()`] | classes | Resolution of the Brier score: how far bins differ in their classes | `bins=15` |
//! | `ece` | [`ece()`] | classes | Expected calibration error in bins of equal width | `bins=15` |
//! | `ece-equal-mass`, `adaptive-ece` | [`ece_equal_mass()`] | classes | Expected calibration error in bins of equal mass | `bins=15` |
//! | `classwise-ece` | [`classwise_ece()`] | classes | Mean over the classes of the calibration error of their probabilities | `bins=15` |
//! | `mce` | [`mce()`] | classes | Maximum calibration error in bins of equal width | `bins=15` |
//! | `roc-auc`, `auroc`, `roc-auc-weighted` (`roc-auc:weighted`) | [`roc_auc()`] | classes | Area under the ROC curve, each class against the others | `average=macro` |
//! | `average-precision`, `average-precision-weighted` (`average-precision:weighted`) | [`average_precision()`] | classes | Mean precision along the ranking, each class against the others | `average=macro` |
//! | `rmse` | [`rmse()`] | values | Root mean squared error | |
//! | `mse`, `squared` | [`RowLoss::Squared`] | values | Mean squared error | |
//! | `mae`, `absolute` | [`mae()`] | values | Mean absolute error | |
//! | `median-ae` | [`median_absolute_error()`] | values | Median absolute error | |
//! | `mape` | [`mape()`] | values | Mean absolute error as a share of the target | |
//! | `msle` | [`msle()`] | values | Mean squared error of the logarithms | |
//! | `pinball` | [`pinball()`] | values | Pinball loss of a quantile | `quantile=0.5` |
//! | `r2` | [`r2()`] | values | Coefficient of determination | |
//! | `explained-variance` | [`explained_variance()`] | values | Coefficient of determination without the mean error | |
//! | `distribution-nll`, `nlpd` | [`distribution::Score::Nll`] | values | Negative log-likelihood of values in nats, by their distributions | |
//! | `crps` | [`distribution::Score::Crps`] | values | Continuous ranked probability score of distributions | |
//! | `quantile-loss` | [`distribution::Score::Pinball`] | values | Pinball loss of a quantile of distributions | `level=0.5` |
//! | `interval-score` | [`distribution::Score::Interval`] | values | Score of the central interval of distributions | `level=0.9` |
//! | `coverage` | [`distribution::Score::Coverage`] | values | Share of values in the central interval of their distributions | `level=0.9` |
//!
//! [`distribution::Score::Nll`]: crate::distribution::Score::Nll
//! [`distribution::Score::Crps`]: crate::distribution::Score::Crps
//! [`distribution::Score::Pinball`]: crate::distribution::Score::Pinball
//! [`distribution::Score::Interval`]: crate::distribution::Score::Interval
//! [`distribution::Score::Coverage`]: crate::distribution::Score::Coverage
mod accuracy;
mod average;
mod average_precision;
mod balanced_accuracy;
mod brier;
mod brier_decomposition;
mod calibration_bins;
mod classwise_ece;
mod criterion;
mod distributions;
mod ece;
mod explained_variance;
mod f1;
mod inputs;
mod jaccard;
mod kappa;
mod label_thresholds;
mod mae;
mod mape;
mod margins;
mod matthews;
mod mce;
mod median_ae;
mod metric_list;
mod metric_set;
mod msle;
mod nll;
mod one_vs_rest;
mod ordinal_mae;
mod perplexity;
mod pinball;
mod precision;
mod r2;
mod recall;
#[cfg(test)]
mod reference;
mod registry;
mod reliability;
mod rmse;
mod roc_auc;
mod rps;
mod score;
mod stream;
mod top_k;

pub(crate) use crate::statistics::weighted_bootstrap;
pub use crate::statistics::{
    bootstrap_interval, bootstrap_statistic, cluster_bootstrap_interval, corrected_t_interval, t_interval,
    Interval, Summary,
};
pub use accuracy::accuracy;
pub use average::Average;
pub use average_precision::average_precision;
pub use balanced_accuracy::balanced_accuracy;
pub use brier::brier;
pub use brier_decomposition::{brier_decomposition, BrierDecomposition};
pub use classwise_ece::classwise_ece;
pub use criterion::{Criterion, Custom, RowLoss, Scored, Truth};
pub use ece::{ece, ece_equal_mass, ECE_BINS};
pub use explained_variance::explained_variance;
pub use f1::f1;
pub use jaccard::jaccard;
pub use kappa::{cohen_kappa, KappaWeights};
pub use label_thresholds::LabelThresholds;
pub use mae::mae;
pub use mape::mape;
pub use matthews::matthews_correlation;
pub use mce::mce;
pub use median_ae::median_absolute_error;
pub(crate) use metric_list::ClassParts;
pub use metric_list::MetricList;
pub use metric_set::Metrics;
pub(crate) use metric_set::{ClassMetrics, ValueMetrics};
pub use msle::msle;
pub use nll::{nll, NLL_EPSILON};
pub use ordinal_mae::ordinal_mae;
pub use perplexity::perplexity;
pub use pinball::pinball;
pub use precision::precision;
pub use r2::r2;
pub use recall::recall;
pub use registry::registry;
pub use reliability::{reliability_bins, ReliabilityBin};
pub use rmse::rmse;
pub use roc_auc::roc_auc;
pub use rps::rps;
pub use score::{Metric, Score};
pub use top_k::top_k_accuracy;
