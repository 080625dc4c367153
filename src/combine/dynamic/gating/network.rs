//! The network of a gate.
use crate::predictions::Predictions;
use candle_core::{DType, Result as CandleResult, Tensor, D};
use candle_nn::ops;

/// Added to the logit of a slot that does not predict the row, so that its weight is 0.
const MISSING: f64 = -1e30;

/// 1 where a slot predicts a row and 0 elsewhere, `(B, S)` in f32; `None` where no prediction is missing.
pub(super) fn present(predictions: &Predictions) -> CandleResult<Option<Tensor>> {
    predictions.covered().map(|covered| covered.t()?.contiguous()?.to_dtype(DType::F32)).transpose()
}

/// `softmax(net(features))` over the slots that are present, `(B, F) -> (B, S)`.
pub(super) fn gates(
    layers: &[(Tensor, Tensor)],
    features: &Tensor,
    present: Option<&Tensor>,
) -> CandleResult<Tensor> {
    let mut x = features.clone();
    for (number, (weight, bias)) in layers.iter().enumerate() {
        if number > 0 {
            x = x.relu()?;
        }
        x = x.matmul(weight)?.broadcast_add(bias)?;
    }
    if let Some(present) = present {
        x = (x + present.affine(-MISSING, MISSING)?)?;
    }
    ops::softmax(&x, D::Minus1)
}
