//! Losses: how far the outputs of a batch are from its targets, as one differentiable number.
//!
//! On the CPU, a loss over `f32` or `f64` is one operation that computes its value and its gradient in the
//! same pass over the rows. On other devices, and for half precision, it is composed of candle's
//! differentiable operations.
mod composed;
mod fused;

use crate::{
    check::{below_one, non_negative, positive},
    Error, Result,
};
use candle_core::{DType, Result as CResult, Tensor};
use serde::{Deserialize, Serialize};

/// A loss: the function that training minimises. It has a value `l` for each row, and the mean of a batch is
/// what a step minimises.
///
/// ```text
/// mean = Σ l / B,   or with weights w of the rows   Σ w l / Σ w
/// ```
///
/// Outputs are `(B, C)` logits or `(B, K)` values of a batch of `B` rows, in any floating-point type. The
/// trainer chooses [`CrossEntropy`](Loss::CrossEntropy) or [`BinaryCrossEntropy`](Loss::BinaryCrossEntropy)
/// for classes and [`MeanSquared`](Loss::MeanSquared) for values if no loss is set.
///
/// Cost: one pass over the outputs.
///
/// # Errors
/// [`Loss::check`] names a parameter that is out of range, and [`Loss::mean`] a tensor of the wrong shape or
/// type. A session checks parameters before it trains.
///
/// ```
/// use candle_core::{Device, Tensor, Var};
/// use candle_ensemble::train::Loss;
///
/// let logits = Var::new(&[[2f64, 0.0], [0.0, 0.0]], &Device::Cpu)?;
/// let labels = Tensor::new(&[0u32, 1], &Device::Cpu)?;
/// let loss = Loss::CrossEntropy { smoothing: 0.0 }.mean(&logits, &labels, None)?;
/// let by_hand = ((1.0 + (-2f64).exp()).ln() + 2f64.ln()) / 2.0;
/// assert!((loss.to_scalar::<f64>()? - by_hand).abs() < 1e-15);
/// assert!(loss.backward()?.get(&logits).is_some());
/// # Ok::<(), candle_core::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Loss {
    /// Cross-entropy of classes: `l = −Σ_c q_c ln softmax(z)_c`, with `q = (1 − s) · onehot(label) + s / C`.
    ///
    /// Outputs are `(B, C)` logits with `C` at least 2. Targets are `(B,)` labels of type `u32`, below `C`.
    ///
    /// Use it for classes. Label smoothing makes networks less certain, which helps when labels are noisy; do
    /// not use it where the probabilities themselves are needed, unless they are calibrated afterwards.
    ///
    /// Source for smoothing: Szegedy et al. 2016, arXiv:1512.00567.
    CrossEntropy {
        /// Label smoothing `s`, from 0 to less than 1.
        smoothing: f64,
    },
    /// Cross-entropy of two classes with one logit: `l = −y ln σ(z) − (1 − y) ln(1 − σ(z))`, computed as
    /// `max(z, 0) − z y + ln(1 + e^−|z|)`, which does not overflow.
    ///
    /// Outputs are `(B, 1)` or `(B,)` logits of class 1. Targets are `(B,)` labels of type `u32`, 0 or 1.
    ///
    /// Use it for two classes when the network has one output.
    BinaryCrossEntropy,
    /// Squared error: `l = d²`, with `d = output − target`.
    ///
    /// Outputs and targets are `(B,)` or `(B, K)`, where `(B, 1)` and `(B,)` are the same. `l` is the mean
    /// over the `K` values.
    ///
    /// Use it to predict means. Outliers have a large effect.
    MeanSquared,
    /// Absolute error: `l = |d|`, with derivative 0 at `d = 0`. Shapes are those of [`Loss::MeanSquared`].
    ///
    /// Use it to predict medians, or when there are outliers.
    MeanAbsolute,
    /// Huber loss: `l = d² / 2` for `|d| ≤ δ`, and `δ (|d| − δ / 2)` otherwise. Shapes are those of
    /// [`Loss::MeanSquared`].
    ///
    /// Use it to predict means when there are outliers. It behaves like the squared error for small
    /// differences and like the absolute error for large ones.
    ///
    /// Source: Huber 1964, doi:10.1214/aoms/1177703732.
    Huber {
        /// The difference `δ` at which the parabola becomes a line, above 0, in the unit of the targets.
        delta: f64,
    },
}

