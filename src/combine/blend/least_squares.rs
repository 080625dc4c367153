//! Least squares without constraints on the weights.
use crate::{
    combine::{
        blend::{
            known::fit_known,
            matrix::SlotMatrix,
            means::Means,
            penalty::{candidates, cell_weights},
            simplex_squares::{cell_targets, squares_for},
        },
        held_out_table::{with_predictions, HeldOutTable, Number},
        Combiner, Penalty, Weighted,
    },
    threads::wide,
    Error, HeldOut, Result,
};
use candle_core::DType;
use linfa_linalg::eigh::Eigh;
use ndarray::Array2;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

/// Finds the weights of any sign with the least squared error on the held-out rows, without an intercept.
///
/// ```text
/// min Σ_i ω_i ‖Σ_s w_s p_s,i − y_i‖² + λ ‖w‖²
/// ```
///
/// It learns from held-out predictions `(S, R, C)` (slots, rows, classes or outputs). For classes `y_i` is the
/// indicator of the true class; for values the loss is the mean over the outputs. With `λ = 0` it finds the
/// shortest of the best weights. The predictions are split into their mean and the differences from it, so
/// that an offset, which all members share, costs no digits; directions in which members differ by no more
/// than the rounding of their predictions are ignored.
///
/// Weights may be negative and need not sum to one. Where predictions are missing, each slot that predicts a
/// row gets an equal part of the weights of those that do not ([`Weighted`]), and the sum of squares is that of
/// these weights. For classes, combined values below 0 become 0 and each row is divided by its sum
/// ([`Fit::objective`](crate::combine::Fit) is the Brier score after that). Use it where members are biased in scale and there are many more
/// held-out rows than slots. Without a penalty, correlated members get large weights of opposite signs;
/// [`SimplexSquares`](crate::combine::SimplexSquares) is more robust.
///
/// The cost is a copy of the predictions, a few passes over it with `S² R C` multiplications, and the
/// eigenvalues of an `S × S` matrix.
///
/// # Errors
/// [`Combiner::fit`] fails when the penalty is negative, not finite, or cross-validated in fewer than two
/// folds, and when squares of the predictions are not finite.
///
/// # Examples
/// ```
/// use candle_core::{Device, Tensor};
/// use candle_ensemble::{
///     combine::{Combiner, FittedCombiner, LeastSquares}, data::Task, predictions::Predictions, HeldOut,
/// };
///
/// let y = Tensor::new(&[[1f64], [2.], [4.]], &Device::Cpu)?;
/// let predicted = Tensor::stack(&[(&y * 2.)?, (&y * 0.)?], 0)?;
/// let predictions = Predictions::new(predicted, Task::Regression { outputs: 1 })?;
/// let held_out = HeldOut::from_predictions(&predictions, &y)?;
/// let fitted = LeastSquares::new().fit(&held_out)?;
/// assert!((fitted.weights().unwrap()[0] - 0.5).abs() < 1e-12);
/// # Ok::<(), candle_ensemble::Error>(())
/// ```
///
/// Sources: Breiman 1996, doi:10.1007/BF00117832; for the penalty Hoerl and Kennard 1970,
/// doi:10.1080/00401706.1970.10488634.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct LeastSquares {
    penalty: Option<Penalty>,
}

impl LeastSquares {
    /// Creates the combiner without a penalty.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Creates the combiner with a penalty `λ ‖w‖²`, which must be finite (ridge regression). The name of the
    /// fitted combiner contains `λ`. scikit-learn's `Ridge(alpha)` sums over rows and outputs, so its `alpha`
    /// is `λ` times the number of both.
    #[must_use]
    pub fn ridge(penalty: Penalty) -> Self {
        Self { penalty: Some(penalty) }
    }
}

impl Combiner for LeastSquares {
    type Fitted = Weighted;

    fn fit(&self, held_out: &HeldOut) -> Result<Weighted> {
        match self.penalty {
            Some(Penalty::Fixed(x)) if !x.is_finite() => {
                return Err(Error::invalid("the ridge penalty", "finite", x));
            }
            Some(penalty) => penalty.check()?,
            None => {}
        }
        fit_known(held_out, |held_out| {
            let table = HeldOutTable::of(held_out)?;
            with_predictions!(table, |all| self.fit_table(held_out, &table, all))?
        })
    }
}

