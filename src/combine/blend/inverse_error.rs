//! Weights by how well each does on its own.
use crate::{
    combine::{blend::table::Table, held_out_table::Sheet, Combiner, Fit, Weighted},
    data::Task,
    kernels::cpu::Number,
    metrics::{Criterion, RowLoss, Said},
    threads::wide,
    Error, HeldOut, Result,
};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

/// Each slot by the inverse of its own held-out loss, `w_s ∝ 1 / loss_s^p`. Slots without any loss share all of the
/// weight.
///
/// The loss is the log-loss for classes and the squared error for values, unless said otherwise, and `p` is 1: for the
/// squared error that is the best there is if errors are independent and without bias (Bates and Granger 1969,
/// doi:10.1057/jors.1969.103).
///
/// ```
/// use candle_core::{Device, Tensor};
/// use candle_ensemble::{combine::{Combiner, Head, InverseError}, data::Task, predictions::Voices, HeldOut};
///
/// let y = Tensor::new(&[[1f64], [2.]], &Device::Cpu)?;
/// let said = Tensor::stack(&[(&y + 1.)?, (&y - 2.)?], 0)?;
/// let held_out = HeldOut::from_predictions(&Voices::new(said, Task::Regression { outputs: 1 })?, &y)?;
/// let head = InverseError::new().fit(&|| Ok(held_out.clone()))?;
/// assert_eq!(head.weights(), Some(&[0.8, 0.2][..]));
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
    type Head = Weighted;

    fn fit(&self, held_out: &dyn Fn() -> Result<HeldOut>) -> Result<Weighted> {
        if !self.power.is_finite() || self.power < 0. {
            return Err(Error::invalid("power of inverse-error", "finite and not negative", self.power));
        }
        let held_out = held_out()?;
        let sheet = Sheet::of(&held_out)?;
        let loss = self.loss.unwrap_or(match sheet.task {
            Task::Classification { .. } => RowLoss::LogLoss,
            Task::Regression { .. } => RowLoss::Squared,
        });
        loss.check(&sheet.truth)?;
        let (weights, objective) = match sheet.task {
            Task::Classification { .. } => sheet.with(|all: &[f32]| self.on(&sheet, all, loss))?,
            Task::Regression { .. } => sheet.with(|all: &[f64]| self.on(&sheet, all, loss))?,
        };
        let fit = Fit { objective: objective?, iterations: 1, gap: None };
        Ok(Weighted::found("inverse-error", held_out.names(), weights, Some(fit)))
    }
}

impl InverseError {
    /// The weights, and the loss of the mean that they give.
    fn on<T: Number>(&self, sheet: &Sheet, all: &[T], loss: RowLoss) -> (Vec<f64>, Result<f64>) {
        let (_, rows, width) = sheet.dims();
        let losses = losses(sheet, all, loss);
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
        let (truth, of_rows) = (&sheet.truth, sheet.weights.as_slice());
        let objective = loss.loss(&Said { values: &values, width, truth, weights: of_rows });
        (weights, objective)
    }
}

/// The loss of each slot.
fn losses<T: Number>(sheet: &Sheet, all: &[T], loss: RowLoss) -> Vec<f64> {
    let (_, rows, width) = sheet.dims();
    let of = |said: &[T]| {
        let mut row = vec![0.; width];
        let each = said.chunks_exact(width).zip(&sheet.weights).enumerate().map(|(i, (said, weight))| {
            row.iter_mut().zip(said).for_each(|(r, x)| *r = (*x).into());
            weight * loss.of(&row, &sheet.truth, i)
        });
        each.sum()
    };
    wide(|| all.par_chunks(rows * width).map(of).collect())
}
