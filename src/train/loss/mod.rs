//! Losses: how wrong a batch's outputs are, as one differentiable number.
//!
//! On the CPU a loss over `f32` or `f64` is one operation that works out its value and its gradient in the
//! same pass over the rows. Elsewhere, and for half precision, it is composed of candle's differentiable
//! operations.
mod composed;
mod fused;

use crate::{
    check::{below_one, non_negative, positive},
    Error, Result,
};
use candle_core::{DType, Result as CResult, Tensor};
use serde::{Deserialize, Serialize};

/// A loss `l(output, target)` of a row, and its mean over a batch.
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
    /// `l = −Σ_c q_c ln softmax(z)_c`, with `q = (1 − s) · onehot(label) + s / C` (smoothing: Szegedy et al.
    /// 2016, arXiv:1512.00567).
    ///
    /// Outputs are (B, C) logits with C at least 2, targets (B) labels of type `u32` below C.
    CrossEntropy {
        /// Label smoothing `s`, from 0 to less than 1.
        smoothing: f64,
    },
    /// `l = −y ln σ(z) − (1 − y) ln(1 − σ(z))`, computed as `max(z, 0) − z y + ln(1 + e^−|z|)`, which does
    /// not overflow.
    ///
    /// Outputs are (B, 1) or (B) logits, targets (B) labels of type `u32`, 0 or 1.
    BinaryCrossEntropy,
    /// `l = d²`, with `d = output − target`.
    ///
    /// Outputs and targets are (B) or (B, K) numbers, where (B, 1) and (B) are the same; `l` is averaged over
    /// the K.
    MeanSquared,
    /// `l = |d|`; its derivative where `d = 0` is taken to be 0. Shapes as for [`Loss::MeanSquared`].
    MeanAbsolute,
    /// `l = d² / 2` where `|d| ≤ δ`, and `δ (|d| − δ / 2)` beyond (Huber 1964). Shapes as for
    /// [`Loss::MeanSquared`].
    Huber {
        /// Where the parabola becomes a line, `δ`, above 0, in units of the targets.
        delta: f64,
    },
}

impl Loss {
    /// Is every parameter in its range?
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

    /// The mean over the rows of a batch, a scalar of the outputs' type (`f32` for half precision): `Σ l /
    /// B`, or with weights (B) `Σ w l / Σ w`, which is taken to be 0 when all weights are 0.
    ///
    /// Gradients flow into the outputs only; targets and weights are taken as given.
    ///
    /// # Errors
    /// For a parameter out of range, an empty batch, shapes that do not belong together, labels that are not
    /// `u32` or out of range, and weights that are negative or not finite. A value that is not finite because
    /// outputs or targets are not is no error here.
    pub fn mean(&self, output: &Tensor, targets: &Tensor, weights: Option<&Tensor>) -> CResult<Tensor> {
        self.check()?;
        let rows = output.dims().first().copied().unwrap_or(0);
        if rows == 0 {
            return Err(invalid("output", "a batch of at least one row", output));
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
    Error::invalid(what, must, format!("{:?} of shape {:?}", got.dtype(), got.dims())).into()
}

/// Weights that sum to 1, or are all 0.
fn normalized(weights: &Tensor, rows: usize) -> CResult<Vec<f64>> {
    if weights.dims() != [rows] || !weights.dtype().is_float() {
        return Err(invalid("weights", &format!("floating-point numbers of shape [{rows}]"), weights));
    }
    let mut weights = weights.to_dtype(DType::F64)?.to_vec1::<f64>()?;
    for &w in &weights {
        non_negative("weights", w)?;
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
        return Err(invalid("targets", &format!("u32 labels of shape [{rows}]"), targets));
    }
    let labels = targets.to_vec1::<u32>()?;
    match labels.iter().find(|&&label| label as usize >= classes) {
        Some(label) => Err(Error::invalid("targets", format!("labels below {classes}"), label).into()),
        None => Ok(labels),
    }
}

/// (B, C) of logits.
fn classes(output: &Tensor) -> CResult<(usize, usize)> {
    match *output.dims() {
        [rows, classes] if classes >= 2 => Ok((rows, classes)),
        _ => Err(invalid("output", "logits of shape [rows, classes] with 2 classes or more", output)),
    }
}

/// B of logits (B, 1) or (B).
fn binary(output: &Tensor) -> CResult<usize> {
    match *output.dims() {
        [rows] | [rows, 1] => Ok(rows),
        _ => Err(invalid("output", "logits of shape [rows, 1] or [rows]", output)),
    }
}

/// (B, K) of outputs and targets, which must be the same for both.
fn columns(output: &Tensor, targets: &Tensor) -> CResult<(usize, usize)> {
    let shape = |x: &Tensor| match *x.dims() {
        [rows] => Some((rows, 1)),
        [rows, columns] if columns > 0 => Some((rows, columns)),
        _ => None,
    };
    let Some((rows, columns)) = shape(output) else {
        return Err(invalid("output", "of shape [rows] or [rows, columns]", output));
    };
    if shape(targets) != Some((rows, columns)) || !targets.dtype().is_float() {
        let must = format!("floating-point numbers of shape [{rows}, {columns}], as the output");
        return Err(invalid("targets", &must, targets));
    }
    Ok((rows, columns))
}

#[cfg(test)]
mod tests;
