//! The inputs under each element of a kernel, side by side (im2col), and the way back (col2im).
use crate::kernels::{convolve::Axis, float::Real};
use std::ops::Range;

/// Where an element of the kernel lies over a plane of inputs: one channel of one row of the batch.
#[derive(Clone, Debug)]
pub(super) struct Element {
    /// The rows of the outputs for which it lies over an input, and not over padding.
    rows: Range<usize>,
    /// The columns of these.
    columns: Range<usize>,
    /// The place in the plane of the input under it, for the first of these outputs.
    first: usize,
    /// The distance of the inputs of neighbouring rows of the outputs, and of neighbouring columns.
    steps: [usize; 2],
    /// The number of columns of the outputs.
    width: usize,
    /// Whether outputs that are neighbours, also from the end of one row to the begin of the next, lie over inputs that
    /// are.
    one_run: bool,
    /// Whether it lies over an input for all outputs.
    all: bool,
}

impl Element {
    pub(super) fn new([height, width]: [Axis; 2], [i, j]: [usize; 2]) -> Self {
        let (mut rows, columns) = (height.inside(i), width.inside(j));
        // Where one is empty no output is left.
        if columns.is_empty() {
            rows = 0..0;
        }
        let first = match rows.is_empty() {
            true => 0,
            false => height.under(i, rows.start) * width.input + width.under(j, columns.start),
        };
        Self {
            first,
            steps: [height.stride * width.input, width.stride],
            width: width.output,
            one_run: height.stride == 1
                && width.stride == 1
                && width.output == width.input
                && !rows.is_empty(),
            all: rows.len() == height.output && columns.len() == width.output,
            rows,
            columns,
        }
    }

    /// The outputs from the first inside to the last. Those beside the rows are among them.
    #[inline(always)]
    fn run(&self) -> Range<usize> {
        self.rows.start * self.width + self.columns.start..(self.rows.end - 1) * self.width + self.columns.end
    }

    /// For each row of the outputs, the place of its first input in the plane, and the places of the outputs.
    #[inline(always)]
    fn each_row(&self) -> impl Iterator<Item = (usize, Range<usize>)> + '_ {
        self.rows.clone().enumerate().map(|(number, row)| {
            let first = row * self.width;
            (self.first + number * self.steps[0], first + self.columns.start..first + self.columns.end)
        })
    }

    /// Sets the outputs beside the columns to 0.
    #[inline(always)]
    fn blank_beside<T: Real>(&self, outputs: &mut [T]) {
        let Range { start, end } = self.columns;
        if end - start == self.width {
            return;
        }
        for row in
            outputs[self.rows.start * self.width..self.rows.end * self.width].chunks_exact_mut(self.width)
        {
            row[..start].iter_mut().for_each(|x| *x = T::zero());
            row[end..].iter_mut().for_each(|x| *x = T::zero());
        }
    }

    /// Writes for each output the input under the element, and 0 where that is padding.
    #[inline(always)]
    pub(super) fn gather<T: Real>(&self, plane: &[T], outputs: &mut [T]) {
        if self.one_run {
            let run = self.run();
            outputs[..run.start].fill(T::zero());
            outputs[run.end..].fill(T::zero());
            outputs[run.clone()].copy_from_slice(&plane[self.first..][..run.len()]);
            self.blank_beside(outputs);
            return;
        }
        if !self.all {
            outputs.fill(T::zero());
        }
        for (first, places) in self.each_row() {
            let (inputs, outputs) = (&plane[first..], &mut outputs[places]);
            match self.steps[1] {
                1 => outputs.copy_from_slice(&inputs[..outputs.len()]),
                2 => copy_every(2, inputs, outputs),
                step => copy_every(step, inputs, outputs),
            }
        }
    }

    /// Adds the number of each output to the input under the element, and leaves out what lies over padding. It
    /// may change `outputs`.
    #[inline(always)]
    pub(super) fn scatter<T: Real>(&self, outputs: &mut [T], plane: &mut [T]) {
        if self.one_run {
            self.blank_beside(outputs);
            let run = self.run();
            let inputs = &mut plane[self.first..][..run.len()];
            inputs.iter_mut().zip(&outputs[run]).for_each(|(to, from)| *to += *from);
            return;
        }
        for (first, places) in self.each_row() {
            let (inputs, outputs) = (&mut plane[first..], &outputs[places]);
            match self.steps[1] {
                1 => inputs.iter_mut().zip(outputs).for_each(|(to, from)| *to += *from),
                2 => add_every(2, outputs, inputs),
                step => add_every(step, outputs, inputs),
            }
        }
    }
}

/// Copies every element at this distance.
#[inline(always)]
fn copy_every<T: Real>(step: usize, inputs: &[T], outputs: &mut [T]) {
    outputs.iter_mut().zip(inputs.chunks(step)).for_each(|(to, from)| *to = from[0]);
}

/// Adds to every element at this distance.
#[inline(always)]
fn add_every<T: Real>(step: usize, outputs: &[T], inputs: &mut [T]) {
    inputs.chunks_mut(step).zip(outputs).for_each(|(to, from)| to[0] += *from);
}
