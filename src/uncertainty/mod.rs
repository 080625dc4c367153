//! How sure an ensemble is of each row, and what that is good for.
//!
//! | What | Item | For |
//! |---|---|---|
//! | What the data leave open, and what the members disagree on | [`ClassUncertainty`] | classes |
//! | The same as variances | [`ValueUncertainty`] | values |
//! | A score from logits | [`energy`], [`Ensemble::energy`](crate::Ensemble::energy) | classes |
//! | A score from features of a layer | [`Mahalanobis`] | classes |
//! | How well a score tells other data from those of the training | [`Detection`] | any score |
//! | The error of the rows of which a predictor is surest | [`RiskCoverage`] | any score |
//! | Standard deviations that are as large as the errors | [`VarianceScaling`] | values with predicted deviations |
//! | Distributions whose quantiles have their levels | [`CdfCalibration`] | values with predicted distributions |
//!
//! [`Ensemble::class_uncertainty`](crate::Ensemble::class_uncertainty) and
//! [`Ensemble::value_uncertainty`](crate::Ensemble::value_uncertainty) compute the first two for new inputs. Intervals and sets
//! of classes with a stated coverage are in [`conformal`](crate::conformal).
//!
//! Scores are larger for rows that are less certain.
mod cdf_calibration;
mod classes;
mod detection;
mod energy;
mod inputs;
#[cfg(feature = "learned")]
mod mahalanobis;
mod risk_coverage;
mod values;
mod variance_scaling;

pub use cdf_calibration::CdfCalibration;
pub use classes::ClassUncertainty;
pub use detection::Detection;
pub use energy::energy;
pub(crate) use energy::energy_from;
#[cfg(feature = "learned")]
#[cfg_attr(docsrs, doc(cfg(feature = "learned")))]
pub use mahalanobis::Mahalanobis;
pub use risk_coverage::{RiskCoverage, RiskCoveragePoint, SelectiveThreshold};
pub use values::ValueUncertainty;
pub use variance_scaling::VarianceScaling;
