//! Combiners: how the predictions of the members become one.
//!
//! A [`Combiner`] is fitted on held-out predictions, rows on which the members were not fitted. The result is
//! a [`FittedCombiner`], a function from the members' predictions `(S, B, C)` to one prediction `(B, C)`:
//! slots, rows, classes or outputs. A combiner that has nothing to fit ([`FixedCombiner`]), such as [`Mean`],
//! is its own fitted combiner.
//!
//! [`registry()`] makes combiners from names. An argument in brackets may be left out.
//!
//! | Name | Item | Tasks | What it does | Arguments |
//! |---|---|---|---|---|
//! | `mean`, `soft-vote` | [`Mean`] | both | Mean of probabilities or values | |
//! | `weighted-mean` | [`Weighted`] | both | Mean with given weights | `weights=…` |
//! | `geometric-mean`, `mean-log` | [`GeometricMean`] | classes | Mean of log-probabilities, normalised | |
//! | `log-odds-mean`, `mean-logit` | [`LogOddsMean`] | classes | Mean of log-odds | |
//! | `hard-vote` | [`HardVote`] | classes | Share of votes; ties go to the lowest class | |
//! | `weighted-vote` | [`WeightedVote`] | classes | Share of votes with given weights | `weights=…` |
//! | `product` | [`Product`] | classes | Product of probabilities, normalised | |
//! | `minimum` | [`Minimum`] | both | Smallest probability or value | |
//! | `maximum` | [`Maximum`] | both | Greatest probability or value | |
//! | `median` | [`Median`] | both | Median of probabilities or values | |
//! | `trimmed-mean` | [`TrimmedMean`] | both | Mean without a share at each end | `cut=0.2` |
//! | `winsorized-mean` | [`WinsorizedMean`] | both | Mean with a share at each end set to the next value | `cut=0.2` |
//! | `rank-average` | [`RankAverage`] | classes | Mean rank of each class | |
//! | `borda-count` | [`BordaCount`] | classes | Points by rank, added up | |
//! | `inverse-error` | [`InverseError`] | both | Weights proportional to 1/loss | `power=1`, `[criterion=…]` |
//! | `simplex-squares` | [`SimplexSquares`] | both | Weights of least squared error, 0 or more, sum 1 | |
//! | `simplex-log-loss` | [`SimplexLogLoss`] | classes | Weights of least log-loss, 0 or more, sum 1 | |
//! | `shrunk-squares` | [`SimplexSquares::penalty`] | both | The same as simplex-squares, shrunk towards equal weights | `[lambda=…]`, `[seed=…]` |
//! | `shrunk-log-loss` | [`SimplexLogLoss::penalty`] | classes | The same as simplex-log-loss, shrunk towards equal weights | `[lambda=…]`, `[seed=…]` |
//! | `least-squares` | [`LeastSquares`] | both | Any weights of least squared error | |
//! | `ridge` | [`LeastSquares::ridge`] | both | Any weights of least squared error with a penalty | `[lambda=…]`, `[seed=…]` |
//! | `grid-search` | [`GridSearch`] | both | The best weights of a grid, 0 or more, sum 1 | `grid-steps=10`, `[criterion=…]` |
//! | `differential-evolution` | [`DifferentialEvolution`] | both | Weights by differential evolution, 0 or more, sum 1 | `generations=1000`, `[criterion=…]`, `[seed=…]` |
//! | `per-class` | [`PerClass`] | both | Weights of least squared error for each class | |
//! | `pseudo-bma` | [`PseudoBma`] | both | Weights by expected log predictive density | |
//! | `pseudo-bma-plus` | [`PseudoBma::bootstrap`] | both | The same as pseudo-bma, with the Bayesian bootstrap | `draws=1000`, `[seed=…]` |
//! | `predictive-stacking` | [`PredictiveStacking`] | both | Weights by stacking of predictive distributions | |
//! | `model-combination` | [`ModelCombination`] | both | Bayesian model combination | `draws=1000`, `[seed=…]` |
//! | `ensemble-selection` | [`EnsembleSelection`] | both | Greedy selection of members, with replacement | `steps=50`, `start=0`, `[bags=…]`, `bag-share=0.5`, `[budget=…]`, `without-replacement=false`, `[criterion=…]`, `[seed=…]` |
//! | `stack-linear` | [`stack::Linear`] | both | Least squares as meta-learner | `features=probabilities`, `pass-through=false` |
//! | `stack-ridge` | [`stack::Ridge`] | both | Ridge regression as meta-learner | `[lambda=…]`, `features=probabilities`, `pass-through=false` |
//! | `stack-elastic-net` | [`stack::ElasticNet`] | both | Elastic net as meta-learner | `[lambda=…]`, `l1-ratio=0.5`, `features=probabilities`, `pass-through=false` |
//! | `stack-logistic` | [`stack::Logistic`] | classes | Multinomial logistic regression as meta-learner | `c=1`, `features=probabilities`, `pass-through=false` |
//! | `stack-linear-regression` | [`stack::LinearRegression`] | values | Linear regression as meta-learner, which refuses members that are not independent | `features=probabilities`, `pass-through=false` |
//! | `stack-tweedie` | [`stack::Tweedie`] | values | A generalized linear model as meta-learner | `tweedie-power=1`, `alpha=1`, `[link=…]`, `features=probabilities`, `pass-through=false` |
//! | `stack-network` | [`stack::NeuralNetwork`] | both | A neural network as meta-learner | `hidden=10`, `epochs=300`, `features=probabilities`, `pass-through=false`, `[seed=…]` |
//! | `multi-layer-stack` | [`MultiLayerStack`] | both | Mean, simplex-squares and stack-ridge, blended by simplex-squares | `folds=5`, `[seed=…]` |
//! | `temperature` | [`Calibration::Temperature`] | classes | The mean, scaled by one temperature | |
//! | `vector-scaling` | [`Calibration::Vector`] | classes | The mean, scaled class by class | |
//! | `isotonic` | [`Calibration::Isotonic`] | classes | The mean, through isotonic regression | |
//! | `knora-e` | [`KnoraE`] | classes | Members that are right on all neighbours of a row | `neighbours=7`, `outputs=false` |
//! | `knora-u` | [`KnoraU`] | classes | Members by how many neighbours they are right on | `neighbours=7`, `outputs=false` |
//! | `meta-des` | [`MetaDes`] | classes | Members by a learned estimate of their competence | `neighbours=7`, `outputs=false` |
//! | `gating` | [`Gating`] | both | Members by a gating network | `gate-units=0`, `[gate-epochs=…]`, `outputs=false`, `[seed=…]` |
pub(crate) mod any;
#[cfg(feature = "learned")]
pub(crate) mod blend;
#[cfg(feature = "learned")]
pub(crate) mod calibrate;
mod common_rows;
pub(crate) mod cross_fit;
#[cfg(feature = "learned")]
pub(crate) mod dynamic;
mod file;
#[cfg(feature = "learned")]
mod file_rows;
pub(crate) mod fitted_on;
pub(crate) mod fixed;
mod forward;
pub(crate) mod held_out_table;
#[cfg(feature = "learned")]
mod joint_normal;
mod metrics;
mod on_disk;
pub(crate) mod pruned;
mod registry;
mod report;
pub(crate) mod select;
#[cfg(feature = "learned")]
#[cfg_attr(docsrs, doc(cfg(feature = "learned")))]
pub mod stack;

