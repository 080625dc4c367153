//! Ensembles of [candle](candle_core) networks: build them, combine them, see what that bought.
//!
//! A network trained twice gives two answers. Several of them, combined, vary less and are right more often. This
//! library turns a candle model, as it is, into an ensemble, and shows on rows that no network was fitted on what
//! was gained, and at what cost.
//!
//! # A first ensemble
//!
//! ```
//! use candle_core::{Device, Module, Tensor};
//! use candle_ensemble::{build::Bagging, combine::Mean, data::TensorDataset, train::Trainer, Session};
//! use candle_nn::{linear, seq, Activation, VarBuilder};
//!
//! // Your data, and your model: whatever `|vb: VarBuilder| Net::new(vb)` gives.
//! let x = Tensor::arange(0f32, 200., &Device::Cpu)?.affine(0.01, -1.)?.reshape((100, 2))?;
//! let y = Tensor::from_iter((0..100u32).map(|i| i / 50), &Device::Cpu)?;
//! let net = |vb: VarBuilder<'_>| {
//!     Ok(seq().add(linear(2, 16, vb.pp("in"))?).add(Activation::Relu).add(linear(16, 2, vb.pp("out"))?))
//! };
//!
//! candle_ensemble::threads::one_core_per_member(); // first thing in main
//! let data = TensorDataset::classification(x.clone(), &y)?;
//! let trainer = Trainer::new(net).epochs(20);
//! let pool = Session::new(&trainer, &data).fit(&Bagging::new(10), 42)?;
//! println!("out of bag: {:?}", pool.held_out()?.metrics(&Mean)?);
//! let ensemble = pool.combine(&Mean)?;
//! assert_eq!(ensemble.predict_proba(&x)?.dims(), [100, 2]);
//! assert_eq!(ensemble.forward(&x)?.dims(), [100, 2]); // itself a candle module
//! # Ok::<(), candle_ensemble::Error>(())
//! ```
//!
//! # What passes through
//!
//! ```text
//! Dataset → EnsembleBuilder → Plan → Session (Executor, Store) → Pool → Combiner → Ensemble → evaluate
//!                                        Learner ↗      Member ↗            FittedCombiner ↗
//! ```
//!
//! - A [`data::Dataset`] gives rows by number; [`data::TensorDataset`] holds them in memory and checks them.
//! - A [`build::EnsembleBuilder`] lays out a [`build::Plan`]: which run trains on which rows, from which seed, with
//!   which settings. A plan is pure data, the same on every machine.
//! - A [`train::Learner`] fits one network: the ready-made [`train::Trainer`], or a loop of your own
//!   ([`train::CustomLoop`]).
//! - A [`Session`] carries the plan out, where its [`exec::Executor`] says, and keeps each [`Member`] in a
//!   [`store::Store`]: in memory, or in a directory, from which an interrupted build goes on. A member is data:
//!   named tensors and a record of what it has seen.
//! - The [`Pool`] holds all members. It makes [`HeldOut`] predictions from their records, so a rule that learns from
//!   it cannot be fitted on rows its members were fitted on.
//! - [`prune`] picks the members worth keeping; [`merge`] makes one network of several.
//! - A [`combine::Combiner`] is a rule; fitted, it is a [`combine::FittedCombiner`]. Members and head are an [`Ensemble`],
//!   which can be saved to a file and loaded ([`Ensemble::save`]).
//! - [`evaluate`] measures: metrics, intervals, size curves, and whole studies ([`evaluate::Study`]) whose report
//!   prints as a table and draws as a chart ([`report`]).
//!
//! # The same bytes
//!
//! One seed gives the same weights to the bit, whatever the number of threads and the order of runs: sub-seeds are
//! hashes of names ([`Seed`]), initial weights are drawn by a backend of ours ([`init`]), and nobody shares a
//! generator. Dropout has a layer here whose masks follow from the seed ([`layers::Dropout`]); candle's own draws from
//! a generator that cannot be seeded. And two processors whose matrix kernels round differently differ.
//!
//! # Speed
//!
//! Call [`threads::one_core_per_member`] first in `main`, and use an allocator that keeps its pages, such as
//! mimalloc: together they make training several times faster. Training steps update weights in place.
//!
//! # Features
//!
//! `charts` (SVG and PNG) and `progress` (a progress bar) are on by default; `cuda`, `cudnn`, `metal`, `accelerate`
//! and `mkl` are handed through to candle. The device is an argument: [`Session::device`].
// One file is exempt, and says why: `store/map.rs`.
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
pub mod metrics;
pub mod weights;
// Floor 3: candle models.
mod network;
pub mod nn;
// Floor 4: which run does what.
pub mod plan;
pub mod resample;
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
pub mod prune;
// Floor 10: the product.
mod ensemble;
mod pool;
mod session;
// Floor 11: one network out of several.
pub mod merge;
// Floor 12: what it was worth.
pub mod evaluate;
// Floor 13: how it is shown.
mod report;

pub use data::Rows;
pub use ensemble::Ensemble;
pub use error::{Error, Result};
pub use network::{AnyNetwork, Network};
#[cfg(feature = "progress")]
#[cfg_attr(docsrs, doc(cfg(feature = "progress")))]
pub use observe::ProgressBar;
pub use pool::Pool;
pub use predictions::HeldOut;
pub use seed::Seed;
pub use session::Session;
pub use store::{Checkpoints, Member};

/// The README's program is a test.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
