//! The hyperbolic tangent, in operations that vector units have.
use crate::kernels::exp::exp_of_negative;

/// `tanh x`, with a relative error below 4e-7, of operations that are done to whole vectors at once.
///
/// Up to 0.625 it is `x + x³ p(x²)`, with the polynomial of the Cephes library; above, `(1 − e) / (1 + e)`
/// with `e` the exponential of `−2x`.
#[inline(always)]
pub(crate) fn tanh(x: f32) -> f32 {
    let square = x * x;
    let mut series = -5.704_988_6e-3;
    for coefficient in [2.063_909e-2, -5.373_971_6e-2, 1.333_144_2e-1, -3.333_328e-1] {
        series = series * square + coefficient;
    }
    let near = x + x * square * series;
    let e = exp_of_negative(-2. * x.abs());
    let far = ((1. - e) / (1. + e)).copysign(x);
    if x.abs() < 0.625 {
        near
    } else {
        far
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tangents_of_numbers_of_all_sizes() {
        for i in 0..2_000_000u32 {
            for x in [i as f32 * 1e-5, (-(i as f32) * 5e-5).exp()] {
                let (got, exact) = (f64::from(tanh(x)), f64::from(x).tanh());
                assert!((got - exact).abs() <= 4e-7 * exact, "{x}: {got} {exact}");
                assert_eq!(tanh(-x), -tanh(x));
            }
        }
        assert_eq!((tanh(0.), tanh(f32::INFINITY), tanh(f32::NEG_INFINITY)), (0., 1., -1.));
        assert!(tanh(f32::NAN).is_nan());
    }
}
