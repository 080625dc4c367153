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

/// The Borda count: each slot ranks the classes, and a class gets a point for each class below it. For
/// classes only.
///
/// ```text
/// p_c ∝ Σ_s |{k : slot s ranks k below c}|
/// ```
///
/// It combines `(S, B, C)` to `(B, C)`, the shares of the points. The most probable of `C` classes gets
/// `C − 1` points, the least probable none. The lowest class wins a tie, within a slot and between classes. A
/// missing prediction is left out; a row that no slot predicts gives NaN.
///
/// Use it when members agree on the order of the classes but their probabilities cannot be compared. It uses
/// more than the first choice of a member, unlike the [hard vote](crate::combine::HardVote), with which it
/// agrees for two classes. No gradient passes through it. The cost is one sort of `C` numbers for each slot
/// and row.
///
/// # Errors
/// Combining fails for regression.
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
///
/// Sources: Borda 1781; Ho, Hull and Srihari 1994, doi:10.1109/34.273716.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct BordaCount;

impl FixedCombiner for BordaCount {}

impl FittedCombiner for BordaCount {
    fn name(&self) -> String {
        "borda-count".into()
    }

    fn combine(&self, predictions: &Predictions) -> Result<Tensor> {
        let values = predictions.probabilities("the Borda count")?;
        row_by_row(predictions, &values, |mut row_predictions, points| {
            for i in 0..row_predictions.slots.len() {
                row_predictions.rank_classes(i);
                let ascending = row_predictions.ranking().iter().rev().enumerate();
                ascending.for_each(|(below, class)| points[*class] += below as f64);
            }
            normalise(points);
        })
    }
}
