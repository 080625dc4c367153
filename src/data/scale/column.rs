//! What a fitted scaling does to one column.
use crate::{
    data::scale::{one_hot, power, quantile},
    Error, Result,
};
use serde::{Deserialize, Serialize};

/// What a [`FittedScaling`](crate::data::FittedScaling) does to one column, with the numbers that were fitted.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum FittedColumn {
    /// The column stays as it is.
    Unchanged,
    /// `z = (x − shift) / scale`
    Affine {
        /// What is subtracted.
        shift: f64,
        /// What the difference is divided by.
        scale: f64,
    },
    /// `z = (y(x, λ) − shift) / scale` with Yeo and Johnson's power `y`.
    Power {
        /// The parameter `λ` of the power.
        lambda: f64,
        /// The mean of the transformed rows.
        shift: f64,
        /// Their standard deviation.
        scale: f64,
        /// The least result of the inverse where the power is bounded below: one range below the rows of the fit.
        low: f64,
        /// The largest result of the inverse where the power is bounded above: one range above the rows of the fit.
        high: f64,
    },
    /// The share of the rows of the fit below `x`, or the normal number with that probability.
    Quantile {
        /// Quantiles at equal distances of probability, from 0 to 1.
        quantiles: Vec<f64>,
        /// Whether the result is normal rather than uniform.
        normal: bool,
    },
    /// 1 in the place of the category and 0 in the others.
    OneHot {
        /// The categories, in increasing order.
        categories: Vec<f64>,
        /// Whether another value becomes zeros. If not, it is an error.
        ignore_unknown: bool,
    },
}

impl FittedColumn {
    /// The number of columns that the column becomes.
    pub(super) fn width(&self) -> usize {
        match self {
            Self::OneHot { categories, .. } => categories.len(),
            _ => 1,
        }
    }

    /// Shift and scale, if the column is only shifted and divided.
    pub(super) fn affine(&self) -> Option<(f64, f64)> {
        match self {
            Self::Unchanged => Some((0., 1.)),
            Self::Affine { shift, scale } => Some((*shift, *scale)),
            _ => None,
        }
    }

    pub(super) fn has_inverse(&self) -> bool {
        !matches!(self, Self::OneHot { .. })
    }

    /// The scaled number; NaN for NaN. Not for [`FittedColumn::OneHot`].
    pub(super) fn transform(&self, x: f64) -> f64 {
        match self {
            Self::Unchanged => x,
            Self::Affine { shift, scale } => (x - shift) / scale,
            Self::Power { lambda, shift, scale, .. } => (power::yeo_johnson(x, *lambda) - shift) / scale,
            Self::Quantile { quantiles, normal } => quantile::transform(x, quantiles, *normal),
            Self::OneHot { .. } => f64::NAN,
        }
    }

    pub(super) fn inverse(&self, z: f64) -> f64 {
        match self {
            Self::Unchanged => z,
            Self::Affine { shift, scale } => z * scale + shift,
            Self::Power { lambda, shift, scale, low, high } => {
                let x = power::inverse(z * scale + shift, *lambda);
                match *lambda {
                    lambda if lambda < 0. && x > *high => *high,
                    lambda if lambda > 2. && x < *low => *low,
                    _ => x,
                }
            }
            Self::Quantile { quantiles, normal } => quantile::inverse(z, quantiles, *normal),
            Self::OneHot { .. } => f64::NAN,
        }
    }

    /// The derivative of [`transform`](Self::transform); 0 for a category.
    pub(super) fn slope(&self, x: f64) -> f64 {
        match self {
            Self::Unchanged => 1.,
            Self::Affine { scale, .. } => 1. / scale,
            Self::Power { lambda, scale, .. } => power::slope(x, *lambda) / scale,
            Self::Quantile { quantiles, normal } => quantile::slope(x, quantiles, *normal),
            Self::OneHot { .. } => 0.,
        }
    }

    /// The derivative of [`inverse`](Self::inverse).
    pub(super) fn inverse_slope(&self, z: f64) -> f64 {
        match self {
            Self::Unchanged => 1.,
            Self::Affine { scale, .. } => *scale,
            Self::Power { lambda, scale, low, high, .. } => {
                let x = self.inverse(z);
                let bounded = (*lambda < 0. && x >= *high) || (*lambda > 2. && x <= *low);
                if bounded {
                    0.
                } else {
                    scale / power::slope(x, *lambda)
                }
            }
            Self::Quantile { quantiles, normal } => quantile::inverse_slope(z, quantiles, *normal),
            Self::OneHot { .. } => 0.,
        }
    }

    /// Checks that the numbers can be those of a fit. They may come from a file.
    pub(super) fn check(&self, column: usize) -> Result<()> {
        let (fine, what, must) = match self {
            Self::Unchanged => return Ok(()),
            Self::Affine { shift, scale } => {
                (shift.is_finite() && scale.is_normal(), "shift and scale", "finite and not 0")
            }
            Self::Power { lambda, shift, scale, low, high } => {
                let finite = [lambda, shift, low, high].iter().all(|x| x.is_finite());
                (finite && scale.is_normal() && low <= high, "the power", "finite and in order")
            }
            Self::Quantile { quantiles, .. } => {
                let finite = !quantiles.is_empty() && quantiles.iter().all(|q| q.is_finite());
                (finite && quantiles.is_sorted(), "the quantiles", "finite and in order")
            }
            Self::OneHot { categories, .. } => (
                !categories.is_empty() && one_hot::is_sorted(categories),
                "the categories",
                "finite and in order",
            ),
        };
        match fine {
            true => Ok(()),
            false => Err(Error::invalid(format!("{what} of column {column}"), must, format!("{self:?}"))),
        }
    }
}
