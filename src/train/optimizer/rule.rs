//! What an optimizer is to the machinery that runs it, and how its loop meets a variable's memory.
use crate::{
    kernels::{cpu, float::Real, simd::vectorized},
    train::clip::Limits,
};
use candle_core::{CpuStorage, InplaceOp2, Layout, Result as CResult, Tensor};
use std::cell::RefCell;

/// Moments an optimizer may keep for each weight.
pub(crate) const SLOTS: usize = 3;

/// A step of one variable.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Step {
    /// The learning rate.
    pub(crate) rate: f64,
    /// How many gradients the variable has had, this one included.
    pub(crate) count: u64,
    /// Gradient clipping.
    pub(crate) limits: Limits,
}

/// An optimizer.
pub(crate) trait UpdateRule {
    /// Its loop.
    type Kernel<T: Real>: Kernel<T>;

    /// The names of the moments that it keeps.
    fn slots(&self) -> [Option<&'static str>; SLOTS];

    /// The loop for a step, with its coefficients worked out.
    fn kernel<T: Real>(&self, step: Step) -> Self::Kernel<T>;

    /// The same as tensor operations: the new weights. The gradient is already clipped; unused moments are
    /// scalars.
    fn tensors(&self, step: Step, w: &Tensor, g: &Tensor, moments: &mut [Tensor; SLOTS]) -> CResult<Tensor>;
}

/// The coefficients of a step, and the loop that applies them.
pub(crate) trait Kernel<T> {
    /// Updates weights and moments of a stretch of memory; unused moments are empty.
    fn update(&self, w: &mut [T], g: &[T], moments: [&mut [T]; SLOTS]);
}

/// A gradient as a loop sees it: clipped, and with the gradient of `decay / 2 · w²` added.
#[derive(Clone, Copy)]
pub(crate) struct Gradient<T> {
    scale: T,
    bound: T,
    decay: T,
}

impl<T: Real> Gradient<T> {
    pub(crate) fn new(limits: Limits, decay: f64) -> Self {
        Self { scale: T::of(limits.scale), bound: T::of(limits.bound), decay: T::of(decay) }
    }

    #[inline(always)]
    pub(crate) fn at(self, w: T, g: T) -> T {
        (g * self.scale).within(self.bound) + self.decay * w
    }
}

/// A kernel as candle's in-place operation on (weights, gradient), with the moments it borrows.
pub(crate) struct InPlace<'a, K, T> {
    kernel: K,
    moments: RefCell<[&'a mut [T]; SLOTS]>,
}

impl<'a, K: Kernel<T>, T: Real> InPlace<'a, K, T> {
    pub(crate) fn new(kernel: K, moments: &'a mut [Vec<T>; SLOTS]) -> Self {
        Self { kernel, moments: RefCell::new(moments.each_mut().map(Vec::as_mut_slice)) }
    }
}

impl<K: Kernel<T>, T: Real> InplaceOp2 for InPlace<'_, K, T> {
    fn name(&self) -> &'static str {
        "optimizer step"
    }

    fn cpu_fwd(&self, w: &mut CpuStorage, wl: &Layout, g: &CpuStorage, gl: &Layout) -> CResult<()> {
        let w = cpu::storage_slice_mut::<T>(w, wl)?;
        let g = cpu::storage_slice::<T>(g, gl)?;
        let mut moments = self.moments.borrow_mut();
        vectorized(
            #[inline(always)]
            || self.kernel.update(w, g, moments.each_mut().map(|m| &mut **m)),
        );
        Ok(())
    }
}
