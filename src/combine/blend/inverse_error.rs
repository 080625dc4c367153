//! Weights by the inverse of each slot's own loss.
use crate::{
    combine::{
        blend::{known::fit_known, on_disk::known_slots},
        file_rows::{truth_of, weights_of},
        held_out_table::{with_predictions, HeldOutTable, Number},
        Combiner, Weighted,
    },
    metrics::{RowLoss, Truth},
    threads::wide,
    Error, HeldOut, HeldOutFile, Result,
};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

/// Weights each slot by the inverse of its own held-out loss.
///
/// ```text
/// w_s = loss_s^−p / Σ_t loss_t^−p
/// ```
///
/// It learns from held-out predictions `(S, R, C)` (slots, rows, classes or outputs). The loss of a slot is that
/// on the rows that it predicts. Slots with a loss of zero share all of the weight. The default loss is the log-loss for classes and the squared error
/// for values, and `p` is 1 by default. For the squared error these are the best weights when the errors of
/// the slots are independent and have no bias.
///
/// Use it for few held-out rows, or as a quick weighting that ignores correlations between members. Members
/// that predict the same get double weight; [`SimplexSquares`](crate::combine::SimplexSquares) takes
/// correlations into account.
///
/// The cost is one pass over the predictions.
///
/// # Errors
/// [`Combiner::fit`] fails when the power is negative or not finite, or when the loss does not support the
/// task.
///
/// # Examples
/// ```
/// use candle_core::{Device, Tensor};
/// use candle_ensemble::{
///     combine::{Combiner, FittedCombiner, InverseError}, data::Task, predictions::Predictions, HeldOut,
/// };
///
/// let y = Tensor::new(&[[1f64], [2.]], &Device::Cpu)?;
/// let predicted = Tensor::stack(&[(&y + 1.)?, (&y - 2.)?], 0)?;
/// let predictions = Predictions::new(predicted, Task::Regression { outputs: 1 })?;
/// let held_out = HeldOut::from_predictions(&predictions, &y)?;
/// let fitted = InverseError::new().fit(&held_out)?;
/// assert_eq!(fitted.weights(), Some(&[0.8, 0.2][..]));
/// # Ok::<(), candle_ensemble::Error>(())
/// ```
///
/// Source: Bates and Granger 1969, doi:10.1057/jors.1969.103.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct InverseError {
    loss: Option<RowLoss>,
    power: f64,
}

impl Default for InverseError {
    fn default() -> Self {
        Self::new()
    }
}

impl InverseError {
    /// Creates the combiner with the log-loss for classes, the squared error for values, and the power 1.
    #[must_use]
    pub fn new() -> Self {
        Self { loss: None, power: 1. }
    }

    /// Sets the loss. The default is the log-loss for classes and the squared error for values.
    #[must_use]
    pub fn loss(mut self, loss: RowLoss) -> Self {
        self.loss = Some(loss);
        self
    }

    /// Sets the power `p`, 0 or more; the default is 1. The power 0 gives equal weights, larger powers favour
    /// the best slots.
    #[must_use]
    pub fn power(mut self, power: f64) -> Self {
        self.power = power;
        self
    }
}

impl Combiner for InverseError {
    type Fitted = Weighted;

    fn fit(&self, held_out: &HeldOut) -> Result<Weighted> {
        self.check()?;
        fit_known(held_out, |held_out| {
            let table = HeldOutTable::of(held_out)?;
            let loss = self.loss.unwrap_or(RowLoss::loss_for(table.task));
            loss.check(&table.truth)?;
            let sums = with_predictions!(table, |all| slot_losses(&table, all, loss))?;
            let losses: Vec<f64> = sums.iter().map(|[sum, total]| sum / total).collect();
            Weighted::with_loss_on(held_out, NAME, self.weights(&losses), &loss, (1, None))
        })
    }

