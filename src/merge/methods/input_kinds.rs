//! The names, shapes and dtypes of what a merge reads, checked before any element is read.
use crate::{
    merge::methods::sources::is_merged,
    weights::compatibility::{differences, list, refuse_differences, Kind, Kinds},
    Error, Result,
};
use safetensors::Dtype;

/// The dtypes and shapes of the inputs of a merge, each with its label for error messages.
pub(crate) struct InputKinds<'a> {
    pub(crate) networks: Vec<(&'a str, Kinds)>,
    pub(crate) base: Option<(&'a str, Kinds)>,
    pub(crate) fishers: Vec<(&'a str, Kinds)>,
    /// The dtype of the floating-point tensors of the result, if it is set. Those of the inputs may then differ.
    pub(crate) to: Option<Dtype>,
}

impl InputKinds<'_> {
    /// Checks that the networks and the base have the same names, shapes and dtypes, and that the Fisher
    /// diagonals have the names and shapes of the tensors that are merged.
    pub(crate) fn check(&self) -> Result<()> {
        let Some(((first, model), others)) = self.networks.split_first() else { return Ok(()) };
        let mut found = vec![];
        for (label, other) in others.iter().chain(&self.base) {
            match (renamed(model, other), renamed(other, model)) {
                (Some(what), _) => found.push(format!("{label}: {what}")),
                (_, Some(what)) => found.push(format!("{first}: {what}")),
                _ => found.extend(self.differences(model, other).map(|what| format!("{label}: {what}"))),
            }
        }
        for (label, fisher) in &self.fishers {
            let merged = model.iter().filter(|(_, kind)| is_merged(kind.dtype));
            for (name, kind) in merged {
                let wrong = match fisher.get(name) {
                    None => format!("{name} is missing"),
                    Some(it) if it.shape != kind.shape || !is_merged(it.dtype) => {
                        format!("{name} is {it} in place of a float of shape {:?}", kind.shape)
                    }
                    Some(_) => continue,
                };
                found.push(format!("{label}: {wrong}"));
            }
        }
        refuse_differences(&found)?;
        let unsupported = |(name, kind): (&String, &Kind)| {
            (!is_merged(kind.dtype) && !is_copied(kind.dtype)).then(|| format!("{kind} in {name}"))
        };
        let unsupported: Vec<_> = model.iter().filter_map(unsupported).collect();
        if !unsupported.is_empty() {
            let must = "f16, bf16, f32, f64 or integers (convert others first, such as fp8)";
            return Err(Error::invalid("the dtypes of the tensors", must, list(&unsupported)));
        }
        Ok(())
    }
}

impl InputKinds<'_> {
    /// The differences of an input from the model, each with what can be done about it.
    fn differences(&self, model: &Kinds, other: &Kinds) -> impl Iterator<Item = String> {
        let cast = |kinds: &Kinds| -> Kinds {
            let cast = |kind: &Kind| Kind {
                dtype: self.to.filter(|_| is_merged(kind.dtype)).unwrap_or(kind.dtype),
                shape: kind.shape.clone(),
            };
            kinds.iter().map(|(name, kind)| (name.clone(), cast(kind))).collect()
        };
        let advice = |what: String| {
            let name = what.split(' ').next().unwrap_or_default();
            let advice = match (model.get(name), other.get(name)) {
                (Some(a), Some(b)) if a.shape == b.shape && is_merged(a.dtype) && is_merged(b.dtype) => {
                    Some("set the dtype of the result to merge both".into())
                }
                (Some(kind), None) => tied_to(kind, other).map(|of| tie_advice(name, of)),
                (None, Some(kind)) => tied_to(kind, model).map(|of| tie_advice(name, of)),
                _ => None,
            };
            advice.map_or(what.clone(), |advice| format!("{what} ({advice})"))
        };
        differences(&cast(model), &cast(other)).into_iter().map(advice).collect::<Vec<_>>().into_iter()
    }
}

fn tie_advice(name: &str, of: &str) -> String {
    format!("if it is tied to {of}, declare it: tied {name}={of}")
}

