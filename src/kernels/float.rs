//! The floating-point types for which the crate has loops of its own.
use crate::kernels::{exp::exp_of_negative, ln::ln_1p_of_share, tanh::tanh};
use candle_core::{
    cpu::erf::{erfc_f32, erfc_f64},
    CpuStorage, Result as CResult, WithDType,
};
use pulp::bytemuck::Pod;
use std::iter::Sum;

/// `f32` or `f64`, as a type of tensor elements. Sums over elements are in `f64`.
pub(crate) trait Number: WithDType + Into<f64> + Sum + Pod {}

impl Number for f32 {}
impl Number for f64 {}

/// A [`Number`] with the functions that the loops over slices need.
pub(crate) trait Real: Number {
    /// The smallest normal number.
    const TINY: Self;

    /// An `f64`, rounded to this type.
    fn of(x: f64) -> Self;
    /// The number as an `f64`, which is exact.
    fn wide(self) -> f64;
    /// The square root.
    fn sqrt(self) -> Self;
    /// The exponential.
    fn exp(self) -> Self;
    /// The exponential minus one.
    fn exp_m1(self) -> Self;
    /// The natural logarithm.
    fn ln(self) -> Self;
    /// The natural logarithm of one plus the number.
    fn ln_1p(self) -> Self;
    /// The exponential of a number that is not above 0, in operations that vector units have for f32.
    fn exp_of_negative(self) -> Self;
    /// The natural logarithm of one plus the number, which is from 0 to 1, in operations that vector units
    /// have for f32.
    fn ln_1p_of_share(self) -> Self;
    /// The hyperbolic tangent, in operations that vector units have for f32.
    fn tanh(self) -> Self;
    /// One minus the error function.
    fn erfc(self) -> Self;
    /// The absolute value.
    fn abs(self) -> Self;
    /// Whether the number has a minus sign, as −0 has.
    fn has_minus(self) -> bool;
    /// Whether it is not a number.
    fn is_nan(self) -> bool;
    /// Replaces each `x` by `e^x`. No `x` may be above 0.
    fn exp_all(numbers: &mut [Self]);
    /// All elements of a storage of this type; an error for another type.
    fn storage_slice_mut(storage: &mut CpuStorage) -> CResult<&mut [Self]>;

    /// The number, limited to the range from `-bound` to `bound`; NaN stays NaN.
    #[inline(always)]
    fn within(self, bound: Self) -> Self {
        if self > bound {
            bound
        } else if self < Self::zero() - bound {
            Self::zero() - bound
        } else {
            self
        }
    }

    /// 0 for a subnormal number, else the number itself. A decaying average of zeros would stay subnormal for
    /// ever (0.9 times the smallest number rounds to the smallest number), and a processor takes some hundred
    /// cycles for an operation on a subnormal number.
    #[inline(always)]
    fn flushed(self) -> Self {
        if self.abs() < Self::TINY {
            Self::zero()
        } else {
            self
        }
    }
}

macro_rules! real {
    ($float:ident, $storage:ident, $exp:expr, $ln_1p_of_share:expr, $tanh:expr, $erfc:expr) => {
        impl Real for $float {
            const TINY: Self = $float::MIN_POSITIVE;

            #[inline(always)]
            fn of(x: f64) -> Self {
                x as Self
            }

            #[inline(always)]
            fn wide(self) -> f64 {
                self.into()
            }

            #[inline(always)]
            fn sqrt(self) -> Self {
                $float::sqrt(self)
            }

            #[inline(always)]
            fn exp(self) -> Self {
                $float::exp(self)
            }

            #[inline(always)]
            fn exp_m1(self) -> Self {
                $float::exp_m1(self)
            }

            #[inline(always)]
            fn ln(self) -> Self {
                $float::ln(self)
            }

            #[inline(always)]
            fn ln_1p(self) -> Self {
                $float::ln_1p(self)
            }

            #[inline(always)]
            fn exp_of_negative(self) -> Self {
                $exp(self)
            }

            #[inline(always)]
            fn ln_1p_of_share(self) -> Self {
                $ln_1p_of_share(self)
            }

            #[inline(always)]
            fn tanh(self) -> Self {
                $tanh(self)
            }

            #[inline(always)]
            fn erfc(self) -> Self {
                $erfc(self)
            }

            #[inline(always)]
            fn abs(self) -> Self {
                $float::abs(self)
            }

            #[inline(always)]
            fn has_minus(self) -> bool {
                self.is_sign_negative()
            }

            #[inline(always)]
            fn is_nan(self) -> bool {
                $float::is_nan(self)
            }

            #[inline(always)]
            fn exp_all(numbers: &mut [Self]) {
                for x in numbers {
                    *x = x.exp_of_negative();
                }
            }

            fn storage_slice_mut(storage: &mut CpuStorage) -> CResult<&mut [Self]> {
                match storage {
                    CpuStorage::$storage(numbers) => Ok(numbers),
                    _ => candle_core::bail!("expected elements of type {:?}", Self::DTYPE),
                }
            }
        }
    };
}

real!(f32, F32, exp_of_negative, ln_1p_of_share, tanh, erfc_f32);
real!(f64, F64, f64::exp, f64::ln_1p, f64::tanh, erfc_f64);

/// The f16 with these bits as an f32, without a branch. Shifted into place, the bits are those of the f32
/// that is 2¹¹² times smaller; the largest exponent stands for infinities and NaN.
#[inline(always)]
pub(crate) fn f32_from_f16_bits(bits: u16) -> f32 {
    const SCALE: f32 = f32::from_bits((127 + 112) << 23);
    let magnitude = u32::from(bits & 0x7fff) << 13;
    let scaled = (f32::from_bits(magnitude) * SCALE).to_bits();
    let special = if magnitude >= 31 << 23 { 0xff << 23 } else { 0 };
    f32::from_bits(scaled | special | u32::from(bits & 0x8000) << 16)
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::{Device, Tensor};

    #[test]
    fn every_f16_is_converted_exactly() -> CResult<()> {
        let all = Tensor::arange(0u32, 1 << 16, &Device::Cpu)?.to_vec1::<u32>()?;
        for bits in all {
            let bits = bits as u16;
            let (sign, exponent, digits) = (bits >> 15, i32::from(bits >> 10 & 31), f64::from(bits & 1023));
            let got = f64::from(f32_from_f16_bits(bits));
            let exact = match exponent {
                0 => digits * 2f64.powi(-24),
                31 if digits > 0. => f64::NAN,
                31 => f64::INFINITY,
                e => (1024. + digits) * 2f64.powi(e - 25),
            };
            let exact = if sign == 1 { -exact } else { exact };
            assert!(
                got.to_bits() == exact.to_bits() || got.is_nan() && exact.is_nan(),
                "{bits:x}: {got} {exact}"
            );
        }
        Ok(())
    }
}