    fn fit_on_disk(&self, held_out: &HeldOutFile) -> Result<Weighted> {
        self.check()?;
        let loss = self.loss.unwrap_or(RowLoss::loss_for(held_out.task()));
        let sums = match held_out.is_wide() {
            true => losses_on_disk::<f64>(held_out, loss)?,
            false => losses_on_disk::<f32>(held_out, loss)?,
        };
        let slots = known_slots(held_out);
        let losses: Vec<f64> = slots.iter().map(|slot| sums[*slot][0] / sums[*slot][1]).collect();
        let mut weights = vec![0.; held_out.slots()];
        slots.iter().zip(self.weights(&losses)).for_each(|(slot, weight)| weights[*slot] = weight);
        Weighted::with_loss_on_disk(held_out, NAME, weights, &loss, (1, None))
    }
}

const NAME: &str = "inverse-error";

impl InverseError {
    fn check(&self) -> Result<()> {
        match self.power.is_finite() && self.power >= 0. {
            true => Ok(()),
            false => Err(Error::invalid("power of inverse-error", "finite and not negative", self.power)),
        }
    }

    fn weights(&self, losses: &[f64]) -> Vec<f64> {
        let least = losses.iter().copied().fold(f64::INFINITY, f64::min);
        // Relative to the least loss, which keeps the powers finite.
        let relative = |loss: &f64| match (*loss, least) {
            (same, least) if same == least => 1.,
            (_, 0.) if self.power > 0. => 0.,
            (loss, least) => (least / loss).powf(self.power),
        };
        let relative: Vec<f64> = losses.iter().map(relative).collect();
        let total: f64 = relative.iter().sum();
        relative.iter().map(|w| w / total).collect()
    }
}

/// The weighted sum of each slot's losses on the rows that it predicts, and the weight of these.
fn slot_losses<T: Number>(table: &HeldOutTable, all: &[T], loss: RowLoss) -> Vec<[f64; 2]> {
    let (_, _, width) = table.dims();
    losses_of_slots(all, width, (&table.truth, &table.weights), loss, |slot, row| table.predicts(slot, row))
}

/// The same for all slots of a file, in one pass.
fn losses_on_disk<T: Number>(file: &HeldOutFile, loss: RowLoss) -> Result<Vec<[f64; 2]>> {
    let mut sums = vec![[0.; 2]; file.slots()];
    for view in file.views() {
        let (all, covered, rows) = (view.values::<T>()?, view.covered()?, view.rows());
        let truth = truth_of(file.task(), view.about_rows()?);
        loss.check(&truth)?;
        let weights = weights_of(view, file.total_weight())?;
        let predicts =
            |slot: usize, row: usize| covered.is_none_or(|covered| covered[slot * rows + row] > 0.);
        let of_view = losses_of_slots(all, file.task().width(), (&truth, &weights), loss, predicts);
        for ([sum, total], [more, weight]) in sums.iter_mut().zip(of_view) {
            (*sum, *total) = (*sum + more, *total + weight);
        }
        view.release();
    }
    Ok(sums)
}

fn losses_of_slots<T: Number>(
    all: &[T],
    width: usize,
    (truth, weights): (&Truth, &[f64]),
    loss: RowLoss,
    predicts: impl Fn(usize, usize) -> bool + Sync,
) -> Vec<[f64; 2]> {
    let of_slot = |(slot, predicted): (usize, &[T])| {
        let mut row = vec![0.; width];
        let (mut sum, mut total) = (0., 0.);
        for (i, (predicted, weight)) in predicted.chunks_exact(width).zip(weights).enumerate() {
            if predicts(slot, i) {
                row.iter_mut().zip(predicted).for_each(|(r, x)| *r = (*x).into());
                sum += weight * loss.of(&row, truth, i);
                total += weight;
            }
        }
        [sum, total]
    };
    wide(|| all.par_chunks(weights.len() * width).enumerate().map(of_slot).collect())
}
