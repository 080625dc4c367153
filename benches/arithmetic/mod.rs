//! The matrix products of a training step, and nothing else: what the step costs at least.
use gemm::{gemm, Parallelism};

/// The products of linear layers one after the other in a training step: their outputs, the gradients of their
/// weights, and the gradients of their inputs, except those of the first layer, which no step needs. The
/// memory is kept from step to step.
pub struct Products {
    widths: Vec<usize>,
    /// The inputs of each layer, and the outputs of the last.
    xs: Vec<Vec<f32>>,
    /// Their gradients.
    of_xs: Vec<Vec<f32>>,
    weights: Vec<Vec<f32>>,
    of_weights: Vec<Vec<f32>>,
}

impl Products {
    /// For layers of these widths and steps of at most `rows` rows.
    pub fn new(widths: &[usize], rows: usize) -> Self {
        let vectors = || widths.iter().map(|width| numbers(rows * width)).collect();
        let matrices = || widths.windows(2).map(|w| numbers(w[0] * w[1])).collect();
        let (weights, of_weights) = (matrices(), matrices());
        Self { widths: widths.to_vec(), xs: vectors(), of_xs: vectors(), weights, of_weights }
    }

    /// The products of a step of `rows` rows.
    pub fn step(&mut self, rows: usize) {
        for (layer, w) in self.widths.windows(2).enumerate() {
            let weight = Matrix::new(&self.weights[layer], w[1], w[0]);
            let (before, after) = self.xs.split_at_mut(layer + 1);
            product(Matrix::new(&before[layer], rows, w[0]), weight.t(), &mut after[0]);
        }
        for (layer, w) in self.widths.windows(2).enumerate().rev() {
            let (before, after) = self.of_xs.split_at_mut(layer + 1);
            let of_outputs = Matrix::new(&after[0], rows, w[1]);
            let x = Matrix::new(&self.xs[layer], rows, w[0]);
            product(of_outputs.t(), x, &mut self.of_weights[layer]);
            if layer > 0 {
                product(of_outputs, Matrix::new(&self.weights[layer], w[1], w[0]), &mut before[layer]);
            }
        }
    }
}

/// Numbers from −0.01 to 0.01 without a pattern, so small that products of products stay finite.
fn numbers(len: usize) -> Vec<f32> {
    (0..len).map(|i| ((i * 37 + i / 101) % 101) as f32 / 5000. - 0.01).collect()
}

/// A matrix at the beginning of a slice.
#[derive(Clone, Copy)]
struct Matrix<'a> {
    elements: &'a [f32],
    rows: usize,
    columns: usize,
    row_stride: usize,
    column_stride: usize,
}

impl<'a> Matrix<'a> {
    /// A matrix whose rows lie one after the other.
    fn new(elements: &'a [f32], rows: usize, columns: usize) -> Self {
        assert!(rows * columns <= elements.len());
        Self { elements, rows, columns, row_stride: columns, column_stride: 1 }
    }

    fn t(self) -> Self {
        let Self { elements, rows, columns, row_stride, column_stride } = self;
        Self { elements, rows: columns, columns: rows, row_stride: column_stride, column_stride: row_stride }
    }
}

/// Writes `a · b` row by row, on one thread.
fn product(a: Matrix<'_>, b: Matrix<'_>, product: &mut [f32]) {
    assert!(a.columns == b.rows && a.rows * b.columns <= product.len());
    // SAFETY: Sizes and strides of `a` and `b` describe elements within their slices, as `Matrix::new` has checked, and
    // the slice of the product has room for it. It is none of theirs, because it is borrowed mutably.
    #[allow(unsafe_code)]
    unsafe {
        gemm(
            a.rows,
            b.columns,
            a.columns,
            product.as_mut_ptr(),
            1,
            b.columns as isize,
            false,
            a.elements.as_ptr(),
            a.column_stride as isize,
            a.row_stride as isize,
            b.elements.as_ptr(),
            b.column_stride as isize,
            b.row_stride as isize,
            0.,
            1.,
            false,
            false,
            false,
            Parallelism::None,
        );
    }
}
