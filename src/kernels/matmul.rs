//! Products of matrices.
//!
//! The crate `gemm`, which is behind candle's own products too, computes them. Called directly it writes into
//! memory that need not be zeroed, adds to what is there, and reads transposed matrices without a copy.
use crate::kernels::float::Real;
use candle_core::{bail, utils::get_num_threads, Result as CResult};
use gemm::Parallelism;
use std::sync::OnceLock;

/// A matrix in a slice.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Matrix<'a, T> {
    // The largest index, `(rows − 1) · row_stride + (columns − 1) · column_stride`, is below the length.
    elements: &'a [T],
    rows: usize,
    columns: usize,
    row_stride: usize,
    column_stride: usize,
}

impl<'a, T: Real> Matrix<'a, T> {
    /// A matrix whose rows lie one after the other.
    pub(crate) fn new(elements: &'a [T], rows: usize, columns: usize) -> CResult<Self> {
        if rows.checked_mul(columns) != Some(elements.len()) {
            bail!("expected {rows} · {columns} elements for a matrix, got {}", elements.len());
        }
        Ok(Self { elements, rows, columns, row_stride: columns, column_stride: 1 })
    }

    /// The transposed matrix, without a copy.
    pub(crate) fn t(self) -> Self {
        Self {
            elements: self.elements,
            rows: self.columns,
            columns: self.rows,
            row_stride: self.column_stride,
            column_stride: self.row_stride,
        }
    }

    /// `self · other`, row by row.
    pub(crate) fn times(self, other: Self) -> CResult<Vec<T>> {
        let mut product = Vec::new();
        self.append_times(other, &mut product)?;
        Ok(product)
    }

    /// Appends `self · other`, row by row.
    pub(crate) fn append_times(self, other: Self, products: &mut Vec<T>) -> CResult<()> {
        let elements = self.elements_with(other)?;
        if elements == 0 {
            return Ok(());
        }
        let len = products.len();
        products.reserve_exact(elements);
        // SAFETY: The vector has room for `elements` elements after its first `len`, and `multiply` writes all of
        // them before the length says so.
        #[allow(unsafe_code)]
        unsafe {
            multiply(self, other, products.as_mut_ptr().add(len), false);
            products.set_len(len + elements);
        }
        Ok(())
    }

    /// `product = self · other`, row by row.
    pub(crate) fn times_into(self, other: Self, product: &mut [T]) -> CResult<()> {
        self.write(other, product, false)
    }

    /// `sums += self · other`.
    pub(crate) fn add_times(self, other: Self, sums: &mut [T]) -> CResult<()> {
        self.write(other, sums, true)
    }

    fn write(self, other: Self, product: &mut [T], add: bool) -> CResult<()> {
        let elements = self.elements_with(other)?;
        if product.len() != elements {
            bail!("expected room for {elements} elements of a product, got {}", product.len());
        }
        if elements == 0 {
            return Ok(());
        }
        // SAFETY: The slice has the elements of the product, and all of them are initialized.
        #[allow(unsafe_code)]
        unsafe {
            multiply(self, other, product.as_mut_ptr(), add);
        }
        Ok(())
    }

    /// The number of elements of the product with another matrix.
    fn elements_with(self, other: Self) -> CResult<usize> {
        let elements = self.rows.checked_mul(other.columns).filter(|_| self.columns == other.rows);
        match elements {
            Some(elements) => Ok(elements),
            None => bail!(
                "no product of matrices of {} by {} and {} by {}",
                self.rows,
                self.columns,
                other.rows,
                other.columns
            ),
        }
    }
}

/// Writes `a · b` row by row, or adds it to what is there.
///
/// # Safety
/// `product` is valid for writes of `a.rows · b.columns` elements, aligned, and not part of `a` or `b`. If it
/// is added to, the elements are initialized. `a.columns` is `b.rows`.
#[allow(unsafe_code)]
unsafe fn multiply<T: Real>(a: Matrix<'_, T>, b: Matrix<'_, T>, product: *mut T, add: bool) {
    let strides = |m: &Matrix<'_, T>| (m.column_stride as isize, m.row_stride as isize);
    let ((a_column, a_row), (b_column, b_row)) = (strides(&a), strides(&b));
    let (rows, columns, inner) = (a.rows, b.columns, a.columns);
    let (none, one) = (T::zero(), T::one());
    let threads = threads_for(rows, columns, inner);
    // SAFETY: Strides and sizes describe elements within the slices of `a` and `b`, by the invariant of
    // `Matrix`, and within `product`, by the contract of this function. Strides of a slice fit into an isize.
    // `gemm` reads `product` only if it is told to add, and writes each element of it, also when `inner` is 0.
    unsafe {
        gemm::gemm(
            rows,
            columns,
            inner,
            product,
            1,
            columns as isize,
            add,
            a.elements.as_ptr(),
            a_column,
            a_row,
            b.elements.as_ptr(),
            b_column,
            b_row,
            if add { one } else { none },
            one,
            false,
            false,
            false,
            threads,
        );
    }
}

/// The threads of a product: those of candle's products, and one where more do not pay.
fn threads_for(rows: usize, columns: usize, inner: usize) -> Parallelism {
    // Asking candle takes as long as a small product: it reads the environment or `/proc/cpuinfo`.
    static THREADS: OnceLock<usize> = OnceLock::new();
    let work = rows.saturating_mul(columns).saturating_mul(inner);
    match work > gemm::get_threading_threshold() {
        true => match *THREADS.get_or_init(get_num_threads) {
            0 | 1 => Parallelism::None,
            more => Parallelism::Rayon(more),
        },
        false => Parallelism::None,
    }
}

