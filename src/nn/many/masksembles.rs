//! Masksembles.
use crate::{
    network::{MemberBatches, Members},
    nn::{
        many::{
            convert::{DenseLayer, Method},
            dense::Along,
            masks,
            member_masks::{mask, of_networks, Unit},
            rows::{members_of_layer, Rows},
            variables::{Start, Variables},
            EfficientEnsemble, MEMBERS,
        },
        seq, Sequential,
    },
    registry::{Argument, Entry},
};
use candle_core::{DType, Module, Result, Tensor};
use candle_nn::VarBuilder;
use serde::{Deserialize, Serialize};
use std::fmt;

/// Masksembles: one network in which each member uses a part of the hidden features, by fixed masks of zeros and ones.
///
/// ```text
/// y_m = W (x ∘ mask_m) + b
/// ```
///
/// A mask stands before each layer with weights but the first: where a hidden layer's outputs enter the next one. It is the
/// place of dropout, but the masks stay the same in training and in evaluation. For a linear layer the mask has an element for
/// each input, and for a convolution one for each channel. All weights are shared. With `C` features, `M` members and the
/// scale `s` each member keeps
///
/// ```text
/// K = ⌊C / (s (1 − (1 − 1/s)^M))⌋
/// ```
///
/// of them, and two members share about the `1/s`-th part of theirs: at `s = 1` all masks are full, which is one network, and
/// with a large scale hardly any feature is shared, as in separate networks. The hidden widths stay those of the plain
/// network, so its members are narrower: to give members of `C` features, declare about `C s (1 − (1 − 1/s)^M)` in the plain
/// network. What comes before the first mask runs once for all members.
///
/// The masks are drawn with the initial weights, from the seed of the run and the name of the layer. They are the variables
/// `members.masks` `(M, features)`, integers of u32, so a network that is loaded has the masks that it was trained with, and
/// the network can be pruned to the best members. All members train on the same rows ([`MemberBatches::Shared`]).
///
/// Use it in place of Monte-Carlo dropout: it costs as much in training, and a few members are enough for prediction. The
/// examples of the source take 4 members and a scale of 2. Do not use it in a network that is hardly wide enough, which the masks make
/// narrower. Hidden layers need at least 10 features, as in the authors' package.
///
/// # Errors
/// [`convert`](Self::convert) fails when there are no members, the scale is not from 1 to 6, a layer has fewer than 10
/// features or no masks of the scale cover its features, the plain network has one layer with weights only, or the
/// `VarBuilder` cannot draw integers, as candle's `VarMap` cannot.
///
/// # Source
/// Durasov et al. 2021, arXiv:2012.08334, and their package `masksembles` 1.1.1.
///
/// ```
/// use candle_core::{DType, Device};
/// use candle_ensemble::{nn::{linear, many::Masksembles, seq, Activation}, weights::fresh};
/// use candle_nn::VarBuilder;
///
/// let mlp = |vb: VarBuilder| {
///     Ok(seq().add(linear(5, 32, vb.pp(0))?).add(Activation::Relu).add(linear(32, 3, vb.pp(1))?))
/// };
/// let (vars, vb) = fresh(1, Default::default(), DType::F32, &Device::Cpu);
/// Masksembles::new(4).scale(2.).convert(vb, mlp)?;
/// let masks = vars.snapshot()?["1.members.masks"].to_vec2::<u32>()?;
/// assert_eq!(masks.iter().map(|mask| mask.iter().sum()).collect::<Vec<u32>>(), [17; 4]);
/// # Ok::<(), candle_core::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Masksembles {
    /// The number of members `M`, at least 1.
    pub members: usize,
    /// The scale `s`, from 1 to 6. Default 2.
    pub scale: f64,
}

impl Masksembles {
    /// `members` members, with a scale of 2.
    #[must_use]
    pub fn new(members: usize) -> Self {
        Self { members, scale: 2. }
    }

    /// Sets the scale.
    #[must_use]
    pub fn scale(self, scale: f64) -> Self {
        Self { scale, ..self }
    }
}

impl Method for Masksembles {
    const ENTRY: Entry<EfficientEnsemble> = Entry::new(
        "masksembles",
        "Masksembles",
        "One network in which fixed masks choose the features of each member",
        |arguments| {
            let masksembles = Self::new(arguments.get("members")?).scale(arguments.get("scale")?);
            masksembles.check()?;
            Ok(masksembles.into())
        },
    )
    .with_arguments(&[
        MEMBERS,
        Argument::new("scale", "2", "How little the masks overlap: 1 for not at all different, at most 6"),
    ])
    .with_source("Durasov et al. 2021, arXiv:2012.08334");

