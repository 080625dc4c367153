//! What is wrong with a network: learning, generalization or predictions.
mod curves;
mod finding;
mod problem;

pub use curves::{Curve, CurveMetric, Curves};
pub use finding::{Evidence, Finding, Mark};
pub use problem::{Label, Problem};
