//! The weights of a network out of a checkpoint: which tensor is which variable.
use crate::{
    plan::Settings,
    train::{
        signature::{requested, Requested},
        Learner,
    },
    weights::{
        compatibility::{list, prefix_hint},
        finite::first_non_finite,
        fresh,
        members::has_entries,
        StateDict, Weights,
    },
    Error, Result, Seed,
};
use candle_core::{Device, Tensor};
use candle_nn::Init;
use std::{collections::BTreeSet, fmt};

/// How the names of PyTorch's counters of batches end, which batch-norm in candle has no use for.
const COUNTER: &str = "num_batches_tracked";

/// What did not match when weights were loaded. Both lists are empty after a strict load
/// ([`PretrainedMember::strict`](crate::PretrainedMember::strict)).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LoadReport {
    /// The float variables of the network without a tensor, which have the values that the constructor gives them.
    pub missing: Vec<String>,
    /// The tensors without a variable, which are not used.
    pub unexpected: Vec<String>,
}

impl LoadReport {
    /// Whether every float variable got a tensor, and every tensor was used.
    #[must_use]
    pub fn is_exact(&self) -> bool {
        self.missing.is_empty() && self.unexpected.is_empty()
    }

    fn differences(&self) -> impl Iterator<Item = String> {
        let missing = self.missing.iter().map(|name| format!("{name} is missing"));
        missing.chain(self.unexpected.iter().map(|name| format!("{name} is not of this network")))
    }
}

impl fmt::Display for LoadReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.is_exact() {
            true => f.write_str("all names match"),
            false => f.write_str(&list(&self.differences().collect::<Vec<_>>())),
        }
    }
}

/// The weights of a network from a source.
pub(super) struct Load<'l, L> {
    pub(super) learner: &'l L,
    pub(super) architecture: &'l str,
    pub(super) settings: &'l Settings,
    pub(super) from: &'l StateDict,
    pub(super) strict: bool,
    pub(super) seed: Seed,
}

impl<L: Learner> Load<'_, L> {
    /// Reads the weights, all of which fit the network, and says what had no counterpart.
    pub(super) fn run(&self) -> Result<(Weights, LoadReport)> {
        let mut requested = requested(self.learner, self.architecture, self.settings, &Device::Cpu)?;
        self.keep_members(&mut requested);
        let (mut report, mut differences, mut found) = (LoadReport::default(), vec![], vec![]);
        for (name, (dtype, shape, init)) in &requested {
            match self.from.shape(name) {
                None if dtype.is_float() => report.missing.push(name.clone()),
                None => {}
                Some(dims) if dims == shape.dims() && self.from.dtype(name) == Some(*dtype) => {
                    found.push((name, init));
                }
                Some(dims) => {
                    let must = format!("{} {:?}", dtype.as_str(), shape.dims());
                    let floats = [Some(*dtype), self.from.dtype(name)];
                    let castable = floats.iter().all(|dtype| dtype.is_some_and(|dtype| dtype.is_float()));
                    let hint = match castable && dims == shape.dims() {
                        true => " (StateDict::to_dtype converts floats)",
                        false => "",
                    };
                    differences.push(format!("{name} is {} in place of {must}{hint}", self.from.kind(name)));
                }
            }
        }
        let unexpected =
            self.from.names().filter(|name| !requested.contains_key(*name) && !name.ends_with(COUNTER));
        report.unexpected = unexpected.map(Into::into).collect();
        if self.strict || found.is_empty() {
            differences.extend(report.differences());
        }
        if !differences.is_empty() {
            return Err(self.incompatible(&report, &differences));
        }
        let mut weights = found
            .into_iter()
            .map(|(name, init)| Ok((name.clone(), self.finite(name, *init)?)))
            .collect::<Result<Weights>>()?;
        if weights.len() < requested.len() {
            let mut constructed = self.constructed()?;
            constructed.retain(|name, _| !weights.contains_key(name));
            weights.append(&mut constructed);
        }
        Ok((weights, report))
    }

    /// Asks for as many members as the weights have, where they are fewer than the constructor makes: those of a pool that
    /// [`Pool::select_slots`](crate::Pool::select_slots) has pruned. The constructor sees the number when it gets the weights.
    fn keep_members(&self, requested: &mut Requested) {
        let of_weights = |name: &String| self.from.shape(name)?.first().copied();
        let counts: BTreeSet<usize> =
            requested.keys().filter(|name| has_entries(name)).filter_map(of_weights).collect();
        let (Some(&count), 1) = (counts.first(), counts.len()) else { return };
        for (_, (_, shape, _)) in requested.iter_mut().filter(|(name, _)| has_entries(name)) {
            let mut dims = shape.dims().to_vec();
            if let Some(members) = dims.first_mut().filter(|members| count > 0 && **members > count) {
                *members = count;
                *shape = dims.into();
            }
        }
    }

    /// A tensor, which is finite unless the constructor sets the variable to infinity itself.
    fn finite(&self, name: &str, init: Init) -> Result<Tensor> {
        let tensor = self.from.tensor(name)?;
        match first_non_finite(&tensor)? {
            Some(found) if !matches!(init, Init::Const(value) if !value.is_finite()) => {
                let what = format!("{name}{:?} of {}", found.position, self.from.origin());
                Err(Error::invalid(what, "finite", found.value))
            }
            _ => Ok(tensor),
        }
    }

    /// The weights that the constructor gives the network.
    fn constructed(&self) -> Result<Weights> {
        let (learner, init) = (self.learner, self.learner.init(self.settings)?);
        let (vars, vb) = fresh(self.seed, init, learner.dtype(), &Device::Cpu);
        learner.build(self.architecture, self.settings, vb)?;
        Ok(vars.snapshot()?)
    }

    fn incompatible(&self, report: &LoadReport, differences: &[String]) -> Error {
        let mut why = list(differences);
        if let Some(hint) = prefix_hint(&report.missing, &report.unexpected) {
            why = format!("{why}; {hint}");
        }
        Error::Incompatible {
            what: format!("the network {:?} and the weights of {}", self.architecture, self.from.origin()),
            why,
        }
    }
}
