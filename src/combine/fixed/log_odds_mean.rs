//! The mean of the log-odds.
use crate::{
    combine::{
        fixed::row_by_row::{normalise, row_by_row},
        FittedCombiner, FixedCombiner,
    },
    network::Scale,
    predictions::Predictions,
};
use candle_core::{Result, Tensor};
use serde::{Deserialize, Serialize};

/// The mean of the log-odds of each class against all others. For classes only.
///
/// ```text
/// ℓ_c = Σ_s ln(p_sc / (1 − p_sc)) / S    p_c ∝ 1 / (1 + exp(−ℓ_c))
/// ```
///
/// It combines `(S, B, C)` to `(B, C)`; the result is normalised to sum to one. A missing prediction is left
/// out; a row that no slot predicts gives NaN. A probability of exactly 0 counts as the smallest positive
/// f32.
///
/// For two classes it is the [`GeometricMean`](crate::combine::GeometricMean); for more classes it is not.
/// The mean of what networks compute before their softmax is the geometric mean for any number of classes,
/// not this one.
///
/// Use it when each class is a decision of its own, such as one class against the rest. No gradient passes
/// through it. The cost is one pass over the `S·B·C` numbers with a logarithm and an exponential for each.
///
/// # Errors
/// Combining fails for regression.
///
/// ```
/// use candle_core::{Device, Tensor};
/// use candle_ensemble::{combine::*, data::Task, predictions::*};
///
/// // Odds of 1 : 1 and 1 : 4 for class 0: 1 : 2 in the mean. Class 1 has 1 : 3 and 7 : 3, class 2 1 : 3 and 1 : 9.
/// let members = Tensor::new(&[[[0.5f64, 0.25, 0.25]], [[0.2, 0.7, 0.1]]], &Device::Cpu)?;
/// let predictions = Predictions::new(members, Task::Classification { classes: 3 })?;
/// let p = LogOddsMean.combine(&predictions)?.to_vec2::<f64>()?;
/// let odds = [(1f64 / 4.).sqrt(), (1. / 3. * 7. / 3f64).sqrt(), (1. / 3. / 9f64).sqrt()];
/// let shares = odds.map(|o| o / (1. + o));
/// assert!((p[0][0] - shares[0] / shares.iter().sum::<f64>()).abs() < 1e-12);
/// # Ok::<(), candle_core::Error>(())
/// ```
///
/// Source: Satopää et al. 2014, doi:10.1016/j.ijforecast.2013.09.009.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogOddsMean;

impl FixedCombiner for LogOddsMean {}

impl FittedCombiner for LogOddsMean {
    fn name(&self) -> String {
        "log-odds-mean".into()
    }

    fn scale(&self) -> Scale {
        Scale::LogProbability
    }

    fn combine(&self, predictions: &Predictions) -> Result<Tensor> {
        let logs = predictions.log_probabilities("the mean of log-odds")?;
        row_by_row(predictions, &logs, |row_predictions, combined| {
            let classes = combined.len();
            for i in 0..row_predictions.slots.len() {
                let top = row_predictions.most_probable(i);
                let top_log = row_predictions.value(i, top);
                // Relative to the most probable class.
                let odds = |class: usize| (row_predictions.value(i, class) - top_log).exp();
                let others: f64 = (0..classes).filter(|class| *class != top).map(odds).sum();
                for (class, log_odds) in combined.iter_mut().enumerate() {
                    // If p of the most probable class is close to 1, then 1 − p has lost its digits; the sum of the other
                    // classes has them.
                    *log_odds += match class == top {
                        true => -others.ln(),
                        false => row_predictions.value(i, class) - top_log - (1. + others - odds(class)).ln(),
                    };
                }
            }
            let count = row_predictions.slots.len() as f64;
            combined.iter_mut().for_each(|x| *x = 1. / (1. + (-*x / count).exp()));
            normalise(combined);
        })
    }
}
