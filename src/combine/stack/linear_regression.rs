//! linfa-linear's least squares.
use super::{
    linfa_models::{only_values, Answers},
    AffineModel, MetaDataset, MetaLearner,
};
use crate::{combine::Fit, Error, Result};
use linfa::{traits::Fit as _, DatasetBase};
use linfa_linalg::qr::QRInto;
use ndarray::{Array1, Array2, Axis};
use serde::{Deserialize, Serialize};

/// A meta-feature whose own part, which the others do not explain, is below this share of its spread is rounding.
const OWN_PART: f64 = 3e-6;

/// Ordinary least squares with intercept by the QR decomposition of linfa-linear, for values.
///
/// Minimises `Σ_i w_i (y_i − b − xᵢᵀβ)²` for each output alone: linfa's `LinearRegression` on rows that are centred,
/// scaled to a standard deviation of 1 and multiplied by `√w_i`, which is what honours the weights. The meta-features
/// are `(R, F)`, the coefficients `(K, F)` for K outputs.
///
/// It has the objective of [`Linear`](super::Linear), and where the coefficients are determined it finds the same ones.
/// Use it where you want to read the coefficients: it refuses rows that leave them open (duplicate or constant members,
/// fewer rows than meta-features), where [`Linear`](super::Linear) takes the solution of least norm. Do not use it for
/// classes or for members that may be equal; [`Linear`](super::Linear) does both, and needs one pass over the rows.
/// Time `R·F²` for each output, memory `R·F`, one thread.
///
/// # Errors
/// The fit fails for classes, for no more rows of a weight above 0 than meta-features, and when a meta-feature is
/// constant or a linear function of those before it, but for rounding.
///
/// ```
/// # use candle_core::{Device, Tensor};
/// # use candle_ensemble::{combine::{stack::LinearRegression, Combiner, Stack, Predictions}, data::Task, HeldOut};
/// let members = Tensor::new(&[[[0f64], [1.], [2.], [3.]], [[1.], [0.], [1.], [0.]]], &Device::Cpu)?;
/// let y = Tensor::new(&[2f64, 3., 6., 7.], &Device::Cpu)?; // 1 + 2 x₀ + x₁
/// let held_out = HeldOut::from_predictions(&Predictions::new(members, Task::Regression { outputs: 1 })?, &y)?;
/// let head = Stack::new(LinearRegression).fit(&held_out.clone())?;
/// let coefficients = &head.model().coefficients()[0];
/// assert!((coefficients[0] - 2.).abs() < 1e-12 && (coefficients[1] - 1.).abs() < 1e-12);
/// assert!((head.model().intercepts()[0] - 1.).abs() < 1e-12);
/// # Ok::<(), candle_ensemble::Error>(())
/// ```
///
/// Source: Golub 1965, doi:10.1007/BF01436075; for stacking Breiman 1996, doi:10.1007/BF00117832.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LinearRegression;

const NAME: &str = "linear regression";

impl MetaLearner for LinearRegression {
    type Model = AffineModel;

    fn fit(&self, dataset: &MetaDataset<'_>) -> Result<AffineModel> {
        only_values(dataset.task(), NAME)?;
        let answers = Answers::of(dataset, NAME)?;
        let (rows, width) = answers.features.dim();
        if rows <= width {
            let must = format!("more than the {width} meta-features for {NAME}");
            return Err(Error::invalid("the number of held-out rows", must, rows));
        }
        let total = answers.weights.sum();
        let roots = answers.weights.mapv(|w| (w / total).sqrt());
        let column = roots.view().insert_axis(Axis(1));
        let (about, means, deviations) = standardised(&answers.features, &answers.weights);
        let rows_of_unit_columns = about * column;
        determined(rows_of_unit_columns.clone())?;

        let mut coefficients = Array2::zeros((width, answers.columns.len()));
        let (mut intercepts, mut objective) = (vec![], 0.);
        let table = DatasetBase::from(rows_of_unit_columns);
        for (y, mut out) in answers.columns.iter().zip(coefficients.columns_mut()) {
            let mean = y.dot(&answers.weights) / total;
            let table = DatasetBase::new(table.records().view(), (y - mean) * &roots);
            let model = linfa_linear::LinearRegression::new().with_intercept(false).fit(&table);
            let model = model.map_err(|e| {
                Error::invalid("the meta-features", format!("such that {NAME} can be solved"), e)
            })?;
            let residual = table.targets() - &table.records().dot(model.params());
            objective += residual.dot(&residual);
            out.assign(&(model.params() / &deviations));
            intercepts.push(mean - out.dot(&means));
        }
        if coefficients.iter().chain(&intercepts).any(|b| !b.is_finite()) {
            return Err(Error::invalid(format!("the coefficients of {NAME}"), "finite", "NaN or infinite"));
        }
        let fit = Fit { objective, iterations: 1, gap: None };
        Ok(AffineModel::new("linear-regression", dataset.task(), 0., (coefficients, intercepts), fit))
    }
}

/// The columns less their means, divided by their standard deviations; means; deviations, 1 where there is none.
pub(super) fn standardised(
    features: &Array2<f64>,
    weights: &Array1<f64>,
) -> (Array2<f64>, Array1<f64>, Array1<f64>) {
    let total = weights.sum();
    let means = weights.dot(features) / total;
    let about = features - &means;
    let variances = weights.dot(&about.mapv(|x| x * x)) / total;
    let constant = |sd: f64, mean: f64| sd <= 1e-9 * mean.abs();
    let deviations = ndarray::Zip::from(&variances).and(&means).map_collect(|v, mean| match v.sqrt() {
        sd if constant(sd, *mean) => 1.,
        sd => sd,
    });
    (about / &deviations, means, deviations)
}

/// Whether each column has a part of its own.
fn determined(columns: Array2<f64>) -> Result<()> {
    let solved = columns.qr_into().map_err(|e| Error::invalid("the meta-features", "decomposable", e))?;
    let own = solved.into_r().diag().to_owned();
    match own.iter().position(|part| part.is_nan() || *part <= OWN_PART) {
        None => Ok(()),
        Some(feature) => {
            let must = format!(
                "neither constant nor a linear function of those before it for {NAME} (stack::Linear accepts it)"
            );
            Err(Error::invalid(format!("meta-feature {feature}"), must, "one, but for rounding"))
        }
    }
}
