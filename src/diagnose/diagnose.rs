//! From what is known to a diagnosis.
use crate::{
    data::Task,
    diagnose::{
        classify::{classify, scale},
        findings,
        ranking::rank,
        Curves, Diagnosis, FirstLoss, Label, LabelProbability, LeakCheck, Measurements, Observations,
        OneBatchReport, Rule, ScaleCheck, TwoSampleReport,
    },
    evaluate::{RowTargets, SplitCheck, TrainingSizeReport},
    network::Output,
    predictions::Predictions,
    store::EpochRecord,
    train::TrainConfig,
    Error, Result,
};
use std::fmt;

/// Makes a [`Diagnosis`] of all that is known about a training: its learning curves, and what else there is.
///
/// A [`Rule`] looks for one finding. The built-in rules look for these:
///
/// | finding | kind | what shows it |
/// |---|---|---|
/// | `diverged` | `unstable_learning` | losses that are not finite at the end |
/// | `unstable_learning` | | jumps of the training loss from epoch to epoch |
/// | `underfit_flat` | | a training loss that hardly falls |
/// | `slow_learning` | `underfit_flat`, `underfit_unfinished` | a training loss that falls far too slowly |
/// | `underfit_unfinished` | | a training loss that still falls, and where it would stop |
/// | `underfit_capacity` | | a training loss that has converged at a poor level |
/// | `overfit` | | a validation loss that turns up, and the cost of going on |
/// | `unrepresentative_train` | | a gap between the losses that stays |
/// | `unrepresentative_validation` | | validation rows that are too few, or easier |
/// | `high_variance` | | the spread over the last epochs and from run to run, and what an ensemble takes away |
/// | `good_fit` | | nothing is wrong |
/// | `dead_units` | `underfit_flat` | layers whose outputs are 0 for every row |
/// | `saturated_units` | `underfit_flat` | layers whose outputs are at a bound |
/// | `vanishing_gradients` | `underfit_flat` | gradients that are far smaller in a layer than in another |
/// | `exploding_gradients` | `unstable_learning` | gradients that are not finite, burst, or are huge from the start |
/// | `update_ratio` | `underfit_flat`, `unstable_learning` | steps that are too small or too large for the weights |
/// | `cannot_fit_one_batch` | `underfit_flat` | a single batch that the network cannot fit |
/// | `first_loss_too_high` | `unstable_learning` | an untrained network that is far worse than a constant |
/// | `first_loss_too_low` | | an untrained network that is far better than a constant |
/// | `loss_does_not_fit_task` | | a loss that is not made for the targets |
/// | `unscaled_inputs`, `unscaled_targets` | | means far from 0, and spreads far from 1 |
/// | `duplicates` | | validation rows that are training rows |
/// | `groups_split_apart` | | groups with rows on both sides of the split |
/// | `target_leak` | | a column that alone predicts the target |
/// | `drift` | | training and validation rows that can be told apart |
/// | `small_validation` | `unrepresentative_validation` | validation rows whose score is known only roughly |
/// | `too_few_rows` | `unrepresentative_train` | a validation score that still rises with the training rows |
///
/// What a rule needs beside curves is given by the setters, or measured by [`Examination`](crate::diagnose::Examination),
/// which runs everything.
///
/// The confidence of a finding that has the name or the kind of a [`Label`] is the probability of the label,
/// and a run that diverged is certain. Epochs are counted from 0.
///
/// Findings are sorted by their confidence. Where one hides another, the other one says so
/// ([`Finding::after`](crate::diagnose::Finding::after)): what is wrong with the rows comes first, learning
/// comes before generalization and predictions, and validation rows that mislead come before what they show.
/// A finding hides another only if it is at least three quarters as likely.
///
/// ```
/// use candle_ensemble::diagnose::*;
///
/// let mut run = Curve::default();
/// run.train_loss = vec![1.0, 0.6, 0.4, 0.3, 0.2, 0.15, 0.1, 0.08, 0.06, 0.05];
/// run.valid_loss = vec![1.1, 0.8, 0.6, 0.5, 0.5, 0.55, 0.6, 0.65, 0.7, 0.75];
/// let curves = Curves::new(vec![run]);
/// let diagnosis = Diagnose::curves(&curves).labels(vec![(Label::Overfit, 0.9), (Label::GoodFit, 0.02)]).run()?;
/// let first = diagnosis.first().unwrap();
/// assert_eq!((first.name.as_str(), first.problem), ("overfit", Problem::Generalization));
/// assert_eq!(first.evidence[0].mark, Some(Mark::Epoch(3)));
/// println!("{diagnosis}");
/// # Ok::<(), candle_ensemble::Error>(())
/// ```
#[derive(Default)]
pub struct Diagnose<'a> {
    seen: Observations<'a>,
    rules: Vec<Box<dyn Rule + 'a>>,
}

