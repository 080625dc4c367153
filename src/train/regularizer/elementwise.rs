//! The penalty `l1 Σ|w| + l2 Σ w²` and its gradient, in one pass.
use crate::kernels::{cpu, float::Real, simd::vectorized};
use candle_core::{CpuStorage, DType, InplaceOp2, Layout, Result as CResult, Tensor};
use std::cell::Cell;

/// The number of partial sums. It is fixed, so that the sum does not depend on the width of vectors.
const LANES: usize = 8;

/// The factors of the sum of absolute values and of the sum of squares.
#[derive(Clone, Copy, Debug)]
pub(super) struct Elementwise {
    pub(super) l1: f64,
    pub(super) l2: f64,
}

impl Elementwise {
    /// `g + l1 sign(w) + 2 l2 w`, and the penalty, summed in `f64`. On the CPU `g` is changed in place, if it
    /// is contiguous and in `f32` or `f64`.
    pub(super) fn add(self, w: &Tensor, g: &Tensor) -> CResult<(Tensor, f64)> {
        match (g.device().is_cpu(), w.dtype()) {
            (true, DType::F64) => self.add_in_place::<f64>(w, g),
            (true, _) => self.add_in_place::<f32>(w, g),
            (false, _) => self.add_tensors(w, g),
        }
    }

    /// Half precision is computed in `f32`.
    fn add_in_place<T: Real>(self, w: &Tensor, g: &Tensor) -> CResult<(Tensor, f64)> {
        let dtype = g.dtype();
        let (w, g) = (w.to_dtype(T::DTYPE)?.contiguous()?, g.to_dtype(T::DTYPE)?.contiguous()?);
        let pass = Pass { factors: self, penalty: Cell::new(0.0) };
        g.inplace_op2(&w, &Typed::<T>(&pass, std::marker::PhantomData))?;
        Ok((g.to_dtype(dtype)?, pass.penalty.get()))
    }

    /// The same with tensor operations, for other devices. Half precision is computed in `f32`.
    pub(super) fn add_tensors(self, w: &Tensor, g: &Tensor) -> CResult<(Tensor, f64)> {
        let dtype = if w.dtype() == DType::F64 { DType::F64 } else { DType::F32 };
        let (w, mut sum) = (w.to_dtype(dtype)?, g.to_dtype(dtype)?);
        let total = |x: Tensor| x.sum_all()?.to_dtype(DType::F64)?.to_scalar::<f64>();
        let mut penalty = 0.0;
        if self.l1 > 0.0 {
            penalty += self.l1 * total(w.abs()?)?;
            sum = (sum + (w.sign()? * self.l1)?)?;
        }
        if self.l2 > 0.0 {
            penalty += self.l2 * total(w.sqr()?)?;
            sum = (sum + (w * (2.0 * self.l2))?)?;
        }
        Ok((sum.to_dtype(g.dtype())?, penalty))
    }
}

/// One pass over the weights and the gradient of a variable.
struct Pass {
    factors: Elementwise,
    penalty: Cell<f64>,
}

/// The pass over elements of a type.
struct Typed<'a, T>(&'a Pass, std::marker::PhantomData<T>);

impl<T: Real> InplaceOp2 for Typed<'_, T> {
    fn name(&self) -> &'static str {
        "weight penalty"
    }

    fn cpu_fwd(&self, g: &mut CpuStorage, gl: &Layout, w: &CpuStorage, wl: &Layout) -> CResult<()> {
        let g = cpu::storage_slice_mut::<T>(g, gl)?;
        let w = cpu::storage_slice::<T>(w, wl)?;
        let Elementwise { l1, l2 } = self.0.factors;
        let (sign, double) = (T::of(l1), T::of(2.0 * l2));
        let (sums, squares) = vectorized(
            #[inline(always)]
            || match (l1 > 0.0, l2 > 0.0) {
                (true, true) => add::<T, true, true>(w, g, sign, double),
                (true, false) => add::<T, true, false>(w, g, sign, double),
                (false, true) => add::<T, false, true>(w, g, sign, double),
                (false, false) => (0.0, 0.0),
            },
        );
        self.0.penalty.set(l1 * sums + l2 * squares);
        Ok(())
    }
}

/// Adds the gradient, and returns the sum of absolute values and the sum of squares, each where it is asked
/// for.
#[inline(always)]
fn add<T: Real, const ABSOLUTE: bool, const SQUARE: bool>(
    w: &[T],
    g: &mut [T],
    sign: T,
    double: T,
) -> (f64, f64) {
    let mut sums = [0.0; LANES];
    let mut squares = [0.0; LANES];
    let (w_blocks, w_rest) = w.as_chunks::<LANES>();
    let (g_blocks, g_rest) = g.as_chunks_mut::<LANES>();
    let blocks = w_blocks.iter().zip(g_blocks).map(
        #[inline(always)]
        |(w, g)| (w.as_slice(), g.as_mut_slice()),
    );
    for (w, g) in blocks.chain([(w_rest, g_rest)]) {
        for (((w, g), sum), square) in w.iter().zip(g).zip(&mut sums).zip(&mut squares) {
            let w = *w;
            if ABSOLUTE {
                *sum += w.wide().abs();
                // At 0 the derivative is taken as 0. NaN stays NaN.
                *g += if w > T::zero() {
                    sign
                } else if w < T::zero() {
                    T::zero() - sign
                } else {
                    w
                };
            }
            if SQUARE {
                *square += w.wide() * w.wide();
                *g += double * w;
            }
        }
    }
    (sums.iter().sum(), squares.iter().sum())
}
