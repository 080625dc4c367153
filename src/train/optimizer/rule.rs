//! The trait of optimizers, and the operation that runs an optimizer's loop on a variable in place.
use crate::{
    check::power,
    kernels::{cpu, float::Real, simd::vectorized},
    train::clip::Limits,
};
use candle_core::{CpuStorage, InplaceOp2, Layout, Result as CResult, Tensor};
use std::cell::RefCell;

/// The most moments that an optimizer keeps for each weight.
pub(crate) const MAX_MOMENTS: usize = 3;

/// The parameters of one step of one variable.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Step {
    /// The learning rate.
    pub(crate) rate: f64,
    /// Steps of the variable, including this one.
    pub(crate) count: u64,
    /// How the gradient is clipped.
    pub(crate) limits: Limits,
    /// Dimensions of the variable.
    pub(crate) rank: usize,
}

impl Step {
    /// `1 − βᵗ` at the variable's `t`-th step, by which averages that began at 0 are too small.
    pub(crate) fn bias(&self, beta: f64) -> f64 {
        1.0 - power(beta, self.count)
    }
}

/// Weight decay as the part that is added to the gradient, and the factor on the weights.
pub(crate) fn decays(weight_decay: f64, decoupled: bool, rate: f64) -> (f64, f64) {
    if decoupled {
        (0.0, 1.0 - rate * weight_decay)
    } else {
        (weight_decay, 1.0)
    }
}

/// An optimizer: the moments that it keeps, and how a step changes weights and moments.
pub(crate) trait UpdateRule {
    /// The update of a step as a loop over slices.
    type Kernel<T: Real>: Kernel<T>;

    /// The names of the moments that it keeps.
    fn moments(&self) -> [Option<&'static str>; MAX_MOMENTS];

    /// The value with which moments begin.
    fn initial(&self) -> f64 {
        0.0
    }

    /// The loop for a step, with the coefficients of that step.
    fn kernel<T: Real>(&self, step: Step) -> Self::Kernel<T>;

    /// The same update in tensor operations. Changes the moments and returns the new weights. The gradient is
    /// already clipped. Unused moments are scalars.
    fn update_tensors(
        &self,
        step: Step,
        w: &Tensor,
        g: &Tensor,
        moments: &mut [Tensor; MAX_MOMENTS],
    ) -> CResult<Tensor>;
}

/// The loop of a step, with its coefficients.
pub(crate) trait Kernel<T> {
    /// Updates weights and moments. Unused moments are empty.
    fn update(&self, w: &mut [T], g: &[T], moments: [&mut [T]; MAX_MOMENTS]);
}

/// Computes the gradient that a loop uses: clipped, and with the weight decay `decay · w` added.
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

    /// The gradient that is used for a weight `w` with gradient `g`.
    #[inline(always)]
    pub(crate) fn at(self, w: T, g: T) -> T {
        (g * self.scale).within(self.bound) + self.decay * w
    }
}

/// `g + decay · w`, as tensors.
pub(crate) fn add_decay(g: &Tensor, w: &Tensor, decay: f64) -> CResult<Tensor> {
    if decay == 0.0 {
        return Ok(g.clone());
    }
    g + (w * decay)?
}

/// `β · old + (1 − β) · new`, as tensors.
pub(crate) fn average(beta: f64, old: &Tensor, new: &Tensor) -> CResult<Tensor> {
    (old * beta)? + (new * (1.0 - beta))?
}

/// A kernel as candle's in-place operation on a variable and its gradient. It borrows the variable's moments.
pub(crate) struct InPlace<'a, K, T> {
    kernel: K,
    moments: RefCell<[&'a mut [T]; MAX_MOMENTS]>,
}

impl<'a, K: Kernel<T>, T: Real> InPlace<'a, K, T> {
    pub(crate) fn new(kernel: K, moments: &'a mut [Vec<T>; MAX_MOMENTS]) -> Self {
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