pub use any::{AnyCombiner, AnyFitted};
#[cfg(feature = "learned")]
#[cfg_attr(docsrs, doc(cfg(feature = "learned")))]
pub use blend::{
    DifferentialEvolution, FittedPerClass, GridSearch, InverseError, LeastSquares, ModelCombination, Penalty,
    PerClass, PredictiveStacking, PseudoBma, SimplexLogLoss, SimplexSquares,
};
#[cfg(feature = "learned")]
#[cfg_attr(docsrs, doc(cfg(feature = "learned")))]
pub use calibrate::{
    Calibrate, Calibrated, Calibration, Calibrator, FittedCalibrated, FittedOnCalibrated, OnCalibrated,
};
#[cfg(feature = "learned")]
#[cfg_attr(docsrs, doc(cfg(feature = "learned")))]
pub use dynamic::{
    CompetenceMeasure, DynamicSelection, FittedDynamicSelection, FittedGating, FittedKnoraE, FittedKnoraU,
    FittedMetaDes, Gating, KnoraE, KnoraEliminate, KnoraU, KnoraUnion, MetaClassifier, MetaDes, Space,
};
pub(crate) use file::{decode as decode_combiner, encode as encode_combiner};
pub use file::{load_combiner, save_combiner};
pub(crate) use fitted_on::check_fitted_on;
pub use fitted_on::FittedOn;
pub(crate) use fixed::softmax_mean::softmax_mean;
pub use fixed::{
    BordaCount, Fit, GeometricMean, HardVote, LogOddsMean, Maximum, Mean, Median, Minimum, Product,
    RankAverage, TrimmedMean, Weighted, WeightedVote, WinsorizedMean,
};
pub(crate) use forward::forward;
pub(crate) use on_disk::fit_loaded;
pub use pruned::FittedPruned;
pub use registry::registry;
pub use report::{BestSingle, CombinerReport, CombinerScore};
pub use select::{EnsembleSelection, SelectionPath};
#[cfg(feature = "learned")]
#[cfg_attr(docsrs, doc(cfg(feature = "learned")))]
pub use stack::{
    CombinerSet, FittedMultiLayerStack, FittedSet, FittedStack, InferenceMode, MultiLayerStack, Stack,
};

