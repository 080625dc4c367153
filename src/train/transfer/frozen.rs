//! The frozen variables of a network in training.
use crate::{
    weights::{compatibility::is_statistic, Vars},
    Result,
};
use candle_core::{Result as CandleResult, Tensor, Var};
use std::collections::BTreeSet;

/// The frozen variables of a network. The forward pass in training changes running statistics, so those are
/// kept to be put back.
#[derive(Debug, Default)]
pub(crate) struct Frozen {
    names: BTreeSet<String>,
    statistics: Vec<(Var, Tensor)>,
}

impl Frozen {
    /// The variables of these names, as they are now.
    pub(crate) fn new(names: BTreeSet<String>, vars: &Vars) -> Result<Self> {
        let mut statistics = vec![];
        for (name, var) in vars.named() {
            if is_statistic(&name) && names.contains(&name) {
                let value = var.as_tensor().copy()?.detach();
                statistics.push((var, value));
            }
        }
        Ok(Self { names, statistics })
    }

    pub(crate) fn contains(&self, name: &str) -> bool {
        self.names.contains(name)
    }

    /// The other variables, which are trained.
    pub(crate) fn others(&self, vars: &Vars) -> Vec<(String, Var)> {
        vars.named().into_iter().filter(|(name, _)| !self.contains(name)).collect()
    }

    /// Puts the running statistics back. Call it after the steps of an epoch, before anything reads them.
    pub(crate) fn restore_statistics(&self) -> CandleResult<()> {
        self.statistics.iter().try_for_each(|(var, value)| var.set(value))
    }
}
