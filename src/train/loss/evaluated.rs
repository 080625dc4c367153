//! A loss whose value and gradient come from one pass over the rows, on the CPU.
use crate::kernels::float::Real;
use candle_core::{CpuStorage, CustomOp1, Layout, Result as CResult, Shape, Tensor};

/// A batch whose outputs are of type `T` and on the CPU.
pub(super) struct FusedBatch<'a, T> {
    /// The outputs, for their shape.
    pub(super) output: &'a Tensor,
    /// The elements of the outputs, row by row.
    pub(super) x: &'a [T],
    pub(super) targets: &'a Tensor,
    /// Weights that sum to 1 or are all 0. Without them all rows count the same.
    pub(super) weights: Option<&'a [f64]>,
    pub(super) rows: usize,
}

impl<T> FusedBatch<'_, T> {
    /// What a row counts for in the mean.
    #[inline(always)]
    pub(super) fn share(&self, row: usize) -> f64 {
        match self.weights {
            None => 1.0 / self.rows as f64,
            Some(weights) => weights.get(row).copied().unwrap_or_default(),
        }
    }
}

/// An operation whose value and gradient have been computed already.
pub(super) struct Evaluated<T> {
    pub(super) value: T,
    pub(super) gradient: Vec<T>,
}

impl<T: Real> CustomOp1 for Evaluated<T> {
    fn name(&self) -> &'static str {
        "loss"
    }

    fn cpu_fwd(&self, _: &CpuStorage, _: &Layout) -> CResult<(CpuStorage, Shape)> {
        Ok((T::to_cpu_storage_owned(vec![self.value]), Shape::from(())))
    }

    fn bwd(&self, output: &Tensor, _: &Tensor, upstream: &Tensor) -> CResult<Option<Tensor>> {
        let factor = upstream.to_scalar::<T>()?;
        let gradient = self.gradient.iter().map(|&g| factor * g).collect::<Vec<_>>();
        Tensor::from_vec(gradient, output.shape(), output.device()).map(Some)
    }
}
