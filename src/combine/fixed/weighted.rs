//! The weighted mean, which most learned rules come to.
use crate::{
    codec::real,
    combine::{
        fixed::{weighted_sum::weighted_mean, weighted_vote::check},
        FittedCombiner, FixedCombiner,
    },
    data::Task,
    predictions::Predictions,
    Error, Result,
};
use candle_core::{Result as CandleResult, Tensor, D};
use serde::{Deserialize, Serialize};

/// How a fit ended.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Fit {
    /// The loss on the rows of the fit, in the unit of the rule's criterion; less is better.
    #[serde(with = "real")]
    pub objective: f64,
    /// Iterations, evaluations or steps, as the rule counts them.
    pub iterations: u64,
    /// By how much the objective may lie above the best possible, where the rule can tell.
    #[serde(with = "real::option")]
    pub gap: Option<f64>,
}

/// A weighted mean of what the slots say, `Σ_s w_s p_s`: what blending, ensemble selection and model averaging
/// come to.
///
/// The mean over the predictions that are there, by their weights, where some are missing and weights are a share
/// each; their plain mean where only slots of weight zero predict a row. For classes weights that are not shares
/// (negative ones, or another sum than one) can give numbers that are no probabilities; they are cut off at 0 and
/// normalised again.
///
/// ```
/// use candle_core::{Device, Tensor};
/// use candle_ensemble::{combine::{FittedCombiner, Weighted}, data::Task, predictions::Predictions};
///
/// let predictions = Predictions::new(Tensor::new(&[[[1f64]], [[4.]]], &Device::Cpu)?, Task::Regression { outputs: 1 })?;
/// let fitted = Weighted::new(&[2., 1.])?;
/// assert_eq!(fitted.combine(&predictions)?.to_vec2::<f64>()?, [[2.]]);
/// # Ok::<(), candle_ensemble::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Weighted {
    rule: String,
    names: Vec<String>,
    weights: Vec<f64>,
    fit: Option<Fit>,
}

impl Weighted {
    /// Given weights, one a slot: not negative, not all zero; only their ratios matter.
    ///
    /// # Errors
    /// When they are not.
    pub fn new(weights: &[f64]) -> Result<Self> {
        let total = check(weights)?;
        let names = (0..weights.len()).map(|s| format!("member {s}")).collect();
        let weights = weights.iter().map(|w| w / total).collect();
        Ok(Self { rule: "weighted-mean".into(), names, weights, fit: None })
    }

    /// What a rule has found: these weights as they are.
    pub(crate) fn found(rule: &str, names: &[String], weights: Vec<f64>, fit: Option<Fit>) -> Self {
        Self { rule: rule.into(), names: names.to_vec(), weights, fit }
    }

    /// The slots' names, in the order of the weights.
    #[must_use]
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// The slots whose weight is not zero.
    #[must_use]
    pub fn used(&self) -> Vec<usize> {
        (0..self.weights.len()).filter(|s| self.weights[*s] != 0.).collect()
    }

    /// The same rule for the slots that it uses: for an ensemble without the others.
    #[must_use]
    pub fn pruned(&self) -> Self {
        let used = self.used();
        let names = used.iter().map(|s| self.names[*s].clone()).collect();
        let weights = used.iter().map(|s| self.weights[*s]).collect();
        Self { names, weights, ..self.clone() }
    }

    /// The weighted mean in tensor operations, through which gradients pass: each row's weights sum to what they sum to
    /// over the predictions that are there.
    fn mean(&self, predictions: &Predictions) -> CandleResult<Tensor> {
        let (slots, rows, width) = predictions.values().dims3()?;
        let values = predictions.values();
        let weights = Tensor::new(self.weights.as_slice(), values.device())?.to_dtype(values.dtype())?;
        match predictions.covered() {
            Some(covered) => {
                let there = covered.broadcast_mul(&weights.unsqueeze(1)?)?;
                let sum =
                    predictions.sum_over_slots(&values.broadcast_mul(&weights.reshape((slots, 1, 1))?)?)?;
                sum.broadcast_div(&there.sum(0)?.unsqueeze(1)?)
            }
            None => {
                let table = values.reshape((slots, rows * width))?;
                weights.unsqueeze(0)?.matmul(&table)?.reshape((rows, width))
            }
        }
    }

    /// Whether the weights are shares of one.
    fn shares(&self) -> bool {
        let total: f64 = self.weights.iter().sum();
        self.weights.iter().all(|w| *w >= 0.) && (total - 1.).abs() < 1e-9
    }
}

impl FixedCombiner for Weighted {}

impl FittedCombiner for Weighted {
    fn name(&self) -> String {
        self.rule.clone()
    }

