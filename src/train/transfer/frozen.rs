//! The frozen variables of a network in training.
use crate::{
    train::TrainConfig,
    weights::{compatibility::is_statistic, Vars},
    Result,
};
use candle_core::{backprop::GradStore, Result as CandleResult, Tensor, Var};
use std::collections::{BTreeMap, BTreeSet};

/// The variables of a network that are frozen in some epochs.
#[derive(Debug)]
pub(crate) struct Freezing {
    /// The names of those that are frozen at the beginning.
    names: BTreeSet<String>,
    /// The epochs from which some of them are trained.
    until: BTreeMap<String, usize>,
}

impl Freezing {
    /// What a configuration says of the variables of a network.
    pub(crate) fn new(config: &TrainConfig, vars: &Vars) -> Result<Self> {
        let names = config.freeze.names(vars)?;
        let until = config.unfreeze.epochs(&names, vars)?;
        Ok(Self { names, until })
    }

    /// These variables too, in all epochs.
    pub(crate) fn and(mut self, names: impl IntoIterator<Item = String>) -> Self {
        for name in names {
            self.until.remove(&name);
            self.names.insert(name);
        }
        self
    }

    /// The variables of these names, in all epochs.
    pub(crate) fn always(names: BTreeSet<String>) -> Self {
        Self { names, until: BTreeMap::new() }
    }

    /// Whether the choice changes from epoch to epoch.
    pub(crate) fn changes(&self) -> bool {
        !self.until.is_empty()
    }

    /// The names of those that are frozen in an epoch.
    pub(crate) fn at(&self, epoch: usize) -> BTreeSet<String> {
        let is_frozen = |name: &&String| self.until.get(*name).is_none_or(|until| epoch < *until);
        self.names.iter().filter(is_frozen).cloned().collect()
    }

    /// The variables that are trained in some epoch.
    pub(crate) fn ever_trained(&self, vars: &Vars) -> Vec<(String, Var)> {
        let is_trained =
            |(name, _): &(String, Var)| !self.names.contains(name) || self.until.contains_key(name);
        vars.named().into_iter().filter(is_trained).collect()
    }
}

/// The variables of a network that are frozen now. The forward pass in training changes running statistics, so those are
/// kept to be put back.
#[derive(Debug, Default)]
pub(crate) struct Frozen {
    names: BTreeSet<String>,
    vars: Vec<Var>,
    statistics: Vec<(Var, Tensor)>,
}

impl Frozen {
    /// The variables of these names, as they are now.
    pub(crate) fn new(names: BTreeSet<String>, vars: &Vars) -> Result<Self> {
        let mut frozen = Self { names, ..Self::default() };
        for (name, var) in vars.named().into_iter().filter(|(name, _)| frozen.names.contains(name)) {
            if is_statistic(&name) {
                let value = var.as_tensor().copy()?.detach();
                frozen.statistics.push((var, value));
            } else {
                frozen.vars.push(var);
            }
        }
        Ok(frozen)
    }

    pub(crate) fn names(&self) -> &BTreeSet<String> {
        &self.names
    }

    pub(crate) fn contains(&self, name: &str) -> bool {
        self.names.contains(name)
    }

    /// The other variables, which are trained.
    pub(crate) fn others(&self, vars: &Vars) -> Vec<(String, Var)> {
        vars.named().into_iter().filter(|(name, _)| !self.contains(name)).collect()
    }

    /// Removes the gradients of the variables, which there are where a network tracks operations on them.
    pub(crate) fn remove_from(&self, gradients: &mut GradStore) {
        self.vars.iter().for_each(|var| drop(gradients.remove(var)));
    }

    /// Puts the running statistics back. Call it after the steps of an epoch, before anything reads them.
    pub(crate) fn restore_statistics(&self) -> CandleResult<()> {
        self.statistics.iter().try_for_each(|(var, value)| var.set(value))
    }
}
