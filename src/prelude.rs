//! What most programs need, to be imported at once: `use candle_ensemble::prelude::*;`.
//!
//! It has the data set, the trainer, the session, the strategies, the common combiners, the merging of weights and the
//! traits that their methods come from. It has neither `Result` nor `Error`, whose names would hide those of `std`.
//!
//! ```
//! use candle_core::{Device, Tensor};
//! use candle_ensemble::prelude::*;
//!
//! let x = Tensor::arange(0f32, 20., &Device::Cpu)?.reshape((10, 2))?;
//! let data = TensorDataset::regression(&x, &x.sum(1)?)?;
//! let trainer = Trainer::new(|vb| candle_nn::linear(2, 1, vb)).epochs(2);
//! let ensemble = Session::new(&trainer, &data).fit(&MultiRun::new(3), 42)?.combine(&Median)?;
//! assert_eq!(ensemble.predict(&x)?.dims(), [10, 1]);
//! # Ok::<(), candle_ensemble::Error>(())
//! ```
#[cfg(feature = "charts")]
#[cfg_attr(docsrs, doc(cfg(feature = "charts")))]
pub use crate::chart::Chart;
pub use crate::{
    combine::{
        Combiner, EnsembleSelection, FittedCombiner, GeometricMean, HardVote, LogOddsMean, Mean, Median,
        Weighted, WeightedVote,
    },
    data::{Dataset, Split, Task, TensorDataset},
    merge::{best_of, BestOf, MaxBarrier, MergeSpec, RunWeights},
    metrics::Metrics,
    nn::seq,
    plan::{FastGeometric, Horizontal, Plan, Settings, Snapshot},
    store::DirectoryStore,
    strategy::{
        AdaBoost, Bagging, EnsembleBuilder, ForwardChaining, GradientBoosting, KFold, MultiRun,
        RandomPatches, RandomSplit, RandomSubspace,
    },
    threads::one_core_per_member,
    train::{CustomLoop, EarlyStopping, Learner, Loss, LrSchedule, Optimizer, Trainer},
    AnyNetwork, Ensemble, HeldOut, Member, Network, Pool, Seed, Session,
};
