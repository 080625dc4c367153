//! Several parameter groups.
use crate::{
    train::{list::list_of, ParameterGroup},
    weights::{compatibility::is_statistic, Vars},
    Error, Result,
};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

list_of! {
    /// A list of [`ParameterGroup`]s: a variable belongs to the first group that it matches. An empty list, the default,
    /// costs nothing.
    ///
    /// ```
    /// use candle_ensemble::train::{ParameterGroup, ParameterGroups};
    ///
    /// let list = ParameterGroups::parse("group:head.*:10,group:all:schedule=linear/0.1")?;
    /// assert_eq!(list[0], ParameterGroup::names(["head.*"]).factor(10.));
    /// assert_eq!(list.to_string(), "group:head.*:10,group:all:schedule=linear/0.1");
    /// # Ok::<(), candle_ensemble::Error>(())
    /// ```
    ParameterGroups, ParameterGroup
}

impl ParameterGroups {
    /// The same groups with the schedule of the trainer, for tests that train for a few steps.
    pub(crate) fn without_schedules(&self) -> Self {
        self.iter().map(|group| ParameterGroup { schedule: None, ..group.clone() }).collect()
    }

    /// The same groups with the weight decay of the optimizer.
    pub(crate) fn without_weight_decays(&self) -> Self {
        self.iter().map(|group| ParameterGroup { weight_decay: None, ..group.clone() }).collect()
    }

    /// The numbers of the groups of a network's variables, from 1 on, by name. Variables of no group are left out.
    ///
    /// # Errors
    /// When a pattern matches no variable, or the groups before a group have all of its variables.
    pub(crate) fn members(&self, vars: &Vars) -> Result<BTreeMap<String, usize>> {
        let mut vars = vars.named();
        vars.retain(|(name, var)| var.dtype().is_float() && !is_statistic(name));
        for group in self.iter() {
            group.on.check_some(vars.iter().map(|(name, _)| name.as_str()))?;
        }
        let mut members = BTreeMap::new();
        for (at, group) in self.iter().enumerate() {
            let before = members.len();
            for (name, _) in vars.iter().filter(|(name, var)| group.on.matches(name, var.dims())) {
                members.entry(name.clone()).or_insert(at + 1);
            }
            if members.len() == before {
                let must = "an order in which each group is the first to match some variable";
                let was = format!("one in which {group} gets none");
                return Err(Error::invalid("the order of the ParameterGroups", must, was));
            }
        }
        Ok(members)
    }
}
