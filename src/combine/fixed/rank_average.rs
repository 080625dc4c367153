//! The mean of ranks.
use crate::{
    combine::{
        fixed::row_by_row::{normalise, row_by_row},
        FittedCombiner, FixedCombiner,
    },
    predictions::Predictions,
};
use candle_core::{Result, Tensor};
use serde::{Deserialize, Serialize};

/// The rank average: each slot ranks the classes, 1 for the least probable to `C` for the most, equals sharing the mean
/// of their ranks; `p_c ∝ Σₛ r_sc`. Ties between classes go to the lowest. Classes only; no gradient passes through it.
///
/// Like the [Borda count](crate::combine::BordaCount) it looks at nothing but the order of a member's probabilities, but a
/// member that holds two classes for equally probable favours neither, and no class comes to 0. Ranks are among
/// the classes of one row: ranks among rows, as they are averaged to score a whole file at once, would make what is
/// predicted of a row depend on the rows beside it. Source: Ho, Hull and Srihari 1994, doi:10.1109/34.273716; the ranks of
/// `scipy.stats.rankdata`.
///
/// ```
/// use candle_core::{Device, Tensor};
/// use candle_ensemble::{combine::*, data::Task, predictions::*};
///
/// let members = Tensor::new(&[[[0.6f64, 0.2, 0.2]], [[0.1, 0.5, 0.4]]], &Device::Cpu)?;
/// let predictions = Predictions::new(members, Task::Classification { classes: 3 })?;
/// // Ranks 3, 1.5, 1.5 and 1, 3, 2.
/// assert_eq!(RankAverage.combine(&predictions)?.to_vec2::<f64>()?, [[4. / 12., 4.5 / 12., 3.5 / 12.]]);
/// # Ok::<(), candle_core::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RankAverage;

impl FixedCombiner for RankAverage {}

impl FittedCombiner for RankAverage {
    fn name(&self) -> String {
        "rank-average".into()
    }

    fn combine(&self, predictions: &Predictions) -> Result<Tensor> {
        let values = predictions.probabilities("the rank average")?;
        row_by_row(predictions, &values, |mut row_predictions, predicted| {
            for prediction in 0..row_predictions.slots.len() {
                row_predictions.rank(prediction);
                let mut above = 0;
                for equals in row_predictions.ranked().chunk_by(|a, b| {
                    row_predictions.says(prediction, *a) == row_predictions.says(prediction, *b)
                }) {
                    // The ranks of these are from C − above downwards.
                    let rank = (predicted.len() - above) as f64 - (equals.len() - 1) as f64 / 2.;
                    equals.iter().for_each(|class| predicted[*class] += rank);
                    above += equals.len();
                }
            }
            normalise(predicted);
        })
    }
}
