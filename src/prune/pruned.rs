//! Pruning as a part of a combiner.
use crate::{
    combine::{Combiner, FittedPruned},
    prune::Prune,
    HeldOut, Result,
};

/// Prunes the members and then fits a combiner to those that are kept, on the same rows.
///
/// ```text
/// f(p_k, k ∈ keep(p))
/// ```
///
/// It learns from held-out predictions `(S, R, C)` (slots, rows, classes or outputs). As a single combiner it
/// can be scored by [`HeldOut::judge`], where the choice of members counts as fitting. A row that no kept
/// member predicts gets the mean of the other members' predictions. An ensemble with it still evaluates all
/// members; [`Pool::prune`](crate::Pool::prune) removes them.
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
/// let predictions = Predictions::new(predicted, Task::Regression { outputs: 1 })?;
/// let held_out = HeldOut::from_predictions(&predictions, &y)?;
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

impl<P: Prune, C: Combiner> Combiner for Pruned<P, C> {
    type Fitted = FittedPruned<C::Fitted>;

    fn fit(&self, held_out: &HeldOut) -> Result<Self::Fitted> {
        let kept = self.prune.keep(held_out)?;
        let fitted = self.combiner.fit(&held_out.select_slots(&kept)?)?;
        Ok(FittedPruned::new(kept, held_out, fitted))
    }

    fn needs_inputs(&self) -> bool {
        self.prune.needs_inputs() || self.combiner.needs_inputs()
    }
}
