//! Least squares.
use crate::{
    combine::{
        stack::{sums::Sums, AffineModel, MetaDataset, MetaLearner},
        Fit,
    },
    Result,
};
use serde::{Deserialize, Serialize};

/// Least squares with intercept: each output is a linear function of the meta-features, fitted alone.
///
/// Minimises `Σ_i w_i (y_i − b − xᵢᵀβ)²`. Where that leaves several solutions (duplicate members, a constant one,
/// the probabilities of more than two classes, fewer rows than meta-features) it takes the one of least norm, with
/// features counted in standard deviations: duplicates share alike. Needs many more rows than meta-features to be
/// better than the mean; [`Ridge`](crate::combine::stack::Ridge) needs fewer. Time `R·F² + F³`.
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
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Linear;

impl MetaLearner for Linear {
    type Model = AffineModel;

    fn fit(&self, dataset: &MetaDataset<'_>) -> Result<AffineModel> {
        let moments = Sums::of_all(dataset)?.centred();
        let coefficients = moments.least_squares()?;
        let fit = Fit { objective: moments.error(&coefficients), iterations: 1, gap: None };
        let intercepts = moments.intercepts(&coefficients);
        Ok(AffineModel::new("linear", dataset.task(), 0., (coefficients, intercepts), fit))
    }
}
