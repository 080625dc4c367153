//! Variables chosen by patterns of their names, or by the number of their layer.
use crate::{
    weights::{compatibility::is_statistic, layers, Layer, Vars},
    Error, Result,
};
use std::collections::BTreeSet;

/// Whether a name matches a pattern, in which `*` stands for any characters and `?` for one.
pub(crate) fn matches(pattern: &str, name: &str) -> bool {
    let (pattern, name): (Vec<char>, Vec<char>) = (pattern.chars().collect(), name.chars().collect());
    let (mut p, mut n) = (0, 0);
    // The last `*`, and the place in the name from which the rest of the pattern is tried.
    let mut star: Option<(usize, usize)> = None;
    while n < name.len() {
        match pattern.get(p) {
            Some('*') => {
                star = Some((p, n));
                p += 1;
            }
            Some(c) if *c == '?' || Some(c) == name.get(n) => {
                p += 1;
                n += 1;
            }
            _ => match star {
                Some((at, from)) => {
                    star = Some((at, from + 1));
                    (p, n) = (at + 1, from + 1);
                }
                None => return false,
            },
        }
    }
    pattern.iter().skip(p).all(|c| *c == '*')
}

/// The names of the variables of float types. Integers are the state of a layer, such as that of dropout.
pub(super) fn floats(vars: &Vars) -> BTreeSet<String> {
    vars.named().into_iter().filter(|(_, var)| var.dtype().is_float()).map(|(name, _)| name).collect()
}

/// The float variables that match one of the patterns.
pub(super) fn by_patterns(what: &str, patterns: &[String], vars: &Vars) -> Result<BTreeSet<String>> {
    let names = floats(vars);
    for pattern in patterns {
        if !names.iter().any(|name| matches(pattern, name)) {
            let known: Vec<_> = names.iter().map(String::as_str).collect();
            let must = format!("patterns that each match one of {}", known.join(", "));
            return Err(Error::invalid(what, must, format!("{pattern:?}, which matches none")));
        }
    }
    Ok(names.into_iter().filter(|name| patterns.iter().any(|pattern| matches(pattern, name))).collect())
}

/// The float variables of the first `k` layers with weights, and of layers without weights among them.
pub(super) fn first_layers(what: &str, k: usize, vars: &Vars) -> Result<BTreeSet<String>> {
    let (names, layers) = (floats(vars), layers(vars));
    let count = layers.iter().filter(|layer| layer.is_trained).count();
    if k > count {
        let must = format!("at most {count}, the number of layers with weights");
        return Err(Error::invalid(what, must, k));
    }
    let mut left = k;
    let among = |layer: &&Layer| {
        let inside = left > 0;
        left -= usize::from(inside && layer.is_trained);
        inside
    };
    let chosen = layers.iter().take_while(among).flat_map(|layer| layer.names.iter());
    Ok(chosen.filter(|name| names.contains(*name)).cloned().collect())
}

/// Whether a float variable is trained: all but the running statistics of batch normalization.
pub(super) fn is_trained(name: &str) -> bool {
    !is_statistic(name)
}
