//! Convolutions of one or two dimensions and their gradients.
//!
//! A convolution is a product of matrices: the kernels times a table with a row for each element of a kernel and a
//! column for each output. The table is made for a few rows of the batch at a time, so it stays in the cache.
mod axis;
mod columns;
#[cfg(test)]
mod tests;

pub(crate) use axis::Axis;

use crate::kernels::{
    float::Real,
    gradients::{Gradients, Wanted},
    matmul::Matrix,
    simd::vectorized,
    sums::{fold_in_lanes, plus},
};
use candle_core::Result as CResult;
use columns::Element;
use std::{borrow::Cow, ops::Range};

/// The most elements that a table has, unless it is for one row of the batch.
const TABLE: usize = 1 << 16;

/// The sizes of a convolution. Inputs are `batch × groups · inputs × height × width` elements, kernels
/// `groups · outputs × inputs × height × width`, and outputs `batch × groups · outputs × height × width`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Convolution {
    pub(crate) batch: usize,
    pub(crate) groups: usize,
    /// The number of input channels of a group.
    pub(crate) inputs: usize,
    /// The number of output channels of a group.
    pub(crate) outputs: usize,
    /// Height and width.
    pub(crate) axes: [Axis; 2],
}

impl Convolution {
    /// The number of elements of one channel of the inputs of a row of the batch.
    fn plane(&self) -> usize {
        self.axes.iter().map(|axis| axis.input).product()
    }

    /// The number of elements of one channel of the outputs of a row of the batch.
    fn positions(&self) -> usize {
        self.axes.iter().map(|axis| axis.output).product()
    }

    /// The number of elements of a kernel.
    fn kernel(&self) -> usize {
        self.inputs * self.axes[0].kernel * self.axes[1].kernel
    }

    fn input_row(&self) -> usize {
        self.groups * self.inputs * self.plane()
    }

    fn channels(&self) -> usize {
        self.groups * self.outputs
    }

    /// The rows of the batch, in blocks. The sizes of blocks depend on nothing but the sizes of the convolution.
    fn blocks(&self) -> impl Iterator<Item = Range<usize>> {
        let (batch, rows) = (self.batch, self.rows_of_block());
        (0..batch).step_by(rows).map(move |first| first..(first + rows).min(batch))
    }

    fn rows_of_block(&self) -> usize {
        (TABLE / (self.kernel() * self.positions()).max(1)).clamp(1, self.batch.max(1))
    }

    /// Room for the table of a block.
    fn table<T: Real>(&self) -> Vec<T> {
        vec![T::zero(); self.kernel() * self.rows_of_block() * self.positions()]
    }

    /// Where each element of a kernel lies over a plane of inputs.
    fn elements(&self) -> Vec<Element> {
        let [height, width] = self.axes;
        let columns = |i: usize| (0..width.kernel).map(move |j| Element::new([height, width], [i, j]));
        (0..height.kernel).flat_map(columns).collect()
    }

    /// Calls `visit` with each element of the kernels of a group, the place of a plane of inputs in a block of these
    /// many rows, and the outputs of these in the table. `visit` is vectorised where it is always inlined.
    fn each_plane<T>(
        &self,
        elements: &[Element],
        (group, rows): (usize, usize),
        table: &mut [T],
        mut visit: impl FnMut(&Element, Range<usize>, &mut [T]),
    ) {
        vectorized(
            #[inline(always)]
            || {
                let plane = self.plane();
                let mut outputs = table.chunks_exact_mut(self.positions());
                for channel in group * self.inputs..(group + 1) * self.inputs {
                    for element in elements {
                        for (row, outputs) in outputs.by_ref().take(rows).enumerate() {
                            let first = row * self.input_row() + channel * plane;
                            visit(element, first..first + plane, outputs);
                        }
                    }
                }
            },
        );
    }

    /// Fills the table of a group from a block of inputs of these many rows.
    fn gather<T: Real>(&self, elements: &[Element], of: (usize, usize), x: &[T], table: &mut [T]) {
        self.each_plane(
            elements,
            of,
            table,
            #[inline(always)]
            |element, plane, outputs| element.gather(&x[plane], outputs),
        );
    }

    /// Adds the table of a group to a block of inputs, from which [`gather`](Self::gather) would fill it.
    fn scatter<T: Real>(&self, elements: &[Element], of: (usize, usize), table: &mut [T], x: &mut [T]) {
        self.each_plane(
            elements,
            of,
            table,
            #[inline(always)]
            |element, plane, outputs| element.scatter(outputs, &mut x[plane]),
        );
    }

