//! The network that holds many members.
use crate::{
    data::Inputs,
    network::{MemberBatches, Members, Network},
    nn::stack,
    Error,
};
use candle_core::{ModuleT, Result, Tensor};
use std::fmt;

/// What computes the outputs: in training of the shape that [`MemberBatches`] says, and in evaluation those of all members,
/// `(B, …)` to `(M·B, …)`: the rows of one member after those of the other.
pub(super) type Body = dyn ModuleT + Send + Sync;

/// A network that holds `M` members which share most of their weights, or none.
///
/// In evaluation [`run`](Network::run) gives the mean of the members' outputs, `(B, …)`, and
/// [`run_members`](Network::run_members) the outputs of all members, `(M·B, …)`: the rows of one member after those of the
/// other. In training it gives what its [`Members`] say. Each method of [`nn::many`](crate::nn::many) makes one of a plain
/// network; [`new`](Self::new) makes one of a model of your own.
///
/// It is `Send` and `Sync`, is what a constructor for [`Trainer::new`](crate::train::Trainer::new) may return, and goes
/// into an [`AnyNetwork`](crate::AnyNetwork).
///
/// # Errors
/// The forward pass fails when a layer fails, or when the layers do not make the rows of `M` members.
///
/// ```
/// use candle_core::{DType, Device, Tensor};
/// use candle_ensemble::{nn::{linear, many::TabM, seq, Activation}, weights::fresh, Network};
/// use candle_nn::VarBuilder;
///
/// let mlp = |vb: VarBuilder| {
///     Ok(seq().add(linear(4, 16, vb.pp(0))?).add(Activation::Relu).add(linear(16, 3, vb.pp(1))?))
/// };
/// let (_, vb) = fresh(1, Default::default(), DType::F32, &Device::Cpu);
/// let network = TabM::new(32).convert(vb, mlp)?;
/// let x = Tensor::ones((5, 4), DType::F32, &Device::Cpu)?.into();
/// assert_eq!(network.members().count, 32);
/// assert_eq!(network.run_members(&x)?.dims(), [32 * 5, 3]);
/// assert_eq!(network.run(&x, false)?.dims(), [5, 3]); // the mean
/// assert_eq!(network.run(&x, true)?.dims(), [32 * 5, 3]);
/// # Ok::<(), candle_core::Error>(())
/// ```
pub struct EnsembleNetwork {
    body: Box<Body>,
    members: Members,
}

impl EnsembleNetwork {
    /// A network of a model that makes of the rows of a batch, `(B, …)`, those of `members` members, `(M·B, …)`: layers in
    /// [`seq`](crate::nn::seq()), or a struct of your own with the [layers](crate::nn::many#layers) of this module. All
    /// members train on the same rows ([`MemberBatches::Shared`]), unless [`batches`](Self::batches) says otherwise.
    ///
    /// The number of members is that of the layers, such as
    /// [`SeparateLayer::members`](crate::nn::many::SeparateLayer::members): there are fewer than declared in a network that
    /// was pruned.
    ///
    /// # Errors
    /// When there are no members.
    ///
    /// ```
    /// use candle_core::{DType, Device::Cpu, Tensor};
    /// use candle_ensemble::{nn::{many::EnsembleNetwork, seq}, Network};
    ///
    /// // The input and its square.
    /// let two = seq().add_fn(|x| Tensor::cat(&[x.clone(), x.sqr()?], 0));
    /// let network = EnsembleNetwork::new(two, 2)?;
    /// let x = Tensor::new(&[[3f32]], &Cpu)?.into();
    /// assert_eq!(network.run(&x, false)?.to_vec2::<f32>()?, [[6.]]);
    /// # Ok::<(), candle_core::Error>(())
    /// ```
    pub fn new(model: impl ModuleT + Send + Sync + 'static, members: usize) -> Result<Self> {
        super::check_members("EnsembleNetwork", members)?;
        Ok(Self::of(Box::new(model), Members { count: members, batches: MemberBatches::Shared }))
    }

    /// Sets what the members train on: [`MemberBatches::Single`] for a model with
    /// [`McDropoutLayer`](crate::nn::many::McDropoutLayer), and [`MemberBatches::Own`] for one with
    /// [`MimoInputs`](crate::nn::many::MimoInputs). It says which rows the model gets and gives in training.
    ///
    /// ```
    /// use candle_core::{DType, Device::Cpu, Tensor};
    /// use candle_ensemble::{nn::{many::EnsembleNetwork, seq}, network::MemberBatches, Network};
    ///
    /// // A member of its own rows in training, and two in evaluation.
    /// struct Twice;
    /// impl candle_core::ModuleT for Twice {
    ///     fn forward_t(&self, x: &Tensor, train: bool) -> candle_core::Result<Tensor> {
    ///         if train { Ok(x.clone()) } else { Tensor::cat(&[x, x], 0) }
    ///     }
    /// }
    /// let network = EnsembleNetwork::new(Twice, 2)?.batches(MemberBatches::Single);
    /// let x = Tensor::ones((3, 1), DType::F32, &Cpu)?.into();
    /// assert_eq!((network.run(&x, true)?.dims(), network.run_members(&x)?.dims()), (&[3, 1][..], &[6, 1][..]));
    /// # Ok::<(), candle_core::Error>(())
    /// ```
    #[must_use]
    pub fn batches(mut self, batches: MemberBatches) -> Self {
        self.members.batches = batches;
        self
    }

    pub(super) fn of(body: Box<Body>, members: Members) -> Self {
        Self { body, members }
    }

    /// An error unless the outputs have `times` rows for each row of the inputs.
    fn checked(y: Tensor, x: &Tensor, times: usize) -> Result<Tensor> {
        let (rows, expected) = (y.dims().first().copied(), x.dim(0)? * times);
        if rows != Some(expected) {
            let must = format!("{expected}, {times} for each of {} inputs", x.dim(0)?);
            let got = format!("{:?}", y.dims());
            return Err(Error::invalid("the number of rows that many members output", must, got).into());
        }
        Ok(y)
    }
}

impl Network for EnsembleNetwork {
    fn run(&self, inputs: &Inputs, train: bool) -> Result<Tensor> {
        let x = inputs.only()?;
        if train {
            let times = match self.members.batches {
                MemberBatches::Shared => self.members.count,
                MemberBatches::Single | MemberBatches::Own { .. } => 1,
            };
            return Self::checked(self.body.forward_t(x, true)?, x, times);
        }
        let y = self.run_members(inputs)?;
        // In a pass for several networks, each has the rows of its own members.
        let networks = stack::parts();
        let (rows, others) = (x.dim(0)?, y.dims().get(1..).unwrap_or_default());
        let dims = [&[networks, self.members.count, rows / networks.max(1)], others].concat();
        y.reshape(dims)?.mean(1)?.reshape([&[rows], others].concat())
    }

    fn members(&self) -> Members {
        self.members
    }

    fn run_members(&self, inputs: &Inputs) -> Result<Tensor> {
        let x = inputs.only()?;
        Self::checked(self.body.forward_t(x, false)?, x, self.members.count)
    }
}

impl fmt::Debug for EnsembleNetwork {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "EnsembleNetwork of {} members", self.members.count)
    }
}
