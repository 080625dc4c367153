//! Reading small tensors on the host without a copy where they already lie there.
use candle_core::{CpuStorage, DType, Result, Storage, Tensor};

/// Calls `f` with the tensor's numbers, row by row: in place for contiguous f32 on the CPU, else from a copy.
pub(crate) fn with_f32<R>(tensor: &Tensor, f: impl FnOnce(&[f32]) -> R) -> Result<R> {
    if tensor.is_contiguous() {
        let (storage, layout) = tensor.storage_and_layout();
        if let Storage::Cpu(CpuStorage::F32(all)) = &*storage {
            let start = layout.start_offset();
            return Ok(f(&all[start..start + layout.shape().elem_count()]));
        }
    }
    Ok(f(&tensor.to_dtype(DType::F32)?.flatten_all()?.to_vec1::<f32>()?))
}

/// The same for several tensors at once.
pub(crate) fn with_f32s<R>(tensors: &[Tensor], f: impl FnOnce(&[&[f32]]) -> R) -> Result<R> {
    let dense = tensors.iter().map(Tensor::contiguous).collect::<Result<Vec<_>>>()?;
    let guards: Vec<_> = dense.iter().map(Tensor::storage_and_layout).collect();
    let slices = guards.iter().map(|(storage, layout)| match &**storage {
        Storage::Cpu(CpuStorage::F32(all)) => {
            let start = layout.start_offset();
            Ok(&all[start..start + layout.shape().elem_count()])
        }
        _ => candle_core::bail!("expected f32 numbers on the CPU"),
    });
    Ok(f(&slices.collect::<Result<Vec<_>>>()?))
}

/// The same for ids.
pub(crate) fn with_u32<R>(tensor: &Tensor, f: impl FnOnce(&[u32]) -> R) -> Result<R> {
    if tensor.is_contiguous() {
        let (storage, layout) = tensor.storage_and_layout();
        if let Storage::Cpu(CpuStorage::U32(all)) = &*storage {
            let start = layout.start_offset();
            return Ok(f(&all[start..start + layout.shape().elem_count()]));
        }
    }
    Ok(f(&tensor.to_dtype(DType::U32)?.flatten_all()?.to_vec1::<u32>()?))
}

/// The position of the largest number, the lowest where several are equal.
pub(crate) fn argmax(row: &[f32]) -> usize {
    let better = |best: usize, i: usize| if row[i] > row[best] { i } else { best };
    (1..row.len()).fold(0, better)
}
