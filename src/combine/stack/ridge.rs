//! Least squares with a quadratic penalty.
use crate::{
    combine::{
        stack::{
            search::{choose, Path, Penalty},
            sums::Centred,
            AffineModel, MetaDataset, MetaLearner,
        },
        Fit,
    },
    Result,
};
use ndarray::Axis;

/// Ridge regression: minimises `Σ_i w_i (y_i − b − xᵢᵀβ)² + α ‖β‖²` for each output, the intercept free; the objective
/// of scikit-learn's `Ridge`, solved exactly. Source: Hoerl and Kennard 1970, doi:10.1080/00401706.1970.10488634;
/// for stacking Breiman 1996, doi:10.1007/BF00117832.
///
/// ```
/// # use candle_core::{Device, Tensor};
/// # use candle_ensemble::{combine::{stack::{Ridge, Stack}, Combiner}, data::Task, predictions::Predictions, HeldOut};
/// # let y = Tensor::arange(0f64, 60., &Device::Cpu)?.reshape((60, 1))?;
/// # let predicted = Tensor::stack(&[(&y + 1.)?, (y.sin()? + &y)?, (y.cos()? * 2. + &y)?], 0)?;
/// # let held_out = HeldOut::from_predictions(&Predictions::new(predicted, Task::Regression { outputs: 1 })?, &y)?;
/// let report = held_out.judge(&Stack::new(Ridge::cross_validated(5)))?;
/// assert!(report.better_than_mean());
/// # Ok::<(), candle_ensemble::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Ridge(Penalty);

impl Default for Ridge {
    /// α = 1.
    fn default() -> Self {
        Self::new(1.)
    }
}

impl Ridge {
    /// With this α, at least 0 (where it is [`Linear`](crate::combine::stack::Linear)); scikit-learn's default is 1.
    #[must_use]
    pub fn new(alpha: f64) -> Self {
        Self(Penalty::Given(alpha))
    }

    /// α from 1e-6 to 1e6, in half powers of ten, by the squared error over this many folds of the held-out rows.
    #[must_use]
    pub fn cross_validated(folds: usize) -> Self {
        Self(Penalty::Folds(folds))
    }
}

/// All penalties for the price of one decomposition; `Centred` counts per row on average.
fn path(moments: &Centred) -> Result<Path<'_>> {
    let (values, vectors) = moments.eigen()?;
    let rotated = vectors.t().dot(&moments.cross);
    Ok(Box::new(move |alpha| {
        let by = values.mapv(|v| 1. / (v + alpha / moments.total));
        Ok(vectors.dot(&(&rotated * &by.insert_axis(Axis(1)))))
    }))
}

impl MetaLearner for Ridge {
    type Model = AffineModel;

    fn fit(&self, dataset: &MetaDataset<'_>) -> Result<AffineModel> {
        self.0.check("the ridge penalty")?;
        let candidates = |_: &Centred| (-12..=12).map(|half| 10f64.powf(f64::from(half) / 2.)).collect();
        let (moments, alpha) = choose(dataset, self.0, candidates, path)?;
        let coefficients = match alpha {
            0. => moments.least_squares()?,
            alpha => moments.ridge(alpha / moments.total)?,
        };
        let penalty = alpha / moments.total * coefficients.mapv(|b| b * b).sum();
        let fit = Fit { objective: moments.error(&coefficients) + penalty, iterations: 1, gap: None };
        let intercepts = moments.intercepts(&coefficients);
        Ok(AffineModel::new("ridge", dataset.task(), alpha, (coefficients, intercepts), fit))
    }
}
