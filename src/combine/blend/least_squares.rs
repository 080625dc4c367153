//! Weights of any sign.
use crate::{
    combine::{
        blend::{
            penalty::{grid, of_cells},
            squares::targets,
            table::Table,
        },
        held_out_table::HeldOutTable,
        Combiner, Fit, Penalty, Weighted,
    },
    data::Task,
    kernels::float::Number,
    threads::wide,
    Error, HeldOut, Result,
};
use linfa_linalg::eigh::Eigh;
use ndarray::Array2;
use serde::{Deserialize, Serialize};

/// Least squares without constraints and without an intercept: `min Σ_i ω_i ‖Σ_s w_s p_s,i − y_i‖² + λ ‖w‖²`, for
/// classes on the indicator of the true class, for values the mean over outputs. With `λ = 0` the shortest of the
/// best weights, by the eigenvalues of the normal equations (directions in which members differ by less than a 10⁻⁷th
/// of what they say do not count).
///
/// Weights may be negative and need not sum to one; what they give for classes is cut off at 0 and normalised
/// ([`Weighted`]). Sources: Breiman 1996, doi:10.1007/BF00117832; ridge: Hoerl and Kennard 1970,
/// doi:10.1080/00401706.1970.10488634.
///
/// ```
/// use candle_core::{Device, Tensor};
/// use candle_ensemble::{combine::{Combiner, FittedCombiner, LeastSquares}, data::Task, predictions::Predictions, HeldOut};
///
/// let y = Tensor::new(&[[1f64], [2.], [4.]], &Device::Cpu)?;
/// let predicted = Tensor::stack(&[(&y * 2.)?, (&y * 0.)?], 0)?;
/// let held_out = HeldOut::from_predictions(&Predictions::new(predicted, Task::Regression { outputs: 1 })?, &y)?;
/// let fitted = LeastSquares::new().fit(&held_out)?;
/// assert!((fitted.weights().unwrap()[0] - 0.5).abs() < 1e-12);
/// # Ok::<(), candle_ensemble::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct LeastSquares {
    ridge: Option<Penalty>,
}

impl LeastSquares {
    /// Without a penalty.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// With a penalty `λ ‖w‖²`, finite. scikit-learn's `Ridge(alpha)` sums over rows and outputs: its `alpha` is
    /// `λ` times both. The fitted's name tells `λ`.
    #[must_use]
    pub fn ridge(strength: Penalty) -> Self {
        Self { ridge: Some(strength) }
    }
}

impl Combiner for LeastSquares {
    type Fitted = Weighted;

    fn fit(&self, held_out: &HeldOut) -> Result<Weighted> {
        match self.ridge {
            Some(Penalty::Fixed(x)) if !x.is_finite() => {
                return Err(Error::invalid("strength of the ridge penalty", "finite", x));
            }
            Some(strength) => strength.check()?,
            None => {}
        }
        let held_out_table = HeldOutTable::of(&held_out)?;
        match held_out_table.task {
            Task::Classification { .. } => {
                held_out_table.with(|all: &[f32]| self.on(&held_out, &held_out_table, all))?
            }
            Task::Regression { .. } => {
                held_out_table.with(|all: &[f64]| self.on(&held_out, &held_out_table, all))?
            }
        }
    }
}

impl LeastSquares {
    fn on<T: Number>(
        &self,
        held_out: &HeldOut,
        held_out_table: &HeldOutTable,
        all: &[T],
    ) -> Result<Weighted> {
        let (_, rows, width) = held_out_table.dims();
        let (targets, share) = targets(held_out_table);
        let equations = |row_weights: &[f64]| {
            Equations::of(Table::new(all, rows * width), &targets, of_cells(row_weights, width, share))
        };
        let full = equations(&held_out_table.weights)?;
        let grid = grid(full.curvature());
        // An error within comes out in the fit of all rows as well, which fails first.
        let losses = |train: &[f64], valid: &[f64]| match (equations(train), equations(valid)) {
            (Ok(train), Ok(valid)) => grid.iter().map(|x| valid.loss(&train.solve(*x))).collect(),
            _ => vec![f64::INFINITY; grid.len()],
        };
        let strength = self.ridge.unwrap_or_default();
        let strength = strength.resolve(held_out, &held_out_table.weights, &grid, losses)?;
        let weights = full.solve(strength);
        let name = match self.ridge {
            Some(_) => format!("ridge (λ = {strength:.2e})"),
            None => "least-squares".into(),
        };
        let fit = Fit { objective: full.loss(&weights), iterations: 1, gap: None };
        Ok(Weighted::found(&name, held_out.names(), weights, Some(fit)))
    }
}

/// The normal equations `H w = b` of a weighted sum of squares, and the eigenvectors of `H`.
struct Equations {
    h: Vec<f64>,
    b: Vec<f64>,
    /// `Σ ω y²`.
    rest: f64,
    values: Vec<f64>,
    vectors: Array2<f64>,
}

impl Equations {
    fn of<T: Number>(table: Table<'_, T>, targets: &[f64], weights: Vec<f64>) -> Result<Self> {
        let slots = table.slots;
        let everyone: Vec<usize> = (0..slots).collect();
        let (h, pass) = wide(|| {
            let at_zero = |i: usize, _| (weights[i] * targets[i] * targets[i], weights[i] * targets[i]);
            (table.curvature(&everyone, |i| weights[i]), table.pass(&vec![0.; slots], at_zero))
        });
        let bad = |e: &dyn std::fmt::Display| {
            Error::invalid("the members' predictions", "of a size whose squares are finite", e)
        };
        let matrix = Array2::from_shape_vec((slots, slots), h.clone()).map_err(|e| bad(&e))?;
        if h.iter().chain(&pass.gradient).any(|x| !x.is_finite()) {
            return Err(bad(&"larger"));
        }
        let (values, vectors) = matrix.eigh().map_err(|e| bad(&e))?;
        Ok(Self { h, b: pass.gradient, rest: pass.value, values: values.to_vec(), vectors })
    }

    /// The mean of the diagonal.
    fn curvature(&self) -> f64 {
        let slots = self.b.len();
        (0..slots).map(|s| self.h[s * slots + s]).sum::<f64>() / slots as f64
    }

    /// `(H + λ)⁻¹ b`, the shortest solution where there are several.
    fn solve(&self, strength: f64) -> Vec<f64> {
        let largest = self.values.iter().copied().fold(0., f64::max);
        let least = self.b.len() as f64 * f64::EPSILON * 16. * largest;
        let mut weights = vec![0.; self.b.len()];
        for (value, vector) in self.values.iter().zip(self.vectors.columns()) {
            let stiff = value.max(0.) + strength;
            if stiff > least {
                let along = vector.iter().zip(&self.b).map(|(v, b)| v * b).sum::<f64>() / stiff;
                weights.iter_mut().zip(vector).for_each(|(w, v)| *w += along * v);
            }
        }
        weights
    }

    /// `wᵀHw − 2bᵀw + Σ ω y²`.
    fn loss(&self, weights: &[f64]) -> f64 {
        let rows = self.h.chunks_exact(weights.len()).zip(weights.iter().zip(&self.b));
        let each =
            rows.map(|(row, (w, b))| w * (row.iter().zip(weights).map(|(h, v)| h * v).sum::<f64>() - 2. * b));
        (each.sum::<f64>() + self.rest).max(0.)
    }
}
