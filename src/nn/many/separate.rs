//! A layer with weights of its own for each member.
use crate::{
    kernels::{
        float::Real,
        gradients::{Gradients, Wanted},
    },
    nn::{
        self,
        fused::{self, Fused, Operands},
        many::{
            convert::DenseLayer,
            dense::Dense,
            rows::{activated_layer, constructors_of_layer, entry, members_of_layer, Rows},
            single::of_plain,
            variables::Start,
        },
        then::{Then, WithThen},
        Activation,
    },
};
use candle_core::{bail, ModuleT, Result, Shape, Tensor};
use candle_nn::{Conv1dConfig, Conv2dConfig, VarBuilder};
use std::any::Any;

/// A layer with weights of its own for each member: `M` linear layers or convolutions side by side.
///
/// ```text
/// y_m = x_m W_m + b_m
/// ```
///
/// The weights are the variable `members.weight`, `(M, outputs, inputs)` or `(M, outputs, inputs / groups, kernel, …)`, and the
/// biases `members.bias`, `(M, outputs)`, drawn as those of `M` plain layers. Inputs are the rows of one member after those of
/// the other, `(M·B, …)`, and so are outputs. After [`shared_inputs`](Self::shared_inputs) the inputs are rows that all members
/// share, `(B, …)`.
///
/// Use it in a model of your own as the last layer of [`TabM`](crate::nn::many::TabM),
/// [`TabMMini`](crate::nn::many::TabMMini) or [`Heads`](crate::nn::many::Heads), and in all layers for complete networks in one
/// ([`Independent`](crate::nn::many::Independent)). Each layer costs as much as `M` plain ones.
///
/// # Errors
/// The constructors fail when there are no members, the plain layer cannot be made, or the `VarBuilder` has other variables
/// of these names. The forward pass fails for inputs of another shape.
///
/// # Source
/// Lee et al. 2015, arXiv:1511.06314, for heads. In tabm it is `LinearEnsemble`.
///
/// ```
/// use candle_core::{DType, Device, ModuleT, Tensor};
/// use candle_ensemble::{nn::many::SeparateLayer, weights::fresh};
///
/// let (vars, vb) = fresh(1, Default::default(), DType::F32, &Device::Cpu);
/// let heads = SeparateLayer::linear(16, 3, 8, vb.pp("head"))?.shared_inputs();
/// assert_eq!(heads.forward_t(&Tensor::ones((5, 16), DType::F32, &Device::Cpu)?, true)?.dims(), [8 * 5, 3]);
/// assert_eq!(vars.snapshot()?["head.members.weight"].dims(), [8, 3, 16]);
/// # Ok::<(), candle_core::Error>(())
/// ```
#[derive(Clone, Debug)]
#[doc(alias = "LinearEnsemble")]
#[doc(alias = "NLinear")]
pub struct SeparateLayer {
    /// The kind of layer and its parameters. Its tensors are not used.
    dense: Dense,
    rows: Rows,
    weight: Tensor,
    bias: Option<Tensor>,
}

members_of_layer!(SeparateLayer);
activated_layer!(SeparateLayer);

constructors_of_layer!(
    SeparateLayer, (members: usize),
    linear: "`members` [`linear`](crate::nn::linear()) layers.",
    conv1d: "`members` [`conv1d`](crate::nn::conv1d()) layers.",
    conv2d: "`members` [`conv2d`](crate::nn::conv2d()) layers.",
);

impl SeparateLayer {
    /// `members` linear layers or convolutions of ours or of candle's, such as ones without a bias.
    ///
    /// # Errors
    /// See the type.
    ///
    /// ```
    /// use candle_core::{DType, Device};
    /// use candle_ensemble::{nn::{linear_no_bias, many::SeparateLayer}, weights::fresh};
    ///
    /// let (vars, vb) = fresh(1, Default::default(), DType::F32, &Device::Cpu);
    /// SeparateLayer::of(4, vb, |vb| linear_no_bias(8, 3, vb))?;
    /// assert_eq!(vars.snapshot()?.keys().collect::<Vec<_>>(), ["members.weight"]);
    /// # Ok::<(), candle_core::Error>(())
    /// ```
    pub fn of<'v, L: Any>(
        members: usize,
        vb: VarBuilder<'v>,
        plain: impl FnOnce(VarBuilder<'v>) -> Result<L>,
    ) -> Result<Self> {
        of_plain("SeparateLayer", members, &vb, plain, Self::stands_for)
    }

    /// What stands for a layer of a plain network.
    pub(super) fn stands_for(layer: &DenseLayer<'_>) -> Result<Self> {
        let start = Start::Each(layer.weight_init());
        let weight = layer.variable("weight", layer.dense.weight().dims(), start)?;
        let bias = match layer.dense.bias() {
            Some(bias) => Some(layer.variable("bias", bias.dims(), Start::Each(layer.bias_init()))?),
            None => None,
        };
        Self::new(layer.dense, weight, bias)
    }

    /// The layer with these weights `(M, outputs, …)` and biases `(M, outputs)`.
    pub(super) fn new(dense: &Dense, weight: Tensor, bias: Option<Tensor>) -> Result<Self> {
        let rows = Rows { members: weight.dim(0)?, shared: false };
        Ok(Self { dense: dense.clone(), rows, weight, bias })
    }

    /// The layer of one member.
    fn member(&self, member: usize) -> Result<Dense> {
        let bias = self.bias.as_ref().map(|bias| bias.get(member)).transpose()?;
        Ok(self.dense.with(self.weight.get(member)?, bias))
    }

