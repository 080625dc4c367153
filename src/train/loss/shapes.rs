//! Checks of the shapes and types of outputs, targets and weights.
use crate::{check::non_negative, Error};
use candle_core::{DType, Result as CResult, Tensor};

pub(super) fn invalid(what: &str, must: &str, got: &Tensor) -> candle_core::Error {
    Error::invalid(what, must, format!("{} of shape {:?}", got.dtype().as_str(), got.dims())).into()
}

/// The weights divided by their sum, or all 0.
pub(super) fn normalized(weights: &Tensor, rows: usize) -> CResult<Vec<f64>> {
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
pub(super) fn labels(targets: &Tensor, rows: usize, classes: usize) -> CResult<Vec<u32>> {
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
pub(super) fn classes(output: &Tensor) -> CResult<(usize, usize)> {
    match *output.dims() {
        [rows, classes] if classes >= 2 => Ok((rows, classes)),
        _ => Err(invalid("the output", "logits of shape [rows, classes] with at least 2 classes", output)),
    }
}

/// B of logits (B, 1) or (B).
pub(super) fn binary(output: &Tensor) -> CResult<usize> {
    match *output.dims() {
        [rows] | [rows, 1] => Ok(rows),
        _ => Err(invalid("the output", "logits of shape [rows, 1] or [rows]", output)),
    }
}

/// The rows and the columns of outputs and targets `(B, K)`, which must be the same.
pub(super) fn columns(output: &Tensor, targets: &Tensor) -> CResult<(usize, usize)> {
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
