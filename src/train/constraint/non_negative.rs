//! The non-negativity constraint.
use crate::{
    kernels::{cpu, float::Real, simd::vectorized},
    registry::Entry,
    train::constraint::{made, rest_of_text, Constraint, WeightConstraint, ON},
    weights::WeightFilter,
    Result,
};
use candle_core::{CpuStorage, DType, InplaceOp1, Layout, Result as CResult, Tensor, Var};
use serde::{Deserialize, Serialize};
use std::{fmt, marker::PhantomData};

/// The non-negativity constraint: negative weights become 0. See [`Constraint`].
///
/// ```text
/// w ← max(w, 0)
/// ```
///
/// Use it where the model has to be increasing in its inputs (with increasing activations), or a sum of parts,
/// as in non-negative factorization. Do not use it as a regularizer: half of the usual initial weights become 0
/// with the first step, and units of relu that see only inputs above 0 cannot switch off.
///
/// # Errors
/// [`Constraint::check`] names a pattern that is none.
///
/// # Source
/// Lee and Seung 1999, Nature 401:788–791, for factorization; `NonNeg` of Keras.
///
/// ```
/// use candle_core::{Device, Var};
/// use candle_ensemble::train::Constraint;
///
/// let w = Var::new(&[[0.5f32, -0.5]], &Device::Cpu)?;
/// Constraint::non_negative().apply(&[("w".into(), w.clone())])?;
/// assert_eq!(w.to_vec2::<f32>()?, [[0.5, 0.0]]);
/// # Ok::<(), candle_ensemble::Error>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct NonNegative {
    /// The variables that it applies to. Default [`WeightFilter::Kernels`].
    pub on: WeightFilter,
}

impl NonNegative {
    /// The constraint on the kernels.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets the variables that it applies to.
    #[must_use]
    pub fn on(self, on: WeightFilter) -> Self {
        Self { on }
    }
}

impl WeightConstraint for NonNegative {
    const ENTRY: Entry<Constraint> =
        Entry::new("non-negative", "Constraint::NonNegative", "No negative weights", |arguments| {
            made(NonNegative::new(), arguments)
        })
        .with_aliases(&["non-neg"])
        .with_arguments(&[ON])
        .with_source("Lee and Seung 1999, Nature 401");

    fn filter(&self) -> &WeightFilter {
        &self.on
    }

    fn check(&self) -> Result<()> {
        Ok(())
    }

    fn apply(&self, _: &str, var: &Var) -> Result<()> {
        match (var.device().is_cpu(), var.dtype()) {
            (true, DType::F32) => var.inplace_op1(&InPlace::<f32>(PhantomData))?,
            (true, DType::F64) => var.inplace_op1(&InPlace::<f64>(PhantomData))?,
            _ => var.set(&without_negative(&var.as_detached_tensor())?)?,
        }
        Ok(())
    }
}

struct InPlace<T>(PhantomData<T>);

impl<T: Real> InplaceOp1 for InPlace<T> {
    fn name(&self) -> &'static str {
        "non-negative weights"
    }

    fn cpu_fwd(&self, w: &mut CpuStorage, layout: &Layout) -> CResult<()> {
        let w = cpu::storage_slice_mut::<T>(w, layout)?;
        vectorized(
            #[inline(always)]
            || {
                for x in w.iter_mut() {
                    // NaN stays NaN. The sum is x, or +0 for −0: it makes the compiler write every element, because
                    // vectors of which some elements are written are slow.
                    *x = if *x < T::zero() { T::zero() } else { *x + T::zero() };
                }
            },
        );
        Ok(())
    }
}

/// The same with tensor operations; not `relu`, which makes 0 of NaN.
fn without_negative(w: &Tensor) -> CResult<Tensor> {
    let zeros = w.zeros_like()?;
    w.lt(&zeros)?.where_cond(&zeros, w)
}

impl fmt::Display for NonNegative {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "non-negative{}", rest_of_text(&self.on, 0))
    }
}
