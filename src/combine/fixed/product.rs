//! The product of probabilities.
use crate::{
    combine::{FittedCombiner, FixedCombiner},
    network::Scale,
    predictions::Predictions,
};
use candle_core::{DType, Result, Tensor, D};
use candle_nn::ops;
use serde::{Deserialize, Serialize};

/// The product of probabilities, normalised: `p ∝ Πₛ pₛ`, computed in log space. Classes only.
///
/// Bayes' rule for members whose errors are independent and classes that are as frequent; it grows the surer the more
/// members there are. One member that is sure a class is wrong vetoes it. A probability of exactly 0 counts as the
/// smallest positive f32, so that a row where every class is vetoed still goes to the class with the fewest
/// vetoes. Source: Kittler et al. 1998, doi:10.1109/34.667881.
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
            // A row that no prediction covers is the product of nothing.
            Some(covered) => {
                let row_predictions = covered.sum(0)?.unsqueeze(1)?.broadcast_as(sums.shape())?;
                let none = (Tensor::zeros_like(&sums)? / 0.)?;
                ops::softmax(&row_predictions.to_dtype(DType::U8)?.where_cond(&sums, &none)?, D::Minus1)
            }
        }
    }
}