    fn check(&self) -> crate::Result<()> {
        masks::check(self.members, self.scale)
    }

    fn members(&self) -> Members {
        Members { count: self.members, batches: MemberBatches::Shared }
    }

    fn dense(&self, layer: &DenseLayer<'_>) -> Result<Option<Sequential>> {
        if layer.count < 2 {
            let what = "the number of layers with weights in a network for Masksembles";
            return Err(crate::Error::invalid(
                what,
                "at least 2, because masks stand between them",
                layer.count,
            )
            .into());
        }
        if layer.is_first() {
            return Ok(None);
        }
        let (features, start) = (layer.dense.inputs()?, Start::Masks { scale: self.scale });
        let masks = layer.at.variable("masks", &[features], start, DType::U32)?;
        let masks = MasksemblesLayer::of(masks, layer.at.members()).along(layer.dense.along());
        Ok(Some(layer.plain()?.add_to(seq().add(masks.sharing(layer.index == 1)))))
    }
}

/// As in text: `masksembles:4:2`.
impl fmt::Display for Masksembles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "masksembles:{}:{}", self.members, self.scale)
    }
}

/// The features of each member, times its mask: the layer of [`Masksembles`].
///
/// ```text
/// y_m = x_m ∘ mask_m
/// ```
///
/// The masks are the variable `members.masks` `(M, features)`, zeros and ones of u32, of which each member has
/// `K = ⌊features / (s (1 − (1 − 1/s)^M))⌋` ones for the scale `s`. They are drawn from the seed of the run and the name of the
/// layer, and are the same in training and in evaluation. Inputs are the rows of one member after those of the other, `(M·B,
/// …, features)`, and so are outputs. After [`shared_inputs`](Self::shared_inputs) the inputs are rows that all members share,
/// `(B, …, features)`. After [`along`](Self::along) features are channels, `(M·B, features, …)`.
///
/// Use it in a model of your own, where dropout would be: behind the activation of each hidden layer. All other layers are plain
/// ones.
///
/// # Errors
/// [`new`](Self::new) fails when there are no members, fewer than 10 features, the scale is not from 1 to 6, no masks of the
/// scale cover the features, or the `VarBuilder` cannot draw integers, as candle's `VarMap` cannot. The forward pass fails for
/// inputs of another shape.
///
/// # Source
/// Durasov et al. 2021, arXiv:2012.08334: `Masksembles1D` and `Masksembles2D` of their package `masksembles` 1.1.1.
///
/// ```
/// use candle_core::{DType, Device, Module, Tensor};
/// use candle_ensemble::{nn::many::MasksemblesLayer, weights::fresh};
///
/// let (_, vb) = fresh(1, Default::default(), DType::F32, &Device::Cpu);
/// let masks = MasksemblesLayer::new(32, 4, 2., vb)?.shared_inputs();
/// let y = masks.forward(&Tensor::ones((1, 32), DType::F32, &Device::Cpu)?)?;
/// assert_eq!(y.sum(1)?.to_vec1::<f32>()?, [17.; 4]);
/// # Ok::<(), candle_core::Error>(())
/// ```
#[derive(Clone, Debug)]
#[doc(alias = "Masksembles1D")]
#[doc(alias = "Masksembles2D")]
#[doc(alias = "MaskedLinear")]
#[doc(alias = "MaskedConv2d")]
pub struct MasksemblesLayer {
    /// Zeros and ones, `(M, features)`.
    masks: Tensor,
    along: Along,
    rows: Rows,
}

impl MasksemblesLayer {
    /// Masks of `features` features for `members` members, with this scale.
    ///
    /// # Errors
    /// See the type.
    pub fn new(features: usize, members: usize, scale: f64, vb: VarBuilder<'_>) -> Result<Self> {
        masks::check(members, scale)?;
        let variables = Variables::new(vb, members);
        let masks = variables.get("", "masks", &[features], Start::Masks { scale }, DType::U32)?;
        Ok(Self::of(masks, variables.count()))
    }

    fn of(masks: Tensor, members: usize) -> Self {
        Self { masks, along: Along::Last, rows: Rows { members, shared: false } }
    }

    /// Sets where the features are. Default [`Along::Last`].
    #[must_use]
    pub fn along(self, along: Along) -> Self {
        Self { along, ..self }
    }
}

members_of_layer!(MasksemblesLayer);

impl Module for MasksemblesLayer {
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        mask(x, &of_networks(&self.masks)?, Unit::Feature(self.along), self.rows.shared)
    }
}
