//! The hard vote.
use crate::{
    combine::{
        fixed::row_by_row::{row_by_row, RowPredictions},
        FittedCombiner, FixedCombiner,
    },
    predictions::Predictions,
};
use candle_core::{Result, Tensor};
use serde::{Deserialize, Serialize};

/// The hard vote: each slot votes for its most probable class. For classes only.
///
/// ```text
/// p_c = |{s : argmax_k p_sk = c}| / S
/// ```
///
/// It combines `(S, B, C)` to `(B, C)`, the shares of the votes. The lowest class wins a tie, within a slot
/// and between classes. A missing prediction casts no vote; a row that no slot predicts gives NaN.
///
/// Use it when the probabilities of members cannot be compared, for example because some are badly
/// calibrated. Otherwise the mean uses more of what members predict, and its probabilities are finer than
/// multiples of `1/S`. No gradient passes through it. The cost is one pass over the `S·B·C` numbers.
///
/// # Errors
/// Combining fails for regression.
///
/// ```
/// use candle_core::{Device, Tensor};
/// use candle_ensemble::{combine::*, data::Task, predictions::*};
///
/// let members = Tensor::new(&[[[0.2f32, 0.8]], [[0.6, 0.4]]], &Device::Cpu)?;
/// let predictions = Predictions::new(members, Task::Classification { classes: 2 })?;
/// assert_eq!(HardVote.combine(&predictions)?.to_vec2::<f32>()?, [[0.5, 0.5]]); // a tie: class 0
/// # Ok::<(), candle_core::Error>(())
/// ```
///
/// Source: Lam and Suen 1997, doi:10.1109/3468.618255.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct HardVote;

impl FixedCombiner for HardVote {}

impl FittedCombiner for HardVote {
    fn name(&self) -> String {
        "hard-vote".into()
    }

    fn combine(&self, predictions: &Predictions) -> Result<Tensor> {
        let values = predictions.probabilities("the hard vote")?;
        row_by_row(predictions, &values, |row_predictions, shares| vote(&row_predictions, |_| 1., shares))
    }
}

/// Adds each class's share of the votes; a slot casts `votes_of(slot)` votes.
pub(crate) fn vote(
    row_predictions: &RowPredictions<'_>,
    votes_of: impl Fn(usize) -> f64,
    shares: &mut [f64],
) {
    let mut total = 0.;
    for (i, slot) in row_predictions.slots.iter().enumerate() {
        shares[row_predictions.most_probable(i)] += votes_of(*slot);
        total += votes_of(*slot);
    }
    shares.iter_mut().for_each(|share| *share /= total);
}
