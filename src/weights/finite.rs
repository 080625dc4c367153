//! Numbers that are not finite, found in tensors.
use crate::{
    data::values::position,
    kernels::{
        cpu::{contiguous, Elements, FloatLoop},
        simd::vectorized,
    },
    weights::compatibility::is_averaged,
    Result,
};
use candle_core::{DType, Tensor, WithDType};

/// A number that is NaN or infinite, and where in its tensor it is.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct NonFinite {
    pub(crate) value: f64,
    /// One position for each dimension.
    pub(crate) position: Vec<usize>,
}

/// The first number of a tensor, in row-major order, that is NaN or infinite. Integers are always finite.
pub(crate) fn first_non_finite(tensor: &Tensor) -> Result<Option<NonFinite>> {
    if !is_averaged(tensor.dtype()) {
        return Ok(None);
    }
    if !tensor.device().is_cpu() {
        // 0 for finite numbers, NaN otherwise. Only tensors with such a number are copied to the CPU.
        let zero = (tensor.detach() * 0.)?.sum_all()?.to_dtype(DType::F32)?.to_scalar::<f32>()?;
        if !zero.is_nan() {
            return Ok(None);
        }
    }
    let tensor = contiguous(&tensor.detach())?;
    let found = Elements::of(&tensor)?.run(FirstNonFinite)?;
    Ok(found.map(|(at, value)| NonFinite { value, position: position(at, tensor.dims()) }))
}

struct FirstNonFinite;

impl FloatLoop for FirstNonFinite {
    type Out = Option<(usize, f64)>;

    fn run<T: WithDType>(
        self,
        x: &[T],
        load: impl Fn(T) -> f64 + Copy + Send + Sync,
        _: impl Fn(f64) -> T + Copy + Send + Sync,
    ) -> Result<Self::Out> {
        // Without an early exit, so that it is vectorized; numbers are almost always finite.
        let finite = vectorized(
            #[inline(always)]
            || x.iter().fold(0, |beyond, x| beyond | u64::from(!load(*x).is_finite())) == 0,
        );
        if finite {
            return Ok(None);
        }
        Ok(x.iter().map(|x| load(*x)).enumerate().find(|(_, x)| !x.is_finite()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::Device;

    #[test]
    fn the_first_number_that_is_not_finite_is_found_in_every_type_and_layout() -> Result<()> {
        let mut numbers = vec![1f64; 24];
        assert_eq!(first_non_finite(&Tensor::from_slice(&numbers, (2, 3, 4), &Device::Cpu)?)?, None);
        (numbers[17], numbers[22]) = (f64::NEG_INFINITY, f64::NAN);
        let tensor = Tensor::from_slice(&numbers, (2, 3, 4), &Device::Cpu)?;
        for dtype in [DType::F64, DType::F32, DType::F16, DType::BF16] {
            let tensor = tensor.to_dtype(dtype)?;
            let found = first_non_finite(&tensor)?.unwrap();
            assert_eq!((found.value, found.position), (f64::NEG_INFINITY, vec![1, 1, 1]), "{dtype:?}");
            // Transposed, the NaN at [1, 2, 2] comes after it still.
            let found = first_non_finite(&tensor.t()?)?.unwrap();
            assert_eq!(found.position, [1, 1, 1], "{dtype:?}");
            assert!(first_non_finite(&tensor.narrow(1, 2, 1)?)?.unwrap().value.is_nan(), "{dtype:?}");
        }
        let scalar = Tensor::new(f32::NAN, &Device::Cpu)?;
        assert_eq!(first_non_finite(&scalar)?.unwrap().position, [0; 0]);
        assert_eq!(first_non_finite(&Tensor::new(&[1u32, 2], &Device::Cpu)?)?, None);
        assert_eq!(first_non_finite(&Tensor::zeros((0, 3), DType::F32, &Device::Cpu)?)?, None);
        Ok(())
    }
}
