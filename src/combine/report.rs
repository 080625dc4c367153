//! What a learned rule is worth: on rows that it was not fitted on, beside what needs no learning.
use crate::{
    combine::{
        cross_fit::{cross_fit, predicted_by_folds},
        Combiner, Fit, FittedCombiner, Mean,
    },
    kernels::cpu::argmin,
    metrics::{bootstrap_interval, Interval, Metrics, RowLoss},
    HeldOut, Result, Seed,
};
use candle_core::{DType, Tensor};
use comfy_table::{presets::ASCII_MARKDOWN, Table};
use serde::{Deserialize, Serialize};
use std::fmt;

/// Folds of the held-out rows, where there are as many rows.
const FOLDS: usize = 5;
const LEVEL: f64 = 0.95;
const RESAMPLES: usize = 1000;

/// Metrics on held-out rows, and the loss with its bootstrap interval.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RuleScore {
    /// All metrics.
    pub metrics: Metrics,
    /// Log-loss for classes, squared error for values, with a 95 % bootstrap interval over the rows.
    pub loss: Interval,
}

impl RuleScore {
    /// The figures as tables show them.
    pub(crate) fn cells(&self) -> impl Iterator<Item = String> {
        let Interval { estimate, low, high, .. } = self.loss;
        let metrics = self.metrics.values().into_iter().map(|(_, value)| format!("{value:.4}"));
        metrics.chain([format!("{estimate:.4} [{low:.4}, {high:.4}]")])
    }
}

/// What a rule is worth: see [`HeldOut::judge`]. Prints as a table with a verdict.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RuleReport {
    /// The rule.
    pub rule: String,
    /// Name and weight of each slot, where the rule is a weighted mean; from the fit on all held-out rows.
    pub weights: Option<Vec<(String, f64)>>,
    /// How the fit on all held-out rows ended, where there was one.
    pub fit: Option<Fit>,
    /// How many held-out rows there are.
    pub rows: usize,
    /// The rule, each row scored by a fit on other rows.
    pub score: RuleScore,
    /// The best single slot's name, and the score of choosing it: each row by the slot that is best on other rows.
    pub best_single: (String, RuleScore),
    /// The equal-weight mean.
    pub mean: RuleScore,
    /// Loss of the mean minus loss of the rule, row by row, with its interval: above 0 where the rule is better.
    pub gain: Interval,
}

impl RuleReport {
    /// Whether the rule is better than the equal-weight mean: the whole interval of the gain lies above 0.
    #[must_use]
    pub fn better_than_mean(&self) -> bool {
        self.gain.low > 0.
    }
}

impl fmt::Display for RuleReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut table = Table::new();
        table.load_style(ASCII_MARKDOWN);
        let names: Vec<&str> = self.mean.metrics.values().into_iter().map(|(name, _)| name).collect();
        let mut fitted = vec!["".to_string()];
        fitted.extend(names.iter().map(|n| (*n).to_string()));
        fitted.push("loss [95 %]".into());
        table.set_header(fitted);
        let best = format!("best single ({})", self.best_single.0);
        for (name, score) in
            [(&self.rule, &self.score), (&best, &self.best_single.1), (&"mean".to_string(), &self.mean)]
        {
            table.add_row([name.clone()].into_iter().chain(score.cells()));
        }
        writeln!(f, "{table}")?;
        if let Some(weights) = &self.weights {
            let weights: Vec<String> = weights.iter().map(|(name, w)| format!("{name}: {w:.3}")).collect();
            writeln!(f, "weights: {}", weights.join(", "))?;
        }
        let Interval { estimate, low, high, .. } = self.gain;
        let verdict = match (low > 0., high < 0.) {
            (true, _) => "better than the mean",
            (_, true) => "worse than the mean",
            _ => "not better than the mean: no difference that these rows can tell",
        };
        write!(
            f,
            "{}: {verdict} (gain {estimate:+.4} [{low:+.4}, {high:+.4}], {} rows)",
            self.rule, self.rows
        )
    }
}

