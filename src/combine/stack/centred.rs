//! Least squares in the smaller of two forms: by the moments of the features, or by the products of the rows.
//!
//! With `R` rows and `F` features the moments are a matrix `(F, F)`, whose decomposition takes `F³`
//! operations. If there are fewer rows than features, the products of the rows, `(R, R)`, give the same
//! solutions (the dual form: Saunders, Gammerman and Vovk 1998), for all outputs from one decomposition:
//!
//! ```text
//! (XᵀX + λ I)⁻¹ Xᵀ Y = Xᵀ (X Xᵀ + λ I)⁻¹ Y
//! ```
use crate::{
    combine::stack::{
        fit_rows::to_f64,
        moments::{decomposed, deviation, inverted, unsolvable, CentredMoments, Moments},
        MetaDataset,
    },
    Error, Result, Rows,
};
use linfa_linalg::cholesky::*;
use ndarray::{Array1, Array2, Axis};

/// The rows that a linear model is fitted on, about their means.
#[derive(Debug)]
pub(crate) enum Centred {
    Moments(CentredMoments),
    Rows(CentredRows),
}

/// A set of rows that can be joined with others, fitted on and scored on.
#[derive(Clone, Debug)]
pub(crate) enum RowSet {
    Moments(Moments),
    Rows(RowTable),
}

/// Features `(R, F)` and targets `(R, K)` with the weights of the rows.
#[derive(Clone, Debug)]
pub(crate) struct RowTable {
    features: Array2<f64>,
    targets: Array2<f64>,
    weights: Array1<f64>,
}

/// Rows about their weighted means, times the roots of their shares of the weight.
#[derive(Debug)]
pub(crate) struct CentredRows {
    pub(crate) features: Array2<f64>,
    pub(crate) targets: Array2<f64>,
    means: Array1<f64>,
    target_means: Array1<f64>,
    total: f64,
}

impl RowSet {
    /// Each of these sets of rows, in the form that is smaller for all rows.
    pub(crate) fn of_groups(dataset: &MetaDataset<'_>, groups: &[Rows]) -> Result<Vec<Self>> {
        let (rows, width) = dataset.features().dims2()?;
        match rows >= width {
            true => Self::moments(dataset, groups),
            false => Self::tables(dataset, groups),
        }
    }

    #[cfg(test)]
    pub(crate) fn both_forms(dataset: &MetaDataset<'_>, groups: &[Rows]) -> Result<(Vec<Self>, Vec<Self>)> {
        Ok((Self::moments(dataset, groups)?, Self::tables(dataset, groups)?))
    }

    fn moments(dataset: &MetaDataset<'_>, groups: &[Rows]) -> Result<Vec<Self>> {
        Ok(Moments::of_groups(dataset, groups)?.into_iter().map(Self::Moments).collect())
    }

    fn tables(dataset: &MetaDataset<'_>, groups: &[Rows]) -> Result<Vec<Self>> {
        let features = to_f64(dataset.features())?;
        let columns = dataset.target_columns()?;
        let weights = dataset.weights()?;
        if features.iter().chain(columns.iter().flatten()).any(|x| !x.is_finite()) {
            return Err(unsolvable(&"a number is not finite"));
        }
        let of_group = |group: &Rows| {
            let rows: Vec<usize> = group.iter().map(|row| *row as usize).collect();
            Self::Rows(RowTable {
                features: features.select(Axis(0), &rows),
                targets: Array2::from_shape_fn((rows.len(), columns.len()), |(i, k)| columns[k][rows[i]]),
                weights: rows.iter().map(|row| weights[*row]).collect(),
            })
        };
        Ok(groups.iter().map(of_group).collect())
    }

    /// All rows.
    pub(crate) fn of_all_rows(dataset: &MetaDataset<'_>) -> Result<Self> {
        let all = (0..dataset.features().dim(0)? as u32).collect();
        let none = || Error::invalid("number of held-out rows", "at least 1", 0);
        Self::of_groups(dataset, &[all])?.pop().ok_or_else(none)
    }

    /// All rows of these sets, of one form; `None` without any.
    pub(crate) fn joined<'a>(sets: impl Iterator<Item = &'a Self>) -> Option<Self> {
        sets.cloned().reduce(|a, b| match (a, b) {
            (Self::Moments(a), Self::Moments(b)) => Self::Moments(a.plus(&b)),
            (Self::Rows(a), Self::Rows(b)) => Self::Rows(a.plus(&b)),
            (a, _) => a, // all sets of a data set have one form
        })
    }

    /// `Σ w`.
    pub(crate) fn total_weight(&self) -> f64 {
        match self {
            Self::Moments(moments) => moments.total_weight(),
            Self::Rows(table) => table.weights.sum(),
        }
    }

    pub(crate) fn centred(&self) -> Centred {
        match self {
            Self::Moments(moments) => Centred::Moments(moments.centred()),
            Self::Rows(table) => Centred::Rows(table.centred()),
        }
    }

    /// The mean squared error of a linear function on these rows, summed over the outputs.
    pub(crate) fn error(&self, coefficients: &Array2<f64>, intercepts: &[f64]) -> f64 {
        match self {
            Self::Moments(moments) => moments.error(coefficients, intercepts),
            Self::Rows(table) => {
                let predicted = table.features.dot(coefficients) + &Array1::from(intercepts.to_vec());
                table.error_of(&predicted)
            }
        }
    }
}

