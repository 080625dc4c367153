//! Whether networks can be merged: the same names, shapes and types, known before any number is read.
use super::sources::is_merged;
use crate::{Error, Result};
use safetensors::Dtype;
use std::collections::BTreeMap;

/// Differences that an error lists; it counts the others.
const LISTED: usize = 20;

/// What is known of a tensor without its numbers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) dtype: Dtype,
    pub(super) shape: Vec<usize>,
}

/// Headers by name.
pub(super) type Headers = BTreeMap<String, Header>;

/// What is merged, each with what errors call it.
pub(super) struct Family<'a> {
    pub(super) networks: Vec<(&'a str, Headers)>,
    pub(super) base: Option<(&'a str, Headers)>,
    pub(super) fishers: Vec<(&'a str, Headers)>,
}

impl Family<'_> {
    /// The networks and the base must be alike in everything, and the Fisher diagonals in the names and shapes of what
    /// is merged.
    pub(super) fn check(&self) -> Result<()> {
        let Some(((_, model), others)) = self.networks.split_first() else { return Ok(()) };
        let mut found = vec![];
        for (label, other) in others.iter().chain(&self.base) {
            found.extend(differences(model, other).into_iter().map(|what| format!("{label}: {what}")));
        }
        for (label, fisher) in &self.fishers {
            let merged = model.iter().filter(|(_, header)| is_merged(header.dtype));
            for (name, header) in merged {
                let wrong = match fisher.get(name) {
                    None => format!("{name} is missing"),
                    Some(it) if it.shape != header.shape || !is_merged(it.dtype) => {
                        format!("{name} is {} in place of numbers {:?}", say(it), header.shape)
                    }
                    Some(_) => continue,
                };
                found.push(format!("{label}: {wrong}"));
            }
        }
        if !found.is_empty() {
            let must = "alike in the names, shapes and dtypes of their tensors";
            return Err(Error::invalid("the networks", must, format!("not: {}", list(&found))));
        }
        let packed = |(name, header): (&String, &Header)| {
            (!is_merged(header.dtype) && !is_copied(header.dtype))
                .then(|| format!("{name} is {}", header.dtype))
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

fn say(header: &Header) -> String {
    format!("{} {:?}", header.dtype, header.shape)
}

/// How `other` differs from `model`.
fn differences(model: &Headers, other: &Headers) -> Vec<String> {
    let here = model.iter().filter_map(|(name, header)| match other.get(name) {
        None => Some(format!("{name} is missing")),
        Some(it) if it != header => Some(format!("{name} is {} in place of {}", say(it), say(header))),
        Some(_) => None,
    });
    let beyond = other.keys().filter(|name| !model.contains_key(*name));
    here.chain(beyond.map(|name| format!("{name} is not of this model"))).collect()
}

/// The differences in one line of bounded length.
fn list(differences: &[String]) -> String {
    let shown = differences.iter().take(LISTED).cloned().collect::<Vec<_>>().join("; ");
    match differences.len().saturating_sub(LISTED) {
        0 => shown,
        more => format!("{shown}; and {more} more"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(parts: &[(&str, Dtype, &[usize])]) -> Headers {
        let header = |(name, dtype, shape): &(&str, Dtype, &[usize])| {
            ((*name).to_string(), Header { dtype: *dtype, shape: shape.to_vec() })
        };
        parts.iter().map(header).collect()
    }

    fn said(networks: Vec<(&str, Headers)>, base: Option<Headers>, fishers: Vec<Headers>) -> String {
        let fishers = fishers.into_iter().map(|h| ("fisher", h)).collect();
        let family = Family { networks, base: base.map(|h| ("base", h)), fishers };
        family.check().map_or_else(|e| e.to_string(), |()| String::new())
    }

    #[test]
    fn every_difference_is_listed_with_its_network_and_name() {
        let model = headers(&[
            ("a", Dtype::F32, &[2]),
            ("b", Dtype::F32, &[3]),
            ("c", Dtype::F32, &[1]),
            ("n", Dtype::I64, &[]),
        ]);
        let other = headers(&[
            ("a", Dtype::F32, &[2, 1]),
            ("b", Dtype::F16, &[3]),
            ("d", Dtype::F32, &[1]),
            ("n", Dtype::I64, &[]),
        ]);
        assert_eq!(
            said(vec![("x", model.clone()), ("y", model.clone())], Some(model.clone()), vec![model.clone()]),
            ""
        );
        let e = said(vec![("x", model.clone()), ("y", other.clone())], Some(other.clone()), vec![]);
        for label in ["y", "base"] {
            for part in [
                "a is F32 [2, 1] in place of F32 [2]",
                "b is F16 [3] in place of F32 [3]",
                "c is missing",
                "d is not of",
            ] {
                assert!(e.contains(&format!("{label}: {part}")), "{e}");
            }
        }
        // Of a Fisher diagonal neither integers are asked for nor the same type.
        let fisher = headers(&[("a", Dtype::F32, &[2]), ("b", Dtype::BF16, &[3]), ("c", Dtype::F64, &[1])]);
        assert_eq!(said(vec![("x", model.clone())], None, vec![fisher]), "");
        let e = said(vec![("x", model)], None, vec![other]);
        assert!(e.contains("fisher: a is F32 [2, 1] in place of numbers [2]; fisher: c is missing"), "{e}");
        assert!(!e.contains(": b"), "{e}");
    }

    #[test]
    fn a_long_list_is_cut_and_packed_numbers_are_refused() {
        let names: Vec<String> = (0..100).map(|i| format!("t{i:03}")).collect();
        let many = headers(&names.iter().map(|n| (n.as_str(), Dtype::F32, &[1][..])).collect::<Vec<_>>());
        let e = said(vec![("x", many), ("y", Headers::new())], None, vec![]);
        assert!(e.contains("t019 is missing; and 80 more"), "{e}");
        let packed = headers(&[("q", Dtype::F8_E4M3, &[4]), ("n", Dtype::BOOL, &[1])]);
        let e = said(vec![("x", packed)], None, vec![]);
        assert!(e.ends_with("but is not: q is F8_E4M3"), "{e}");
    }
}
