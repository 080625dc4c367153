//! Gradient boosting: each member learns what the sum of those before it leaves over.
use crate::{
    check,
    data::Task,
    sequence::{
        join::{logistic, softmax_rows},
        Join, NewTargets, Outcome, Predicted, Round, RoundData, RowTargets, SequenceData, SequenceRows,
        SequenceRule,
    },
    Error, Result,
};
use rand::seq::SliceRandom;

/// Gradient boosting of networks. See [`GradientBoosting`](crate::strategy::GradientBoosting).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct GradientBoostingRule {
    /// The weight of each member in the sum, above 0.
    pub shrinkage: f64,
    /// The share of the training rows that each member trains on, above 0 and at most 1.
    pub subsample: f64,
    /// After how many members in a row without a smaller loss of the validation rows the sequence ends; `None` for never.
    pub patience: Option<usize>,
    /// By how much the loss has to become smaller to count, 0 or more.
    pub tolerance: f64,
}

impl Default for GradientBoostingRule {
    fn default() -> Self {
        Self { shrinkage: 1., subsample: 1., patience: None, tolerance: 0. }
    }
}

impl GradientBoostingRule {
    /// Reads a [text](SequenceRule::text); `None` where it is that of another rule.
    pub(crate) fn from_text(text: &str) -> Option<Self> {
        let mut rule = Self::default();
        let mut parts = text.split(' ');
        if parts.next() != Some("gradient-boosting") {
            return None;
        }
        for part in parts {
            match part.split_once('=')? {
                ("shrinkage", number) => rule.shrinkage = number.parse().ok()?,
                ("subsample", number) => rule.subsample = number.parse().ok()?,
                ("patience", number) => rule.patience = Some(number.parse().ok()?),
                ("tolerance", number) => rule.tolerance = number.parse().ok()?,
                _ => return None,
            }
        }
        Some(rule)
    }
}

/// What is minimised.
#[derive(Clone, Copy, Debug)]
enum Deviance {
    /// `½ (y − F)²`, summed over the outputs.
    Squared,
    /// `ln(1 + e^F) − y F`, for two classes and one output.
    Logistic,
    /// `ln Σ_c e^F_c − F_y`.
    Multinomial,
}

impl Deviance {
    fn of(data: &SequenceData) -> Self {
        match (data.task, data.member_task.width()) {
            (Task::Regression { .. }, _) => Self::Squared,
            (Task::Classification { .. }, 1) => Self::Logistic,
            (Task::Classification { .. }, _) => Self::Multinomial,
        }
    }

    /// The constant that minimises the loss, a number for each output.
    fn start(self, rows: &SequenceRows, width: usize) -> Vec<f64> {
        let mut means = vec![0.; width.max(2)];
        match &rows.targets {
            RowTargets::Classes(classes) => {
                for (class, weight) in classes.iter().zip(&rows.weights) {
                    if let Some(mean) = means.get_mut(*class as usize) {
                        *mean += weight;
                    }
                }
            }
            RowTargets::Values(values) => {
                for (row, weight) in values.chunks(width.max(1)).zip(&rows.weights) {
                    means.iter_mut().zip(row).for_each(|(mean, value)| *mean += weight * value);
                }
            }
        }
        let share = |p: &f64| p.clamp(f64::EPSILON, 1. - f64::EPSILON);
        match (self, means.as_slice()) {
            (Self::Logistic, [_, second, ..]) => vec![(share(second) / (1. - share(second))).ln()],
            (Self::Multinomial, _) => {
                let logs: Vec<f64> = means.iter().map(|p| share(p).ln()).collect();
                let mean = logs.iter().sum::<f64>() / logs.len() as f64;
                logs.iter().map(|log| log - mean).collect()
            }
            _ => means.into_iter().take(width).collect(),
        }
    }

    /// The negative gradient of the loss by the sums `raw`.
    fn residuals(self, rows: &SequenceRows, raw: &[f64], width: usize) -> Vec<f64> {
        match (self, &rows.targets) {
            (Self::Logistic, RowTargets::Classes(classes)) => {
                classes.iter().zip(raw).map(|(class, f)| f64::from(*class) - logistic(*f)).collect()
            }
            (_, RowTargets::Classes(classes)) => {
                let mut residuals = softmax_rows(raw.to_vec(), width);
                for (row, class) in residuals.chunks_mut(width.max(1)).zip(classes) {
                    for (c, p) in row.iter_mut().enumerate() {
                        *p = f64::from(u8::from(c == *class as usize)) - *p;
                    }
                }
                residuals
            }
            (_, RowTargets::Values(values)) => values.iter().zip(raw).map(|(y, f)| y - f).collect(),
        }
    }

    /// The weighted mean of the losses.
    fn loss(self, rows: &SequenceRows, raw: &[f64], width: usize) -> f64 {
        let of_row = |(row, raw): (usize, &[f64])| match (&rows.targets, raw) {
            (RowTargets::Values(values), _) => {
                let targets = values.get(row * width..).unwrap_or_default();
                raw.iter().zip(targets).map(|(f, y)| (y - f).powi(2) / 2.).sum::<f64>()
            }
            (RowTargets::Classes(classes), [f]) => {
                let y = classes.get(row).copied().map_or(0., f64::from);
                f.max(0.) + (-f.abs()).exp().ln_1p() - y * f
            }
            (RowTargets::Classes(classes), raw) => {
                let most = raw.iter().copied().fold(f64::NEG_INFINITY, f64::max);
                let sum: f64 = raw.iter().map(|f| (f - most).exp()).sum();
                let right = classes.get(row).and_then(|class| raw.get(*class as usize));
                most + sum.ln() - right.copied().unwrap_or_default()
            }
        };
        let losses = raw.chunks(width.max(1)).enumerate().map(of_row);
        losses.zip(&rows.weights).map(|(loss, weight)| loss * weight).sum()
    }
}

