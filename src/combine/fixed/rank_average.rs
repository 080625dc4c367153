//! The rank average.
use crate::{
    combine::{
        fixed::row_by_row::{normalise, row_by_row},
        FittedCombiner, FixedCombiner,
    },
    predictions::Predictions,
};
use candle_core::{Result, Tensor};
use serde::{Deserialize, Serialize};

/// The rank average: each slot ranks the classes, and the ranks are averaged. For classes only.
///
/// ```text
/// p_c ∝ Σ_s r_sc    r_sc = 1 for the least probable class, …, C for the most probable one
/// ```
///
/// It combines `(S, B, C)` to `(B, C)`. Classes that a slot gives the same probability share the mean of
/// their ranks, as in `scipy.stats.rankdata`. The lowest class wins a tie between classes. A missing
/// prediction is left out; a row that no slot predicts gives NaN.
///
/// Use it like the [Borda count](crate::combine::BordaCount), when only the order of a member's probabilities
/// can be trusted. It differs in two ways: a member that gives two classes the same probability favours
/// neither, and no class gets 0. The ranks are among the classes of one row. (Ranks among the rows of a file,
/// as in some competitions, would make a prediction depend on the other rows.) No gradient passes through it.
/// The cost is one sort of `C` numbers for each slot and row.
///
/// # Errors
/// Combining fails for regression.
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
///
/// Source: Ho, Hull and Srihari 1994, doi:10.1109/34.273716.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RankAverage;

impl FixedCombiner for RankAverage {}

impl FittedCombiner for RankAverage {
    fn name(&self) -> String {
        "rank-average".into()
    }

    fn combine(&self, predictions: &Predictions) -> Result<Tensor> {
        let values = predictions.probabilities("the rank average")?;
        row_by_row(predictions, &values, |mut row_predictions, sums| {
            for i in 0..row_predictions.slots.len() {
                row_predictions.rank_classes(i);
                let equal =
                    |a: &usize, b: &usize| row_predictions.value(i, *a) == row_predictions.value(i, *b);
                let mut above = 0;
                for tied in row_predictions.ranking().chunk_by(equal) {
                    // The mean of the ranks C − above, C − above − 1, …
                    let rank = (sums.len() - above) as f64 - (tied.len() - 1) as f64 / 2.;
                    tied.iter().for_each(|class| sums[*class] += rank);
                    above += tied.len();
                }
            }
            normalise(sums);
        })
    }
}