impl HeldOut {
    /// What a rule is worth on rows it was not fitted on: fitted on four fifths of the held-out rows and scored on the
    /// last, five times over, beside the best single slot (chosen on the same rows as the rule is fitted on) and the
    /// equal-weight mean. The weights reported are those of a fit on all rows, which is what
    /// [`Pool::combine`](crate::Pool::combine) gives.
    ///
    /// ```
    /// # use candle_core::{Device, Tensor};
    /// # use candle_ensemble::{combine::stack::{Linear, Stack}, data::Task, predictions::Predictions, HeldOut};
    /// # let y = Tensor::arange(0f64, 60., &Device::Cpu)?.reshape((60, 1))?;
    /// # let predicted = Tensor::stack(&[(&y + 1.)?, (y.sin()? + &y)?, (y.cos()? * 2. + &y)?], 0)?;
    /// # let held_out = HeldOut::from_predictions(&Predictions::new(predicted, Task::Regression { outputs: 1 })?, &y)?;
    /// let report = held_out.judge(&Stack::new(Linear))?;
    /// println!("{report}");
    /// assert!(report.better_than_mean()); // here one member is the target and one
    /// # Ok::<(), candle_ensemble::Error>(())
    /// ```
    ///
    /// # Errors
    /// When the rule cannot be fitted on four fifths of the rows, or there are fewer than two rows.
    pub fn judge<C: Combiner + ?Sized>(&self, rule: &C) -> Result<RuleReport> {
        let seed = Seed::from(0).child("judge");
        let rows = self.rows().len();
        let folds = self.folds(FOLDS.min(self.units()), seed)?;
        let fitted = rule.fit(&self)?;
        let predicted = cross_fit(rule, self, &folds)?;
        let slots: Vec<Tensor> =
            (0..self.predictions().slots()).map(|s| self.alone(s)).collect::<Result<_>>()?;
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
        let everyone: Vec<u32> = (0..rows as u32).collect();
        let gains: Vec<f64> = self
            .losses(&mean)?
            .iter()
            .zip(self.losses(&predicted)?)
            .map(|(mean, rule)| mean - rule)
            .collect();
        let named = |w: &[f64]| self.names().iter().cloned().zip(w.iter().copied()).collect();
        Ok(RuleReport {
            rule: fitted.name(),
            weights: fitted.weights().map(named),
            fit: fitted.fitted().cloned(),
            rows,
            score: self.score(&predicted, seed)?,
            best_single: (self.names()[best(&everyone)].clone(), self.score(&single, seed)?),
            mean: self.score(&mean, seed)?,
            gain: self.interval(&gains, &weight, seed)?,
        })
    }

    /// By how much `fitted` is better than `other` on these rows: the loss (log-loss for classes, squared error for
    /// values) of `other` minus that of `fitted`, with a 95 % bootstrap interval over the rows; above 0 where `fitted` is
    /// better. Neither may have been fitted on them.
    ///
    /// # Errors
    /// When one of them does not go with the predictions, or there are fewer than two rows.
    pub fn gain(&self, fitted: &dyn FittedCombiner, other: &dyn FittedCombiner) -> Result<Interval> {
        let losses = |fitted: &dyn FittedCombiner| self.losses(&fitted.combine(self.predictions())?);
        let gains: Vec<f64> =
            losses(other)?.iter().zip(losses(fitted)?).map(|(other, own)| other - own).collect();
        self.interval(&gains, &self.relative_weights()?, Seed::from(0).child("gain"))
    }

    /// What one slot says, the mean of the others where it may not predict.
    fn alone(&self, slot: usize) -> Result<Tensor> {
        Ok(self.predictions().fill_missing()?.values().get(slot)?)
    }

    /// The weight of each row, 1 on average.
    pub(crate) fn relative_weights(&self) -> Result<Vec<f64>> {
        let weights = self.weights_or_ones()?;
        let mean = weights.iter().sum::<f64>() / weights.len() as f64;
        Ok(weights.into_iter().map(|w| w / mean).collect())
    }

    /// The usual loss of each row.
    fn losses(&self, predicted: &Tensor) -> Result<Vec<f64>> {
        self.losses_by(RowLoss::usual(self.predictions().task()), predicted)
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

    /// The mean of rows' losses, weighted, with its bootstrap interval.
    pub(crate) fn interval(&self, losses: &[f64], weights: &[f64], seed: Seed) -> Result<Interval> {
        let weighted: Vec<f64> = losses.iter().zip(weights).map(|(l, w)| l * w).collect();
        bootstrap_interval(&weighted, LEVEL, RESAMPLES, seed)
    }

    fn score(&self, predicted: &Tensor, seed: Seed) -> Result<RuleScore> {
        let loss = self.interval(&self.losses(predicted)?, &self.relative_weights()?, seed)?;
        Ok(RuleScore { metrics: self.metrics_of(predicted)?, loss })
    }
}
