//! A logarithm that the compiler can vectorise.
use std::f64::consts::LN_2;

/// `ln x` of a positive normal number, with a relative or absolute error of at most 4e-16. The compiler can
/// vectorise it.
///
/// `x = 2^k m` with m from √½ to √2; `ln m = 2 artanh s`, `s = (m−1)/(m+1)`, by its series up to `s²¹`.
#[inline(always)]
pub(crate) fn ln(x: f64) -> f64 {
    // The bits of √½. The difference of the bits as integers holds both k and m.
    const ROOT: u64 = 0x3FE6_A09E_667F_3BCD;
    const WHOLE: f64 = 6_755_399_441_055_744.; // 1.5 · 2⁵²: an integer added to its bits is added to the number
    let bits = x.to_bits().wrapping_sub(ROOT);
    let m = f64::from_bits((bits & (u64::MAX >> 12)).wrapping_add(ROOT));
    // Not every processor shifts signed 64-bit lanes; an offset makes a logical shift do.
    let k = (bits.wrapping_add(1 << 63) >> 52).wrapping_sub(1 << 11);
    let k = f64::from_bits(WHOLE.to_bits().wrapping_add(k)) - WHOLE;
    let s = (m - 1.) / (m + 1.);
    let square = s * s;
    let mut series = 1. / 21.;
    for odd in [19., 17., 15., 13., 11., 9., 7., 5., 3.] {
        series = series * square + 1. / odd;
    }
    k * LN_2 + 2. * (s + s * square * series)
}

/// `ln(1 + x)` for x from 0 to 1, with a relative error below 1.2e-7. The compiler can vectorise it.
#[inline(always)]
pub(crate) fn ln_1p_of_share(x: f32) -> f32 {
    // Below this, x itself is closer than the sum with 1 in f64 would be. NaN stays NaN.
    if x >= 1e-8 {
        ln(1. + f64::from(x)) as f32
    } else {
        x
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn logarithms_of_1_to_2() {
        for i in 0..1_000_000u32 {
            for x in [i as f32 * 1e-6, (-(i as f32) * 8e-5).exp()] {
                let (got, exact) = (f64::from(ln_1p_of_share(x)), f64::from(x).ln_1p());
                assert!((got - exact).abs() <= 1.2e-7 * exact, "{x}: {got} {exact}");
            }
        }
        assert_eq!((ln_1p_of_share(0.), ln_1p_of_share(1.)), (0., LN_2 as f32));
        assert!(ln_1p_of_share(f32::NAN).is_nan());
    }

    const LEAST: f64 = f64::EPSILON;

    #[test]
    fn the_vectorised_logarithm_agrees_with_ln() {
        let mut worst = 0f64;
        for i in 0..400_000u64 {
            for x in [i as f64 / 400_000., (-(i as f64) / 1e4).exp(), 1. - i as f64 * 1e-15] {
                if x >= LEAST {
                    worst = worst.max((ln(x) - x.ln()).abs() / x.ln().abs().max(1.));
                }
            }
        }
        assert!(worst < 4e-16, "{worst}");
        assert_eq!(ln(1.), 0.);
        assert_eq!(ln(LEAST), -52. * LN_2);
    }
}
