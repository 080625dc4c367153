//! Scaling of columns.
//!
//! A [`Scaling`] says what is fitted, as data. [`FittedScaling`] is the result, one [`FittedColumn`] for each column. Each
//! scaling has a file with its fit, its formula and its registry entry. To add one, write a file, and add a variant to
//! [`Scaling`] with a line in each of its lists; a new formula is a variant of [`FittedColumn`].
mod column;
mod columns;
mod fit;
mod fitted;
mod fitted_scalings;
mod max_abs;
mod min_max;
mod one_hot;
mod power;
mod quantile;
mod robust;
mod running;
mod scaler;
mod scaling;
mod standardize;
mod table;
#[cfg(test)]
mod tests;

pub use column::FittedColumn;
pub use fitted::FittedScaling;
pub use fitted_scalings::FittedScalings;
pub(crate) use fitted_scalings::{check_targets, not_affine};
pub use scaler::Scaler;
pub use scaling::Scaling;
