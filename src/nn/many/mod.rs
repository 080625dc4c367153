//! Networks that hold many members, made of the constructor of a plain network or of layers of members.
//!
//! The members of such a network share most of their weights, so that many of them need little more memory than one. Each
//! method is a struct with its parameters; `convert` calls the constructor of a plain network built with
//! [`seq`](crate::nn::seq()) and returns the network of the method, an [`EnsembleNetwork`]:
//!
//! ```
//! use candle_ensemble::{nn::{linear, many::TabM, seq, Activation}, train::Trainer};
//! use candle_nn::VarBuilder;
//!
//! let mlp = |vb: VarBuilder| {
//!     Ok(seq().add(linear(8, 64, vb.pp(0))?).add(Activation::Relu).add(linear(64, 1, vb.pp(1))?))
//! };
//! let trainer = Trainer::new(move |vb| TabM::new(32).convert(vb, mlp));
//! ```
//!
//! [`Trainer::convertible`](crate::train::Trainer::convertible) leaves the method to the strategy, so that a study or a command line
//! can name it: `efficient:tab-m:32` ([`strategy::Efficient`](crate::strategy::Efficient)).
//!
//! Linear layers and convolutions of this crate and of candle are converted. Layers without variables, functions, dropout
//! and nested [`seq`](crate::nn::seq()) stay as they are; normalization layers and embeddings are shared unless the method
//! says otherwise. A layer of another type that has variables is an error.
//!
//! # Variables
//! What the members share has the names of the plain network, so its weights can be loaded. A variable with an entry for
//! each member has `members` as a part of its name, such as `0.members.r`, and dimension 0 is `M`. Where the `VarBuilder`
//! holds fewer entries than the constructor has members, the network has that many members: it is pruned by selecting rows of
//! exactly these variables.
//!
//! Masks and seeds of members are integers among these variables: they are not trained, and a network that is loaded has those
//! that it was trained with. [`Mimo`] has no such variables, because its hidden layers are those of all members at once; its
//! number of members is fixed.
//!
//! # Layers
//! A model that is not built with [`seq`](crate::nn::seq()), such as a struct with skip connections, is made of the layers
//! themselves. Each is a candle module with the names of variables of the methods, takes the rows of one member after those of
//! the other, `(M·B, …)`, and gives such rows. With `shared_inputs` it takes rows that all members share, `(B, …)`.
//! [`EnsembleNetwork::new`] makes the network of the model, which the trainer, pools, pruning and files treat as any other. A
//! model of several inputs implements [`members`](crate::Network::members) and [`run_members`](crate::Network::run_members)
//! itself.
//!
//! | Layer | What it does | Methods that are made of it |
//! |---|---|---|
//! | [`EnsembleView`] | The rows of a batch, once for each member | |
//! | [`BatchEnsembleLayer`] | A shared linear layer or convolution with scales of each member | BatchEnsemble, TabM |
//! | [`ScaleEnsemble`] | The inputs, scaled by each member | TabM-mini |
//! | [`SeparateLayer`] | A linear layer or convolution for each member | Heads, Independent, the last layer of TabM |
//! | [`SeparateNorm`] | A normalization layer for each member | Independent, Packed |
//! | [`PackedLayer`] | A narrow linear layer or convolution for each member, in groups | Packed |
//! | [`MasksemblesLayer`] | The features of each member, times a fixed mask | Masksembles |
//! | [`McDropoutLayer`] | Dropout that stays on in evaluation, with a mask for each member | McDropout |
//! | [`MimoInputs`], [`MimoOutputs`] | The inputs and the outputs of all members side by side | Mimo |
//!
//! ```
//! use candle_core::{ModuleT, Result, Tensor};
//! use candle_ensemble::{
//!     nn::many::{BatchEnsembleLayer, EnsembleNetwork, ScaleInit, SeparateLayer},
//!     train::Trainer,
//! };
//! use candle_nn::VarBuilder;
//!
//! /// TabM with a skip connection.
//! struct Model {
//!     first: BatchEnsembleLayer,
//!     second: BatchEnsembleLayer,
//!     head: SeparateLayer,
//! }
//!
//! impl ModuleT for Model {
//!     fn forward_t(&self, x: &Tensor, train: bool) -> Result<Tensor> {
//!         let h = self.first.forward_t(x, train)?.relu()?;
//!         let h = (&h + self.second.forward_t(&h, train)?.relu()?)?;
//!         self.head.forward_t(&h, train)
//!     }
//! }
//!
//! let (ones, signs) = (ScaleInit::Ones, ScaleInit::default());
//! let trainer = Trainer::new(move |vb: VarBuilder| {
//!     let model = Model {
//!         first: BatchEnsembleLayer::linear(8, 64, 32, [signs, ones], vb.pp("first"))?.shared_inputs(),
//!         second: BatchEnsembleLayer::linear(64, 64, 32, [ones, ones], vb.pp("second"))?,
//!         head: SeparateLayer::linear(64, 3, 32, vb.pp("head"))?,
//!     };
//!     let members = model.head.members();
//!     EnsembleNetwork::new(model, members)
//! });
//! ```
//!
//! # Methods
//! [`EfficientEnsemble`] is any of them, and its [`registry`](EfficientEnsemble::registry) makes them from text.
//!
//! | Name | Item | What it does | Arguments |
//! |---|---|---|---|
//! | `batch-ensemble` | [`BatchEnsemble`] | Shared weights, with inputs and outputs scaled by each member | `members=4`, `init=random-signs` |
//! | `tab-m`, `tabm` | [`TabM`] | BatchEnsemble for tables, with separate last layers | `k=32`, `init=random-signs` |
//! | `tab-m-mini`, `tabm-mini` | [`TabMMini`] | Shared layers, with inputs scaled by each member and separate last layers | `k=32`, `init=random-signs` |
//! | `heads` | [`Heads`] | One network with a last layer for each member | `members=4` |
//! | `independent` | [`Independent`] | Complete networks in one, which share no weights | `members=4` |
//! | `packed` | [`Packed`] | Narrow networks side by side, in groups | `members=4`, `alpha=2`, `gamma=1` |
//! | `mimo` | [`Mimo`] | One network with an input and an output for each member | `members=4`, `batch-repetition=1`, `input-repetition=0` |
//! | `masksembles` | [`Masksembles`] | One network in which fixed masks choose the features of each member | `members=4`, `scale=2` |
//! | `mc-dropout` | [`McDropout`] | One network whose dropout stays on, with a mask for each member | `passes=32`, `[p=…]` |
//! | `epinet` | [`Epinet`] | One network with a small one that takes a random index | `members=16`, `index=8`, `hidden=50`, `layers=2`, `prior-scale=1`, `inputs=true` |
mod convert;
mod dense;
mod embedding;
mod ensemble_view;
mod epistemic;
mod grouped;
mod masks;
mod member_masks;
mod network;
mod norm;
mod outline;
mod recorded;
mod rows;
mod scale;
mod separate;
mod single;
#[cfg(test)]
mod tests;
mod variables;

