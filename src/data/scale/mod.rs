//! Scaling of columns.
//!
//! A [`Scaling`] says what is fitted, and a [`FittedScaling`] is the result. Each scaling has a file with its fit and its
//! formula. To add one, write a file and add a variant to [`Scaling`] with an arm in each of its methods.
mod affine;
mod columns;
mod fitted;
mod one_hot;
mod power;
mod quantile;
mod run;
mod scaler;
mod scaling;
mod table;

pub use fitted::FittedScaling;
pub(crate) use run::only;
pub use run::FittedScalings;
pub use scaler::Scaler;
pub use scaling::Scaling;
