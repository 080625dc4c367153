//! Packed-Ensembles.
use crate::{
    check::positive,
    network::{MemberBatches, Members},
    nn::{
        self,
        many::{
            check_members,
            convert::{At, DenseLayer, Method},
            dense::Dense,
            grouped::GroupedLinear,
            norm::separate_norm,
            rows::{activated_layer, constructors_of_layer},
            single::of_plain,
            variables::Start,
            EfficientEnsemble, SeparateLayer, MEMBERS,
        },
        seq,
        then::{Then, WithThen},
        Activation, Sequential,
    },
    registry::{Argument, Entry},
    Error,
};
use candle_core::{ModuleT, Result, Tensor};
use candle_nn::{Conv1dConfig, Conv2dConfig, Init, VarBuilder};
use serde::{Deserialize, Serialize};
use std::{any::Any, fmt};

/// Packed-Ensembles: narrow networks side by side, which together are `α` times as wide as the plain one.
///
/// ```text
/// width of a member   w_m = α · w / M, rounded up so that γ divides it
/// hidden layers       y_m = W_m x_m + b_m, in γ groups of features within the member
/// first layer         y_m = W_m x + b_m: each member sees all inputs
/// last layer          y_m = W_m x_m + b_m, with all outputs of the plain network
/// ```
///
/// In place of one network of grouped layers with the members' features one after the other, the rows of one member follow
/// those of the other, and each layer is a product of matrices for each member. The outputs are the same. Every layer with
/// weights has the variables `members.weight` `(M, w_m, inputs / γ, …)` and `members.bias` `(M, w_m)`, drawn as those of a
/// plain layer of the members' width. Normalization layers behind the first layer are separate, too, running statistics
/// included. The first and the last layer have `γ = 1`, as in the authors' residual networks: otherwise a class would see a
/// part of the features only. A convolution with groups has `γ` times as many within a member; one with a group for each
/// channel keeps that. Members share no weights, so the network can be pruned to the best of them. All members train on the
/// same rows ([`MemberBatches::Shared`]).
///
/// Use it in place of several networks where their cost is too much: with `α = 2` and `M = 4` the members are half as wide as
/// the plain network, and hidden layers together have its number of weights. The plain network must be wide enough, because
/// narrow members are weak; on a small network take a larger `α`. With `α = M` and `γ = 1` the members are complete networks
/// ([`Independent`](crate::nn::many::Independent)). `γ` above 1 saves weights in wide networks. torch-uncertainty refuses
/// widths that `M · γ` does not divide, where this rounds up, and lowers `γ` for convolutions with fewer than 64 channels in
/// a group, where this takes it as it is.
///
/// # Errors
/// [`convert`](Self::convert) fails when a parameter is out of range, a layer cannot be converted, the inputs of a layer are no
/// multiple of the outputs of the layer before it, or groups do not divide a member's features.
///
/// # Source
/// Laurent et al. 2023, arXiv:2210.09184. The numbers of the tests are those of torch-uncertainty 0.13.
///
/// ```
/// use candle_core::{DType, Device};
/// use candle_ensemble::{nn::{linear, many::Packed, seq, Activation}, weights::fresh};
/// use candle_nn::VarBuilder;
///
/// let mlp = |vb: VarBuilder| {
///     Ok(seq().add(linear(5, 16, vb.pp(0))?).add(Activation::Relu).add(linear(16, 3, vb.pp(1))?))
/// };
/// let (vars, vb) = fresh(1, Default::default(), DType::F32, &Device::Cpu);
/// Packed::new(4).alpha(2.).convert(vb, mlp)?;
/// let weights = vars.snapshot()?;
/// assert_eq!(weights["0.members.weight"].dims(), [4, 8, 5]); // 2 · 16 / 4 features of each member
/// assert_eq!(weights["1.members.weight"].dims(), [4, 3, 8]);
/// # Ok::<(), candle_core::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Packed {
    /// The number of members `M`, at least 1.
    pub members: usize,
    /// The width of all members together, as a multiple `α` of that of the plain network, above 0. Default 2.
    pub alpha: f64,
    /// The number of groups `γ` in the hidden layers of a member, at least 1. Default 1.
    pub gamma: usize,
}

impl Packed {
    /// `members` members, with `α = 2` and `γ = 1`.
    #[must_use]
    pub fn new(members: usize) -> Self {
        Self { members, alpha: 2., gamma: 1 }
    }

