//! A linear layer and the activation after it as one operation of the graph.
use crate::{
    kernels::{
        float::Real,
        gradients::{Gradients, Wanted},
        matmul::{column_sums, Matrix},
    },
    nn::{
        fused::{Fused, Operands},
        then::Then,
    },
};
use candle_core::{Result, Shape};

/// `then(x · wᵀ + bias)`. The last dimension of `x` is the second of `w`.
pub(in crate::nn) struct Dense(pub(super) Then);

impl<'a, T: Real> Operands<'a, T> {
    /// The inputs as a matrix with a row for each vector.
    fn x_matrix(&self) -> Result<Matrix<'a, T>> {
        let (_, inputs) = self.weight_shape.dims2()?;
        Matrix::new(self.x, rows(self.x_shape, inputs), inputs)
    }

    fn weight_matrix(&self) -> Result<Matrix<'a, T>> {
        let (outputs, inputs) = self.weight_shape.dims2()?;
        Matrix::new(self.weight, outputs, inputs)
    }
}

/// The number of rows of `columns` elements.
fn rows(shape: &Shape, columns: usize) -> usize {
    match columns {
        // Rows without elements are counted by the other dimensions.
        0 => shape.dims().split_last().map_or(0, |(_, others)| others.iter().product()),
        _ => shape.elem_count() / columns,
    }
}

impl Fused for Dense {
    const NAME: &'static str = "linear";

    fn split(&self, parts: usize) -> Result<Vec<Self>> {
        Ok((0..parts).map(|_| Self(self.0)).collect())
    }

    fn outputs(&self, x: &Shape, weight: &Shape) -> Result<Shape> {
        let mut dims = x.dims().to_vec();
        if let Some(last) = dims.last_mut() {
            *last = weight.dims2()?.0;
        }
        Ok(dims.into())
    }

    fn forward<T: Real>(&self, of: Operands<'_, T>) -> Result<Vec<T>> {
        let mut y = vec![];
        self.extend(of, &mut y)?;
        Ok(y)
    }

    fn extend<T: Real>(&self, of: Operands<'_, T>, others: &mut Vec<T>) -> Result<()> {
        let (x, weight, start) = (of.x_matrix()?, of.weight_matrix()?.t(), others.len());
        match of.bias {
            None => x.append_times(weight, others)?,
            Some(bias) => {
                let (_, inputs) = of.weight_shape.dims2()?;
                let rows = rows(of.x_shape, inputs);
                others.reserve_exact(rows * bias.len());
                (0..rows).for_each(|_| others.extend_from_slice(bias));
                x.add_times(weight, others.get_mut(start..).unwrap_or_default())?;
            }
        }
        self.0.apply(others.get_mut(start..).unwrap_or_default());
        Ok(())
    }

    fn backward<T: Real>(
        &self,
        of: Operands<'_, T>,
        y: &[T],
        g: &[T],
        wanted: Wanted,
    ) -> Result<Gradients<T>> {
        let (outputs, inputs) = of.weight_shape.dims2()?;
        let g = self.0.gradient(y, g);
        let of_outputs = Matrix::new(&g, rows(of.x_shape, inputs), outputs)?;
        let x = wanted.x.then(|| of_outputs.times(of.weight_matrix()?)).transpose()?;
        let weight = wanted.weight.then(|| of_outputs.t().times(of.x_matrix()?)).transpose()?;
        Ok(Gradients { x, weight, bias: wanted.bias.then(|| column_sums(&g, outputs)) })
    }
}
