//! The elastic net.
use crate::{
    combine::{
        stack::{
            centred::Centred,
            moments::{decomposed, unsolvable},
            penalty::{choose_penalty, PenaltyChoice},
            AffineModel, MetaDataset, MetaLearner, MetaMoments,
        },
        Fit,
    },
    data::Task,
    threads::wide,
    Error, Result,
};
use linfa::{traits::Fit as _, DatasetBase};
use ndarray::{Array1, Array2, Axis};
use rayon::prelude::*;

/// When linfa's solver stops: at this duality gap relative to the variance of the targets, or after so many
/// sweeps.
const FINAL: (f64, u32) = (1e-9, 10_000);
/// The same for fits that only compare penalties.
const SEARCH: (f64, u32) = (1e-4, 1000);
/// The number of candidates for λ. The largest is the least λ for which all coefficients are zero; the
/// smallest is a thousandth of it.
const CANDIDATES: i32 = 20;

/// The elastic net: least squares with an L1 and an L2 penalty, which sets some coefficients to exactly zero.
///
/// ```text
/// minimise 1/(2 Σ_i w_i) Σ_i w_i (y_i − b − xᵢᵀβ)² + λ (ρ ‖β‖₁ + (1 − ρ)/2 ‖β‖²)    for each output
/// ```
///
/// The objective is that of scikit-learn's `ElasticNet`; it is solved by coordinate descent
/// (linfa-elasticnet). The intercept `b` has no penalty. The meta-features are `(R, F)`, the coefficients
/// `(K, F)` for `K` outputs or classes ([`AffineModel`] says how it predicts classes). With ρ = 1 it is the
/// lasso.
///
/// Use it to find out which members add nothing: their coefficients are 0. Where that does not matter,
/// [`Ridge`](crate::combine::stack::Ridge) is solved exactly and faster. The features are not scaled first,
/// so all of them should have the same unit. Time `R·F² + F³` for the sums over the rows, then `F²` for each
/// sweep and output; memory `F²` per fold. With fewer rows than meta-features the sweeps take `R·F` each, and
/// nothing else is needed.
///
/// # Errors
/// Fitting fails when λ is negative or not finite, when ρ is outside 0 to 1, and when there are fewer than
/// two folds, rows or groups to cross-validate.
///
/// ```
/// # use candle_core::{Device, Tensor};
/// # use candle_ensemble::{combine::{stack::{ElasticNet, Stack}, Combiner}, data::Task, predictions::Predictions, HeldOut};
/// # let y = Tensor::arange(0f64, 60., &Device::Cpu)?.reshape((60, 1))?;
/// # let predicted = Tensor::stack(&[(&y + 1.)?, (y.sin()? + &y)?, (y.cos()? * 2. + &y)?], 0)?;
/// # let held_out = HeldOut::from_predictions(&Predictions::new(predicted, Task::Regression { outputs: 1 })?, &y)?;
/// let report = held_out.judge(&Stack::new(ElasticNet::new(0.01, 0.5)))?;
/// assert!(report.better_than_mean());
/// # Ok::<(), candle_ensemble::Error>(())
/// ```
///
/// Source: Zou and Hastie 2005, doi:10.1111/j.1467-9868.2005.00503.x.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ElasticNet {
    penalty: PenaltyChoice,
    l1_ratio: f64,
}

impl ElasticNet {
    /// The elastic net with this λ, finite and not negative, and this ρ, the share of the L1 penalty, from 0
    /// to 1.
    #[must_use]
    pub fn new(lambda: f64, l1_ratio: f64) -> Self {
        Self { penalty: PenaltyChoice::Fixed(lambda), l1_ratio }
    }

    /// The elastic net with this ρ, whose λ is chosen by cross-validation over this many folds of the
    /// held-out rows. There are 20 candidates, from the least λ for which all coefficients are zero down to a
    /// thousandth of it; the one with the least squared error is taken.
    #[must_use]
    pub fn cross_validated(l1_ratio: f64, folds: usize) -> Self {
        Self { penalty: PenaltyChoice::CrossValidated { folds }, l1_ratio }
    }
}

/// The rows, or a table of at most `F` rows that has the same second moments as all rows, so that the solver finds the
/// same coefficients on it.
struct CompressedTable {
    x: Array2<f64>,
    y: Array2<f64>,
}