    /// Sets the width of all members together, as a multiple of that of the plain network.
    #[must_use]
    pub fn alpha(self, alpha: f64) -> Self {
        Self { alpha, ..self }
    }

    /// Sets the number of groups in the hidden layers of a member.
    #[must_use]
    pub fn gamma(self, gamma: usize) -> Self {
        Self { gamma, ..self }
    }

    /// The features of a member in place of these of the plain network, in so many groups.
    fn of_member(&self, features: usize, groups: usize) -> usize {
        let together = (features as f64 * self.alpha) as usize;
        let unit = self.gamma * groups;
        together.div_ceil(self.members * unit).max(1) * unit
    }

    /// The features of a member behind the last of these layers, which are the first ones of a network of `count`.
    fn width(&self, layers: &[Dense], count: usize) -> Result<usize> {
        let Some((layer, before)) = layers.split_last() else { return Ok(0) };
        let outputs = layer.outputs()?;
        if layers.len() == count {
            return Ok(outputs);
        }
        if is_depthwise(layer)? {
            return Ok(self.inputs(layer, before, count)? * (outputs / layer.groups()));
        }
        Ok(self.of_member(outputs, layer.groups()))
    }

    /// The features that enter a layer of a member, behind the layers before it.
    fn inputs(&self, layer: &Dense, before: &[Dense], count: usize) -> Result<usize> {
        match before.last() {
            None => layer.inputs(),
            Some(last) => scaled(layer.inputs()?, last.outputs()?, self.width(before, count)?),
        }
    }

    /// The groups of a layer of a member.
    fn groups(&self, layer: &DenseLayer<'_>, inputs: usize) -> Result<usize> {
        Ok(match layer.is_first() || layer.is_last() {
            _ if is_depthwise(layer.dense)? => inputs,
            true => layer.dense.groups(),
            false => layer.dense.groups() * self.gamma,
        })
    }
}

/// Whether a layer is a convolution with a group for each channel.
fn is_depthwise(layer: &Dense) -> Result<bool> {
    Ok(layer.groups() > 1 && layer.groups() == layer.inputs()?)
}

/// What `features` of a plain network are for a member, where `plain` are `own`. There are more of them behind a flattening.
fn scaled(features: usize, plain: usize, own: usize) -> Result<usize> {
    match features.checked_rem(plain) {
        Some(0) => Ok(features / plain * own),
        _ => {
            let must = format!("a multiple of {plain}, the outputs of the layer before it");
            Err(Error::invalid("the number of features that enter a layer of Packed", must, features).into())
        }
    }
}

impl Method for Packed {
    const ENTRY: Entry<EfficientEnsemble> =
        Entry::new("packed", "Packed", "Narrow networks side by side, in groups", |arguments| {
            let packed = Self::new(arguments.get("members")?);
            let packed = packed.alpha(arguments.get("alpha")?).gamma(arguments.get("gamma")?);
            packed.check()?;
            Ok(packed.into())
        })
        .with_arguments(&[
            MEMBERS,
            Argument::new(
                "alpha",
                "2",
                "The width of all members together, as a multiple of the plain width",
            ),
            Argument::new("gamma", "1", "The number of groups in the hidden layers of a member"),
        ])
        .with_source("Laurent et al. 2023, arXiv:2210.09184");

    fn check(&self) -> crate::Result<()> {
        check_members("Packed", self.members)?;
        positive("Packed::alpha", self.alpha)?;
        match self.gamma {
            0 => Err(Error::invalid("Packed::gamma", "at least 1", 0)),
            _ => Ok(()),
        }
    }

    fn members(&self) -> Members {
        Members { count: self.members, batches: MemberBatches::Shared }
    }

    fn dense(&self, layer: &DenseLayer<'_>) -> Result<Option<Sequential>> {
        let (before, plain) = (layer.at.dense_before(), layer.dense);
        let inputs = self.inputs(plain, &before, layer.count)?;
        let outputs = self.width(&[&before[..], std::slice::from_ref(plain)].concat(), layer.count)?;
        let groups = self.groups(layer, inputs)?;
        let made = PackedLayer::stands_for(layer, Sizes { inputs, outputs, groups })?;
        Ok(Some(seq().add(made.sharing(layer.is_first()))))
    }

    fn other(&self, layer: &dyn Any, at: &At<'_>) -> Result<Option<Sequential>> {
        let before = at.dense_before();
        let Some(last) = before.last() else { return Ok(None) };
        let own = self.width(&before, at.count)?;
        let norm = separate_norm(layer, at, |features| scaled(features, last.outputs()?, own))?;
        Ok(norm.map(|norm| seq().add(norm)))
    }
}

