//! Votes for being right nearby.
use crate::{
    combine::{
        dynamic::{combine, Competence, Local, Selection},
        DynamicSelection, FittedDynamicSelection,
    },
    predictions::Predictions,
    HeldOut, Result,
};
use candle_core::{Result as CandleResult, Tensor};
use serde::{Deserialize, Serialize};

/// KNORA-Union: each member has as many votes as of the row's `k` nearest held-out rows it is right about; if none is right
/// about any, one vote each. Classes only; no gradient passes through it.
///
/// Source: Ko, Sabourin and Britto 2008, doi:10.1016/j.patcog.2007.10.015; the predictions are DESlib's. With row
/// weights a member has the weight of the rows it is right about. Where predictions are missing, those that are there
/// vote; a prediction missing from a held-out row is stood in for by the mean of the others, and rows of weight 0 are left
/// out.
///
/// ```
/// use candle_core::{Device, Tensor};
/// use candle_ensemble::{combine::*, data::Task, predictions::*, HeldOut};
///
/// // The first member is right below 0, the second above.
/// let x = Tensor::arange(-10f32, 10., &Device::Cpu)?.unsqueeze(1)?;
/// let right = x.lt(0f32)?.to_dtype(x.dtype())?;
/// let first = Tensor::cat(&[&right, &(1. - &right)?], 1)?;
/// let second = (1. - &first)?;
/// let predicted = Predictions::new(Tensor::stack(&[first, second], 0)?, Task::Classification { classes: 2 })?;
/// let held_out = HeldOut::from_predictions(&predicted, &Tensor::zeros(20, candle_core::DType::U32, &Device::Cpu)?)?;
/// let fitted = KnoraU::new(3).fit(&held_out.clone().with_inputs(&x)?)?;
/// let p = fitted.combine(&predicted.with_inputs(&x)?)?; // class 0 on both sides
/// assert!(p.to_vec2::<f32>()?.iter().all(|p| p[0] > 0.5));
/// # Ok::<(), candle_ensemble::Error>(())
/// ```
pub type KnoraU = DynamicSelection<Unite>;

/// [`KnoraU`], fitted: where each slot was right, O(held-out rows × (inputs + slots)).
pub type FittedKnoraU = FittedDynamicSelection<Unite>;

/// The selection of [`KnoraU`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Unite;

impl Selection for Unite {
    const NAME: &'static str = "knora-u";
    type Learned = Competence;

    fn learn(&self, local: Local, held_out: &HeldOut) -> Result<Competence> {
        Ok(Competence::fit("KNORA-U", local, 1, held_out)?.0)
    }

    fn combine(competence: &Competence, predictions: &Predictions, soft: bool) -> CandleResult<Tensor> {
        let near = competence.around(predictions)?;
        combine(predictions, soft, |row_predictions| {
            let near = &near[row_predictions.row * competence.k..][..competence.k];
            move |slot| {
                let right = near.iter().filter(|row| competence.is_right(**row, slot));
                right.map(|row| competence.weight(*row)).sum()
            }
        })
    }
}
