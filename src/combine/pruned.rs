//! Combiners of some of the slots.
use crate::{
    combine::{Fit, FittedCombiner},
    network::Scale,
    predictions::Predictions,
};
use candle_core::{Result as CandleResult, Tensor};
use serde::{Deserialize, Serialize};

/// A combiner that was fitted on some of the slots: [`Pruned`](crate::prune::Pruned), fitted.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FittedPruned<H> {
    kept: Vec<usize>,
    /// Of the slots kept and, 0, of the others.
    weights: Option<Vec<f64>>,
    slots: usize,
    fitted: H,
}

impl<H: FittedCombiner> FittedPruned<H> {
    /// A combiner that was fitted on the slots `kept` of `slots`.
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
    /// The slots kept.
    #[must_use]
    pub fn kept(&self) -> &[usize] {
        &self.kept
    }

    /// The rule, for the slots kept alone.
    pub fn rule(&self) -> &H {
        &self.fitted
    }
}

impl<H: FittedCombiner> FittedCombiner for FittedPruned<H> {
    fn name(&self) -> String {
        format!("pruned, {}", self.fitted.name())
    }

    fn scale(&self) -> Scale {
        self.fitted.scale()
    }

    fn weights(&self) -> Option<&[f64]> {
        self.weights.as_deref()
    }

    fn fitted(&self) -> Option<&Fit> {
        self.fitted.fitted()
    }

    fn needs_inputs(&self) -> bool {
        self.fitted.needs_inputs()
    }

    fn combine(&self, predictions: &Predictions) -> CandleResult<Tensor> {
        if predictions.slots() != self.slots {
            candle_core::bail!("pruned from {} predictions, not {}", self.slots, predictions.slots());
        }
        let predicted = self.fitted.combine(&predictions.select_slots(&self.kept)?)?;
        predictions.or_mean(predicted, &self.kept)
    }
}
