//! A layer with the weights of several members as one operation of the graph.
use crate::{
    kernels::{cpu, float::Real, gradients::Wanted},
    nn::{
        fused::{Fused, Operands},
        gradients::{apply_op2, hand_over},
        stack,
    },
};
use candle_core::{bail, CpuStorage, CustomOp2, DType, Device, Layout, Result, Shape, Tensor};

/// The outputs of a layer in a [pass](crate::nn::stack::Stack::pass): those of each member's rows, with its weights.
///
/// Each member's part is computed by the same functions over the same numbers of rows as without the others, so its
/// outputs and gradients have the same bits.
pub(in crate::nn) fn apply<F: Fused + 'static>(
    layer: F,
    x: &Tensor,
    weight: &Tensor,
    bias: Option<&Tensor>,
) -> Result<Tensor> {
    stack::rows_of_each(x.dim(0)?)?;
    let weights = stack::operands(weight)?;
    let biases = bias.map(stack::operands).transpose()?;
    let layers = layer.split(weights.len())?;
    // The variable that stands for the weights makes the operation part of the graph, or that for the bias where the weights
    // are frozen. It is not read.
    let stands_for = bias.filter(|_| !weight.track_op()).unwrap_or(weight);
    apply_op2(&x.contiguous()?, stands_for, Stacked { layers, weights, biases })
}

struct Stacked<F> {
    /// The layer of each member.
    layers: Vec<F>,
    weights: Vec<Tensor>,
    biases: Option<Vec<Tensor>>,
}

/// The weights and the bias of a member, borrowed.
struct Borrowed<'a> {
    weight: cpu::Elements<'a>,
    weight_shape: &'a Shape,
    bias: Option<cpu::Elements<'a>>,
}

impl Borrowed<'_> {
    /// The operands of the member's layer, with its inputs.
    fn with<'b, T: Real>(&'b self, x: &'b [T], x_shape: &'b Shape) -> Result<Operands<'b, T>> {
        let weight = self.weight.as_slice()?;
        let bias = self.bias.as_ref().map(cpu::Elements::as_slice).transpose()?;
        Ok(Operands { x, x_shape, weight, weight_shape: self.weight_shape, bias })
    }
}

impl<F: Fused> Stacked<F> {
    fn parts(&self) -> usize {
        self.layers.len()
    }

    /// The shape of one member's part.
    fn part(&self, of: &Shape) -> Result<Shape> {
        match of.dims().split_first() {
            Some((rows, others)) if rows.is_multiple_of(self.parts()) => {
                let rows = rows / self.parts();
                Ok([&[rows], others].concat().into())
            }
            _ => bail!("{of:?} is no batch of {} members", self.parts()),
        }
    }

    fn borrowed(&self, member: usize) -> Result<Borrowed<'_>> {
        let Some(weight) = self.weights.get(member) else { bail!("no weights of member {member}") };
        let bias = self.biases.as_ref().and_then(|biases| biases.get(member));
        Ok(Borrowed {
            weight: cpu::Elements::of(weight)?,
            weight_shape: weight.shape(),
            bias: bias.map(cpu::Elements::of).transpose()?,
        })
    }

    fn outputs<T: Real>(&self, x: &[T], shape: &Shape) -> Result<(CpuStorage, Shape)> {
        let part = self.part(shape)?;
        let (mut y, mut dims) = (vec![], vec![]);
        for (member, layer) in self.layers.iter().enumerate() {
            let borrowed = self.borrowed(member)?;
            let of_member = layer.outputs(&part, borrowed.weight_shape)?;
            if y.is_empty() {
                y.reserve_exact(of_member.elem_count() * self.parts());
            }
            layer.extend(borrowed.with(chunk(x, member, part.elem_count())?, &part)?, &mut y)?;
            dims = of_member.into_dims();
        }
        match dims.first_mut() {
            Some(rows) => *rows *= self.parts(),
            None => bail!("a layer for no members"),
        }
        Ok((T::to_cpu_storage_owned(y), dims.into()))
    }

    /// Hands over the gradients of the members' weights and biases, and returns that of the inputs.
    fn gradients<T: Real>(&self, x: &Tensor, y: &Tensor, g: &Tensor) -> Result<Option<Tensor>> {
        let g = g.contiguous()?;
        let part = self.part(x.shape())?;
        let outputs = y.elem_count() / self.parts().max(1);
        let [of_x, of_y, of_g] = [x, y, &g].map(cpu::Elements::of);
        let (of_x, of_y, of_g) = (of_x?, of_y?, of_g?);
        let (x_elements, y_elements, g_elements) =
            (of_x.as_slice::<T>()?, of_y.as_slice::<T>()?, of_g.as_slice::<T>()?);
        let mut sums = Vec::with_capacity(if x.track_op() { x.elem_count() } else { 0 });
        for (member, layer) in self.layers.iter().enumerate() {
            let weight = &self.weights[member];
            let bias = self.biases.as_ref().map(|biases| &biases[member]);
            let wanted = Wanted {
                x: x.track_op(),
                weight: weight.track_op(),
                bias: bias.is_some_and(Tensor::track_op),
            };
            let gradients = {
                let borrowed = self.borrowed(member)?;
                let operands = borrowed.with(chunk(x_elements, member, part.elem_count())?, &part)?;
                let (y, g) = (chunk(y_elements, member, outputs)?, chunk(g_elements, member, outputs)?);
                layer.backward(operands, y, g, wanted)?
            };
            if let Some(mut gradient) = gradients.x {
                sums.append(&mut gradient);
            }
            give(weight, gradients.weight)?;
            if let Some(bias) = bias {
                give(bias, gradients.bias)?;
            }
        }
        match x.track_op() {
            true => hand_over(x, Tensor::from_vec(sums, x.shape(), &Device::Cpu)?),
            false => Ok(None),
        }
    }
}

/// The elements of a member.
fn chunk<T>(all: &[T], member: usize, elements: usize) -> Result<&[T]> {
    match all.get(member * elements..(member + 1) * elements) {
        Some(chunk) => Ok(chunk),
        None => bail!("no elements of member {member}"),
    }
}

/// Hands over the gradient of a member's variable.
pub(in crate::nn) fn give<T: Real>(var: &Tensor, gradient: Option<Vec<T>>) -> Result<()> {
    let Some(gradient) = gradient else { return Ok(()) };
    match hand_over(var, Tensor::from_vec(gradient, var.shape(), &Device::Cpu)?)? {
        None => Ok(()),
        Some(_) => bail!("the gradients of members are for nn::backward"),
    }
}

impl<F: Fused> CustomOp2 for Stacked<F> {
    fn name(&self) -> &'static str {
        F::NAME
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        layout: &Layout,
        _: &CpuStorage,
        _: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        match x {
            CpuStorage::F64(_) => self.outputs(cpu::storage_slice::<f64>(x, layout)?, layout.shape()),
            _ => self.outputs(cpu::storage_slice::<f32>(x, layout)?, layout.shape()),
        }
    }

    fn bwd(
        &self,
        x: &Tensor,
        _: &Tensor,
        y: &Tensor,
        g: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let of_x = match x.dtype() {
            DType::F64 => self.gradients::<f64>(x, y, g)?,
            _ => self.gradients::<f32>(x, y, g)?,
        };
        Ok((of_x, None))
    }
}