impl LeastSquares {
    fn fit_table<T: Number>(&self, held_out: &HeldOut, table: &HeldOutTable, all: &[T]) -> Result<Weighted> {
        let (_, _, width) = table.dims();
        let (targets, share) = cell_targets(table);
        let of_cells = |row_weights: &[f64]| cell_weights(row_weights, width, share);
        // The relative error of numbers of this type.
        let rounding = match held_out.predictions().values().dtype() {
            DType::F64 if T::DTYPE == DType::F64 => f64::EPSILON,
            DType::F64 | DType::F32 => f64::from(f32::EPSILON),
            _ => 1. / 128.,
        };
        let split = Split::new(table, all, targets, &of_cells(&table.weights));
        let equations = |row_weights: &[f64]| NormalEquations::new(&split, of_cells(row_weights), rounding);
        let full = equations(&table.weights)?;
        let candidates = candidates(full.mean_diagonal());
        // An error here also occurs in the fit on all rows, which comes first.
        let losses = |train: &[f64], valid: &[f64]| match (equations(train), equations(valid)) {
            (Ok(train), Ok(valid)) => candidates.iter().map(|x| valid.loss(&train.solve(*x))).collect(),
            _ => vec![f64::INFINITY; candidates.len()],
        };
        let penalty = self.penalty.unwrap_or_default();
        let lambda = penalty.resolve("ridge", held_out, &table.weights, &candidates, losses)?;
        let name = match self.penalty {
            Some(_) => format!("ridge (λ = {lambda:.2e})"),
            None => "least-squares".into(),
        };
        Weighted::with_loss_on(held_out, &name, full.solve(lambda), &squares_for(table.task), (1, None))
    }
}

/// The predictions and the targets, split along the mean prediction `m` of the slots that predict a row:
/// `p_s = (1 + α_s) m + d_s` and `y = (1 + ζ) m + z`, where `d_s` and `z` are orthogonal to `m` by the weights
/// of all rows.
///
/// A missing prediction is at the mean: its difference from `m` is 0. So `Σ_s w_s p_s` gives each slot that is
/// there an equal part of the weights of the others.
struct Split<T> {
    mean: Vec<f64>,
    /// `d`, `(S, R·C)`.
    differences: Vec<T>,
    alpha: Vec<f64>,
    /// `z`.
    rest: Vec<f64>,
    zeta: f64,
}

impl<T: Number> Split<T> {
    fn new(table: &HeldOutTable, all: &[T], targets: Vec<f64>, weights: &[f64]) -> Self {
        let (slots, rows, width) = table.dims();
        let cells = rows * width;
        let means = Means::of_table(table, all, width);
        let mean = wide(|| means.of(&vec![1. / slots as f64; slots]));
        let products = mean.iter().zip(weights).map(|(m, w)| m * w).collect::<Vec<_>>();
        let norm: f64 = products.iter().zip(&mean).map(|(p, m)| p * m).sum();
        let along = |differences: &[f64]| match norm > 0. {
            true => differences.iter().zip(&products).map(|(d, p)| d * p).sum::<f64>() / norm,
            false => 0.,
        };
        // In two steps, each of which loses no digits.
        let orthogonal = |mut differences: Vec<f64>| {
            let share = along(&differences);
            differences.iter_mut().zip(&mean).for_each(|(d, m)| *d -= share * m);
            (share, differences)
        };
        let of_slot = |slot: usize| {
            let differences = (0..cells).map(|cell| match table.predicts(slot, cell / width) {
                true => all[slot * cells + cell].into() - mean[cell],
                false => 0.,
            });
            orthogonal(differences.collect())
        };
        let mut differences = vec![T::zero(); slots * cells];
        let alpha = wide(|| {
            let slots = differences.par_chunks_exact_mut(cells).enumerate();
            let each = slots.map(|(slot, to)| {
                let (alpha, differences) = of_slot(slot);
                to.iter_mut().zip(differences).for_each(|(to, d)| *to = T::from_f64(d));
                alpha
            });
            each.collect()
        });
        let rest = targets.iter().zip(&mean).map(|(y, m)| y - m).collect();
        let (zeta, rest) = orthogonal(rest);
        Self { mean, differences, alpha, rest, zeta }
    }
}

/// The weighted sum of squares `μ² (aᵀw − c)² + wᵀGw − 2bᵀw + k`, and the eigenvectors of `G`.
///
/// The first term is that along the mean prediction, whose square is `μ²`. It may be larger than the others by
/// any factor, so it is never added to them.
struct NormalEquations {
    square: f64,
    a: Vec<f64>,
    c: f64,
    g: Vec<f64>,
    b: Vec<f64>,
    constant: f64,
    values: Vec<f64>,
    vectors: Array2<f64>,
    /// Eigenvalues up to this are zero but for rounding.
    least: f64,
}

