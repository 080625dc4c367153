//! What is wrong with a network: learning, generalization or predictions.
mod attempts;
mod classify;
mod curves;
#[allow(clippy::module_inception)]
mod diagnose;
mod diagnosis;
mod ensemble_gain;
mod examination;
mod extrapolation;
mod finding;
mod findings;
mod measure;
mod observations;
mod problem;
mod ranking;
mod rule;
mod series;
mod spread;
mod words;

pub(crate) use attempts::{members, not_finite, Attempt, Attempts};
pub use classify::Features;
pub use curves::{Curve, CurveMetric, Curves, ReadCurves};
pub use diagnose::Diagnose;
pub use diagnosis::{Diagnosis, LabelProbability};
pub use examination::{Examination, Examined};
pub use finding::{Evidence, Finding, Mark};
pub(crate) use measure::OnFailure;
pub use measure::{
    ColumnScale, ColumnScore, FirstLoss, LeakCheck, Measurements, OneBatchReport, OneBatchTest,
    OneBatchTraining, ScaleCheck, TwoSampleReport, TwoSampleTest,
};
pub use observations::Observations;
pub use problem::{Label, Problem};
pub use rule::Rule;
