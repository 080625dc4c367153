//! Gradient clipping.
use crate::{
    check::positive,
    kernels::{cpu, float::Real, simd::vectorized, sums::fold_in_lanes},
    Error, Result,
};
use candle_core::{DType, Result as CResult, Tensor};
use serde::{Deserialize, Serialize};

/// Gradient clipping: limits gradients before the optimizer uses them, and before it adds weight decay to
/// them.
///
/// ```text
/// Value(c):  g ← max(−c, min(c, g))          for each element
/// Norm(c):   g ← g · min(1, c / ‖g‖)         with ‖g‖ over every element of every variable
/// ```
///
/// Use [`Clip::Norm`] for networks whose gradients sometimes explode, such as recurrent and very deep ones:
/// it keeps the direction of the step. Use [`Clip::Value`] when single elements are extreme. Do not clip to
/// hide a learning rate that is too high.
///
/// Cost: [`Clip::Value`] is part of the update and costs next to nothing; [`Clip::Norm`] reads all gradients
/// once more.
///
/// # Errors
/// A session returns [`Error::Invalid`] before it trains, if the limit is not positive and finite. With
/// [`Clip::Norm`] a step fails if the norm is not finite; the step then changes nothing.
///
/// # Source
/// Pascanu, Mikolov and Bengio 2013, arXiv:1211.5063.
///
/// ```
/// use candle_ensemble::train::Clip;
///
/// assert!(Clip::Norm(1.0).check().is_ok());
/// let e = Clip::Value(-1.0).check().unwrap_err().to_string();
/// assert_eq!(e, "Clip::Value must be positive and finite, but is -1");
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Clip {
    /// No clipping.
    #[default]
    None,
    /// Limits each element to the range from `−c` to `c`. Infinite elements become `±c`. NaN stays NaN, so
    /// that the next loss shows it.
    Value(f64),
    /// Scales all gradients together, so that their Euclidean norm is at most `c`.
    Norm(f64),
}

impl Clip {
    /// Checks that the limit is positive and finite.
    ///
    /// # Errors
    /// [`Error::Invalid`] that names the limit.
    pub fn check(&self) -> Result<()> {
        match *self {
            Self::None => Ok(()),
            Self::Value(c) => positive("Clip::Value", c),
            Self::Norm(c) => positive("Clip::Norm", c),
        }
    }

    /// How each element of these gradients is clipped.
    pub(crate) fn limits<'a>(&self, gradients: impl Iterator<Item = &'a Tensor>) -> CResult<Limits> {
        self.check()?;
        match *self {
            Self::None => Ok(Limits::default()),
            Self::Value(bound) => Ok(Limits { scale: 1.0, bound }),
            Self::Norm(max) => {
                let norm = norm(gradients)?;
                if !norm.is_finite() {
                    return Err(Error::invalid("the norm of the gradients", "finite", norm).into());
                }
                Ok(Limits { scale: if norm > max { max / norm } else { 1.0 }, bound: f64::INFINITY })
            }
        }
    }
}

/// Clipping of one element: `g ← max(−bound, min(bound, scale · g))`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    pub(crate) scale: f64,
    pub(crate) bound: f64,
}

impl Default for Limits {
    fn default() -> Self {
        Self { scale: 1.0, bound: f64::INFINITY }
    }
}

impl Limits {
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

/// The Euclidean norm over the elements of all tensors, summed in `f64` in the order of the tensors.
pub(crate) fn norm<'a>(tensors: impl Iterator<Item = &'a Tensor>) -> CResult<f64> {
    let mut sum = 0.0;
    for tensor in tensors {
        sum += match (tensor.device().is_cpu(), tensor.dtype()) {
            (true, DType::F32) => on_cpu::<f32>(tensor)?,
            (true, DType::F64) => on_cpu::<f64>(tensor)?,
            // Squares of half-precision numbers overflow early.
            (_, DType::F64) => tensor.sqr()?.sum_all()?.to_scalar::<f64>()?,
            _ => f64::from(tensor.to_dtype(DType::F32)?.sqr()?.sum_all()?.to_scalar::<f32>()?),
        };
    }
    Ok(sum.sqrt())
}

fn on_cpu<T: Real>(tensor: &Tensor) -> CResult<f64> {
    // Always in the order of the elements, so that the sum does not depend on the layout.
    cpu::with_slice(tensor, |x: &[T]| {
        vectorized(
            #[inline(always)]
            || fold_in_lanes(x, 0.0, |sum, x| sum + x.wide() * x.wide(), |a, b| a + b),
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::Device;

    #[test]
    fn the_norm_is_the_euclidean_norm_over_all_tensors_in_every_type_and_layout() -> CResult<()> {
        let cpu = &Device::Cpu;
        // 1² + … + 70² = 70 · 71 · 141 / 6, and 3² + 4² on top.
        let expected = (70f64 * 71.0 * 141.0 / 6.0 + 25.0).sqrt();
        let long = Tensor::arange(1f64, 71f64, cpu)?.reshape((7, 10))?;
        let short = Tensor::new(&[3f64, 4.0], cpu)?;
        for dtype in [DType::F32, DType::F64, DType::BF16] {
            let (long, short) = (long.to_dtype(dtype)?, short.to_dtype(dtype)?);
            let transposed = long.t()?;
            for long in [&long, &transposed] {
                let got = norm([long, &short].into_iter())?;
                assert!((got - expected).abs() < 1e-12 * expected, "{dtype:?}: {got} against {expected}");
            }
        }
        Ok(())
    }

    #[test]
    fn squares_that_overflow_f32_do_not_overflow_the_norm() -> CResult<()> {
        let big = Tensor::new(&[3e30f32, 4e30], &Device::Cpu)?;
        assert!((norm([&big].into_iter())? / 5e30 - 1.0).abs() < 1e-7);
        Ok(())
    }

    #[test]
    fn only_a_norm_beyond_the_limit_is_scaled() -> CResult<()> {
        let g = Tensor::new(&[3f32, 4.0], &Device::Cpu)?;
        let scale = |c| Clip::Norm(c).limits([&g].into_iter()).map(|l| l.scale);
        assert_eq!(scale(5.0)?, 1.0);
        assert_eq!(scale(50.0)?, 1.0);
        assert_eq!(scale(1.0)?, 0.2);
        Ok(())
    }

    #[test]
    fn a_norm_that_is_not_finite_is_an_error() -> CResult<()> {
        for bad in [f32::NAN, f32::INFINITY] {
            let g = Tensor::new(&[1f32, bad], &Device::Cpu)?;
            let e = Error::from(Clip::Norm(1.0).limits([&g].into_iter()).unwrap_err()).to_string();
            assert!(e.starts_with("the norm of the gradients must be finite"), "{e}");
        }
        Ok(())
    }

    #[test]
    fn limits_must_be_positive_and_finite() {
        for bad in [0.0, -1.0, f64::NAN, f64::INFINITY] {
            assert!(Clip::Norm(bad).check().is_err());
            assert!(Clip::Value(bad).check().is_err());
        }
        assert!(Clip::None.check().is_ok());
    }
}
