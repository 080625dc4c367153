//! The orthogonality penalty.
use crate::{
    check::non_negative,
    registry::Entry,
    train::{
        clip::norm,
        regularizer::{made, on_text, Regularizer, WeightPenalty, ON, RATE},
    },
    weights::WeightFilter,
    Result,
};
use candle_core::{DType, Result as CResult, Tensor};
use serde::{Deserialize, Serialize};
use std::fmt;

/// The orthogonality penalty: the squared distance of the product of a weight matrix with itself from the
/// identity. See [`Regularizer`].
///
/// ```text
/// W: (units, rest), rest = all dimensions but the first
/// penalty = λ ‖W Wᵀ − I‖²       gradient: 4 λ (W Wᵀ − I) W       if units ≤ rest
/// penalty = λ ‖Wᵀ W − I‖²       gradient: 4 λ W (Wᵀ W − I)       otherwise
/// ```
///
/// with the Frobenius norm. It is 0 where the shorter side of `W` consists of orthonormal vectors. Each unit of
/// a linear layer `(out, in)` or of a convolution `(out, in, k…)` is a row. A variable with an entry for each member of a network
/// that holds several has a matrix for each entry.
///
/// Use it in deep networks and in recurrent ones, together with orthogonal initial weights: a matrix with
/// orthonormal rows keeps the length of what passes through it, so gradients neither vanish nor explode. It
/// also keeps units from learning the same feature. Do not use it on an output layer, whose weights have to
/// grow for confident predictions, nor expect better accuracy from a shallow network. `orthogonal` is not
/// Keras' `OrthogonalRegularizer`, which penalizes the cosines between units and not their lengths.
///
/// Cost: two matrix products of the size of `W` by itself in each step, whatever the batch.
///
/// # Errors
/// [`Regularizer::check`] names the rate if it is negative or not finite.
///
/// # Source
/// Bansal, Chen and Wang 2018, arXiv:1810.09102, "soft orthogonality"; Brock et al. 2017, arXiv:1609.07093.
///
/// ```
/// use candle_core::{Device, Var};
/// use candle_ensemble::train::Regularizer;
///
/// // Two orthonormal rows, and two that are the same.
/// let penalty = |rows: [[f32; 3]; 2]| {
///     let w = Var::new(&rows, &Device::Cpu)?;
///     let mut gradients = w.sum_all()?.backward()?;
///     Regularizer::orthogonal(1.0).add_to(&[("w".into(), w.clone())], &mut gradients)
/// };
/// assert_eq!(penalty([[1., 0., 0.], [0., 0., 1.]])?, 0.0);
/// assert!((penalty([[1., 0., 0.], [1., 0., 0.]])? - 2.0).abs() < 1e-9);
/// # Ok::<(), candle_ensemble::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Orthogonal {
    /// The factor `λ`, 0 or more.
    pub rate: f64,
    /// The variables that it applies to. Default [`WeightFilter::Kernels`].
    pub on: WeightFilter,
}

impl Orthogonal {
    /// The penalty on the kernels with this factor.
    #[must_use]
    pub fn new(rate: f64) -> Self {
        Self { rate, on: WeightFilter::default() }
    }

    /// Sets the variables that it applies to.
    #[must_use]
    pub fn on(self, on: WeightFilter) -> Self {
        Self { on, ..self }
    }
}

impl WeightPenalty for Orthogonal {
    const ENTRY: Entry<Regularizer> = Entry::new(
        "orthogonal",
        "Regularizer::Orthogonal",
        "The distance from orthonormal rows or columns",
        |arguments| made(Orthogonal::new(arguments.get("rate")?), arguments),
    )
    .with_arguments(&[RATE, ON])
    .with_source("Bansal et al. 2018, arXiv:1810.09102");

    const OF_KERNELS: bool = true;

    fn filter(&self) -> &WeightFilter {
        &self.on
    }

    fn check(&self) -> Result<()> {
        non_negative("Orthogonal::rate", self.rate)
    }

    fn times(&self, factor: f64) -> Self {
        Self { rate: factor * self.rate, ..self.clone() }
    }

    fn add(&self, w: &Tensor, g: &Tensor) -> CResult<(Tensor, f64)> {
        let dtype = if w.dtype() == DType::F64 { DType::F64 } else { DType::F32 };
        let units = w.dims().first().copied().unwrap_or(1);
        let matrix = w.to_dtype(dtype)?.contiguous()?.reshape((units, ()))?;
        let transposed = matrix.t()?.contiguous()?;
        let by_rows = units <= matrix.dim(1)?;
        let gram = if by_rows { matrix.matmul(&transposed)? } else { transposed.matmul(&matrix)? };
        let rest = (&gram - Tensor::eye(gram.dim(0)?, dtype, w.device())?)?;
        let penalty = self.rate * norm([&rest].into_iter())?.powi(2);
        let gradient = if by_rows { rest.matmul(&matrix)? } else { matrix.matmul(&rest)? };
        let gradient = (gradient * (4.0 * self.rate))?.reshape(w.shape())?;
        Ok(((g.to_dtype(dtype)? + gradient)?.to_dtype(g.dtype())?, penalty))
    }
}

impl fmt::Display for Orthogonal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "orthogonal:{}{}", self.rate, on_text(&self.on))
    }
}