/// The embedding that a missing matrix may be tied to: of its kind, and named like one.
fn tied_to<'k>(kind: &Kind, tensors: &'k Kinds) -> Option<&'k str> {
    let is_embedding = |name: &str| {
        ["embed", "wte", "shared.weight", "tok_"].iter().any(|part| name.contains(part))
            && kind.shape.len() == 2
    };
    let alike = |other: &Kind| other.shape == kind.shape && is_merged(other.dtype) && is_merged(kind.dtype);
    tensors.iter().find(|(name, other)| alike(other) && is_embedding(name)).map(|(name, _)| name.as_str())
}

/// That all names of `other` are those of the model behind a prefix, as wrappers for training leave them.
fn renamed(model: &Kinds, other: &Kinds) -> Option<String> {
    let (name, first) = (model.keys().next()?, other.keys().next()?);
    let prefix = first.strip_suffix(name.as_str()).filter(|prefix| prefix.ends_with('.'))?;
    let same = other.len() == model.len()
        && other.keys().all(|name| name.strip_prefix(prefix).is_some_and(|name| model.contains_key(name)));
    same.then(|| format!("all its names begin with {prefix} and are the same otherwise; rename its tensors"))
}

/// Whether tensors of this dtype are copied: integers and booleans, such as counters, masks and positions,
/// have no mean.
fn is_copied(dtype: Dtype) -> bool {
    use Dtype::{BOOL, I16, I32, I64, I8, U16, U32, U64, U8};
    matches!(dtype, BOOL | I8 | U8 | I16 | U16 | I32 | U32 | I64 | U64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kinds(parts: &[(&str, Dtype, &[usize])]) -> Kinds {
        let kind = |(name, dtype, shape): &(&str, Dtype, &[usize])| {
            ((*name).to_string(), Kind { dtype: *dtype, shape: shape.to_vec() })
        };
        parts.iter().map(kind).collect()
    }

    fn check_error(networks: Vec<(&str, Kinds)>, base: Option<Kinds>, fishers: Vec<Kinds>) -> String {
        let fishers = fishers.into_iter().map(|h| ("fisher", h)).collect();
        let kinds = InputKinds { networks, base: base.map(|h| ("base", h)), fishers, to: None };
        kinds.check().map_or_else(|e| e.to_string(), |()| String::new())
    }

    #[test]
    fn every_difference_is_listed_with_its_network_and_name() {
        let model = kinds(&[
            ("a", Dtype::F32, &[2]),
            ("b", Dtype::F32, &[3]),
            ("c", Dtype::F32, &[1]),
            ("n", Dtype::I64, &[]),
        ]);
        let other = kinds(&[
            ("a", Dtype::F32, &[2, 1]),
            ("b", Dtype::F16, &[3]),
            ("d", Dtype::F32, &[1]),
            ("n", Dtype::I64, &[]),
        ]);
        assert_eq!(
            check_error(
                vec![("x", model.clone()), ("y", model.clone())],
                Some(model.clone()),
                vec![model.clone()]
            ),
            ""
        );
        let e = check_error(vec![("x", model.clone()), ("y", other.clone())], Some(other.clone()), vec![]);
        for label in ["y", "base"] {
            for part in [
                "a is f32 [2, 1] in place of f32 [2]",
                "b is f16 [3] in place of f32 [3]",
                "c is missing",
                "d is not of",
            ] {
                assert!(e.contains(&format!("{label}: {part}")), "{e}");
            }
        }
        // A Fisher diagonal needs neither integer tensors nor the same dtypes.
        let fisher = kinds(&[("a", Dtype::F32, &[2]), ("b", Dtype::BF16, &[3]), ("c", Dtype::F64, &[1])]);
        assert_eq!(check_error(vec![("x", model.clone())], None, vec![fisher]), "");
        let e = check_error(vec![("x", model)], None, vec![other]);
        assert!(
            e.contains("fisher: a is f32 [2, 1] in place of a float of shape [2]; fisher: c is missing"),
            "{e}"
        );
        assert!(!e.contains(": b"), "{e}");
    }

    #[test]
    fn packed_dtypes_are_refused() {
        let packed = kinds(&[("q", Dtype::F8_E4M3, &[4]), ("n", Dtype::BOOL, &[1])]);
        let e = check_error(vec![("x", packed)], None, vec![]);
        assert!(e.ends_with("but is f8_e4m3 [4] in q"), "{e}");
    }
}
