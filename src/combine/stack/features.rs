//! The table of meta-features.
use crate::{
    data::Task,
    kernels::{argmax::argmax, cpu},
    predictions::Predictions,
    Error, Result,
};
use candle_core::{DType, Result as CandleResult, Tensor};
use serde::{Deserialize, Serialize};

/// The distance that probabilities keep from 0 and 1, so that log-odds lie between −13.8 and 13.8.
const CLIP: f64 = 1e-6;

/// Which columns of the meta-feature table are made of each slot's prediction. For two classes there is one
/// column, for the second class, because the first one follows from it; for more classes there is one for
/// each.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum MetaFeatures {
    /// The probability of each class; for regression, the values.
    #[default]
    Probabilities,
    /// The log-odds of each class, `ln(p / (1 − p))`, with `p` clipped to `1e-6 ≤ p ≤ 1 − 1e-6`.
    LogOdds,
    /// 1 for the most probable class, the lowest one in a tie, and 0 for the others.
    /// (`stack_method="predict"` of scikit-learn gives the number of the class. That is the same for two
    /// classes, and imposes an order on more.)
    Classes,
}

impl MetaFeatures {
    /// Checks that these meta-features can be made for the task.
    pub(crate) fn check(self, task: Task) -> Result<()> {
        match (self, task) {
            (Self::LogOdds | Self::Classes, Task::Regression { .. }) => Err(Error::invalid(
                "the task",
                format!("classification, since the meta-features {self:?} are for classes"),
                "regression",
            )),
            _ => Ok(()),
        }
    }

    /// The first class or output that has a column, and the number of columns of each slot.
    pub(crate) fn kept_outputs(task: Task) -> (usize, usize) {
        match task {
            Task::Classification { classes: 2 } => (1, 1),
            task => (0, task.width()),
        }
    }
}

/// The meta-features of the slots, `(S, B, C) -> (B, F)`, slot by slot, in the type of the predictions. Cells
/// of missing predictions have no meaning.
pub(crate) fn slot_features(predictions: &Predictions, features: MetaFeatures) -> CandleResult<Tensor> {
    let all = predictions.values();
    let (slots, rows, _) = all.dims3()?;
    let (first, count) = MetaFeatures::kept_outputs(predictions.task());
    let values = match features {
        MetaFeatures::Probabilities => all.narrow(2, first, count)?,
        MetaFeatures::LogOdds => {
            let clipped = all.narrow(2, first, count)?.clamp(CLIP, 1. - CLIP)?;
            (clipped.log()? - clipped.affine(-1., 1.)?.log()?)?
        }
        MetaFeatures::Classes => one_hot_votes(all)?.narrow(2, first, count)?,
    };
    values.transpose(0, 1)?.contiguous()?.reshape((rows, slots * count))
}

/// The table with the inputs of the rows as last columns, if `inputs` says so.
pub(crate) fn append_inputs(table: Tensor, predictions: &Predictions, inputs: bool) -> CandleResult<Tensor> {
    match (inputs, predictions.inputs()) {
        (false, _) => Ok(table),
        (true, Some(inputs)) => {
            let inputs = inputs.to_device(table.device())?.to_dtype(table.dtype())?;
            Tensor::cat(&[table, inputs], 1)
        }
        (true, None) => {
            candle_core::bail!("the stack needs the inputs of the rows (Predictions::with_inputs)")
        }
    }
}

/// 1 for the largest number of each row, the first one in a tie, and 0 for the others; a row with NaN becomes
/// NaN.
fn one_hot_votes(values: &Tensor) -> CandleResult<Tensor> {
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
