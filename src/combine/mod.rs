//! Ways to combine what members say; one rule a file.
//!
//! A [`Combiner`] is a rule with its parameters still open; fitted, it is a [`Head`]. Rules that have nothing
//! to fit ([`Rule`]) are their own heads.
mod blend;
mod borda_count;
mod calibrate;
mod cross_fit;
mod dynamic;
mod file;
mod gating;
mod hard_vote;
mod layers;
mod maximum;
mod mean;
mod mean_log;
mod mean_logit;
mod median;
mod minimum;
mod product;
mod rank_average;
mod report;
mod row_by_row;
mod select;
mod sheet;
mod softmax_mean;
pub mod stack;
mod trimmed_mean;
mod voices;
mod weighted;
mod weighted_sum;
mod weighted_vote;
mod winsorized_mean;

pub use blend::{
    DifferentialEvolution, GridSearch, InverseError, LeastSquares, ModelCombination, PerClass, PerClassHead,
    PredictiveStacking, PseudoBma, SimplexLogLoss, SimplexSquares, Strength,
};
pub use borda_count::BordaCount;
pub use calibrate::{
    Calibrate, Calibrated, CalibratedHead, Calibration, Calibrator, OnCalibrated, OnCalibratedHead,
};
pub(crate) use cross_fit::said_by_folds;
pub use dynamic::{
    DynamicSelection, DynamicSelectionHead, KnoraE, KnoraEHead, KnoraU, KnoraUHead, MetaDes, MetaDesHead,
    Space,
};
pub(crate) use file::{decode as decode_rule, encode as encode_rule};
pub use file::{load_rule, save_rule};
pub use gating::{Gating, GatingHead};
pub use hard_vote::HardVote;
pub use layers::{AtInference, Heads, Layers, LayersHead, Rules};
pub use maximum::Maximum;
pub use mean::Mean;
pub use mean_log::MeanLog;
pub use mean_logit::MeanLogit;
pub use median::Median;
pub use minimum::Minimum;
pub use product::Product;
pub use rank_average::RankAverage;
pub use report::{RuleReport, RuleScore};
pub use select::{EnsembleSelection, SelectionPath};
pub(crate) use sheet::{Number, Sheet};
pub(crate) use softmax_mean::softmax_mean;
pub use stack::{Stack, StackHead};
pub use trimmed_mean::TrimmedMean;
pub use voices::Voices;
pub use weighted::{Fit, Weighted};
pub use weighted_vote::WeightedVote;
pub use winsorized_mean::WinsorizedMean;

use crate::{train::Scale, HeldOut, Result};
use candle_core::{Result as CandleResult, Tensor};
use std::fmt::Debug;

/// A rule that may learn.
pub trait Combiner: Debug {
    /// The fitted rule.
    type Head: Head;

    /// Fits the rule. `held_out` is called only by rules that learn: it gives predictions that no member behind
    /// them was fitted on, and fails where there are none.
    ///
    /// # Errors
    /// When a parameter is out of range, or there are too few held-out rows.
    fn fit(&self, held_out: &dyn Fn() -> Result<HeldOut>) -> Result<Self::Head>;

    /// Whether it looks at the rows' inputs ([`Voices::inputs`]), which are then there.
    fn wants_inputs(&self) -> bool {
        false
    }
}

/// A fitted rule: `(S, B, C) -> (B, C)`, slots, rows, classes or outputs.
pub trait Head: Debug {
    /// What tables and files call it.
    fn name(&self) -> String;

    /// On which scale it wants the voices.
    fn scale(&self) -> Scale {
        Scale::Probability
    }

    /// Whether it is the plain mean of the voices. An ensemble then takes it straight from what its networks put
    /// out, in one pass; [`Head::combine`] has to give the same to rounding.
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

    /// Whether it looks at the rows' inputs ([`Voices::inputs`]), which are then there.
    fn wants_inputs(&self) -> bool {
        false
    }

    /// Combines the voices, into probabilities for classes, values for regression. A row that no voice covers
    /// comes out as NaN.
    ///
    /// # Errors
    /// When the rule does not go with the task or with voices that are missing.
    fn combine(&self, voices: &Voices) -> CandleResult<Tensor>;
}

/// A rule that has nothing to fit, and works for any number of voices, or for as many as it was given weights for.
pub trait Rule: Head + Clone {}

impl<R: Rule> Combiner for R {
    type Head = R;

    fn fit(&self, _: &dyn Fn() -> Result<HeldOut>) -> Result<R> {
        Ok(self.clone())
    }
}

/// For programs that choose the rule at run time.
impl<H: Head + ?Sized> Head for Box<H> {
    fn name(&self) -> String {
        (**self).name()
    }

    fn scale(&self) -> Scale {
        (**self).scale()
    }

    fn is_mean(&self) -> bool {
        (**self).is_mean()
    }

    fn weights(&self) -> Option<&[f64]> {
        (**self).weights()
    }

    fn fitted(&self) -> Option<&Fit> {
        (**self).fitted()
    }

    fn wants_inputs(&self) -> bool {
        (**self).wants_inputs()
    }

    fn combine(&self, voices: &Voices) -> CandleResult<Tensor> {
        (**self).combine(voices)
    }
}

#[cfg(test)]
mod tests;
