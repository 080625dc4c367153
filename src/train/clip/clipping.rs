//! How the gradients of one step are clipped.
use crate::{
    kernels::{cpu, float::Real, simd::vectorized, sums::fold_in_lanes},
    train::Clip,
    weights::members::has_entries,
    Error, Result,
};
use candle_core::{DType, Device, Result as CResult, Tensor};

/// Clipping of one element: `g ← max(−bound, min(bound, scale · g))`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Limits {
    pub(crate) scale: f64,
    pub(crate) bound: f64,
}

impl Default for Limits {
    fn default() -> Self {
        Self::scale(1.0)
    }
}

impl Limits {
    fn scale(scale: f64) -> Self {
        Self { scale, bound: f64::INFINITY }
    }

    /// Clips all elements of a tensor.
    pub(crate) fn apply(self, gradient: &Tensor) -> CResult<Tensor> {
        let scaled = if self.scale == 1.0 { gradient.clone() } else { (gradient * self.scale)? };
        if self.bound.is_finite() {
            scaled.clamp(-self.bound, self.bound)
        } else {
            Ok(scaled)
        }
    }
}

/// How the gradients of one step are clipped.
#[derive(Debug)]
pub(crate) enum Clipping {
    /// All in the same way.
    All(Limits),
    /// Each variable in its own way.
    Variables(Vec<Limits>),
    /// Each unit of each variable by its own factor, after all have been multiplied by `factor`. A variable
    /// that is not clipped has no factors; one that is a unit as a whole has one.
    Units { factor: f64, factors: Vec<Vec<f64>> },
}

impl Clip {
    /// How the gradients of variables are clipped, after they have been multiplied by `factor`: names, variables and gradients.
    pub(crate) fn clipping<'a>(
        &self,
        gradients: impl Iterator<Item = (&'a str, &'a Tensor, &'a Tensor)>,
        factor: f64,
    ) -> CResult<Clipping> {
        self.check()?;
        let at_most = |max: f64, norm: f64| if norm > max { max / norm } else { 1.0 };
        let all = |gradients: &mut dyn Iterator<Item = (_, _, &'a Tensor)>| {
            finite("the norm of the gradients", norm(gradients.map(|(_, _, g)| g))? * factor)
        };
        Ok(match *self {
            Self::None => Clipping::All(Limits::scale(factor)),
            Self::Value(bound) => Clipping::All(Limits { scale: factor, bound }),
            Self::Norm(max) => {
                let norm = all(&mut { gradients })?;
                Clipping::All(Limits::scale(factor * at_most(max, norm)))
            }
            Self::Normalize(to) => {
                let norm = all(&mut { gradients })?;
                Clipping::All(Limits::scale(factor * if norm > 0.0 { to / norm } else { 1.0 }))
            }
            Self::NormPerVariable(max) => {
                let limits = |(_, _, gradient)| {
                    let norm = norm([gradient].into_iter())? * factor;
                    let norm = finite("the norm of a gradient", norm)?;
                    Ok(Limits::scale(factor * at_most(max, norm)))
                };
                Clipping::Variables(gradients.map(limits).collect::<CResult<_>>()?)
            }
            Self::Adaptive { ratio, floor } => {
                let factors = |(name, weights, gradient): (&str, &Tensor, &Tensor)| {
                    // A gradient of another shape is an error of the step, which names the variable.
                    if weights.dims() != gradient.dims() || weights.elem_count() == 0 {
                        return Ok(vec![]);
                    }
                    let units = units(name, weights.dims());
                    let norms = unit_norms(weights, units)?.into_iter().zip(unit_norms(gradient, units)?);
                    let one = |(weights, gradient): (f64, f64)| {
                        let norm = finite("the norm of a gradient", gradient * factor)?;
                        Ok(at_most(ratio * weights.max(floor), norm))
                    };
                    let factors = norms.map(one).collect::<CResult<Vec<_>>>()?;
                    Ok(if factors.iter().all(|factor| *factor == 1.0) { vec![] } else { factors })
                };
                Clipping::Units { factor, factors: gradients.map(factors).collect::<CResult<_>>()? }
            }
        })
    }
}

impl Clipping {
    /// The limits for the gradient of variable number `index` among those with a gradient. Where elements of
    /// it have different limits, also the gradient to which the limits apply.
    pub(crate) fn of(&self, index: usize, gradient: &Tensor) -> CResult<(Limits, Option<Tensor>)> {
        match self {
            Self::All(limits) => Ok((*limits, None)),
            Self::Variables(limits) => Ok((limits.get(index).copied().unwrap_or_default(), None)),
            Self::Units { factor, factors } => match factors.get(index).map(Vec::as_slice) {
                None | Some([]) => Ok((Limits::scale(*factor), None)),
                Some([one]) => Ok((Limits::scale(*factor * one), None)),
                Some(factors) => Ok((Limits::scale(*factor), Some(scale_units(gradient, factors)?))),
            },
        }
    }
}

