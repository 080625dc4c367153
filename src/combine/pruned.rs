//! Combiners of some of the slots.
use crate::{
    combine::{check_fitted_on, forward, FittedCombiner, FittedOn},
    predictions::Predictions,
    Error, HeldOut, Result,
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
    on: FittedOn,
    fitted: H,
}

impl<H: FittedCombiner> FittedPruned<H> {
    /// Creates a combiner from one that was fitted to the slots `kept` of `held_out`.
    pub(crate) fn new(kept: Vec<usize>, held_out: &HeldOut, fitted: H) -> Self {
        let on = FittedOn::new(held_out);
        // A mean of the kept slots is a weighted mean of all slots.
        let mean = fitted.is_mean().then(|| vec![1. / kept.len() as f64; kept.len()]);
        let weights = fitted.weights().map(<[f64]>::to_vec).or(mean).map(|of_kept| {
            let mut weights = vec![0.; on.slots()];
            kept.iter().zip(of_kept).for_each(|(slot, w)| weights[*slot] = w);
            weights
        });
        Self { kept, weights, on, fitted }
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

    fn fitted_on(&self) -> Option<&FittedOn> {
        Some(&self.on)
    }

    fn check(&self) -> Result<()> {
        let slots = self.on.slots();
        self.on.check(slots)?;
        let increasing = self.kept.is_sorted_by(|a, b| a < b);
        if self.kept.is_empty() || !increasing || self.kept.iter().any(|slot| *slot >= slots) {
            let must = format!("increasing slots below {slots}, at least one");
            return Err(Error::invalid("the slots kept", must, format!("{:?}", self.kept)));
        }
        match &self.weights {
            Some(weights) if weights.len() != slots => {
                let must = format!("{slots}, one for each slot");
                Err(Error::invalid("number of weights", must, weights.len()))
            }
            _ => self.fitted.check(),
        }
    }

    fn combine(&self, predictions: &Predictions) -> CandleResult<Tensor> {
        check_fitted_on(self, predictions)?;
        let predicted = self.fitted.combine(&predictions.select_slots(&self.kept)?)?;
        predictions.or_mean(predicted, &self.kept)
    }
}
