//! Ensembles of [candle](candle_core) networks: train several networks, combine them, and measure what that gains.
//!
//! A network that is trained twice gives two different predictions. Several networks, combined, vary less and are right
//! more often. This library makes an ensemble out of any candle model, without a change to the model. It reports the
//! gain and the cost on rows on which no network was fitted.
//!
//! # A first ensemble
//!
//! ```
//! use candle_core::{Device, Module, Tensor};
//! use candle_ensemble::prelude::*;
//! use candle_nn::{linear, Activation};
//!
//! one_core_per_member(); // first thing in main
//! // Your inputs and class ids.
//! let x = Tensor::arange(0f32, 200., &Device::Cpu)?.affine(0.01, -1.)?.reshape((100, 2))?;
//! let y = Tensor::from_iter((0..100u32).map(|i| i / 50), &Device::Cpu)?;
//! let data = TensorDataset::classification(&x, &y)?;
//!
//! // Your model: whatever `|vb: VarBuilder| Net::new(vb)` returns.
//! let trainer = Trainer::new(|vb| {
//!     Ok(seq().add(linear(2, 16, vb.pp("in"))?).add(Activation::Relu).add(linear(16, 2, vb.pp("out"))?))
//! });
//!
//! let pool = Session::new(&trainer, &data).fit(&Bagging::new(10), 42)?;
//! println!("out of bag: {:?}", pool.held_out()?.metrics(&Mean)?);
//!
//! let ensemble = pool.combine(&Mean)?;
//! assert_eq!(ensemble.predict_proba(&x)?.dims(), [100, 2]);
//! assert_eq!(ensemble.forward(&x)?.dims(), [100, 2]); // an ensemble is a candle module
//! # Ok::<(), candle_ensemble::Error>(())
//! ```
//!
//! # The parts
//!
//! ```text
//! Dataset → Strategy → Plan → Session (Executor, Store) → Pool → Combiner → Ensemble → evaluate
//!                                  Learner ↗    Member ↗    ↘ HeldOut ↗ ↘ merge → one network
//! ```
//!
//! - A [`data::Dataset`] gives rows by number. [`data::TensorDataset`] holds them in memory and checks them.
//! - A strategy, which is a [`strategy::EnsembleBuilder`], makes a [`plan::Plan`]: which run trains on which rows, from
//!   which seed, with which settings. A plan is pure data and is the same on every machine.
//! - A [`train::Learner`] fits one network: the ready-made [`train::Trainer`], or a training loop of your own
//!   ([`train::CustomLoop`]).
//! - A [`Session`] carries out the plan. Its [`exec::Executor`] decides where runs happen. It keeps each [`Member`] in a
//!   [`store::Store`]: in memory, or in a directory from which an interrupted build continues. A member is data: named
//!   tensors, and a record of the rows that it has seen.
//! - The [`Pool`] holds all members. It makes [`HeldOut`] predictions from their records, so a combiner that learns
//!   from it is never fitted on rows on which the members were fitted.
//!   [`PoolBuilder`] makes one of networks that are already there: checkpoints of safetensors and PyTorch
//!   ([`weights::StateDict`]), or members of other ensembles.
//! - [`prune`] selects the members that are worth their cost. [`merge`] makes one network out of several.
//! - A [`combine::Combiner`] is fitted on held-out predictions and becomes a [`combine::FittedCombiner`]. Members and
//!   fitted combiner are an [`Ensemble`], which can be saved to a file and loaded.
//! - [`evaluate`] runs whole studies ([`evaluate::Study`]), whose report prints as a table, draws as charts and makes an
//!   HTML page. [`metrics`] has the metrics, and [`statistics`] the intervals and tests.
//!
//! [`registry`] lists strategies, combiners, merge methods and metrics by name, for programs whose users choose them.
//!
//! # Reproducibility
//!
//! One seed gives the same weights to the bit, whatever the number of threads and the order of runs. Sub-seeds are
//! hashes of names ([`Seed`]), and initial weights are drawn by a backend of this library ([`weights::InitScheme`]). Two
//! things are not reproducible: candle's own dropout draws from a generator that cannot be seeded
//! ([`nn::Dropout`] can), and processors whose matrix kernels round differently give different bits.
//!
//! # Speed
//!
//! Call [`threads::one_core_per_member`] first in `main`, and use an allocator that keeps its pages, such as mimalloc.
//! Together they make training several times faster.
//!
//! # Features
//!
//! All of the first four are on by default.
//!
//! | Feature | What it adds |
//! |---|---|
//! | `charts` | charts as SVG and PNG files, and reports as HTML pages |
//! | `progress` | a progress bar |
//! | `learned` | what needs a solver: blending, stacking, dynamic selection, calibration, the Mahalanobis distance |
//! | `align` | alignment of networks before their weights are averaged |
//! | `object-store` | a store in object storage (S3, Google Cloud Storage, Azure): `store::ObjectStore`; off by default |
//! | `parquet` | data sets over Parquet files ([`data::RowFiles`]); off by default |
//! | `cuda`, `cudnn`, `metal`, `accelerate`, `mkl` | passed on to candle; the device is set by [`Session::device`] |
// Two files are exempt, and say why: `files/map.rs` and `threads/mod.rs`.
#![deny(unsafe_code)]
#![deny(missing_docs)]
#![warn(missing_debug_implementations, unreachable_pub, rust_2018_idioms)]
#![cfg_attr(docsrs, feature(doc_cfg))]

// Floor 1: nothing of networks.
mod check;
mod codec;
mod error;
pub mod files;
mod kernels;
pub mod registry;
mod seed;
pub mod threads;
// Floor 2: numbers.
#[cfg(feature = "charts")]
#[cfg_attr(docsrs, doc(cfg(feature = "charts")))]
pub mod chart;
pub mod data;
pub mod distribution;
pub mod metrics;
pub mod statistics;
pub mod weights;
// Floor 3: candle models.
pub mod network;
pub mod nn;
// Floor 4: which run does what.
pub mod plan;
pub mod resample;
pub mod sequence;
// Floor 5: what is kept, what is told.
pub mod observe;
pub mod store;
// Floor 6: one network.
pub mod train;
// Floor 7: many networks.
pub mod exec;
pub mod strategy;
// Floor 8: what members predict.
pub mod predictions;
// Floor 9: rules.
pub mod combine;
pub mod conformal;
pub mod prune;
pub mod uncertainty;
// Floor 10: the product.
mod ensemble;
mod pool;
mod session;
// Floor 11: one network out of several.
pub mod merge;
// Floor 12: what it was worth.
pub mod evaluate;
// Floor 13: what is wrong, and what to do about it.
pub mod diagnose;
pub mod remedy;
// Floor 14: the loop.
pub mod improve;
// Floor 15: how it is shown.
mod report;

pub mod prelude;

pub use data::Rows;
pub use ensemble::{Ensemble, OnDataset};
pub use error::{Error, Result};
pub use network::{AnyNetwork, Network};
#[cfg(feature = "progress")]
#[cfg_attr(docsrs, doc(cfg(feature = "progress")))]
pub use observe::ProgressBar;
pub use pool::{LoadReport, Pool, PoolBuilder, PretrainedMember};
pub use predictions::{HeldOut, HeldOutFile};
pub use seed::Seed;
pub use session::Session;
pub use store::{Checkpoints, Member};

/// The README's program is a test.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
