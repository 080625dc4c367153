//! Training one network.
//!
//! A [`Learner`] builds networks and trains one at a time. [`Trainer`] is the ready-made learner: its
//! optimizer, loss, learning-rate schedule, gradient clipping, early stopping and weight averaging are
//! settings, kept as data in a [`TrainConfig`]. [`CustomLoop`] makes a learner of a training loop that
//! already exists. In both cases the loop works on a [`Run`], which provides the rows, the variables and the
//! seeds of one run of the plan. [`Pretrained`] builds networks whose weights are there already, and trains none.
mod accumulate;
mod adversarial;
mod augment;
mod averaging;
mod class_weights;
mod clip;
mod configured;
mod constraint;
mod convertible;
mod custom_loop;
mod distillation;
mod epoch_meter;
mod fit;
mod fit_transform;
mod greedy;
mod groups;
mod joint;
mod learner;
mod list;
mod loss;
mod loss_scale;
mod monitor;
mod networks;
mod noise;
mod one_run;
mod optimizer;
mod plateau;
mod pretrained;
mod range_test;
mod regularizer;
mod retrain;
mod run;
mod run_checkpoints;
mod shared_build;
pub(crate) mod signature;
mod stopping;
mod trainer;
mod transfer;

pub(crate) use adversarial::Moves;
pub use adversarial::{Adversarial, FastGradientSign, ProjectedGradient};
pub use augment::{
    BatchTransform, BatchTransforms, CutMix, Cutout, FlipAxis, MixedBatch, Mixup, RandomCrop, RandomFlip,
    RandomRotate90, TargetShare,
};
pub use averaging::Averaging;
pub use class_weights::ClassWeights;
pub use clip::Clip;
pub(crate) use configured::Configured;
pub use constraint::{Constraint, Constraints, MaxNorm, MinMaxNorm, NonNegative, UnitNorm};
pub(crate) use convertible::{check_run, EFFICIENT_ENSEMBLE};
pub use custom_loop::CustomLoop;
pub use distillation::Distillation;
pub(crate) use fit::check_output_at;
pub use fit_transform::{FitTransform, TrainingRows};
pub use greedy::{Corruption, GreedyNetwork, GreedyPretraining, Pretraining};
pub use groups::{GroupRate, LayerDecay, ParameterGroup, ParameterGroups};
pub use joint::JointLoss;
pub use learner::{Finished, Learner};
pub use loss::Loss;
pub use loss_scale::{LossScale, LossScaling};
pub use monitor::Monitor;
pub use noise::{
    GradientNoise, InputNoise, Noise, NoiseStep, Noises, NoisyWeights, TargetNoise, WeightNoise,
};
#[cfg(any(test, feature = "learned"))]
pub(crate) use one_run::train_alone;
pub(crate) use one_run::{train_observed, train_run, train_stacked};
pub use optimizer::{
    Adadelta, Adagrad, Adam, Adamax, Lamb, Lion, NAdam, Optimizer, OptimizerState, RAdam, RmsProp,
    SavedOptimizer, SavedVariable, Sgd, Values, Velocity,
};
pub use plateau::{PlateauMonitor, PlateauWatch, ReduceOnPlateau};
pub use pretrained::Pretrained;
pub use range_test::{RangeEnd, RangeTest, RangeTestReport};
pub use regularizer::{Orthogonal, Regularizer, Regularizers, L1, L1L2, L2};
pub use retrain::Retrain;
pub use run::Run;
pub(crate) use run::{in_batches, Collected, RunParts, StoreMember};
pub(crate) use run_checkpoints::RunCheckpoints;
pub use shared_build::SharedBuild;
pub use stopping::{EarlyStopping, StoppingCriterion, StoppingMonitor, StoppingStatus};
pub use trainer::{TrainConfig, Trainer};
pub use transfer::{features, Freeze, Unfreeze, WarmStart};

pub use crate::{
    network::{Output, Scale},
    plan::{BatchSize, CyclicMode, LrSchedule, Position, Schedule, Span, SwaRate, Unit},
};
