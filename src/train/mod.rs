//! Training one network.
//!
//! A [`Learner`] builds networks and trains one at a time. [`Trainer`] is the ready-made learner: its
//! optimizer, loss, learning-rate schedule, gradient clipping, early stopping and weight averaging are
//! settings, kept as data in a [`TrainConfig`]. [`CustomLoop`] makes a learner of a training loop that
//! already exists. In both cases the loop works on a [`Run`], which provides the rows, the variables and the
//! seeds of one run of the plan.
mod averaging;
mod clip;
mod constraint;
mod custom_loop;
mod epoch_meter;
mod fit;
mod learner;
mod loss;
mod monitor;
mod networks;
mod noise;
mod one_run;
mod optimizer;
mod regularizer;
mod retrain;
mod run;
mod run_checkpoints;
pub(crate) mod signature;
mod stopping;
mod trainer;

pub use averaging::Averaging;
pub use clip::Clip;
pub use constraint::{Constraint, Constraints, MaxNorm, MinMaxNorm, NonNegative, UnitNorm};
pub use custom_loop::CustomLoop;
pub use learner::Learner;
pub use loss::Loss;
pub use monitor::Monitor;
pub use noise::{GradientNoise, InputNoise, Noise, Noises, NoisyWeights, TargetNoise, WeightNoise};
#[cfg(feature = "learned")]
pub(crate) use one_run::train_alone;
pub(crate) use one_run::train_run;
pub use optimizer::{
    Adam, Optimizer, OptimizerState, RmsProp, SavedOptimizer, SavedVariable, Sgd, Values, Velocity,
};
pub use regularizer::{L1L2, Orthogonal, Regularizer, Regularizers, L1, L2};
pub use retrain::Retrain;
pub use run::Run;
pub(crate) use run::{in_batches, RunParts};
pub(crate) use run_checkpoints::RunCheckpoints;
pub use stopping::EarlyStopping;
pub use trainer::{TrainConfig, Trainer};

pub use crate::{
    network::{Output, Scale},
    plan::{LrSchedule, Position, Schedule, Span, SwaRate, Unit},
};
