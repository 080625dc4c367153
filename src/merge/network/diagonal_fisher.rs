//! How much the data says about each weight.
use crate::{weights::Weights, Error, Result};
use candle_core::{Tensor, Var};
use std::collections::BTreeMap;

/// The diagonal of a network's Fisher information: `F = 1/N Σ_r (∂ log p_r / ∂θ)²`, number by number, over rows
/// `0..rows`.
///
/// `log_likelihood` runs the network on one row and returns the row's log-likelihood, a scalar. With the row's own label
/// that gives the empirical Fisher information; with a label drawn from the network's prediction, the true one, which is
/// what the paper uses. A variable that the log-likelihood does not reach gets zeros. The result has the variables'
/// names, shapes and dtypes and goes with them to [`Fisher`](crate::merge::Fisher).
///
/// Source: Matena and Raffel (2022), arXiv:2111.09832, equation 4.
///
/// # Errors
/// No rows, no variables, a log-likelihood that is not one finite number, or an error of the closure.
///
/// ```
/// use candle_core::{Device, Tensor, Var};
/// use candle_ensemble::merge::network::diagonal_fisher;
/// use std::collections::BTreeMap;
///
/// // log p(x | μ) = −(x − μ)²/2 + …: its derivative is x − μ.
/// let mean = Var::new(1f32, &Device::Cpu)?;
/// let rows = [0f32, 3.];
/// let fisher = diagonal_fisher(&BTreeMap::from([("mean".to_string(), mean.clone())]), rows.len(), |row| {
///     Ok(((mean.as_tensor() - f64::from(rows[row]))?.sqr()? * -0.5)?)
/// })?;
/// assert_eq!(fisher["mean"].to_scalar::<f32>()?, 2.5); // ((0 − 1)² + (3 − 1)²) / 2
/// # Ok::<(), candle_ensemble::Error>(())
/// ```
pub fn diagonal_fisher(
    variables: &BTreeMap<String, Var>,
    rows: usize,
    mut log_likelihood: impl FnMut(usize) -> Result<Tensor>,
) -> Result<Weights> {
    if rows == 0 {
        return Err(Error::invalid("the number of rows", "at least 1", rows));
    }
    if variables.is_empty() {
        return Err(Error::invalid("the number of variables", "at least 1", 0));
    }
    let zeros = |(name, var): (&String, &Var)| Ok((name.clone(), var.as_tensor().zeros_like()?));
    let mut sums = variables.iter().map(zeros).collect::<Result<Weights>>()?;
    for row in 0..rows {
        let value = log_likelihood(row)?;
        let must = "one finite number";
        if value.elem_count() != 1 {
            return Err(Error::invalid(
                "a row's log-likelihood",
                must,
                format!("of shape {:?}", value.dims()),
            ));
        }
        let value = value.flatten_all()?.squeeze(0)?;
        let number = value.to_dtype(candle_core::DType::F64)?.to_scalar::<f64>()?;
        if !number.is_finite() {
            return Err(Error::invalid("a row's log-likelihood", must, number));
        }
        let gradients = value.backward()?;
        for (var, sum) in variables.values().zip(sums.values_mut()) {
            if let Some(gradient) = gradients.get(var.as_tensor()) {
                *sum = (&*sum + gradient.sqr()?)?.detach();
            }
        }
    }
    let mean = |(name, sum): (String, Tensor)| Ok((name, (sum / rows as f64)?));
    sums.into_iter().map(mean).collect()
}
