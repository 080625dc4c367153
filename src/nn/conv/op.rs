//! A convolution and the activation after it as one operation of the graph.
use crate::{
    kernels::{
        convolve::Convolution,
        float::Real,
        gradients::{Gradients, Wanted},
    },
    nn::{
        fused::{Fused, Operands},
        then::Then,
    },
};
use candle_core::{Result, Shape};

/// `then(w ∗ x + bias)` for inputs `(rows, channels, …)`.
pub(in crate::nn) struct Convolve {
    pub(super) sizes: Convolution,
    pub(super) then: Then,
}

impl Fused for Convolve {
    const NAME: &'static str = "convolution";

    fn split(&self, parts: usize) -> Result<Vec<Self>> {
        let sizes = Convolution { batch: self.sizes.batch / parts.max(1), ..self.sizes };
        Ok((0..parts).map(|_| Self { sizes, then: self.then }).collect())
    }

    fn outputs(&self, x: &Shape, _: &Shape) -> Result<Shape> {
        let Convolution { batch, groups, outputs, axes: [height, width], .. } = self.sizes;
        let channels = groups * outputs;
        Ok(match x.rank() {
            3 => (batch, channels, width.output).into(),
            _ => (batch, channels, height.output, width.output).into(),
        })
    }

    fn forward<T: Real>(&self, of: Operands<'_, T>) -> Result<Vec<T>> {
        self.sizes.forward(of.x, of.weight, of.bias, |y| self.then.apply(y))
    }

    fn backward<T: Real>(
        &self,
        of: Operands<'_, T>,
        y: &[T],
        g: &[T],
        wanted: Wanted,
    ) -> Result<Gradients<T>> {
        let of_sums = |part: std::ops::Range<usize>| self.then.gradient(&y[part.clone()], &g[part]);
        self.sizes.backward(of.x, of.weight, of_sums, wanted)
    }
}
