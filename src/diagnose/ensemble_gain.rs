//! What an ensemble of networks would gain, predicted before it is built.
use crate::{
    combine::{FittedCombiner, Mean},
    evaluate::{decomposition::ambiguity, RowTargets},
    metrics::{accuracy, nll, Truth},
    predictions::Predictions,
    Result,
};
use candle_core::Tensor;

/// The expected squared error of networks that differ only in their seeds, and what a mean of several takes
/// away.
///
/// ```text
/// E[loss of the mean of M] = member_loss − (1 − 1/M) variance
/// variance = ambiguity · S / (S − 1)
/// ```
///
/// `ambiguity` is that of the mean of the `S` networks that are there (Krogh and Vedelsby 1995). Divided by
/// `1 − 1/S` it estimates the variance of a network about the mean of all networks without bias, so that `M`
/// may be larger than `S`. It holds for networks that are independent given the rows: other seeds, the same
/// settings. The loss is the mean squared error, or the Brier score of class probabilities.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct EnsembleGain {
    pub(crate) networks: usize,
    pub(crate) member_loss: f64,
    pub(crate) variance: f64,
}

impl EnsembleGain {
    /// `None` with one network.
    ///
    /// # Errors
    /// As [`ambiguity`].
    pub(crate) fn of(predictions: &Predictions, targets: &RowTargets) -> Result<Option<Self>> {
        let networks = predictions.slots();
        if networks < 2 {
            return Ok(None);
        }
        let parts = ambiguity(predictions, targets, None)?;
        let variance = parts.ambiguity * networks as f64 / (networks - 1) as f64;
        Ok(Some(Self { networks, member_loss: parts.member_loss, variance }))
    }

    /// The expected loss of the mean of `members` networks.
    pub(crate) fn loss(&self, members: usize) -> f64 {
        self.member_loss - (1. - 1. / members as f64) * self.variance
    }

    /// What the mean of `members` networks takes away, as a share of the loss of one network.
    pub(crate) fn share(&self, members: usize) -> f64 {
        match self.member_loss {
            loss if loss > 0. => 1. - self.loss(members) / loss,
            _ => 0.,
        }
    }
}

/// The accuracy and the log-loss of classifiers: of one, on average, and of the mean of all of them.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct ClassScores {
    pub(crate) one: (f64, f64),
    pub(crate) together: (f64, f64),
}

