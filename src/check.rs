//! Checks of numeric parameters.
use crate::{Error, Result};

/// An error that `what` must be `must`, unless `holds`.
pub(crate) fn require(holds: bool, what: &str, must: &str, value: f64) -> Result<()> {
    if holds {
        Ok(())
    } else {
        Err(Error::invalid(what, must, value))
    }
}

/// Checks that a value is above 0 and finite.
pub(crate) fn positive(what: &str, value: f64) -> Result<()> {
    require(value > 0.0 && value.is_finite(), what, "positive and finite", value)
}

/// Checks that a value is 0 or more and finite.
pub(crate) fn non_negative(what: &str, value: f64) -> Result<()> {
    require(value >= 0.0 && value.is_finite(), what, "0 or more, and finite", value)
}

/// Checks that a value is from 0 to less than 1.
pub(crate) fn below_one(what: &str, value: f64) -> Result<()> {
    require((0.0..1.0).contains(&value), what, "from 0 to less than 1", value)
}

/// Checks that a value is between 0 and 1, both excluded.
pub(crate) fn share(what: &str, value: f64) -> Result<()> {
    require(value > 0. && value < 1., what, "between 0 and 1", value)
}

/// Checks that there is one weight for each network, that all are finite, and, unless `negative` is set, that
/// none is negative and their sum is above 0. `None` means equal weights.
pub(crate) fn weights(weights: Option<&[f64]>, networks: usize, negative: bool) -> Result<()> {
    let Some(weights) = weights else { return Ok(()) };
    if weights.len() != networks {
        return Err(Error::invalid(
            "the number of weights",
            format!("{networks}, one for each network"),
            weights.len(),
        ));
    }
    let must = if negative { "finite" } else { "finite and at least 0" };
    if let Some(bad) = weights.iter().find(|w| !w.is_finite() || (!negative && **w < 0.)) {
        return Err(Error::invalid("a weight", must, bad));
    }
    if !negative && weights.iter().sum::<f64>() <= 0. {
        return Err(Error::invalid("the weights' sum", "above 0", 0));
    }
    Ok(())
}

/// `base` to the power of `exponent`, by repeated squaring. Unlike `powi`, it gives the same bits on every
/// machine.
pub(crate) fn power(mut base: f64, mut exponent: u64) -> f64 {
    let mut result = 1.0;
    while exponent > 0 {
        if exponent & 1 == 1 {
            result *= base;
        }
        base *= base;
        exponent >>= 1;
    }
    result
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn power_equals_powf() {
        assert_eq!(power(0.3, 0), 1.0);
        assert_eq!(power(0.0, 0), 1.0);
        assert_eq!(power(2.0, 31), 2147483648.0);
        assert!((power(0.999, 12345) - 0.999f64.powf(12345.0)).abs() < 1e-15);
        assert_eq!(power(0.9, u64::MAX), 0.0);
    }
}
