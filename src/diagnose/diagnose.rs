//! From what is known to a diagnosis.
use crate::{
    data::Task,
    diagnose::{findings, ranking::rank, Curves, Diagnosis, Label, LabelProbability, Observations, Rule},
    evaluate::{RowTargets, SplitCheck, TrainingSizeReport},
    predictions::Predictions,
    store::EpochRecord,
    train::TrainConfig,
    Error, Result,
};
use std::fmt;

/// Makes a [`Diagnosis`] of all that is known about a training.
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

    /// Adds what the networks of several runs predict for rows that none of them learned from, one slot a run.
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

fn check_labels(labels: &[(Label, f64)]) -> Result<()> {
    let bad = labels.iter().find(|(_, probability)| !(0. ..=1.).contains(probability));
    bad.map_or(Ok(()), |(label, probability)| {
        Err(Error::invalid(format!("the probability of {label}"), "from 0 to 1", probability))
    })
}
