//! All that squared errors need to know of a table: its second moments.
//!
//! Least squares, ridge and elastic net depend on the rows only through Σ w z zᵀ with z = (features, answers, 1). One
//! pass over the rows gives it; folds of a cross-validation are sums and differences; every output and every
//! penalty is then solved for without another look at the rows. Costs R·F² for the pass and F³ to solve.
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

/// Rows that are multiplied at once.
const CHUNK: usize = 256;
/// Partial sums, whatever the number of threads, added in order: the result is the same on every machine's cores.
const PARTS: usize = 8;
/// Directions whose variance is below this share of the largest (of standardised features) count as rounding of f32
/// predictions: duplicate members, or probabilities that sum to one.
const RANK: f64 = 1e-11;
/// A standard deviation below this share of the mean's size is a constant.
const CONSTANT: f64 = 1e-9;

/// Σ w z zᵀ about an origin, z = (features, answers, 1).
#[derive(Clone, Debug)]
pub(crate) struct Sums {
    table: Array2<f64>,
    origin: Array1<f64>,
    features: usize,
}

impl Sums {
    /// Of each group of positions.
    pub(crate) fn of(dataset: &MetaDataset<'_>, groups: &[Rows]) -> Result<Vec<Self>> {
        let (answers, weights) = (dataset.answers()?, dataset.weights()?);
        match dataset.features().dtype() {
            DType::F64 => of::<f64>(dataset, groups, &answers, &weights),
            _ => of::<f32>(dataset, groups, &answers, &weights),
        }
    }

    /// Of all rows.
    pub(crate) fn of_all(dataset: &MetaDataset<'_>) -> Result<Self> {
        let all = (0..dataset.features().dim(0)? as u32).collect();
        let sums = Self::of(dataset, &[all])?.pop();
        sums.ok_or_else(|| Error::invalid("the held-out rows", "at least one", 0))
    }

    /// The features' means and covariance over some rows, whatever the answers and the weights.
    pub(crate) fn covariance(dataset: &MetaDataset<'_>, some: &Rows) -> Result<(Array1<f64>, Array2<f64>)> {
        let centred = |sums: Vec<Self>| {
            let none = || Error::invalid("the held-out rows", "at least one", 0);
            let centred = sums.first().ok_or_else(none)?.centred();
            Ok((centred.means, centred.gram))
        };
        let weights = vec![1.; dataset.features().dim(0)?];
        match dataset.features().dtype() {
            DType::F64 => centred(of::<f64>(dataset, std::slice::from_ref(some), &[], &weights)?),
            _ => centred(of::<f32>(dataset, std::slice::from_ref(some), &[], &weights)?),
        }
    }

    pub(crate) fn plus(&self, other: &Self) -> Self {
        Self { table: &self.table + &other.table, ..self.clone() }
    }

    /// Σ w.
    pub(crate) fn total(&self) -> f64 {
        self.table[[self.table.nrows() - 1; 2]]
    }

    /// About the mean: features with features, features with answers, answers' own; divided by Σ w.
    pub(crate) fn centred(&self) -> Centred {
        let (n, last) = (self.features, self.table.nrows() - 1);
        let total = self.total();
        let mean = self.table.slice(s![..last, last]).mapv(|x| x / total);
        let column = mean.view().insert_axis(Axis(1));
        let table = &self.table.slice(s![..last, ..last]) / total - column.dot(&column.t());
        let energy = (n..last).map(|k| table[[k, k]].max(0.)).collect();
        let mean = mean + &self.origin;
        Centred {
            gram: table.slice(s![..n, ..n]).to_owned(),
            cross: table.slice(s![..n, n..]).to_owned(),
            energy,
            means: mean.slice(s![..n]).to_owned(),
            answers: mean.slice(s![n..]).to_owned(),
            total,
        }
    }

    /// The mean squared error of a linear function on these rows, summed over the outputs.
    pub(crate) fn error(&self, coefficients: &Array2<f64>, intercepts: &[f64]) -> f64 {
        let (n, last) = (self.features, self.table.nrows() - 1);
        let mut sum = 0.;
        for (k, (b, c)) in coefficients.columns().into_iter().zip(intercepts).enumerate() {
            // The residual is linear in z: its square is a quadratic form.
            let mut r = Array1::zeros(last + 1);
            r.slice_mut(s![..n]).assign(&b.mapv(|b| -b));
            r[n + k] = 1.;
            r[last] = self.origin[n + k] - c - b.dot(&self.origin.slice(s![..n]));
            sum += r.dot(&self.table.dot(&r)).max(0.);
        }
        sum / self.total()
    }
}

fn of<T: Number>(
    dataset: &MetaDataset<'_>,
    groups: &[Rows],
    answers: &[Vec<f64>],
    weights: &[f64],
) -> Result<Vec<Sums>> {
    let width = dataset.features().dim(1)?;
    let sums = cpu::with_slice(dataset.features(), |x: &[T]| {
        let rows = Table { x, width, answers, weights };
        let origin = rows.means();
        let sums = |group: &Rows| Sums {
            table: rows.products(group, &origin),
            origin: origin.clone(),
            features: width,
        };
        wide(|| groups.iter().map(sums).collect())
    })?;
    Ok(sums)
}

