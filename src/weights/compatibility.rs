//! Whether networks can be averaged or merged: their tensors need the same names, shapes and dtypes.
use crate::{
    weights::{Vars, Weights},
    Error, Result,
};
use candle_core::{DType, Tensor};
use candle_nn::VarMap;
use safetensors::Dtype;
use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    fmt,
};

/// The most differences that an error lists. It counts the others.
const LISTED: usize = 20;

/// A collection of tensors by name: [`Weights`], a hash map, [`Vars`], or a candle `VarMap`.
///
/// The averages that follow a training ([`Swa`](crate::weights::Swa), [`Ema`](crate::weights::Ema)) accept
/// any of these.
///
/// ```
/// use candle_core::{Device, Tensor};
/// use candle_ensemble::weights::{NamedTensors, Weights};
///
/// let weights = Weights::from([("w".into(), Tensor::zeros((2, 3), candle_core::DType::F32, &Device::Cpu)?)]);
/// let mut elements = 0;
/// weights.each(&mut |_, tensor| Ok(elements += tensor.elem_count()))?;
/// assert_eq!(elements, 6);
/// # Ok::<(), candle_ensemble::Error>(())
/// ```
pub trait NamedTensors: Sync {
    /// Calls `visit` with each name and its tensor, in any order.
    ///
    /// # Errors
    /// The first error that `visit` returns.
    fn each(&self, visit: &mut Visit<'_>) -> Result<()>;
}

/// The function that is called with each tensor.
pub(crate) type Visit<'a> = dyn FnMut(&str, &Tensor) -> Result<()> + Send + 'a;

impl NamedTensors for Weights {
    fn each(&self, visit: &mut Visit<'_>) -> Result<()> {
        self.iter().try_for_each(|(name, tensor)| visit(name, tensor))
    }
}

impl NamedTensors for HashMap<String, Tensor> {
    fn each(&self, visit: &mut Visit<'_>) -> Result<()> {
        self.iter().try_for_each(|(name, tensor)| visit(name, tensor))
    }
}

impl NamedTensors for Vars {
    fn each(&self, visit: &mut Visit<'_>) -> Result<()> {
        self.visit(|name, var| visit(name, var.as_tensor()))
    }
}

impl NamedTensors for VarMap {
    fn each(&self, visit: &mut Visit<'_>) -> Result<()> {
        // A thread that panicked cannot have left the map half changed.
        let vars = self.data().lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        vars.iter().try_for_each(|(name, var)| visit(name, var.as_tensor()))
    }
}

impl<N: NamedTensors + ?Sized> NamedTensors for &N {
    fn each(&self, visit: &mut Visit<'_>) -> Result<()> {
        (**self).each(visit)
    }
}

/// Whether a tensor is a running statistic of batch-norm, which candle keeps among the variables although no
/// gradient reaches it.
pub(crate) fn is_statistic(name: &str) -> bool {
    name.ends_with("running_mean") || name.ends_with("running_var")
}

/// Whether a network has running statistics of batch-norm.
pub(crate) fn has_statistics(weights: &Weights) -> bool {
    weights.keys().any(|name| is_statistic(name))
}

/// Whether tensors of this dtype are averaged. Others are copied.
pub(crate) fn is_averaged(dtype: DType) -> bool {
    matches!(dtype, DType::F16 | DType::BF16 | DType::F32 | DType::F64)
}

/// The dtype and the shape of a tensor, known before any of its elements is read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Kind {
    pub(crate) dtype: Dtype,
    pub(crate) shape: Vec<usize>,
}

impl Kind {
    pub(crate) fn of(tensor: &Tensor) -> Self {
        Self { dtype: tensor.dtype().into(), shape: tensor.dims().to_vec() }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {:?}", self.dtype.to_string().to_lowercase(), self.shape)
    }
}

/// Dtypes and shapes of a network's tensors, by name.
pub(crate) type Kinds = BTreeMap<String, Kind>;

/// The dtypes and shapes of these tensors.
pub(crate) fn kinds<'a>(tensors: impl Iterator<Item = (&'a String, &'a Tensor)>) -> Kinds {
    tensors.map(|(name, tensor)| (name.clone(), Kind::of(tensor))).collect()
}

/// The differences of `other` from a model, one a line.
pub(crate) fn differences(model: &Kinds, other: &Kinds) -> Vec<String> {
    let here = model.iter().filter_map(|(name, kind)| match other.get(name) {
        None => Some(format!("{name} is missing")),
        Some(it) if it != kind => Some(format!("{name} is {it} in place of {kind}")),
        Some(_) => None,
    });
    let beyond = other.keys().filter(|name| !model.contains_key(*name));
    here.chain(beyond.map(|name| format!("{name} is not of this model"))).collect()
}

