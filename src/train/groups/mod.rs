//! Parameter groups: learning rates, weight decays and schedules of parts of a network.
mod group;
mod layer_decay;
mod list;
#[cfg(test)]
mod tests;

pub use group::{GroupRate, ParameterGroup};
pub use layer_decay::LayerDecay;
pub use list::ParameterGroups;

use crate::{train::TrainConfig, weights::Vars, Result};
use std::collections::BTreeMap;

/// What a configuration says of the learning rate and the weight decay of one variable.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Place {
    /// The number of its group, from 1 on; 0 for a variable of none.
    pub(crate) group: usize,
    /// The factor on the learning rate of its group.
    pub(crate) factor: f64,
    /// The weight decay in place of that of the optimizer.
    pub(crate) weight_decay: Option<f64>,
}

/// The places of a network's variables, by name. `None` where the configuration has no groups and no layer-wise decay.
///
/// # Errors
/// When a pattern matches no variable, a group gets none, or a variable is in no block.
pub(crate) fn places(config: &TrainConfig, vars: &Vars) -> Result<Option<BTreeMap<String, Place>>> {
    let (groups, decay) = (&config.parameter_groups, &config.layer_decay);
    if groups.is_empty() && decay.is_none() {
        return Ok(None);
    }
    let members = groups.members(vars)?;
    let factors = decay.as_ref().map(|decay| decay.factors(vars)).transpose()?.unwrap_or_default();
    let place = |name: String| {
        let group = members.get(&name).copied().unwrap_or(0);
        let weight_decay = group.checked_sub(1).and_then(|at| groups.get(at)?.weight_decay);
        let place = Place { group, factor: factors.get(&name).copied().unwrap_or(1.), weight_decay };
        (name, place)
    };
    Ok(Some(vars.named().into_iter().map(|(name, _)| place(name)).collect()))
}
