//! Ridge regression.
use crate::{
    combine::{
        stack::{
            centred::Centred,
            penalty::{choose_penalty, PenaltyChoice},
            AffineModel, MetaDataset, MetaLearner, MetaMoments,
        },
        Fit,
    },
    data::Task,
    Result,
};

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
/// cross-validation; memory `F²` per fold. With fewer rows than meta-features, as with many classes, time
/// `R²·F + R³ + R·F·K`, and for cross-validation `R²·K` for each candidate; memory `R·F + F·K`.
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

impl MetaLearner for Ridge {
    type Model = AffineModel;

    fn fit(&self, dataset: &MetaDataset<'_>) -> Result<AffineModel> {
        self.0.check("the ridge penalty")?;
        let candidates = |_: &Centred| (-12..=12).map(|half| 10f64.powf(f64::from(half) / 2.)).collect();
        let (rows, alpha) = choose_penalty(dataset, self.0, candidates, |rest, fold| {
            // The errors are means over the rows, so α is divided by the total weight.
            let (mut errors, total) = (rest.ridge_errors(fold)?, rest.total());
            Ok(Box::new(move |alpha| errors(alpha / total)))
        })?;
        ridge(&rows, alpha, dataset.task())
    }

    fn fit_moments(&self, moments: &mut dyn FnMut() -> Result<MetaMoments>) -> Result<Option<AffineModel>> {
        self.0.check("the ridge penalty")?;
        let Some(alpha) = self.0.fixed() else { return Ok(None) };
        let moments = moments()?;
        ridge(moments.centred(), alpha, moments.task()).map(Some)
    }
}

fn ridge(rows: &Centred, alpha: f64, task: Task) -> Result<AffineModel> {
    let coefficients = match alpha {
        0. => rows.least_squares()?,
        alpha => rows.ridge(alpha / rows.total())?,
    };
    let penalty = alpha / rows.total() * coefficients.mapv(|b| b * b).sum();
    let fit = Fit { objective: rows.error(&coefficients) + penalty, iterations: 1, gap: None };
    let intercepts = rows.intercepts(&coefficients);
    Ok(AffineModel::new("ridge", task, alpha, (coefficients, intercepts), fit))
}
