//! The numbers behind tensors, whatever their type, as slices.
use crate::{Error, Result};
use candle_core::{CpuStorage, Device, Layout, Storage, Tensor, WithDType};
use std::ops::Deref;

/// A loop over numbers of any floating-point type, which it computes with as f64 or, exact for all but f64, as f32.
pub(crate) trait Loop {
    type Out;

    /// Runs on the numbers of a whole storage; `load` widens one, `store` rounds one (to f32 first, for the halves).
    fn run<T: WithDType>(
        self,
        all: &[T],
        load: impl Fn(T) -> f64 + Copy + Send + Sync,
        store: impl Fn(f64) -> T + Copy + Send + Sync,
    ) -> Result<Self::Out>;
}

/// Runs a loop on a storage.
#[inline]
pub(crate) fn run<L: Loop>(storage: &CpuStorage, work: L) -> Result<L::Out> {
    match storage {
        CpuStorage::F64(all) => work.run(
            all,
            #[inline(always)]
            |x| x,
            #[inline(always)]
            |x| x,
        ),
        CpuStorage::F32(all) => work.run(
            all,
            f64::from,
            #[inline(always)]
            |x| x as f32,
        ),
        CpuStorage::BF16(all) => work.run(
            all,
            #[inline(always)]
            |x| f64::from(f32::from_bits(u32::from(x.to_bits()) << 16)),
            #[inline(always)]
            |x| WithDType::from_f64(f64::from(x as f32)),
        ),
        CpuStorage::F16(all) => work.run(
            all,
            #[inline(always)]
            |x| f64::from(of_half(x.to_bits())),
            #[inline(always)]
            |x| WithDType::from_f64(f64::from(x as f32)),
        ),
        _ => Err(Error::invalid("a tensor to average", "of type f16, bf16, f32 or f64", "another")),
    }
}

/// The number that an f16 stands for, without a branch. Shifted into place, its bits are those of the f32 that is
/// 2¹¹² times smaller; the largest exponent stands for infinities and NaN.
#[inline(always)]
fn of_half(bits: u16) -> f32 {
    const SCALE: f32 = f32::from_bits((127 + 112) << 23);
    let magnitude = u32::from(bits & 0x7fff) << 13;
    let scaled = (f32::from_bits(magnitude) * SCALE).to_bits();
    let special = if magnitude >= 31 << 23 { 0xff << 23 } else { 0 };
    f32::from_bits(scaled | special | u32::from(bits & 0x8000) << 16)
}

/// The tensor on the CPU with its numbers in order; itself, where it is so already.
pub(crate) fn dense(tensor: &Tensor) -> Result<Tensor> {
    Ok(tensor.to_device(&Device::Cpu)?.contiguous()?)
}

/// A dense tensor's numbers, from under its lock.
#[derive(Clone, Copy)]
pub(crate) struct Held<'a> {
    storage: &'a Storage,
    layout: &'a Layout,
}

impl<'a> Held<'a> {
    /// Of what [`Tensor::storage_and_layout`] gives.
    pub(crate) fn of((storage, layout): &'a (impl Deref<Target = Storage>, &'a Layout)) -> Self {
        Self { storage, layout }
    }

    /// The storage, which may hold more numbers than the tensor's.
    pub(crate) fn storage(self) -> Result<&'a CpuStorage> {
        match self.storage {
            Storage::Cpu(storage) => Ok(storage),
            _ => Err(Error::invalid("a tensor to average", "on the CPU", "elsewhere")),
        }
    }

    /// The tensor's own numbers among all of its storage's.
    pub(crate) fn part<T>(self, all: &[T]) -> Result<&[T]> {
        let range = self.layout.contiguous_offsets().and_then(|(from, to)| all.get(from..to));
        range.ok_or_else(|| Error::invalid("a tensor to average", "contiguous", "strided"))
    }

    /// The tensor's numbers, if they are of this type.
    pub(crate) fn numbers<T: WithDType>(self) -> Result<&'a [T]> {
        self.part(T::cpu_storage_as_slice(self.storage()?)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::DType;

    #[test]
    fn every_half_is_widened_exactly() -> Result<()> {
        let all = Tensor::arange(0u32, 1 << 16, &Device::Cpu)?.to_vec1::<u32>()?;
        for bits in all {
            let bits = bits as u16;
            let (sign, exponent, digits) = (bits >> 15, i32::from(bits >> 10 & 31), f64::from(bits & 1023));
            let got = f64::from(of_half(bits));
            let exact = match exponent {
                0 => digits * 2f64.powi(-24),
                31 if digits > 0. => f64::NAN,
                31 => f64::INFINITY,
                e => (1024. + digits) * 2f64.powi(e - 25),
            };
            let exact = if sign == 1 { -exact } else { exact };
            assert!(
                got.to_bits() == exact.to_bits() || got.is_nan() && exact.is_nan(),
                "{bits:x}: {got} {exact}"
            );
        }
        Ok(())
    }

    #[test]
    fn a_view_is_its_own_part_of_the_storage() -> Result<()> {
        let all = Tensor::arange(0f32, 12., &Device::Cpu)?.reshape((4, 3))?;
        let rows = dense(&all.narrow(0, 1, 2)?)?;
        assert_eq!(Held::of(&rows.storage_and_layout()).numbers::<f32>()?, [3., 4., 5., 6., 7., 8.]);
        let turned = dense(&all.t()?)?;
        assert_eq!(Held::of(&turned.storage_and_layout()).numbers::<f32>()?[..4], [0., 3., 6., 9.]);
        assert!(Held::of(&all.t()?.storage_and_layout()).numbers::<f32>().is_err());
        assert!(Held::of(&rows.to_dtype(DType::F64)?.storage_and_layout()).numbers::<f32>().is_err());
        Ok(())
    }
}
