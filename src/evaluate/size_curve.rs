//! A metric against the number of predictions.
use crate::{combine::FittedCombiner, predictions::Predictions, Error, Result};
use candle_core::Tensor;
use serde::{Deserialize, Serialize};

/// The metric of ensembles of one size.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SizePoint {
    /// Predictions in each group.
    pub size: usize,
    /// The metric of each group.
    pub values: Vec<f64>,
}

/// The metric of ensembles of 1, 2 … S predictions: for each size, that of the disjoint groups of so many predictions,
/// first to last (`⌊S/size⌋` groups; none shares a prediction with another, so their spread is honest).
///
/// `score` gets what a group says, `(B, C)`, and returns its metric.
///
/// ```
/// use candle_core::{Device, Tensor};
/// use candle_ensemble::{combine::Mean, data::Task, evaluate::size_curve, predictions::Predictions};
///
/// let predictions = Tensor::new(&[[[1f32]], [[3.]], [[5.]]], &Device::Cpu)?;
/// let predictions = Predictions::new(predictions, Task::Regression { outputs: 1 })?;
/// let curve = size_curve(&predictions, &Mean, |predicted| Ok(f64::from(predicted.to_vec2::<f32>()?[0][0])))?;
/// assert_eq!(curve[0].values, [1., 3., 5.]);
/// assert_eq!(curve[1].values, [2.]);
/// assert_eq!(curve[2].values, [3.]);
/// # Ok::<(), candle_ensemble::Error>(())
/// ```
///
/// # Errors
/// When the rule does not go with the predictions, or `score` fails.
pub fn size_curve(
    predictions: &Predictions,
    fitted: &dyn FittedCombiner,
    score: impl Fn(&Tensor) -> Result<f64>,
) -> Result<Vec<SizePoint>> {
    let slots = predictions.slots();
    let group = |size: usize, number: usize| {
        let predicted = fitted.combine(&predictions.narrow_slots(number * size, size)?)?;
        score(&predicted)
    };
    let point = |size: usize| {
        let values = (0..slots / size).map(|number| group(size, number)).collect::<Result<_>>()?;
        Ok::<_, Error>(SizePoint { size, values })
    };
    (1..=slots).map(point).collect()
}
