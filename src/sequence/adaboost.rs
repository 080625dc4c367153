//! AdaBoost: each member gives more weight to the rows on which the one before was wrong.
use crate::{
    check,
    data::Task,
    kernels::argmax::argmax,
    sequence::{Join, Outcome, Predicted, Round, RoundData, SequenceData, SequenceRule},
    Error, Result, Seed,
};
use rand::Rng;
use std::fmt::Write;

/// How the weights of members and rows follow from the predictions of classes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AdaBoostAlgorithm {
    /// From the predicted classes: `α = lr (ln((1 − e) / e) + ln(K − 1))`, and the weights of wrong rows grow by `e^α`.
    #[default]
    Samme,
    /// From the predicted probabilities: the weights grow by `exp(−lr (K − 1) / K · Σ_c y_c ln p_c)`, with `y_c` of 1 for
    /// the right class and `−1 / (K − 1)` for the others. All members have the weight 1.
    SammeR,
}

/// The loss of a row, of its error `a` as a share of the greatest error of all rows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ErrorLoss {
    /// `a`.
    #[default]
    Linear,
    /// `a²`.
    Square,
    /// `1 − e^−a`.
    Exponential,
}

/// AdaBoost for classes (SAMME, SAMME.R) and for values (R2). See [`AdaBoost`](crate::strategy::AdaBoost).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AdaBoostRule {
    /// The factor `lr` of the members' weights, above 0.
    pub learning_rate: f64,
    /// What is done with predictions of classes.
    pub algorithm: AdaBoostAlgorithm,
    /// The loss of values.
    pub loss: ErrorLoss,
    /// Whether rows are drawn by their weights, with replacement, in place of a weighted loss.
    pub resample: bool,
}

impl Default for AdaBoostRule {
    fn default() -> Self {
        let (algorithm, loss) = (AdaBoostAlgorithm::default(), ErrorLoss::default());
        Self { learning_rate: 1., algorithm, loss, resample: false }
    }
}

/// The names of the algorithms in texts.
const ALGORITHMS: [(&str, AdaBoostAlgorithm); 2] =
    [("samme", AdaBoostAlgorithm::Samme), ("samme.r", AdaBoostAlgorithm::SammeR)];

/// The names of the losses in texts.
const LOSSES: [(&str, ErrorLoss); 3] =
    [("linear", ErrorLoss::Linear), ("square", ErrorLoss::Square), ("exponential", ErrorLoss::Exponential)];

