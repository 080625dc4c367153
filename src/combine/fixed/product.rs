//! The product of the probabilities.
use crate::{
    combine::{FittedCombiner, FixedCombiner},
    network::Scale,
    predictions::Predictions,
};
use candle_core::{DType, Result, Tensor, D};
use candle_nn::ops;
use serde::{Deserialize, Serialize};

/// The product of the probabilities, normalised to sum to one; it is computed in log space. For classes only.
///
/// ```text
/// p_c ∝ Π_s p_sc
/// ```
///
/// It combines `(S, B, C)` to `(B, C)`. A missing prediction is left out; a row that no slot predicts gives
/// NaN. A probability of exactly 0 counts as the smallest positive f32; so a row in which every class has a 0
/// goes to the class with the fewest of them.
///
/// It is Bayes' rule for members with independent errors and classes of equal frequency. Members that were
/// trained on the same data are not independent: the product becomes overconfident, and the more so the more
/// members there are. Then use [`GeometricMean`](crate::combine::GeometricMean), which predicts the same
/// class. One member that gives a class a probability near 0 rules it out. Gradients pass through. The cost
/// is one pass over the `S·B·C` numbers.
///
/// # Errors
/// Combining fails for regression.
///
/// ```
/// use candle_core::{Device, Tensor};
/// use candle_ensemble::{combine::*, data::Task, predictions::*};
///
/// let members = Tensor::new(&[[[0.5f32, 0.5]], [[0.8, 0.2]], [[0.6, 0.4]]], &Device::Cpu)?;
/// let predictions = Predictions::new(members, Task::Classification { classes: 2 })?;
/// let p = Product.combine(&predictions)?.to_vec2::<f32>()?;
/// assert!((p[0][0] - 0.24 / 0.28).abs() < 1e-6); // .5 · .8 · .6 : .5 · .2 · .4
/// # Ok::<(), candle_core::Error>(())
/// ```
///
/// Source: Kittler, Hatef, Duin and Matas 1998, doi:10.1109/34.667881.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Product;

impl FixedCombiner for Product {}

impl FittedCombiner for Product {
    fn name(&self) -> String {
        "product".into()
    }

    fn scale(&self) -> Scale {
        Scale::LogProbability
    }

    fn combine(&self, predictions: &Predictions) -> Result<Tensor> {
        let logs = predictions.log_probabilities("the product")?;
        let sums = predictions.sum_over_slots(&logs)?;
        match predictions.covered() {
            None => ops::softmax(&sums, D::Minus1),
            // A row that no slot predicts becomes NaN.
            Some(covered) => {
                let counts = covered.sum(0)?.unsqueeze(1)?.broadcast_as(sums.shape())?;
                let nan = (Tensor::zeros_like(&sums)? / 0.)?;
                ops::softmax(&counts.to_dtype(DType::U8)?.where_cond(&sums, &nan)?, D::Minus1)
            }
        }
    }
}
