//! From the output of a network to predictions. Predictions are f32, or f64 where the network outputs f64:
//! eight or eleven bits are too few for the sum of a thousand probabilities.
use crate::data::Task;
use candle_core::{DType, Result, Tensor, D};
use candle_nn::ops;
use serde::{Deserialize, Serialize};

/// What networks output for classes.
///
/// ```
/// use candle_ensemble::train::{CustomLoop, Output};
///
/// let learner = CustomLoop::new("idle", |vb| candle_nn::linear(2, 3, vb), |_, _| Ok(())).output(Output::Logits);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Output {
    /// Logits `(B, C)`, or one logit `(B,)` or `(B, 1)` of class 1 for two classes. Log-probabilities are
    /// valid logits.
    #[default]
    Logits,
    /// Probabilities `(B, C)`: the network ends in a softmax.
    Probabilities,
}

/// The scale on which the predictions of members are combined.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Scale {
    /// Probabilities for classes; values for regression.
    Probability,
    /// Log-probabilities, for classes only.
    LogProbability,
}

impl Output {
    /// The predictions of one network, of type f32 or f64: `(B, C)` on `scale` for classes, `(B, K)` for
    /// values.
    pub(crate) fn prediction(self, output: &Tensor, task: Task, scale: Scale) -> Result<Tensor> {
        let rounded = is_short(output.dtype());
        let output = widened(output)?;
        let output = if output.rank() == 1 { output.unsqueeze(1)? } else { output };
        let Ok((_, width)) = output.dims2() else {
            let (width, unit) = match task {
                Task::Classification { classes } => (classes, "classes"),
                Task::Regression { outputs } => (outputs, "values"),
            };
            let shape = output.dims();
            candle_core::bail!(
                "the network must output {width} {unit} for each row, but its output has the shape {shape:?}"
            )
        };
        let classes = match task {
            Task::Regression { outputs } if outputs == width => return Ok(output),
            Task::Regression { outputs } => {
                candle_core::bail!(
                    "the network must output {outputs} values for each row, but outputs {width}"
                )
            }
            Task::Classification { classes } => classes,
        };
        match (self, width) {
            (Self::Logits, 1) if classes == 2 => {
                // One logit z of class 1 is a softmax over (0, z).
                normalized(&Tensor::cat(&[&output.zeros_like()?, &output], 1)?, scale)
            }
            (Self::Logits, _) if width == classes => normalized(&output, scale),
            (Self::Probabilities, _) if width == classes => {
                // A network of short floats has rounded its probabilities, and the sum that it divided by.
                let output = match rounded {
                    true => output.broadcast_div(&output.sum_keepdim(1)?)?,
                    false => output,
                };
                match scale {
                    Scale::Probability => Ok(output),
                    Scale::LogProbability => ln(&output),
                }
            }
            _ => candle_core::bail!("the network must output {classes} classes, but outputs {width}"),
        }
    }
}

/// Whether numbers of this type are shorter than 32 bits.
fn is_short(dtype: DType) -> bool {
    dtype != DType::F32 && dtype != DType::F64
}

/// The tensor as f64 if it is so already, else as f32. Gradients pass through.
pub(crate) fn widened(tensor: &Tensor) -> Result<Tensor> {
    match is_short(tensor.dtype()) {
        true => tensor.to_dtype(DType::F32),
        false => Ok(tensor.clone()),
    }
}

/// Softmax or log-softmax. candle's fast softmax has no backward pass, so it is used only without gradients.
fn normalized(logits: &Tensor, scale: Scale) -> Result<Tensor> {
    match scale {
        Scale::LogProbability => ops::log_softmax(logits, D::Minus1),
        Scale::Probability if logits.track_op() => ops::softmax(logits, D::Minus1),
        Scale::Probability => ops::softmax_last_dim(&logits.contiguous()?),
    }
}

/// The logarithm of probabilities. A probability of 0 counts as the smallest positive `f32` (in f16, which does
/// not have that number, as the smallest positive f16), so the result is finite.
pub(crate) fn ln(probabilities: &Tensor) -> Result<Tensor> {
    let tiny = match probabilities.dtype() {
        DType::F16 => 2f64.powi(-24),
        _ => f64::from(f32::MIN_POSITIVE),
    };
    probabilities.maximum(tiny)?.log()
}
