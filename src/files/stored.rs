//! Tensors that lie in a mapped file, in the formats of checkpoints: safetensors and PyTorch's.
use crate::{
    files::{
        self,
        header::FormatError,
        map::Mapped,
        tensors::{contents, readable},
        torch,
    },
    Result,
};
use candle_core::{DType, Device, Tensor};
use safetensors::tensor::TensorInfo;
use std::{collections::BTreeMap, ops::Range, path::Path};

/// A tensor in a file. All numbers are checked against the length of the file.
#[derive(Clone, Debug)]
pub(crate) struct StoredTensor {
    /// candle's type of the elements; none if it has none.
    pub(crate) dtype: Option<DType>,
    /// The name of the type in the file.
    pub(crate) stored: String,
    pub(crate) shape: Vec<usize>,
    /// The distances between elements along each dimension, in elements, where they do not lie in row-major order.
    pub(crate) strides: Option<Vec<usize>>,
    /// The position in the file, from the first element to the last one.
    pub(crate) bytes: Range<usize>,
    /// Why it is not read, in words that follow the name of the tensor, for a kind of tensor that is not.
    pub(crate) fault: Option<String>,
}

impl StoredTensor {
    /// Reads the tensor out of its file, onto the CPU.
    ///
    /// # Errors
    /// Why it cannot be read, in words that follow the name of the tensor.
    pub(crate) fn read(&self, file: &[u8]) -> Result<Tensor, String> {
        if let Some(fault) = &self.fault {
            return Err(fault.clone());
        }
        let dtype = self.dtype.ok_or_else(|| format!("is of type {}, which candle lacks", self.stored))?;
        let bytes = file.get(self.bytes.clone()).ok_or("lies beyond the end of the file")?;
        let tensor = match &self.strides {
            None => Tensor::from_raw_buffer(bytes, dtype, &self.shape, &Device::Cpu),
            Some(strides) => {
                let bytes = in_row_major_order(bytes, dtype.size_in_bytes(), &self.shape, strides);
                Tensor::from_raw_buffer(&bytes, dtype, &self.shape, &Device::Cpu)
            }
        };
        tensor.map_err(|e| format!("cannot be read: {}", crate::Error::from(e)))
    }
}

/// The elements of a tensor with gaps or of another order, copied in row-major order.
fn in_row_major_order(bytes: &[u8], width: usize, shape: &[usize], strides: &[usize]) -> Vec<u8> {
    let count: usize = shape.iter().product();
    let mut out = Vec::with_capacity(count * width);
    let mut index = vec![0usize; shape.len()];
    for _ in 0..count {
        let at = index.iter().zip(strides).map(|(i, stride)| i * stride).sum::<usize>() * width;
        out.extend_from_slice(bytes.get(at..at + width).unwrap_or_default());
        for (i, dim) in index.iter_mut().zip(shape).rev() {
            *i += 1;
            if *i < *dim {
                break;
            }
            *i = 0;
        }
    }
    out
}

/// Maps a file of either format and checks its description of the tensors. `key` names the dictionary of a PyTorch
/// file that has them.
pub(crate) fn open(path: &Path, key: Option<&str>) -> Result<(Mapped, BTreeMap<String, StoredTensor>)> {
    let map = Mapped::open(path).map_err(|e| files::failed(path, e))?;
    let tensors = of_bytes(map.bytes(), key).map_err(|fault| fault.of(path.display()))?;
    Ok((map, tensors))
}

fn of_bytes(bytes: &[u8], key: Option<&str>) -> Result<BTreeMap<String, StoredTensor>, FormatError> {
    match bytes {
        [b'P', b'K', 3, 4, ..] => torch::contents(torch::archive(bytes)?, key),
        // The length of a safetensors file's header may begin like a pickle.
        [0x80, 2..=5, ..] if bytes.get(8) != Some(&b'{') => torch::contents(torch::pickles(bytes)?, key),
        _ if key.is_some() => Err(FormatError::foreign("it is no PyTorch file, so it has no keys")),
        _ => Ok(contents(bytes)?.into_iter().map(|(name, info)| (name, of_safetensors(info))).collect()),
    }
}

fn of_safetensors(info: TensorInfo) -> StoredTensor {
    let stored = info.dtype.to_string().to_lowercase();
    let (start, end) = info.data_offsets;
    let dtype = readable(info.dtype);
    StoredTensor { dtype, stored, shape: info.shape, strides: None, bytes: start..end, fault: None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn elements_are_put_into_row_major_order() {
        let bytes: Vec<u8> = (0..6).collect();
        // Columns first, every second element, and a repeated row.
        assert_eq!(in_row_major_order(&bytes, 1, &[2, 3], &[1, 2]), [0, 2, 4, 1, 3, 5]);
        assert_eq!(in_row_major_order(&bytes, 2, &[2], &[2]), [0, 1, 4, 5]);
        assert_eq!(in_row_major_order(&bytes, 1, &[2, 2], &[0, 1]), [0, 1, 0, 1]);
        assert_eq!(in_row_major_order(&bytes, 1, &[], &[]), [0]);
    }
}
