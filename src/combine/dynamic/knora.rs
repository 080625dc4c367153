//! The part that KNORA-E and KNORA-U share.
use crate::{
    combine::dynamic::{
        competence::{combine_weighted, Competence},
        dynamic_selection::{sealed::Sealed, Settings},
    },
    predictions::Predictions,
    HeldOut, Result,
};
use candle_core::{Result as CandleResult, Tensor};
use std::fmt::Debug;

/// A measure that gives members votes for being right about the nearest held-out rows.
pub trait Knora: Debug {
    /// The name of the combiner in tables and files.
    const NAME: &'static str;
    /// The name of the combiner in error messages.
    const TITLE: &'static str;

    /// The votes of each of these slots, given the nearest held-out rows that it predicts, the nearest first.
    fn votes(competence: &Competence, nearest: &[(usize, &[u32])]) -> Vec<f64>;
}

impl<K: Knora> Sealed for K {
    const NAME: &'static str = K::NAME;
    type Fitted = Competence;

    fn fit(&self, settings: Settings, held_out: &HeldOut) -> Result<Competence> {
        Ok(Competence::fit(K::TITLE, settings, 1, held_out)?.0)
    }

    fn check(competence: &Competence, settings: Settings) -> Result<()> {
        competence.check(settings)
    }

    fn combine(competence: &Competence, predictions: &Predictions, soft: bool) -> CandleResult<Tensor> {
        let nearest = competence.nearest(predictions)?;
        combine_weighted(predictions, soft, |row_predictions| {
            let of_slot = |slot: &usize| (*slot, nearest.of(row_predictions.row, *slot));
            let nearest: Vec<_> = row_predictions.slots.iter().map(of_slot).collect();
            K::votes(competence, &nearest)
        })
    }
}
