//! Ridge regression.
use crate::{
    combine::{
        stack::{
            moments::CentredMoments,
            penalty::{choose_penalty, PenaltyChoice, PenaltyPath},
            AffineModel, MetaDataset, MetaLearner,
        },
        Fit,
    },
    Result,
};
use ndarray::Axis;

/// Ridge regression: least squares with a quadratic penalty on the coefficients.
///
/// ```text
/// minimise Σ_i w_i (y_i − b − xᵢᵀβ)² + α ‖β‖²    for each output; the intercept b has no penalty
/// ```
///
/// The objective is that of scikit-learn's `Ridge`; it is solved exactly. The meta-features are `(R, F)`, the
/// coefficients `(K, F)` for `K` outputs or classes ([`AffineModel`] says how it predicts classes).
///
/// Use it for stacking in regression: the predictions of members are strongly correlated, and the penalty
/// keeps their coefficients small and alike. The features are not scaled first, so all of them should have
/// the same unit; that may not be so when the inputs are passed through. Time `R·F² + F³`, with or without
/// cross-validation; memory `F²` per fold.
///
/// # Errors
/// Fitting fails when α is negative or not finite, when there are fewer than two folds, rows or groups to
/// cross-validate, and when the equations cannot be solved.
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
///
/// Sources: Hoerl and Kennard 1970, doi:10.1080/00401706.1970.10488634; for stacking Breiman 1996,
/// doi:10.1007/BF00117832.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Ridge(PenaltyChoice);

impl Default for Ridge {
    /// α = 1.
    fn default() -> Self {
        Self::new(1.)
    }
}

impl Ridge {
    /// Ridge regression with this α, which must be finite and not negative. With α = 0 it is
    /// [`Linear`](crate::combine::stack::Linear); the default of scikit-learn is 1.
    #[must_use]
    pub fn new(alpha: f64) -> Self {
        Self(PenaltyChoice::Fixed(alpha))
    }

    /// Ridge regression whose α is chosen by cross-validation over this many folds of the held-out rows. The
    /// candidates are the half powers of ten from 1e-6 to 1e6; the one with the least squared error is taken.
    #[must_use]
    pub fn cross_validated(folds: usize) -> Self {
        Self(PenaltyChoice::CrossValidated { folds })
    }
}

/// The coefficients as a function of α, from one decomposition. The moments are means over the rows, so α is
/// divided by the total weight.
fn path(moments: &CentredMoments) -> Result<PenaltyPath<'_>> {
    let (values, vectors) = moments.eigen()?;
    let rotated = vectors.t().dot(&moments.cross);
    Ok(Box::new(move |alpha| {
        let factors = values.mapv(|v| 1. / (v + alpha / moments.total));
        Ok(vectors.dot(&(&rotated * &factors.insert_axis(Axis(1)))))
    }))
}

impl MetaLearner for Ridge {
    type Model = AffineModel;

    fn fit(&self, dataset: &MetaDataset<'_>) -> Result<AffineModel> {
        self.0.check("the ridge penalty")?;
        let candidates =
            |_: &CentredMoments| (-12..=12).map(|half| 10f64.powf(f64::from(half) / 2.)).collect();
        let (moments, alpha) = choose_penalty(dataset, self.0, candidates, path)?;
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
