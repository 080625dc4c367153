//! The Borda count.
use crate::{
    combine::{
        fixed::row_by_row::{normalise, row_by_row},
        FittedCombiner, FixedCombiner,
    },
    predictions::Predictions,
};
use candle_core::{Result, Tensor};
use serde::{Deserialize, Serialize};

/// The Borda count: each slot gives its most probable of `C` classes `C − 1` points, the next `C − 2`, the last none, and
/// a class gets its share of the points. Ties, within a slot and between classes, go to the lowest class. Classes
/// only; no gradient passes through it.
///
/// Only the order of a member's probabilities counts, so members need not be calibrated. For two classes it is
/// the [hard vote](crate::combine::HardVote). Source: Borda 1781; Ho, Hull and Srihari 1994, doi:10.1109/34.273716.
///
/// ```
/// use candle_core::{Device, Tensor};
/// use candle_ensemble::{combine::*, data::Task, predictions::*};
///
/// let members = Tensor::new(&[[[0.5f64, 0.3, 0.2]], [[0.1, 0.5, 0.4]]], &Device::Cpu)?;
/// let predictions = Predictions::new(members, Task::Classification { classes: 3 })?;
/// // 2 + 0, 1 + 2 and 0 + 1 points of 6.
/// assert_eq!(BordaCount.combine(&predictions)?.to_vec2::<f64>()?, [[2. / 6., 3. / 6., 1. / 6.]]);
/// # Ok::<(), candle_core::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct BordaCount;

impl FixedCombiner for BordaCount {}

impl FittedCombiner for BordaCount {
    fn name(&self) -> String {
        "borda-count".into()
    }

    fn combine(&self, predictions: &Predictions) -> Result<Tensor> {
        let values = predictions.probabilities("the Borda count")?;
        row_by_row(predictions, &values, |mut row_predictions, predicted| {
            for prediction in 0..row_predictions.slots.len() {
                row_predictions.rank(prediction);
                row_predictions
                    .ranked()
                    .iter()
                    .rev()
                    .enumerate()
                    .for_each(|(below, class)| predicted[*class] += below as f64);
            }
            normalise(predicted);
        })
    }
}
