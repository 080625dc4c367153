//! Fitting one network: the ready-made [`Trainer`], or a training loop of your own.
mod alone;
mod architectures;
mod averaging;
mod clip;
mod custom_loop;
pub(crate) mod keeper;
mod learner;
mod loss;
mod meter;
mod optimizer;
mod run;
pub(crate) mod signature;
mod stopping;
mod trainer;

pub(crate) use alone::train_alone;
pub use averaging::Averaging;
pub use clip::Clip;
pub use custom_loop::CustomLoop;
pub use learner::Learner;
pub use loss::Loss;
pub use optimizer::{
    Adam, Optimizer, OptimizerState, RmsProp, SavedOptimizer, SavedVariable, Sgd, Values, Velocity,
};
pub use run::Run;
pub(crate) use run::{in_batches, RunParts};
pub use stopping::EarlyStopping;
pub use trainer::{TrainConfig, Trainer};

pub use crate::{
    network::{Output, Scale},
    plan::{LrSchedule, Position, Schedule, Span, SwaRate, Unit},
};
