//! The inputs under each element of a kernel, side by side (im2col), and the way back (col2im).
use crate::kernels::{convolve::Axis, float::Real};
use std::ops::Range;

/// An element of the kernel, and where it lies over a plane of inputs: one channel of one row of the batch.
#[derive(Clone, Copy)]
pub(super) struct Element<'a> {
    axes: &'a [Axis; 2],
    at: [usize; 2],
}

impl<'a> Element<'a> {
    pub(super) fn new(axes: &'a [Axis; 2], at: [usize; 2]) -> Self {
        Self { axes, at }
    }

    /// The rows and the columns of the outputs for which the element lies over an input.
    fn inside(self) -> [Range<usize>; 2] {
        let ([height, width], [i, j]) = (self.axes, self.at);
        let (rows, columns) = (height.inside(i), width.inside(j));
        // Where one is empty no output is left.
        if rows.is_empty() || columns.is_empty() {
            return [0..0, 0..0];
        }
        [rows, columns]
    }

    /// The place in the plane of the input under the element, for an output.
    fn under(self, row: usize, column: usize) -> usize {
        let ([height, width], [i, j]) = (self.axes, self.at);
        height.under(i, row) * width.input + width.under(j, column)
    }

    /// Where outputs that are neighbours, also from the end of one row to the begin of the next, lie over inputs
    /// that are: the outputs from the first inside to the last. Those beside the rows are among them.
    fn as_one_run(self) -> Option<(Range<usize>, [Range<usize>; 2])> {
        let [height, width] = self.axes;
        let [rows, columns] = self.inside();
        let fits = height.stride == 1 && width.stride == 1 && width.output == width.input;
        (fits && !rows.is_empty()).then(|| {
            let run = rows.start * width.output + columns.start..(rows.end - 1) * width.output + columns.end;
            (run, [rows, columns])
        })
    }

    /// Writes for each output the input under the element, and 0 where that is padding.
    #[inline(always)]
    pub(super) fn gather<T: Real>(self, plane: &[T], outputs: &mut [T]) {
        let width = self.axes[1];
        if let Some((run, [rows, columns])) = self.as_one_run() {
            outputs[..run.start].fill(T::zero());
            outputs[run.end..].fill(T::zero());
            let from = self.under(rows.start, columns.start);
            outputs[run.clone()].copy_from_slice(&plane[from..][..run.len()]);
            blank_beside(outputs, width.output, rows, columns);
            return;
        }
        let [rows, columns] = self.inside();
        if rows.len() * columns.len() < outputs.len() {
            outputs.fill(T::zero());
        }
        for row in rows {
            let inputs = &plane[self.under(row, columns.start)..];
            let outputs = &mut outputs[row * width.output..][columns.clone()];
            match width.stride {
                1 => outputs.copy_from_slice(&inputs[..outputs.len()]),
                stride => {
                    outputs.iter_mut().zip(inputs.iter().step_by(stride)).for_each(|(to, from)| *to = *from);
                }
            }
        }
    }

    /// Adds the number of each output to the input under the element, and leaves out what lies over padding. It
    /// may change `outputs`.
    #[inline(always)]
    pub(super) fn scatter<T: Real>(self, outputs: &mut [T], plane: &mut [T]) {
        let width = self.axes[1];
        if let Some((run, [rows, columns])) = self.as_one_run() {
            let from = self.under(rows.start, columns.start);
            blank_beside(outputs, width.output, rows, columns);
            let inputs = &mut plane[from..][..run.len()];
            inputs.iter_mut().zip(&outputs[run]).for_each(|(to, from)| *to += *from);
            return;
        }
        let [rows, columns] = self.inside();
        for row in rows {
            let inputs = &mut plane[self.under(row, columns.start)..];
            let outputs = &outputs[row * width.output..][columns.clone()];
            match width.stride {
                1 => inputs.iter_mut().zip(outputs).for_each(|(to, from)| *to += *from),
                stride => {
                    inputs.iter_mut().step_by(stride).zip(outputs).for_each(|(to, from)| *to += *from);
                }
            }
        }
    }
}

/// Sets the outputs of these rows beside these columns to 0.
#[inline(always)]
fn blank_beside<T: Real>(outputs: &mut [T], width: usize, rows: Range<usize>, columns: Range<usize>) {
    for row in outputs[rows.start * width..rows.end * width].chunks_exact_mut(width) {
        row[..columns.start].iter_mut().for_each(|x| *x = T::zero());
        row[columns.end..].iter_mut().for_each(|x| *x = T::zero());
    }
}
