//! Normalization as one operation of the graph on the CPU, and as tensor operations elsewhere.
use crate::kernels::{
    cpu,
    float::Real,
    normalize::{Dims, Moments, Normalization, Sets},
};
use candle_core::{CpuStorage, CustomOp3, DType, Device, Layout, Result, Shape, Tensor};

/// The means and variances of a tensor's sets, for running statistics.
#[derive(Clone, Debug)]
pub(super) struct Measured {
    pub(super) means: Vec<f64>,
    /// Divided by the number of elements.
    pub(super) variances: Vec<f64>,
}

/// What a layer does to its inputs.
#[derive(Clone, Copy, Debug)]
pub(super) struct Layer<'a> {
    pub(super) dims: Dims,
    pub(super) sets: Sets,
    pub(super) eps: f64,
    /// Whether the mean is removed.
    pub(super) center: bool,
    pub(super) weight: Option<&'a Tensor>,
    pub(super) bias: Option<&'a Tensor>,
}

/// The type in which a type is computed.
fn computed_in(dtype: DType) -> DType {
    match dtype {
        DType::F64 => DType::F64,
        _ => DType::F32,
    }
}

impl Layer<'_> {
    /// The inputs, normalized by their own means and variances.
    pub(super) fn normalize(&self, x: &Tensor) -> Result<(Tensor, Measured)> {
        self.compute(x, None)
    }

    /// The inputs, normalized by the given means and variances.
    pub(super) fn normalize_by(&self, x: &Tensor, measured: Measured) -> Result<Tensor> {
        Ok(self.compute(x, Some(measured))?.0)
    }

    fn compute(&self, x: &Tensor, given: Option<Measured>) -> Result<(Tensor, Measured)> {
        let (dtype, shape) = (x.dtype(), x.shape());
        let inner = computed_in(dtype);
        let wide = x.to_dtype(inner)?;
        let (y, measured) = match (x.device().is_cpu(), inner) {
            (true, DType::F64) => self.fused::<f64>(&wide.contiguous()?, given)?,
            (true, _) => self.fused::<f32>(&wide.contiguous()?, given)?,
            (false, _) => self.by_tensors(&wide, given)?,
        };
        Ok((y.reshape(shape)?.to_dtype(dtype)?, measured))
    }

    /// A weight or a bias in the type of `x`, or a constant.
    fn affine(&self, tensor: Option<&Tensor>, constant: f64, x: &Tensor) -> Result<Tensor> {
        match tensor {
            Some(tensor) => tensor.to_dtype(x.dtype())?.contiguous(),
            None => Tensor::full(constant, self.dims.channels, &Device::Cpu)?
                .to_dtype(x.dtype())?
                .to_device(x.device()),
        }
    }

    fn fused<T: Real>(&self, x: &Tensor, given: Option<Measured>) -> Result<(Tensor, Measured)> {
        let Self { dims, sets, center, .. } = *self;
        let fixed = given.is_some();
        let measured = match given {
            Some(given) => given,
            None => {
                let Moments { means, variances } =
                    cpu::with_slice(&x.detach(), |x: &[T]| Moments::of(x, dims, sets, center))?;
                Measured { means, variances }
            }
        };
        let scales = measured.variances.iter().map(|v| (v + self.eps).sqrt().recip()).collect();
        let means = measured.means.clone();
        let op = Normalize(Normalization { dims, sets, means, scales, measured: !fixed, center });
        let (weight, bias) = (self.affine(self.weight, 1., x)?, self.affine(self.bias, 0., x)?);
        Ok((x.apply_op3(&weight, &bias, op)?, measured))
    }

    pub(super) fn by_tensors(&self, x: &Tensor, given: Option<Measured>) -> Result<(Tensor, Measured)> {
        let Dims { outer, channels, inner } = self.dims;
        // Four dimensions: rows, groups, channels of a group, elements of a channel.
        let (group, over, sets): (usize, &[usize], Shape) = match self.sets {
            Sets::Channels => (1, &[0, 3], (1, channels, 1, 1).into()),
            Sets::Segments(group) => (group, &[2, 3], (outer, channels / group, 1, 1).into()),
        };
        let x = x.reshape((outer, channels / group, group, inner))?;
        let of_sets = |values: &[f64]| {
            Tensor::from_slice(values, &sets, &Device::Cpu)?.to_dtype(x.dtype())?.to_device(x.device())
        };
        let (mean, variance, measured) = match given {
            Some(given) => (of_sets(&given.means)?, of_sets(&given.variances)?, Some(given)),
            None => {
                let mean = x.mean_keepdim(over)?;
                let mean = if self.center { mean } else { mean.zeros_like()? };
                let variance = x.broadcast_sub(&mean)?.sqr()?.mean_keepdim(over)?;
                (mean, variance, None)
            }
        };
        let numbers = |t: &Tensor| t.detach().to_dtype(DType::F64)?.flatten_all()?.to_vec1::<f64>();
        let measured = match measured {
            Some(measured) => measured,
            None => Measured { means: numbers(&mean)?, variances: numbers(&variance)? },
        };
        let normalized = x.broadcast_sub(&mean)?.broadcast_div(&(variance + self.eps)?.sqrt()?)?;
        let of_channels = (1, channels / group, group, 1);
        let weight = self.affine(self.weight, 1., &x)?.reshape(of_channels)?;
        let bias = self.affine(self.bias, 0., &x)?.reshape(of_channels)?;
        Ok((normalized.broadcast_mul(&weight)?.broadcast_add(&bias)?, measured))
    }
}

/// A normalization of inputs, with weights and biases.
struct Normalize(Normalization);

impl Normalize {
    fn forward<T: Real>(&self, parts: [(&CpuStorage, &Layout); 3]) -> Result<CpuStorage> {
        let [x, weight, bias] = parts.map(|(storage, layout)| cpu::storage_slice::<T>(storage, layout));
        Ok(T::to_cpu_storage_owned(self.0.apply(x?, weight?, bias?)))
    }

    fn backward<T: Real>(
        &self,
        x: &Tensor,
        weight: &Tensor,
        bias: &Tensor,
        g: &Tensor,
    ) -> Result<[Option<Tensor>; 3]> {
        let gradients = cpu::with_slice(&x.detach(), |x: &[T]| {
            cpu::with_slice(&weight.detach(), |weight: &[T]| {
                cpu::with_slice(g, |g: &[T]| self.0.backward(x, weight, g))
            })
        })???;
        let tensor = |values, like: &Tensor| match like.track_op() {
            true => Tensor::from_vec(values, like.shape(), &Device::Cpu).map(Some),
            false => Ok(None),
        };
        Ok([tensor(gradients.x, x)?, tensor(gradients.weight, weight)?, tensor(gradients.bias, bias)?])
    }
}

impl CustomOp3 for Normalize {
    fn name(&self) -> &'static str {
        "normalize"
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
        let parts = [(x, x_layout), (weight, weight_layout), (bias, bias_layout)];
        let y = match x {
            CpuStorage::F64(_) => self.forward::<f64>(parts)?,
            _ => self.forward::<f32>(parts)?,
        };
        Ok((y, x_layout.shape().clone()))
    }

    fn bwd(
        &self,
        x: &Tensor,
        weight: &Tensor,
        bias: &Tensor,
        _: &Tensor,
        g: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let [x, weight, bias] = match x.dtype() {
            DType::F64 => self.backward::<f64>(x, weight, bias, g)?,
            _ => self.backward::<f32>(x, weight, bias, g)?,
        };
        Ok((x, weight, bias))
    }
}