/// The sum of each column of a matrix whose rows lie one after the other.
pub(crate) fn column_sums<T: Real>(elements: &[T], columns: usize) -> Vec<T> {
    let mut sums = vec![T::zero(); columns];
    crate::kernels::simd::vectorized(
        #[inline(always)]
        || {
            for row in elements.chunks_exact(columns.max(1)) {
                for (sum, x) in sums.iter_mut().zip(row) {
                    *sum += *x;
                }
            }
        },
    );
    sums
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn plain(a: &[f64], b: &[f64], [rows, inner, columns]: [usize; 3]) -> Vec<f64> {
        let element = |i: usize| {
            let (row, column) = (i / columns, i % columns);
            (0..inner).map(|k| a[row * inner + k] * b[k * columns + column]).sum()
        };
        (0..rows * columns).map(element).collect()
    }

    fn numbers(len: usize, salt: usize) -> Vec<f64> {
        (0..len).map(|i| ((i * 37 + salt * 11) % 101) as f64 / 50. - 1.).collect()
    }

    fn transposed(x: &[f64], rows: usize) -> Vec<f64> {
        let columns = x.len() / rows.max(1);
        (0..x.len()).map(|i| x[(i % rows) * columns + i / rows]).collect()
    }

    fn near(got: &[f64], exact: &[f64], tolerance: f64) -> bool {
        got.len() == exact.len() && got.iter().zip(exact).all(|(a, b)| (a - b).abs() <= tolerance)
    }

    proptest! {
        #[test]
        fn products_are_those_of_the_definition(dims in prop::array::uniform3(0usize..40)) {
            let [rows, inner, columns] = dims;
            let (a, b) = (numbers(rows * inner, 1), numbers(inner * columns, 2));
            let exact = plain(&a, &b, dims);
            let (at, bt) = (transposed(&a, rows), transposed(&b, inner));
            let (ma, mb) = (Matrix::new(&a, rows, inner).unwrap(), Matrix::new(&b, inner, columns).unwrap());
            let mat = Matrix::new(&at, inner, rows).unwrap().t();
            let mbt = Matrix::new(&bt, columns, inner).unwrap().t();
            for (a, b) in [(ma, mb), (mat, mb), (ma, mbt), (mat, mbt)] {
                prop_assert!(near(&a.times(b).unwrap(), &exact, 1e-12));
                let mut sums = exact.clone();
                a.add_times(b, &mut sums).unwrap();
                prop_assert!(near(&sums, &exact.iter().map(|x| 2. * x).collect::<Vec<_>>(), 1e-12));
                a.times_into(b, &mut sums).unwrap();
                prop_assert!(near(&sums, &exact, 1e-12));
                a.append_times(b, &mut sums).unwrap();
                prop_assert!(near(&sums, &[&exact[..], &exact].concat(), 1e-12));
            }
            let narrow = |x: &[f64]| x.iter().map(|x| *x as f32).collect::<Vec<_>>();
            let (a, b) = (narrow(&a), narrow(&b));
            let (a, b) = (Matrix::new(&a, rows, inner).unwrap(), Matrix::new(&b, inner, columns).unwrap());
            let product: Vec<f64> = a.times(b).unwrap().into_iter().map(f64::from).collect();
            prop_assert!(near(&product, &exact, 1e-4));
        }
    }

    #[test]
    fn the_number_of_threads_does_not_change_a_product() {
        let (rows, inner, columns) = (130, 700, 90);
        let (a, b) = (numbers(rows * inner, 1), numbers(inner * columns, 2));
        let product = |threads| {
            let mut product = vec![0.; rows * columns];
            #[allow(unsafe_code)]
            // SAFETY: Sizes and strides are those of the vectors.
            unsafe {
                gemm::gemm(
                    rows,
                    columns,
                    inner,
                    product.as_mut_ptr(),
                    1,
                    columns as isize,
                    false,
                    a.as_ptr(),
                    1,
                    inner as isize,
                    b.as_ptr(),
                    1,
                    columns as isize,
                    0.,
                    1.,
                    false,
                    false,
                    false,
                    threads,
                );
            }
            product
        };
        let one = product(Parallelism::None);
        for threads in 2..6 {
            assert_eq!(product(Parallelism::Rayon(threads)), one, "{threads}");
        }
    }

    #[test]
    fn sizes_that_do_not_fit_are_errors() {
        let x = [1f32; 6];
        assert!(Matrix::new(&x, 2, 2).is_err() && Matrix::new(&x, usize::MAX, 2).is_err());
        let (a, b) = (Matrix::new(&x, 2, 3).unwrap(), Matrix::new(&x, 2, 3).unwrap());
        assert!(a.times(b).is_err());
        assert!(a.add_times(b.t(), &mut [0.; 3]).is_err());
    }

    #[test]
    fn columns_are_summed() {
        assert_eq!(column_sums(&[1., 2., 3., 4., 5., 6.], 3), [5., 7., 9.]);
        assert_eq!(column_sums(&[0f32; 0], 2), [0., 0.]);
    }
}
