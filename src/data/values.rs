//! Digests of tensors.
use crate::{data::dataset::move_view, kernels::cpu::on_values, Error, Result};
use candle_core::{DType, Device, Tensor, WithDType};

/// Number of values copied at a time from another device.
const BLOCK: usize = 1 << 22;
/// Number of bytes hashed at a time: BLAKE3 is fastest from about 100 KiB on, and this many bytes stay in the
/// cache.
const CHUNK: usize = 1 << 17;

/// `tensor`, contiguous and on the CPU; no copy where it is so already.
pub(super) fn on_cpu(tensor: &Tensor) -> candle_core::Result<Tensor> {
    move_view(tensor, &Device::Cpu)?.contiguous()
}

/// BLAKE3 of a tensor's dtype, dimensions and values, each of which must be finite.
pub(super) fn digest(name: &str, tensor: &Tensor) -> Result<[u8; 32]> {
    let rows = tensor.dim(0)?;
    let width = tensor.elem_count() / rows.max(1);
    let mut digest = Digest::new(name, tensor.dtype(), tensor.dims());
    let step = if tensor.device().is_cpu() { rows } else { BLOCK / width.max(1) };
    for start in (0..rows).step_by(step.max(1)) {
        digest.add(&on_cpu(&tensor.narrow(0, start, step.max(1).min(rows - start))?)?)?;
    }
    Ok(digest.finish())
}

/// The digest of a tensor whose rows come in parts.
pub(super) struct Digest {
    name: String,
    /// The dimensions of a row.
    row: Vec<usize>,
    /// How many rows have come.
    rows: usize,
    hasher: blake3::Hasher,
}

impl Digest {
    /// Of a tensor with these dimensions, of which dimension 0 counts the rows.
    pub(super) fn new(name: &str, dtype: DType, dims: &[usize]) -> Self {
        let mut hasher = blake3::Hasher::new();
        hasher.update(format!("{} {dims:?}", dtype.as_str()).as_bytes());
        Self { name: name.into(), row: dims.get(1..).unwrap_or_default().to_vec(), rows: 0, hasher }
    }

    /// The next rows, contiguous and on the CPU.
    ///
    /// # Errors
    /// When a value is not finite.
    pub(super) fn add(&mut self, block: &Tensor) -> Result<()> {
        let bad = on_values!(block, values => Ok(absorb(&mut self.hasher, values, |x| x.to_le_bytes())))?;
        if let Some((at, value)) = bad {
            let width = self.row.iter().product::<usize>().max(1);
            let place = place(self.rows + at / width, &position(at % width, &self.row));
            return Err(Error::invalid(format!("{}, {place}", self.name), "finite", value));
        }
        self.rows += block.dim(0)?;
        Ok(())
    }

    pub(super) fn finish(self) -> [u8; 32] {
        *self.hasher.finalize().as_bytes()
    }
}

/// The words for the element of a row at this position: the row alone for a vector, the column of a table, and
/// one position for each further dimension.
pub(crate) fn place(row: usize, within: &[usize]) -> String {
    match within {
        [] => format!("row {row}"),
        [column] => format!("row {row}, column {column}"),
        position => format!("row {row}, position {position:?}"),
    }
}

/// The position in each dimension of the element that is number `at` in row-major order.
pub(crate) fn position(mut at: usize, dims: &[usize]) -> Vec<usize> {
    let mut position = vec![0; dims.len()];
    for (here, dim) in position.iter_mut().zip(dims).rev() {
        *here = at % dim;
        at /= dim;
    }
    position
}

/// Hashes `values`. Returns the position and text of the first value that is not finite, if any.
fn absorb<T: WithDType, const B: usize>(
    hasher: &mut blake3::Hasher,
    values: &[T],
    bytes: impl Fn(T) -> [u8; B],
) -> Option<(usize, String)> {
    let finite = |x: &T| x.to_f64().is_finite();
    let mut buffer = vec![0; CHUNK];
    for (chunk, part) in values.chunks(CHUNK / B).enumerate() {
        // A fold without early exit is vectorized; values are almost always finite.
        if !part.iter().fold(true, |all, x| all & finite(x)) {
            let (i, x) = part.iter().enumerate().find(|(_, x)| !finite(x))?;
            return Some((chunk * (CHUNK / B) + i, x.to_string()));
        }
        for (to, &x) in buffer.chunks_exact_mut(B).zip(part) {
            to.copy_from_slice(&bytes(x));
        }
        hasher.update(buffer.get(..part.len() * B).unwrap_or_default());
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_digest_is_that_of_dtype_shape_and_bytes() {
        let values: Vec<f32> = (0..100_000).map(|x| x as f32 * 0.37).collect();
        let tensor = Tensor::from_slice(&values, (1000, 100), &Device::Cpu).unwrap();
        let mut bytes = b"f32 [1000, 100]".to_vec();
        bytes.extend(values.iter().flat_map(|x| x.to_le_bytes()));
        assert_eq!(digest("x", &tensor).unwrap(), *blake3::hash(&bytes).as_bytes());
    }

    #[test]
    fn the_digest_depends_on_values_shape_and_dtype_but_not_on_the_layout() {
        let base = Tensor::arange(0u32, 12, &Device::Cpu).unwrap().to_dtype(DType::F32).unwrap();
        let of = |t: &Tensor| digest("x", t).unwrap();
        let square = base.reshape((3, 4)).unwrap();
        assert_ne!(of(&square), of(&base.reshape((4, 3)).unwrap()));
        assert_ne!(of(&square), of(&(&square + 1e-3).unwrap()));
        for dtype in [DType::F64, DType::F16, DType::BF16, DType::U8, DType::I64, DType::U32] {
            assert_ne!(of(&square), of(&square.to_dtype(dtype).unwrap()), "{dtype:?}");
        }
        let transposed = square.t().unwrap();
        assert_eq!(of(&transposed), of(&transposed.contiguous().unwrap()));
        let view = square.narrow(0, 1, 2).unwrap();
        assert_eq!(of(&view), of(&view.force_contiguous().unwrap()));
    }

    #[test]
    fn the_place_of_a_value_has_a_position_for_each_dimension() {
        assert_eq!(place(7, &position(0, &[])), "row 7");
        assert_eq!(place(7, &position(2, &[3])), "row 7, column 2");
        assert_eq!(place(7, &position(11, &[2, 3, 3])), "row 7, position [1, 0, 2]");
    }

    #[test]
    fn the_first_value_that_is_not_finite_is_found_in_any_chunk() {
        for bad in [0, 40_000, 99_999] {
            let mut values = vec![1f32; 100_000];
            values[bad] = f32::NEG_INFINITY;
            values[99_999] = f32::NAN;
            let tensor = Tensor::from_vec(values, (1000, 100), &Device::Cpu).unwrap();
            let value = if bad == 99_999 { "NaN" } else { "-inf" };
            let want = format!("x, row {}, column {} must be finite, but is {value}", bad / 100, bad % 100);
            assert_eq!(digest("x", &tensor).unwrap_err().to_string(), want);
        }
    }
}