impl CompressedTable {
    fn of(rows: &Centred) -> Result<Self> {
        let moments = match rows {
            Centred::Moments(moments) => moments,
            Centred::Rows(rows) => {
                return Ok(Self { x: by_columns(&rows.features), y: rows.targets.clone() });
            }
        };
        let (values, vectors) = decomposed(moments.gram.clone())?;
        let largest = values.iter().copied().fold(0., f64::max);
        let keep: Vec<usize> = (0..values.len()).filter(|i| values[*i] > largest * f64::EPSILON).collect();
        let roots: Array1<f64> = keep.iter().map(|i| values[*i].sqrt()).collect();
        let axes = vectors.select(Axis(1), &keep);
        let roots = roots.insert_axis(Axis(1));
        let y = axes.t().dot(&moments.cross) / &roots;
        Ok(Self { x: by_columns(&(&axes.t() * &roots)), y })
    }

    /// The coefficients, `(F, K)`, the duality gap summed over the outputs, and the largest number of sweeps.
    fn solve(
        &self,
        lambda: f64,
        l1_ratio: f64,
        (tolerance, max_sweeps): (f64, u32),
    ) -> Result<(Array2<f64>, f64, u32)> {
        let (rows, features) = self.x.dim();
        let mut coefficients = Array2::zeros((features, self.y.ncols()));
        let (mut gap, mut sweeps) = (0f64, 0);
        if rows == 0 {
            return Ok((coefficients, gap, sweeps)); // every feature is constant
        }
        // linfa divides the squared error by the number of rows.
        let net = linfa_elasticnet::ElasticNet::params()
            .penalty(lambda / rows as f64)
            .l1_ratio(l1_ratio)
            .with_intercept(false)
            .tolerance(tolerance)
            .max_iterations(max_sweeps);
        let fit_output = |k: usize| net.fit(&DatasetBase::new(self.x.view(), self.y.column(k)));
        let models: Vec<_> = wide(|| (0..self.y.ncols()).into_par_iter().map(fit_output).collect());
        for (model, mut column) in models.into_iter().zip(coefficients.columns_mut()) {
            let model = model.map_err(|e| unsolvable(&e))?;
            column.assign(model.hyperplane());
            gap += model.duality_gap().max(0.);
            sweeps = sweeps.max(model.n_steps());
        }
        Ok((coefficients, gap, sweeps))
    }
}

/// The same table, column-major: coordinate descent reads columns.
fn by_columns(table: &Array2<f64>) -> Array2<f64> {
    let mut columns = Array2::zeros(ndarray::ShapeBuilder::f(table.dim()));
    columns.assign(table);
    columns
}

impl MetaLearner for ElasticNet {
    type Model = AffineModel;

    fn fit(&self, dataset: &MetaDataset<'_>) -> Result<AffineModel> {
        self.check()?;
        let rho = self.l1_ratio;
        let candidates = |rows: &Centred| {
            let largest = rows.largest_covariance() / rho.max(1e-3);
            let candidate = |i: i32| largest * 10f64.powf(-3. * f64::from(i) / f64::from(CANDIDATES - 1));
            (0..CANDIDATES).map(candidate).collect()
        };
        let (rows, lambda) = choose_penalty(dataset, self.penalty, candidates, |rest, fold| {
            let table = CompressedTable::of(rest)?;
            Ok(Box::new(move |lambda| {
                let (coefficients, ..) = table.solve(lambda, rho, SEARCH)?;
                Ok(fold.error(&coefficients, &rest.intercepts(&coefficients)))
            }))
        })?;
        self.solve(&rows, lambda, dataset.task())
    }

    fn fit_moments(&self, moments: &mut dyn FnMut() -> Result<MetaMoments>) -> Result<Option<AffineModel>> {
        self.check()?;
        let Some(lambda) = self.penalty.fixed() else { return Ok(None) };
        let moments = moments()?;
        self.solve(moments.centred(), lambda, moments.task()).map(Some)
    }
}

impl ElasticNet {
    fn check(&self) -> Result<()> {
        self.penalty.check("the elastic net's penalty λ")?;
        match (0. ..=1.).contains(&self.l1_ratio) {
            true => Ok(()),
            false => Err(Error::invalid("the elastic net's L1 share ρ", "from 0 to 1", self.l1_ratio)),
        }
    }

    fn solve(&self, rows: &Centred, lambda: f64, task: Task) -> Result<AffineModel> {
        let rho = self.l1_ratio;
        let (coefficients, gap, sweeps) = CompressedTable::of(rows)?.solve(lambda, rho, FINAL)?;
        let norm = coefficients.fold(0., |sum, b| sum + rho * b.abs() + (1. - rho) / 2. * b * b);
        let objective = rows.error(&coefficients) / 2. + lambda * norm;
        let fit = Fit { objective, iterations: sweeps as usize, gap: Some(gap) };
        let intercepts = rows.intercepts(&coefficients);
        Ok(AffineModel::new("elastic-net", task, lambda, (coefficients, intercepts), fit))
    }
}
