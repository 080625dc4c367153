//! The elements of candle tensors as slices. No other module reaches into candle's storage.
//!
//! [`with_slice`] gives the elements as one type, converted if need be. [`Elements`] borrows them from a
//! tensor that is [contiguous and on the CPU](contiguous), and [runs](Elements::run) a [`FloatLoop`] over
//! them in their own type.
use crate::{
    kernels::float::{f32_from_f16_bits, Real},
    Error, Result,
};
use candle_core::{CpuStorage, Device, Layout, Result as CResult, Storage, StorageRef, Tensor, WithDType};
use half::slice::HalfFloatSliceExt;
use pulp::bytemuck::cast_slice;
use std::ops::Range;

/// Calls `f` with the tensor's elements, row by row. They are borrowed where they are of type `T`, contiguous
/// and on the CPU, and copied otherwise.
pub(crate) fn with_slice<T: WithDType, R>(tensor: &Tensor, f: impl FnOnce(&[T]) -> R) -> CResult<R> {
    let tensor = tensor.to_device(&Device::Cpu)?.to_dtype(T::DTYPE)?.contiguous()?;
    let elements = Elements::of(&tensor)?;
    Ok(f(elements.as_slice()?))
}

/// Calls `f` with the elements of several f32 tensors on the CPU.
pub(crate) fn with_f32_slices<R>(tensors: &[Tensor], f: impl FnOnce(&[&[f32]]) -> R) -> CResult<R> {
    let tensors = tensors.iter().map(Tensor::contiguous).collect::<CResult<Vec<_>>>()?;
    let elements = tensors.iter().map(Elements::of).collect::<CResult<Vec<_>>>()?;
    let slices = elements.iter().map(Elements::as_slice).collect::<CResult<Vec<_>>>()?;
    Ok(f(&slices))
}

/// The tensor on the CPU with its elements in row-major order; no copy where it is so already.
pub(crate) fn contiguous(tensor: &Tensor) -> Result<Tensor> {
    Ok(tensor.to_device(&Device::Cpu)?.contiguous()?)
}

/// The elements of an operand of a custom operation.
pub(crate) fn storage_slice<'s, T: WithDType>(storage: &'s CpuStorage, layout: &Layout) -> CResult<&'s [T]> {
    Ok(&T::cpu_storage_as_slice(storage)?[range(layout)?])
}

/// The elements of an operand that a custom operation changes.
pub(crate) fn storage_slice_mut<'s, T: Real>(
    storage: &'s mut CpuStorage,
    layout: &Layout,
) -> CResult<&'s mut [T]> {
    let range = range(layout)?;
    Ok(&mut T::storage_slice_mut(storage)?[range])
}

fn range(layout: &Layout) -> CResult<Range<usize>> {
    match layout.contiguous_offsets() {
        Some((start, end)) => Ok(start..end),
        None => candle_core::bail!("expected a contiguous tensor"),
    }
}

/// The elements of a contiguous tensor on the CPU, borrowed under the tensor's lock.
pub(crate) struct Elements<'a> {
    storage: StorageRef<'a>,
    range: Range<usize>,
}

impl<'a> Elements<'a> {
    /// Locks the tensor for reading.
    pub(crate) fn of(tensor: &'a Tensor) -> CResult<Self> {
        let (storage, layout) = tensor.storage_and_layout();
        Ok(Self { range: range(layout)?, storage })
    }

    fn storage(&self) -> CResult<&CpuStorage> {
        match &*self.storage {
            Storage::Cpu(storage) => Ok(storage),
            _ => candle_core::bail!("expected a tensor on the CPU"),
        }
    }

    /// The elements, if they are of type `T`.
    pub(crate) fn as_slice<T: WithDType>(&self) -> CResult<&[T]> {
        Ok(&T::cpu_storage_as_slice(self.storage()?)?[self.range.clone()])
    }

    /// The bytes of the elements, in the processor's own order.
    pub(crate) fn as_bytes(&self) -> CResult<&[u8]> {
        let range = self.range.clone();
        Ok(match self.storage()? {
            CpuStorage::F32(all) => cast_slice(&all[range]),
            CpuStorage::F64(all) => cast_slice(&all[range]),
            CpuStorage::F16(all) => cast_slice(all[range].reinterpret_cast()),
            CpuStorage::BF16(all) => cast_slice(all[range].reinterpret_cast()),
            CpuStorage::U8(all) => &all[range],
            CpuStorage::U32(all) => cast_slice(&all[range]),
            CpuStorage::I16(all) => cast_slice(&all[range]),
            CpuStorage::I32(all) => cast_slice(&all[range]),
            CpuStorage::I64(all) => cast_slice(&all[range]),
            _ => candle_core::bail!("expected floats or integers"),
        })
    }