    /// The layer of each member, one after the other.
    fn one_by_one(&self, x: &Tensor, rows: usize) -> Result<Tensor> {
        let of = |member: usize| {
            let start = if self.rows.shared { 0 } else { member * rows };
            self.member(member)?.forward(Then::Nothing, &x.narrow(0, start, rows)?, false)
        };
        Tensor::cat(&(0..self.rows.members).map(of).collect::<Result<Vec<_>>>()?, 0)
    }

    fn apply(&self, layer: Option<impl Fused + 'static>, x: &Tensor) -> Result<Option<Tensor>> {
        let layer = layer.map(|layer| EachMember { layer, rows: self.rows });
        layer.map(|layer| fused::apply(layer, x, &self.weight, self.bias.as_ref())).transpose()
    }
}

impl WithThen for SeparateLayer {
    fn forward_with(&self, then: Then, x: &Tensor, _train: bool) -> Result<Tensor> {
        let rows = self.rows.of_each(x.dim(0)?)?;
        let of_one = x.detach().narrow(0, 0, rows)?;
        let (weight, bias) = (self.weight.detach().get(0)?, self.bias.as_ref().map(Tensor::detach));
        let first = self.dense.with(weight, bias.map(|bias| bias.get(0)).transpose()?);
        let made = match &first {
            Dense::Linear(layer) => self.apply(layer.operation(then, &of_one)?, x)?,
            Dense::Conv1d(layer) => self.apply(layer.operation(then, &of_one)?, x)?,
            Dense::Conv2d(layer) => self.apply(layer.operation(then, &of_one)?, x)?,
        };
        made.map_or_else(|| then.forward(self.one_by_one(x, rows)?), Ok)
    }
}

impl ModuleT for SeparateLayer {
    fn forward_t(&self, x: &Tensor, train: bool) -> Result<Tensor> {
        self.forward_with(Then::Nothing, x, train)
    }
}

/// A layer with an entry of weights and biases for each member, as one operation.
struct EachMember<F> {
    /// The layer for the rows of one member.
    layer: F,
    rows: Rows,
}

impl<F: Fused> EachMember<F> {
    /// The shapes of one member's inputs and weights.
    fn of_one(&self, x: &Shape, weight: &Shape) -> Result<(Shape, Shape)> {
        match (x.dims(), weight.dims()) {
            ([rows, others @ ..], [_, entry @ ..]) => {
                Ok(([&[self.rows.of_each(*rows)?], others].concat().into(), entry.into()))
            }
            _ => bail!("expected rows, and weights of members"),
        }
    }

    fn operands<'a, T: Real>(
        &self,
        of: Operands<'a, T>,
        (x_shape, weight_shape): (&'a Shape, &'a Shape),
        member: usize,
    ) -> Result<Operands<'a, T>> {
        let bias = of.bias.map(|bias| entry(bias, member, bias.len() / self.rows.members)).transpose()?;
        Ok(Operands {
            x: self.rows.part(of.x, member, x_shape.elem_count())?,
            x_shape,
            weight: entry(of.weight, member, weight_shape.elem_count())?,
            weight_shape,
            bias,
        })
    }
}

impl<F: Fused> Fused for EachMember<F> {
    const NAME: &'static str = F::NAME;

    fn split(&self, parts: usize) -> Result<Vec<Self>> {
        let layers = self.layer.split(parts)?.into_iter();
        Ok(layers.map(|layer| Self { layer, rows: self.rows }).collect())
    }

    fn outputs(&self, x: &Shape, weight: &Shape) -> Result<Shape> {
        let (x, weight) = self.of_one(x, weight)?;
        let mut dims = self.layer.outputs(&x, &weight)?.into_dims();
        if let Some(rows) = dims.first_mut() {
            *rows *= self.rows.members;
        }
        Ok(dims.into())
    }

    fn forward<T: Real>(&self, of: Operands<'_, T>) -> Result<Vec<T>> {
        let (x, weight) = self.of_one(of.x_shape, of.weight_shape)?;
        let mut y = Vec::with_capacity(self.outputs(of.x_shape, of.weight_shape)?.elem_count());
        for member in 0..self.rows.members {
            self.layer.extend(self.operands(of, (&x, &weight), member)?, &mut y)?;
        }
        Ok(y)
    }

    fn backward<T: Real>(
        &self,
        of: Operands<'_, T>,
        y: &[T],
        g: &[T],
        wanted: Wanted,
    ) -> Result<Gradients<T>> {
        let (x, weight) = self.of_one(of.x_shape, of.weight_shape)?;
        let outputs = self.layer.outputs(&x, &weight)?.elem_count();
        let mut all = Gradients { x: None, weight: None, bias: None };
        for member in 0..self.rows.members {
            let operands = self.operands(of, (&x, &weight), member)?;
            let (y, g) = (entry(y, member, outputs)?, entry(g, member, outputs)?);
            let one = self.layer.backward(operands, y, g, wanted)?;
            match self.rows.shared {
                true => add(&mut all.x, one.x),
                false => append(&mut all.x, one.x, of.x.len()),
            }
            append(&mut all.weight, one.weight, of.weight.len());
            append(&mut all.bias, one.bias, of.bias.map_or(0, <[T]>::len));
        }
        Ok(all)
    }
}

/// Appends the gradients of a member to those of the others, of which there are `total` in the end.
fn append<T>(all: &mut Option<Vec<T>>, one: Option<Vec<T>>, total: usize) {
    if let Some(mut one) = one {
        all.get_or_insert_with(|| Vec::with_capacity(total)).append(&mut one);
    }
}

/// Adds the gradients of a member to those of the others.
fn add<T: Real>(sums: &mut Option<Vec<T>>, one: Option<Vec<T>>) {
    match (sums.as_mut(), one) {
        (Some(sums), Some(one)) => sums.iter_mut().zip(one).for_each(|(sum, g)| *sum += g),
        (None, one) => *sums = one,
        _ => {}
    }
}