    /// The kernels of a group.
    fn kernels<'w, T: Real>(&self, group: usize, weight: &'w [T]) -> CResult<Matrix<'w, T>> {
        Matrix::new(&weight[self.of_group(group)], self.outputs, self.kernel())
    }

    fn of_group(&self, group: usize) -> Range<usize> {
        let elements = self.outputs * self.kernel();
        group * elements..(group + 1) * elements
    }

    /// The outputs. `finish` changes them, block by block, while they are in the cache.
    pub(crate) fn forward<T: Real>(
        &self,
        x: &[T],
        weight: &[T],
        bias: Option<&[T]>,
        finish: impl Fn(&mut [T]),
    ) -> CResult<Vec<T>> {
        let (positions, channels) = (self.positions(), self.channels());
        let mut y = Vec::with_capacity(self.batch * channels * positions);
        let (mut table, elements) = (self.table(), self.elements());
        let mut product = vec![T::zero(); channels * self.rows_of_block() * positions];
        for block in self.blocks() {
            let (rows, start) = (block.len(), y.len());
            let x = &x[block.start * self.input_row()..block.end * self.input_row()];
            let columns = rows * positions;
            let table = &mut table[..self.kernel() * columns];
            let product = &mut product[..channels * columns];
            for group in 0..self.groups {
                self.gather(&elements, (group, rows), x, table);
                let product = &mut product[group * self.outputs * columns..][..self.outputs * columns];
                let table = Matrix::new(table, self.kernel(), columns)?;
                self.kernels(group, weight)?.times_into(table, product)?;
            }
            self.append_rows(product, rows, bias, &mut y);
            finish(&mut y[start..]);
        }
        Ok(y)
    }

    /// Appends a block of outputs in which a channel has the outputs of all rows side by side, row by row, and adds
    /// the bias of each channel.
    fn append_rows<T: Real>(&self, product: &[T], rows: usize, bias: Option<&[T]>, y: &mut Vec<T>) {
        vectorized(
            #[inline(always)]
            || {
                for (channel, outputs) in self.by_rows(rows) {
                    let outputs = &product[outputs];
                    match bias {
                        None => y.extend_from_slice(outputs),
                        Some(bias) => {
                            let bias = bias[channel];
                            y.extend(outputs.iter().map(
                                #[inline(always)]
                                |y| *y + bias,
                            ));
                        }
                    }
                }
            },
        );
    }

    /// For each row of a block and each channel, row by row: the channel, and where its outputs are in a table in
    /// which a channel has the outputs of all rows side by side.
    #[inline(always)]
    fn by_rows(&self, rows: usize) -> impl Iterator<Item = (usize, Range<usize>)> {
        let (channels, positions) = (self.channels(), self.positions());
        (0..rows).flat_map(move |row| {
            (0..channels).map(move |channel| {
                let first = (channel * rows + row) * positions;
                (channel, first..first + positions)
            })
        })
    }

    /// The gradients, from the gradient of the outputs before `finish`, of which `g` returns a part.
    pub(crate) fn backward<'g, T: Real>(
        &self,
        x: &[T],
        weight: &[T],
        g: impl Fn(Range<usize>) -> Cow<'g, [T]>,
        wanted: Wanted,
    ) -> CResult<Gradients<T>> {
        let (positions, channels) = (self.positions(), self.channels());
        let mut of_x = wanted.x.then(|| vec![T::zero(); x.len()]);
        let mut of_weight = wanted.weight.then(|| vec![T::zero(); weight.len()]);
        let mut of_bias = wanted.bias.then(|| vec![0f64; channels]);
        let (mut table, elements) = (self.table(), self.elements());
        for block in self.blocks() {
            let rows = block.len();
            let columns = rows * positions;
            let table = &mut table[..self.kernel() * columns];
            let g = g(block.start * channels * positions..block.end * channels * positions);
            let g = self.side_by_side(g, rows);
            if let Some(of_bias) = &mut of_bias {
                add_row_sums(&g, columns, of_bias);
            }
            let inputs = block.start * self.input_row()..block.end * self.input_row();
            for group in 0..self.groups {
                let g = &g[group * self.outputs * columns..][..self.outputs * columns];
                let g = Matrix::new(g, self.outputs, columns)?;
                if let Some(of_weight) = &mut of_weight {
                    self.gather(&elements, (group, rows), &x[inputs.clone()], table);
                    let table = Matrix::new(table, self.kernel(), columns)?;
                    g.add_times(table.t(), &mut of_weight[self.of_group(group)])?;
                }
                if let Some(of_x) = &mut of_x {
                    self.kernels(group, weight)?.t().times_into(g, table)?;
                    self.scatter(&elements, (group, rows), table, &mut of_x[inputs.clone()]);
                }
            }
        }
        let of_bias = of_bias.map(|sums| sums.into_iter().map(T::of).collect());
        Ok(Gradients { x: of_x, weight: of_weight, bias: of_bias })
    }

    /// A block of outputs with those of all rows side by side in each channel.
    fn side_by_side<'g, T: Real>(&self, outputs: Cow<'g, [T]>, rows: usize) -> Cow<'g, [T]> {
        if rows <= 1 {
            return outputs;
        }
        let mut table = vec![T::zero(); outputs.len()];
        for ((_, place), outputs) in self.by_rows(rows).zip(outputs.chunks_exact(self.positions())) {
            table[place].copy_from_slice(outputs);
        }
        Cow::Owned(table)
    }
}

/// Adds the sum of each row of a table to a number.
fn add_row_sums<T: Real>(table: &[T], columns: usize, sums: &mut [f64]) {
    vectorized(
        #[inline(always)]
        || {
            for (sum, row) in sums.iter_mut().zip(table.chunks_exact(columns)) {
                *sum += fold_in_lanes(
                    row,
                    0.,
                    #[inline(always)]
                    |a, x: T| a + x.wide(),
                    plus,
                );
            }
        },
    );
}
