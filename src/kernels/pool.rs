//! The largest elements of windows over planes, and their gradients.
use crate::kernels::{float::Real, simd::vectorized};

/// Windows over the planes of a tensor, `planes × height × width`. They lie within the planes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Windows {
    pub(crate) height: usize,
    pub(crate) width: usize,
    /// The height and the width of a window.
    pub(crate) size: [usize; 2],
    /// The distances of windows.
    pub(crate) stride: [usize; 2],
}

impl Windows {
    /// `None` where a window is larger than a plane, or a size is 0.
    pub(crate) fn new(height: usize, width: usize, size: [usize; 2], stride: [usize; 2]) -> Option<Self> {
        let fits = size[0] <= height && size[1] <= width;
        let positive = size.iter().chain(&stride).all(|number| *number > 0);
        (fits && positive).then_some(Self { height, width, size, stride })
    }

    /// The numbers of windows along the height and along the width of a plane.
    pub(crate) fn outputs(&self) -> [usize; 2] {
        let count = |length: usize, i: usize| (length - self.size[i]) / self.stride[i] + 1;
        [count(self.height, 0), count(self.width, 1)]
    }

    fn plane(&self) -> usize {
        self.height * self.width
    }

    /// Calls `visit` with the first place of each window in its plane, in the order of the outputs.
    #[inline(always)]
    fn each(&self, mut visit: impl FnMut(usize)) {
        let [rows, columns] = self.outputs();
        for row in 0..rows {
            let first = row * self.stride[0] * self.width;
            (0..columns).for_each(|column| visit(first + column * self.stride[1]));
        }
    }

    /// The place of the largest element of a window: of the first of equal ones, and of the first NaN if there is one.
    #[inline(always)]
    fn largest<T: Real>(&self, size: [usize; 2], plane: &[T], first: usize) -> usize {
        let (mut at, mut most) = (first, plane[first]);
        for i in 0..size[0] {
            let row = first + i * self.width;
            for (j, x) in plane[row..row + size[1]].iter().enumerate() {
                // After a NaN nothing is larger, and a NaN is larger than any number.
                let keeps = (most >= *x) | most.is_nan();
                (at, most) = if keeps { (at, most) } else { (row + j, *x) };
            }
        }
        at
    }

    /// Calls `visit` with the number of each plane, and with the place of the largest element of each of its windows.
    #[inline(always)]
    fn each_largest<T: Real>(&self, x: &[T], mut visit: impl FnMut(usize, usize)) {
        for (number, plane) in x.chunks_exact(self.plane()).enumerate() {
            match self.size {
                // The usual size, known to the compiler.
                [2, 2] => self.each(|first| visit(number, self.largest([2, 2], plane, first))),
                size => self.each(|first| visit(number, self.largest(size, plane, first))),
            }
        }
    }

    /// The largest element of each window.
    pub(crate) fn max<T: Real>(&self, x: &[T]) -> Vec<T> {
        let mut y = Vec::with_capacity(x.len() / self.plane() * self.outputs().iter().product::<usize>());
        vectorized(
            #[inline(always)]
            || self.each_largest(x, |plane, at| y.push(x[plane * self.plane() + at])),
        );
        y
    }

    /// The gradient of the elements from that of [`max`](Self::max): the largest of a window gets it.
    pub(crate) fn gradient<T: Real>(&self, x: &[T], g: &[T]) -> Vec<T> {
        let mut of_x = vec![T::zero(); x.len()];
        vectorized(
            #[inline(always)]
            || {
                let mut g = g.iter();
                self.each_largest(x, |plane, at| {
                    if let Some(g) = g.next() {
                        of_x[plane * self.plane() + at] += *g;
                    }
                });
            },
        );
        of_x
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_that_cannot_be_are_refused() {
        assert!(Windows::new(3, 3, [4, 1], [1, 1]).is_none() && Windows::new(3, 3, [1, 4], [1, 1]).is_none());
        assert!(Windows::new(3, 3, [0, 1], [1, 1]).is_none() && Windows::new(3, 3, [1, 1], [1, 0]).is_none());
        assert_eq!(Windows::new(7, 5, [3, 2], [2, 3]).unwrap().outputs(), [3, 2]);
    }

    #[test]
    fn the_first_of_equal_elements_and_a_nan_are_the_largest() {
        let windows = Windows::new(2, 4, [2, 2], [2, 2]).unwrap();
        let x = [1f32, 3., f32::NAN, 9., 3., 2., f32::NAN, 8.];
        let y = windows.max(&x);
        assert!(y[0] == 3. && y[1].is_nan());
        assert_eq!(windows.gradient(&x, &[5., 7.]), [0., 5., 7., 0., 0., 0., 0., 0.]);
    }
}
