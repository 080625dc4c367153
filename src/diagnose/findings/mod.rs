//! The built-in rules, one a file.
use crate::diagnose::Rule;

/// The built-in rules. To add one, write its file and add it here.
pub(super) const RULES: &[&dyn Rule] = &[];
