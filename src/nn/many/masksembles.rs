//! Masksembles.
use crate::{
    network::{MemberBatches, Members},
    nn::{
        many::{
            convert::{DenseLayer, Method},
            masks,
            member_masks::{mask, of_networks, Unit},
            variables::Start,
            EfficientEnsemble, MEMBERS,
        },
        seq, Sequential,
    },
    registry::{Argument, Entry},
};
use candle_core::{DType, ModuleT, Result, Tensor};
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
        let masks = Masks { masks, unit: Unit::Feature(layer.dense.along()), shared: layer.index == 1 };
        Ok(Some(layer.plain()?.add_to(seq().add(masks))))
    }
}

/// As in text: `masksembles:4:2`.
impl fmt::Display for Masksembles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "masksembles:{}:{}", self.members, self.scale)
    }
}

/// The features of each member, times its mask.
#[derive(Debug)]
struct Masks {
    /// Zeros and ones, `(M, features)`.
    masks: Tensor,
    unit: Unit,
    /// Whether the inputs are the same for all members.
    shared: bool,
}

impl ModuleT for Masks {
    fn forward_t(&self, x: &Tensor, _train: bool) -> Result<Tensor> {
        mask(x, &of_networks(&self.masks)?, self.unit, self.shared)
    }
}
