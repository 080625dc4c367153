//! The weights of the rows of a data set in memory, one set for each purpose.
use super::TensorDataset;
use crate::{
    data::{values::digest, Purpose},
    Error, Result,
};
use candle_core::{Device, Tensor};

/// The weights of the rows; without those of a purpose all rows count alike for it.
#[derive(Clone, Default)]
pub(in crate::data) struct RowWeights {
    /// In the order of [`Purpose::ALL`].
    weights: [Option<Tensor>; 3],
    digests: [[u8; 32]; 3],
}

impl RowWeights {
    /// The weights for a purpose, `(N,)` of type `f32`.
    pub(in crate::data) fn of(&self, purpose: Purpose) -> Option<&Tensor> {
        self.weights.get(purpose as usize).and_then(Option::as_ref)
    }

    /// Sets the weights for these purposes.
    ///
    /// # Errors
    /// When a weight is negative, infinite or NaN, or all are 0.
    pub(in crate::data) fn set(
        &mut self,
        purposes: &[Purpose],
        weights: Vec<f32>,
        device: &Device,
    ) -> Result<()> {
        if let Some((row, w)) = weights.iter().enumerate().find(|(_, w)| !w.is_finite() || **w < 0.) {
            return Err(Error::invalid(format!("the weight of row {row}"), "finite and not negative", w));
        }
        if weights.iter().all(|&w| w == 0.) {
            return Err(Error::invalid("weights", "above 0 for at least one row", "0 for all"));
        }
        let rows = weights.len();
        let weights = Tensor::from_vec(weights, rows, device)?;
        let digest = digest("weights", &weights)?;
        let places = Purpose::ALL.iter().zip(self.weights.iter_mut().zip(&mut self.digests));
        for (_, (of, own)) in places.filter(|(purpose, _)| purposes.contains(purpose)) {
            (*of, *own) = (Some(weights.clone()), digest);
        }
        Ok(())
    }

    /// A digest of all weights: that of the one set of weights, where all purposes have the same.
    pub(in crate::data) fn digest(&self) -> [u8; 32] {
        match self.digests {
            [first, second, third] if first == second && second == third => first,
            all => *blake3::hash(&all.concat()).as_bytes(),
        }
    }
}

impl TensorDataset {
    /// Sets the weight of each row, for all purposes: training, validation and scoring. A row of weight 2 counts like
    /// two rows.
    ///
    /// # Errors
    /// When there is not one weight for each row, a weight is negative, infinite or NaN, or all are 0.
    pub fn with_weights(self, weights: Vec<f32>) -> Result<Self> {
        self.with_weights_for(&Purpose::ALL, weights)
    }

    /// Sets the weight of each row in the loss of the training. Validation and scoring are not concerned.
    ///
    /// The trainer divides the loss of a batch by the weights of its rows, so they compare the rows of one batch. Where a few
    /// rows have most of the weight, take large batches, or [several for a step](crate::train::Trainer::accumulate).
    ///
    /// # Errors
    /// As [`with_weights`](Self::with_weights).
    pub fn with_training_weights(self, weights: Vec<f32>) -> Result<Self> {
        self.with_weights_for(&[Purpose::Training], weights)
    }

    /// Sets the weight of each row in the loss and the metric of validation rows, which early stopping watches.
    ///
    /// # Errors
    /// As [`with_weights`](Self::with_weights).
    pub fn with_validation_weights(self, weights: Vec<f32>) -> Result<Self> {
        self.with_weights_for(&[Purpose::Validation], weights)
    }

    /// Sets the weight of each row in metrics, in held-out predictions and what combiners learn from them, and in the
    /// losses of merged networks.
    ///
    /// # Errors
    /// As [`with_weights`](Self::with_weights).
    pub fn with_scoring_weights(self, weights: Vec<f32>) -> Result<Self> {
        self.with_weights_for(&[Purpose::Scoring], weights)
    }

    pub(super) fn with_weights_for(mut self, purposes: &[Purpose], weights: Vec<f32>) -> Result<Self> {
        self.check_length("weights", weights.len())?;
        self.weights.set(purposes, weights, self.targets.device())?;
        Ok(self)
    }

    /// The training weights of all rows, `(N,)` of type `f32`, if they were set.
    #[must_use]
    pub fn weights(&self) -> Option<&Tensor> {
        self.weights_for(Purpose::Training)
    }

    /// The weights of all rows for a purpose, `(N,)` of type `f32`, if they were set.
    #[must_use]
    pub fn weights_for(&self, purpose: Purpose) -> Option<&Tensor> {
        self.weights.of(purpose)
    }
}
