//! What is known about a training.
use crate::{
    data::Task,
    diagnose::{
        Curves, FirstLoss, Label, LeakCheck, Measurements, OneBatchReport, ScaleCheck, TwoSampleReport,
    },
    evaluate::{RowTargets, SplitCheck, TrainingSizeReport},
    network::Output,
    predictions::Predictions,
    store::EpochRecord,
    train::TrainConfig,
};

/// All that is known about a training. Each part is optional, and a [`Rule`](crate::diagnose::Rule) finds
/// what the parts allow.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Observations<'a> {
    /// The learning curves.
    pub curves: Option<&'a Curves>,
    /// How likely each condition of the learning curves is, the likeliest first; empty without curves.
    pub labels: Vec<(Label, f64)>,
    /// The settings of the training.
    pub config: Option<&'a TrainConfig>,
    /// The task.
    pub task: Option<Task>,
    /// The epochs of each run, with what its [`Monitor`](crate::train::Monitor) measured.
    pub records: Vec<&'a [EpochRecord]>,
    /// What the networks of several runs predict for rows that none of them learned from, and the targets.
    pub predictions: Option<(&'a Predictions, &'a RowTargets)>,
    /// The check of the split into training and validation rows.
    pub split: Option<&'a SplitCheck>,
    /// The scores on training sets of several sizes.
    pub training_size: Option<&'a TrainingSizeReport>,
    /// What the networks output for classes.
    pub output: Option<Output>,
    /// The loss before the first step.
    pub first_loss: Option<&'a FirstLoss>,
    /// Whether the network can fit a single batch.
    pub one_batch: Option<&'a OneBatchReport>,
    /// The scales of inputs and targets.
    pub scales: Option<&'a ScaleCheck>,
    /// How well each column alone predicts the target.
    pub leaks: Option<&'a LeakCheck>,
    /// Whether training and validation rows can be told apart.
    pub two_sample: Option<&'a TwoSampleReport>,
}

/// The smallest probability at which the second label is named.
const SECOND: f64 = 0.03;
/// The smallest probability at which a label after the second is named.
const OTHERS: f64 = 0.05;
/// The smallest probability at which a label is named beside validation rows that do not stand for new rows: they hide
/// the others.
const HIDDEN: f64 = 0.01;

impl<'a> Observations<'a> {
    /// Adds measurements. What has not been measured stays as it is.
    #[must_use]
    pub fn measurements(self, measured: &'a Measurements) -> Self {
        Self {
            scales: measured.scales.as_ref().or(self.scales),
            leaks: measured.leaks.as_ref().or(self.leaks),
            split: measured.split.as_ref().or(self.split),
            two_sample: measured.two_sample.as_ref().or(self.two_sample),
            first_loss: measured.first_loss.as_ref().or(self.first_loss),
            one_batch: measured.one_batch.as_ref().or(self.one_batch),
            ..self
        }
    }

    /// The probability of a condition of the learning curves; `None` if it is too unlikely to be named.
    ///
    /// The likeliest condition is always named, the second one from a probability of 3 % on, and the others
    /// from 5 % on. A poor level of the loss may be noise that no network can remove, so
    /// [`UnderfitCapacity`](Label::UnderfitCapacity) and [`GoodFit`](Label::GoodFit) are named together from
    /// 3 % on. Beside [`UnrepresentativeValidation`](Label::UnrepresentativeValidation), which hides the
    /// others, they are named from 1 % on.
    #[must_use]
    pub fn named(&self, label: Label) -> Option<f64> {
        let place = self.labels.iter().position(|(other, _)| *other == label)?;
        let (_, probability) = self.labels.get(place).copied()?;
        let first = self.labels.first().map(|(first, _)| *first);
        let twin = match label {
            Label::GoodFit => Some(Label::UnderfitCapacity),
            Label::UnderfitCapacity => Some(Label::GoodFit),
            _ => None,
        };
        let least = match place {
            0 => 0.,
            _ if first == Some(Label::UnrepresentativeValidation) => HIDDEN,
            1 => SECOND,
            _ if twin.is_some() && first == twin => SECOND,
            _ => OTHERS,
        };
        (probability >= least).then_some(probability)
    }
}
