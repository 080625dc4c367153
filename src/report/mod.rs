//! Results as tables and charts.
mod variance;