impl RowTable {
    fn plus(&self, other: &Self) -> Self {
        let stack = |a: &Array2<f64>, b: &Array2<f64>| {
            let mut both = Array2::zeros((a.nrows() + b.nrows(), a.ncols()));
            let rows = a.rows().into_iter().chain(b.rows());
            both.rows_mut().into_iter().zip(rows).for_each(|(mut to, from)| to.assign(&from));
            both
        };
        Self {
            features: stack(&self.features, &other.features),
            targets: stack(&self.targets, &other.targets),
            weights: self.weights.iter().chain(&other.weights).copied().collect(),
        }
    }

    fn centred(&self) -> CentredRows {
        let total = self.weights.sum();
        let shares = &self.weights / total;
        let (means, target_means) = (shares.dot(&self.features), shares.dot(&self.targets));
        let roots = shares.mapv(f64::sqrt).insert_axis(Axis(1));
        let features = (&self.features - &means) * &roots;
        let targets = (&self.targets - &target_means) * &roots;
        CentredRows { features, targets, means, target_means, total }
    }

    /// The mean squared error of predictions `(R, K)`, summed over the outputs.
    fn error_of(&self, predicted: &Array2<f64>) -> f64 {
        let squares = (predicted - &self.targets).mapv(|d| d * d).sum_axis(Axis(1));
        squares.dot(&self.weights) / self.weights.sum()
    }
}

impl Centred {
    /// `Σ w`.
    pub(crate) fn total(&self) -> f64 {
        match self {
            Self::Moments(moments) => moments.total,
            Self::Rows(rows) => rows.total,
        }
    }

    /// The largest covariance of a feature and a target.
    pub(crate) fn largest_covariance(&self) -> f64 {
        let largest = |cross: &Array2<f64>| cross.iter().fold(0f64, |max, c| max.max(c.abs()));
        match self {
            Self::Moments(moments) => largest(&moments.cross),
            Self::Rows(rows) => largest(&rows.features.t().dot(&rows.targets)),
        }
    }

    /// The coefficients of least squares. If they are not unique, those of least norm, with the features in
    /// units of their standard deviations; duplicate features get the same coefficient.
    pub(crate) fn least_squares(&self) -> Result<Array2<f64>> {
        match self {
            Self::Moments(moments) => moments.least_squares(),
            Self::Rows(rows) => {
                let variances = rows.features.mapv(|x| x * x).sum_axis(Axis(0));
                let deviations =
                    ndarray::Zip::from(&variances).and(&rows.means).map_collect(|v, m| deviation(*v, *m));
                let inverse = deviations.mapv(|sd| if sd > 0. { 1. / sd } else { 0. });
                let scaled = &rows.features * &inverse;
                let (values, vectors) = decomposed(scaled.dot(&scaled.t()))?;
                let factors = inverted(&values).insert_axis(Axis(1));
                let dual = vectors.dot(&(vectors.t().dot(&rows.targets) * factors));
                Ok(scaled.t().dot(&dual) * inverse.insert_axis(Axis(1)))
            }
        }
    }

    /// `(gram + penalty)⁻¹ cross` for a penalty above 0.
    pub(crate) fn ridge(&self, penalty: f64) -> Result<Array2<f64>> {
        match self {
            Self::Moments(moments) => moments.ridge(penalty),
            Self::Rows(rows) => {
                let mut system = rows.features.dot(&rows.features.t());
                system.diag_mut().mapv_inplace(|x| x + penalty);
                let dual = system.solvec_into(rows.targets.clone()).map_err(|e| unsolvable(&e))?;
                Ok(rows.features.t().dot(&dual))
            }
        }
    }

    /// The intercepts that go with these coefficients.
    pub(crate) fn intercepts(&self, coefficients: &Array2<f64>) -> Vec<f64> {
        match self {
            Self::Moments(moments) => moments.intercepts(coefficients),
            Self::Rows(rows) => (&rows.target_means - &rows.means.dot(coefficients)).to_vec(),
        }
    }

    /// The mean squared error, summed over the outputs, of the function with these coefficients.
    pub(crate) fn error(&self, coefficients: &Array2<f64>) -> f64 {
        match self {
            Self::Moments(moments) => moments.error(coefficients),
            Self::Rows(rows) => (rows.features.dot(coefficients) - &rows.targets).mapv(|d| d * d).sum(),
        }
    }

    /// The mean squared error of ridge regression on other rows as a function of the penalty, summed over the
    /// outputs, from one decomposition. The moments are means over the rows, and so is the penalty.
    pub(crate) fn ridge_errors<'a>(
        &'a self,
        other: &'a RowSet,
    ) -> Result<Box<dyn FnMut(f64) -> Result<f64> + 'a>> {
        match (self, other) {
            (Self::Rows(rows), RowSet::Rows(other)) => {
                let (values, vectors) = decomposed(rows.features.dot(&rows.features.t()))?;
                let rotated = vectors.t().dot(&rows.targets);
                let products = (&other.features - &rows.means).dot(&rows.features.t()).dot(&vectors);
                Ok(Box::new(move |penalty| {
                    let factors = values.mapv(|value| 1. / (value + penalty));
                    Ok(other.error_of(&((&products * &factors).dot(&rotated) + &rows.target_means)))
                }))
            }
            (Self::Moments(moments), _) => {
                let (values, vectors) = decomposed(moments.gram.clone())?;
                let rotated = vectors.t().dot(&moments.cross);
                Ok(Box::new(move |penalty| {
                    let factors = values.mapv(|value| 1. / (value + penalty)).insert_axis(Axis(1));
                    let coefficients = vectors.dot(&(&rotated * &factors));
                    Ok(other.error(&coefficients, &moments.intercepts(&coefficients)))
                }))
            }
            (Self::Rows(_), _) => Ok(Box::new(move |penalty| {
                let coefficients = self.ridge(penalty)?;
                Ok(other.error(&coefficients, &self.intercepts(&coefficients)))
            })),
        }
    }
}
