//! The mean and the standard deviation of some values.
use crate::{Error, Result};
use serde::{Deserialize, Serialize};

/// The mean and standard deviation of some values, for example of a metric over several seeds.
///
/// ```text
/// mean = 1/n Σ x,  sd = sqrt(Σ (x − mean)² / (n − 1))
/// ```
///
/// # Examples
/// ```
/// use candle_ensemble::statistics::Summary;
///
/// let accuracy = Summary::of(&[0.90, 0.92, 0.94])?;
/// assert!((accuracy.mean - 0.92).abs() < 1e-15);
/// assert!((accuracy.sd.unwrap() - 0.02).abs() < 1e-15);
/// assert_eq!(Summary::of(&[0.9])?.sd, None);
/// # Ok::<(), candle_ensemble::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Summary {
    /// Number of values.
    pub n: usize,
    /// The mean.
    pub mean: f64,
    /// The standard deviation, as an estimate for the population of the values; `None` (null in JSON) for a
    /// single value.
    pub sd: Option<f64>,
}

impl Summary {
    /// Computes the summary of `values` in two passes, so that a large mean loses no digits of the standard
    /// deviation.
    ///
    /// # Errors
    /// When there are no values, a value is NaN or infinite, or squares overflow.
    pub fn of(values: &[f64]) -> Result<Self> {
        if values.is_empty() {
            return Err(Error::invalid("number of values", "at least 1", 0));
        }
        if let Some(i) = values.iter().position(|x| !x.is_finite()) {
            return Err(Error::invalid(format!("value {i}"), "finite", values[i]));
        }
        let n = values.len() as f64;
        let rough = values.iter().sum::<f64>() / n;
        // The second pass also corrects the rounding of the mean, which is exact for equal values.
        let (mut shift, mut squares) = (0.0, 0.0);
        for x in values {
            shift += x - rough;
            squares += (x - rough) * (x - rough);
        }
        let mean = rough + shift / n;
        let sd = (values.len() > 1).then(|| ((squares - shift * shift / n).max(0.0) / (n - 1.0)).sqrt());
        if !mean.is_finite() || sd.is_some_and(|sd| !sd.is_finite()) {
            return Err(Error::invalid("values", "small enough to sum their squares", mean));
        }
        Ok(Self { n: values.len(), mean, sd })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Standard deviations by numpy 2.4.6, `std(ddof=1)`.
    #[test]
    fn agrees_with_numpy_for_a_large_mean() {
        for shift in [0.0, 1e9] {
            let values = [4.0, 7.0, 13.0, 16.0].map(|x| x + shift);
            let expected = Summary { n: 4, mean: 10.0 + shift, sd: Some(5.477225575051661) };
            assert_eq!(Summary::of(&values).unwrap(), expected);
        }
    }

    #[test]
    fn equal_values_have_a_standard_deviation_of_zero() {
        for n in 2..50 {
            assert_eq!(Summary::of(&vec![0.1; n]).unwrap(), Summary { n, mean: 0.1, sd: Some(0.0) });
        }
    }

    #[test]
    fn one_value_has_a_mean_and_no_standard_deviation() {
        let one = Summary::of(&[0.25]).unwrap();
        assert_eq!(serde_json::to_string(&one).unwrap(), r#"{"n":1,"mean":0.25,"sd":null}"#);
        assert_eq!(serde_json::from_str::<Summary>(r#"{"n":1,"mean":0.25,"sd":null}"#).unwrap(), one);
    }

    #[test]
    fn bad_values_are_errors() {
        assert_eq!(
            Summary::of(&[]).unwrap_err().to_string(),
            "number of values must be at least 1, but is 0"
        );
        assert_eq!(
            Summary::of(&[1.0, f64::NAN]).unwrap_err().to_string(),
            "value 1 must be finite, but is NaN"
        );
        for values in [[f64::MAX, f64::MAX], [f64::MAX, -f64::MAX]] {
            assert!(Summary::of(&values).is_err());
        }
    }
}
