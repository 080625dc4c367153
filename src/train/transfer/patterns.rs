//! Variables chosen by patterns of their names, or by the number of their layer.
use crate::{
    weights::{compatibility::is_statistic, layers, Layer, Vars},
    Error, Result,
};
use glob::Pattern;
use std::collections::BTreeSet;

/// The most names that an error lists.
const LISTED: usize = 5;

/// The names of the variables of float types. Integers are the state of a layer, such as that of dropout.
pub(super) fn floats(vars: &Vars) -> BTreeSet<String> {
    vars.named().into_iter().filter(|(_, var)| var.dtype().is_float()).map(|(name, _)| name).collect()
}

/// The glob patterns of these texts.
pub(in crate::train) fn parsed(what: &str, patterns: &[String]) -> Result<Vec<Pattern>> {
    let parse = |text: &String| {
        Pattern::new(text).map_err(|e| {
            let must = "glob patterns such as hidden.*";
            Error::invalid(what, must, format!("{text:?}, which is none ({})", e.msg))
        })
    };
    patterns.iter().map(parse).collect()
}

/// The float variables that match one of the patterns.
pub(super) fn by_patterns(what: &str, patterns: &[String], vars: &Vars) -> Result<BTreeSet<String>> {
    let (names, patterns) = (floats(vars), parsed(what, patterns)?);
    for pattern in &patterns {
        if !names.iter().any(|name| pattern.matches(name)) {
            let known: Vec<_> = names.iter().take(LISTED).map(String::as_str).collect();
            let must = format!("patterns that each match a variable, such as {}", known.join(" or "));
            return Err(Error::invalid(what, must, format!("{:?}, which matches none", pattern.as_str())));
        }
    }
    Ok(names.into_iter().filter(|name| patterns.iter().any(|pattern| pattern.matches(name))).collect())
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