impl fmt::Debug for Diagnose<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rules: Vec<&str> = self.rules.iter().map(|rule| rule.name()).collect();
        f.debug_struct("Diagnose").field("seen", &self.seen).field("rules", &rules).finish()
    }
}

impl<'a> Diagnose<'a> {
    /// Of observations, such as those without curves.
    #[must_use]
    pub fn new(seen: Observations<'a>) -> Self {
        Self { seen, rules: vec![] }
    }

    /// Of learning curves.
    #[must_use]
    pub fn curves(curves: &'a Curves) -> Self {
        Self::new(Observations { curves: Some(curves), ..Observations::default() })
    }

    /// Replaces the probabilities of the conditions of the learning curves by those of another classifier.
    #[must_use]
    pub fn labels(mut self, labels: Vec<(Label, f64)>) -> Self {
        self.seen.labels = labels;
        self
    }

    /// Adds the settings of the training.
    #[must_use]
    pub fn config(mut self, config: &'a TrainConfig) -> Self {
        self.seen.config = Some(config);
        self
    }

    /// Adds the task.
    #[must_use]
    pub fn task(mut self, task: Task) -> Self {
        self.seen.task = Some(task);
        self
    }

    /// Adds the epochs of each run, with what its [`Monitor`](crate::train::Monitor) measured.
    #[must_use]
    pub fn records(mut self, records: impl IntoIterator<Item = &'a [EpochRecord]>) -> Self {
        self.seen.records = records.into_iter().collect();
        self
    }

    /// Adds what the networks of several runs predict for rows that none of them learned from, one slot a
    /// run.
    #[must_use]
    pub fn predictions(mut self, predictions: &'a Predictions, targets: &'a RowTargets) -> Self {
        self.seen.predictions = Some((predictions, targets));
        self
    }

    /// Adds the check of the split into training and validation rows.
    #[must_use]
    pub fn split(mut self, split: &'a SplitCheck) -> Self {
        self.seen.split = Some(split);
        self
    }

    /// Adds the scores on training sets of several sizes.
    #[must_use]
    pub fn training_size(mut self, report: &'a TrainingSizeReport) -> Self {
        self.seen.training_size = Some(report);
        self
    }

    /// Adds what the networks output for classes.
    #[must_use]
    pub fn output(mut self, output: Output) -> Self {
        self.seen.output = Some(output);
        self
    }

    /// Adds the loss before the first step.
    #[must_use]
    pub fn first_loss(mut self, first: &'a FirstLoss) -> Self {
        self.seen.first_loss = Some(first);
        self
    }

    /// Adds whether the network can fit a single batch.
    #[must_use]
    pub fn one_batch(mut self, report: &'a OneBatchReport) -> Self {
        self.seen.one_batch = Some(report);
        self
    }

    /// Adds the scales of inputs and targets.
    #[must_use]
    pub fn scales(mut self, scales: &'a ScaleCheck) -> Self {
        self.seen.scales = Some(scales);
        self
    }

