//! Positions of the largest and the smallest elements.
use crate::kernels::{cpu, float::Number};
use candle_core::{DType, Result, Tensor};

/// The position of the largest element; the first of equal ones.
pub(crate) fn argmax<T: PartialOrd>(row: &[T]) -> usize {
    let better = |best: usize, i: usize| if row[i] > row[best] { i } else { best };
    (1..row.len()).fold(0, better)
}

/// The position of the smallest element; the first of equal ones.
pub(crate) fn argmin(values: &[f64]) -> usize {
    let better = |best: usize, i: usize| if values[i] < values[best] { i } else { best };
    (1..values.len()).fold(0, better)
}

/// The position of the largest element in each row of a table `(N, C)`; the first of equal ones. Elements are
/// compared in the table's own type, without rounding.
pub(crate) fn argmax_rows(table: &Tensor) -> Result<Vec<u32>> {
    fn of_type<T: Number>(table: &Tensor) -> Result<Vec<u32>> {
        let width = table.dims2()?.1.max(1);
        cpu::with_slice(table, |all: &[T]| all.chunks_exact(width).map(|row| argmax(row) as u32).collect())
    }
    match table.dtype() {
        DType::F64 => of_type::<f64>(table),
        _ => of_type::<f32>(table),
    }
}
