//! The comparison of a combiner with what needs no learning, on rows that it was not fitted on.
use crate::{
    combine::{
        common_rows::CommonRows,
        cross_fit::{cross_fit, in_order},
        Combiner, Fit, FittedCombiner, Mean,
    },
    metrics::{weighted_bootstrap, Interval, Metrics, RowLoss},
    HeldOut, Result, Rows, Seed,
};
use candle_core::{DType, Tensor};
use comfy_table::{presets::ASCII_MARKDOWN, Table};
use serde::{Deserialize, Serialize};
use std::fmt;

/// Number of folds of the held-out rows, where there are as many rows.
const FOLDS: usize = 5;
const LEVEL: f64 = 0.95;
const RESAMPLES: usize = 1000;

/// The metrics of combined predictions on held-out rows, and their loss with a bootstrap interval.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CombinerScore {
    /// All metrics.
    pub metrics: Metrics,
    /// Log-loss for classes, squared error for values, with a 95 % bootstrap interval over the rows, or over
    /// the groups where rows have groups.
    pub loss: Interval,
}

impl CombinerScore {
    /// The numbers as cells of a table.
    pub(crate) fn cells(&self) -> impl Iterator<Item = String> {
        let Interval { estimate, low, high, .. } = self.loss;
        let metrics = self.metrics.values().into_iter().map(|(_, value)| format!("{value:.4}"));
        metrics.chain([format!("{estimate:.4} [{low:.4}, {high:.4}]")])
    }
}

/// The best single slot, compared with a combiner on the rows that the slot predicts itself.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct BestSingle {
    /// Name of the best single slot on all rows.
    pub name: String,
    /// Number of rows of the score and the gain: those that the slot chosen on other rows predicts. All rows
    /// where no prediction is missing.
    pub rows: usize,
    /// Score of choosing a single slot; each row is predicted by the slot that is best on other rows.
    pub score: CombinerScore,
    /// Mean over these rows of the single slot's loss minus the combiner's loss, with its interval; above 0
    /// where the combiner is better.
    pub gain: Interval,
}

/// The result of [`HeldOut::judge`]: a combiner beside the best single slot and the mean. It prints as a
/// table with a conclusion.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CombinerReport {
    /// Name of the combiner.
    pub combiner: String,
    /// Name and weight of each slot, where the combiner is a weighted mean; from the fit on all held-out
    /// rows.
    pub weights: Option<Vec<(String, f64)>>,
    /// How the fit on all held-out rows ended, where the combiner reports it.
    pub fit: Option<Fit>,
    /// Number of held-out rows with a weight above 0.
    pub rows: usize,
    /// Score of the combiner; each row is predicted by a fit on other rows.
    pub score: CombinerScore,
    /// The best single slot. `None` where a slot that is chosen on other rows predicts fewer than two rows or
    /// groups.
    pub best_single: Option<BestSingle>,
    /// Score of the equal-weight mean.
    pub mean: CombinerScore,
    /// Mean over the rows of the mean's loss minus the combiner's loss, with its interval; above 0 where the
    /// combiner is better.
    pub gain: Interval,
}

impl CombinerReport {
    /// Whether the combiner is better than the equal-weight mean: the whole interval of the gain lies above
    /// 0.
    #[must_use]
    pub fn better_than_mean(&self) -> bool {
        self.gain.low > 0.
    }
}

impl fmt::Display for CombinerReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut table = Table::new();
        table.load_style(ASCII_MARKDOWN);
        let mut header = vec![String::new()];
        header.extend(self.mean.metrics.values().into_iter().map(|(name, _)| name.to_string()));
        header.push("loss [95 %]".into());
        table.set_header(header);
        let mut row = |name: String, score: &CombinerScore| {
            table.add_row([name].into_iter().chain(score.cells()));
        };
        row(self.combiner.clone(), &self.score);
        if let Some(BestSingle { name, rows, score, .. }) = &self.best_single {
            let own = if *rows < self.rows { format!(", its {rows} rows") } else { String::new() };
            row(format!("best single ({name}{own})"), score);
        }
        row("mean".into(), &self.mean);
        writeln!(f, "{table}")?;
        if let Some(weights) = &self.weights {
            let weights: Vec<String> = weights.iter().map(|(name, w)| format!("{name}: {w:.3}")).collect();
            writeln!(f, "weights: {}", weights.join(", "))?;
        }
        if let Some(best) = &self.best_single {
            writeln!(f, "{}: {}", self.combiner, conclusion("best single", &best.gain, best.rows))?;
        }
        write!(f, "{}: {}", self.combiner, conclusion("mean", &self.gain, self.rows))
    }
}