pub use crate::predictions::Predictions;

use crate::{network::Scale, HeldOut, HeldOutFile, Result};
use candle_core::{Result as CandleResult, Tensor};
use std::fmt::Debug;

/// A way to combine the predictions of members, before it is fitted.
///
/// Most combiners learn from held-out predictions: weights, a meta-learner, which members to keep. One that
/// has nothing to learn implements [`FixedCombiner`], and this trait through it.
///
/// ```
/// use candle_core::{Device, Tensor};
/// use candle_ensemble::{combine::*, data::Task, HeldOut, Result};
///
/// /// Weights of 1 for the member with the best headline metric and 0 for the others.
/// #[derive(Debug)]
/// struct Best;
///
/// impl Combiner for Best {
///     type Fitted = Weighted;
///
///     fn fit(&self, held_out: &HeldOut) -> Result<Weighted> {
///         let slots = held_out.predictions().slots();
///         let mut best = (0, f64::INFINITY);
///         for slot in 0..slots {
///             let metrics = held_out.select_slots(&[slot])?.metrics(&Mean)?;
///             let loss = if metrics.larger_is_better() { -metrics.headline() } else { metrics.headline() };
///             if loss < best.1 {
///                 best = (slot, loss);
///             }
///         }
///         let weights: Vec<f64> = (0..slots).map(|slot| f64::from(u8::from(slot == best.0))).collect();
///         Weighted::new(&weights)
///     }
/// }
///
/// let predicted = Tensor::new(&[[[0.9f32, 0.1], [0.6, 0.4]], [[0.7, 0.3], [0.2, 0.8]]], &Device::Cpu)?;
/// let predictions = Predictions::new(predicted, Task::Classification { classes: 2 })?;
/// let held_out = HeldOut::from_predictions(&predictions, &Tensor::new(&[0u32, 1], &Device::Cpu)?)?;
/// assert_eq!(Best.fit(&held_out)?.weights(), Some(&[0., 1.][..]));
/// # Ok::<(), candle_ensemble::Error>(())
/// ```
pub trait Combiner: Debug {
    /// The type of the fitted combiner.
    type Fitted: FittedCombiner;

    /// Fits the combiner on held-out predictions: predictions for rows on which the member that made them was
    /// not fitted. A combiner that does not need them ([`needs_held_out`](Self::needs_held_out)) may be given
    /// a `held_out` of zero rows.
    ///
    /// # Errors
    /// When a parameter is out of range, or there are too few held-out rows.
    fn fit(&self, held_out: &HeldOut) -> Result<Self::Fitted>;

