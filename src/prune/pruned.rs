//! Pruning as a part of a rule.
use crate::{
    combine::{Combiner, Fit, FittedCombiner},
    network::Scale,
    predictions::Predictions,
    prune::Prune,
    Error, HeldOut, Result,
};
use candle_core::{Result as CandleResult, Tensor};
use serde::{Deserialize, Serialize};

/// First prunes, then fits a rule to what is kept, on the same rows. Judged as one, so that choosing members counts as
/// fitting.
#[derive(Clone, Debug)]
pub struct Pruned<P, C> {
    prune: P,
    rule: C,
}

impl<P: Prune, C: Combiner> Pruned<P, C> {
    /// This rule on what this pruning keeps.
    pub fn new(prune: P, rule: C) -> Self {
        Self { prune, rule }
    }
}

/// [`Pruned`], fitted.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FittedPruned<H> {
    kept: Vec<usize>,
    /// Of the slots kept and, 0, of the others.
    weights: Option<Vec<f64>>,
    slots: usize,
    fitted: H,
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

impl<P: Prune, C: Combiner> Combiner for Pruned<P, C> {
    type Fitted = FittedPruned<C::Fitted>;

    fn fit(&self, held_out: &HeldOut) -> Result<Self::Fitted> {
        let (kept, slots) = (self.prune.keep(held_out)?, held_out.predictions().slots());
        let some = held_out.select_slots(&kept)?;
        let fitted = self.rule.fit(&some)?;
        let weights = fitted.weights().map(|of_kept| {
            let mut weights = vec![0.; slots];
            kept.iter().zip(of_kept).for_each(|(slot, w)| weights[*slot] = *w);
            weights
        });
        Ok(FittedPruned { kept, weights, slots, fitted })
    }

    fn needs_inputs(&self) -> bool {
        self.prune.needs_inputs() || self.rule.needs_inputs()
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
            candle_core::bail!("pruned from {} predictions, not {}", self.slots, predictions.slots());
        }
        let predicted = self.fitted.combine(&predictions.select_slots(&self.kept)?)?;
        predictions.or_mean(predicted, &self.kept)
    }
}
