//! Ways to combine what members say; one rule a file.
//!
//! A [`Combiner`] is a rule with its parameters still open; fitted, it is a [`FittedCombiner`]. CombinerSet that have nothing
//! to fit ([`Rule`]) are their own heads.
pub(crate) mod blend;
pub(crate) mod calibrate;
pub(crate) mod cross_fit;
pub(crate) mod dynamic;
mod file;
pub(crate) mod fixed;
mod forward;
pub(crate) mod held_out_table;
mod metrics;
mod report;
pub(crate) mod select;
pub mod stack;

pub use blend::{
    DifferentialEvolution, FittedPerClass, GridSearch, InverseError, LeastSquares, ModelCombination, Penalty,
    PerClass, PredictiveStacking, PseudoBma, SimplexLogLoss, SimplexSquares,
};
pub use calibrate::{
    Calibrate, Calibrated, Calibration, Calibrator, FittedCalibrated, FittedOnCalibrated, OnCalibrated,
};
pub use dynamic::{
    CompetenceMeasure, DynamicSelection, FittedDynamicSelection, FittedGating, FittedKnoraE, FittedKnoraU,
    FittedMetaDes, Gating, KnoraE, KnoraEliminate, KnoraU, KnoraUnion, MetaClassifier, MetaDes, Space,
};
pub(crate) use file::{decode as decode_rule, encode as encode_rule};
pub use file::{load_rule, save_rule};
pub(crate) use fixed::softmax_mean::softmax_mean;
pub use fixed::{
    BordaCount, Fit, GeometricMean, HardVote, LogOddsMean, Maximum, Mean, Median, Minimum, Product,
    RankAverage, TrimmedMean, Weighted, WeightedVote, WinsorizedMean,
};
pub(crate) use forward::forward;
pub(crate) use held_out_table::Number;
pub use report::{RuleReport, RuleScore};
pub use select::{EnsembleSelection, SelectionPath};
pub use stack::{
    CombinerSet, FittedMultiLayerStack, FittedSet, FittedStack, InferenceMode, MultiLayerStack, Stack,
};

pub use crate::predictions::Predictions;

use crate::{network::Scale, HeldOut, Result};
use candle_core::{Result as CandleResult, Tensor};
use std::fmt::Debug;

/// A rule that may learn.
pub trait Combiner: Debug {
    /// The fitted rule.
    type Fitted: FittedCombiner;

    /// Fits the combiner on held-out predictions: predictions for rows on which the member that made them was not
    /// fitted. A combiner that does not need them ([`needs_held_out`](Self::needs_held_out)) may be given none, a
    /// `held_out` of zero rows.
    ///
    /// # Errors
    /// When a parameter is out of range, or there are too few held-out rows.
    fn fit(&self, held_out: &HeldOut) -> Result<Self::Fitted>;

    /// Whether the combiner learns from held-out predictions.
    fn needs_held_out(&self) -> bool {
        true
    }

    /// Whether it looks at the rows' inputs ([`Predictions::inputs`]), which are then there.
    fn needs_inputs(&self) -> bool {
        false
    }
}

/// A fitted rule: `(S, B, C) -> (B, C)`, slots, rows, classes or outputs.
pub trait FittedCombiner: Debug {
    /// What tables and files call it.
    fn name(&self) -> String;

    /// On which scale it wants the predictions.
    fn scale(&self) -> Scale {
        Scale::Probability
    }

    /// Whether it is the plain mean of the predictions. An ensemble then takes it straight from what its networks put
    /// out, in one pass; [`FittedCombiner::combine`] has to give the same to rounding.
    fn is_mean(&self) -> bool {
        false
    }

    /// The weight of each slot, where the rule is a weighted mean of the slots.
    fn weights(&self) -> Option<&[f64]> {
        None
    }

    /// How the fit ended, where there was one to find.
    fn fitted(&self) -> Option<&Fit> {
        None
    }

    /// Whether it looks at the rows' inputs ([`Predictions::inputs`]), which are then there.
    fn needs_inputs(&self) -> bool {
        false
    }

    /// Checks that the fitted combiner is consistent, so that [`FittedCombiner::combine`] cannot panic. [`load_rule`] and
    /// [`Ensemble::load`](crate::Ensemble::load) call it after decoding, because a file may hold any values that have the
    /// right types. Implement it for types with fields that must agree with each other; wrappers call it for what they
    /// wrap.
    ///
    /// # Errors
    /// [`Error::Invalid`](crate::Error::Invalid) when a field is out of range or does not agree with another one.
    fn check(&self) -> Result<()> {
        Ok(())
    }

    /// Combines the predictions, into probabilities for classes, values for regression. A row that no prediction covers
    /// comes out as NaN.
    ///
    /// # Errors
    /// When the rule does not go with the task or with predictions that are missing.
    fn combine(&self, predictions: &Predictions) -> CandleResult<Tensor>;
}

/// A rule that has nothing to fit, and works for any number of predictions, or for as many as it was given weights for.
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

/// For programs that choose the rule at run time.
impl<F: FittedCombiner + ?Sized> FittedCombiner for Box<F> {
    forward!(Box::as_ref; name, scale, is_mean, weights, fitted, needs_inputs, check, combine);
}

#[cfg(test)]
mod tests;
