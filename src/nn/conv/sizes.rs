//! The sizes of a convolution, from the shapes of its tensors.
use crate::{
    kernels::convolve::{Axis, Convolution},
    Error,
};
use candle_core::Tensor;

/// The parameters of a convolution along each dimension, and its name for errors.
#[derive(Clone, Copy, Debug)]
pub(super) struct Layout {
    pub(super) name: &'static str,
    /// The number of dimensions after the channels, 1 or 2.
    pub(super) spatial: usize,
    pub(super) padding: usize,
    pub(super) stride: usize,
    pub(super) dilation: usize,
    pub(super) groups: usize,
}

impl Layout {
    /// Checks what does not depend on the inputs.
    pub(super) fn check(self, inputs: usize, outputs: usize) -> crate::Result<()> {
        let Self { name, stride, dilation, groups, .. } = self;
        for (what, value) in [("stride", stride), ("dilation", dilation)] {
            if value == 0 {
                return Err(Error::invalid(format!("the {what} of {name}"), "at least 1", value));
            }
        }
        if groups == 0 || !inputs.is_multiple_of(groups) || !outputs.is_multiple_of(groups) {
            let must = format!("a divisor of the numbers of channels, {inputs} and {outputs}");
            return Err(Error::invalid(format!("the number of groups of {name}"), must, groups));
        }
        Ok(())
    }

    /// The sizes, for inputs `(rows, channels, …)`.
    pub(super) fn sizes(
        self,
        x: &Tensor,
        weight: &Tensor,
        bias: Option<&Tensor>,
    ) -> crate::Result<Convolution> {
        let Self { name, spatial, groups, .. } = self;
        let of_dimensions = if spatial == 1 { "length" } else { "height, width" };
        let invalid = |what: &str, must: String, got: &[usize]| {
            Error::invalid(format!("the shape of the {what} of {name}"), must, format_args!("{got:?}"))
        };
        let (channels, inputs, kernel) = match weight.dims() {
            [channels, inputs, kernel @ ..] if kernel.len() == spatial => (*channels, *inputs, kernel),
            dims => {
                return Err(invalid("weight", format!("(outputs, inputs / groups, {of_dimensions})"), dims))
            }
        };
        self.check(inputs * groups, channels)?;
        if let Some(bias) = bias.filter(|bias| bias.dims() != [channels]) {
            return Err(invalid("bias", format!("({channels},)"), bias.dims()));
        }
        let must = || format!("(rows, {}, {of_dimensions})", inputs * groups);
        let (batch, sizes) = match x.dims() {
            [batch, found, sizes @ ..] if *found == inputs * groups && sizes.len() == spatial => {
                (*batch, sizes)
            }
            dims => return Err(invalid("inputs", must(), dims)),
        };
        let mut axes = [Axis::single(); 2];
        for ((axis, input), kernel) in axes.iter_mut().rev().zip(sizes.iter().rev()).zip(kernel.iter().rev())
        {
            let found = Axis::new(*input, *kernel, self.padding, self.stride, self.dilation);
            *axis = found.ok_or_else(|| {
                let covered = self.dilation.saturating_mul(kernel.saturating_sub(1)).saturating_add(1);
                let must = format!(
                    "{} that with its padding has at least the {covered} elements that the kernel covers",
                    must()
                );
                invalid("inputs", must, x.dims())
            })?;
        }
        Ok(Convolution { batch, groups, inputs, outputs: channels / groups, axes })
    }
}
