//! From what a network puts out to what it says.
use crate::data::Task;
use candle_core::{Result, Tensor, D};
use candle_nn::ops;
use serde::{Deserialize, Serialize};

/// What networks put out for classes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Output {
    /// Logits `(B, C)`, or one logit `(B,)` or `(B, 1)` for two classes. Log-probabilities are logits too.
    #[default]
    Logits,
    /// Probabilities `(B, C)`: the network ends in a softmax of its own.
    Probabilities,
}

/// On which scale members are combined.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Scale {
    /// Probabilities for classes, values for regression.
    Probability,
    /// Log-probabilities; classes only.
    LogProbability,
}

impl Output {
    /// What one network predict for its rows: `(B, C)` on `scale` for classes, `(B, K)` for values.
    pub(crate) fn prediction(self, output: &Tensor, task: Task, scale: Scale) -> Result<Tensor> {
        let output = if output.rank() == 1 { output.unsqueeze(1)? } else { output.clone() };
        let (_, width) = output.dims2()?;
        let classes = match task {
            Task::Regression { outputs } if outputs == width => return Ok(output),
            Task::Regression { outputs } => {
                candle_core::bail!("the network must put out {outputs} values a row, but puts out {width}")
            }
            Task::Classification { classes } => classes,
        };
        match (self, width) {
            (Self::Logits, 1) if classes == 2 => {
                // The logit of class 1 against class 0: a softmax over (0, z).
                normalized(&Tensor::cat(&[&output.zeros_like()?, &output], 1)?, scale)
            }
            (Self::Logits, _) if width == classes => normalized(&output, scale),
            (Self::Probabilities, _) if width == classes => match scale {
                Scale::Probability => Ok(output),
                Scale::LogProbability => ln(&output),
            },
            _ => candle_core::bail!("the network must put out {classes} classes, but puts out {width}"),
        }
    }
}

/// Softmax or log-softmax. candle's fast kernel has no backward pass, so it serves where none is needed.
fn normalized(logits: &Tensor, scale: Scale) -> Result<Tensor> {
    match scale {
        Scale::LogProbability => ops::log_softmax(logits, D::Minus1),
        Scale::Probability if logits.track_op() => ops::softmax(logits, D::Minus1),
        Scale::Probability => ops::softmax_last_dim(&logits.contiguous()?),
    }
}

/// The logarithm, finite for probabilities that are exactly 0: they count as the smallest positive number.
pub(crate) fn ln(probabilities: &Tensor) -> Result<Tensor> {
    let tiny = f64::from(f32::MIN_POSITIVE);
    probabilities.maximum(tiny)?.log()
}
