//! One dimension of a convolution.
use std::ops::Range;

/// How the elements of a kernel lie over the inputs along one dimension.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Axis {
    pub(crate) input: usize,
    pub(crate) kernel: usize,
    pub(crate) padding: usize,
    pub(crate) stride: usize,
    pub(crate) dilation: usize,
    pub(crate) output: usize,
}

impl Axis {
    /// `None` where the kernel is larger than the inputs with their padding, or a number that must be above 0 is not.
    pub(crate) fn new(
        input: usize,
        kernel: usize,
        padding: usize,
        stride: usize,
        dilation: usize,
    ) -> Option<Self> {
        let padded = padding.checked_mul(2)?.checked_add(input)?;
        let covered = kernel.checked_sub(1)?.checked_mul(dilation)?.checked_add(1)?;
        let output = padded.checked_sub(covered)?.checked_div(stride)? + 1;
        Some(Self { input, kernel, padding, stride, dilation, output })
    }

    /// A dimension of one element, over which nothing is summed.
    pub(crate) fn single() -> Self {
        Self { input: 1, kernel: 1, padding: 0, stride: 1, dilation: 1, output: 1 }
    }

    /// The outputs for which an element of the kernel lies over an input, and not over padding.
    pub(super) fn inside(self, element: usize) -> Range<usize> {
        let shift = element * self.dilation;
        let first_at_or_after =
            |input: usize| input.saturating_sub(shift).div_ceil(self.stride).min(self.output);
        let from = first_at_or_after(self.padding);
        from..first_at_or_after(self.padding + self.input).max(from)
    }

    /// The input under an element of the kernel, for an output for which it lies [inside](Self::inside).
    pub(super) fn under(self, element: usize, output: usize) -> usize {
        output * self.stride + element * self.dilation - self.padding
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn outputs_inside_are_those_that_the_definition_finds(
            input in 0usize..12, kernel in 1usize..5, padding in 0usize..4, stride in 1usize..4,
            dilation in 1usize..4,
        ) {
            let covered = dilation * (kernel - 1) + 1;
            let axis = Axis::new(input, kernel, padding, stride, dilation);
            prop_assert_eq!(axis.is_some(), covered <= input + 2 * padding);
            let Some(axis) = axis else { return Ok(()) };
            // The last output is the last one for which the kernel ends within the padding.
            let fits = |output: usize| output * stride + covered <= input + 2 * padding;
            prop_assert!(fits(axis.output - 1) && !fits(axis.output));
            for element in 0..kernel {
                for output in 0..axis.output {
                    let at = (output * stride + element * dilation) as isize - padding as isize;
                    let over_input = (0..input as isize).contains(&at);
                    prop_assert_eq!(axis.inside(element).contains(&output), over_input);
                    prop_assert!(!over_input || axis.under(element, output) as isize == at);
                }
            }
        }
    }

    #[test]
    fn sizes_that_cannot_be_are_refused() {
        assert!(Axis::new(4, 0, 0, 1, 1).is_none() && Axis::new(4, 2, 0, 0, 1).is_none());
        assert!(Axis::new(4, 2, usize::MAX, 1, 1).is_none() && Axis::new(4, 3, 0, 1, usize::MAX).is_none());
        assert_eq!(Axis::new(1, 1, 0, 1, 1), Some(Axis::single()));
    }
}
