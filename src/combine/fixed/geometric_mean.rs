//! The mean of log-probabilities.
use crate::{
    combine::{FittedCombiner, FixedCombiner},
    network::Scale,
    predictions::Predictions,
};
use candle_core::{Result, Tensor, D};
use candle_nn::ops;
use serde::{Deserialize, Serialize};

/// The mean of log-probabilities, normalised again (the geometric mean): `p ∝ exp(Σₛ ln pₛ / S)`. Classes only.
///
/// Sharper than the mean: one member that is sure a class is wrong nearly vetoes it. Its log-loss is never above
/// the mean log-loss of its members (Heskes 1998, doi:10.1162/089976698300017232). A probability of exactly 0
/// counts as the smallest positive f32.
///
/// It is also the softmax of the mean of the networks' logits, whatever constant each network adds to its own.
/// [`LogOddsMean`](crate::combine::LogOddsMean) is another rule: the mean of each class's log-odds against the rest.
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
        let logs = predictions.log_probabilities("the mean of log-probabilities")?;
        ops::softmax(&predictions.mean_over_slots(&logs)?, D::Minus1)
    }
}