/// As in text: `packed:4:2:1`.
impl fmt::Display for Packed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "packed:{}:{}:{}", self.members, self.alpha, self.gamma)
    }
}

/// How a bias begins, as declared for a number of inputs, for another number of them.
pub(super) fn for_inputs(init: Init, declared: usize, inputs: usize) -> Init {
    match init {
        Init::Uniform { lo, up } if inputs > 0 => {
            let factor = (declared as f64 / inputs as f64).sqrt();
            Init::Uniform { lo: lo * factor, up: up * factor }
        }
        other => other,
    }
}

/// Where a [`PackedLayer`] is in its network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PackedPlace {
    /// The first layer: each member sees all inputs, which are rows that all members share, `(B, …)`.
    First,
    /// Between others, in `γ` groups: the inputs are the rows of one member after those of the other, `(M·B, …)`.
    Hidden,
    /// The last layer: each member has all outputs.
    Last,
}

/// The features of a layer of a member.
#[derive(Clone, Copy, Debug)]
struct Sizes {
    inputs: usize,
    outputs: usize,
    groups: usize,
}

/// A layer of [`Packed`]: a narrow linear layer or convolution for each member.
///
/// ```text
/// features of a member   w_m = α · w / M, rounded up so that γ divides it
/// y_m = W_m x_m + b_m
/// ```
///
/// Constructors take the sizes of the plain layer, and [`PackedPlace`] says which of them become those of a member: inputs stay
/// as they are in the first layer, and outputs in the last. The weights are the variable `members.weight`, `(M, w_m, inputs /
/// γ, …)`, and the biases `members.bias` `(M, w_m)`, drawn as those of a plain layer of the member's width. Outputs are the rows
/// of one member after those of the other, `(M·B, …)`.
///
/// Use it in a model of your own. Choose widths so that `M · γ` divides `α` times each of them, as torch-uncertainty requires:
/// behind a flattening, a width that is rounded is not that of the layer before. Normalization layers are
/// [`SeparateNorm`](crate::nn::many::SeparateNorm), with the features of a member.
///
/// # Errors
/// The constructors fail when a parameter of [`Packed`] is out of range, the plain layer cannot be made, groups do not divide
/// the features of a member, or the `VarBuilder` has other variables of these names. The forward pass fails for inputs of
/// another shape.
///
/// # Source
/// Laurent et al. 2023, arXiv:2210.09184: `PackedLinear` and `PackedConv2d` of torch-uncertainty.
///
/// ```
/// use candle_core::{DType, Device, ModuleT, Tensor};
/// use candle_ensemble::{nn::many::{Packed, PackedLayer, PackedPlace}, weights::fresh};
///
/// let (vars, vb) = fresh(1, Default::default(), DType::F32, &Device::Cpu);
/// let packed = Packed::new(4).alpha(2.);
/// let first = PackedLayer::linear(5, 16, packed, PackedPlace::First, vb.pp(0))?;
/// let last = PackedLayer::linear(16, 3, packed, PackedPlace::Last, vb.pp(1))?;
/// let x = Tensor::ones((7, 5), DType::F32, &Device::Cpu)?;
/// assert_eq!(last.forward_t(&first.forward_t(&x, true)?.relu()?, true)?.dims(), [4 * 7, 3]);
/// assert_eq!(vars.snapshot()?["0.members.weight"].dims(), [4, 8, 5]); // 2 · 16 / 4 features of each member
/// # Ok::<(), candle_core::Error>(())
/// ```
#[derive(Clone, Debug)]
#[doc(alias = "PackedLinear")]
#[doc(alias = "PackedConv1d")]
#[doc(alias = "PackedConv2d")]
pub struct PackedLayer(Kind);

#[derive(Clone, Debug)]
enum Kind {
    Separate(SeparateLayer),
    Grouped(GroupedLinear),
}

constructors_of_layer!(
    PackedLayer, (packed: Packed, place: PackedPlace),
    linear: "A [`linear`](crate::nn::linear()) layer, with the sizes of the plain one.",
    conv1d: "A [`conv1d`](crate::nn::conv1d()), with the sizes of the plain one.",
    conv2d: "A [`conv2d`](crate::nn::conv2d()), with the sizes of the plain one.",
);

