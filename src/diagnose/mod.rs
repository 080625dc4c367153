//! What is wrong with a network: learning, generalization or predictions.
mod curves;
#[allow(clippy::module_inception)]
mod diagnose;
mod diagnosis;
mod finding;
mod findings;
mod observations;
mod problem;
mod rule;

pub use curves::{Curve, CurveMetric, Curves, ReadCurves};
pub use diagnose::Diagnose;
pub use diagnosis::{Diagnosis, LabelProbability};
pub use finding::{Evidence, Finding, Mark};
pub use observations::Observations;
pub use problem::{Label, Problem};
pub use rule::Rule;