impl NormalEquations {
    fn new<T: Number>(split: &Split<T>, weights: Vec<f64>, rounding: f64) -> Result<Self> {
        let matrix = SlotMatrix::new(&split.differences, weights.len());
        let slots = matrix.slots;
        let all_slots: Vec<usize> = (0..slots).collect();
        let weighted = |xs: &[f64]| xs.iter().zip(&weights).map(|(x, w)| x * w).collect::<Vec<f64>>();
        let dot = |xs: &[f64], ys: &[f64]| xs.iter().zip(ys).map(|(x, y)| x * y).sum::<f64>();
        let (mean, rest) = (weighted(&split.mean), weighted(&split.rest));
        let (mut g, along, mut b) = wide(|| {
            (matrix.gram(&all_slots, |i| weights[i]), matrix.products(&mean), matrix.products(&rest))
        });
        let square = dot(&mean, &split.mean);
        let mut constant = dot(&rest, &split.rest);
        // With the weights of a fold the parts are not quite orthogonal to the mean.
        let per_square = |x: f64| if square > 0. { x / square } else { 0. };
        let along_rest = dot(&mean, &split.rest);
        for s in 0..slots {
            (0..slots).for_each(|t| g[s * slots + t] -= along[s] * per_square(along[t]));
            b[s] -= along[s] * per_square(along_rest);
        }
        constant -= along_rest * per_square(along_rest);
        // The differences add up to 0, up to rounding.
        centre(&mut g, &mut b);
        let a = split.alpha.iter().zip(&along).map(|(alpha, x)| 1. + alpha + per_square(*x)).collect();
        let c = 1. + split.zeta + per_square(along_rest);
        let too_large = |e: &dyn std::fmt::Display| {
            Error::invalid("the members' predictions", "of a size whose squares are finite", e)
        };
        if g.iter().chain(&b).chain([&square, &constant]).any(|x| !x.is_finite()) {
            return Err(too_large(&"larger"));
        }
        let matrix = Array2::from_shape_vec((slots, slots), g.clone()).map_err(|e| too_large(&e))?;
        let (values, vectors) = matrix.eigh().map_err(|e| too_large(&e))?;
        let values = values.to_vec();
        let largest = values.iter().copied().fold(0., f64::max);
        let least = 16. * slots as f64 * (f64::EPSILON * largest).max(rounding * rounding * square);
        Ok(Self { square, a, c, g, b, constant, values, vectors, least })
    }

    /// The mean of the diagonal of the normal equations.
    fn mean_diagonal(&self) -> f64 {
        let slots = self.b.len();
        let diagonal = |s: usize| self.square * self.a[s] * self.a[s] + self.g[s * slots + s];
        (0..slots).map(diagonal).sum::<f64>() / slots as f64
    }

    /// `Σ v (vᵀx) f(λ)` over the eigenvectors of `G`, of which those that are zero but for rounding have none.
    fn of_eigenvalues(&self, x: &[f64], f: impl Fn(Option<f64>) -> f64) -> Vec<f64> {
        let mut sum = vec![0.; x.len()];
        for (value, vector) in self.values.iter().zip(self.vectors.columns()) {
            let product: f64 = vector.iter().zip(x).map(|(v, x)| v * x).sum();
            let factor = product * f((*value > self.least).then_some(*value));
            sum.iter_mut().zip(vector).for_each(|(sum, v)| *sum += factor * v);
        }
        sum
    }

    /// The weights of the least sum plus `λ ‖w‖²`, the shortest where there are several.
    ///
    /// `w = w₀ + u (c − aᵀw₀) / (1/μ² + aᵀu)` with `w₀ = (G + λ)⁻¹ b` and `u = (G + λ)⁻¹ a`. For `λ = 0`, `w₀`
    /// is the shortest, and `u` is the part of `a` in the null space of `G` (`G` is singular, because the
    /// differences from the mean add up to 0): along it the first term becomes 0 and the others stay.
    fn solve(&self, lambda: f64) -> Vec<f64> {
        let dot = |x: &[f64]| self.a.iter().zip(x).map(|(a, x)| a * x).sum::<f64>();
        let mut weights = self.of_eigenvalues(&self.b, |value| match value {
            Some(value) => 1. / (value + lambda),
            None => 0.,
        });
        if self.square <= 0. {
            return weights;
        }
        let (u, inverse) = match lambda > 0. {
            true => {
                (self.of_eigenvalues(&self.a, |value| 1. / (value.unwrap_or(0.) + lambda)), 1. / self.square)
            }
            false => (self.of_eigenvalues(&self.a, |value| f64::from(u8::from(value.is_none()))), 0.),
        };
        let step = (self.c - dot(&weights)) / (inverse + dot(&u));
        weights.iter_mut().zip(u).for_each(|(w, u)| *w += step * u);
        weights
    }

    /// The weighted sum of squares.
    fn loss(&self, weights: &[f64]) -> f64 {
        let along = self.a.iter().zip(weights).map(|(a, w)| a * w).sum::<f64>() - self.c;
        let rows = self.g.chunks_exact(weights.len()).zip(weights.iter().zip(&self.b));
        let each =
            rows.map(|(row, (w, b))| w * (row.iter().zip(weights).map(|(h, v)| h * v).sum::<f64>() - 2. * b));
        (self.square * along * along + each.sum::<f64>() + self.constant).max(0.)
    }
}

/// Makes the rows and columns of a symmetric matrix, and a vector, sum to zero.
fn centre(matrix: &mut [f64], vector: &mut [f64]) {
    let slots = vector.len();
    let mean = |xs: &[f64]| xs.iter().sum::<f64>() / slots as f64;
    let of_rows: Vec<f64> = matrix.chunks_exact(slots).map(mean).collect();
    let (of_all, of_vector) = (mean(&of_rows), mean(vector));
    for (row, own) in matrix.chunks_exact_mut(slots).zip(&of_rows) {
        row.iter_mut().zip(&of_rows).for_each(|(x, other)| *x -= own + other - of_all);
    }
    vector.iter_mut().for_each(|x| *x -= of_vector);
}
