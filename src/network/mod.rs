//! Networks: any candle model, without changes.
//!
//! [`Network`] is implemented for every candle module. [`AnyNetwork`] erases the type of a network, for
//! ensembles of several architectures that threads can share. [`Output`] describes what networks output for classes and for
//! distributions of values, and [`Scale`]
//! the scale on which a combiner works.
mod aggregation;
mod distribution;
pub(crate) mod dtype;
mod members;
mod ordinal;
pub(crate) mod output;
pub(crate) mod positions;

pub use aggregation::Aggregation;
pub(crate) use aggregation::{by_member, mean as mean_of_members};
pub use members::{MemberBatches, Members};
pub use output::{Output, Scale};

use crate::data::Inputs;
use candle_core::{ModuleT, Result, Tensor};

/// A network: a function from inputs to outputs, with rows along dimension 0.
///
/// Every candle [`Module`](candle_core::Module) and [`ModuleT`] implements it, and so does every closure from
/// a tensor to a tensor. Implement it for a model that has several inputs. A network need not be `Send`:
/// weights move between threads, networks do not, and each thread builds its own. An ensemble of networks that are `Send` and `Sync` can be
/// shared between threads.
///
/// ```
/// use candle_core::{Result, Tensor};
/// use candle_ensemble::{data::Inputs, Network};
///
/// /// Adds its two inputs.
/// struct Sum;
/// impl Network for Sum {
///     fn run(&self, inputs: &Inputs, _train: bool) -> Result<Tensor> {
///         let [a, b] = inputs.tensors() else { candle_core::bail!("expected two inputs") };
///         a + b
///     }
/// }
/// ```
pub trait Network {
    /// The forward pass, in training mode or in evaluation mode. The mode matters for layers such as dropout
    /// and batch normalization.
    ///
    /// In evaluation mode the output depends on the inputs and the weights only: long predictions are shared by several
    /// threads, each of which builds the network once more and runs some of the passes. For a network that remembers
    /// what it has seen, set [`Ensemble::threads`](crate::Ensemble::threads) to 1.
    ///
    /// Returns logits `(B, C)`, one logit `(B,)` or `(B, 1)` for two classes, `C − 1` for classes with an order, or values `(B,)` or `(B, K)`. Where a row
    /// has several [`Positions`](crate::data::Positions), logits `(B, C, …)` or `(B, …, C)`, or one logit for each label,
    /// `(B, L)`.
    ///
    /// In evaluation mode a network of several [members](Self::members) returns the mean of their outputs.
    fn run(&self, inputs: &Inputs, train: bool) -> Result<Tensor>;

    /// The members that this network holds. The default is that it is one member.
    fn members(&self) -> Members {
        Members::default()
    }

    /// The outputs of the `M` members in evaluation mode, `(M·B, …)`: the rows of one member after those of the other. The
    /// default is the output of the network, which is one member.
    ///
    /// # Errors
    /// As [`run`](Self::run).
    fn run_members(&self, inputs: &Inputs) -> Result<Tensor> {
        self.run(inputs, false)
    }
}

impl<M: ModuleT> Network for M {
    fn run(&self, inputs: &Inputs, train: bool) -> Result<Tensor> {
        self.forward_t(inputs.only()?, train)
    }
}

/// A network of any type, for ensembles that mix architectures. It is `Send` and `Sync`, so such an ensemble
/// can be put into an `Arc` and predict on several threads at once.
///
/// candle's own `Sequential` is not `Send`; [`nn::seq`](crate::nn::seq) is. Networks that cannot be shared
/// between threads are mixed as `Box<dyn Network>`, which is a [`Network`] too.
///
/// ```
/// use candle_ensemble::{nn::seq, train::Trainer, AnyNetwork, Network};
/// use candle_nn::{linear, Activation, VarBuilder};
///
/// let small = |vb: VarBuilder| Ok(AnyNetwork::new(linear(4, 3, vb)?));
/// let large = |vb: VarBuilder| {
///     Ok(AnyNetwork::new(seq().add(linear(4, 16, vb.pp(0))?).add(Activation::Relu).add(linear(16, 3, vb.pp(1))?)))
/// };
/// let trainer = Trainer::new(small).architecture("large", large);
///
/// // candle's own `seq` stays on the thread that built it.
/// let local = |vb: VarBuilder| Ok(Box::new(candle_nn::seq().add(linear(4, 3, vb)?)) as Box<dyn Network>);
/// let trainer = Trainer::new(local);
/// ```
pub struct AnyNetwork(Box<dyn Network + Send + Sync>);

impl AnyNetwork {
    /// Erases the type of `network`.
    pub fn new(network: impl Network + Send + Sync + 'static) -> Self {
        Self(Box::new(network))
    }
}

impl std::fmt::Debug for AnyNetwork {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("AnyNetwork")
    }
}

impl Network for AnyNetwork {
    fn run(&self, inputs: &Inputs, train: bool) -> Result<Tensor> {
        self.0.run(inputs, train)
    }

    fn members(&self) -> Members {
        self.0.members()
    }

    fn run_members(&self, inputs: &Inputs) -> Result<Tensor> {
        self.0.run_members(inputs)
    }
}

/// A network of any type that stays on one thread.
impl Network for Box<dyn Network> {
    fn run(&self, inputs: &Inputs, train: bool) -> Result<Tensor> {
        self.as_ref().run(inputs, train)
    }

    fn members(&self) -> Members {
        self.as_ref().members()
    }

    fn run_members(&self, inputs: &Inputs) -> Result<Tensor> {
        self.as_ref().run_members(inputs)
    }
}
