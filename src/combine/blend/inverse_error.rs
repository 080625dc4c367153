//! Weights by how well each does on its own.
use crate::{
    combine::{blend::table::Table, held_out_table::HeldOutTable, Combiner, Fit, Weighted},
    data::Task,
    kernels::float::Number,
    metrics::{Criterion, RowLoss, Scored},
    threads::wide,
    Error, HeldOut, Result,
};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

/// Each slot by the inverse of its own held-out loss, `w_s ∝ 1 / loss_s^p`. Slots without any loss share all of the
/// weight.
///
/// The loss is the log-loss for classes and the squared error for values, unless predicted otherwise, and `p` is 1: for the
/// squared error that is the best there is if errors are independent and without bias (Bates and Granger 1969,
/// doi:10.1057/jors.1969.103).
///
/// ```
/// use candle_core::{Device, Tensor};
/// use candle_ensemble::{combine::{Combiner, FittedCombiner, InverseError}, data::Task, predictions::Predictions, HeldOut};
///
/// let y = Tensor::new(&[[1f64], [2.]], &Device::Cpu)?;
/// let predicted = Tensor::stack(&[(&y + 1.)?, (&y - 2.)?], 0)?;
/// let held_out = HeldOut::from_predictions(&Predictions::new(predicted, Task::Regression { outputs: 1 })?, &y)?;
/// let fitted = InverseError::new().fit(&held_out)?;
/// assert_eq!(fitted.weights(), Some(&[0.8, 0.2][..]));
/// # Ok::<(), candle_ensemble::Error>(())
/// ```
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
    /// By log-loss or squared error.
    #[must_use]
    pub fn new() -> Self {
        Self { loss: None, power: 1. }
    }

    /// By this loss.
    #[must_use]
    pub fn loss(mut self, loss: RowLoss) -> Self {
        self.loss = Some(loss);
        self
    }

    /// With this `p`, 0 or more: 0 gives equal weights, larger ones favour the best.
    #[must_use]
    pub fn power(mut self, power: f64) -> Self {
        self.power = power;
        self
    }
}

impl Combiner for InverseError {
    type Fitted = Weighted;

    fn fit(&self, held_out: &HeldOut) -> Result<Weighted> {
        if !self.power.is_finite() || self.power < 0. {
            return Err(Error::invalid("power of inverse-error", "finite and not negative", self.power));
        }
        let held_out_table = HeldOutTable::of(&held_out)?;
        let loss = self.loss.unwrap_or(match held_out_table.task {
            Task::Classification { .. } => RowLoss::LogLoss,
            Task::Regression { .. } => RowLoss::Squared,
        });
        loss.check(&held_out_table.truth)?;
        let (weights, objective) = match held_out_table.task {
            Task::Classification { .. } => {
                held_out_table.with(|all: &[f32]| self.on(&held_out_table, all, loss))?
            }
            Task::Regression { .. } => {
                held_out_table.with(|all: &[f64]| self.on(&held_out_table, all, loss))?
            }
        };
        let fit = Fit { objective: objective?, iterations: 1, gap: None };
        Ok(Weighted::found("inverse-error", held_out.names(), weights, Some(fit)))
    }
}

impl InverseError {
    /// The weights, and the loss of the mean that they give.
    fn on<T: Number>(
        &self,
        held_out_table: &HeldOutTable,
        all: &[T],
        loss: RowLoss,
    ) -> (Vec<f64>, Result<f64>) {
        let (_, rows, width) = held_out_table.dims();
        let losses = losses(held_out_table, all, loss);
        let least = losses.iter().copied().fold(f64::INFINITY, f64::min);
        let raw = |loss: &f64| match (*loss, least) {
            (same, least) if same == least => 1.,
            (_, 0.) if self.power > 0. => 0.,
            (loss, least) => (least / loss).powf(self.power),
        };
        let raw: Vec<f64> = losses.iter().map(raw).collect();
        let total: f64 = raw.iter().sum();
        let weights: Vec<f64> = raw.iter().map(|w| w / total).collect();
        let values = wide(|| Table::new(all, rows * width).mix(&weights));
        let (truth, of_rows) = (&held_out_table.truth, held_out_table.weights.as_slice());
        let objective = loss.loss(&Scored { values: &values, width, truth, weights: of_rows });
        (weights, objective)
    }
}

/// The loss of each slot.
fn losses<T: Number>(held_out_table: &HeldOutTable, all: &[T], loss: RowLoss) -> Vec<f64> {
    let (_, rows, width) = held_out_table.dims();
    let of = |predicted: &[T]| {
        let mut row = vec![0.; width];
        let each = predicted.chunks_exact(width).zip(&held_out_table.weights).enumerate().map(
            |(i, (predicted, weight))| {
                row.iter_mut().zip(predicted).for_each(|(r, x)| *r = (*x).into());
                weight * loss.of(&row, &held_out_table.truth, i)
            },
        );
        each.sum()
    };
    wide(|| all.par_chunks(rows * width).map(of).collect())
}
