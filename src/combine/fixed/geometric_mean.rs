//! The geometric mean of the probabilities.
use crate::{
    combine::{FittedCombiner, FixedCombiner},
    network::Scale,
    predictions::Predictions,
};
use candle_core::{Result, Tensor, D};
use candle_nn::ops;
use serde::{Deserialize, Serialize};

/// The geometric mean of the probabilities, normalised to sum to one: the mean of the log-probabilities. For
/// classes only.
///
/// ```text
/// p_c ∝ exp(Σ_s ln p_sc / S)
/// ```
///
/// It combines `(S, B, C)` to `(B, C)`. A missing prediction is left out; a row that no slot predicts gives
/// NaN. A probability of exactly 0 counts as the smallest positive f32.
///
/// It is also the softmax of the mean of the members' logits, because a constant that a network adds to all
/// of its logits cancels. [`LogOddsMean`](crate::combine::LogOddsMean) is something else for more than two
/// classes: the mean of the log-odds of each class against all others.
///
/// Use it instead of the mean when sharper probabilities are wanted. Its log-loss is never above the mean
/// log-loss of the members. One member that gives a class a probability near 0 nearly rules it out, so it is
/// a poor choice when single members can be confidently wrong. Gradients pass through. The cost is one pass
/// over the `S·B·C` numbers.
///
/// # Errors
/// Combining fails for regression.
///
/// ```
/// use candle_core::{Device, Tensor};
/// use candle_ensemble::{combine::*, data::Task, predictions::*};
///
/// let members = Tensor::new(&[[[0.5f32, 0.5]], [[0.8, 0.2]]], &Device::Cpu)?;
/// let predictions = Predictions::new(members, Task::Classification { classes: 2 })?;
/// let p = GeometricMean.combine(&predictions)?.to_vec2::<f32>()?;
/// assert!((p[0][0] - 2. / 3.).abs() < 1e-6); // √.4 : √.1 = 2 : 1
/// # Ok::<(), candle_core::Error>(())
/// ```
///
/// Source: Heskes 1998, doi:10.1162/089976698300017232.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct GeometricMean;

impl FixedCombiner for GeometricMean {}

impl FittedCombiner for GeometricMean {
    fn name(&self) -> String {
        "geometric-mean".into()
    }

    fn scale(&self) -> Scale {
        Scale::LogProbability
    }

    fn combine(&self, predictions: &Predictions) -> Result<Tensor> {
        let logs = predictions.log_probabilities("the geometric mean")?;
        ops::softmax(&predictions.mean_over_slots(&logs)?, D::Minus1)
    }
}
