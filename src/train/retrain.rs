//! Training on all rows after early stopping has found the number of epochs.
use crate::{Error, Result};
use serde::{Deserialize, Serialize};

/// How a run uses its validation rows for training after early stopping has used them to find the number of epochs.
///
/// ```text
/// FromScratch:  initial weights → as many epochs as the best network had, on training and validation rows
/// Continue:     best weights → further epochs on both, until  loss(validation rows) < training loss of the best epoch
/// ```
///
/// The learning curve goes on: the second training has the epoch numbers after those of the first, and no validation
/// figures. The member's record counts the validation rows as seen, as it does after early stopping alone. A
/// learning-rate schedule starts again and runs over the epochs of the second training, and the optimizer starts without
/// moments.
///
/// Use [`FromScratch`](Retrain::FromScratch) where rows are few and the validation rows would be missed. Use
/// [`Continue`](Retrain::Continue) where a second training costs too much; it is less well behaved, because the loss may
/// never fall below the target. Do not use either with large data, where the validation rows add little.
///
/// Cost: [`FromScratch`](Retrain::FromScratch) at most doubles the epochs of the run. [`Continue`](Retrain::Continue)
/// costs one more pass over the validation rows in each of its epochs.
///
/// # Source
/// Goodfellow, Bengio and Courville 2016, *Deep Learning*, MIT Press, section 7.8, algorithms 7.2 and 7.3; Prechelt
/// 1998, doi:10.1007/3-540-49430-8_3.
///
/// ```
/// use candle_ensemble::{strategy::Bagging, train::{EarlyStopping, Retrain, Trainer}};
///
/// let rule = EarlyStopping { then: Retrain::FromScratch, ..EarlyStopping::default() };
/// let trainer = Trainer::new(|vb| candle_nn::linear(2, 2, vb)).epochs(200).early_stopping(rule);
/// let strategy = Bagging::new(10).validation(0.1);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Retrain {
    /// The member is the network that early stopping returns.
    #[default]
    No,
    /// The network is trained again from its initial weights, on training and validation rows together, for as many
    /// epochs as the best network had.
    FromScratch,
    /// The best network is trained on, on training and validation rows together, until its loss on the validation rows
    /// is below the training loss of the best epoch.
    Continue {
        /// The largest number of further epochs, at least 1.
        epochs: usize,
    },
}

impl Retrain {
    pub(crate) fn check(self) -> Result<()> {
        match self {
            Self::Continue { epochs: 0 } => Err(Error::invalid("Retrain::Continue::epochs", "at least 1", 0)),
            _ => Ok(()),
        }
    }

    /// The largest number of epochs of the second training, if the first has `epochs`.
    pub(crate) fn max_epochs(self, epochs: usize) -> usize {
        match self {
            Self::No => 0,
            Self::FromScratch => epochs,
            Self::Continue { epochs } => epochs,
        }
    }
}