pub use batch_ensemble::BatchEnsembleLayer;
pub use dense::Along;
pub use ensemble_view::EnsembleView;
pub use masksembles::MasksemblesLayer;
pub use mc_dropout::McDropoutLayer;
pub use mimo::{MimoInputs, MimoOutputs};
pub use network::EnsembleNetwork;
pub use norm::SeparateNorm;
pub use packed::{PackedLayer, PackedPlace};
pub use separate::SeparateLayer;
pub use tab_m_mini::ScaleEnsemble;
pub use variables::ScaleInit;

use crate::{
    network::Members,
    nn::Sequential,
    registry::{Argument, Entry, Registry},
    Error,
};
use candle_core::Result;
use candle_nn::VarBuilder;
use convert::{convert, Method};
use serde::{Deserialize, Serialize};
use std::{fmt, sync::LazyLock};

macro_rules! methods {
    ($($(#[$doc:meta])* $file:ident::$kind:ident,)+) => {
        $(
            mod $file;
            pub use $file::$kind;
        )+

        /// A method by which one network holds many members, as data.
        ///
        /// ```
        /// use candle_ensemble::nn::many::{EfficientEnsemble, TabM};
        ///
        /// let method = EfficientEnsemble::registry().parse("tab-m:16")?;
        /// assert_eq!(method, TabM::new(16).into());
        /// assert_eq!(method.to_string(), "tab-m:16");
        /// assert_eq!(method.members().count, 16);
        /// # Ok::<(), candle_ensemble::Error>(())
        /// ```
        #[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
        #[non_exhaustive]
        pub enum EfficientEnsemble {
            $(
                $(#[$doc])*
                $kind($kind),
            )+
        }

        $(
            impl From<$kind> for EfficientEnsemble {
                fn from(method: $kind) -> Self {
                    Self::$kind(method)
                }
            }

            impl $kind {
                /// The network of this method, from the constructor of a plain network. The constructor is called twice:
                /// once to see its layers, and once with the variables that stay.
                ///
                /// # Errors
                /// When a parameter is out of range, a layer cannot be converted, the constructor fails, or the
                /// `VarBuilder` has other variables of the same names.
                pub fn convert<'v>(
                    &self,
                    vb: VarBuilder<'v>,
                    plain: impl Fn(VarBuilder<'v>) -> Result<Sequential>,
                ) -> Result<EnsembleNetwork> {
                    convert(self, &vb, plain)
                }
            }
        )+

        /// Evaluates an expression with the parameters of the method, whichever it is.
        macro_rules! each {
            ($of:expr, $method:ident => $expression:expr) => {
                match $of {
                    $(EfficientEnsemble::$kind($method) => $expression,)+
                }
            };
        }

        const ENTRIES: &[Entry<EfficientEnsemble>] = &[$($kind::ENTRY,)+];
    };
}

methods! {
    /// Shared weights, with inputs and outputs scaled by each member. See [`BatchEnsemble`].
    batch_ensemble::BatchEnsemble,
    /// BatchEnsemble for tables. See [`TabM`].
    tab_m::TabM,
    /// The first scale of TabM alone. See [`TabMMini`].
    tab_m_mini::TabMMini,
    /// One network with a last layer for each member. See [`Heads`].
    heads::Heads,
    /// Complete networks in one. See [`Independent`].
    independent::Independent,
    /// Narrow networks side by side, in groups. See [`Packed`].
    packed::Packed,
    /// One network with an input and an output for each member. See [`Mimo`].
    mimo::Mimo,
    /// One network in which fixed masks choose the features of each member. See [`Masksembles`].
    masksembles::Masksembles,
    /// One network whose dropout stays on, with a mask for each member. See [`McDropout`].
    mc_dropout::McDropout,
    /// One network with a small one that takes a random index. See [`Epinet`].
    epinet::Epinet,
}

impl EfficientEnsemble {
    /// The network of this method, from the constructor of a plain network, as by the `convert` of each method.
    ///
    /// # Errors
    /// As for the method.
    pub fn convert<'v>(
        &self,
        vb: VarBuilder<'v>,
        plain: impl Fn(VarBuilder<'v>) -> Result<Sequential>,
    ) -> Result<EnsembleNetwork> {
        each!(self, method => method.convert(vb, plain))
    }

    /// The members, and what they train on.
    #[must_use]
    pub fn members(&self) -> Members {
        each!(self, method => Method::members(method))
    }

    /// Checks that every parameter is in its range.
    ///
    /// # Errors
    /// [`Error::Invalid`] that names the parameter.
    pub fn check(&self) -> crate::Result<()> {
        each!(self, method => Method::check(method))
    }

    /// The methods by name.
    ///
    /// ```
    /// use candle_ensemble::nn::many::EfficientEnsemble;
    ///
    /// let e = EfficientEnsemble::registry().parse("batch-ensemble:0").unwrap_err();
    /// assert!(e.to_string().contains("the members of BatchEnsemble must be at least 1"));
    /// ```
    #[must_use]
    pub fn registry() -> &'static Registry<Self> {
        static REGISTRY: LazyLock<Registry<EfficientEnsemble>> =
            LazyLock::new(|| Registry::new("efficient ensemble", ENTRIES.to_vec()));
        &REGISTRY
    }
}

/// As in text: `tab-m:32`.
impl fmt::Display for EfficientEnsemble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        each!(self, method => write!(f, "{method}"))
    }
}

/// The argument for the number of members.
const MEMBERS: Argument = Argument::new("members", "4", "The number of members");

/// Checks the number of members of a method.
fn check_members(method: &str, members: usize) -> crate::Result<()> {
    match members {
        0 => Err(Error::invalid(format!("the members of {method}"), "at least 1", members)),
        _ => Ok(()),
    }
}
