//! The vote with weights.
use crate::{
    combine::{
        fixed::{hard_vote::vote, row_by_row::row_by_row},
        FittedCombiner, FixedCombiner,
    },
    predictions::Predictions,
    Error, Result,
};
use candle_core::{Result as CandleResult, Tensor};
use serde::{Deserialize, Serialize};

/// The weighted vote: slot `s` casts `w_s` votes for its most probable class, and a class gets its share of the
/// votes. Ties, within a slot and between classes, go to the lowest class. Classes only; no gradient passes through it.
/// The weighted soft vote is [`Weighted::new`](crate::combine::Weighted::new).
///
/// Weights are summed as they are given, so whole numbers tie exactly. The best weights for independent members that
/// are right with probability `a_s` are `ln(a_s / (1 − a_s))` (Shapley and Grofman 1984, doi:10.1007/BF00118940).
///
/// ```
/// use candle_core::{Device, Tensor};
/// use candle_ensemble::{combine::*, data::Task, predictions::*};
///
/// let members = Tensor::new(&[[[0.2f32, 0.8]], [[0.6, 0.4]], [[0.7, 0.3]]], &Device::Cpu)?;
/// let predictions = Predictions::new(members, Task::Classification { classes: 2 })?;
/// assert_eq!(WeightedVote::new(&[3., 1., 1.])?.combine(&predictions)?.to_vec2::<f32>()?, [[0.4, 0.6]]);
/// # Ok::<(), candle_ensemble::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct WeightedVote {
    votes: Vec<f64>,
}

impl WeightedVote {
    /// How many votes each slot has: not negative, not all zero.
    ///
    /// # Errors
    /// When they are not.
    pub fn new(votes: &[f64]) -> Result<Self> {
        check(votes)?;
        Ok(Self { votes: votes.to_vec() })
    }

    /// How many votes each slot has.
    #[must_use]
    pub fn votes(&self) -> &[f64] {
        &self.votes
    }
}

/// Weights of slots that are given: not negative, not all zero. Returns their sum.
pub(crate) fn check(weights: &[f64]) -> Result<f64> {
    if let Some(slot) = weights.iter().position(|w| !w.is_finite() || *w < 0.) {
        let what = format!("weight of slot {slot}");
        return Err(Error::invalid(what, "finite and not negative", weights[slot]));
    }
    let total: f64 = weights.iter().sum();
    match total > 0. && total.is_finite() {
        true => Ok(total),
        false => Err(Error::invalid("sum of the weights", "positive and finite", total)),
    }
}

impl FixedCombiner for WeightedVote {}

impl FittedCombiner for WeightedVote {
    fn name(&self) -> String {
        "weighted-vote".into()
    }

    fn combine(&self, predictions: &Predictions) -> CandleResult<Tensor> {
        let values = predictions.probabilities("the weighted vote")?;
        if predictions.slots() != self.votes.len() {
            candle_core::bail!(
                "the weighted vote is for {} predictions, not {}",
                self.votes.len(),
                predictions.slots()
            );
        }
        row_by_row(predictions, &values, |row_predictions, predicted| {
            vote(&row_predictions, |slot| self.votes[slot], predicted)
        })
    }
}