    fn weights(&self) -> Option<&[f64]> {
        Some(&self.weights)
    }

    fn fitted(&self) -> Option<&Fit> {
        self.fit.as_ref()
    }

    fn check(&self) -> Result<()> {
        one_name_a_slot(&self.names, self.weights.len())?;
        finite_weights(&self.names, &self.weights)
    }

    fn combine(&self, predictions: &Predictions) -> CandleResult<Tensor> {
        if predictions.slots() != self.weights.len() {
            let (fitted, slots) = (self.weights.len(), predictions.slots());
            candle_core::bail!("{} was fitted on {fitted} predictions, not {slots}", self.rule);
        }
        let shares = self.shares();
        // Slots of weight zero are not looked at: without them, a sum has the same bits as from an ensemble pruned of
        // them. (What stands in for a missing prediction is the mean of all.)
        let used = self.used();
        if (shares || predictions.covered().is_none()) && (1..predictions.slots()).contains(&used.len()) {
            let predicted = self.pruned().combine(&predictions.select_slots(&used)?)?;
            return predictions.or_mean(predicted, &used);
        }
        // Shares go to the predictions that are there.
        let predictions = if shares { predictions.clone() } else { predictions.fill_missing()? };
        let predicted = match weighted_mean(&predictions, &self.weights, 1.)? {
            Some(predicted) => predicted,
            None => self.mean(&predictions)?,
        };
        match predictions.task() {
            Task::Classification { .. } if !shares => to_probabilities(&predicted),
            _ => Ok(predicted),
        }
    }
}

/// Checks that there are as many names as slots, and at least one.
pub(crate) fn one_name_a_slot(names: &[String], slots: usize) -> Result<()> {
    match names.len() {
        0 => Err(Error::invalid("number of slots", "at least 1", 0)),
        count if count == slots => Ok(()),
        count => Err(Error::invalid("number of names", format!("{slots}, one for each slot"), count)),
    }
}

/// Checks that every slot's weight is finite.
pub(crate) fn finite_weights(names: &[String], weights: &[f64]) -> Result<()> {
    match names.iter().zip(weights).find(|(_, weight)| !weight.is_finite()) {
        None => Ok(()),
        Some((name, weight)) => Err(Error::invalid(format!("weight of {name}"), "finite", weight)),
    }
}

/// Rows `(B, C)` cut off at 0 and divided by their sums; where nothing is left, every class is as probable.
pub(crate) fn to_probabilities(predicted: &Tensor) -> CandleResult<Tensor> {
    let positive = predicted.relu()?;
    let total = positive.sum_keepdim(D::Minus1)?;
    let none = total.eq(0f64)?.to_dtype(total.dtype())?;
    let even = (none.broadcast_as(positive.shape())? / positive.dim(1)? as f64)?;
    // NaN, which `relu` makes 0, goes through: of such a row nobody predicts.
    (positive.broadcast_div(&(total + none)?)? + even)? + (predicted * 0.)?
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::Device;

    #[test]
    fn a_row_of_which_only_unused_slots_speak_gets_their_mean() {
        let nan = f32::NAN;
        let values = Tensor::new(&[[[1f32], [nan]], [[3.], [4.]], [[5.], [6.]]], &Device::Cpu).unwrap();
        let covered = Tensor::new(&[[1f32, 0.], [1., 1.], [1., 1.]], &Device::Cpu).unwrap();
        let predictions = Predictions::partial(values, covered, Task::Regression { outputs: 1 }).unwrap();
        let predicted = Weighted::new(&[1., 0., 0.]).unwrap().combine(&predictions).unwrap();
        assert_eq!(predicted.to_vec2::<f32>().unwrap(), [[1.], [5.]]);
    }

    #[test]
    fn a_row_of_which_nobody_speaks_is_nan_whatever_the_weights() {
        let nan = f32::NAN;
        let values = [[[0.9f32, 0.1], [nan, nan]], [[0.2, 0.8], [nan, nan]]];
        let covered = Tensor::new(&[[1f32, 0.], [1., 0.]], &Device::Cpu).unwrap();
        let values = Tensor::new(&values, &Device::Cpu).unwrap();
        let predictions = Predictions::partial(values, covered, Task::Classification { classes: 2 }).unwrap();
        let fitted = Weighted::found("least-squares", &["a".into(), "b".into()], vec![2., -1.], None);
        let predicted = fitted.combine(&predictions).unwrap().to_vec2::<f32>().unwrap();
        assert_eq!(predicted[0], [1., 0.]); // of 1.6 and -0.6
        assert!(predicted[1].iter().all(|p| p.is_nan()), "{predicted:?}");
    }
}
