//! Packed-Ensembles.
use crate::{
    check::positive,
    network::{MemberBatches, Members},
    nn::{
        many::{
            check_members,
            convert::{At, DenseLayer, Method},
            dense::Dense,
            norm::separate_norm,
            separate::SeparateLayer,
            variables::Start,
            EfficientEnsemble, MEMBERS,
        },
        seq, stack, Sequential,
    },
    registry::{Argument, Entry},
    Error,
};
use candle_core::{bail, ModuleT, Result, Tensor};
use candle_nn::Init;
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
        let together = (outputs as f64 * self.alpha) as usize;
        let unit = self.gamma * layer.groups();
        Ok(together.div_ceil(self.members * unit).max(1) * unit)
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
        Ok(Some(match plain {
            Dense::Linear(_) if groups > 1 => seq().add(GroupedLinear::new(plain, groups, weight, bias)?),
            _ => seq().add(SeparateLayer::new(&plain.with_groups(groups), layer.is_first(), weight, bias)?),
        }))
    }

    fn other(&self, layer: &dyn Any, at: &At<'_>) -> Result<Option<Sequential>> {
        let before = at.dense_before();
        let Some(last) = before.last() else { return Ok(None) };
        let own = self.width(&before, at.count)?;
        separate_norm(layer, at, |features| scaled(features, last.outputs()?, own))
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

/// A linear layer of each member, in groups: each group of outputs sees the inputs of its group.
#[derive(Debug)]
pub(super) struct GroupedLinear {
    groups: usize,
    weight: Tensor,
    bias: Option<Tensor>,
    /// The layer of each group of each member.
    each: SeparateLayer,
}

impl GroupedLinear {
    /// Weights `(M, outputs, inputs / groups)` and biases `(M, outputs)`.
    pub(super) fn new(dense: &Dense, groups: usize, weight: Tensor, bias: Option<Tensor>) -> Result<Self> {
        let (of_weight, of_bias) = by_group(&weight, bias.as_ref(), groups)?;
        let each = SeparateLayer::new(dense, false, of_weight, of_bias)?;
        Ok(Self { groups, weight, bias, each })
    }

    /// What `layer` makes of the rows of each group of each member, one after the other.
    fn grouped(&self, x: &Tensor, layer: impl Fn(&Tensor) -> Result<Tensor>) -> Result<Tensor> {
        let Some((features, others)) = x.dims().split_last() else { bail!("expected rows") };
        let (members, groups) = (self.weight.dim(0)?, self.groups);
        let rows = others.iter().product::<usize>() / members.max(1);
        let by_group = x.reshape((members, rows, groups, features / groups))?.transpose(1, 2)?;
        let by_group = by_group.contiguous()?.reshape((members * groups * rows, features / groups))?;
        let y = layer(&by_group)?.reshape((members, groups, rows, ()))?;
        let outputs = groups * y.dim(3)?;
        y.transpose(1, 2)?.contiguous()?.reshape([others, &[outputs]].concat())
    }
}

/// Weights `(M · groups, outputs / groups, inputs / groups)` and biases of the groups of all members.
fn by_group(weight: &Tensor, bias: Option<&Tensor>, groups: usize) -> Result<(Tensor, Option<Tensor>)> {
    let (members, outputs, inputs) = weight.dims3()?;
    let bias = bias.map(|bias| bias.reshape((members * groups, outputs / groups))).transpose()?;
    Ok((weight.reshape((members * groups, outputs / groups, inputs))?, bias))
}

impl ModuleT for GroupedLinear {
    fn forward_t(&self, x: &Tensor, train: bool) -> Result<Tensor> {
        if !stack::is_passing() {
            return self.grouped(x, |x| self.each.forward_t(x, train));
        }
        let weights = stack::operands(&self.weight)?;
        let biases = self.bias.as_ref().map(stack::operands).transpose()?;
        stack::each(x, |network, x| {
            let bias = biases.as_ref().map(|biases| &biases[network]);
            let (weight, bias) = by_group(&weights[network], bias, self.groups)?;
            self.grouped(x, |x| {
                let y = x.reshape((weight.dim(0)?, (), weight.dim(2)?))?.matmul(&weight.transpose(1, 2)?)?;
                match &bias {
                    Some(bias) => y.broadcast_add(&bias.unsqueeze(1)?),
                    None => Ok(y),
                }
            })
        })
    }
}
