//! The margins of the confusion matrix: all that the metrics of decided classes need of it.
use crate::{
    metrics::{
        inputs::Case,
        stream::{Accumulate, ClassRows},
        Average,
    },
    Error, Result,
};

/// The weights of the rows by class. The predicted class is the most probable one.
#[derive(Default)]
pub(crate) struct Margins {
    pub(crate) classes: Vec<Counts>,
    /// The rows whose predicted class is not the true one.
    pub(crate) wrong: f64,
}

/// The rows of one class.
#[derive(Clone, Copy, Default)]
pub(crate) struct Counts {
    /// The true class and the predicted class are this one.
    pub(crate) correct: f64,
    /// The predicted class is this one.
    pub(crate) predicted: f64,
    /// The true class is this one.
    pub(crate) actual: f64,
}

impl Margins {
    pub(crate) fn add(&mut self, case: &Case<'_>) {
        if self.classes.is_empty() {
            self.classes = vec![Counts::default(); case.probs.len()];
        }
        if let Some(counts) = self.classes.get_mut(case.top) {
            counts.predicted += case.weight;
            if case.is_correct() {
                counts.correct += case.weight;
            }
        }
        if let Some(counts) = self.classes.get_mut(case.label) {
            counts.actual += case.weight;
        }
        if !case.is_correct() {
            self.wrong += case.weight;
        }
    }

    /// The average of a metric over the classes. A class that is neither true nor predicted for any row does
    /// not count.
    fn average(&self, metric: ClassMetric, average: Average) -> Result<f64> {
        let present = || self.classes.iter().filter(|counts| counts.predicted + counts.actual > 0.0);
        Ok(match average {
            Average::Macro => present().map(metric).sum::<f64>() / present().count() as f64,
            Average::Weighted => {
                let total: f64 = present().map(|counts| counts.actual).sum();
                present().map(|counts| counts.actual * metric(counts)).sum::<f64>() / total
            }
            Average::Micro => metric(&present().fold(Counts::default(), |sum, counts| Counts {
                correct: sum.correct + counts.correct,
                predicted: sum.predicted + counts.predicted,
                actual: sum.actual + counts.actual,
            })),
            Average::Binary => match self.classes.as_slice() {
                [_, class] => metric(class),
                classes => return Err(needs_two_classes(classes.len())),
            },
        })
    }
}

/// The error of [`Average::Binary`] for another number of classes than two.
pub(crate) fn needs_two_classes(classes: usize) -> Error {
    Error::invalid("the number of classes for Average::Binary", "2", classes)
}

/// A metric of one class.
pub(crate) type ClassMetric = fn(&Counts) -> f64;

/// Accumulates the average of a metric over the classes.
pub(crate) fn averaged(metric: ClassMetric, average: Average) -> impl ClassRows {
    OfMargins::new(move |margins| margins.average(metric, average))
}

/// Accumulates a metric that is a function of the margins.
pub(crate) struct OfMargins<F> {
    margins: Margins,
    metric: F,
}

impl<F: Fn(&Margins) -> Result<f64>> OfMargins<F> {
    pub(crate) fn new(metric: F) -> Self {
        Self { margins: Margins::default(), metric }
    }
}

impl<F: Fn(&Margins) -> Result<f64>> Accumulate<Case<'_>> for OfMargins<F> {
    fn add(&mut self, case: &Case<'_>) {
        self.margins.add(case);
    }

    fn finish(self: Box<Self>) -> Result<f64> {
        (self.metric)(&self.margins)
    }
}

/// `part / whole`, or 0 where there is nothing.
pub(crate) fn share(part: f64, whole: f64) -> f64 {
    if whole > 0.0 {
        part / whole
    } else {
        0.0
    }
}
