//! The comparison of a combiner with what needs no learning, on rows that it was not fitted on.
use crate::{
    combine::{
        cross_fit::{cross_fit, predicted_by_folds},
        Combiner, Fit, FittedCombiner, Mean,
    },
    kernels::argmax::argmin,
    metrics::{bootstrap_interval, Interval, Metrics, RowLoss},
    HeldOut, Result, Seed,
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
    /// Log-loss for classes, squared error for values, with a 95 % bootstrap interval over the rows.
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
    /// Number of held-out rows.
    pub rows: usize,
    /// Score of the combiner; each row is predicted by a fit on other rows.
    pub score: CombinerScore,
    /// Name of the best single slot on all rows, and the score of choosing a single slot; each row is
    /// predicted by the slot that is best on other rows.
    pub best_single: (String, CombinerScore),
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
        let best = format!("best single ({})", self.best_single.0);
        let scores = [
            (self.combiner.as_str(), &self.score),
            (best.as_str(), &self.best_single.1),
            ("mean", &self.mean),
        ];
        for (name, score) in scores {
            table.add_row([name.to_string()].into_iter().chain(score.cells()));
        }
        writeln!(f, "{table}")?;
        if let Some(weights) = &self.weights {
            let weights: Vec<String> = weights.iter().map(|(name, w)| format!("{name}: {w:.3}")).collect();
            writeln!(f, "weights: {}", weights.join(", "))?;
        }
        let Interval { estimate, low, high, .. } = self.gain;
        let conclusion = match (low > 0., high < 0.) {
            (true, _) => "better than the mean",
            (_, true) => "worse than the mean",
            _ => "not better than the mean: these rows show no difference",
        };
        write!(
            f,
            "{}: {conclusion} (gain {estimate:+.4} [{low:+.4}, {high:+.4}], {} rows)",
            self.combiner, self.rows
        )
    }
}

impl HeldOut {
    /// Scores a combiner on rows that it was not fitted on, beside the best single slot and the equal-weight
    /// mean.
    ///
    /// The held-out rows are split into five folds. The combiner is fitted on four of them and scored on the
    /// fifth, five times. The best single slot is chosen on the same four folds. The reported weights are
    /// those of a fit on all rows, which is what [`Pool::combine`](crate::Pool::combine) gives. Folds and
    /// bootstrap draws follow from [`HeldOut::seed`].
    ///
    /// The cost is six fits of the combiner.
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
        let seed = self.seed().child("judge");
        let rows = self.rows().len();
        let folds = self.folds(FOLDS.min(self.units()), seed)?;
        let fitted = combiner.fit(self)?;
        let predicted = cross_fit(combiner, self, &folds)?;
        let slots: Vec<Tensor> =
            (0..self.predictions().slots()).map(|s| self.single(s)).collect::<Result<_>>()?;
        let losses = slots.iter().map(|predicted| self.losses(predicted)).collect::<Result<Vec<_>>>()?;
        let weight = self.relative_weights()?;
        let best = |rows: &[u32]| {
            let loss =
                |slot: &Vec<f64>| rows.iter().map(|r| slot[*r as usize] * weight[*r as usize]).sum::<f64>();
            argmin(&losses.iter().map(loss).collect::<Vec<f64>>())
        };
        let single = predicted_by_folds(rows, &folds, |fold, rest| {
            Ok(slots[best(rest)].index_select(&Tensor::new(fold.as_slice(), slots[0].device())?, 0)?)
        })?;
        let mean = Mean.combine(self.predictions())?;
        let all_rows: Vec<u32> = (0..rows as u32).collect();
        let gains: Vec<f64> = self
            .losses(&mean)?
            .iter()
            .zip(self.losses(&predicted)?)
            .map(|(of_mean, of_combiner)| of_mean - of_combiner)
            .collect();
        let named = |w: &[f64]| self.names().iter().cloned().zip(w.iter().copied()).collect();
        Ok(CombinerReport {
            combiner: fitted.name(),
            weights: fitted.weights().map(named),
            fit: fitted.fitted().cloned(),
            rows,
            score: self.score(&predicted, seed)?,
            best_single: (self.names()[best(&all_rows)].clone(), self.score(&single, seed)?),
            mean: self.score(&mean, seed)?,
            gain: self.interval(&gains, &weight, seed)?,
        })
    }

    /// Computes by how much `fitted` is better than `other` on these rows: the loss (log-loss for classes,
    /// squared error for values) of `other` minus the loss of `fitted`, with a 95 % bootstrap interval over
    /// the rows. It is above 0 where `fitted` is better. Neither may have been fitted on these rows.
    ///
    /// # Errors
    /// When one of them does not support the predictions, or there are fewer than two rows.
    pub fn gain(&self, fitted: &dyn FittedCombiner, other: &dyn FittedCombiner) -> Result<Interval> {
        let losses = |fitted: &dyn FittedCombiner| self.losses(&fitted.combine(self.predictions())?);
        let gains: Vec<f64> =
            losses(other)?.iter().zip(losses(fitted)?).map(|(other, own)| other - own).collect();
        self.interval(&gains, &self.relative_weights()?, self.seed().child("gain"))
    }

    /// The predictions of one slot, with the mean of the other slots where its own are missing.
    fn single(&self, slot: usize) -> Result<Tensor> {
        Ok(self.predictions().fill_missing()?.values().get(slot)?)
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

    /// The weighted mean of the rows' losses, with its bootstrap interval.
    pub(crate) fn interval(&self, losses: &[f64], weights: &[f64], seed: Seed) -> Result<Interval> {
        let weighted: Vec<f64> = losses.iter().zip(weights).map(|(l, w)| l * w).collect();
        bootstrap_interval(&weighted, LEVEL, RESAMPLES, seed)
    }

    fn score(&self, predicted: &Tensor, seed: Seed) -> Result<CombinerScore> {
        let loss = self.interval(&self.losses(predicted)?, &self.relative_weights()?, seed)?;
        Ok(CombinerScore { metrics: self.metrics_of(predicted)?, loss })
    }
}
