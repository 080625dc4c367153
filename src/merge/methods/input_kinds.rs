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
}

impl InputKinds<'_> {
    /// Checks that the networks and the base have the same names, shapes and dtypes, and that the Fisher
    /// diagonals have the names and shapes of the tensors that are merged.
    pub(crate) fn check(&self) -> Result<()> {
        let Some(((_, model), others)) = self.networks.split_first() else { return Ok(()) };
        let mut found = vec![];
        for (label, other) in others.iter().chain(&self.base) {
            found.extend(differences(model, other).into_iter().map(|what| format!("{label}: {what}")));
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
            (!is_merged(kind.dtype) && !is_copied(kind.dtype)).then(|| format!("{name} is {}", kind.dtype))
        };
        let unsupported: Vec<_> = model.iter().filter_map(unsupported).collect();
        if !unsupported.is_empty() {
            let must = "f16, bf16, f32, f64, or an integer type";
            return Err(Error::invalid("the dtypes of the tensors", must, list(&unsupported)));
        }
        Ok(())
    }
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
        let kinds = InputKinds { networks, base: base.map(|h| ("base", h)), fishers };
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
        assert!(e.ends_with("but is q is F8_E4M3"), "{e}");
    }
}
