//! Whether networks can be merged: the same names, shapes and types, known before any number is read.
use crate::{
    merge::methods::sources::is_merged,
    weights::compatibility::{differences, list, refuse_differences, Kind, Kinds},
    Error, Result,
};
use safetensors::Dtype;

/// What is merged, each with what errors call it.
pub(crate) struct Family<'a> {
    pub(crate) networks: Vec<(&'a str, Kinds)>,
    pub(crate) base: Option<(&'a str, Kinds)>,
    pub(crate) fishers: Vec<(&'a str, Kinds)>,
}

impl Family<'_> {
    /// The networks and the base must be alike in everything, and the Fisher diagonals in the names and shapes of what
    /// is merged.
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
                        format!("{name} is {it} in place of numbers {:?}", kind.shape)
                    }
                    Some(_) => continue,
                };
                found.push(format!("{label}: {wrong}"));
            }
        }
        refuse_differences(&found)?;
        let packed = |(name, kind): (&String, &Kind)| {
            (!is_merged(kind.dtype) && !is_copied(kind.dtype)).then(|| format!("{name} is {}", kind.dtype))
        };
        let packed: Vec<_> = model.iter().filter_map(packed).collect();
        if !packed.is_empty() {
            let must = "of floating-point numbers of 16 bits or more, or integers";
            return Err(Error::invalid("the networks' tensors", must, format!("not: {}", list(&packed))));
        }
        Ok(())
    }
}

/// Integers and truth values: counters, masks and positions, of which there is no mean.
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

    fn predicted(networks: Vec<(&str, Kinds)>, base: Option<Kinds>, fishers: Vec<Kinds>) -> String {
        let fishers = fishers.into_iter().map(|h| ("fisher", h)).collect();
        let family = Family { networks, base: base.map(|h| ("base", h)), fishers };
        family.check().map_or_else(|e| e.to_string(), |()| String::new())
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
            predicted(
                vec![("x", model.clone()), ("y", model.clone())],
                Some(model.clone()),
                vec![model.clone()]
            ),
            ""
        );
        let e = predicted(vec![("x", model.clone()), ("y", other.clone())], Some(other.clone()), vec![]);
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
        // Of a Fisher diagonal neither integers are asked for nor the same type.
        let fisher = kinds(&[("a", Dtype::F32, &[2]), ("b", Dtype::BF16, &[3]), ("c", Dtype::F64, &[1])]);
        assert_eq!(predicted(vec![("x", model.clone())], None, vec![fisher]), "");
        let e = predicted(vec![("x", model)], None, vec![other]);
        assert!(e.contains("fisher: a is f32 [2, 1] in place of numbers [2]; fisher: c is missing"), "{e}");
        assert!(!e.contains(": b"), "{e}");
    }

    #[test]
    fn packed_numbers_are_refused() {
        let packed = kinds(&[("q", Dtype::F8_E4M3, &[4]), ("n", Dtype::BOOL, &[1])]);
        let e = predicted(vec![("x", packed)], None, vec![]);
        assert!(e.ends_with("but is not: q is F8_E4M3"), "{e}");
    }
}
