//! Stacking of predictive distributions.
use crate::{
    combine::{
        blend::{
            densities::LogDensities,
            known::fit_known,
            simplex::{CellLoss, SimplexProblem},
        },
        Combiner, Weighted,
    },
    HeldOut, Result,
};
use serde::{Deserialize, Serialize};

/// Finds the weights with the highest log score of the mixture of the slots' predictive distributions.
///
/// ```text
/// max Σ_i ω_i ln Σ_s w_s p_s(y_i)  over  w ≥ 0, Σ w = 1
/// ```
///
/// It learns from held-out predictions `(S, R, C)` (slots, rows, classes or outputs). For classes `p_s(y)` is the probability of the true class, and the result is that of
/// [`SimplexLogLoss`](crate::combine::SimplexLogLoss). For values each slot predicts, for each output
/// separately, a normal distribution around its prediction. Its standard deviation is the slot's held-out
/// root mean squared error on the rows that it predicts, at least 10⁻⁶ of the targets' standard deviation. The
/// combined values are the means of the mixture. On each row a slot has at least 2⁻⁵² of the highest density.
/// Where predictions are missing, the mixture of a row is that of the slots that predict it, with their
/// weights divided by the sum of these.
///
/// Use it for values when the mixture itself matters, for example for intervals. When only the mean matters,
/// use [`SimplexSquares`](crate::combine::SimplexSquares), whose errors can cancel each other.
///
/// The cost is a few dozen passes over the densities `(S, R)`, and one quadratic program for each.
///
/// # Errors
/// [`Combiner::fit`] fails when candle fails.
///
/// # Examples
/// ```
/// use candle_core::{Device, Tensor};
/// use candle_ensemble::{
///     combine::{Combiner, FittedCombiner, PredictiveStacking}, data::Task, predictions::Predictions, HeldOut,
/// };
///
/// let y = Tensor::arange(0f64, 9., &Device::Cpu)?.reshape((9, 1))?;
/// let predicted = Tensor::stack(&[(&y + 1.)?, (&y - 3.)?], 0)?;
/// let predictions = Predictions::new(predicted, Task::Regression { outputs: 1 })?;
/// let held_out = HeldOut::from_predictions(&predictions, &y)?;
/// let fitted = PredictiveStacking.fit(&held_out)?;
/// assert_eq!(fitted.weights(), Some(&[1., 0.][..])); // errors do not cancel in a mixture
/// # Ok::<(), candle_ensemble::Error>(())
/// ```
///
/// Source: Yao, Vehtari, Simpson and Gelman 2018, arXiv:1704.02030, doi:10.1214/17-BA1091.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PredictiveStacking;

impl Combiner for PredictiveStacking {
    type Fitted = Weighted;

    fn fit(&self, held_out: &HeldOut) -> Result<Weighted> {
        fit_known(held_out, |held_out| {
            let densities = LogDensities::of(held_out)?.into_relative();
            let (means, weights) = (densities.means(), densities.weights.as_slice());
            let problem = SimplexProblem { means: &means, loss: CellLoss::Log, weights, penalty: 0. };
            let solution = problem.solve(None);
            let end = (solution.steps, means.partial.is_none().then_some(solution.gap));
            densities.fitted(held_out, "predictive-stacking", solution.weights, end)
        })
    }
}