    /// Adds how well each column alone predicts the target.
    #[must_use]
    pub fn leaks(mut self, leaks: &'a LeakCheck) -> Self {
        self.seen.leaks = Some(leaks);
        self
    }

    /// Adds whether training and validation rows can be told apart.
    #[must_use]
    pub fn two_sample(mut self, report: &'a TwoSampleReport) -> Self {
        self.seen.two_sample = Some(report);
        self
    }

    /// Adds all measurements of the network and of its rows that there are.
    #[must_use]
    pub fn measurements(mut self, measured: &'a Measurements) -> Self {
        self.seen = self.seen.measurements(measured);
        self
    }

    /// Adds a rule.
    #[must_use]
    pub fn rule(mut self, rule: Box<dyn Rule + 'a>) -> Self {
        self.rules.push(rule);
        self
    }

    /// Makes the diagnosis.
    ///
    /// # Errors
    /// When what is known cannot be evaluated, or a rule fails.
    pub fn run(self) -> Result<Diagnosis> {
        let Self { mut seen, rules } = self;
        if let (true, Some(curves)) = (seen.labels.is_empty(), seen.curves) {
            seen.labels = classify(curves);
            if was_stopped_early(curves, seen.config) {
                scale(&mut seen.labels, Label::UnderfitUnfinished, STOPPED_EARLY);
            }
        }
        check_labels(&seen.labels)?;
        // Stable: equally likely labels stay in their order.
        seen.labels.sort_by(|(_, a), (_, b)| b.total_cmp(a));
        let own = rules.iter().map(AsRef::as_ref);
        let (mut found, mut missing) = (vec![], vec![]);
        for rule in findings::RULES.iter().map(|rule| *rule as &dyn Rule).chain(own) {
            found.extend(rule.detect(&seen)?);
            missing.extend(rule.missing(&seen));
        }
        rank(&mut found);
        let labels = seen.labels.iter().map(|&(label, probability)| LabelProbability { label, probability });
        Ok(Diagnosis { findings: found, missing, labels: labels.collect() })
    }
}

/// The weight of an unfinished training where early stopping ended it: the training loss still falls, as it should.
const STOPPED_EARLY: f64 = 0.02;

/// Whether early stopping ended most runs.
fn was_stopped_early(curves: &Curves, config: Option<&TrainConfig>) -> bool {
    config.is_some_and(|config| {
        let stopped = curves.runs.iter().filter(|run| run.epochs() < config.epochs).count();
        config.early_stopping.is_some() && 2 * stopped > curves.runs.len()
    })
}

fn check_labels(labels: &[(Label, f64)]) -> Result<()> {
    let bad = labels.iter().find(|(_, probability)| !(0. ..=1.).contains(probability));
    bad.map_or(Ok(()), |(label, probability)| {
        Err(Error::invalid(format!("the probability of {label}"), "from 0 to 1", probability))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{diagnose::Curve, train::EarlyStopping};

    #[test]
    fn a_run_that_early_stopping_ended_is_not_unfinished() {
        let losses: Vec<f64> = (0..20).map(|epoch| 0.95f64.powi(epoch)).collect();
        let mut run = Curve::default();
        (run.train_loss, run.valid_loss) = (losses.clone(), losses);
        let curves = Curves::new(vec![run; 3]);
        let unfinished = |epochs: usize, early_stopping: Option<EarlyStopping>| {
            let config = TrainConfig { epochs, early_stopping, ..TrainConfig::default() };
            let labels = Diagnose::curves(&curves).config(&config).run().unwrap().labels;
            labels.into_iter().find(|other| other.label == Label::UnderfitUnfinished).unwrap().probability
        };
        let rule = || Some(EarlyStopping::default());
        let without = unfinished(100, None);
        assert!(without > 0.5, "{without}");
        assert!(unfinished(100, rule()) < without / 2.);
        // It ended at its last epoch.
        assert_eq!(unfinished(20, rule()), without);
    }
}