/// The number of units of a variable. One with an entry for each of several members has the units of each entry.
fn units(name: &str, dims: &[usize]) -> usize {
    let of_entry = |dims: &[usize]| match dims {
        [units, _, ..] => *units,
        _ => 1,
    };
    match dims {
        [members, entry @ ..] if has_entries(name) => members * of_entry(entry),
        dims => of_entry(dims),
    }
}

fn finite(what: &str, norm: f64) -> Result<f64> {
    if norm.is_finite() {
        Ok(norm)
    } else {
        Err(Error::invalid(what, "finite", norm))
    }
}

/// The Euclidean norm over the elements of all tensors, summed in `f64` in the order of the tensors.
pub(crate) fn norm<'a>(tensors: impl Iterator<Item = &'a Tensor>) -> CResult<f64> {
    let mut sum = 0.0;
    for tensor in tensors {
        sum += match (tensor.device().is_cpu(), tensor.dtype()) {
            (true, DType::F32) => on_cpu::<f32, _>(tensor, squares)?,
            (true, DType::F64) => on_cpu::<f64, _>(tensor, squares)?,
            // Squares of half-precision numbers overflow early.
            (_, DType::F64) => tensor.sqr()?.sum_all()?.to_scalar::<f64>()?,
            _ => f64::from(tensor.to_dtype(DType::F32)?.sqr()?.sum_all()?.to_scalar::<f32>()?),
        };
    }
    Ok(sum.sqrt())
}

/// The Euclidean norms of the `units` parts of equal size, in row-major order.
fn unit_norms(tensor: &Tensor, units: usize) -> CResult<Vec<f64>> {
    let length = (tensor.elem_count() / units.max(1)).max(1);
    match (tensor.device().is_cpu(), tensor.dtype()) {
        (true, DType::F32) => on_cpu::<f32, _>(tensor, |x| roots(x, length)),
        (true, DType::F64) => on_cpu::<f64, _>(tensor, |x| roots(x, length)),
        (_, dtype) => {
            let wide = if dtype == DType::F64 { DType::F64 } else { DType::F32 };
            let parts = tensor.detach().to_dtype(wide)?.reshape((units, length))?;
            // Converted on the CPU, because not every device has f64.
            parts.sqr()?.sum(1)?.sqrt()?.to_device(&Device::Cpu)?.to_dtype(DType::F64)?.to_vec1()
        }
    }
}

#[inline(always)]
fn roots<T: Real>(x: &[T], length: usize) -> Vec<f64> {
    x.chunks(length).map(|unit| squares(unit).sqrt()).collect()
}

#[inline(always)]
fn squares<T: Real>(x: &[T]) -> f64 {
    fold_in_lanes(x, 0.0, |sum, x| sum + x.wide() * x.wide(), |a, b| a + b)
}

fn on_cpu<T: Real, R>(tensor: &Tensor, work: impl Fn(&[T]) -> R) -> CResult<R> {
    // Always in the order of the elements, so that the sum does not depend on the layout.
    cpu::with_slice(tensor, |x: &[T]| {
        vectorized(
            #[inline(always)]
            || work(x),
        )
    })
}

/// The tensor with each of its parts of equal size, in row-major order, multiplied by its own factor.
fn scale_units(tensor: &Tensor, factors: &[f64]) -> CResult<Tensor> {
    fn scaled<T: Real>(tensor: &Tensor, factors: &[f64]) -> CResult<Tensor> {
        let length = (tensor.elem_count() / factors.len().max(1)).max(1);
        let work = |x: &[T]| {
            let mut all = x.to_vec();
            for (unit, factor) in all.chunks_mut(length).zip(factors) {
                let factor = T::of(*factor);
                unit.iter_mut().for_each(|x| *x *= factor);
            }
            all
        };
        Tensor::from_vec(on_cpu(tensor, work)?, tensor.shape(), &Device::Cpu)
    }
    match (tensor.device().is_cpu(), tensor.dtype()) {
        (true, DType::F32) => scaled::<f32>(tensor, factors),
        (true, DType::F64) => scaled::<f64>(tensor, factors),
        (_, dtype) => {
            let wide = if dtype == DType::F64 { DType::F64 } else { DType::F32 };
            let parts = tensor.detach().to_dtype(wide)?.reshape((factors.len(), ()))?;
            let factors = Tensor::new(factors, &Device::Cpu)?.to_dtype(wide)?.to_device(tensor.device())?;
            parts.broadcast_mul(&factors.unsqueeze(1)?)?.reshape(tensor.shape())
        }
    }
}
