//! When early stopping ends a run.
use crate::{check::positive, Error, Result};
use serde::{Deserialize, Serialize};

/// When [`EarlyStopping`](crate::train::EarlyStopping) ends a run.
///
/// ```text
/// E    validation loss of the last epoch, or the metric in its place
/// GL = 100 · (E / best − 1)                              generalization loss, in percent
/// P  = 1000 · (mean training loss / least − 1)           over the last strip: training progress
/// ```
///
/// The last three are those of Prechelt, whose strips are 5 epochs long. Where higher is better, `GL` is the
/// distance of `E` from the best in percent of the best; so it is for values below 0. In his trials on small
/// networks slower criteria (a larger `alpha`, more strips) found losses that were about 4 % lower on average
/// and took four times as long. `Up` finds the best average loss for its time, and `GeneralizationLoss` suits
/// a search among many runs of which the best is kept.
///
/// Use [`Patience`](Self::Patience) unless there is a reason: it is the rule of Keras and PyTorch Lightning,
/// and the only one that ends a run whose validation loss stays the same. With the other criteria, such a
/// run goes on to its last epoch.
///
/// Cost: nothing that could be measured.
///
/// # Source
/// Prechelt 1998, doi:10.1007/3-540-49430-8_3.
///
/// ```
/// use candle_ensemble::train::{EarlyStopping, StoppingCriterion, Trainer};
///
/// let criterion = StoppingCriterion::GeneralizationLoss { alpha: 5. };
/// let rule = EarlyStopping { criterion, ..EarlyStopping::default() };
/// let trainer = Trainer::new(|vb| candle_nn::linear(2, 2, vb)).epochs(200).early_stopping(rule);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum StoppingCriterion {
    /// After [`patience`](crate::train::EarlyStopping::patience) epochs in a row without improvement.
    #[default]
    Patience,
    /// `GL_α`: after the first epoch with `GL > alpha`.
    GeneralizationLoss {
        /// The largest generalization loss in percent, above 0. Prechelt tries 1 to 5.
        alpha: f64,
    },
    /// `PQ_α`: at the end of the first strip with `GL / P > alpha`. While the training loss still falls fast,
    /// the validation loss may rise more, because it often falls again.
    ProgressQuotient {
        /// The largest quotient, above 0. Prechelt tries 0.5 to 3.
        alpha: f64,
        /// The epochs of a strip, at least 2.
        strip: usize,
    },
    /// `UP_s`: at the end of the last of `strips` strips in a row at each of whose ends the validation loss is
    /// worse than at the end of the strip before.
    Up {
        /// The number of strips in a row, at least 1. Prechelt tries 2 to 8.
        strips: usize,
        /// The epochs of a strip, at least 1.
        length: usize,
    },
}

impl StoppingCriterion {
    pub(super) fn check(self) -> Result<()> {
        let at_least = |least: usize, what: &str, count: usize| match count >= least {
            true => Ok(()),
            false => Err(Error::invalid(what, format!("at least {least}"), count)),
        };
        match self {
            Self::Patience => Ok(()),
            Self::GeneralizationLoss { alpha } => {
                positive("StoppingCriterion::GeneralizationLoss::alpha", alpha)
            }
            Self::ProgressQuotient { alpha, strip } => {
                at_least(2, "StoppingCriterion::ProgressQuotient::strip", strip)?;
                positive("StoppingCriterion::ProgressQuotient::alpha", alpha)
            }
            Self::Up { strips, length } => {
                at_least(1, "StoppingCriterion::Up::strips", strips)?;
                at_least(1, "StoppingCriterion::Up::length", length)
            }
        }
    }

    /// The epochs of a strip.
    pub(super) fn strip(self) -> usize {
        match self {
            Self::ProgressQuotient { strip, .. } => strip,
            Self::Up { length, .. } => length,
            Self::Patience | Self::GeneralizationLoss { .. } => 1,
        }
    }
}

/// By how much `value` is worse than `best`, in percent of `best`: below 0 where it is better.
pub(super) fn generalization_loss(value: f64, best: f64, higher_is_better: bool) -> f64 {
    let worse_by = if higher_is_better { best - value } else { value - best };
    // 0 / 0 is no loss.
    if worse_by == 0. {
        0.
    } else {
        100. * worse_by / best.abs()
    }
}

/// How much the training loss has changed over a strip, in per mille of the least.
pub(super) fn training_progress(losses: &[f64]) -> f64 {
    let mean = losses.iter().sum::<f64>() / losses.len() as f64;
    let least = losses.iter().copied().fold(f64::INFINITY, f64::min);
    if mean == least {
        0.
    } else {
        1000. * (mean - least) / least.abs()
    }
}
