//! Reading tensors on the host without a copy where they already lie there.
use candle_core::{Device, Result, Storage, Tensor, WithDType};

/// f32 or f64: probabilities are fine in the former, values keep what they have.
pub(crate) trait Number: WithDType + Into<f64> + std::iter::Sum {}

impl Number for f32 {}
impl Number for f64 {}

/// Calls `f` with the tensor's numbers, row by row: in place where they are of this type, contiguous and on the CPU,
/// else from a copy.
pub(crate) fn with<T: WithDType, R>(tensor: &Tensor, f: impl FnOnce(&[T]) -> R) -> Result<R> {
    let dense = tensor.to_device(&Device::Cpu)?.to_dtype(T::DTYPE)?.contiguous()?;
    let (storage, layout) = dense.storage_and_layout();
    Ok(f(numbers(&storage, layout)?))
}

/// The same for several f32 tensors at once.
pub(crate) fn with_f32s<R>(tensors: &[Tensor], f: impl FnOnce(&[&[f32]]) -> R) -> Result<R> {
    let dense = tensors.iter().map(Tensor::contiguous).collect::<Result<Vec<_>>>()?;
    let guards: Vec<_> = dense.iter().map(Tensor::storage_and_layout).collect();
    let slices = guards.iter().map(|(storage, layout)| numbers(storage, layout));
    Ok(f(&slices.collect::<Result<Vec<_>>>()?))
}

/// The numbers of a dense tensor on the CPU.
fn numbers<'a, T: WithDType>(storage: &'a Storage, layout: &candle_core::Layout) -> Result<&'a [T]> {
    match storage {
        Storage::Cpu(storage) => {
            let start = layout.start_offset();
            Ok(&T::cpu_storage_as_slice(storage)?[start..start + layout.shape().elem_count()])
        }
        _ => candle_core::bail!("expected numbers on the CPU"),
    }
}

/// The position of the largest number, the lowest where several are equal.
pub(crate) fn argmax<T: PartialOrd>(row: &[T]) -> usize {
    let better = |best: usize, i: usize| if row[i] > row[best] { i } else { best };
    (1..row.len()).fold(0, better)
}

/// The position of the smallest number, the lowest where several are equal.
pub(crate) fn argmin(numbers: &[f64]) -> usize {
    let better = |best: usize, i: usize| if numbers[i] < numbers[best] { i } else { best };
    (1..numbers.len()).fold(0, better)
}

/// The position of the largest number in each row of a table `(N, C)`, the lowest where several are equal; no number
/// is rounded before it is compared.
pub(crate) fn winners(table: &Tensor) -> Result<Vec<u32>> {
    fn of<T: Number>(table: &Tensor) -> Result<Vec<u32>> {
        let width = table.dims2()?.1.max(1);
        with(table, |all: &[T]| all.chunks_exact(width).map(|row| argmax(row) as u32).collect())
    }
    match table.dtype() {
        candle_core::DType::F64 => of::<f64>(table),
        _ => of::<f32>(table),
    }
}
