//! Pruning as a part of a combiner.
use crate::{
    combine::{Combiner, Fit, FittedCombiner},
    network::Scale,
    predictions::Predictions,
    prune::Prune,
    Error, HeldOut, Result,
};
use candle_core::{Result as CandleResult, Tensor};
use serde::{Deserialize, Serialize};

/// Prunes the members and then fits a combiner to those that are kept, on the same rows.
///
/// ```text
/// f(p_k, k ∈ keep(p))
/// ```
///
/// It learns from held-out predictions `(S, R, C)` (slots, rows, classes or outputs). As a single combiner it can be
/// scored by [`HeldOut::judge`], where the choice of members counts as fitting. A row that no kept member predicts gets
/// the mean of the other members' predictions. An ensemble with it still evaluates all members;
/// [`Pool::prune`](crate::Pool::prune) removes them.
///
/// The cost is that of the pruning and one fit of the combiner.
///
/// # Errors
/// [`Combiner::fit`] fails when the pruning or the combiner fails.
///
/// # Examples
/// ```
/// use candle_core::{Device, Tensor};
/// use candle_ensemble::{combine::*, data::Task, predictions::*, prune::*, HeldOut};
///
/// let y = Tensor::arange(0f64, 6., &Device::Cpu)?.reshape((6, 1))?;
/// let predicted = Tensor::stack(&[(&y * 9.)?, (&y + 1.)?, (&y - 1.)?], 0)?;
/// let held_out = HeldOut::from_predictions(&Predictions::new(predicted, Task::Regression { outputs: 1 })?, &y)?;
/// let fitted = Pruned::new(Ordered::reduce_error(), Mean).fit(&held_out)?;
/// assert_eq!(fitted.kept(), [1, 2]);
/// # Ok::<(), candle_ensemble::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Pruned<P, C> {
    prune: P,
    combiner: C,
}

impl<P: Prune, C: Combiner> Pruned<P, C> {
    /// Creates a combiner that fits `combiner` to the slots that `prune` keeps.
    pub fn new(prune: P, combiner: C) -> Self {
        Self { prune, combiner }
    }
}

/// The fitted [`Pruned`]: the slots kept, and the combiner fitted to them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FittedPruned<H> {
    kept: Vec<usize>,
    /// The weights of all slots, where the combiner has weights; 0 for the slots that are not kept.
    weights: Option<Vec<f64>>,
    slots: usize,
    fitted: H,
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

impl<P: Prune, C: Combiner> Combiner for Pruned<P, C> {
    type Fitted = FittedPruned<C::Fitted>;

    fn fit(&self, held_out: &HeldOut) -> Result<Self::Fitted> {
        let (kept, slots) = (self.prune.keep(held_out)?, held_out.predictions().slots());
        let held_out = held_out.select_slots(&kept)?;
        let fitted = self.combiner.fit(&held_out)?;
        let weights = fitted.weights().map(|of_kept| {
            let mut weights = vec![0.; slots];
            kept.iter().zip(of_kept).for_each(|(slot, w)| weights[*slot] = *w);
            weights
        });
        Ok(FittedPruned { kept, weights, slots, fitted })
    }

    fn needs_inputs(&self) -> bool {
        self.prune.needs_inputs() || self.combiner.needs_inputs()
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
            candle_core::bail!(
                "the combiner was fitted on {} predictions, not {}",
                self.slots,
                predictions.slots()
            );
        }
        let predicted = self.fitted.combine(&predictions.select_slots(&self.kept)?)?;
        predictions.or_mean(predicted, &self.kept)
    }
}
