//! Training.
pub mod clip;
pub mod loss;
pub mod optimizer;
pub mod schedule;

mod params;
mod real;

pub use clip::Clip;
pub use loss::Loss;
pub use optimizer::{Adam, Optimizer, OptimizerState, RmsProp, SavedOptimizer, Sgd, Velocity};
pub use schedule::{LrSchedule, Progress, Schedule, Span, Unit};