impl Loss {
    /// Checks that every parameter is in its range.
    ///
    /// # Errors
    /// [`Error::Invalid`] that names the parameter.
    pub fn check(&self) -> Result<()> {
        match *self {
            Self::CrossEntropy { smoothing } => below_one("Loss::CrossEntropy::smoothing", smoothing),
            Self::Huber { delta } => positive("Loss::Huber::delta", delta),
            Self::BinaryCrossEntropy | Self::MeanSquared | Self::MeanAbsolute => Ok(()),
        }
    }

    /// The mean loss of a batch, as a scalar of the type of the outputs (`f32` for half precision): `Σ l /
    /// B`, or with weights `(B,)` `Σ w l / Σ w`. If all weights are 0, the mean is 0.
    ///
    /// Gradients flow into the outputs, and not into targets and weights.
    ///
    /// # Errors
    /// When a parameter is out of range, the batch is empty, shapes do not match, labels are not of type
    /// `u32` or out of range, or weights are negative or not finite. Outputs or targets that are not finite
    /// are not an error: the result is then not finite either.
    pub fn mean(&self, output: &Tensor, targets: &Tensor, weights: Option<&Tensor>) -> CResult<Tensor> {
        self.check()?;
        let rows = output.dims().first().copied().unwrap_or(0);
        if rows == 0 {
            return Err(invalid("the output", "a batch of at least one row", output));
        }
        let weights = weights.map(|w| normalized(w, rows)).transpose()?;
        match (output.device().is_cpu(), output.dtype()) {
            (true, DType::F32) => fused::mean::<f32>(*self, output, targets, weights),
            (true, DType::F64) => fused::mean::<f64>(*self, output, targets, weights),
            _ => composed::mean(*self, output, targets, weights),
        }
    }
}

fn invalid(what: &str, must: &str, got: &Tensor) -> candle_core::Error {
    Error::invalid(what, must, format!("{} of shape {:?}", got.dtype().as_str(), got.dims())).into()
}

/// The weights divided by their sum, or all 0.
fn normalized(weights: &Tensor, rows: usize) -> CResult<Vec<f64>> {
    if weights.dims() != [rows] || !weights.dtype().is_float() {
        return Err(invalid("the weights", &format!("floating-point numbers of shape [{rows}]"), weights));
    }
    let mut weights = weights.to_dtype(DType::F64)?.to_vec1::<f64>()?;
    for &w in &weights {
        non_negative("a weight", w)?;
    }
    let sum: f64 = weights.iter().sum();
    if sum > 0.0 {
        weights.iter_mut().for_each(|w| *w /= sum);
    }
    Ok(weights)
}

/// The class labels of a batch, all below `classes`.
fn labels(targets: &Tensor, rows: usize, classes: usize) -> CResult<Vec<u32>> {
    if targets.dims() != [rows] || targets.dtype() != DType::U32 {
        return Err(invalid("the targets", &format!("u32 labels of shape [{rows}]"), targets));
    }
    let labels = targets.to_vec1::<u32>()?;
    match labels.iter().find(|&&label| label as usize >= classes) {
        Some(label) => Err(Error::invalid("the targets", format!("labels below {classes}"), label).into()),
        None => Ok(labels),
    }
}

/// The rows and the classes of logits `(B, C)`.
fn classes(output: &Tensor) -> CResult<(usize, usize)> {
    match *output.dims() {
        [rows, classes] if classes >= 2 => Ok((rows, classes)),
        _ => Err(invalid("the output", "logits of shape [rows, classes] with at least 2 classes", output)),
    }
}

/// B of logits (B, 1) or (B).
fn binary(output: &Tensor) -> CResult<usize> {
    match *output.dims() {
        [rows] | [rows, 1] => Ok(rows),
        _ => Err(invalid("the output", "logits of shape [rows, 1] or [rows]", output)),
    }
}

/// The rows and the columns of outputs and targets `(B, K)`, which must be the same.
fn columns(output: &Tensor, targets: &Tensor) -> CResult<(usize, usize)> {
    let shape = |x: &Tensor| match *x.dims() {
        [rows] => Some((rows, 1)),
        [rows, columns] if columns > 0 => Some((rows, columns)),
        _ => None,
    };
    let Some((rows, columns)) = shape(output) else {
        return Err(invalid("the output", "of shape [rows] or [rows, columns]", output));
    };
    if shape(targets) != Some((rows, columns)) || !targets.dtype().is_float() {
        let must = format!("floating-point numbers of shape [{rows}, {columns}], like the output");
        return Err(invalid("the targets", &must, targets));
    }
    Ok((rows, columns))
}

#[cfg(test)]
mod tests;
