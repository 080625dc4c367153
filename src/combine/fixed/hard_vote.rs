//! The plurality vote.
use crate::{
    combine::{
        fixed::row_by_row::{row_by_row, RowPredictions},
        FittedCombiner, FixedCombiner,
    },
    predictions::Predictions,
};
use candle_core::{Result, Tensor};
use serde::{Deserialize, Serialize};

/// The hard vote: each slot votes for its most probable class, and a class gets its share of the votes. Ties,
/// within a slot and between classes, go to the lowest class. Classes only; no gradient passes through it.
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
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct HardVote;

impl FixedCombiner for HardVote {}

impl FittedCombiner for HardVote {
    fn name(&self) -> String {
        "hard-vote".into()
    }

    fn combine(&self, predictions: &Predictions) -> Result<Tensor> {
        row_by_row(predictions, &predictions.probabilities("the hard vote")?, |row_predictions, predicted| {
            vote(&row_predictions, |_| 1., predicted)
        })
    }
}

/// Each class's share of the votes, of which a slot has `weight`.
pub(crate) fn vote(
    row_predictions: &RowPredictions<'_>,
    weight: impl Fn(usize) -> f64,
    predicted: &mut [f64],
) {
    let mut total = 0.;
    for (prediction, slot) in row_predictions.slots.iter().enumerate() {
        predicted[row_predictions.vote(prediction)] += weight(*slot);
        total += weight(*slot);
    }
    predicted.iter_mut().for_each(|x| *x /= total);
}
