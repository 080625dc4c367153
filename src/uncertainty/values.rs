//! The uncertainty of predicted values.
use crate::{check, data::Task, distribution::Mixture, predictions::Predictions, Error, Result};
use candle_core::{DType, Device, Tensor};

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
        Self::weighted(predictions, variances, None)
    }

    /// The same where the slots count by these weights: `1/M Σ_m` becomes `Σ_m w_m`. The weights are divided by the sum of
    /// those of the slots that predict the row; a slot of weight 0 does not count, except where no other one predicts the row.
    ///
    /// # Errors
    /// As [`new`](Self::new), and when there is not one weight for each slot, finite and 0 or more, with a positive sum.
    pub fn weighted(
        predictions: &Predictions,
        variances: Option<&Tensor>,
        weights: Option<&[f64]>,
    ) -> Result<Self> {
        check::weights(weights, predictions.slots(), false)?;
        if !matches!(predictions.task(), Task::Regression { .. }) {
            return Err(Error::invalid("the predictions", "values", "classes"));
        }
        let predictions = &predictions.to_device(&Device::Cpu)?;
        let values = predictions.values().to_dtype(DType::F64)?;
        let shares = weights.map(|weights| shares(predictions, weights)).transpose()?;
        let mean = |values: &Tensor| mean(predictions, shares.as_ref(), values);
        let center = mean(&values)?;
        let deviations = values.broadcast_sub(&center.unsqueeze(0)?)?;
        let between = mean(&deviations.sqr()?)?;
        let within = match variances {
            None => between.zeros_like()?,
            Some(variances) => mean(&checked(variances, &values)?)?,
        };
        Ok(Self { mean: center, between, within })
    }

    /// The moments of a mixture of predicted distributions.
    pub(crate) fn of_mixture(mixture: &Mixture) -> Result<Self> {
        Ok(Self { mean: mixture.mean()?, between: mixture.epistemic()?, within: mixture.aleatoric()? })
    }

    /// The variance of the mixture, `(B, K)`.
    ///
    /// # Errors
    /// When candle fails.
    pub fn total(&self) -> Result<Tensor> {
        Ok((&self.between + &self.within)?)
    }
}

/// The mean over the slots that predict a row, with their shares if they differ; NaN where none does.
fn mean(predictions: &Predictions, shares: Option<&Tensor>, values: &Tensor) -> Result<Tensor> {
    match (shares, predictions.covered()) {
        (None, None) => Ok(values.mean(0)?),
        (None, Some(covered)) => {
            let counts = covered.to_dtype(DType::F64)?.sum(0)?.unsqueeze(1)?;
            Ok(predictions.sum_over_slots(values)?.broadcast_div(&counts)?)
        }
        (Some(shares), _) => Ok(predictions.sum_over_slots(&values.broadcast_mul(&shares.unsqueeze(2)?)?)?),
    }
}

/// The share of each slot in each row, `(S, B)`.
fn shares(predictions: &Predictions, weights: &[f64]) -> Result<Tensor> {
    let (slots, rows, device) = (predictions.slots(), predictions.rows(), predictions.values().device());
    let weights = Tensor::from_slice(weights, (slots, 1), device)?.broadcast_as((slots, rows))?;
    let covered = match predictions.covered() {
        Some(covered) => covered.to_dtype(DType::F64)?,
        None => weights.ones_like()?,
    };
    let weighted = (weights * &covered)?;
    // Where only slots of weight 0 predict a row, they count alike.
    let none = weighted.sum_keepdim(0)?.eq(0f64)?.broadcast_as((slots, rows))?;
    let weighted = none.where_cond(&covered, &weighted)?;
    Ok(weighted.broadcast_div(&weighted.sum_keepdim(0)?)?)
}

fn checked(variances: &Tensor, values: &Tensor) -> Result<Tensor> {
    if variances.dims() != values.dims() {
        let must = format!("{:?}, as the predictions", values.dims());
        return Err(Error::invalid("shape of the variances", must, format!("{:?}", variances.dims())));
    }
    let variances = variances.to_device(&Device::Cpu)?.to_dtype(DType::F64)?;
    let least = variances.flatten_all()?.to_vec1::<f64>()?.into_iter().find(|v| *v < 0.);
    match least {
        Some(negative) => Err(Error::invalid("variance", "0 or more", negative)),
        None => Ok(variances),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
    fn weights_are_those_of_the_slots_that_predict_a_row() {
        let values = Tensor::new(
            &[[[1f64], [5.], [2.]], [[3.], [f64::NAN], [4.]], [[9.], [7.], [f64::NAN]]],
            &Device::Cpu,
        );
        let covered = Tensor::new(&[[1u8, 1, 1], [1, 0, 1], [1, 1, 0]], &Device::Cpu).unwrap();
        let some = Predictions::partial(values.unwrap(), covered, Task::Regression { outputs: 1 }).unwrap();
        let numbers = |t: &Tensor| t.flatten_all().unwrap().to_vec1::<f64>().unwrap();
        let got = ValueUncertainty::weighted(&some, None, Some(&[3., 1., 0.])).unwrap();
        assert_eq!((numbers(&got.mean), numbers(&got.between)), (vec![1.5, 5., 2.5], vec![0.75, 0., 0.75]));
        // Of row 1, the only slot with a weight is missing.
        let got = ValueUncertainty::weighted(&some, None, Some(&[0., 1., 0.])).unwrap();
        assert_eq!((numbers(&got.mean), numbers(&got.between)), (vec![3., 6., 4.], vec![0., 1., 0.]));
        let equal = ValueUncertainty::weighted(&some, None, Some(&[2., 2., 2.])).unwrap();
        let plain = ValueUncertainty::new(&some, None).unwrap();
        for (a, b) in numbers(&equal.between).iter().zip(numbers(&plain.between)) {
            assert!((a - b).abs() < 1e-12);
        }
        assert!(ValueUncertainty::weighted(&some, None, Some(&[1.])).is_err());
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
