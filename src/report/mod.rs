//! Reports: results of [`evaluate`](crate::evaluate) as tables and charts.
mod data_sets;
mod study;
