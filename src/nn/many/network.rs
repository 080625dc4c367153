//! The network that holds many members.
use crate::{
    data::Inputs,
    network::{MemberBatches, Members, Network},
    nn::{stack, Sequential},
    Error,
};
use candle_core::{ModuleT, Result, Tensor};
use std::fmt;

/// What computes the outputs of all members.
pub(super) trait Body: Send + Sync {
    /// The outputs in training, of the shape that [`MemberBatches`] says.
    fn train(&self, x: &Tensor) -> Result<Tensor>;

    /// The outputs of all members in evaluation, `(B, …)` to `(M·B, …)`: the rows of one member after those of the other.
    fn members(&self, x: &Tensor) -> Result<Tensor>;
}

impl Body for Sequential {
    fn train(&self, x: &Tensor) -> Result<Tensor> {
        self.forward_t(x, true)
    }

    fn members(&self, x: &Tensor) -> Result<Tensor> {
        self.forward_t(x, false)
    }
}

/// A network that holds `M` members which share most of their weights, or none.
///
/// In evaluation [`run`](Network::run) gives the mean of the members' outputs, `(B, …)`, and
/// [`run_members`](Network::run_members) the outputs of all members, `(M·B, …)`: the rows of one member after those of the
/// other. In training it gives what its [`Members`] say. Each method of [`nn::many`](crate::nn::many) makes one of a plain
/// network; [`new`](Self::new) makes one of layers of your own.
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
    body: Box<dyn Body>,
    members: Members,
}

impl EnsembleNetwork {
    /// A network of layers that make of the rows of a batch, `(B, …)`, those of `members` members, `(M·B, …)`. All members
    /// train on the same rows ([`MemberBatches::Shared`]).
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
    pub fn new(layers: Sequential, members: usize) -> Result<Self> {
        super::check_members("EnsembleNetwork", members)?;
        Ok(Self::of(Box::new(layers), Members { count: members, batches: MemberBatches::Shared }))
    }

    pub(super) fn of(body: Box<dyn Body>, members: Members) -> Self {
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
            return Self::checked(self.body.train(x)?, x, times);
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
        Self::checked(self.body.members(x)?, x, self.members.count)
    }
}

impl fmt::Debug for EnsembleNetwork {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "EnsembleNetwork of {} members", self.members.count)
    }
}
