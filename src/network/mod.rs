//! What a member runs on: any candle model, unchanged.
pub(crate) mod output;

pub use output::{Output, Scale};

use crate::data::Inputs;
use candle_core::{ModuleT, Result, Tensor};

/// A network: inputs in, outputs out, rows along dimension 0.
///
/// Every candle [`Module`](candle_core::Module) and [`ModuleT`] is one already. Implement it for a model
/// that takes several inputs. Networks need not be `Send`: weights cross threads, live networks do not.
///
/// ```
/// use candle_core::{Result, Tensor};
/// use candle_ensemble::{data::Inputs, Network};
///
/// /// Adds its two inputs.
/// struct Sum;
/// impl Network for Sum {
///     fn run(&self, inputs: &Inputs, _train: bool) -> Result<Tensor> {
///         let [a, b] = inputs.tensors() else { candle_core::bail!("two inputs, please") };
///         a + b
///     }
/// }
/// ```
pub trait Network {
    /// The forward pass, in training or in evaluation mode (dropout, batch-norm).
    ///
    /// Returns logits `(B, C)`, one logit `(B,)` or `(B, 1)` for two classes, or values `(B,)` or `(B, K)`.
    fn run(&self, inputs: &Inputs, train: bool) -> Result<Tensor>;
}

impl<M: ModuleT> Network for M {
    fn run(&self, inputs: &Inputs, train: bool) -> Result<Tensor> {
        self.forward_t(inputs.only()?, train)
    }
}

/// A network of any type, for ensembles that mix architectures.
///
/// ```
/// use candle_ensemble::{train::Trainer, AnyNetwork};
/// use candle_nn::{linear, seq, Activation, VarBuilder};
///
/// let small = |vb: VarBuilder| Ok(AnyNetwork::new(linear(4, 3, vb)?));
/// let large = |vb: VarBuilder| {
///     Ok(AnyNetwork::new(seq().add(linear(4, 16, vb.pp(0))?).add(Activation::Relu).add(linear(16, 3, vb.pp(1))?)))
/// };
/// let trainer = Trainer::new(small).architecture("large", large);
/// ```
pub struct AnyNetwork(Box<dyn Network>);

impl AnyNetwork {
    /// Boxes `network`.
    pub fn new(network: impl Network + 'static) -> Self {
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
}
