//! How sure an ensemble is of each row, and what that is good for.
//!
//! | What | Item | For |
//! |---|---|---|
//! | What the data leave open, and what the members disagree on | [`ClassUncertainty`] | classes |
//! | The same as variances | [`ValueUncertainty`] | values |
//! | A score from logits | [`energy`] | classes |
//! | How well a score tells other data from those of the training | [`Detection`] | any score |
//! | The error of the rows of which a predictor is surest | [`RiskCoverage`] | any score |
//!
//! Scores are larger for rows that are less certain.
mod classes;
mod detection;
mod energy;
mod risk_coverage;
mod values;

pub use classes::ClassUncertainty;
pub use detection::Detection;
pub use energy::energy;
pub use risk_coverage::{RiskCoverage, RiskCoveragePoint, SelectiveThreshold};
pub use values::ValueUncertainty;
