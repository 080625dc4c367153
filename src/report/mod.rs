//! Reports: results of [`evaluate`](crate::evaluate) as tables, charts and pages.
#[cfg(feature = "charts")]
mod charts;
mod data_sets;
#[cfg(feature = "charts")]
mod html;
mod improve;
#[cfg(feature = "charts")]
mod marks;
mod numbers;
mod study;
#[cfg(all(test, feature = "charts"))]
mod testing;