/// Whether a combiner is better than `other`.
fn conclusion(other: &str, gain: &Interval, rows: usize) -> String {
    let Interval { estimate, low, high, .. } = *gain;
    let conclusion = match (low > 0., high < 0.) {
        (true, _) => format!("better than the {other}"),
        (_, true) => format!("worse than the {other}"),
        _ => format!("not better than the {other}: these rows show no difference"),
    };
    format!("{conclusion} (gain {estimate:+.4} [{low:+.4}, {high:+.4}], {rows} rows)")
}

impl HeldOut {
    /// Scores a combiner on rows that it was not fitted on, beside the best single slot and the equal-weight
    /// mean.
    ///
    /// The held-out rows are split into five folds. The combiner is fitted on four of them and scored on the
    /// fifth, five times. The best single slot is chosen on the same four folds. The reported weights are
    /// those of a fit on all rows, which is what [`Pool::combine`](crate::Pool::combine) gives. Folds and
    /// bootstrap draws follow from [`HeldOut::seed`]. Rows of weight 0 are as if they were not there.
    ///
    /// Where rows have groups, folds keep groups whole and the intervals come from drawing whole groups
    /// ([`cluster_bootstrap_interval`](crate::metrics::cluster_bootstrap_interval)).
    ///
    /// Where predictions are missing, a single slot is scored on the rows that it predicts itself, and the
    /// combiner is compared with it on these rows. The slots are compared with each other on common rows: the
    /// loss of a slot for a row is taken as a term of the slot plus a term of the row, so that no slot looks
    /// good because it predicts easy rows. A slot can be chosen if it predicts rows in each fold.
    ///
    /// The cost is six fits of the combiner and two passes over the predictions. Beside what the combiner
    /// needs, the memory is that of the predictions for four fifths of the rows.
    ///
    /// # Errors
    /// When the combiner cannot be fitted on four fifths of the rows, or there are fewer than two rows.
    ///
    /// # Examples
    /// ```
    /// # use candle_core::{Device, Tensor};
    /// # use candle_ensemble::{combine::stack::{Linear, Stack}, data::Task, predictions::Predictions, HeldOut};
    /// # let y = Tensor::arange(0f64, 60., &Device::Cpu)?.reshape((60, 1))?;
    /// # let predicted = Tensor::stack(&[(&y + 1.)?, (y.sin()? + &y)?, (y.cos()? * 2. + &y)?], 0)?;
    /// # let predictions = Predictions::new(predicted, Task::Regression { outputs: 1 })?;
    /// # let held_out = HeldOut::from_predictions(&predictions, &y)?;
    /// let report = held_out.judge(&Stack::new(Linear))?;
    /// println!("{report}");
    /// assert!(report.better_than_mean()); // here the first member predicts the target plus one
    /// # Ok::<(), candle_ensemble::Error>(())
    /// ```
    pub fn judge<C: Combiner + ?Sized>(&self, combiner: &C) -> Result<CombinerReport> {
        let held_out = self.rows_with_weight()?;
        let seed = self.seed().child("judge");
        let folds = held_out.folds(FOLDS.min(held_out.units()), seed)?;
        let fitted = combiner.fit(&held_out)?;
        let predicted = cross_fit(combiner, &held_out, &folds)?;
        let losses = held_out.losses(&predicted)?;
        let mean = Mean.combine(held_out.predictions())?;
        let losses_of_mean = held_out.losses(&mean)?;
        let gains = differences(&losses_of_mean, &losses);
        let weights = held_out.relative_weights()?;
        let named = |w: &[f64]| self.names().iter().cloned().zip(w.iter().copied()).collect();
        Ok(CombinerReport {
            combiner: fitted.name(),
            weights: fitted.weights().map(named),
            fit: fitted.fitted().cloned(),
            rows: held_out.rows().len(),
            score: held_out.score(&predicted, &losses, seed)?,
            best_single: held_out.best_single(&folds, &losses, seed)?,
            mean: held_out.score(&mean, &losses_of_mean, seed)?,
            gain: held_out.interval(&gains, &weights, seed)?,
        })
    }

