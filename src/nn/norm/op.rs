//! Normalization as one operation of the graph on the CPU, and as tensor operations elsewhere.
use crate::{
    kernels::{
        cpu,
        float::Real,
        gradients::{Gradients, Wanted},
        normalize::{Dims, Moments, Normalization, Sets},
    },
    nn::{
        fused::{self, Fused, Operands},
        then::Then,
    },
};
use candle_core::{bail, DType, Device, Result, Shape, Tensor};

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
    /// What follows.
    pub(super) then: Then,
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
        // The activation of numbers in half precision is that of rounded numbers.
        let (within, behind) = match x.device().is_cpu() && dtype == inner && !fused::is_in_parts() {
            true => (self.then, Then::Nothing),
            false => (Then::Nothing, self.then),
        };
        let (y, measured) = match (x.device().is_cpu(), inner) {
            (true, DType::F64) => self.fused::<f64>(&wide.contiguous()?, given, within)?,
            (true, _) => self.fused::<f32>(&wide.contiguous()?, given, within)?,
            (false, _) => self.by_tensors(&wide, given)?,
        };
        // An operation of candle's that changes nothing would make the backward pass slower.
        let y = if y.shape() == shape { y } else { y.reshape(shape)? };
        Ok((behind.forward(y.to_dtype(dtype)?)?, measured))
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

    fn fused<T: Real>(&self, x: &Tensor, given: Option<Measured>, then: Then) -> Result<(Tensor, Measured)> {
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
        let by = Normalization { dims, sets, means, scales, measured: !fixed, center };
        let (weight, bias) = (self.affine(self.weight, 1., x)?, self.affine(self.bias, 0., x)?);
        Ok((fused::apply(Normalize { by, then }, x, &weight, Some(&bias))?, measured))
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

/// A normalization of inputs, with weights and biases, and the activation after it.
struct Normalize {
    by: Normalization,
    then: Then,
}

impl Fused for Normalize {
    const NAME: &'static str = "normalize";

    fn outputs(&self, x: &Shape, _: &Shape) -> Result<Shape> {
        Ok(x.clone())
    }

    fn forward<T: Real>(&self, of: Operands<'_, T>) -> Result<Vec<T>> {
        let Some(bias) = of.bias else { bail!("expected a bias") };
        let mut y = self.by.apply(of.x, of.weight, bias);
        self.then.apply(&mut y);
        Ok(y)
    }

    fn backward<T: Real>(
        &self,
        of: Operands<'_, T>,
        y: &[T],
        g: &[T],
        wanted: Wanted,
    ) -> Result<Gradients<T>> {
        Ok(self.by.backward(of.x, of.weight, &self.then.gradient(y, g), wanted))
    }
}
