//! The weighted mean.
use crate::{
    codec::real,
    combine::{
        check_fitted_on,
        fixed::{weighted_sum::weighted_mean, weighted_vote::check_weights},
        FittedCombiner, FittedOn, FixedCombiner,
    },
    data::Task,
    metrics::Criterion,
    predictions::Predictions,
    Error, HeldOut, Result,
};
use candle_core::{Result as CandleResult, Tensor, D};
use serde::{Deserialize, Serialize};

/// The end of a fit: the objective and the effort.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Fit {
    /// The loss of the fitted combiner on the rows of the fit, by the combiner's criterion and without a
    /// penalty; smaller is better. It is that of [`FittedCombiner::combine`] on these rows, also where
    /// predictions are missing. (For values, combiners of predictive distributions have the negative log score
    /// of the mixture.)
    #[serde(with = "real")]
    pub objective: f64,
    /// The number of iterations, evaluations or steps, as the combiner counts them.
    pub iterations: usize,
    /// An upper bound of the distance between what was minimised and its minimum, if the combiner has one.
    /// Where predictions are missing, the problem is not convex and there is none.
    #[serde(with = "real::option")]
    pub gap: Option<f64>,
}

/// The weighted mean of the predictions. Most combiners that learn one weight for each slot give it as the
/// fitted combiner.
///
/// ```text
/// p = Σ_s w_s p_s
/// ```
///
/// It combines `(S, B, C)` to `(B, C)`. Weights are shares when none is negative and they sum to one. For a
/// row with missing predictions, shares are divided by the sum of the shares that are there; if only slots of
/// weight 0 predict the row, the result is the mean of all slots that predict it. Other weights can sum to
/// zero, so nothing is divided by their sum: the weights of the slots that are missing are added up, and each
/// slot that is there gets an equal part of them. For classes the result is then made a probability: negative
/// numbers become 0, and the rest is divided by its sum.
///
/// Use [`Weighted::new`] when you know the weights. [`SimplexLogLoss`](crate::combine::SimplexLogLoss) and
/// others find weights on held-out predictions. Gradients pass through. The cost is one pass over the
/// predictions with a weight other than 0.
///
/// # Errors
/// Combining fails when the number of slots is not the number of weights, and for weights that were learned
/// when the predictions are not of the kind of the fit ([`FittedOn`]).
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
///
/// Source: Stone 1961, doi:10.1214/aoms/1177704873, "The opinion pool".
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Weighted {
    combiner: String,
    names: Vec<String>,
    weights: Vec<f64>,
    fit: Option<Fit>,
    on: Option<FittedOn>,
}

impl Weighted {
    /// The weighted mean with these weights, one for each slot: finite, not negative, not all zero. They are
    /// divided by their sum.
    ///
    /// # Errors
    /// When the weights are out of range.
    pub fn new(weights: &[f64]) -> Result<Self> {
        let total = check_weights(weights)?;
        let names = (0..weights.len()).map(|s| format!("member {s}")).collect();
        let weights = weights.iter().map(|w| w / total).collect();
        Ok(Self { combiner: "weighted-mean".into(), names, weights, fit: None, on: None })
    }

    /// The weights that a combiner has learned, as they are.
    pub(crate) fn found(combiner: &str, held_out: &HeldOut, weights: Vec<f64>, fit: Option<Fit>) -> Self {
        let (names, on) = (held_out.names().to_vec(), Some(FittedOn::new(held_out)));
        Self { combiner: combiner.into(), names, weights, fit, on }
    }

    /// The weights that a combiner has found on `held_out`, with their loss by `criterion`. `iterations` and
    /// `gap` are those of the search.
    pub(crate) fn with_loss_on(
        held_out: &HeldOut,
        combiner: &str,
        weights: Vec<f64>,
        criterion: &dyn Criterion,
        (iterations, gap): (usize, Option<f64>),
    ) -> Result<Self> {
        let mut fitted = Self::found(combiner, held_out, weights, None);
        let objective = held_out.loss_of(&fitted, criterion)?;
        fitted.fit = Some(Fit { objective, iterations, gap });
        Ok(fitted)
    }

    /// The weights that a combiner has found on held-out predictions on disk, with their loss by `criterion`.
    #[cfg(feature = "learned")]
    pub(crate) fn with_loss_on_disk(
        file: &crate::HeldOutFile,
        combiner: &str,
        weights: Vec<f64>,
        criterion: &dyn Criterion,
        (iterations, gap): (usize, Option<f64>),
    ) -> Result<Self> {
        let mut fitted = Self::found(combiner, &file.without_rows()?, weights, None);
        let used = fitted.used();
        // Where nothing is missing, the other slots need not be read.
        let objective = match file.is_partial() || used.is_empty() {
            true => file.loss_of(&fitted, &(0..file.slots()).collect::<Vec<_>>(), criterion)?,
            false => file.loss_of(&fitted.pruned(), &used, criterion)?,
        };
        fitted.fit = Some(Fit { objective, iterations, gap });
        Ok(fitted)
    }

    #[cfg(feature = "learned")]
    /// The same for all slots of `held_out`: the weights go to `slots`, the others have the weight 0.
    pub(crate) fn spread(self, held_out: &HeldOut, slots: &[usize]) -> Self {
        let names = held_out.names();
        let mut weights = vec![0.; names.len()];
        slots.iter().zip(&self.weights).for_each(|(slot, weight)| weights[*slot] = *weight);
        Self { names: names.to_vec(), weights, on: Some(FittedOn::new(held_out)), ..self }
    }

