//! Layers with weights as one operation of the graph.
use crate::{
    kernels::{
        cpu,
        float::Real,
        gradients::{Gradients, Wanted},
    },
    nn::{
        gradients::{apply_op2, apply_op3, hand_over},
        stack,
    },
};
use candle_core::{CpuStorage, CustomOp2, CustomOp3, DType, Device, Layout, Result, Shape, Tensor};
use std::cell::Cell;

/// What a layer computes of its inputs, its weights and its bias: contiguous, on the CPU, and of one type, f32 or
/// f64.
pub(super) trait Fused: Send + Sync + Sized {
    const NAME: &'static str;

    /// The layer for each of `parts` equal parts of its rows, one after the other.
    fn split(&self, parts: usize) -> Result<Vec<Self>>;

    /// The shape of the outputs.
    fn outputs(&self, x: &Shape, weight: &Shape) -> Result<Shape>;

    /// The outputs.
    fn forward<T: Real>(&self, of: Operands<'_, T>) -> Result<Vec<T>>;

    /// Appends the outputs to others.
    fn extend<T: Real>(&self, of: Operands<'_, T>, others: &mut Vec<T>) -> Result<()> {
        others.append(&mut self.forward(of)?);
        Ok(())
    }

    /// The gradients that are wanted, from the outputs and their gradient.
    fn backward<T: Real>(
        &self,
        of: Operands<'_, T>,
        y: &[T],
        g: &[T],
        wanted: Wanted,
    ) -> Result<Gradients<T>>;
}

/// The elements of the operands and their shapes.
#[derive(Clone, Copy)]
pub(super) struct Operands<'a, T> {
    pub(super) x: &'a [T],
    pub(super) x_shape: &'a Shape,
    pub(super) weight: &'a [T],
    pub(super) weight_shape: &'a Shape,
    pub(super) bias: Option<&'a [T]>,
}

/// The outputs of a layer as one operation, for tensors that [fit](fits). It makes them contiguous. In a pass for several
/// members it uses the weights of each member for its part of the rows.
pub(super) fn apply<F: Fused + 'static>(
    layer: F,
    x: &Tensor,
    weight: &Tensor,
    bias: Option<&Tensor>,
) -> Result<Tensor> {
    if stack::is_passing() {
        return stack::apply(layer, x, weight, bias);
    }
    let (x, weight) = (x.contiguous()?, weight.contiguous()?);
    match bias {
        Some(bias) => apply_op3(&x, &weight, &bias.contiguous()?, Operation(layer)),
        None => apply_op2(&x, &weight, Operation(layer)),
    }
}

thread_local! {
    static IN_PARTS: Cell<bool> = const { Cell::new(false) };
}

/// Runs forward passes in which linear layers and convolutions are made of candle's operations and activations are
/// operations of their own, so that the graph shows what each of them does.
pub(crate) fn in_parts<T>(forward: impl FnOnce() -> T) -> T {
    /// Sets it back, also when the pass is left by a panic.
    struct Outer(bool);
    impl Drop for Outer {
        fn drop(&mut self) {
            IN_PARTS.set(self.0);
        }
    }
    let _outer = Outer(IN_PARTS.replace(true));
    forward()
}

/// Whether a pass on this thread is [in parts](in_parts).
pub(super) fn is_in_parts() -> bool {
    IN_PARTS.get()
}

/// Whether a layer can be one operation for these tensors.
pub(super) fn fits(x: &Tensor, weight: &Tensor, bias: Option<&Tensor>) -> bool {
    if is_in_parts() {
        return false;
    }
    let dtype = x.dtype();
    let fits = |t: &Tensor| t.dtype() == dtype && t.device().is_cpu();
    matches!(dtype, DType::F32 | DType::F64) && [Some(x), Some(weight), bias].into_iter().flatten().all(fits)
}

struct Operation<F>(F);

/// The elements and the layout of an operand.
type Operand<'a> = (&'a CpuStorage, &'a Layout);

