//! Linear regression by a QR decomposition.
use super::{
    fit_rows::{check_regression, FitRows},
    AffineModel, MetaDataset, MetaLearner,
};
use crate::{combine::Fit, Error, Result};
use linfa::{traits::Fit as _, DatasetBase};
use linfa_linalg::qr::QRInto;
use ndarray::{Array1, Array2, Axis};
use serde::{Deserialize, Serialize};

/// A meta-feature is a linear function of those before it if the part that they do not explain is below this
/// share of its standard deviation.
const OWN_PART: f64 = 3e-6;

/// Linear regression by the QR decomposition of linfa-linear, for regression only; it fails if the
/// coefficients are not unique.
///
/// ```text
/// minimise Σ_i w_i (y_i − b − xᵢᵀβ)²    for each output
/// ```
///
/// The meta-features are `(R, F)`, the coefficients `(K, F)` for `K` outputs. linfa's `LinearRegression` is
/// fitted on rows that are centred, scaled to a standard deviation of 1, and multiplied by `√w_i`, so that
/// the weights of the rows are used.
///
/// It has the objective of [`Linear`](crate::combine::stack::Linear), and finds the same coefficients if they
/// are unique. Use it when you want to read the coefficients: it fails when they are not unique (with
/// duplicate or constant members, or with fewer rows than meta-features), where
/// [`Linear`](crate::combine::stack::Linear) takes the solution of least norm. For classes, or when members
/// may be equal, use [`Linear`](crate::combine::stack::Linear), which is also faster. Time `R·F²` for each
/// output, memory `R·F`, one thread.
///
/// # Errors
/// Fitting fails for classes, when there are not more rows with a weight above 0 than meta-features, and when
/// a meta-feature is constant or a linear function of those before it, up to rounding.
///
/// ```
/// # use candle_core::{Device, Tensor};
/// # use candle_ensemble::{combine::{stack::LinearRegression, Combiner, Stack, Predictions}, data::Task, HeldOut};
/// let members = Tensor::new(&[[[0f64], [1.], [2.], [3.]], [[1.], [0.], [1.], [0.]]], &Device::Cpu)?;
/// let y = Tensor::new(&[2f64, 3., 6., 7.], &Device::Cpu)?; // 1 + 2 x₀ + x₁
/// let held_out = HeldOut::from_predictions(&Predictions::new(members, Task::Regression { outputs: 1 })?, &y)?;
/// let fitted = Stack::new(LinearRegression).fit(&held_out)?;
/// let coefficients = &fitted.model().coefficients()[0];
/// assert!((coefficients[0] - 2.).abs() < 1e-12 && (coefficients[1] - 1.).abs() < 1e-12);
/// assert!((fitted.model().intercepts()[0] - 1.).abs() < 1e-12);
/// # Ok::<(), candle_ensemble::Error>(())
/// ```
///
/// Sources: Golub 1965, doi:10.1007/BF01436075; for stacking Breiman 1996, doi:10.1007/BF00117832.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LinearRegression;

const NAME: &str = "linear regression";

impl MetaLearner for LinearRegression {
    type Model = AffineModel;

    fn fit(&self, dataset: &MetaDataset<'_>) -> Result<AffineModel> {
        check_regression(dataset.task(), NAME)?;
        let data = FitRows::of(dataset, NAME)?;
        let (rows, width) = data.features.dim();
        if rows <= width {
            let must = format!("more than the {width} meta-features for {NAME}");
            return Err(Error::invalid("the number of held-out rows", must, rows));
        }
        let total = data.weights.sum();
        let roots = data.weights.mapv(|w| (w / total).sqrt());
        let column = roots.view().insert_axis(Axis(1));
        let (about, means, deviations) = standardised(&data.features, &data.weights);
        let rows_of_unit_columns = about * column;
        check_independent(rows_of_unit_columns.clone())?;

        let mut coefficients = Array2::zeros((width, data.targets.len()));
        let (mut intercepts, mut objective) = (vec![], 0.);
        let table = DatasetBase::from(rows_of_unit_columns);
        for (y, mut out) in data.targets.iter().zip(coefficients.columns_mut()) {
            let mean = y.dot(&data.weights) / total;
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

/// The columns minus their means, divided by their standard deviations; the means; and the standard
/// deviations, which are 1 for constant columns.
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

/// Checks that no column is constant or a linear function of those before it.
fn check_independent(columns: Array2<f64>) -> Result<()> {
    let solved = columns.qr_into().map_err(|e| Error::invalid("the meta-features", "decomposable", e))?;
    let own = solved.into_r().diag().to_owned();
    match own.iter().position(|part| part.is_nan() || *part <= OWN_PART) {
        None => Ok(()),
        Some(feature) => {
            let must = format!(
                "neither constant nor a linear function of those before it for {NAME} (stack::Linear accepts it)"
            );
            Err(Error::invalid(format!("meta-feature {feature}"), must, "one, up to rounding"))
        }
    }
}
