//! Pruning as a part of a rule.
use crate::{
    combine::{Combiner, FittedPruned},
    prune::Prune,
    Error, HeldOut, Result,
};

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

impl<P: Prune, C: Combiner> Combiner for Pruned<P, C> {
    type Fitted = FittedPruned<C::Fitted>;

    fn fit(&self, held_out: &HeldOut) -> Result<Self::Fitted> {
        let kept = self.prune.keep(held_out)?;
        let fitted = self.rule.fit(&held_out.select_slots(&kept)?)?;
        Ok(FittedPruned::new(kept, held_out.predictions().slots(), fitted))
    }

    fn needs_inputs(&self) -> bool {
        self.prune.needs_inputs() || self.rule.needs_inputs()
    }
}
