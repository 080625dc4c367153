//! Least squares without constraints on the weights.
use crate::{
    combine::{
        blend::{
            matrix::SlotMatrix,
            penalty::{candidates, cell_weights},
            simplex_squares::cell_targets,
        },
        held_out_table::{with_predictions, HeldOutTable, Number},
        Combiner, Fit, Penalty, Weighted,
    },
    threads::wide,
    Error, HeldOut, Result,
};
use linfa_linalg::eigh::Eigh;
use ndarray::Array2;
use serde::{Deserialize, Serialize};

/// Finds the weights of any sign with the least squared error on the held-out rows, without an intercept.
///
/// ```text
/// min Σ_i ω_i ‖Σ_s w_s p_s,i − y_i‖² + λ ‖w‖²
/// ```
///
/// It learns from complete held-out predictions `(S, R, C)` (slots, rows, classes or outputs). For classes
/// `y_i` is the indicator of the true class; for values the loss is the mean over the outputs. With `λ = 0`
/// it finds the shortest of the best weights by the eigenvalues of the normal equations; directions in which
/// members differ by less than 10⁻⁷ of their predictions are ignored.
///
/// Weights may be negative and need not sum to one. For classes, combined values below 0 become 0 and each
/// row is divided by its sum ([`Weighted`]). Use it where members are biased in scale and there are many more
/// held-out rows than slots. Without a penalty, correlated members get large weights of opposite signs;
/// [`SimplexSquares`](crate::combine::SimplexSquares) is more robust.
///
/// The cost is one pass over the predictions with `S² R C` multiplications, and the eigenvalues of an `S × S`
/// matrix.
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
        let table = HeldOutTable::of(held_out)?;
        with_predictions!(table, |all| self.fit_table(held_out, &table, all))?
    }
}

impl LeastSquares {
    fn fit_table<T: Number>(&self, held_out: &HeldOut, table: &HeldOutTable, all: &[T]) -> Result<Weighted> {
        let (_, rows, width) = table.dims();
        let (targets, share) = cell_targets(table);
        let equations = |row_weights: &[f64]| {
            let matrix = SlotMatrix::new(all, rows * width);
            NormalEquations::new(matrix, &targets, cell_weights(row_weights, width, share))
        };
        let full = equations(&table.weights)?;
        let candidates = candidates(full.mean_diagonal());
        // An error here also occurs in the fit on all rows, which comes first.
        let losses = |train: &[f64], valid: &[f64]| match (equations(train), equations(valid)) {
            (Ok(train), Ok(valid)) => candidates.iter().map(|x| valid.loss(&train.solve(*x))).collect(),
            _ => vec![f64::INFINITY; candidates.len()],
        };
        let penalty = self.penalty.unwrap_or_default();
        let lambda = penalty.resolve("ridge", held_out, &table.weights, &candidates, losses)?;
        let weights = full.solve(lambda);
        let name = match self.penalty {
            Some(_) => format!("ridge (λ = {lambda:.2e})"),
            None => "least-squares".into(),
        };
        let fit = Fit { objective: full.loss(&weights), iterations: 1, gap: None };
        Ok(Weighted::found(&name, held_out, weights, Some(fit)))
    }
}

/// The normal equations `H w = b` of a weighted sum of squares, and the eigenvectors of `H`.
struct NormalEquations {
    h: Vec<f64>,
    b: Vec<f64>,
    /// `Σ ω y²`.
    constant: f64,
    values: Vec<f64>,
    vectors: Array2<f64>,
}

impl NormalEquations {
    fn new<T: Number>(matrix: SlotMatrix<'_, T>, targets: &[f64], weights: Vec<f64>) -> Result<Self> {
        let slots = matrix.slots;
        let all_slots: Vec<usize> = (0..slots).collect();
        let (h, evaluation) = wide(|| {
            let at_zero = |i: usize, _| (weights[i] * targets[i] * targets[i], weights[i] * targets[i]);
            (matrix.gram(&all_slots, |i| weights[i]), matrix.evaluate(&vec![0.; slots], at_zero))
        });
        let too_large = |e: &dyn std::fmt::Display| {
            Error::invalid("the members' predictions", "of a size whose squares are finite", e)
        };
        let matrix = Array2::from_shape_vec((slots, slots), h.clone()).map_err(|e| too_large(&e))?;
        if h.iter().chain(&evaluation.gradient).any(|x| !x.is_finite()) {
            return Err(too_large(&"larger"));
        }
        let (values, vectors) = matrix.eigh().map_err(|e| too_large(&e))?;
        Ok(Self { h, b: evaluation.gradient, constant: evaluation.value, values: values.to_vec(), vectors })
    }

    /// The mean of the diagonal.
    fn mean_diagonal(&self) -> f64 {
        let slots = self.b.len();
        (0..slots).map(|s| self.h[s * slots + s]).sum::<f64>() / slots as f64
    }

    /// `(H + λ)⁻¹ b`, the shortest solution where there are several.
    fn solve(&self, lambda: f64) -> Vec<f64> {
        let largest = self.values.iter().copied().fold(0., f64::max);
        let least = self.b.len() as f64 * f64::EPSILON * 16. * largest;
        let mut weights = vec![0.; self.b.len()];
        for (value, vector) in self.values.iter().zip(self.vectors.columns()) {
            let eigenvalue = value.max(0.) + lambda;
            if eigenvalue > least {
                let factor = vector.iter().zip(&self.b).map(|(v, b)| v * b).sum::<f64>() / eigenvalue;
                weights.iter_mut().zip(vector).for_each(|(w, v)| *w += factor * v);
            }
        }
        weights
    }

    /// `wᵀHw − 2bᵀw + Σ ω y²`.
    fn loss(&self, weights: &[f64]) -> f64 {
        let rows = self.h.chunks_exact(weights.len()).zip(weights.iter().zip(&self.b));
        let each =
            rows.map(|(row, (w, b))| w * (row.iter().zip(weights).map(|(h, v)| h * v).sum::<f64>() - 2. * b));
        (each.sum::<f64>() + self.constant).max(0.)
    }
}
