//! BatchEnsemble.
use crate::{
    network::{MemberBatches, Members},
    nn::{
        many::{
            check_members,
            convert::{DenseLayer, Method},
            dense::Dense,
            rows::Rows,
            scale::scale,
            variables::{init_text, ScaleInit, Start, INIT},
            EfficientEnsemble, MEMBERS,
        },
        seq,
        then::{Then, WithThen},
        Sequential,
    },
    registry::Entry,
};
use candle_core::{ModuleT, Result, Tensor};
use serde::{Deserialize, Serialize};
use std::fmt;

/// BatchEnsemble: all members share the weights of each layer, and each member scales its inputs and outputs by vectors of
/// its own.
///
/// ```text
/// y_m = ((x ∘ r_m) W) ∘ s_m + b_m        which is x (W ∘ r_m s_mᵀ) + b_m
/// ```
///
/// It applies to every linear layer and every convolution, where `r` and `s` scale channels. `W` is the variable of the plain
/// network. `r` `(M, inputs)`, `s` `(M, outputs)` and the bias `(M, outputs)` are the variables `members.r`, `members.s` and
/// `members.bias` of the layer. The biases of all members begin alike, as one of the plain layer. Normalization layers are
/// shared, as in the authors' networks: their weights are the same for all members, and a batch normalization has the
/// statistics of all members' rows. Dropout draws a mask for each member and row; layers before the first one with weights
/// run once for all members. Every member trains on all rows of a batch ([`MemberBatches::Shared`]).
///
/// Use it where the memory of several networks is too much: it has nearly the parameters of one. A pass takes about as long
/// as one of a plain network over `M` times the rows. Members differ by vectors alone and are less diverse than separately
/// trained ones. For tables prefer [`TabM`](crate::nn::many::TabM), which begins otherwise. Do not decay `r` and `s`, which
/// are not to become 0.
///
/// # Errors
/// [`convert`](Self::convert) fails when there are no members, a parameter of [`ScaleInit`] is out of range, or a layer
/// cannot be converted.
///
/// # Source
/// Wen, Tran and Ba 2020, arXiv:2002.06715; the biases and the shared normalization are those of the authors' library
/// edward2.
///
/// ```
/// use candle_core::{DType, Device};
/// use candle_ensemble::{nn::{linear, many::BatchEnsemble, seq, Activation}, weights::fresh};
/// use candle_nn::VarBuilder;
///
/// let mlp = |vb: VarBuilder| {
///     Ok(seq().add(linear(4, 16, vb.pp(0))?).add(Activation::Relu).add(linear(16, 3, vb.pp(1))?))
/// };
/// let (vars, vb) = fresh(1, Default::default(), DType::F32, &Device::Cpu);
/// BatchEnsemble::new(4).convert(vb, mlp)?;
/// let weights = vars.snapshot()?;
/// assert_eq!(weights["0.weight"].dims(), [16, 4]);
/// assert_eq!(weights["0.members.r"].dims(), [4, 4]);
/// assert_eq!(weights["0.members.s"].dims(), [4, 16]);
/// assert_eq!(weights["0.members.bias"].dims(), [4, 16]);
/// # Ok::<(), candle_core::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct BatchEnsemble {
    /// The number of members `M`, at least 1.
    pub members: usize,
    /// How `r` and `s` begin. Default: random signs, each 1 with a probability of a half.
    pub init: ScaleInit,
}

impl BatchEnsemble {
    /// `members` members.
    #[must_use]
    pub fn new(members: usize) -> Self {
        Self { members, init: ScaleInit::default() }
    }

    /// Sets how `r` and `s` begin. torch-uncertainty draws them from `N(1, 0.5²)`.
    #[must_use]
    pub fn init(self, init: ScaleInit) -> Self {
        Self { init, ..self }
    }
}

impl Method for BatchEnsemble {
    const ENTRY: Entry<EfficientEnsemble> = Entry::new(
        "batch-ensemble",
        "BatchEnsemble",
        "Shared weights, with inputs and outputs scaled by each member",
        |arguments| {
            let ensemble = Self::new(arguments.get("members")?).init(arguments.get("init")?);
            ensemble.check()?;
            Ok(ensemble.into())
        },
    )
    .with_arguments(&[MEMBERS, INIT])
    .with_source("Wen, Tran and Ba 2020, arXiv:2002.06715");

    fn check(&self) -> crate::Result<()> {
        check_members("BatchEnsemble", self.members)?;
        self.init.check()
    }

    fn members(&self) -> Members {
        Members { count: self.members, batches: MemberBatches::Shared }
    }

    fn dense(&self, layer: &DenseLayer<'_>) -> Result<Option<Sequential>> {
        let scales = self.init.into();
        Ok(Some(seq().add(BatchEnsembleLayer::of(layer, [scales, scales])?)))
    }
}

/// As in text: `batch-ensemble:4`.
impl fmt::Display for BatchEnsemble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "batch-ensemble:{}{}", self.members, init_text(self.init))
    }
}

/// A layer of BatchEnsemble: a linear layer or a convolution that all members share, with inputs and outputs scaled by each
/// of them.
#[derive(Clone, Debug)]
pub(in crate::nn) struct BatchEnsembleLayer {
    /// The layer without a bias.
    dense: Dense,
    rows: Rows,
    r: Tensor,
    s: Tensor,
    bias: Option<Tensor>,
}

impl BatchEnsembleLayer {
    /// What stands for a layer. `starts` are how `r` and `s` begin.
    pub(super) fn of(layer: &DenseLayer<'_>, [r, s]: [Start; 2]) -> Result<Self> {
        let (inputs, outputs) = (layer.dense.inputs()?, layer.dense.outputs()?);
        let dense = layer.dense.with(layer.weight()?, None);
        let (r, s) = (layer.variable("r", &[inputs], r)?, layer.variable("s", &[outputs], s)?);
        let bias = match layer.dense.bias() {
            Some(_) => Some(layer.variable("bias", &[outputs], Start::Alike(layer.bias_init()))?),
            None => None,
        };
        Ok(Self { dense, rows: Rows { members: layer.at.members(), shared: layer.is_first() }, r, s, bias })
    }
}

impl WithThen for BatchEnsembleLayer {
    fn forward_with(&self, then: Then, x: &Tensor, train: bool) -> Result<Tensor> {
        let along = self.dense.along();
        let x = scale(x, (self.rows, along), &self.r, None, Then::Nothing)?;
        let y = self.dense.forward(Then::Nothing, &x, train)?;
        scale(&y, (Rows { shared: false, ..self.rows }, along), &self.s, self.bias.as_ref(), then)
    }
}

impl ModuleT for BatchEnsembleLayer {
    fn forward_t(&self, x: &Tensor, train: bool) -> Result<Tensor> {
        self.forward_with(Then::Nothing, x, train)
    }
}
