//! Combiners of some of the slots.
use crate::{
    combine::{forward, FittedCombiner},
    predictions::Predictions,
    Error, Result,
};
use candle_core::{Result as CandleResult, Tensor};
use serde::{Deserialize, Serialize};

/// The fitted [`Pruned`](crate::prune::Pruned): the slots that are kept, and the combiner that was fitted to
/// them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FittedPruned<H> {
    kept: Vec<usize>,
    /// The weights of all slots, where the combiner has weights; 0 for the slots that are not kept.
    weights: Option<Vec<f64>>,
    slots: usize,
    fitted: H,
}

impl<H: FittedCombiner> FittedPruned<H> {
    /// Creates a combiner from one that was fitted to the slots `kept` of `slots`.
    pub(crate) fn new(kept: Vec<usize>, slots: usize, fitted: H) -> Self {
        let weights = fitted.weights().map(|of_kept| {
            let mut weights = vec![0.; slots];
            kept.iter().zip(of_kept).for_each(|(slot, w)| weights[*slot] = *w);
            weights
        });
        Self { kept, weights, slots, fitted }
    }
}

impl<H> FittedPruned<H> {
    /// Returns the slots that are kept.
    #[must_use]
    pub fn kept(&self) -> &[usize] {
        &self.kept
    }

    /// Returns the combiner that is fitted to the kept slots.
    pub fn combiner(&self) -> &H {
        &self.fitted
    }
}

impl<H: FittedCombiner> FittedCombiner for FittedPruned<H> {
    forward!(Self::combiner; scale, fitted, needs_inputs);

    fn name(&self) -> String {
        format!("pruned, {}", self.fitted.name())
    }

    fn weights(&self) -> Option<&[f64]> {
        self.weights.as_deref()
    }

    fn check(&self) -> Result<()> {
        let increasing = self.kept.is_sorted_by(|a, b| a < b);
        if self.kept.is_empty() || !increasing || self.kept.iter().any(|slot| *slot >= self.slots) {
            let must = format!("increasing slots below {}, at least one", self.slots);
            return Err(Error::invalid("the slots kept", must, format!("{:?}", self.kept)));
        }
        match &self.weights {
            Some(weights) if weights.len() != self.slots => {
                let must = format!("{}, one for each slot", self.slots);
                Err(Error::invalid("number of weights", must, weights.len()))
            }
            _ => self.fitted.check(),
        }
    }

    fn combine(&self, predictions: &Predictions) -> CandleResult<Tensor> {
        if predictions.slots() != self.slots {
            let (fitted, slots) = (self.slots, predictions.slots());
            candle_core::bail!("the pruned combiner was fitted on {fitted} predictions, not {slots}");
        }
        let predicted = self.fitted.combine(&predictions.select_slots(&self.kept)?)?;
        predictions.or_mean(predicted, &self.kept)
    }
}
