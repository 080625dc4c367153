//! The loss of logistic regression and its gradient, in one pass over the rows.
use crate::{kernels::float::Number, threads::wide};
use ndarray::{linalg::general_mat_mul, s, Array1, Array2, ArrayView2, NdFloat};
use rayon::prelude::*;

/// The number of rows in one matrix product: few enough to stay in the cache between the two products.
const CHUNK: usize = 128;
/// The number of partial sums. It is fixed and they are added in order, so that the result does not depend on
/// the number of threads.
const PARTS: usize = 16;

/// The penalised mean log-loss of a linear model, and its gradient.
pub(super) struct Loss<'a, T> {
    pub(super) x: ArrayView2<'a, T>,
    pub(super) labels: &'a [usize],
    /// The weights of the rows, which sum to one.
    pub(super) weights: &'a [f64],
    /// The number of logits; there is one for two classes.
    pub(super) outputs: usize,
    pub(super) penalty: f64,
}

/// The loss on some rows or on all, with its gradient by the coefficients `(F, K)` and the intercepts.
pub(super) struct Gradients<T> {
    pub(super) value: f64,
    pub(super) coefficients: Array2<T>,
    pub(super) intercepts: Vec<f64>,
}

impl<T: Number + NdFloat> Loss<'_, T> {
    pub(super) fn at(&self, coefficients: &Array2<f64>, intercepts: &Array1<f64>) -> Gradients<f64> {
        let weights = coefficients.mapv(T::from_f64);
        let rows = self.labels.len();
        let each = rows.div_ceil(PARTS).next_multiple_of(CHUNK);
        let starts: Vec<usize> = (0..rows).step_by(each).collect();
        let part = |start: &usize| self.part(*start, (start + each).min(rows), &weights, intercepts);
        let parts: Vec<Gradients<T>> = wide(|| starts.par_iter().map(part).collect());
        let mut sum = Gradients {
            value: self.penalty / 2. * coefficients.iter().map(|b| b * b).sum::<f64>(),
            coefficients: coefficients * self.penalty,
            intercepts: vec![0.; self.outputs],
        };
        for part in parts {
            sum.value += part.value;
            sum.coefficients.zip_mut_with(&part.coefficients, |sum, g| *sum += (*g).into());
            sum.intercepts.iter_mut().zip(part.intercepts).for_each(|(sum, g)| *sum += g);
        }
        sum
    }

    fn part(&self, from: usize, to: usize, weights: &Array2<T>, intercepts: &Array1<f64>) -> Gradients<T> {
        let intercepts = intercepts.mapv(T::from_f64);
        let mut sum = Gradients {
            value: 0.,
            coefficients: Array2::zeros(weights.dim()),
            intercepts: vec![0.; self.outputs],
        };
        let mut logits = Array2::zeros((CHUNK.min(to - from), self.outputs));
        for start in (from..to).step_by(CHUNK) {
            let end = (start + CHUNK).min(to);
            let x = self.x.slice(s![start..end, ..]);
            let mut logits = logits.slice_mut(s![..end - start, ..]);
            general_mat_mul(T::one(), &x, weights, T::zero(), &mut logits);
            for (row, mut logits) in (start..end).zip(logits.rows_mut()) {
                logits += &intercepts;
                let Some(logits) = logits.as_slice_mut() else { continue };
                sum.value += self.weights[row] * loss_and_gradient(logits, self.labels[row]);
                let weight = T::from_f64(self.weights[row]);
                for (d, sum) in logits.iter_mut().zip(&mut sum.intercepts) {
                    *d *= weight;
                    *sum += (*d).into();
                }
            }
            general_mat_mul(T::one(), &x.t(), &logits, T::one(), &mut sum.coefficients);
        }
        sum
    }
}

/// The log-loss of a row. The logits are replaced by the gradient of the loss, `p − 1[y]`.
fn loss_and_gradient<T: Number + NdFloat>(logits: &mut [T], label: usize) -> f64 {
    if let [z] = logits {
        // Two classes: ln(1 + e^z) − y z, computed without overflow.
        let (zero, one) = (T::zero(), T::one());
        let small = (-z.abs()).exp();
        let above = if *z > zero { *z } else { zero };
        let loss = above + small.ln_1p() - if label == 1 { *z } else { zero };
        let p = if *z >= zero { one / (one + small) } else { small / (one + small) };
        *z = if label == 1 { p - one } else { p };
        return loss.into();
    }
    let largest = logits.iter().fold(T::neg_infinity(), |largest, z| if *z > largest { *z } else { largest });
    let own = logits[label];
    let mut sum = T::zero();
    for z in logits.iter_mut() {
        *z = (*z - largest).exp();
        sum += *z;
    }
    let share = T::one() / sum;
    logits.iter_mut().for_each(|z| *z *= share);
    logits[label] -= T::one();
    (sum.ln() + largest - own).into()
}

/// The largest absolute entry of the gradient by coefficients and intercepts.
pub(super) fn largest_entry(gradients: &Gradients<f64>) -> f64 {
    gradients.coefficients.iter().chain(&gradients.intercepts).fold(0., |max, g| max.max(g.abs()))
}
