//! Linear functions of the meta-features.
use crate::{
    codec::real,
    combine::{fixed::weighted::to_probabilities, stack::MetaModel, Fit},
    data::Task,
};
use candle_core::{Result as CandleResult, Tensor};
use ndarray::Array2;
use serde::{Deserialize, Serialize};

/// One linear function of the meta-features for each output, with intercept: what
/// [`Linear`](crate::combine::stack::Linear), [`Ridge`](crate::combine::stack::Ridge),
/// [`ElasticNet`](crate::combine::stack::ElasticNet) and
/// [`LinearRegression`](crate::combine::stack::LinearRegression) are fitted to.
///
/// For classes it is a multi-response regression: the response for each class is fitted to its indicator, cut off at 0
/// and divided by their sum; where no response is positive, every class is as probable.
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
    /// `coefficients` is `(F, C)`.
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

    /// One coefficient a meta-feature, for each output or class.
    #[must_use]
    pub fn coefficients(&self) -> &[Vec<f64>] {
        &self.coefficients
    }

    /// One for each output or class.
    #[must_use]
    pub fn intercepts(&self) -> &[f64] {
        &self.intercepts
    }

    /// The strength of the penalty: the one given, or the one that cross-validation chose; 0 for
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

    fn predict(&self, features: &Tensor) -> CandleResult<Tensor> {
        let values = affine(features, &self.coefficients, &self.intercepts)?;
        match self.task {
            Task::Classification { .. } => to_probabilities(&values),
            Task::Regression { .. } => Ok(values),
        }
    }
}

/// `(B, F) -> (B, K)`: one row of coefficients and one intercept for each of the K.
pub(crate) fn affine(
    features: &Tensor,
    coefficients: &[Vec<f64>],
    intercepts: &[f64],
) -> CandleResult<Tensor> {
    let (outputs, width) = (coefficients.len(), features.dim(1)?);
    if outputs == 0 || intercepts.len() != outputs || coefficients.iter().any(|c| c.len() != width) {
        candle_core::bail!("the model was fitted on other meta-features than these {width}");
    }
    let (device, dtype) = (features.device(), features.dtype());
    let weights = Tensor::from_vec(coefficients.concat(), (outputs, width), device)?.to_dtype(dtype)?;
    let intercepts = Tensor::new(intercepts, device)?.to_dtype(dtype)?;
    features.matmul(&weights.t()?)?.broadcast_add(&intercepts)
}
