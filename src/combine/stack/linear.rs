//! Linear regression by least squares.
use crate::{
    combine::{
        stack::{
            centred::{Centred, RowSet},
            AffineModel, MetaDataset, MetaLearner, MetaMoments,
        },
        Fit,
    },
    data::Task,
    Result,
};
use serde::{Deserialize, Serialize};

/// Linear regression by least squares, with an intercept: each output is a linear function of the
/// meta-features.
///
/// ```text
/// minimise Σ_i w_i (y_i − b − xᵢᵀβ)²    for each output
/// ```
///
/// The meta-features are `(R, F)`, the coefficients `(K, F)` for `K` outputs or classes ([`AffineModel`] says
/// how it predicts classes). The solution is not unique when members are duplicates or constant, for more
/// than two classes (their probabilities sum to one), and with fewer rows than meta-features. Then the
/// solution of least norm is taken, with the features in units of their standard deviations: duplicate
/// members get the same coefficient.
///
/// Use it for regression when there are many more held-out rows than meta-features. With fewer rows use
/// [`Ridge`](crate::combine::stack::Ridge); for classes [`Logistic`](crate::combine::stack::Logistic)
/// minimises the log-loss. Time `R·F² + F³`, memory `F²`; with fewer rows than meta-features, as with many
/// classes, time `R²·F + R³ + R·F·K` and memory `R·F + F·K`.
///
/// # Errors
/// Fitting fails when the normal equations cannot be solved, as with meta-features that overflow.
///
/// ```
/// # use candle_core::{Device, Tensor};
/// # use candle_ensemble::{combine::stack::{Linear, Stack}, data::TensorDataset, network::*, plan::*, strategy::*, train::*, Seed, Session};
/// # let x = Tensor::arange(0f32, 160., &Device::Cpu)?.affine(0.01, 0.)?.reshape((80, 2))?;
/// # let y = x.sqr()?.sum(1)?;
/// # let data = TensorDataset::regression(x.clone(), &y)?;
/// # let trainer = Trainer::new(|vb| candle_nn::linear(2, 1, vb)).epochs(2);
/// let session = Session::new(&trainer, &data);
/// let plan = session.plan(&MultiRun::new(3), 42)?.reserve(0.3, &data, Seed::from(42))?;
/// let ensemble = session.train(&plan)?.combine(&Stack::new(Linear))?;
/// # assert_eq!(ensemble.predict(&x)?.dims(), [80, 1]);
/// # Ok::<(), candle_ensemble::Error>(())
/// ```
///
/// Source: for stacking Breiman 1996, doi:10.1007/BF00117832; for classes Ting and Witten 1999,
/// doi:10.1613/jair.594.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Linear;

impl MetaLearner for Linear {
    type Model = AffineModel;

    fn fit(&self, dataset: &MetaDataset<'_>) -> Result<AffineModel> {
        least_squares(&RowSet::of_all_rows(dataset)?.centred(), dataset.task())
    }

    fn fit_moments(&self, moments: &mut dyn FnMut() -> Result<MetaMoments>) -> Result<Option<AffineModel>> {
        let moments = moments()?;
        least_squares(moments.centred(), moments.task()).map(Some)
    }
}

fn least_squares(rows: &Centred, task: Task) -> Result<AffineModel> {
    let coefficients = rows.least_squares()?;
    let fit = Fit { objective: rows.error(&coefficients), iterations: 1, gap: None };
    let intercepts = rows.intercepts(&coefficients);
    Ok(AffineModel::new("linear", task, 0., (coefficients, intercepts), fit))
}