    /// The names of the slots, in the order of the weights.
    #[must_use]
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// The slots whose weight is not zero.
    #[must_use]
    pub fn used(&self) -> Vec<usize> {
        (0..self.weights.len()).filter(|s| self.weights[*s] != 0.).collect()
    }

    /// The weighted mean of only the slots whose weight is not zero, for an ensemble without the others.
    #[must_use]
    pub fn pruned(&self) -> Self {
        let used = self.used();
        let names = used.iter().map(|s| self.names[*s].clone()).collect();
        let weights = used.iter().map(|s| self.weights[*s]).collect();
        let on = self.on.as_ref().map(|on| on.select_slots(&used));
        Self { names, weights, on, ..self.clone() }
    }

    /// The weighted mean by tensor operations, through which gradients pass. For a row with missing
    /// predictions it is divided by the sum of the weights that are there.
    fn tensor_mean(&self, predictions: &Predictions) -> CandleResult<Tensor> {
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

    /// Whether the weights are not negative and sum to one.
    fn are_shares(&self) -> bool {
        let total: f64 = self.weights.iter().sum();
        self.weights.iter().all(|w| *w >= 0.) && (total - 1.).abs() < 1e-12
    }
}

impl FixedCombiner for Weighted {}

impl FittedCombiner for Weighted {
    fn name(&self) -> String {
        self.combiner.clone()
    }

    fn weights(&self) -> Option<&[f64]> {
        Some(&self.weights)
    }

    fn fitted(&self) -> Option<&Fit> {
        self.fit.as_ref()
    }

    fn fitted_on(&self) -> Option<&FittedOn> {
        self.on.as_ref()
    }

    fn check(&self) -> Result<()> {
        one_name_a_slot(&self.names, self.weights.len())?;
        if let Some(on) = &self.on {
            on.check(self.weights.len())?;
        }
        finite_weights(&self.names, &self.weights)
    }

    fn combine(&self, predictions: &Predictions) -> CandleResult<Tensor> {
        check_fitted_on(self, predictions)?;
        if predictions.slots() != self.weights.len() {
            let (fitted, slots) = (self.weights.len(), predictions.slots());
            candle_core::bail!("{} has weights for {fitted} slots, not {slots}", self.combiner);
        }
        let shares = self.are_shares();
        // Slots of weight zero are left out, so that an ensemble without them gives the same bits. (Weights that are not
        // shares may still give them a part of what is missing.)
        let used = self.used();
        if (shares || predictions.covered().is_none()) && (1..predictions.slots()).contains(&used.len()) {
            let predicted = self.pruned().combine(&predictions.select_slots(&used)?)?;
            return predictions.or_mean(predicted, &used);
        }
        // Shares are renormalised over the predictions that are there. An equal part of a missing slot's weight for each of
        // the others is the same as their mean in its place.
        let predictions = if shares { predictions.clone() } else { predictions.fill_missing()? };
        let predicted = match weighted_mean(&predictions, &self.weights, 1.)? {
            Some(predicted) => predicted,
            None => self.tensor_mean(&predictions)?,
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

/// Makes rows `(B, C)` probabilities: negative numbers become 0, and the rest is divided by its sum. If
/// nothing is left, all classes get the same probability.
pub(crate) fn to_probabilities(predicted: &Tensor) -> CandleResult<Tensor> {
    let positive = predicted.relu()?;
    let total = positive.sum_keepdim(D::Minus1)?;
    let none = total.eq(0f64)?.to_dtype(total.dtype())?;
    let uniform = (none.broadcast_as(positive.shape())? / positive.dim(1)? as f64)?;
    // `relu` makes NaN 0; adding 0 · NaN keeps it, for rows that no slot predicts.
    (positive.broadcast_div(&(total + none)?)? + uniform)? + (predicted * 0.)?
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::Device;

    #[test]
    fn a_row_that_only_slots_of_weight_zero_predict_gets_their_mean() {
        let nan = f32::NAN;
        let values = Tensor::new(&[[[1f32], [nan]], [[3.], [4.]], [[5.], [6.]]], &Device::Cpu).unwrap();
        let covered = Tensor::new(&[[1f32, 0.], [1., 1.], [1., 1.]], &Device::Cpu).unwrap();
        let predictions = Predictions::partial(values, covered, Task::Regression { outputs: 1 }).unwrap();
        let predicted = Weighted::new(&[1., 0., 0.]).unwrap().combine(&predictions).unwrap();
        assert_eq!(predicted.to_vec2::<f32>().unwrap(), [[1.], [5.]]);
    }

    #[test]
    fn a_row_that_no_slot_predicts_is_nan_whatever_the_weights() {
        let nan = f32::NAN;
        let values = [[[0.9f32, 0.1], [nan, nan]], [[0.2, 0.8], [nan, nan]]];
        let covered = Tensor::new(&[[1f32, 0.], [1., 0.]], &Device::Cpu).unwrap();
        let values = Tensor::new(&values, &Device::Cpu).unwrap();
        let predictions = Predictions::partial(values, covered, Task::Classification { classes: 2 }).unwrap();
        let held_out =
            HeldOut::from_predictions(&predictions, &Tensor::new(&[0u32, 0], &Device::Cpu).unwrap()).unwrap();
        let fitted = Weighted::found("least-squares", &held_out, vec![2., -1.], None);
        let predicted = fitted.combine(&predictions).unwrap().to_vec2::<f32>().unwrap();
        assert_eq!(predicted[0], [1., 0.]); // of 1.6 and -0.6
        assert!(predicted[1].iter().all(|p| p.is_nan()), "{predicted:?}");
    }
}
