//! The weights on the simplex with the least log-loss.
use crate::{
    combine::{
        blend::{
            known::fit_known,
            means::Means,
            on_disk::{known_slots, Scratch},
            penalty::{penalized, PenalizedFit},
            simplex::CellLoss,
        },
        file_rows::FileRows,
        fit_loaded,
        held_out_table::HeldOutTable,
        Combiner, Penalty, Weighted,
    },
    data::Task,
    metrics::{RowLoss, Truth, NLL_EPSILON},
    threads::wide,
    Error, HeldOut, HeldOutFile, Result,
};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

/// Finds the weights with the least log-loss on the held-out rows, for classes.
///
/// ```text
/// min −Σ_i ω_i ln Σ_s w_s p_s,i(y_i) + λ ‖w − 1/S‖²  over  w ≥ 0, Σ w = 1
/// ```
///
/// It learns from held-out probabilities `(S, R, C)` (slots, rows, classes), of which it uses those of the
/// true classes, as `f32`. Each is at least [`NLL_EPSILON`], as in the metric. The problem is convex: the loss
/// is within 10⁻⁶ nats of its minimum, and [`Fit::gap`](crate::combine::Fit) is an upper bound of the
/// distance. The solver is sequential quadratic programming on an active set (mix-SQP) with clarabel for the
/// quadratic programs. Where predictions are missing, the mixture of a row is that of the slots that predict
/// it, with their weights divided by the sum of these. That is not convex; the searches start at equal
/// weights and end at the lowest minimum that they reach, without a gap.
///
/// Use it as the default for classes when there are at least some hundred held-out rows. With fewer rows, add
/// a [`penalty`](Self::penalty). For values use [`SimplexSquares`](crate::combine::SimplexSquares) or
/// [`PredictiveStacking`](crate::combine::PredictiveStacking).
///
/// The cost is a few dozen passes over the probabilities, and one quadratic program of at most `S` variables
/// for each.
///
/// # Errors
/// [`Combiner::fit`] fails for values, and when the penalty is negative, NaN, or cross-validated in fewer
/// than two folds.
///
/// # Examples
/// ```
/// use candle_core::{Device, Tensor};
/// use candle_ensemble::{
///     combine::{Combiner, FittedCombiner, SimplexLogLoss}, data::Task, predictions::Predictions, HeldOut,
/// };
///
/// let predicted = Tensor::new(&[[[0.9f32, 0.1], [0.4, 0.6]], [[0.1, 0.9], [0.6, 0.4]]], &Device::Cpu)?;
/// let predictions = Predictions::new(predicted, Task::Classification { classes: 2 })?;
/// let held_out = HeldOut::from_predictions(&predictions, &Tensor::new(&[0u32, 1], &Device::Cpu)?)?;
/// let fitted = SimplexLogLoss::new().fit(&held_out)?;
/// assert_eq!(fitted.weights(), Some(&[1., 0.][..]));
/// # Ok::<(), candle_ensemble::Error>(())
/// ```
///
/// Source: Kim, Carbonetto, Stephens and Anitescu 2018, arXiv:1806.01412.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct SimplexLogLoss {
    penalty: Penalty,
}

penalized!(SimplexLogLoss);

impl Combiner for SimplexLogLoss {
    type Fitted = Weighted;

    fn fit(&self, held_out: &HeldOut) -> Result<Weighted> {
        self.penalty.check()?;
        fit_known(held_out, |held_out| {
            let table = HeldOutTable::of(held_out)?;
            let probabilities = true_class_probabilities(&table)?;
            let fit = PenalizedFit {
                names: NAMES,
                means: Means::of_table(&table, &probabilities, 1),
                loss: CellLoss::Log,
                criterion: RowLoss::LogLoss,
                row_weights: &table.weights,
                width: 1,
                share: 1.,
            };
            fit.fit(held_out, self.penalty)
        })
    }

    fn fit_on_disk(&self, held_out: &HeldOutFile) -> Result<Weighted> {
        self.penalty.check()?;
        let Some(lambda) = self.penalty.fixed() else { return fit_loaded(self, held_out) };
        if let Task::Regression { .. } = held_out.task() {
            return Err(for_classes());
        }
        let slots = known_slots(held_out);
        let (rows, floor) = (FileRows::of(held_out)?, NLL_EPSILON as f32);
        let probabilities = Scratch::of_true_classes(held_out, &slots, floor)?;
        let there = Scratch::of_coverage(held_out, &slots, probabilities.chunks_a_block())?;
        let means =
            Means::covered(probabilities.matrix()?, there.as_ref().map(Scratch::matrix).transpose()?, 1);
        let fit = PenalizedFit {
            names: NAMES,
            means,
            loss: CellLoss::Log,
            criterion: RowLoss::LogLoss,
            row_weights: &rows.weights,
            width: 1,
            share: 1.,
        };
        fit.fit_on_disk(held_out, &slots, lambda)
    }
}

const NAMES: [&str; 2] = ["simplex-log-loss", "shrunk-log-loss"];

fn for_classes() -> Error {
    let must = "classification (simplex-log-loss is a combiner for classes)";
    Error::invalid("the task", must, "regression")
}

/// The probability of the true class by each slot for each row, at least [`NLL_EPSILON`], `(S, R)`; 0 where a
/// prediction is missing.
pub(crate) fn true_class_probabilities(table: &HeldOutTable) -> Result<Vec<f32>> {
    let (slots, rows, classes) = table.dims();
    let Truth::Classes(ids) = &table.truth else {
        return Err(for_classes());
    };
    table.with(|all: &[f32]| {
        wide(|| {
            let mut probabilities = vec![0f32; slots * rows];
            let slots = probabilities.par_chunks_mut(rows).zip(all.par_chunks(rows * classes)).enumerate();
            slots.for_each(|(slot, (out, predicted))| {
                let each = out.iter_mut().zip(predicted.chunks_exact(classes)).zip(ids).enumerate();
                for (_, ((out, predicted), id)) in each.filter(|(row, _)| table.predicts(slot, *row)) {
                    *out = predicted.get(*id as usize).map_or(f32::NAN, |p| p.clamp(NLL_EPSILON as f32, 1.));
                }
            });
            probabilities
        })
    })
}
