//! Metrics and comparisons.
