//! A metric against the size of the ensemble.
use crate::{combine::FittedCombiner, predictions::Predictions, Error, Result};
use candle_core::Tensor;
use serde::{Deserialize, Serialize};

/// The metric of ensembles of one size.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SizePoint {
    /// Number of slots in each group.
    pub size: usize,
    /// The metric of each group.
    pub values: Vec<f64>,
}

/// Measures ensembles of 1, 2, …, S slots: for each size, the metric of disjoint groups of that many slots.
///
/// ```text
/// values(size)[g] = score(combine(slots g · size … (g + 1) · size − 1)),  g = 0 … ⌊S/size⌋ − 1
/// ```
///
/// Groups share no slot, so their values are those of independent ensembles. `score` gets the combined
/// prediction of a group, `(B, C)` for B rows and C classes or outputs, and returns its metric.
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
/// When the combiner does not fit the predictions, or `score` fails.
pub fn size_curve(
    predictions: &Predictions,
    fitted: &dyn FittedCombiner,
    score: impl Fn(&Tensor) -> Result<f64>,
) -> Result<Vec<SizePoint>> {
    let sizes: Vec<usize> = (1..=predictions.slots()).collect();
    curve_at(&sizes, predictions, fitted, score)
}

/// [`size_curve`] at these sizes only.
pub(crate) fn curve_at(
    sizes: &[usize],
    predictions: &Predictions,
    fitted: &dyn FittedCombiner,
    score: impl Fn(&Tensor) -> Result<f64>,
) -> Result<Vec<SizePoint>> {
    let slots = predictions.slots();
    let group = |size: usize, number: usize| {
        let predicted = fitted.combine(&predictions.narrow_slots(number * size, size)?)?;
        score(&predicted)
    };
    let point = |size: &usize| {
        let values = (0..slots / size).map(|number| group(*size, number)).collect::<Result<_>>()?;
        Ok::<_, Error>(SizePoint { size: *size, values })
    };
    sizes.iter().map(point).collect()
}

/// The sizes at which a study measures: all up to ten, from there on steps of about a quarter, and the largest.
pub(crate) fn usual_sizes(slots: usize) -> Vec<usize> {
    let mut sizes: Vec<usize> = (1..=slots.min(10)).collect();
    while let Some(next) = sizes.last().map(|last| (last + last / 4).min(slots)).filter(|next| *next > 10) {
        if sizes.last() == Some(&next) {
            break;
        }
        sizes.push(next);
    }
    sizes
}
