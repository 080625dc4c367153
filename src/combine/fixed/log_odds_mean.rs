//! The mean of log-odds.
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

/// The mean of logits, class by class: `ℓ_c = Σₛ ln(p_sc / (1 − p_sc)) / S`, then `p_c ∝ 1 / (1 + e^−ℓ_c)`. Each class
/// is weighed against all the others together, one against the rest. Classes only; no gradient passes through it.
///
/// For two classes it is the geometric mean, [`GeometricMean`](crate::combine::GeometricMean), and for more it is not. Averaging what
/// networks put in front of their softmax is `GeometricMean` for any number of classes: those numbers are log-probabilities
/// but for a constant of each network's own, and the softmax of their mean cancels all of these constants. A probability
/// of exactly 0 counts as the smallest positive f32.
///
/// Pooling log-odds: Satopää et al. 2014, doi:10.1016/j.ijforecast.2013.09.009.
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
        let logs = predictions.log_probabilities("the mean of logits")?;
        row_by_row(predictions, &logs, |row_predictions, predicted| {
            let classes = predicted.len();
            for prediction in 0..row_predictions.slots.len() {
                let top = row_predictions.vote(prediction);
                let most = row_predictions.says(prediction, top);
                let odds = |class: usize| (row_predictions.says(prediction, class) - most).exp();
                let others: f64 = (0..classes).filter(|class| *class != top).map(odds).sum();
                for (class, predicted) in predicted.iter_mut().enumerate() {
                    // 1 − p of the most probable class has no digits left where p is close to 1: the sum of the others
                    // has them all.
                    *predicted += match class == top {
                        true => -others.ln(),
                        false => {
                            row_predictions.says(prediction, class) - most - (1. + others - odds(class)).ln()
                        }
                    };
                }
            }
            let count = row_predictions.slots.len() as f64;
            predicted.iter_mut().for_each(|x| *x = 1. / (1. + (-*x / count).exp()));
            normalise(predicted);
        })
    }
}
