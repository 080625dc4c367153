//! Coordinates in which the meta-features are uncorrelated.
use super::loss::Gradients;
use crate::{
    combine::stack::{
        moments::{scaled, unsolvable, Moments},
        MetaDataset,
    },
    Result, Rows,
};
use candle_core::{DType, Result as CandleResult, Tensor};
use linfa_linalg::{cholesky::*, triangular::*};
use ndarray::{Array1, Array2, ArrayView2, Axis};

/// The largest number of meta-features for which uncorrelated coordinates save time.
const WIDE: usize = 1000;

/// Coordinates for the optimizer in which the loss has nearly the same curvature in all directions. The
/// features are centred and transformed so that an upper bound of the loss's Hessian (Böhning 1992,
/// doi:10.1007/BF00048682: half the covariance, plus the penalty) becomes the identity.
pub(super) struct Coordinates {
    pub(super) means: Array1<f64>,
    transform: Transform,
}

/// The lower triangular `T` with `coefficients = Tᵀ · coordinates`.
enum Transform {
    Triangular(Array2<f64>),
    Diagonal(Array1<f64>),
}

impl Transform {
    fn transposed_times(&self, coordinates: &ArrayView2<'_, f64>) -> Array2<f64> {
        match self {
            Self::Triangular(t) => t.t().dot(coordinates),
            Self::Diagonal(d) => coordinates * &d.view().insert_axis(Axis(1)),
        }
    }

    fn times(&self, gradients: &Array2<f64>) -> Array2<f64> {
        match self {
            Self::Triangular(t) => t.dot(gradients),
            Self::Diagonal(d) => gradients * &d.view().insert_axis(Axis(1)),
        }
    }
}

/// The means and the variances of the columns over some rows.
fn variances(features: &Tensor, rows: &Rows) -> CandleResult<(Array1<f64>, Array1<f64>)> {
    let some = features.index_select(&Tensor::new(rows.as_slice(), features.device())?, 0)?;
    let some = some.to_dtype(DType::F64)?;
    let mean = some.mean_keepdim(0)?;
    let variance = some.broadcast_sub(&mean)?.sqr()?.mean(0)?;
    Ok((mean.squeeze(0)?.to_vec1()?.into(), variance.to_vec1()?.into()))
}

impl Coordinates {
    pub(super) fn of(dataset: &MetaDataset<'_>, penalty: f64) -> Result<Self> {
        let (rows, width) = dataset.features().dims2()?;
        // The transform need not be exact, so the covariance of some evenly spaced rows is enough.
        let step = (rows / (4 * width).max(2000)).max(1);
        let some = (0..rows as u32).step_by(step).collect();
        if width > WIDE {
            let (means, variances) = variances(dataset.features(), &some)?;
            let scale = variances.sum() * 0.5 / width as f64;
            let bound = variances.mapv(|x| 0.5 * x + penalty + 1e-9 * scale.max(f64::MIN_POSITIVE));
            return Ok(Self { means, transform: Transform::Diagonal(bound.mapv(|x| 1. / x.sqrt())) });
        }
        let (means, gram) = Moments::covariance(dataset, &some)?;
        let mut bound = gram * 0.5;
        let scale = bound.diag().sum().max(f64::MIN_POSITIVE) / width as f64;
        bound.diag_mut().mapv_inplace(|x| x.max(0.) + penalty + 1e-9 * scale);
        let inverse = bound.diag().mapv(|x| 1. / x.sqrt());
        let lower = scaled(&bound, &inverse).cholesky_into().map_err(|e| unsolvable(&e))?;
        let transform = lower.solve_triangular_into(Array2::eye(width), UPLO::Lower);
        let transform = transform.map_err(|e| unsolvable(&e))? * &inverse;
        Ok(Self { means, transform: Transform::Triangular(transform) })
    }

    /// The coefficients `(F, K)` and the intercepts at these coordinates, `(F + 1, K)`.
    pub(super) fn parameters(&self, at: &[f64], outputs: usize) -> (Array2<f64>, Array1<f64>) {
        let width = self.means.len();
        let (inner, last) = at.split_at((width * outputs).min(at.len()));
        let inner = ArrayView2::from_shape((width, outputs), inner);
        let coefficients =
            inner.map_or_else(|_| Array2::zeros((width, outputs)), |v| self.transform.transposed_times(&v));
        // The second derivative by an intercept is at most a half, so its coordinate is scaled by √2.
        let intercepts = last.iter().map(|b| b * std::f64::consts::SQRT_2).collect::<Array1<f64>>();
        let shift = coefficients.t().dot(&self.means);
        (coefficients, intercepts - shift)
    }

    /// The gradient by the coordinates.
    pub(super) fn gradient(&self, gradients: &Gradients<f64>) -> Vec<f64> {
        let intercepts = Array1::from(gradients.intercepts.clone());
        let shift = self.means.view().insert_axis(Axis(1)).dot(&intercepts.view().insert_axis(Axis(0)));
        let inner = self.transform.times(&(&gradients.coefficients - &shift));
        let last = intercepts.iter().map(|g| g * std::f64::consts::SQRT_2);
        inner.iter().copied().chain(last).collect()
    }
}
