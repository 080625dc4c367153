//! Positions of the largest and the smallest elements.
use crate::kernels::{cpu, float::Number};
use candle_core::{DType, Result, Tensor};

/// The position of the largest element; the first of equal ones.
pub(crate) fn argmax<T: PartialOrd>(row: &[T]) -> usize {
    let better = |best: usize, i: usize| if row[i] > row[best] { i } else { best };
    (1..row.len()).fold(0, better)
}

/// Whether an element is the largest, and the first of equal ones: [`argmax`] without the search. No element is it among
/// others that are NaN.
pub(crate) fn is_argmax<T: PartialOrd>(row: &[T], position: usize) -> bool {
    match (row.get(..position), row.get(position..)) {
        (Some(before), Some([largest, after @ ..])) => {
            before.iter().all(|x| x < largest) && after.iter().all(|x| x <= largest)
        }
        _ => false,
    }
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

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// Few different values, so that there are equal ones.
        #[test]
        fn the_largest_element_is_the_one_that_a_search_finds(row in prop::collection::vec(-3i8..3, 1..12)) {
            let found = argmax(&row);
            for position in 0..row.len() {
                prop_assert_eq!(is_argmax(&row, position), position == found, "{:?}", row);
            }
            prop_assert!(!is_argmax(&row, row.len()));
        }
    }

    #[test]
    fn no_element_is_the_largest_among_others_that_are_nan() {
        assert!(!is_argmax(&[1., f64::NAN], 0) && !is_argmax(&[f64::NAN, 1.], 1));
        assert!(is_argmax(&[f64::NAN], 0) && is_argmax(&[f64::NEG_INFINITY, f64::INFINITY], 1));
    }
}
