//! From a raw output of a network to a positive number.

/// What is added, so that no variance and no scale is 0 (Lakshminarayanan et al. 2017).
pub(crate) const FLOOR: f64 = 1e-6;

/// `ln(1 + eᵗ) + 10⁻⁶`, and its derivative.
#[inline]
pub(crate) fn positive(t: f64) -> (f64, f64) {
    // Both forms take the exponential of a number that is not above 0.
    let small = (-t.abs()).exp();
    let slope = if t >= 0. { 1. / (1. + small) } else { small / (1. + small) };
    (t.max(0.) + small.ln_1p() + FLOOR, slope)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn softplus_by_hand() {
        for (t, value) in
            [(0., 2f64.ln()), (1f64.exp_m1().ln(), 1.), (-800., 0.), (900., 900.), (-30., (-30f64).exp())]
        {
            assert!((positive(t).0 - value - FLOOR).abs() < 1e-13 * value.max(1.), "{t}");
            let slope = (positive(t + 1e-6).0 - positive(t - 1e-6).0) / 2e-6;
            assert!((positive(t).1 - slope).abs() < 1e-6, "{t}");
        }
        assert!(positive(f64::NAN).0.is_nan() && positive(f64::NAN).1.is_nan());
    }
}
