//! Scaling the incoming weights of each unit by a function of their norm.
use crate::{
    kernels::{cpu, float::Real, simd::vectorized, sums::fold_in_lanes},
    weights::members::has_entries,
    Error, Result,
};
use candle_core::{CpuStorage, DType, InplaceOp1, Layout, Result as CResult, Tensor, Var, D};
use std::marker::PhantomData;

/// Multiplies the weights of each unit by `factor(norm)`, in place. Dimension `units` counts the units; the
/// parameter is called `what`. A variable with an entry for each of several members has the units of each entry.
pub(super) fn scale(
    name: &str,
    var: &Var,
    (what, units): (&str, usize),
    factor: &dyn Fn(f64) -> f64,
) -> Result<()> {
    let (members, dims) = match var.dims() {
        [members, dims @ ..] if has_entries(name) && !dims.is_empty() => (*members, dims),
        dims => (1, dims),
    };
    if units >= dims.len().max(1) {
        let must = format!("below {}, the number of dimensions of `{name}`", dims.len().max(1));
        return Err(Error::invalid(what, must, units));
    }
    if var.elem_count() == 0 {
        return Ok(());
    }
    let count = dims.get(units).copied().unwrap_or(1);
    let after = dims.iter().skip(units + 1).product();
    match (var.device().is_cpu(), var.dtype()) {
        (true, DType::F32) => {
            var.inplace_op1(&InPlace::<f32> { members, count, after, factor, of: PhantomData })?;
        }
        (true, DType::F64) => {
            var.inplace_op1(&InPlace::<f64> { members, count, after, factor, of: PhantomData })?;
        }
        _ if members == 1 => var.set(&scaled(&var.as_detached_tensor(), count, after, factor)?)?,
        _ => {
            let all = var.as_detached_tensor();
            let entry = |member| scaled(&all.narrow(0, member, 1)?, count, after, factor);
            var.set(&Tensor::cat(&(0..members).map(entry).collect::<CResult<Vec<_>>>()?, 0)?)?;
        }
    }
    Ok(())
}

/// The operation in place, with norms in `f64`.
struct InPlace<'a, T> {
    members: usize,
    count: usize,
    after: usize,
    factor: &'a dyn Fn(f64) -> f64,
    of: PhantomData<T>,
}

impl<T: Real> InPlace<'_, T> {
    /// Scales the units of one member.
    fn scale_entry(&self, w: &mut [T]) {
        let mut units = vec![0.0; self.count];
        vectorized(
            #[inline(always)]
            || {
                for block in w.chunks_exact(self.count * self.after) {
                    add_squares(block, self.after, &mut units);
                }
            },
        );
        units.iter_mut().for_each(|unit| *unit = (self.factor)(unit.sqrt()));
        vectorized(
            #[inline(always)]
            || {
                for block in w.chunks_exact_mut(self.count * self.after) {
                    multiply(block, self.after, &units);
                }
            },
        );
    }
}

impl<T: Real> InplaceOp1 for InPlace<'_, T> {
    fn name(&self) -> &'static str {
        "weight constraint"
    }

    fn cpu_fwd(&self, w: &mut CpuStorage, layout: &Layout) -> CResult<()> {
        let w = cpu::storage_slice_mut::<T>(w, layout)?;
        // There are elements, because a variable without any is left alone.
        for entry in w.chunks_exact_mut((w.len() / self.members).max(1)) {
            self.scale_entry(entry);
        }
        Ok(())
    }
}

/// Adds the squares of each unit's weights to its sum.
#[inline(always)]
fn add_squares<T: Real>(block: &[T], after: usize, sums: &mut [f64]) {
    for (sum, weights) in sums.iter_mut().zip(block.chunks_exact(after)) {
        *sum += fold_in_lanes(
            weights,
            0.0,
            #[inline(always)]
            |sum, x| sum + x.wide() * x.wide(),
            #[inline(always)]
            |a, b| a + b,
        );
    }
}

/// Multiplies each unit's weights by its factor.
#[inline(always)]
fn multiply<T: Real>(block: &mut [T], after: usize, factors: &[f64]) {
    for (factor, weights) in factors.iter().zip(block.chunks_exact_mut(after)) {
        for x in weights {
            *x = T::of(x.wide() * factor);
        }
    }
}

/// The same with tensor operations. Half precision is computed in `f32`. Only the norms leave the device.
pub(super) fn scaled(w: &Tensor, count: usize, after: usize, factor: &dyn Fn(f64) -> f64) -> CResult<Tensor> {
    let dtype = if w.dtype() == DType::F64 { DType::F64 } else { DType::F32 };
    let blocks = w.to_dtype(dtype)?.contiguous()?.reshape(((), count, after))?;
    let squares = blocks.sqr()?.sum(D::Minus1)?.sum(0)?.to_dtype(DType::F64)?.to_vec1::<f64>()?;
    let factors: Vec<f64> = squares.into_iter().map(|square| factor(square.sqrt())).collect();
    let factors = Tensor::from_vec(factors, (1, count, 1), &candle_core::Device::Cpu)?.to_dtype(dtype)?;
    blocks.broadcast_mul(&factors.to_device(w.device())?)?.reshape(w.shape())?.to_dtype(w.dtype())
}
