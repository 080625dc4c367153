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
/// out; a row that no slot predicts gives NaN. Log-odds are limited to ±87.3, those of the smallest positive
/// f32, so that a probability of exactly 0 or 1 is not infinitely sure: a member with 1 and one with 0 for the
/// same class cancel.
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

/// The greatest log-odds of a member, `−ln` of the smallest positive f32.
const MOST: f64 = 87.336_544_750_553_1;

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
                    let own: f64 = match class == top {
                        true => -others.ln(),
                        false => row_predictions.value(i, class) - top_log - (1. + others - odds(class)).ln(),
                    };
                    *log_odds += own.clamp(-MOST, MOST);
                }
            }
            let count = row_predictions.slots.len() as f64;
            combined.iter_mut().for_each(|x| *x = 1. / (1. + (-*x / count).exp()));
            normalise(combined);
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::Task;
    use candle_core::Device;

    fn combined(members: &[[f64; 3]], scale: Scale) -> Vec<f64> {
        let values = Tensor::from_vec(members.concat(), (members.len(), 1, 3), &Device::Cpu).unwrap();
        let task = Task::Classification { classes: 3 };
        let predictions = Predictions::on_scale(values, None, task, scale).unwrap();
        LogOddsMean.combine(&predictions).unwrap().flatten_all().unwrap().to_vec1().unwrap()
    }

    fn near(got: &[f64], want: [f64; 3]) {
        got.iter().zip(want).for_each(|(g, w)| assert!((g - w).abs() < 1e-9, "{got:?} is not {want:?}"));
    }

    #[test]
    fn the_limit_is_that_of_the_smallest_positive_f32() {
        assert_eq!(MOST, -f64::from(f32::MIN_POSITIVE).ln());
    }

    /// Log-odds of ±L for classes 0 and 1, which cancel, and −L for class 2.
    #[test]
    fn members_that_are_sure_of_different_classes_cancel() {
        let (sure, other) = ([1., 0., 0.], [0., 1., 0.]);
        near(&combined(&[sure, other], Scale::Probability), [0.5, 0.5, 0.]);
        let logs = [sure, other].map(|p| p.map(f64::ln)); // 0 and −∞
        near(&combined(&logs, Scale::LogProbability), [0.5, 0.5, 0.]);
        near(&combined(&[sure, sure, other], Scale::Probability), [1., 0., 0.]);
        near(&combined(&[sure], Scale::Probability), [1., 0., 0.]);
    }
}