fn name_of<T: PartialEq>(names: &[(&'static str, T)], value: &T) -> &'static str {
    names.iter().find(|(_, other)| other == value).map_or("", |(name, _)| name)
}

fn value_of<T: Copy>(names: &[(&str, T)], name: &str) -> Option<T> {
    names.iter().find(|(other, _)| *other == name).map(|(_, value)| *value)
}

impl AdaBoostRule {
    /// Reads a [text](SequenceRule::text); `None` where it is that of another rule.
    pub(crate) fn from_text(text: &str) -> Option<Self> {
        let mut rule = Self::default();
        let mut parts = text.split(' ');
        if parts.next() != Some("adaboost") {
            return None;
        }
        for part in parts {
            match part.split_once('=')? {
                ("learning-rate", rate) => rule.learning_rate = rate.parse().ok()?,
                ("algorithm", name) => rule.algorithm = value_of(&ALGORITHMS, name)?,
                ("loss", name) => rule.loss = value_of(&LOSSES, name)?,
                ("resample", resample) => rule.resample = resample.parse().ok()?,
                _ => return None,
            }
        }
        Some(rule)
    }

    /// The errors of classes, and the weights that follow.
    fn learn_classes(
        &self,
        data: &SequenceData,
        weights: &mut [f64],
        round: Round,
        predicted: &Predicted,
    ) -> Result<Outcome> {
        let classes = data.train.classes()?;
        let k = predicted.width as f64;
        let is_wrong = |(row, class): (usize, &u32)| argmax(predicted.train_row(row)) != *class as usize;
        let wrong: Vec<bool> = classes.iter().enumerate().map(is_wrong).collect();
        let of_wrong = weights.iter().zip(&wrong).filter(|(_, wrong)| **wrong).map(|(weight, _)| weight);
        let error = of_wrong.sum::<f64>() / weights.iter().sum::<f64>();
        if error <= 0. {
            return Ok(Outcome::stop(1., round.number + 1));
        }
        let samme_r = self.algorithm == AdaBoostAlgorithm::SammeR;
        if !samme_r && error >= 1. - 1. / k {
            return match round.number {
                0 => {
                    let must = format!("below {}, that of chance", 1. - 1. / k);
                    Err(Error::invalid("the weighted error of the first member of AdaBoost", must, error))
                }
                before => Ok(Outcome::stop(0., before)),
            };
        }
        let alpha = match samme_r {
            true => 1.,
            false => self.learning_rate * (((1. - error) / error).ln() + (k - 1.).ln()),
        };
        if round.is_last() {
            return Ok(Outcome::proceed(alpha));
        }
        for (row, (weight, class)) in weights.iter_mut().zip(classes).enumerate() {
            let growth = match samme_r {
                true => self.growth(predicted.train_row(row), *class, k),
                false if wrong.get(row) == Some(&true) => alpha,
                false => 0.,
            };
            *weight = (weight.ln() + growth).exp(); // 0 stays 0
        }
        Ok(proceed(weights, alpha, round))
    }

    /// The exponent of a row's weight in SAMME.R.
    fn growth(&self, probabilities: &[f64], class: u32, k: f64) -> f64 {
        let coded = |(c, p): (usize, &f64)| {
            let code = if c == class as usize { 1. } else { -1. / (k - 1.) };
            code * p.max(f64::EPSILON).ln()
        };
        -self.learning_rate * ((k - 1.) / k) * probabilities.iter().enumerate().map(coded).sum::<f64>()
    }

    /// The errors of values, and the weights that follow.
    fn learn_values(
        &self,
        data: &SequenceData,
        weights: &mut [f64],
        round: Round,
        predicted: &Predicted,
    ) -> Result<Outcome> {
        let values = data.train.values()?;
        let errors = values.iter().zip(&predicted.train).map(|(value, predicted)| (predicted - value).abs());
        let mut losses: Vec<f64> = errors.collect();
        let counted = losses.iter().zip(&*weights).filter(|(_, weight)| **weight > 0.);
        let most = counted.map(|(error, _)| *error).fold(0., f64::max);
        for loss in &mut losses {
            let share = if most > 0. { *loss / most } else { *loss };
            *loss = match self.loss {
                ErrorLoss::Linear => share,
                ErrorLoss::Square => share * share,
                ErrorLoss::Exponential => 1. - (-share).exp(),
            };
        }
        let error: f64 = losses.iter().zip(&*weights).map(|(loss, weight)| weight * loss).sum();
        if error <= 0. {
            return Ok(Outcome::stop(1., round.number + 1));
        }
        if error >= 0.5 {
            // A first member that is as bad as that stays, because it is the only one.
            return Ok(Outcome::stop(0., round.number.max(1)));
        }
        let beta = error / (1. - error);
        let alpha = self.learning_rate * (1. / beta).ln();
        if round.is_last() {
            return Ok(Outcome::proceed(alpha));
        }
        for (weight, loss) in weights.iter_mut().zip(&losses) {
            *weight *= beta.powf((1. - loss) * self.learning_rate);
        }
        Ok(proceed(weights, alpha, round))
    }
}

/// Scales the weights to the sum 1, unless that cannot be done: then the sequence ends with this member.
fn proceed(weights: &mut [f64], alpha: f64, round: Round) -> Outcome {
    let sum: f64 = weights.iter().sum();
    if !sum.is_finite() || sum <= 0. {
        return Outcome::stop(alpha, round.number + 1);
    }
    weights.iter_mut().for_each(|weight| *weight /= sum);
    clip(weights);
    Outcome::proceed(alpha)
}

/// Keeps weights from becoming so small that a row could not come back. Rows without weight stay without.
fn clip(weights: &mut [f64]) {
    weights.iter_mut().filter(|weight| **weight != 0.).for_each(|weight| *weight = weight.max(f64::EPSILON));
}

/// As many rows as there are, drawn by their weights with replacement, in increasing order.
fn drawn(weights: &[f64], seed: Seed) -> Vec<usize> {
    let mut sum = 0.;
    let sums: Vec<f64> = weights
        .iter()
        .map(|weight| {
            sum += weight;
            sum
        })
        .collect();
    let mut rng = seed.child("resample").rng();
    // The last row that has a weight: a point can be rounded up to the sum.
    let last = weights.iter().rposition(|weight| *weight > 0.).unwrap_or_default();
    let mut row = |_| {
        let point = rng.random::<f64>() * sum;
        sums.partition_point(|upto| *upto <= point).min(last)
    };
    let mut rows: Vec<usize> = (0..weights.len()).map(&mut row).collect();
    rows.sort_unstable();
    rows
}

impl SequenceRule for AdaBoostRule {
    /// The weights of the rows, whose sum is 1.
    type State = Vec<f64>;

    fn text(&self) -> String {
        let mut text = format!("adaboost learning-rate={}", self.learning_rate);
        let (algorithm, loss) = (name_of(&ALGORITHMS, &self.algorithm), name_of(&LOSSES, &self.loss));
        // Writing to a string cannot fail.
        let _ = write!(text, " algorithm={algorithm} loss={loss} resample={}", self.resample);
        text
    }

    fn join(&self, data: &SequenceData) -> Join {
        match (data.task, self.algorithm) {
            (Task::Regression { .. }, _) => Join::Median,
            (_, AdaBoostAlgorithm::Samme) => Join::Vote,
            (_, AdaBoostAlgorithm::SammeR) => Join::LogProbabilities,
        }
    }

    fn check(&self, task: Task) -> Result<()> {
        check::positive("the learning rate of AdaBoost", self.learning_rate)?;
        match task {
            Task::Classification { classes: 2.. } | Task::Regression { outputs: 1 } => Ok(()),
            task => {
                let must = "classification with at least 2 classes, or regression with 1 output";
                Err(Error::invalid("the task of AdaBoost", must, task))
            }
        }
    }

    fn start(&self, data: &SequenceData) -> Result<Vec<f64>> {
        let mut weights = data.train.weights.clone();
        clip(&mut weights);
        Ok(weights)
    }

    fn round_data(&self, _: &SequenceData, weights: &Vec<f64>, round: Round) -> Result<RoundData> {
        Ok(match self.resample {
            true => RoundData {
                weights: Some(vec![1.; weights.len()]),
                ..RoundData::rows(drawn(weights, round.seed))
            },
            false => RoundData::weights(weights.clone()),
        })
    }

    fn update(
        &self,
        data: &SequenceData,
        weights: &mut Vec<f64>,
        round: Round,
        predicted: &Predicted,
    ) -> Result<Outcome> {
        match data.task {
            Task::Classification { .. } => self.learn_classes(data, weights, round, predicted),
            Task::Regression { .. } => self.learn_values(data, weights, round, predicted),
        }
    }
}
