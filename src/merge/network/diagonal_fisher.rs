//! The diagonal of the Fisher information of a network's weights.
use crate::{weights::Weights, Error, Result};
use candle_core::{Tensor, Var};
use std::collections::BTreeMap;

/// Computes the diagonal of the Fisher information of a network's weights.
///
/// Formula: `F = 1/N Σ_r (∂ log p_r / ∂θ)²`, element by element, over the rows `0..N`.
///
/// `log_likelihood` runs the network on one row and returns the log-likelihood of the row, a scalar. With the
/// row's own label the result is the empirical Fisher information. With a label drawn from the network's
/// prediction it is the true Fisher information, which the paper uses. The result has the names, shapes and
/// dtypes of the variables; a variable that the log-likelihood does not depend on gets zeros.
///
/// Use it with [`Fisher`](crate::merge::Fisher). Some hundred rows are usually enough.
///
/// Cost: one forward and one backward pass for each row.
///
/// # Errors
/// When there are no rows or no variables, when a log-likelihood is not one finite number, and the first
/// error of the closure.
///
/// ```
/// use candle_core::{Device, Tensor, Var};
/// use candle_ensemble::merge::diagonal_fisher;
/// use std::collections::BTreeMap;
///
/// // log p(x | μ) = −(x − μ)²/2 + …, and its derivative is x − μ.
/// let mean = Var::new(1f32, &Device::Cpu)?;
/// let rows = [0f32, 3.];
/// let fisher = diagonal_fisher(&BTreeMap::from([("mean".to_string(), mean.clone())]), rows.len(), |row| {
///     Ok(((mean.as_tensor() - f64::from(rows[row]))?.sqr()? * -0.5)?)
/// })?;
/// assert_eq!(fisher["mean"].to_scalar::<f32>()?, 2.5); // ((0 − 1)² + (3 − 1)²) / 2
/// # Ok::<(), candle_ensemble::Error>(())
/// ```
///
/// Source: Matena and Raffel (2022), "Merging models with Fisher-weighted averaging", arXiv:2111.09832,
/// equation 4.
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
