//! Stacking of predictive distributions.
use crate::{
    combine::{
        blend::{
            densities::Densities,
            simplex::{Loss, Problem},
        },
        Combiner, Fit, Weighted,
    },
    HeldOut, Result,
};
use serde::{Deserialize, Serialize};

/// Stacking of predictive distributions: the shares with the highest log score of the mixture,
/// `max Σ_i ω_i ln Σ_s w_s p_s(y_i)` over the simplex.
///
/// For classes `p_s(y)` is the probability of the true class, and the rule is
/// [`SimplexLogLoss`](crate::combine::SimplexLogLoss). For values each slot predicts, for each output by itself, the normal
/// distribution around what it says with its own held-out root mean squared error (at least 10⁻⁶ of the targets'
/// standard deviation) as standard deviation; the fitted's values are the mixture's means. On no row does a slot count
/// for less than 2⁻⁵² of the best one.
///
/// Source: Yao, Vehtari, Simpson and Gelman 2018, arXiv:1704.02030, doi:10.1214/17-BA1091.
///
/// ```
/// use candle_core::{Device, Tensor};
/// use candle_ensemble::{combine::{Combiner, FittedCombiner, PredictiveStacking}, data::Task, predictions::Predictions, HeldOut};
///
/// let y = Tensor::arange(0f64, 9., &Device::Cpu)?.reshape((9, 1))?;
/// let predicted = Tensor::stack(&[(&y + 1.)?, (&y - 3.)?], 0)?;
/// let held_out = HeldOut::from_predictions(&Predictions::new(predicted, Task::Regression { outputs: 1 })?, &y)?;
/// let fitted = PredictiveStacking.fit(&held_out)?;
/// assert_eq!(fitted.weights(), Some(&[1., 0.][..])); // a mixture, not a sum: no errors cancel out
/// # Ok::<(), candle_ensemble::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PredictiveStacking;

impl Combiner for PredictiveStacking {
    type Fitted = Weighted;

    fn fit(&self, held_out: &HeldOut) -> Result<Weighted> {
        let densities = Densities::of(&held_out)?.into_relative();
        let table = densities.table();
        let solution =
            Problem { table, loss: Loss::Log, weights: &densities.weights, strength: 0. }.solve(None);
        let fit = Fit {
            objective: solution.loss - densities.highest,
            iterations: solution.steps,
            gap: Some(solution.gap),
        };
        Ok(Weighted::found("predictive-stacking", held_out.names(), solution.weights, Some(fit)))
    }
}