struct Table<'a, T> {
    x: &'a [T],
    width: usize,
    answers: &'a [Vec<f64>],
    weights: &'a [f64],
}

impl<T: Number> Table<'_, T> {
    fn row(&self, row: usize) -> impl Iterator<Item = f64> + '_ {
        let x = &self.x[row * self.width..(row + 1) * self.width];
        x.iter().map(|x| (*x).into()).chain(self.answers.iter().map(move |a| a[row]))
    }

    /// The weighted means, of features and answers: an origin near which nothing cancels.
    fn means(&self) -> Array1<f64> {
        let mut sum = Array1::<f64>::zeros(self.width + self.answers.len());
        for (row, weight) in self.weights.iter().enumerate() {
            sum.iter_mut().zip(self.row(row)).for_each(|(sum, x)| *sum += weight * x);
        }
        sum / self.weights.iter().sum::<f64>()
    }

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

/// Second moments about the means, of one row on average.
#[derive(Debug)]
pub(crate) struct Centred {
    /// Features with features, `(F, F)`.
    pub(crate) gram: Array2<f64>,
    /// Features with answers, `(F, C)`.
    pub(crate) cross: Array2<f64>,
    /// The variance of each answer.
    pub(crate) energy: Vec<f64>,
    means: Array1<f64>,
    answers: Array1<f64>,
    /// Σ w.
    pub(crate) total: f64,
}

impl Centred {
    /// The standard deviation of each feature; 0 for one that is constant but for rounding.
    pub(crate) fn deviations(&self) -> Array1<f64> {
        let deviation = |i: usize| {
            let sd = self.gram[[i, i]].max(0.).sqrt();
            if sd > CONSTANT * self.means[i].abs() {
                sd
            } else {
                0.
            }
        };
        (0..self.means.len()).map(deviation).collect()
    }

    /// The coefficients of least squares; where several are as good, those of least norm, counted in standard
    /// deviations of the features: duplicates share alike.
    pub(crate) fn least_squares(&self) -> Result<Array2<f64>> {
        let inverse = self.deviations().mapv(|sd| if sd > 0. { 1. / sd } else { 0. });
        let (values, vectors) = eigen(scaled(&self.gram, &inverse))?;
        let largest = values.iter().copied().fold(0., f64::max);
        let mut rotated = vectors.t().dot(&(&self.cross * &inverse.view().insert_axis(Axis(1))));
        for (mut row, value) in rotated.rows_mut().into_iter().zip(&values) {
            let by = if *value > RANK * largest { 1. / value } else { 0. };
            row *= by;
        }
        Ok(vectors.dot(&rotated) * inverse.insert_axis(Axis(1)))
    }

    /// (gram + penalty)⁻¹ cross, for a penalty above 0; scaled to a unit diagonal first, so that the units of the
    /// features cost no accuracy.
    pub(crate) fn ridge(&self, penalty: f64) -> Result<Array2<f64>> {
        let mut system = self.gram.clone();
        system.diag_mut().mapv_inplace(|x| x.max(0.) + penalty);
        let inverse = system.diag().mapv(|x| 1. / x.sqrt());
        let column = inverse.view().insert_axis(Axis(1));
        let solved = scaled(&system, &inverse).solvec_into(&self.cross * &column);
        Ok(solved.map_err(|e| unsolved(&e))? * column)
    }

    /// Eigenvalues and eigenvectors of the features' covariance.
    pub(crate) fn eigen(&self) -> Result<(Array1<f64>, Array2<f64>)> {
        eigen(self.gram.clone())
    }

    pub(crate) fn intercepts(&self, coefficients: &Array2<f64>) -> Vec<f64> {
        (&self.answers - &coefficients.t().dot(&self.means)).to_vec()
    }

    /// The mean squared error, summed over the outputs, of the function with these coefficients.
    pub(crate) fn error(&self, coefficients: &Array2<f64>) -> f64 {
        let fitted = (coefficients * &(self.gram.dot(coefficients) - &self.cross * 2.)).sum();
        (self.energy.iter().sum::<f64>() + fitted).max(0.)
    }
}

/// diag · m · diag.
pub(crate) fn scaled(m: &Array2<f64>, diagonal: &Array1<f64>) -> Array2<f64> {
    m * &diagonal.view().insert_axis(Axis(1)) * diagonal
}

fn eigen(m: Array2<f64>) -> Result<(Array1<f64>, Array2<f64>)> {
    let (values, vectors) = m.eigh_into().map_err(|e| unsolved(&e))?;
    Ok((values.mapv(|v: f64| v.max(0.)), vectors))
}

pub(crate) fn unsolved(e: &dyn std::fmt::Display) -> Error {
    Error::invalid("the meta-features", "such that their normal equations can be solved", e)
}
