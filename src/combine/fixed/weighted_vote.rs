//! The weighted vote.
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

/// The weighted vote: each slot casts a given number of votes for its most probable class. For classes only.
///
/// ```text
/// p_c = Σ_s w_s [argmax_k p_sk = c] / Σ_s w_s
/// ```
///
/// It combines `(S, B, C)` to `(B, C)`, the shares of the votes. The votes are summed as they are given, so
/// that whole numbers can tie exactly. The lowest class wins a tie, within a slot and between classes. A
/// missing prediction casts no vote; a row that no slot predicts gives NaN.
///
/// Use it when the accuracies of the members are known: for independent members with accuracy `a_s`, the best
/// weights are `ln(a_s / (1 − a_s))`. [`Weighted::new`](crate::combine::Weighted::new) is the weighted mean
/// of probabilities. No gradient passes through it. The cost is one pass over the `S·B·C` numbers.
///
/// # Errors
/// Combining fails for regression, and when the number of slots is not the number of weights.
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
///
/// Source: Shapley and Grofman 1984, doi:10.1007/BF00118940.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct WeightedVote {
    votes: Vec<f64>,
}

impl WeightedVote {
    /// A vote in which each slot casts this many votes: finite, not negative, not all zero.
    ///
    /// # Errors
    /// When the numbers are out of range.
    pub fn new(votes: &[f64]) -> Result<Self> {
        check_weights(votes)?;
        Ok(Self { votes: votes.to_vec() })
    }

    /// The number of votes of each slot.
    #[must_use]
    pub fn votes(&self) -> &[f64] {
        &self.votes
    }
}

/// Checks that given weights are finite, not negative and not all zero. Returns their sum.
pub(crate) fn check_weights(weights: &[f64]) -> Result<f64> {
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

    fn check(&self) -> Result<()> {
        check_weights(&self.votes).map(drop)
    }

    fn combine(&self, predictions: &Predictions) -> CandleResult<Tensor> {
        let values = predictions.probabilities("the weighted vote")?;
        if predictions.slots() != self.votes.len() {
            candle_core::bail!(
                "the weighted vote has weights for {} slots, not {}",
                self.votes.len(),
                predictions.slots()
            );
        }
        row_by_row(predictions, &values, |row_predictions, shares| {
            vote(&row_predictions, |slot| self.votes[slot], shares)
        })
    }
}
