//! Losses composed of candle's differentiable operations, for every device and type.
use crate::train::{
    loss::{binary, classes, columns, labels},
    Loss,
};
use candle_core::{DType, Result as CResult, Tensor, D};

/// The mean loss; in `f32` for half precision.
pub(crate) fn mean(
    loss: Loss,
    output: &Tensor,
    targets: &Tensor,
    weights: Option<Vec<f64>>,
) -> CResult<Tensor> {
    let output = match output.dtype() {
        DType::F16 | DType::BF16 => output.to_dtype(DType::F32)?,
        _ => output.clone(),
    };
    let each_row = match loss {
        Loss::CrossEntropy { smoothing } => {
            let (rows, classes) = classes(&output)?;
            labels(targets, rows, classes)?;
            cross_entropy(&output, targets, smoothing)?
        }
        Loss::BinaryCrossEntropy => {
            let rows = binary(&output)?;
            labels(targets, rows, 2)?;
            binary_cross_entropy(&output.reshape(rows)?, &targets.to_dtype(output.dtype())?)?
        }
        Loss::MeanSquared | Loss::MeanAbsolute | Loss::Huber { .. } => {
            let shape = columns(&output, targets)?;
            let targets = targets.detach().to_dtype(output.dtype())?.reshape(shape)?;
            let d = (output.reshape(shape)? - targets)?;
            match loss {
                Loss::MeanAbsolute => (&d * d.detach().sign()?)?,
                Loss::Huber { delta } => {
                    let c = d.detach().clamp(-delta, delta)?;
                    (&c * (&d - (&c * 0.5)?)?)?
                }
                _ => d.sqr()?,
            }
            .mean(1)?
        }
    };
    match weights {
        None => each_row.mean_all(),
        Some(w) => {
            let w = Tensor::new(w, each_row.device())?.to_dtype(each_row.dtype())?;
            (each_row * w)?.sum_all()
        }
    }
}

fn cross_entropy(z: &Tensor, labels: &Tensor, smoothing: f64) -> CResult<Tensor> {
    // The shift changes neither the value nor the gradient, so it is detached.
    let shifted = z.broadcast_sub(&z.detach().max_keepdim(D::Minus1)?)?;
    let log_sum = shifted.exp()?.sum_keepdim(D::Minus1)?.log()?;
    let neg_log_prob = shifted.broadcast_sub(&log_sum)?.neg()?;
    let at_label = neg_log_prob.gather(&labels.unsqueeze(1)?.contiguous()?, 1)?.squeeze(1)?;
    if smoothing == 0.0 {
        return Ok(at_label);
    }
    (at_label * (1.0 - smoothing))? + (neg_log_prob.mean(D::Minus1)? * smoothing)?
}

fn binary_cross_entropy(z: &Tensor, y: &Tensor) -> CResult<Tensor> {
    // candle's relu and abs both have derivative 1 at 0, so the derivative of the sum is 1 − y − 1/2, as it
    // has to be.
    let rest = (z.abs()?.neg()?.exp()? + 1.0)?.log()?;
    (z.relu()? - (z * y)?)? + rest
}
