//! What a meta-learner sees of a row.
use crate::{
    data::Task,
    kernels::{argmax::argmax, cpu},
    predictions::Predictions,
    Error, Result,
};
use candle_core::{DType, Result as CandleResult, Tensor};
use serde::{Deserialize, Serialize};

/// Probabilities are kept this far from 0 and 1 before their odds are taken: ±13.8.
const CLIP: f64 = 1e-6;

/// What a meta-learner sees of each prediction for classes. Of two classes it sees the second alone: the first is what is
/// left. Of more it sees all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum MetaFeatures {
    /// The probability of each class; for regression, the values.
    #[default]
    Probabilities,
    /// The log-odds of each class against the others, `ln p/(1 − p)`, with `p` cut off at 1e-6 and 1 − 1e-6.
    LogOdds,
    /// 1 for the class that the prediction is for, the lowest of equals, and 0 for the others. (scikit-learn's
    /// `stack_method="predict"` gives the number of the class, which is the same for two classes and puts an order
    /// on more.)
    Classes,
}

impl MetaFeatures {
    pub(crate) fn check(self, task: Task) -> Result<()> {
        match (self, task) {
            (Self::LogOdds | Self::Classes, Task::Regression { .. }) => Err(Error::invalid(
                format!("the meta-features {self:?}"),
                "asked for classes",
                "asked for values",
            )),
            _ => Ok(()),
        }
    }

    /// The first class or output that is kept, and how many are.
    pub(crate) fn outputs(self, task: Task) -> (usize, usize) {
        match task {
            Task::Classification { classes: 2 } => (1, 1),
            task => (0, task.width()),
        }
    }
}

/// `(S, B, C) -> (B, F)`: slot by slot, then the inputs. Floats of the predictions' own type.
pub(crate) fn table(predictions: &Predictions, features: MetaFeatures, inputs: bool) -> CandleResult<Tensor> {
    let filled = predictions.filled()?;
    let (slots, rows, _) = filled.values().dims3()?;
    let (first, each) = features.outputs(predictions.task());
    let values = match features {
        MetaFeatures::Probabilities => filled.values().narrow(2, first, each)?,
        MetaFeatures::LogOdds => {
            let clipped = filled.values().narrow(2, first, each)?.clamp(CLIP, 1. - CLIP)?;
            (clipped.log()? - clipped.affine(-1., 1.)?.log()?)?
        }
        MetaFeatures::Classes => votes(filled.values())?.narrow(2, first, each)?,
    };
    let table = values.transpose(0, 1)?.contiguous()?.reshape((rows, slots * each))?;
    match (inputs, predictions.inputs()) {
        (false, _) => Ok(table),
        (true, Some(inputs)) => {
            let inputs = inputs.to_device(table.device())?.to_dtype(table.dtype())?;
            Tensor::cat(&[table, inputs], 1)
        }
        (true, None) => candle_core::bail!("the stack needs the rows' inputs"),
    }
}

/// 1 for the largest of each row, the lowest of equals; NaN stays.
fn votes(values: &Tensor) -> CandleResult<Tensor> {
    let (width, shape) = (values.dim(2)?, values.shape());
    let votes = cpu::with_slice(values, |all: &[f32]| {
        let mut votes = vec![0f32; all.len()];
        for (row, votes) in all.chunks_exact(width).zip(votes.chunks_exact_mut(width)) {
            match row.iter().any(|p| p.is_nan()) {
                true => votes.fill(f32::NAN),
                false => votes[argmax(row)] = 1.,
            }
        }
        votes
    })?;
    let votes = Tensor::from_vec(votes, shape, values.device())?;
    match values.dtype() {
        DType::F32 => Ok(votes),
        other => votes.to_dtype(other),
    }
}