    /// Runs a loop over the elements, compiled for their type.
    #[inline]
    pub(crate) fn run<L: FloatLoop>(&self, work: L) -> Result<L::Out> {
        run_over(self.storage()?, self.range.clone(), work)
    }
}

/// Runs a loop over an operand of a custom operation, compiled for the type of its elements.
pub(crate) fn run_on<L: FloatLoop>(storage: &CpuStorage, layout: &Layout, work: L) -> Result<L::Out> {
    run_over(storage, range(layout)?, work)
}

#[inline]
fn run_over<L: FloatLoop>(storage: &CpuStorage, range: Range<usize>, work: L) -> Result<L::Out> {
    match storage {
        CpuStorage::F64(all) => work.run(
            &all[range],
            #[inline(always)]
            |x| x,
            #[inline(always)]
            |x| x,
        ),
        CpuStorage::F32(all) => work.run(
            &all[range],
            f64::from,
            #[inline(always)]
            |x| x as f32,
        ),
        CpuStorage::BF16(all) => work.run(
            &all[range],
            #[inline(always)]
            |x| f64::from(f32::from_bits(u32::from(x.to_bits()) << 16)),
            #[inline(always)]
            |x| WithDType::from_f64(f64::from(x as f32)),
        ),
        CpuStorage::F16(all) => work.run(
            &all[range],
            #[inline(always)]
            |x| f64::from(f32_from_f16_bits(x.to_bits())),
            #[inline(always)]
            |x| WithDType::from_f64(f64::from(x as f32)),
        ),
        _ => Err(Error::invalid("a tensor's dtype", "f16, bf16, f32 or f64", "another one")),
    }
}

/// A loop over elements of any floating-point type. It computes in f64, or in f32, which is exact for all
/// types but f64.
pub(crate) trait FloatLoop {
    type Out;

    /// Runs over `elements`. `load` widens an element to f64; `store` rounds an f64 to an element, for f16
    /// and bf16 by way of f32.
    fn run<T: WithDType>(
        self,
        elements: &[T],
        load: impl Fn(T) -> f64 + Copy + Send + Sync,
        store: impl Fn(f64) -> T + Copy + Send + Sync,
    ) -> Result<Self::Out>;
}

/// Evaluates `$body` with `$values`, the elements of a contiguous tensor on the CPU as a slice of their own
/// type. `$body` is compiled once for each type.
macro_rules! on_values {
    ($tensor:expr, $values:ident => $body:expr) => {{
        use candle_core::{CpuStorage as Cpu, Storage};
        let (storage, layout) = $tensor.storage_and_layout();
        let (from, to) = layout.contiguous_offsets().unwrap_or((0, 0));
        macro_rules! on {
            ($all:ident) => {{
                let $values = $all.get(from..to).unwrap_or_default();
                $body
            }};
        }
        match &*storage {
            Storage::Cpu(Cpu::U8(v)) => on!(v),
            Storage::Cpu(Cpu::U32(v)) => on!(v),
            Storage::Cpu(Cpu::I16(v)) => on!(v),
            Storage::Cpu(Cpu::I32(v)) => on!(v),
            Storage::Cpu(Cpu::I64(v)) => on!(v),
            Storage::Cpu(Cpu::BF16(v)) => on!(v),
            Storage::Cpu(Cpu::F16(v)) => on!(v),
            Storage::Cpu(Cpu::F32(v)) => on!(v),
            Storage::Cpu(Cpu::F64(v)) => on!(v),
            _ => Err($crate::Error::invalid(
                "a tensor's dtype",
                "u8, u32, i16, i32, i64, bf16, f16, f32 or f64",
                format_args!("{:?}", $tensor.dtype()),
            )),
        }
    }};
}
pub(crate) use on_values;

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::DType;

    #[test]
    fn a_view_gives_its_own_part_of_the_storage() -> Result<()> {
        let all = Tensor::arange(0f32, 12., &Device::Cpu)?.reshape((4, 3))?;
        let rows = contiguous(&all.narrow(0, 1, 2)?)?;
        assert_eq!(Elements::of(&rows)?.as_slice::<f32>()?, [3., 4., 5., 6., 7., 8.]);
        let transposed = contiguous(&all.t()?)?;
        assert_eq!(Elements::of(&transposed)?.as_slice::<f32>()?[..4], [0., 3., 6., 9.]);
        assert!(Elements::of(&all.t()?).is_err());
        assert!(Elements::of(&rows.to_dtype(DType::F64)?)?.as_slice::<f32>().is_err());
        Ok(())
    }
}
