//! The uncertainty of predicted values.
use crate::{data::Task, predictions::Predictions, Error, Result};
use candle_core::{DType, Tensor};

/// How uncertain the members of an ensemble are of the values of each row: the moments of the mixture of the members.
///
/// ```text
/// mean  μ = 1/M Σ_m μ_m        between  1/M Σ_m (μ_m − μ)²        within  1/M Σ_m σ²_m        total = between + within
/// ```
///
/// `between` is the variance of the members' means, which they disagree on (epistemic). `within` is the mean of the
/// variances that the members predict, which the data leave open (aleatoric); without predicted variances it is 0. Tensors
/// are `(B, K)` of type f64, in squared units of the targets. A row that no slot predicts has NaN.
///
/// The variance between members is no estimate of the error: members that are wrong alike do not vary. Use it to compare
/// rows, and conformal intervals for a stated coverage.
///
/// # Examples
/// ```
/// use candle_core::{Device, Tensor};
/// use candle_ensemble::{data::Task, predictions::Predictions, uncertainty::ValueUncertainty};
///
/// let means = Tensor::new(&[[[1f64]], [[3.]]], &Device::Cpu)?; // two members, one row
/// let variances = Tensor::new(&[[[0.5f64]], [[1.5]]], &Device::Cpu)?;
/// let predictions = Predictions::new(means, Task::Regression { outputs: 1 })?;
/// let uncertainty = ValueUncertainty::new(&predictions, Some(&variances))?;
/// assert_eq!(uncertainty.mean.to_vec2::<f64>()?, [[2.]]);
/// assert_eq!(uncertainty.between.to_vec2::<f64>()?, [[1.]]);
/// assert_eq!(uncertainty.total()?.to_vec2::<f64>()?, [[2.]]);
/// # Ok::<(), candle_ensemble::Error>(())
/// ```
///
/// Source: Lakshminarayanan, Pritzel and Blundell 2017, arXiv:1612.01474, section 2.4.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ValueUncertainty {
    /// The mean of the members, `(B, K)`.
    pub mean: Tensor,
    /// The variance of the members' means, `(B, K)`.
    pub between: Tensor,
    /// The mean of the members' variances, `(B, K)`.
    pub within: Tensor,
}

impl ValueUncertainty {
    /// The uncertainty of predictions `(S, B, K)` of values. `variances`, `(S, B, K)`, are those that the members predict, if
    /// they do.
    ///
    /// # Errors
    /// When the predictions are classes, or the variances have another shape or are negative.
    pub fn new(predictions: &Predictions, variances: Option<&Tensor>) -> Result<Self> {
        if !matches!(predictions.task(), Task::Regression { .. }) {
            return Err(Error::invalid("the predictions", "values", "classes"));
        }
        let values = predictions.values().to_dtype(DType::F64)?;
        let mean = mean(predictions, &values)?;
        let deviations = values.broadcast_sub(&mean.unsqueeze(0)?)?;
        let between = self::mean(predictions, &deviations.sqr()?)?;
        let within = match variances {
            None => between.zeros_like()?,
            Some(variances) => self::mean(predictions, &checked(variances, &values)?)?,
        };
        Ok(Self { mean, between, within })
    }

    /// The variance of the mixture, `(B, K)`.
    ///
    /// # Errors
    /// When candle fails.
    pub fn total(&self) -> Result<Tensor> {
        Ok((&self.between + &self.within)?)
    }
}

/// The mean over the slots that predict a row; NaN where none does.
fn mean(predictions: &Predictions, values: &Tensor) -> Result<Tensor> {
    let Some(covered) = predictions.covered() else { return Ok(values.mean(0)?) };
    let covered = covered.to_dtype(DType::F64)?;
    Ok(predictions.sum_over_slots(values)?.broadcast_div(&covered.sum(0)?.unsqueeze(1)?)?)
}

fn checked(variances: &Tensor, values: &Tensor) -> Result<Tensor> {
    if variances.dims() != values.dims() {
        let must = format!("{:?}, as the predictions", values.dims());
        return Err(Error::invalid("shape of the variances", must, format!("{:?}", variances.dims())));
    }
    let variances = variances.to_dtype(DType::F64)?;
    let least = variances.flatten_all()?.to_vec1::<f64>()?.into_iter().find(|v| *v < 0.);
    match least {
        Some(negative) => Err(Error::invalid("variance", "0 or more", negative)),
        None => Ok(variances),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::Device;

    #[test]
    fn moments_are_those_of_the_mixture_where_members_are_missing() {
        let values =
            Tensor::new(&[[[1f32], [5.]], [[3.], [f32::NAN]], [[8.], [f32::NAN]]], &Device::Cpu).unwrap();
        let covered = Tensor::new(&[[1u8, 1], [1, 0], [1, 0]], &Device::Cpu).unwrap();
        let some = Predictions::partial(values, covered, Task::Regression { outputs: 1 }).unwrap();
        let variances =
            Tensor::new(&[[[1f64], [2.]], [[2.], [f64::NAN]], [[6.], [f64::NAN]]], &Device::Cpu).unwrap();
        let got = ValueUncertainty::new(&some, Some(&variances)).unwrap();
        let numbers = |t: &Tensor| t.flatten_all().unwrap().to_vec1::<f64>().unwrap();
        assert_eq!(numbers(&got.mean), [4., 5.]);
        assert!((numbers(&got.between)[0] - 26. / 3.).abs() < 1e-12 && numbers(&got.between)[1] == 0.);
        assert_eq!(numbers(&got.within), [3., 2.]);
        assert!((numbers(&got.total().unwrap())[0] - 35. / 3.).abs() < 1e-12);
    }

    #[test]
    fn what_does_not_fit_is_an_error() {
        let values = Tensor::zeros((2, 3, 1), DType::F32, &Device::Cpu).unwrap();
        let values = Predictions::new(values, Task::Regression { outputs: 1 }).unwrap();
        let variances = |rows: usize, by: f64| Tensor::full(by, (2, rows, 1), &Device::Cpu).unwrap();
        assert!(ValueUncertainty::new(&values, Some(&variances(3, 1.))).is_ok());
        assert!(ValueUncertainty::new(&values, Some(&variances(2, 1.))).is_err());
        assert!(ValueUncertainty::new(&values, Some(&variances(3, -1.))).is_err());
        let classes = Tensor::full(0.5f32, (2, 3, 2), &Device::Cpu).unwrap();
        let classes = Predictions::new(classes, Task::Classification { classes: 2 }).unwrap();
        assert!(ValueUncertainty::new(&classes, None).is_err());
    }
}