    /// Chooses a single slot for each fold on the other folds, and compares it with a combiner that has these
    /// losses, on the rows that the slot predicts.
    fn best_single(&self, folds: &[Rows], losses: &[f64], seed: Seed) -> Result<Option<BestSingle>> {
        let by_fold = CommonRows::of(self, &self.weights_or_ones()?, folds)?;
        let slots = self.predictions().slots();
        let mut candidates: Vec<usize> =
            (0..slots).filter(|slot| by_fold.iter().all(|fold| fold.has(*slot))).collect();
        if candidates.is_empty() {
            candidates = (0..slots).collect();
        }
        let sum_without = |left_out: Option<usize>| {
            let rest = by_fold.iter().enumerate().filter(|(fold, _)| Some(*fold) != left_out);
            rest.map(|(_, sums)| sums).cloned().reduce(|a, b| a.plus(&b))
        };
        let best = |left_out: Option<usize>| sum_without(left_out).and_then(|sums| sums.best(&candidates));
        let coverage = self.predictions().coverage_by_slot()?;
        let (mut predicted, mut own_rows) = (vec![], vec![]);
        for (number, fold) in folds.iter().enumerate() {
            let Some(slot) = best(Some(number)) else { continue };
            let is_own = |row: &&u32| coverage.as_ref().is_none_or(|c| c[slot][**row as usize] > 0.);
            let rows: Rows = fold.iter().filter(is_own).copied().collect();
            if !rows.is_empty() {
                let values = self.predictions().values().get(slot)?;
                predicted.push(values.index_select(&Tensor::new(rows.as_slice(), values.device())?, 0)?);
                own_rows.push(rows);
            }
        }
        let count = own_rows.iter().map(Vec::len).sum::<usize>();
        let Some(name) = best(None).map(|slot| self.names()[slot].clone()).filter(|_| count > 0) else {
            return Ok(None);
        };
        let predicted = in_order(&predicted, &own_rows)?;
        let mut rows = own_rows.concat();
        rows.sort_unstable();
        let own = if count == self.rows().len() { self.clone() } else { self.select(&rows)? };
        if own.units() < 2 {
            return Ok(None);
        }
        let of_combiner: Vec<f64> = rows.iter().map(|row| losses[*row as usize]).collect();
        let of_single = own.losses(&predicted)?;
        let score = own.score(&predicted, &of_single, seed)?;
        let weights = own.relative_weights()?;
        let gain = own.interval(&differences(&of_single, &of_combiner), &weights, seed)?;
        Ok(Some(BestSingle { name, rows: count, score, gain }))
    }

    /// Computes by how much `fitted` is better than `other` on these rows: the loss (log-loss for classes,
    /// squared error for values) of `other` minus the loss of `fitted`, with a 95 % bootstrap interval over
    /// the rows, or over the groups where rows have groups. It is above 0 where `fitted` is better. Neither
    /// may have been fitted on these rows.
    ///
    /// # Errors
    /// When one of them does not support the predictions, or there are fewer than two rows.
    pub fn gain(&self, fitted: &dyn FittedCombiner, other: &dyn FittedCombiner) -> Result<Interval> {
        let losses = |fitted: &dyn FittedCombiner| self.losses(&fitted.combine(self.predictions())?);
        let gains = differences(&losses(other)?, &losses(fitted)?);
        self.interval(&gains, &self.relative_weights()?, self.seed().child("gain"))
    }

    /// The weight of each row, 1 on average.
    pub(crate) fn relative_weights(&self) -> Result<Vec<f64>> {
        let weights = self.weights_or_ones()?;
        let mean = weights.iter().sum::<f64>() / weights.len() as f64;
        Ok(weights.into_iter().map(|w| w / mean).collect())
    }

    /// The task's default loss of each row.
    fn losses(&self, predicted: &Tensor) -> Result<Vec<f64>> {
        self.losses_by(RowLoss::loss_for(self.predictions().task()), predicted)
    }

    /// The loss of each row.
    pub(crate) fn losses_by(&self, loss: RowLoss, predicted: &Tensor) -> Result<Vec<f64>> {
        let truth = self.truth()?;
        let width = predicted.dim(1)?;
        let predicted: Vec<f64> = predicted.to_dtype(DType::F64)?.flatten_all()?.to_vec1()?;
        Ok(predicted
            .chunks_exact(width)
            .enumerate()
            .map(|(row, predicted)| loss.of(predicted, &truth, row))
            .collect())
    }

    /// The weighted mean of the rows' losses, with its bootstrap interval over the rows, or over the groups
    /// where rows have groups.
    pub(crate) fn interval(&self, losses: &[f64], weights: &[f64], seed: Seed) -> Result<Interval> {
        weighted_bootstrap(losses, Some(weights), self.groups(), (LEVEL, RESAMPLES), seed)
    }

    fn score(&self, predicted: &Tensor, losses: &[f64], seed: Seed) -> Result<CombinerScore> {
        let loss = self.interval(losses, &self.relative_weights()?, seed)?;
        Ok(CombinerScore { metrics: self.metrics_of(predicted)?, loss })
    }
}

/// `first − second`, row by row.
fn differences(first: &[f64], second: &[f64]) -> Vec<f64> {
    first.iter().zip(second).map(|(first, second)| first - second).collect()
}

#[cfg(test)]
mod tests;