impl PackedLayer {
    /// The layer for any linear layer or convolution of ours or of candle's, such as one without a bias.
    ///
    /// # Errors
    /// See the type.
    ///
    /// ```
    /// use candle_core::{DType, Device};
    /// use candle_ensemble::{nn::{linear_no_bias, many::{Packed, PackedLayer, PackedPlace}}, weights::fresh};
    ///
    /// let (vars, vb) = fresh(1, Default::default(), DType::F32, &Device::Cpu);
    /// PackedLayer::of(Packed::new(4), PackedPlace::Hidden, vb, |vb| linear_no_bias(16, 32, vb))?;
    /// assert_eq!(vars.snapshot()?["members.weight"].dims(), [4, 16, 8]);
    /// # Ok::<(), candle_core::Error>(())
    /// ```
    pub fn of<'v, L: Any>(
        packed: Packed,
        place: PackedPlace,
        vb: VarBuilder<'v>,
        plain: impl FnOnce(VarBuilder<'v>) -> Result<L>,
    ) -> Result<Self> {
        packed.check()?;
        let made = of_plain("PackedLayer", packed.members, &vb, plain, |layer| {
            let (dense, groups) = (layer.dense, layer.dense.groups());
            let (inputs, outputs) = (dense.inputs()?, dense.outputs()?);
            let own = |features| packed.of_member(features, groups);
            let sizes = match place {
                PackedPlace::First => Sizes { inputs, outputs: own(outputs), groups },
                PackedPlace::Last => Sizes { inputs: own(inputs), outputs, groups },
                PackedPlace::Hidden if is_depthwise(dense)? => {
                    let inputs = packed.of_member(inputs, 1);
                    Sizes { inputs, outputs: inputs * (outputs / groups), groups: inputs }
                }
                PackedPlace::Hidden => {
                    Sizes { inputs: own(inputs), outputs: own(outputs), groups: groups * packed.gamma }
                }
            };
            Self::stands_for(layer, sizes)
        });
        Ok(made?.sharing(place == PackedPlace::First))
    }

    /// What stands for a layer of a plain network.
    fn stands_for(layer: &DenseLayer<'_>, Sizes { inputs, outputs, groups }: Sizes) -> Result<Self> {
        let plain = layer.dense;
        for (what, features) in [("inputs", inputs), ("outputs", outputs)] {
            if !features.is_multiple_of(groups) {
                let what = format!("the {what} of layer {} for a member of Packed", layer.at.position);
                return Err(
                    Error::invalid(what, format!("a multiple of its {groups} groups"), features).into()
                );
            }
        }
        let kernel = plain.weight().dims().get(2..).unwrap_or_default();
        let entry = [&[outputs, inputs / groups], kernel].concat();
        let weight = layer.variable("weight", &entry, Start::Each(layer.weight_init()))?;
        let bias = match plain.bias() {
            Some(_) => {
                let init = for_inputs(layer.bias_init(), plain.weight().dim(1)?, inputs / groups);
                Some(layer.variable("bias", &[outputs], Start::Each(init))?)
            }
            None => None,
        };
        Ok(Self(match plain {
            Dense::Linear(_) if groups > 1 => Kind::Grouped(GroupedLinear::new(plain, groups, weight, bias)?),
            _ => Kind::Separate(SeparateLayer::new(&plain.with_groups(groups), weight, bias)?),
        }))
    }

    /// Whether the inputs are rows that all members share.
    fn sharing(self, shared: bool) -> Self {
        match self.0 {
            Kind::Separate(layer) => Self(Kind::Separate(layer.sharing(shared))),
            grouped @ Kind::Grouped(_) => Self(grouped),
        }
    }

    /// The number of members: that of the variables, which is below the declared one in a network that was pruned.
    #[must_use]
    pub fn members(&self) -> usize {
        match &self.0 {
            Kind::Separate(layer) => layer.members(),
            Kind::Grouped(layer) => layer.members,
        }
    }
}

activated_layer!(PackedLayer);

impl WithThen for PackedLayer {
    fn forward_with(&self, then: Then, x: &Tensor, train: bool) -> Result<Tensor> {
        match &self.0 {
            Kind::Separate(layer) => layer.forward_with(then, x, train),
            Kind::Grouped(layer) => then.forward(layer.forward(x, train)?),
        }
    }
}

impl ModuleT for PackedLayer {
    fn forward_t(&self, x: &Tensor, train: bool) -> Result<Tensor> {
        self.forward_with(Then::Nothing, x, train)
    }
}
