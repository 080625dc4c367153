//! Linear functions of the meta-features.
use crate::{
    codec::real,
    combine::{fixed::weighted::to_probabilities, stack::MetaModel, Fit},
    data::Task,
    Error, Result,
};
use candle_core::{Result as CandleResult, Tensor};
use ndarray::Array2;
use serde::{Deserialize, Serialize};

/// A linear function of the meta-features for each output: the fitted model of
/// [`Linear`](crate::combine::stack::Linear), [`Ridge`](crate::combine::stack::Ridge) and
/// [`ElasticNet`](crate::combine::stack::ElasticNet).
///
/// ```text
/// y_k = b_k + Σ_f x_f β_kf
/// ```
///
/// For classes it is a multi-response regression (Ting and Witten 1999, doi:10.1613/jair.594): each class is
/// an output, whose target is 1 for rows of the class and 0 for all others. Negative outputs are set to 0,
/// and then the outputs are divided by their sum. When no output is positive, all classes get the same
/// probability.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AffineModel {
    name: String,
    task: Task,
    #[serde(with = "real")]
    penalty: f64,
    coefficients: Vec<Vec<f64>>,
    intercepts: Vec<f64>,
    fit: Fit,
}

impl AffineModel {
    /// A model with these coefficients, `(F, K)`, and intercepts, `(K,)`.
    pub(crate) fn new(
        name: &str,
        task: Task,
        penalty: f64,
        (coefficients, intercepts): (Array2<f64>, Vec<f64>),
        fit: Fit,
    ) -> Self {
        let coefficients = coefficients.columns().into_iter().map(|c| c.to_vec()).collect();
        Self { name: name.into(), task, penalty, coefficients, intercepts, fit }
    }

    /// The coefficients: for each output or class one number for each meta-feature.
    #[must_use]
    pub fn coefficients(&self) -> &[Vec<f64>] {
        &self.coefficients
    }

    /// The intercepts, one for each output or class.
    #[must_use]
    pub fn intercepts(&self) -> &[f64] {
        &self.intercepts
    }

    /// The strength of the penalty, as given or as chosen by cross-validation; 0 for
    /// [`Linear`](crate::combine::stack::Linear).
    #[must_use]
    pub fn penalty(&self) -> f64 {
        self.penalty
    }
}

impl MetaModel for AffineModel {
    fn name(&self) -> String {
        self.name.clone()
    }

    fn fitted(&self) -> Option<&Fit> {
        Some(&self.fit)
    }

    fn check(&self, features: usize, task: Task) -> Result<()> {
        if self.task != task {
            let got = format!("{:?}", self.task);
            return Err(Error::invalid("task of the linear model", format!("{task:?}"), got));
        }
        check_shape(&self.coefficients, &self.intercepts, task.width(), features)
    }

    fn predict(&self, features: &Tensor) -> CandleResult<Tensor> {
        let values = affine(features, &self.coefficients, &self.intercepts)?;
        match self.task {
            Task::Classification { .. } => to_probabilities(&values),
            Task::Regression { .. } => Ok(values),
        }
    }
}

/// Checks that there are `outputs` intercepts and `outputs` rows of `features` coefficients.
pub(crate) fn check_shape(
    coefficients: &[Vec<f64>],
    intercepts: &[f64],
    outputs: usize,
    features: usize,
) -> Result<()> {
    for (what, count) in [("coefficient rows", coefficients.len()), ("intercepts", intercepts.len())] {
        if count != outputs {
            return Err(Error::invalid(format!("number of {what}"), outputs.to_string(), count));
        }
    }
    match coefficients.iter().find(|row| row.len() != features) {
        None => Ok(()),
        Some(row) => {
            let must = format!("{features}, one for each meta-feature");
            Err(Error::invalid("number of coefficients in a row", must, row.len()))
        }
    }
}

/// `(B, F) -> (B, K)`, with `K` rows of coefficients and `K` intercepts.
pub(crate) fn affine(
    features: &Tensor,
    coefficients: &[Vec<f64>],
    intercepts: &[f64],
) -> CandleResult<Tensor> {
    let (outputs, width) = (coefficients.len(), features.dim(1)?);
    if outputs == 0 || intercepts.len() != outputs || coefficients.iter().any(|c| c.len() != width) {
        candle_core::bail!("the model does not fit a table of {width} meta-features");
    }
    let (device, dtype) = (features.device(), features.dtype());
    let weights = Tensor::from_vec(coefficients.concat(), (outputs, width), device)?.to_dtype(dtype)?;
    let intercepts = Tensor::new(intercepts, device)?.to_dtype(dtype)?;
    features.matmul(&weights.t()?)?.broadcast_add(&intercepts)
}
