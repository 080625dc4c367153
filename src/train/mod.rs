//! Training one network.
//!
//! A [`Learner`] builds networks and trains one at a time. [`Trainer`] is the ready-made learner: its
//! optimizer, loss, learning-rate schedule, gradient clipping, early stopping and weight averaging are
//! settings, kept as data in a [`TrainConfig`]. [`CustomLoop`] makes a learner of a training loop that
//! already exists. In both cases the loop works on a [`Run`], which provides the rows, the variables and the
//! seeds of one run of the plan.
mod averaging;
mod clip;
mod custom_loop;
mod epoch_meter;
mod fit;
mod learner;
mod loss;
mod monitor;
mod networks;
mod one_run;
mod optimizer;
mod plateau;
mod range_test;
mod retrain;
mod run;
mod run_checkpoints;
pub(crate) mod signature;
mod stopping;
mod trainer;

pub use averaging::Averaging;
pub use clip::Clip;
pub use custom_loop::CustomLoop;
pub use learner::Learner;
pub use loss::Loss;
pub use monitor::Monitor;
pub(crate) use one_run::{train_alone, train_run};
pub use optimizer::{
    Adam, Optimizer, OptimizerState, RmsProp, SavedOptimizer, SavedVariable, Sgd, Values, Velocity,
};
pub use plateau::{PlateauMonitor, PlateauWatch, ReduceOnPlateau};
pub use range_test::{RangeEnd, RangeTest, RangeTestReport};
pub use retrain::Retrain;
pub use run::Run;
pub(crate) use run::{in_batches, RunParts};
pub(crate) use run_checkpoints::RunCheckpoints;
pub use stopping::EarlyStopping;
pub use trainer::{TrainConfig, Trainer};

pub use crate::{
    network::{Output, Scale},
    plan::{BatchSize, CyclicMode, LrSchedule, Position, Schedule, Span, SwaRate, Unit},
};