impl ClassScores {
    /// `None` for values, with one network, or if a prediction is missing.
    ///
    /// # Errors
    /// When the predictions do not fit the targets.
    pub(crate) fn of(predictions: &Predictions, targets: &RowTargets) -> Result<Option<Self>> {
        let Truth::Classes(labels) = targets.truth() else { return Ok(None) };
        let networks = predictions.slots();
        if networks < 2 || predictions.covered().is_some() {
            return Ok(None);
        }
        let weights = targets.weights();
        let score = |probabilities: &Tensor| {
            let scores = (accuracy(probabilities, labels, weights)?, nll(probabilities, labels, weights)?);
            Ok::<_, crate::Error>(scores)
        };
        let mut scores = (0..networks)
            .map(|slot| score(&predictions.values().get(slot)?))
            .collect::<Result<Vec<(f64, f64)>>>()?;
        // In the order of their values: the order of the networks does not matter to the last bit.
        scores.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.total_cmp(&b.1)));
        let mean = |of: fn(&(f64, f64)) -> f64| scores.iter().map(of).sum::<f64>() / networks as f64;
        Ok(Some(Self { one: (mean(|s| s.0), mean(|s| s.1)), together: score(&Mean.combine(predictions)?)? }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{data::Task, Seed};
    use candle_core::Device;
    use rand::Rng;

    fn values(slots: &[Vec<f64>]) -> Predictions {
        let rows = slots[0].len();
        let flat = Tensor::from_vec(slots.concat(), (slots.len(), rows, 1), &Device::Cpu).unwrap();
        Predictions::new(flat, Task::Regression { outputs: 1 }).unwrap()
    }

    fn targets(y: &[f64]) -> RowTargets {
        RowTargets::values(&Tensor::from_slice(y, y.len(), &Device::Cpu).unwrap()).unwrap()
    }

    /// Predictions 1 and 5 of a target 0: losses 1 and 25, variance 8 = ((1 − 3)² + (5 − 3)²) / 1.
    #[test]
    fn two_networks_by_hand() {
        let gain = EnsembleGain::of(&values(&[vec![1.], vec![5.]]), &targets(&[0.])).unwrap().unwrap();
        assert_eq!(gain, EnsembleGain { networks: 2, member_loss: 13., variance: 8. });
        // Of the two that are there it is exact: (3 − 0)² = 9.
        assert_eq!((gain.loss(2), gain.loss(1), gain.loss(8)), (9., 13., 6.));
        assert!((gain.share(2) - 4. / 13.).abs() < 1e-15);
        assert_eq!(EnsembleGain::of(&values(&[vec![1.]]), &targets(&[0.])).unwrap(), None);
    }

    /// Two classifiers, each right on one of two rows, whose mean is right on both.
    #[test]
    fn the_scores_of_classifiers_by_hand() {
        let values =
            Tensor::new(&[[[0.9f64, 0.1], [0.6, 0.4]], [[0.6, 0.4], [0.2, 0.8]]], &Device::Cpu).unwrap();
        let predictions = Predictions::new(values, Task::Classification { classes: 2 }).unwrap();
        let targets = RowTargets::classes(&[0, 1], 2).unwrap();
        let scores = ClassScores::of(&predictions, &targets).unwrap().unwrap();
        let close = |a: f64, b: f64| assert!((a - b).abs() < 1e-12, "{a} {b}");
        close(scores.one.0, 0.75);
        close(scores.one.1, -(0.9f64 * 0.4 * 0.6 * 0.8).ln() / 4.);
        close(scores.together.0, 1.);
        close(scores.together.1, -(0.75f64 * 0.6).ln() / 2.);
        let one = predictions.narrow_slots(0, 1).unwrap();
        assert_eq!(ClassScores::of(&one, &targets).unwrap(), None);
    }

    /// Networks of error `common + own` of variances 0.25 and 1: one has the loss 1.25, ten together 0.35.
    /// The prediction from five is compared with ensembles of ten others.
    #[test]
    fn the_prediction_is_the_mean_loss_of_simulated_ensembles() {
        let (rows, repeats) = (40, 400);
        let (mut predicted, mut measured) = (vec![], vec![]);
        for repeat in 0..repeats {
            let mut rng = Seed::from(8).nth("repeat", repeat).rng();
            // Uniform numbers of variance 1.
            let mut draw = |sd: f64| sd * 12f64.sqrt() * (rng.random::<f64>() - 0.5);
            let common: Vec<f64> = (0..rows).map(|_| draw(0.5)).collect();
            let mut network = || common.iter().map(|c| c + draw(1.)).collect::<Vec<f64>>();
            let five: Vec<Vec<f64>> = (0..5).map(|_| network()).collect();
            let ten: Vec<Vec<f64>> = (0..10).map(|_| network()).collect();
            let gain = EnsembleGain::of(&values(&five), &targets(&vec![0.; rows])).unwrap().unwrap();
            predicted.push(gain.loss(10));
            let mean = |row: usize| ten.iter().map(|slot| slot[row]).sum::<f64>() / 10.;
            measured.push((0..rows).map(|row| mean(row).powi(2)).sum::<f64>() / rows as f64);
        }
        let differences: Vec<f64> = predicted.iter().zip(&measured).map(|(a, b)| a - b).collect();
        // A 99.9 % interval: one correct program in a thousand would fail with another seed.
        let interval = crate::statistics::t_interval(&differences, 0.999).unwrap();
        assert!(interval.contains(0.), "{interval:?}");
        assert!(interval.high - interval.low < 0.05, "{interval:?}");
        let mean = predicted.iter().sum::<f64>() / repeats as f64;
        assert!((mean - 0.35).abs() < 0.03, "{mean}");
    }
}