    /// Fits the combiner on held-out predictions on disk, which need not fit in memory.
    ///
    /// Rules that learn from sums over rows read the file in passes, and the result is that of [`fit`](Self::fit) on the same
    /// rows up to rounding. [`HeldOutFile`] has a table of them and of the memory that they need. All other rules, and those
    /// that do not override this, read all predictions if these take no more memory than
    /// [`HeldOutFile::with_memory`] allows.
    ///
    /// # Errors
    /// When the predictions would have to be in memory and are too large for it, when the combiner reads the inputs of rows,
    /// which are not in the file, and when the file is damaged; as [`fit`](Self::fit).
    fn fit_on_disk(&self, held_out: &HeldOutFile) -> Result<Self::Fitted> {
        fit_loaded(self, held_out)
    }

    /// Whether the combiner learns from held-out predictions; true, if not overridden.
    fn needs_held_out(&self) -> bool {
        true
    }

    /// Whether the combiner reads the rows' inputs. They are then in [`Predictions::inputs`] of what it is
    /// fitted on.
    fn needs_inputs(&self) -> bool {
        false
    }
}

/// A combiner that is fitted: a function from the members' predictions `(S, B, C)` to one prediction
/// `(B, C)`, where `S` is the number of slots, `B` of rows, and `C` of classes or outputs.
pub trait FittedCombiner: Debug {
    /// The name that tables and files show.
    fn name(&self) -> String;

    /// The scale on which the predictions of classes are given to [`combine`](Self::combine).
    fn scale(&self) -> Scale {
        Scale::Probability
    }

    /// Whether the combined prediction is the plain mean of the predictions. If so, an ensemble may compute
    /// the mean from the outputs of its networks in one pass, which must equal [`combine`](Self::combine) up
    /// to rounding.
    fn is_mean(&self) -> bool {
        false
    }

    /// The weight of each slot, if the combined prediction is a weighted mean of the slots.
    fn weights(&self) -> Option<&[f64]> {
        None
    }

    /// How the fit ended, if it was an optimization.
    fn fitted(&self) -> Option<&Fit> {
        None
    }

    /// What the combiner was fitted on, if it has learned from held-out predictions. Predictions of another
    /// kind are then an error in [`combine`](Self::combine).
    fn fitted_on(&self) -> Option<&FittedOn> {
        None
    }

    /// Whether the combiner reads the rows' inputs. They are then in [`Predictions::inputs`].
    fn needs_inputs(&self) -> bool {
        false
    }

    /// Checks that the fitted combiner is consistent, so that [`combine`](Self::combine) cannot panic.
    /// [`load_combiner`] and [`Ensemble::load`](crate::Ensemble::load) call it after decoding, because a file
    /// may hold any values that have the right types. Implement it for types with fields that must agree with
    /// each other; a wrapper calls it for what it wraps.
    ///
    /// # Errors
    /// [`Error::Invalid`](crate::Error::Invalid) when a field is out of range or does not agree with another
    /// one.
    fn check(&self) -> Result<()> {
        Ok(())
    }

    /// Combines the predictions: probabilities for classes, values for regression. A row without any
    /// prediction becomes NaN.
    ///
    /// # Errors
    /// When the combiner does not go with the task, the number of slots or missing predictions, or was fitted
    /// on predictions of another kind ([`fitted_on`](Self::fitted_on)).
    fn combine(&self, predictions: &Predictions) -> CandleResult<Tensor>;
}

/// A combiner that has nothing to fit. It works for any number of slots, or for as many as it was given
/// weights for.
///
/// A type that implements it is a [`Combiner`] whose fitted form is a copy of itself.
pub trait FixedCombiner: FittedCombiner + Clone {}

impl<R: FixedCombiner> Combiner for R {
    type Fitted = R;

    fn fit(&self, _: &HeldOut) -> Result<R> {
        Ok(self.clone())
    }

    fn needs_held_out(&self) -> bool {
        false
    }
}

/// For programs that choose the combiner at run time.
impl<F: FittedCombiner + ?Sized> FittedCombiner for Box<F> {
    forward!(Box::as_ref; name, scale, is_mean, weights, fitted, fitted_on, needs_inputs, check, combine);
}

#[cfg(test)]
pub(crate) mod tests;
