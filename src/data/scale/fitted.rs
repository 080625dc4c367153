//! A fitted scaling.
use crate::{
    data::scale::{
        columns::FittedColumns, one_hot::FittedOneHot, power::FittedPower, quantile::FittedQuantile, Scaler,
    },
    Error, Result,
};
use candle_core::Tensor;
use serde::{Deserialize, Serialize};

/// A [`Scaling`](crate::data::Scaling) that has been fitted: it transforms columns and, but for one-hot, back again.
///
/// Numbers are computed in f64 and rounded once. Tensors keep dtype and device. [`Scaling`](crate::data::Scaling) has the
/// formulas and an example.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Kind", into = "Kind")]
pub struct FittedScaling(pub(super) Kind);

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) enum Kind {
    /// Each column shifted and divided.
    Affine(Scaler),
    Power(FittedPower),
    Quantile(FittedQuantile),
    OneHot(FittedOneHot),
    Columns(FittedColumns),
}

impl FittedScaling {
    /// The number of columns, or of channels, before the transform.
    #[must_use]
    pub fn columns(&self) -> usize {
        match &self.0 {
            Kind::Affine(of) => of.columns(),
            Kind::Power(of) => of.columns(),
            Kind::Quantile(of) => of.columns(),
            Kind::OneHot(of) => of.columns(),
            Kind::Columns(of) => of.columns(),
        }
    }

    /// The number of columns after the transform, which one-hot encoding raises.
    #[must_use]
    pub fn output_columns(&self) -> usize {
        match &self.0 {
            Kind::OneHot(of) => of.output_columns(),
            Kind::Columns(of) => of.output_columns(),
            _ => self.columns(),
        }
    }

    /// Whether there is an inverse: not for one-hot encoding.
    #[must_use]
    pub fn has_inverse(&self) -> bool {
        match &self.0 {
            Kind::OneHot(_) => false,
            Kind::Columns(of) => of.has_inverse(),
            _ => true,
        }
    }

    /// The transformed tensor.
    ///
    /// # Errors
    /// When `x` has another number of columns or contains NaN or infinity, when a category is unknown, or when a result is
    /// too large for the dtype.
    pub fn transform(&self, x: &Tensor) -> Result<Tensor> {
        match &self.0 {
            Kind::Affine(of) => by_channel(x, |x| of.transform(x)),
            Kind::Power(of) => of.transform(x),
            Kind::Quantile(of) => of.transform(x),
            Kind::OneHot(of) => of.transform(x),
            Kind::Columns(of) => of.transform(x),
        }
    }

    /// The inverse of [`transform`](Self::transform).
    ///
    /// # Errors
    /// As [`transform`](Self::transform), and for one-hot encoding, which has no inverse.
    pub fn inverse(&self, z: &Tensor) -> Result<Tensor> {
        match &self.0 {
            Kind::Affine(of) => by_channel(z, |z| of.inverse(z)),
            Kind::Power(of) => of.inverse(z),
            Kind::Quantile(of) => of.inverse(z),
            Kind::OneHot(_) => Err(Error::invalid(
                "the inverse of a scaling",
                "that of another one than one-hot",
                "that of one-hot",
            )),
            Kind::Columns(of) => of.inverse(z),
        }
    }

    /// Shift and scale of each column, if the inverse is `z · scale + shift`.
    pub(crate) fn affine(&self) -> Option<&Scaler> {
        match &self.0 {
            Kind::Affine(of) => Some(of),
            _ => None,
        }
    }

    pub(super) fn check(&self) -> Result<()> {
        match &self.0 {
            // A scaler checks itself when it is read.
            Kind::Affine(_) => Ok(()),
            Kind::Power(of) => of.check(),
            Kind::Quantile(of) => of.check(),
            Kind::OneHot(of) => of.check(),
            Kind::Columns(of) => of.check(),
        }
    }
}

impl TryFrom<Kind> for FittedScaling {
    type Error = Error;

    fn try_from(kind: Kind) -> Result<Self> {
        let fitted = Self(kind);
        fitted.check().map(|()| fitted)
    }
}

impl From<FittedScaling> for Kind {
    fn from(fitted: FittedScaling) -> Self {
        fitted.0
    }
}

/// The tensor as a table: `(N, C, …)` as one row for each row and position, and one column for each channel.
pub(super) fn channels(x: &Tensor) -> Result<Tensor> {
    if x.rank() < 3 {
        return Ok(x.clone());
    }
    Ok(channels_last(x)?.flatten_to(x.rank() - 2)?)
}

/// Applies `f` to the tensor as a table of its channels.
fn by_channel(x: &Tensor, f: impl Fn(&Tensor) -> Result<Tensor>) -> Result<Tensor> {
    if x.rank() < 3 {
        return f(x);
    }
    let mapped = f(&channels(x)?)?.reshape(channels_last(x)?.shape())?;
    Ok(mapped.transpose(1, x.rank() - 1)?.contiguous()?)
}

fn channels_last(x: &Tensor) -> Result<Tensor> {
    Ok(x.transpose(1, x.rank() - 1)?.contiguous()?)
}
