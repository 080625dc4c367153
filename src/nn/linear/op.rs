//! A linear layer and the activation after it as one operation of the graph.
use crate::{
    kernels::{
        cpu,
        float::Real,
        matmul::{column_sums, Matrix},
    },
    nn::{gradients::hand_over, linear::then::Then},
};
use candle_core::{CpuStorage, CustomOp2, CustomOp3, DType, Device, Layout, Result, Shape, Tensor};

/// `then(x · wᵀ + bias)` for contiguous tensors of one type, f32 or f64, on the CPU. The last dimension of `x`
/// is the second of `w`.
pub(super) fn apply(x: &Tensor, weight: &Tensor, bias: Option<&Tensor>, then: Then) -> Result<Tensor> {
    match bias {
        Some(bias) => apply_op3(x, weight, bias, Dense(then)),
        None => apply_op2(x, weight, Dense(then)),
    }
}

struct Dense(Then);

/// The elements and the layout of an operand.
type Operand<'a> = (&'a CpuStorage, &'a Layout);

impl Dense {
    fn forward(
        &self,
        x: Operand<'_>,
        weight: Operand<'_>,
        bias: Option<Operand<'_>>,
    ) -> Result<(CpuStorage, Shape)> {
        let (outputs, inputs) = weight.1.shape().dims2()?;
        let mut dims = x.1.dims().to_vec();
        if let Some(last) = dims.last_mut() {
            *last = outputs;
        }
        let values = match x.0 {
            CpuStorage::F64(_) => self.values::<f64>(x, weight, bias, inputs)?,
            _ => self.values::<f32>(x, weight, bias, inputs)?,
        };
        Ok((values, dims.into()))
    }

    fn values<T: Real>(
        &self,
        x: Operand<'_>,
        weight: Operand<'_>,
        bias: Option<Operand<'_>>,
        inputs: usize,
    ) -> Result<CpuStorage> {
        let slice = |(storage, layout)| cpu::storage_slice::<T>(storage, layout);
        let (rows, outputs) =
            (rows(x.1.shape(), inputs), weight.1.dims().first().copied().unwrap_or_default());
        let x = Matrix::new(slice(x)?, rows, inputs)?;
        let weight = Matrix::new(slice(weight)?, outputs, inputs)?.t();
        let mut y = match bias {
            None => x.times(weight)?,
            Some(bias) => {
                let mut y = slice(bias)?.repeat(rows);
                x.add_times(weight, &mut y)?;
                y
            }
        };
        self.0.apply(&mut y);
        Ok(T::to_cpu_storage_owned(y))
    }

    /// The gradients of the inputs, the weights and the bias.
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
        let (outputs, inputs) = weight.dims2()?;
        let rows = rows(x.shape(), inputs);
        let g = g.contiguous()?;
        let (g, y) = (cpu::Elements::of(&g)?, cpu::Elements::of(y)?);
        let g = self.0.gradient(y.as_slice::<T>()?, g.as_slice::<T>()?);
        let of_outputs = Matrix::new(&g, rows, outputs)?;
        let tensor = |values, like: &Tensor| Tensor::from_vec(values, like.shape(), &Device::Cpu);
        let (of_x, of_weight) = {
            let (x_elements, weight_elements) = (cpu::Elements::of(x)?, cpu::Elements::of(weight)?);
            let of_x = match x.track_op() {
                true => Some(of_outputs.times(Matrix::new(weight_elements.as_slice()?, outputs, inputs)?)?),
                false => None,
            };
            let of_weight = match weight.track_op() {
                true => Some(of_outputs.t().times(Matrix::new(x_elements.as_slice()?, rows, inputs)?)?),
                false => None,
            };
            (of_x, of_weight)
        };
        let of_bias = bias.filter(|bias| bias.track_op()).map(|_| column_sums(&g, outputs));
        let give = |values: Option<Vec<T>>, like: Option<&Tensor>| match (values, like) {
            (Some(values), Some(like)) => hand_over(like, tensor(values, like)?),
            _ => Ok(None),
        };
        Ok([give(of_x, Some(x))?, give(of_weight, Some(weight))?, give(of_bias, bias)?])
    }
}

/// The number of rows of `columns` elements.
fn rows(shape: &Shape, columns: usize) -> usize {
    match columns {
        // Rows without elements are counted by the other dimensions.
        0 => shape.dims().split_last().map_or(0, |(_, others)| others.iter().product()),
        _ => shape.elem_count() / columns,
    }
}

impl CustomOp2 for Dense {
    fn name(&self) -> &'static str {
        "linear"
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

impl CustomOp3 for Dense {
    fn name(&self) -> &'static str {
        "linear"
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
