//! BatchEnsemble.
use crate::{
    network::{MemberBatches, Members},
    nn::{
        self,
        many::{
            check_members,
            convert::{DenseLayer, Method},
            dense::Dense,
            rows::{activated_layer, constructors_of_layer, members_of_layer, Rows},
            scale::scale,
            single::of_plain,
            variables::{init_text, ScaleInit, Start, INIT},
            EfficientEnsemble, MEMBERS,
        },
        seq,
        then::{Then, WithThen},
        Activation, Sequential,
    },
    registry::Entry,
};
use candle_core::{ModuleT, Result, Tensor};
use candle_nn::{Conv1dConfig, Conv2dConfig, VarBuilder};
use serde::{Deserialize, Serialize};
use std::{any::Any, fmt};

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
        let made = BatchEnsembleLayer::stands_for(layer, [scales, scales])?;
        Ok(Some(seq().add(made.sharing(layer.is_first()))))
    }
}

/// As in text: `batch-ensemble:4`.
impl fmt::Display for BatchEnsemble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "batch-ensemble:{}{}", self.members, init_text(self.init))
    }
}

/// A layer of [`BatchEnsemble`] or [`TabM`](crate::nn::many::TabM): a linear layer or a convolution that all members share,
/// with inputs and outputs scaled by each of them.
///
/// ```text
/// y_m = ((x_m ∘ r_m) W) ∘ s_m + b_m
/// ```
///
/// `W` is the variable `weight` of the plain layer, of its shape. `r` `(M, inputs)`, `s` `(M, outputs)` and the bias `(M,
/// outputs)` are `members.r`, `members.s` and `members.bias`; the biases of all members begin alike, as one of the plain layer.
/// Inputs are the rows of one member after those of the other, `(M·B, …, inputs)` or `(M·B, inputs, …)` for convolutions, and
/// so are outputs. After [`shared_inputs`](Self::shared_inputs) the inputs are rows that all members share, `(B, …)`.
///
/// Use it in a model of your own, and [`BatchEnsemble::convert`] for layers in [`seq`](crate::nn::seq()). BatchEnsemble draws
/// both scales as random signs in all layers. TabM draws `r` of the first layer so, all other scales are
/// [`ScaleInit::Ones`], and its last layer is a [`SeparateLayer`](crate::nn::many::SeparateLayer).
///
/// # Errors
/// The constructors fail when there are no members, a parameter of [`ScaleInit`] is out of range, the plain layer cannot be
/// made, or the `VarBuilder` has other variables of these names. The forward pass fails for inputs of another shape.
///
/// # Source
/// Wen, Tran and Ba 2020, arXiv:2002.06715. In torch-uncertainty they are `BatchLinear` and `BatchConv2d`, and in tabm
/// `LinearBatchEnsemble`.
///
/// ```
/// use candle_core::{DType, Device, ModuleT, Tensor};
/// use candle_ensemble::{nn::many::{BatchEnsembleLayer, ScaleInit}, weights::fresh};
///
/// let (vars, vb) = fresh(1, Default::default(), DType::F32, &Device::Cpu);
/// let signs = [ScaleInit::default(); 2];
/// let first = BatchEnsembleLayer::linear(3, 16, 4, signs, vb.pp("first"))?.shared_inputs();
/// let second = BatchEnsembleLayer::linear(16, 2, 4, signs, vb.pp("second"))?;
/// let x = Tensor::ones((5, 3), DType::F32, &Device::Cpu)?;
/// let y = second.forward_t(&first.forward_t(&x, true)?.relu()?, true)?;
/// assert_eq!(y.dims(), [4 * 5, 2]);
/// assert_eq!(vars.snapshot()?["first.members.s"].dims(), [4, 16]);
/// # Ok::<(), candle_core::Error>(())
/// ```
#[derive(Clone, Debug)]
#[doc(alias = "BatchLinear")]
#[doc(alias = "BatchConv1d")]
#[doc(alias = "BatchConv2d")]
#[doc(alias = "LinearBatchEnsemble")]
#[doc(alias = "LinearEfficientEnsemble")]
pub struct BatchEnsembleLayer {
    /// The layer without a bias.
    dense: Dense,
    rows: Rows,
    r: Tensor,
    s: Tensor,
    bias: Option<Tensor>,
}

constructors_of_layer!(
    BatchEnsembleLayer, (members: usize, scales: [ScaleInit; 2]),
    linear: "A [`linear`](crate::nn::linear()) layer of `members` members. `scales` are how `r` and `s` begin.",
    conv1d: "A [`conv1d`](crate::nn::conv1d()) of `members` members. `scales` are how `r` and `s`, of channels, begin.",
    conv2d: "A [`conv2d`](crate::nn::conv2d()) of `members` members. `scales` are how `r` and `s`, of channels, begin.",
);

impl BatchEnsembleLayer {
    /// The layer for any linear layer or convolution of ours or of candle's, such as one without a bias.
    ///
    /// # Errors
    /// See the type.
    ///
    /// ```
    /// use candle_core::{DType, Device};
    /// use candle_ensemble::{nn::{linear_no_bias, many::{BatchEnsembleLayer, ScaleInit}}, weights::fresh};
    ///
    /// let (vars, vb) = fresh(1, Default::default(), DType::F32, &Device::Cpu);
    /// BatchEnsembleLayer::of(4, [ScaleInit::Ones; 2], vb, |vb| linear_no_bias(8, 3, vb))?;
    /// assert_eq!(vars.snapshot()?.keys().collect::<Vec<_>>(), ["members.r", "members.s", "weight"]);
    /// # Ok::<(), candle_core::Error>(())
    /// ```
    pub fn of<'v, L: Any>(
        members: usize,
        scales: [ScaleInit; 2],
        vb: VarBuilder<'v>,
        plain: impl FnOnce(VarBuilder<'v>) -> Result<L>,
    ) -> Result<Self> {
        scales.iter().try_for_each(ScaleInit::check)?;
        of_plain("BatchEnsembleLayer", members, &vb, plain, |layer| {
            Self::stands_for(layer, scales.map(Start::from))
        })
    }

    /// What stands for a layer of a plain network. `starts` are how `r` and `s` begin.
    pub(super) fn stands_for(layer: &DenseLayer<'_>, [r, s]: [Start; 2]) -> Result<Self> {
        let (inputs, outputs) = (layer.dense.inputs()?, layer.dense.outputs()?);
        let dense = layer.dense.with(layer.weight()?, None);
        let (r, s) = (layer.variable("r", &[inputs], r)?, layer.variable("s", &[outputs], s)?);
        let bias = match layer.dense.bias() {
            Some(_) => Some(layer.variable("bias", &[outputs], Start::Alike(layer.bias_init()))?),
            None => None,
        };
        Ok(Self { dense, rows: Rows { members: layer.at.members(), shared: false }, r, s, bias })
    }
}

members_of_layer!(BatchEnsembleLayer);
activated_layer!(BatchEnsembleLayer);

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
