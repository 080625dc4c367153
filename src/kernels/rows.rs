//! Copies of rows.
use crate::kernels::cpu::Elements;
use candle_core::{bail, DType, Result as CResult, Tensor, WithDType};
use half::{bf16, f16};

/// The rows of a tensor with these numbers, in this order. They are those of [`Tensor::index_select`], which fills the
/// memory with zeros first and copies in smaller pieces.
///
/// # Errors
/// When a number is not below the number of rows.
pub(crate) fn select(tensor: &Tensor, rows: &[u32]) -> CResult<Tensor> {
    let tensor = &tensor.contiguous()?;
    match (tensor.device().is_cpu(), tensor.dtype()) {
        (true, DType::U8) => select_of::<u8>(tensor, rows),
        (true, DType::U32) => select_of::<u32>(tensor, rows),
        (true, DType::I64) => select_of::<i64>(tensor, rows),
        (true, DType::BF16) => select_of::<bf16>(tensor, rows),
        (true, DType::F16) => select_of::<f16>(tensor, rows),
        (true, DType::F32) => select_of::<f32>(tensor, rows),
        (true, DType::F64) => select_of::<f64>(tensor, rows),
        _ => tensor.index_select(&Tensor::from_slice(rows, rows.len(), tensor.device())?, 0),
    }
}

fn select_of<T: WithDType>(tensor: &Tensor, rows: &[u32]) -> CResult<Tensor> {
    let (count, mut dims) = (tensor.dim(0)?, tensor.dims().to_vec());
    let width = dims.iter().skip(1).product::<usize>();
    let selected = {
        let elements = Elements::of(tensor)?;
        let all = elements.as_slice::<T>()?;
        let mut selected = Vec::with_capacity(rows.len() * width);
        for &row in rows {
            match all.get(row as usize * width..(row as usize + 1) * width) {
                Some(row) => selected.extend_from_slice(row),
                None => bail!("row {row} is not below {count}, the number of rows"),
            }
        }
        selected
    };
    if let Some(first) = dims.first_mut() {
        *first = rows.len();
    }
    Tensor::from_vec(selected, dims, tensor.device())
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::Device;
    use proptest::prelude::*;

    const DTYPES: [DType; 7] =
        [DType::U8, DType::U32, DType::I64, DType::BF16, DType::F16, DType::F32, DType::F64];

    proptest! {
        #[test]
        fn rows_are_those_of_index_select(
            count in 1usize..9,
            others in prop::collection::vec(0usize..4, 0..3),
            picked in prop::collection::vec(any::<u32>(), 0..12),
            dtype in prop::sample::select(&DTYPES[..]),
            transposed: bool,
        ) {
            let dims = [&[count], &others[..]].concat();
            let elements = dims.iter().product::<usize>();
            let all = Tensor::arange(0u32, elements as u32, &Device::Cpu).unwrap();
            let mut all = all.reshape(dims).unwrap().to_dtype(dtype).unwrap();
            if transposed && all.rank() > 1 {
                all = all.transpose(0, 1).unwrap();
            }
            let count = all.dim(0).unwrap() as u32;
            let picked: Vec<u32> = picked.into_iter().filter(|_| count > 0).map(|row| row % count.max(1)).collect();
            let got = select(&all, &picked).unwrap();
            let ids = Tensor::from_slice(&picked, picked.len(), &Device::Cpu).unwrap();
            prop_assert_eq!(got.dims(), [&[picked.len()], &all.dims()[1..]].concat());
            if got.elem_count() > 0 {
                let wide = |t: &Tensor| {
                    t.to_dtype(DType::F64).unwrap().flatten_all().unwrap().to_vec1::<f64>().unwrap()
                };
                prop_assert_eq!(wide(&got), wide(&all.contiguous().unwrap().index_select(&ids, 0).unwrap()));
            }
        }
    }

    #[test]
    fn a_row_that_does_not_exist_is_an_error() {
        for dims in [vec![2, 3], vec![2]] {
            let all = Tensor::zeros(dims, DType::F32, &Device::Cpu).unwrap();
            assert!(select(&all, &[0, 1]).is_ok() && select(&all, &[0, 2]).is_err());
        }
    }
}