/// The sums of the members so far.
#[derive(Debug)]
pub struct BoostedSums {
    train: Vec<f64>,
    valid: Vec<f64>,
    /// How many members have the smallest loss of the validation rows, and that loss.
    best: Option<(usize, f64)>,
}

impl SequenceRule for GradientBoostingRule {
    type State = BoostedSums;

    fn text(&self) -> String {
        let Self { shrinkage, subsample, patience, tolerance } = self;
        let patience = patience.map_or(String::new(), |patience| format!(" patience={patience}"));
        format!(
            "gradient-boosting shrinkage={shrinkage} subsample={subsample} tolerance={tolerance}{patience}"
        )
    }

    fn join(&self, data: &SequenceData) -> Join {
        Join::Sum { start: Deviance::of(data).start(&data.train, data.member_task.width()) }
    }

    fn check(&self, _: Task) -> Result<()> {
        check::positive("the shrinkage of gradient boosting", self.shrinkage)?;
        let is_share = self.subsample > 0. && self.subsample <= 1.;
        let must = "above 0 and at most 1";
        check::require(is_share, "the subsample of gradient boosting", must, self.subsample)?;
        check::non_negative("the tolerance of gradient boosting", self.tolerance)?;
        match self.patience {
            Some(0) => Err(Error::invalid("the patience of gradient boosting", "at least 1", 0)),
            _ => Ok(()),
        }
    }

    fn changes_task(&self) -> bool {
        true
    }

    fn member_task(&self, task: Task, outputs: usize) -> Result<Task> {
        let (fits, must) = match task {
            Task::Classification { classes: 2 } => {
                ((1..=2).contains(&outputs), "1 or 2, for two classes".into())
            }
            task => (outputs == task.width(), format!("{}, as for {task}", task.width())),
        };
        match fits {
            true => Ok(Task::Regression { outputs }),
            false => {
                Err(Error::invalid("the number of outputs of a network of gradient boosting", must, outputs))
            }
        }
    }

    fn start(&self, data: &SequenceData) -> Result<BoostedSums> {
        if self.patience.is_some() && data.valid.is_empty() {
            let must = "at least one where gradient boosting has a patience (Strategy::validation)";
            return Err(Error::invalid("the number of validation rows", must, 0));
        }
        let start = Deviance::of(data).start(&data.train, data.member_task.width());
        let (train, valid) = (start.repeat(data.train.len()), start.repeat(data.valid.len()));
        Ok(BoostedSums { train, valid, best: None })
    }

    fn round_data(&self, data: &SequenceData, sums: &BoostedSums, round: Round) -> Result<RoundData> {
        let (deviance, width) = (Deviance::of(data), data.member_task.width());
        let targets = NewTargets {
            train: deviance.residuals(&data.train, &sums.train, width),
            valid: deviance.residuals(&data.valid, &sums.valid, width),
        };
        let rows = (self.subsample < 1.).then(|| {
            let count = data.train.len();
            let some = ((self.subsample * count as f64) as usize).clamp(1, count.max(1));
            let mut all: Vec<usize> = (0..count).collect();
            let (drawn, _) = all.partial_shuffle(&mut round.seed.child("subsample").rng(), some);
            let mut drawn = drawn.to_vec();
            drawn.sort_unstable();
            drawn
        });
        Ok(RoundData { weights: None, targets: Some(targets), rows })
    }

    fn update(
        &self,
        data: &SequenceData,
        sums: &mut BoostedSums,
        round: Round,
        predicted: &Predicted,
    ) -> Result<Outcome> {
        for (sums, outputs) in [(&mut sums.train, &predicted.train), (&mut sums.valid, &predicted.valid)] {
            sums.iter_mut().zip(outputs).for_each(|(sum, output)| *sum += self.shrinkage * output);
        }
        let Some(patience) = self.patience else { return Ok(Outcome::proceed(self.shrinkage)) };
        let loss = Deviance::of(data).loss(&data.valid, &sums.valid, data.member_task.width());
        let (members, tolerance) = (round.number + 1, self.tolerance);
        let (best, least) =
            sums.best.filter(|(_, least)| loss >= least - tolerance).unwrap_or((members, loss));
        sums.best = Some((best, least));
        let ends = members - best >= patience || round.is_last() && best < members;
        Ok(match ends {
            true => Outcome::stop(self.shrinkage, best),
            false => Outcome::proceed(self.shrinkage),
        })
    }
}

#[cfg(test)]
impl BoostedSums {
    pub(super) fn train(&self) -> &[f64] {
        &self.train
    }

    pub(super) fn valid(&self) -> &[f64] {
        &self.valid
    }
}

#[cfg(test)]
pub(super) fn loss_of(data: &SequenceData, raw: &[f64]) -> f64 {
    Deviance::of(data).loss(&data.train, raw, data.member_task.width())
}