impl<F: Fused> Operation<F> {
    fn forward(
        &self,
        x: Operand<'_>,
        weight: Operand<'_>,
        bias: Option<Operand<'_>>,
    ) -> Result<(CpuStorage, Shape)> {
        let y = match x.0 {
            CpuStorage::F64(_) => self.values::<f64>(x, weight, bias)?,
            _ => self.values::<f32>(x, weight, bias)?,
        };
        Ok((y, self.0.outputs(x.1.shape(), weight.1.shape())?))
    }

    fn values<T: Real>(
        &self,
        x: Operand<'_>,
        weight: Operand<'_>,
        bias: Option<Operand<'_>>,
    ) -> Result<CpuStorage> {
        let slice = |(storage, layout)| cpu::storage_slice::<T>(storage, layout);
        let y = self.0.forward(Operands {
            x: slice(x)?,
            x_shape: x.1.shape(),
            weight: slice(weight)?,
            weight_shape: weight.1.shape(),
            bias: bias.map(slice).transpose()?,
        })?;
        Ok(T::to_cpu_storage_owned(y))
    }

    /// The gradients of the inputs, the weights and the bias, for candle's store.
    fn backward(
        &self,
        x: &Tensor,
        weight: &Tensor,
        bias: Option<&Tensor>,
        y: &Tensor,
        g: &Tensor,
    ) -> Result<[Option<Tensor>; 3]> {
        match x.dtype() {
            DType::F64 => self.gradients::<f64>(x, weight, bias, y, g),
            _ => self.gradients::<f32>(x, weight, bias, y, g),
        }
    }

    fn gradients<T: Real>(
        &self,
        x: &Tensor,
        weight: &Tensor,
        bias: Option<&Tensor>,
        y: &Tensor,
        g: &Tensor,
    ) -> Result<[Option<Tensor>; 3]> {
        let g = g.contiguous()?;
        let wanted =
            Wanted { x: x.track_op(), weight: weight.track_op(), bias: bias.is_some_and(Tensor::track_op) };
        let of = {
            let [x_elements, weight_elements, y, g] = [x, weight, y, &g].map(cpu::Elements::of);
            let (x_elements, weight_elements) = (x_elements?, weight_elements?);
            let bias = bias.map(cpu::Elements::of).transpose()?;
            let operands = Operands {
                x: x_elements.as_slice()?,
                x_shape: x.shape(),
                weight: weight_elements.as_slice()?,
                weight_shape: weight.shape(),
                bias: bias.as_ref().map(cpu::Elements::as_slice).transpose()?,
            };
            self.0.backward::<T>(operands, y?.as_slice()?, g?.as_slice()?, wanted)?
        };
        let give = |values: Option<Vec<T>>, like: Option<&Tensor>| match (values, like) {
            (Some(values), Some(like)) => {
                hand_over(like, Tensor::from_vec(values, like.shape(), &Device::Cpu)?)
            }
            _ => Ok(None),
        };
        Ok([give(of.x, Some(x))?, give(of.weight, Some(weight))?, give(of.bias, bias)?])
    }
}

impl<F: Fused> CustomOp2 for Operation<F> {
    fn name(&self) -> &'static str {
        F::NAME
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        x_layout: &Layout,
        weight: &CpuStorage,
        weight_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        self.forward((x, x_layout), (weight, weight_layout), None)
    }

    fn bwd(
        &self,
        x: &Tensor,
        weight: &Tensor,
        y: &Tensor,
        g: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let [x, weight, _] = self.backward(x, weight, None, y, g)?;
        Ok((x, weight))
    }
}

impl<F: Fused> CustomOp3 for Operation<F> {
    fn name(&self) -> &'static str {
        F::NAME
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        x_layout: &Layout,
        weight: &CpuStorage,
        weight_layout: &Layout,
        bias: &CpuStorage,
        bias_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        self.forward((x, x_layout), (weight, weight_layout), Some((bias, bias_layout)))
    }

    fn bwd(
        &self,
        x: &Tensor,
        weight: &Tensor,
        bias: &Tensor,
        y: &Tensor,
        g: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let [x, weight, bias] = self.backward(x, weight, Some(bias), y, g)?;
        Ok((x, weight, bias))
    }
}
