//! The second moments of a table, from which least squares is solved.
//!
//! Least squares, ridge and elastic net depend on the rows only through `Σ w z zᵀ` with
//! `z = (features, targets, 1)`. One pass over the rows computes this matrix for each fold of a
//! cross-validation; the matrix of the other folds is a sum. All outputs and all penalties are then solved
//! without reading the rows again. The pass takes `R·F²` operations, and solving takes `F³`.
use crate::{
    combine::stack::MetaDataset,
    kernels::{cpu, float::Number},
    threads::wide,
    Error, Result, Rows,
};
use candle_core::DType;
use linfa_linalg::{cholesky::*, eigh::*};
use ndarray::{linalg::general_mat_mul, s, Array1, Array2, Axis};
use rayon::prelude::*;

/// The number of rows in one matrix product.
const CHUNK: usize = 256;
/// The number of partial sums. It is fixed and they are added in order, so that the result does not depend on
/// the number of threads.
const PARTS: usize = 8;
/// A direction whose variance is below this share of the largest (for standardised features) is taken for the
/// rounding of f32 predictions, as for duplicate members or probabilities that sum to one.
const RANK: f64 = 1e-11;
/// A feature is constant when its standard deviation is below this share of its mean.
const CONSTANT: f64 = 1e-9;

/// `Σ w z zᵀ` with `z = (features − origin, targets − origin, 1)`.
#[derive(Clone, Debug)]
pub(crate) struct Moments {
    table: Array2<f64>,
    origin: Array1<f64>,
    features: usize,
}

impl Moments {
    /// The moments of each group of rows, given as positions.
    pub(crate) fn of_groups(dataset: &MetaDataset<'_>, groups: &[Rows]) -> Result<Vec<Self>> {
        let (targets, weights) = (dataset.target_columns()?, dataset.weights()?);
        match dataset.features().dtype() {
            DType::F64 => moments_of::<f64>(dataset, groups, &targets, &weights),
            _ => moments_of::<f32>(dataset, groups, &targets, &weights),
        }
    }

    /// The moments of all rows about the origin of others, or about their own means.
    pub(crate) fn of_all(dataset: &MetaDataset<'_>, others: Option<&Self>) -> Result<Self> {
        let all: Rows = (0..dataset.features().dim(0)? as u32).collect();
        let (targets, weights) = (dataset.target_columns()?, dataset.weights()?);
        let (groups, origin) = (std::slice::from_ref(&all), others.map(|others| &others.origin));
        let moments = match dataset.features().dtype() {
            DType::F64 => moments_about::<f64>(dataset, groups, &targets, &weights, origin)?,
            _ => moments_about::<f32>(dataset, groups, &targets, &weights, origin)?,
        };
        moments.into_iter().next().ok_or_else(no_rows)
    }

    /// The bytes that the moments of so many features and targets take, with partial sums and a decomposition.
    pub(crate) fn bytes(features: usize, targets: usize) -> usize {
        let side = features.saturating_add(targets).saturating_add(1);
        side.saturating_mul(side).saturating_mul(8 * (PARTS + 4))
    }

    /// The means and the covariance of the features over some rows, without targets and with equal weights.
    pub(crate) fn covariance(dataset: &MetaDataset<'_>, rows: &Rows) -> Result<(Array1<f64>, Array2<f64>)> {
        let centred = |moments: Vec<Self>| {
            let centred = moments.first().ok_or_else(no_rows)?.centred();
            Ok((centred.means, centred.gram))
        };
        let weights = vec![1.; dataset.features().dim(0)?];
        match dataset.features().dtype() {
            DType::F64 => centred(moments_of::<f64>(dataset, std::slice::from_ref(rows), &[], &weights)?),
            _ => centred(moments_of::<f32>(dataset, std::slice::from_ref(rows), &[], &weights)?),
        }
    }

    pub(crate) fn plus(&self, other: &Self) -> Self {
        Self { table: &self.table + &other.table, ..self.clone() }
    }

    /// `Σ w`.
    pub(crate) fn total_weight(&self) -> f64 {
        self.table[[self.table.nrows() - 1; 2]]
    }

