//! The weights with the least log-loss.
use crate::{
    combine::{
        blend::{penalty::Blend, simplex::Loss, table::Table},
        held_out_table::HeldOutTable,
        Combiner, Penalty, Weighted,
    },
    metrics::{Truth, NLL_EPSILON},
    threads::wide,
    Error, HeldOut, Result,
};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

/// The shares with the least log-loss on the held-out rows: `min −Σ_i ω_i ln Σ_s w_s p_s,i` over `w ≥ 0`,
/// `Σ w = 1`, with `p_s,i` what slot `s` gives the true class of row `i`. Convex; the least value to well below 10⁻⁶
/// nats, with the gap in [`Fit::gap`](crate::combine::Fit). Where all slots give a row next to nothing, or 0, each counts
/// as [`NLL_EPSILON`], as in the metric.
///
/// Sequential quadratic programming over an active set, with clarabel for the quadratic programmes; see Kim, Carbonetto,
/// Stephens and Anitescu 2018, arXiv:1806.01412. For classes; for values see
/// [`PredictiveStacking`](crate::combine::PredictiveStacking).
///
/// ```
/// use candle_core::{Device, Tensor};
/// use candle_ensemble::{combine::{Combiner, FittedCombiner, SimplexLogLoss}, data::Task, predictions::Predictions, HeldOut};
///
/// let predicted = Tensor::new(&[[[0.9f32, 0.1], [0.4, 0.6]], [[0.1, 0.9], [0.6, 0.4]]], &Device::Cpu)?;
/// let predictions = Predictions::new(predicted, Task::Classification { classes: 2 })?;
/// let held_out = HeldOut::from_predictions(&predictions, &Tensor::new(&[0u32, 1], &Device::Cpu)?)?;
/// let fitted = SimplexLogLoss::new().fit(&held_out)?;
/// assert_eq!(fitted.weights(), Some(&[1., 0.][..]));
/// # Ok::<(), candle_ensemble::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct SimplexLogLoss {
    strength: Penalty,
}

impl SimplexLogLoss {
    /// Without a penalty.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// With a penalty towards equal weights, `λ ‖w − 1/S‖²`: useful where held-out rows are few. The fitted's name
    /// tells `λ`.
    #[must_use]
    pub fn towards_equal(self, strength: Penalty) -> Self {
        Self { strength }
    }
}

impl Combiner for SimplexLogLoss {
    type Fitted = Weighted;

    fn fit(&self, held_out: &HeldOut) -> Result<Weighted> {
        self.strength.check()?;
        let held_out_table = HeldOutTable::of(&held_out)?;
        let true_class = of_true_class(&held_out_table)?;
        let (rules, row_weights) =
            (["simplex-log-loss", "shrunk-log-loss"], held_out_table.weights.as_slice());
        let table = Table::new(&true_class, row_weights.len());
        let blend = Blend { rules, table, loss: Loss::Log, row_weights, width: 1, share: 1. };
        blend.fit(&held_out, self.strength)
    }
}

/// `(S, R)`: what each slot gives the true class, at least [`NLL_EPSILON`].
pub(crate) fn of_true_class(held_out_table: &HeldOutTable) -> Result<Vec<f32>> {
    let (slots, rows, classes) = held_out_table.dims();
    let Truth::Classes(ids) = &held_out_table.truth else {
        return Err(Error::invalid(
            "the task",
            "classification (simplex-log-loss is a rule for classes)",
            "regression",
        ));
    };
    held_out_table.with(|all: &[f32]| {
        wide(|| {
            let mut table = vec![0f32; slots * rows];
            let slots = table.par_chunks_mut(rows).zip(all.par_chunks(rows * classes));
            slots.for_each(|(out, predicted)| {
                for ((out, predicted), id) in out.iter_mut().zip(predicted.chunks_exact(classes)).zip(ids) {
                    *out = predicted.get(*id as usize).map_or(f32::NAN, |p| p.clamp(NLL_EPSILON as f32, 1.));
                }
            });
            table
        })
    })
}