/// Checks that all networks have the names, shapes and dtypes of the first one.
pub(crate) fn check(networks: &[&Weights]) -> Result<()> {
    let Some((first, others)) = networks.split_first() else {
        return Err(Error::invalid("the number of networks", "at least 1", 0));
    };
    let model = kinds(first.iter());
    let mut found = vec![];
    for (number, network) in others.iter().enumerate() {
        let its = differences(&model, &kinds(network.iter()));
        found.extend(its.into_iter().map(|what| format!("network {}: {what}", number + 1)));
    }
    refuse_differences(&found)
}

/// [`Error::Incompatible`] with the differences, if there are any.
pub(crate) fn refuse_differences(differences: &[String]) -> Result<()> {
    if differences.is_empty() {
        return Ok(());
    }
    Err(Error::Incompatible { what: "the networks".into(), why: list(differences) })
}

/// The differences in one line, of which at most [`LISTED`] are spelled out.
pub(crate) fn list(differences: &[String]) -> String {
    let shown = differences.iter().take(LISTED).cloned().collect::<Vec<_>>().join("; ");
    match differences.len().saturating_sub(LISTED) {
        0 => shown,
        more => format!("{shown}; and {more} more"),
    }
}

/// What to do where all names that a network misses in a checkpoint are there with a prefix, or without one.
pub(crate) fn prefix_hint(missing: &[String], unexpected: &[String]) -> Option<String> {
    let first = missing.first()?;
    let names: BTreeSet<&str> = unexpected.iter().map(String::as_str).collect();
    let has = |name: &str| names.contains(name);
    let longer = unexpected.iter().find_map(|name| {
        let prefix = name.strip_suffix(first.as_str())?;
        missing.iter().all(|name| has(&format!("{prefix}{name}"))).then_some(prefix)
    });
    if let Some(prefix) = longer {
        return Some(format!("the names have a prefix: StateDict::strip_prefix({prefix:?})"));
    }
    let shorter = unexpected.iter().find_map(|name| {
        let prefix = first.strip_suffix(name.as_str())?;
        missing.iter().all(|name| name.strip_prefix(prefix).is_some_and(has)).then_some(prefix)
    });
    shorter.map(|prefix| format!("the names lack a prefix: StateDict::add_prefix({prefix:?})"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::Device;

    #[test]
    fn a_prefix_that_all_names_have_or_lack_is_found() {
        let own = |names: &[&str]| names.iter().map(ToString::to_string).collect::<Vec<_>>();
        let hint = |missing: &[&str], unexpected: &[&str]| prefix_hint(&own(missing), &own(unexpected));
        let longer = hint(&["a.w", "b.w"], &["m.a.w", "m.b.w", "x"]).unwrap();
        assert!(longer.contains("strip_prefix(\"m.\")"), "{longer}");
        let shorter = hint(&["m.a.w", "m.b.w"], &["a.w", "b.w"]).unwrap();
        assert!(shorter.contains("add_prefix(\"m.\")"), "{shorter}");
        assert_eq!(hint(&["a.w", "b.w"], &["m.a.w"]), None);
        assert_eq!(hint(&[], &["m.a.w"]), None);
    }

    fn network(parts: &[(&str, &[usize], DType)]) -> Weights {
        let zeros = |(name, shape, dtype): &(&str, &[usize], DType)| {
            ((*name).to_string(), Tensor::zeros(*shape, *dtype, &Device::Cpu).unwrap())
        };
        parts.iter().map(zeros).collect()
    }

    #[test]
    fn every_difference_is_listed_with_its_network_and_name() {
        let one = network(&[("a", &[2], DType::F32), ("b", &[3], DType::F32), ("c", &[1], DType::F32)]);
        let two = network(&[("a", &[2, 1], DType::F32), ("b", &[3], DType::F16), ("d", &[1], DType::F32)]);
        assert!(check(&[&one, &one, &one.clone()]).is_ok());
        let e = check(&[&one, &one, &two]).unwrap_err().to_string();
        for part in [
            "network 2: a is f32 [2, 1] in place of f32 [2]",
            "network 2: b is f16 [3] in place of f32 [3]",
            "network 2: c is missing",
            "network 2: d is not of this model",
        ] {
            assert!(e.contains(part), "{e}");
        }
        assert!(!e.contains("network 1"), "{e}");
        assert!(check(&[]).is_err());
    }

    #[test]
    fn a_long_list_is_shortened() {
        let many: Weights = (0..5000)
            .map(|i| (format!("layer{i}"), Tensor::zeros(1, DType::F32, &Device::Cpu).unwrap()))
            .collect();
        let e = check(&[&many, &Weights::new()]).unwrap_err().to_string();
        assert!(e.contains("layer0 is missing") && e.contains("and 4980 more") && e.len() < 900, "{e}");
    }
}
