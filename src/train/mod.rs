//! Fitting one network: the ready-made [`Trainer`], or a training loop of your own.
mod architectures;
mod averaging;
mod clip;
mod custom_loop;
mod learner;
mod loss;
mod meter;
mod optimizer;
mod output;
mod params;
mod real;
mod run;
mod schedule;
mod stopping;
mod trainer;

pub use averaging::Averaging;
pub use clip::Clip;
pub use custom_loop::CustomLoop;
pub use learner::Learner;
pub use loss::Loss;
pub use optimizer::{
    Adam, Optimizer, OptimizerState, RmsProp, SavedOptimizer, SavedVariable, Sgd, Values, Velocity,
};
pub(crate) use output::ln;
pub use output::{Output, Scale};
pub(crate) use params::below_one;
pub(crate) use real::{exp_of_negative, vectorized};
pub use run::Run;
pub(crate) use run::{in_batches, RunParts};
pub use schedule::{LrSchedule, Position, Schedule, Span, SwaRate, Unit};
pub use stopping::EarlyStopping;
pub use trainer::{TrainConfig, Trainer};