    /// The moments about the means, divided by `Σ w`.
    pub(crate) fn centred(&self) -> CentredMoments {
        let (n, last) = (self.features, self.table.nrows() - 1);
        let total = self.total_weight();
        let mean = self.table.slice(s![..last, last]).mapv(|x| x / total);
        let column = mean.view().insert_axis(Axis(1));
        let table = &self.table.slice(s![..last, ..last]) / total - column.dot(&column.t());
        let target_variances = (n..last).map(|k| table[[k, k]].max(0.)).collect();
        let mean = mean + &self.origin;
        CentredMoments {
            gram: table.slice(s![..n, ..n]).to_owned(),
            cross: table.slice(s![..n, n..]).to_owned(),
            target_variances,
            means: mean.slice(s![..n]).to_owned(),
            target_means: mean.slice(s![n..]).to_owned(),
            total,
        }
    }

    /// The mean squared error of a linear function on these rows, summed over the outputs.
    pub(crate) fn error(&self, coefficients: &Array2<f64>, intercepts: &[f64]) -> f64 {
        let (n, last) = (self.features, self.table.nrows() - 1);
        let mut sum = 0.;
        for (k, (b, c)) in coefficients.columns().into_iter().zip(intercepts).enumerate() {
            // The residual is rᵀz, so its weighted square sums to rᵀ (Σ w z zᵀ) r.
            let mut r = Array1::zeros(last + 1);
            r.slice_mut(s![..n]).assign(&b.mapv(|b| -b));
            r[n + k] = 1.;
            r[last] = self.origin[n + k] - c - b.dot(&self.origin.slice(s![..n]));
            sum += r.dot(&self.table.dot(&r)).max(0.);
        }
        sum / self.total_weight()
    }
}

fn no_rows() -> Error {
    Error::invalid("number of held-out rows", "at least 1", 0)
}

fn moments_of<T: Number>(
    dataset: &MetaDataset<'_>,
    groups: &[Rows],
    targets: &[Vec<f64>],
    weights: &[f64],
) -> Result<Vec<Moments>> {
    moments_about::<T>(dataset, groups, targets, weights, None)
}

fn moments_about<T: Number>(
    dataset: &MetaDataset<'_>,
    groups: &[Rows],
    targets: &[Vec<f64>],
    weights: &[f64],
    origin: Option<&Array1<f64>>,
) -> Result<Vec<Moments>> {
    let width = dataset.features().dim(1)?;
    let moments = cpu::with_slice(dataset.features(), |x: &[T]| {
        let table = Table { x, width, targets, weights };
        let origin = origin.cloned().unwrap_or_else(|| table.means());
        let of_group = |group: &Rows| Moments {
            table: table.products(group, &origin),
            origin: origin.clone(),
            features: width,
        };
        wide(|| groups.iter().map(of_group).collect())
    })?;
    Ok(moments)
}

/// Features and targets with the weights of the rows.
struct Table<'a, T> {
    x: &'a [T],
    width: usize,
    targets: &'a [Vec<f64>],
    weights: &'a [f64],
}

impl<T: Number> Table<'_, T> {
    /// The features and the targets of a row.
    fn row(&self, row: usize) -> impl Iterator<Item = f64> + '_ {
        let x = &self.x[row * self.width..(row + 1) * self.width];
        x.iter().map(|x| (*x).into()).chain(self.targets.iter().map(move |y| y[row]))
    }

    /// The weighted means of features and targets. Moments about them lose no digits to cancellation.
    fn means(&self) -> Array1<f64> {
        let mut sum = Array1::<f64>::zeros(self.width + self.targets.len());
        for (row, weight) in self.weights.iter().enumerate() {
            sum.iter_mut().zip(self.row(row)).for_each(|(sum, x)| *sum += weight * x);
        }
        sum / self.weights.iter().sum::<f64>()
    }

    /// `Σ w z zᵀ` over a group of rows.
    fn products(&self, group: &[u32], origin: &Array1<f64>) -> Array2<f64> {
        let side = origin.len() + 1;
        let part = |rows: &[u32]| {
            let mut sum = Array2::zeros((side, side));
            let mut z = Array2::zeros((CHUNK.min(rows.len()), side));
            for chunk in rows.chunks(CHUNK) {
                for (mut z, row) in z.rows_mut().into_iter().zip(chunk) {
                    let root = self.weights[*row as usize].sqrt();
                    let about = self.row(*row as usize).zip(origin).map(|(x, o)| (x - o) * root);
                    z.iter_mut().zip(about.chain([root])).for_each(|(z, x)| *z = x);
                }
                let z = z.slice(s![..chunk.len(), ..]);
                general_mat_mul(1., &z.t(), &z, 1., &mut sum);
            }
            sum
        };
        let parts: Vec<Array2<f64>> =
            group.par_chunks(group.len().div_ceil(PARTS).max(1)).map(part).collect();
        parts.iter().fold(Array2::zeros((side, side)), |sum, part| sum + part)
    }
}

