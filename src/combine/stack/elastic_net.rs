//! Least squares with a penalty that sets coefficients to zero.
use crate::{
    combine::{
        stack::{
            search::{choose, Path, Penalty},
            sums::{unsolved, Centred},
            AffineModel, MetaDataset, MetaLearner,
        },
        Fit,
    },
    threads::wide,
    Error, Result,
};
use linfa::{traits::Fit as _, DatasetBase};
use ndarray::{Array1, Array2, Axis};
use rayon::prelude::*;

/// How far linfa goes: its duality gap relative to the answers' variance, and sweeps at most.
const FINAL: (f64, u32) = (1e-9, 10_000);
/// Enough to compare penalties.
const SEARCH: (f64, u32) = (1e-4, 1000);
/// Penalties of the search, from the least that leaves nothing down to a thousandth of it.
const STEPS: i32 = 20;

/// Elastic net: minimises `1/(2 Σw) Σ_i w_i (y_i − b − xᵢᵀβ)² + λ (ρ ‖β‖₁ + (1 − ρ)/2 ‖β‖²)` for each output, the
/// intercept free; the objective of scikit-learn's `ElasticNet`, by coordinate descent (linfa-elasticnet). With ρ = 1
/// it is the lasso: members that add nothing get no weight. Source: Zou and Hastie 2005,
/// doi:10.1111/j.1467-9868.2005.00503.x.
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
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ElasticNet {
    strength: Penalty,
    ratio: f64,
}

impl ElasticNet {
    /// With this λ, at least 0, and this ρ, the share of the absolute values in the penalty, from 0 to 1.
    #[must_use]
    pub fn new(lambda: f64, ratio: f64) -> Self {
        Self { strength: Penalty::Given(lambda), ratio }
    }

    /// λ by the squared error over this many folds of the held-out rows: 20 strengths from the least that leaves
    /// nothing down to a thousandth of it.
    #[must_use]
    pub fn cross_validated(ratio: f64, folds: usize) -> Self {
        Self { strength: Penalty::Folds(folds), ratio }
    }
}

/// A small table with the same second moments as all the rows, on which linfa's solver finds the same coefficients.
struct Compressed {
    x: Array2<f64>,
    y: Array2<f64>,
}

impl Compressed {
    fn of(moments: &Centred) -> Result<Self> {
        let (values, vectors) = moments.eigen()?;
        let largest = values.iter().copied().fold(0., f64::max);
        let keep: Vec<usize> = (0..values.len()).filter(|i| values[*i] > largest * f64::EPSILON).collect();
        let roots: Array1<f64> = keep.iter().map(|i| values[*i].sqrt()).collect();
        let axes = vectors.select(Axis(1), &keep);
        let roots = roots.insert_axis(Axis(1));
        // Columns lie together: coordinate descent goes by columns.
        let mut x = Array2::zeros(ndarray::ShapeBuilder::f((keep.len(), values.len())));
        x.assign(&(&axes.t() * &roots));
        Ok(Self { x, y: axes.t().dot(&moments.cross) / roots })
    }

    /// Coefficients `(F, C)`, with the duality gap of all outputs and the most sweeps of one.
    fn solve(
        &self,
        lambda: f64,
        ratio: f64,
        (tolerance, most): (f64, u32),
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
            .l1_ratio(ratio)
            .with_intercept(false)
            .tolerance(tolerance)
            .max_iterations(most);
        let one = |k: usize| net.fit(&DatasetBase::new(self.x.view(), self.y.column(k)));
        let models: Vec<_> = wide(|| (0..self.y.ncols()).into_par_iter().map(one).collect());
        for (model, mut out) in models.into_iter().zip(coefficients.columns_mut()) {
            let model = model.map_err(|e| unsolved(&e))?;
            out.assign(model.hyperplane());
            gap += model.duality_gap().max(0.);
            sweeps = sweeps.max(model.n_steps());
        }
        Ok((coefficients, gap, sweeps))
    }
}

fn path(moments: &Centred, ratio: f64) -> Result<Path<'_>> {
    let small = Compressed::of(moments)?;
    Ok(Box::new(move |lambda| Ok(small.solve(lambda, ratio, SEARCH)?.0)))
}

impl MetaLearner for ElasticNet {
    type Model = AffineModel;

    fn fit(&self, dataset: &MetaDataset<'_>) -> Result<AffineModel> {
        let ratio = self.ratio;
        self.strength.check("the elastic net's penalty")?;
        if !(0. ..=1.).contains(&ratio) {
            return Err(Error::invalid("the elastic net's share of absolute values", "from 0 to 1", ratio));
        }
        let candidates = |moments: &Centred| {
            let most = moments.cross.iter().fold(0f64, |most, c| most.max(c.abs())) / ratio.max(1e-3);
            let step = |i: i32| most * 10f64.powf(-3. * f64::from(i) / f64::from(STEPS - 1));
            (0..STEPS).map(step).collect()
        };
        let (moments, lambda) = choose(dataset, self.strength, candidates, |moments| path(moments, ratio))?;
        let (coefficients, gap, sweeps) = Compressed::of(&moments)?.solve(lambda, ratio, FINAL)?;
        let size = coefficients.fold(0., |sum, b| sum + ratio * b.abs() + (1. - ratio) / 2. * b * b);
        let objective = moments.error(&coefficients) / 2. + lambda * size;
        let fit = Fit { objective, iterations: sweeps.into(), gap: Some(gap) };
        let intercepts = moments.intercepts(&coefficients);
        Ok(AffineModel::new("elastic-net", dataset.task(), lambda, (coefficients, intercepts), fit))
    }
}
