//! Errors of names that are not known.
use crate::Error;

pub(super) fn shown(text: &str) -> &str {
    if text.trim().is_empty() {
        "empty"
    } else {
        text
    }
}

pub(super) fn one_of(names: &[&str]) -> String {
    format!("one of {}", names.join(", "))
}

/// The error of a name that is none of `names`, with the nearest of these and the aliases where one is near.
pub(super) fn suggest(what: &str, names: &[&str], aliases: &[&str], got: &str) -> Error {
    let all = names.iter().chain(aliases);
    let near = all
        .map(|name| (strsim::osa_distance(name, got), *name))
        .min()
        .filter(|(d, name)| d * 3 <= name.len());
    let hint = near.map_or_else(String::new, |(_, name)| format!("; did you mean {name}?"));
    Error::invalid(what, one_of(names), format!("{}{hint}", shown(got)))
}