/// Second moments about the means, as weighted means over the rows.
#[derive(Debug)]
pub(crate) struct CentredMoments {
    /// The covariance of the features, `(F, F)`.
    pub(crate) gram: Array2<f64>,
    /// The covariance of features and targets, `(F, K)`.
    pub(crate) cross: Array2<f64>,
    /// The variance of each target.
    pub(crate) target_variances: Vec<f64>,
    pub(crate) means: Array1<f64>,
    pub(crate) target_means: Array1<f64>,
    /// `Σ w`.
    pub(crate) total: f64,
}

impl CentredMoments {
    /// The standard deviation of each feature; 0 for one that is constant up to rounding.
    pub(crate) fn deviations(&self) -> Array1<f64> {
        (0..self.means.len()).map(|i| deviation(self.gram[[i, i]], self.means[i])).collect()
    }

    /// The coefficients of least squares. If they are not unique, those of least norm, with the features in
    /// units of their standard deviations; duplicate features get the same coefficient.
    pub(crate) fn least_squares(&self) -> Result<Array2<f64>> {
        let inverse = self.deviations().mapv(|sd| if sd > 0. { 1. / sd } else { 0. });
        let (values, vectors) = decomposed(scaled(&self.gram, &inverse))?;
        let rotated = vectors.t().dot(&(&self.cross * &inverse.view().insert_axis(Axis(1))));
        let rotated = rotated * inverted(&values).insert_axis(Axis(1));
        Ok(vectors.dot(&rotated) * inverse.insert_axis(Axis(1)))
    }

    /// `(gram + penalty)⁻¹ cross` for a penalty above 0. The system is scaled to a unit diagonal first, so
    /// that the units of the features do not change the accuracy.
    pub(crate) fn ridge(&self, penalty: f64) -> Result<Array2<f64>> {
        let mut system = self.gram.clone();
        system.diag_mut().mapv_inplace(|x| x.max(0.) + penalty);
        let inverse = system.diag().mapv(|x| 1. / x.sqrt());
        let column = inverse.view().insert_axis(Axis(1));
        let solved = scaled(&system, &inverse).solvec_into(&self.cross * &column);
        Ok(solved.map_err(|e| unsolvable(&e))? * column)
    }

    /// The intercepts that go with these coefficients.
    pub(crate) fn intercepts(&self, coefficients: &Array2<f64>) -> Vec<f64> {
        (&self.target_means - &coefficients.t().dot(&self.means)).to_vec()
    }

    /// The mean squared error, summed over the outputs, of the function with these coefficients.
    pub(crate) fn error(&self, coefficients: &Array2<f64>) -> f64 {
        let change = (coefficients * &(self.gram.dot(coefficients) - &self.cross * 2.)).sum();
        (self.target_variances.iter().sum::<f64>() + change).max(0.)
    }
}

/// `diag(d) · m · diag(d)`.
pub(crate) fn scaled(m: &Array2<f64>, diagonal: &Array1<f64>) -> Array2<f64> {
    m * &diagonal.view().insert_axis(Axis(1)) * diagonal
}

/// The standard deviation of a feature; 0 for one that is constant up to rounding.
pub(crate) fn deviation(variance: f64, mean: f64) -> f64 {
    let sd = variance.max(0.).sqrt();
    if sd > CONSTANT * mean.abs() {
        sd
    } else {
        0.
    }
}

/// The inverses of eigenvalues for standardised features; 0 for a direction that only rounding has.
pub(crate) fn inverted(values: &Array1<f64>) -> Array1<f64> {
    let largest = values.iter().copied().fold(0., f64::max);
    values.mapv(|value| if value > RANK * largest { 1. / value } else { 0. })
}

/// The eigenvalues, none below 0, and the eigenvectors of a symmetric matrix.
pub(crate) fn decomposed(m: Array2<f64>) -> Result<(Array1<f64>, Array2<f64>)> {
    let (values, vectors) = m.eigh_into().map_err(|e| unsolvable(&e))?;
    Ok((values.mapv(|v: f64| v.max(0.)), vectors))
}

pub(crate) fn unsolvable(e: &dyn std::fmt::Display) -> Error {
    Error::invalid("the meta-features", "such that their normal equations can be solved", e)
}
