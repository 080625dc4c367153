//! Numbers that are not finite, and the rows that hold them.
use crate::kernels::{cpu, float::Number};
use candle_core::{DType, Result, Tensor};
use std::collections::BTreeSet;

/// The numbers that are NaN or infinite, with their positions.
pub(crate) fn not_finite<T: Number>(numbers: &[T]) -> impl Iterator<Item = (usize, T)> {
    const BLOCK: usize = 4096;
    // Zero times NaN or infinity is NaN.
    let finite = |x: T| x * T::zero() == T::zero();
    numbers
        .chunks(BLOCK)
        .enumerate()
        // A fold without early exit is vectorized, and nearly every block is finite.
        .filter(move |(_, block)| !block.iter().fold(true, |all, x| all & finite(*x)))
        .flat_map(|(number, block)| block.iter().enumerate().map(move |(i, x)| (number * BLOCK + i, *x)))
        .filter(move |(_, x)| !finite(*x))
}

/// The rows that hold NaN, or any number that is not finite if `or_infinite`. Dimension `dim` counts the rows.
/// Integers are finite.
pub(crate) fn bad_rows(tensor: &Tensor, dim: usize, or_infinite: bool) -> Result<BTreeSet<usize>> {
    let tensor = tensor.detach();
    match tensor.dtype() {
        dtype if !dtype.is_float() || tensor.elem_count() == 0 => Ok(BTreeSet::new()),
        _ if !tensor.device().is_cpu() => bad_rows_on_device(&tensor, dim, or_infinite),
        DType::F64 => bad_rows_as::<f64>(&tensor, dim, or_infinite),
        _ => bad_rows_as::<f32>(&tensor, dim, or_infinite),
    }
}

fn bad_rows_as<T: Number>(tensor: &Tensor, dim: usize, or_infinite: bool) -> Result<BTreeSet<usize>> {
    let (rows, width) = (tensor.dim(dim)?, tensor.dims()[dim + 1..].iter().product::<usize>());
    cpu::with_slice(tensor, |all: &[T]| {
        let bad = not_finite(all).filter(|(_, x)| or_infinite || (*x).into().is_nan());
        bad.map(|(i, _)| i / width % rows).collect()
    })
}

/// With operations of the tensor's own device, so that only one number for each row is moved.
fn bad_rows_on_device(tensor: &Tensor, dim: usize, or_infinite: bool) -> Result<BTreeSet<usize>> {
    let rows = tensor.dim(dim)?;
    let before: usize = tensor.dims()[..dim].iter().product();
    let table = tensor.to_dtype(DType::F32)?.reshape((before, rows, ()))?;
    // Zero times infinity is NaN, and NaN alone differs from itself.
    let table = if or_infinite { (table * 0.)? } else { table };
    let flags = table.ne(&table)?.to_dtype(DType::F32)?.max(2)?.max(0)?.to_vec1::<f32>()?;
    Ok((0..rows).filter(|row| flags[*row] > 0.).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::Device;

    #[test]
    fn numbers_that_are_not_finite_are_found_in_any_block() {
        let mut numbers = vec![1f32; 10_000];
        assert_eq!(not_finite(&numbers).count(), 0);
        for (i, x) in [(0, f32::NAN), (4095, f32::INFINITY), (4096, f32::NEG_INFINITY), (9999, f32::NAN)] {
            numbers[i] = x;
        }
        numbers[5000] = f32::MAX;
        let found: Vec<usize> = not_finite(&numbers).map(|(i, _)| i).collect();
        assert_eq!(found, [0, 4095, 4096, 9999]);
    }

    #[test]
    fn rows_are_found_along_any_dimension_and_in_any_type() {
        // (2, 3, 2): row 2 of slot 0 has NaN, row 0 of slot 1 has infinity.
        let mut values = [0f64; 12];
        (values[5], values[7]) = (f64::NAN, f64::NEG_INFINITY);
        let all = Tensor::from_slice(&values, (2, 3, 2), &Device::Cpu).unwrap();
        for dtype in [DType::F64, DType::F32, DType::F16, DType::BF16] {
            let t = all.to_dtype(dtype).unwrap();
            for of in [bad_rows, bad_rows_on_device] {
                let rows = |t: &Tensor, dim, or_infinite| {
                    of(t, dim, or_infinite).unwrap().into_iter().collect::<Vec<_>>()
                };
                assert_eq!((rows(&t, 1, false), rows(&t, 1, true)), (vec![2], vec![0, 2]), "{dtype:?}");
                assert_eq!((rows(&t, 0, false), rows(&t, 0, true)), (vec![0], vec![0, 1]), "{dtype:?}");
                let transposed = t.transpose(0, 1).unwrap();
                assert_eq!((rows(&transposed, 0, false), rows(&transposed, 0, true)), (vec![2], vec![0, 2]));
            }
        }
        let ids = Tensor::new(&[1u32, 2], &Device::Cpu).unwrap();
        assert!(bad_rows(&ids, 0, true).unwrap().is_empty());
        assert!(bad_rows(&Tensor::zeros((0, 2), DType::F32, &Device::Cpu).unwrap(), 0, true)
            .unwrap()
            .is_empty());
    }
}
