//! The two number types for which there are loops of our own, and how those loops are run.
use candle_core::{CpuStorage, Result as CResult, WithDType};

/// `f32` or `f64`.
pub(crate) trait Real: WithDType {
    /// The smallest normal number.
    const TINY: Self;

    /// Rounded from an `f64`.
    fn of(x: f64) -> Self;
    /// As an `f64`, exactly.
    fn wide(self) -> f64;
    /// Square root.
    fn sqrt(self) -> Self;
    /// Exponential.
    fn exp(self) -> Self;
    /// Natural logarithm.
    fn ln(self) -> Self;
    /// Logarithm of one plus the number.
    fn ln_1p(self) -> Self;
    /// Absolute value.
    fn abs(self) -> Self;
    /// Puts `e^x` in the place of each `x`, which must not be above 0.
    fn exp_all(numbers: &mut [Self]);
    /// The numbers behind a storage.
    fn slice_mut(storage: &mut CpuStorage) -> CResult<&mut [Self]>;

    /// Cut to the range from `-bound` to `bound`; NaN stays NaN.
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

    /// 0 in place of a subnormal number. A decaying average that has nothing left to average would stay
    /// subnormal for ever (0.9 times the least number rounds to the least number), and processors take some
    /// hundred cycles over each.
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
    ($float:ident, $storage:ident, $exp:expr) => {
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
            fn ln(self) -> Self {
                $float::ln(self)
            }

            #[inline(always)]
            fn ln_1p(self) -> Self {
                $float::ln_1p(self)
            }

            #[inline(always)]
            fn abs(self) -> Self {
                $float::abs(self)
            }

            #[inline(always)]
            fn exp_all(numbers: &mut [Self]) {
                for x in numbers {
                    *x = $exp(*x);
                }
            }

            fn slice_mut(storage: &mut CpuStorage) -> CResult<&mut [Self]> {
                match storage {
                    CpuStorage::$storage(numbers) => Ok(numbers),
                    _ => candle_core::bail!("expected numbers of type {:?}", Self::DTYPE),
                }
            }
        }
    };
}

real!(f32, F32, exp_of_negative);
real!(f64, F64, f64::exp);

/// `e^x` for `x ≤ 0`, with a relative error below 2.4e-7, of operations that are done to whole vectors at
/// once. Below the logarithm of the least normal number it is 0.
///
/// `e^x = 2^k e^r` with `k` the integer next to `x / ln 2`, so that `|r| ≤ ln 2 / 2`, where the
/// exponential series up to `r⁷` is off by less than 1e-8.
#[inline(always)]
pub(crate) fn exp_of_negative(x: f32) -> f32 {
    // Adding 1.5 · 2²³ rounds to an integer, and leaves it in the lowest bits of the sum.
    const ROUND: f32 = 12_582_912.0;
    // ln 2 in two parts, the first with so few digits that its product with k is exact.
    const LN_2: f32 = 0.693_359_4;
    const LN_2_REST: f32 = (std::f64::consts::LN_2 - LN_2 as f64) as f32;
    let shifted = x * std::f32::consts::LOG2_E + ROUND;
    let k = shifted - ROUND;
    let r = x - k * LN_2 - k * LN_2_REST;
    let mut series = 1.0 / 5040.0;
    for over_factorial in [1.0 / 720.0, 1.0 / 120.0, 1.0 / 24.0, 1.0 / 6.0, 0.5, 1.0, 1.0] {
        series = series * r + over_factorial;
    }
    let power = f32::from_bits(shifted.to_bits().wrapping_sub(ROUND.to_bits()).wrapping_add(127) << 23);
    if x < -87.336_54 {
        0.0
    } else {
        series * power
    }
}

/// The elements combined by `add`, in a fixed number of partial results that are then combined by `join`:
/// room for vectors, and the same result whatever their width. Too short for that, they are combined one by
/// one.
#[inline(always)]
pub(crate) fn folded<X: Copy, A: Copy>(
    elements: &[X],
    start: A,
    add: impl Fn(A, X) -> A,
    join: impl Fn(A, A) -> A,
) -> A {
    const LANES: usize = 8;
    if elements.len() < 4 * LANES {
        return elements.iter().fold(start, |a, &x| add(a, x));
    }
    let mut lanes = [start; LANES];
    let mut chunks = elements.chunks_exact(LANES);
    for chunk in &mut chunks {
        for (lane, &x) in lanes.iter_mut().zip(chunk) {
            *lane = add(*lane, x);
        }
    }
    for (lane, &x) in lanes.iter_mut().zip(chunks.remainder()) {
        *lane = add(*lane, x);
    }
    lanes.into_iter().reduce(join).unwrap_or(start)
}

/// Runs `work`, compiled for the widest vectors this processor has. Wider vectors do not change results: the
/// loops neither fuse multiplications with additions nor change the order of sums. Closures must be marked
/// `#[inline(always)]`, or they are compiled for the narrowest vectors. (They are called by reference: the shim that
/// calls a closure by value is a function of its own, which the attribute does not reach.)
#[inline(always)]
pub(crate) fn vectorized<R>(work: impl FnMut() -> R) -> R {
    struct Work<F>(F);
    impl<R, F: FnMut() -> R> pulp::NullaryFnOnce for Work<F> {
        type Output = R;

        #[inline(always)]
        fn call(mut self) -> R {
            (self.0)()
        }
    }
    pulp::Arch::new().dispatch(Work(work))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exponentials_of_negative_numbers() {
        let least = f64::from(f32::MIN_POSITIVE);
        for i in 0..2_000_000 {
            let x = -(i as f32) * 5e-5;
            let (got, exact) = (f64::from(exp_of_negative(x)), f64::from(x).exp());
            if exact > 1.0001 * least {
                assert!((got / exact - 1.0).abs() < 2.0 * f64::from(f32::EPSILON), "{x}: {got} {exact}");
            } else {
                assert!(got == 0.0 || (got / exact - 1.0).abs() < 1e-6, "{x}: {got} {exact}");
            }
        }
        assert_eq!(exp_of_negative(0.0), 1.0);
        assert_eq!(exp_of_negative(-0.0), 1.0);
        assert_eq!(exp_of_negative(f32::MIN), 0.0);
        assert_eq!(exp_of_negative(f32::NEG_INFINITY), 0.0);
        assert!(exp_of_negative(f32::NAN).is_nan());
        assert!(exp_of_negative(-f32::NAN).is_nan());
    }

    #[test]
    fn partial_sums_add_up() {
        for n in 0..40u64 {
            let numbers: Vec<u64> = (1..=n).collect();
            assert_eq!(folded(&numbers, 0, |a, x| a + x, |a, b| a + b), n * (n + 1) / 2);
        }
    }
}
