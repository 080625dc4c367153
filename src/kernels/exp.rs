//! The exponential of negative numbers, in operations that vector units have.

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
}
