//! Learning curves of one network, in one run or several.
mod metric;
mod read;
mod write;

#[cfg(test)]
mod tests;

pub use metric::CurveMetric;
pub use read::ReadCurves;

use crate::{
    codec::real,
    store::{EpochRecord, Member},
    Error, Result,
};
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, fmt};

/// The learning curves of runs of one network with the same settings, which differ in their seeds.
///
/// [`Curves::read`] reads them from files of this library, Keras, PyTorch Lightning, TensorBoard and others;
/// [`Curves::of_members`] takes them from trained members.
///
/// ```
/// use candle_ensemble::diagnose::{Curve, CurveMetric, Curves};
///
/// let mut run = Curve::default();
/// run.train_loss = vec![1.0, 0.6, 0.4];
/// run.valid_loss = vec![1.1, 0.8, 0.7];
/// run.valid_metric = vec![0.5, 0.7, 0.8];
/// let curves = Curves::new(vec![run]).with_metric(CurveMetric::Accuracy).with_rows(800, 200);
/// curves.check()?;
/// assert_eq!(curves.to_string(), "1 run, 3 epochs, accuracy, 800 training rows, 200 validation rows");
/// # Ok::<(), candle_ensemble::Error>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Curves {
    /// What the metric of the curves is; `None` if it is not known.
    #[serde(default)]
    pub metric: Option<CurveMetric>,
    /// The number of training rows, if it is known.
    #[serde(default)]
    pub train_rows: Option<usize>,
    /// The number of validation rows, if it is known.
    #[serde(default)]
    pub valid_rows: Option<usize>,
    /// The runs, at least one.
    pub runs: Vec<Curve>,
}

/// The learning curve of one run: one value for each epoch, NaN where a value is missing or not finite. All
/// series have the same length; a series that was not recorded at all is empty.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Curve {
    /// The training loss.
    #[serde(with = "real::vec")]
    pub train_loss: Vec<f64>,
    /// The validation loss.
    #[serde(default, with = "real::vec")]
    pub valid_loss: Vec<f64>,
    /// The metric on the training rows.
    #[serde(default, with = "real::vec")]
    pub train_metric: Vec<f64>,
    /// The metric on the validation rows.
    #[serde(default, with = "real::vec")]
    pub valid_metric: Vec<f64>,
}

impl Curve {
    /// The curve that a member's record holds ([`Record::curve`](crate::store::Record::curve)). A series of
    /// the validation rows is empty if no epoch has it.
    ///
    /// ```
    /// use candle_ensemble::{diagnose::Curve, store::EpochRecord};
    ///
    /// let epoch = |epoch, train_loss| EpochRecord { epoch, train_loss, ..EpochRecord::default() };
    /// let curve = Curve::of_records(&[epoch(0, 0.9), epoch(1, 0.5)]);
    /// assert_eq!(curve.train_loss, [0.9, 0.5]);
    /// assert!(curve.valid_loss.is_empty());
    /// ```
    #[must_use]
    pub fn of_records(records: &[EpochRecord]) -> Self {
        let finite = |x: f64| if x.is_finite() { x } else { f64::NAN };
        let optional =
            |value: fn(&EpochRecord) -> Option<f64>| match records.iter().any(|r| value(r).is_some()) {
                true => records.iter().map(|r| finite(value(r).unwrap_or(f64::NAN))).collect(),
                false => vec![],
            };
        Self {
            train_loss: records.iter().map(|r| finite(r.train_loss)).collect(),
            train_metric: records.iter().map(|r| finite(r.train_metric)).collect(),
            valid_loss: optional(|r| r.valid_loss),
            valid_metric: optional(|r| r.valid_metric),
        }
    }

    /// The number of epochs.
    #[must_use]
    pub fn epochs(&self) -> usize {
        self.train_loss.len().max(self.valid_loss.len())
    }

    /// The series with their names in files.
    fn series(&self) -> [(&'static str, &Vec<f64>); 4] {
        [
            ("train_loss", &self.train_loss),
            ("valid_loss", &self.valid_loss),
            ("train_metric", &self.train_metric),
            ("valid_metric", &self.valid_metric),
        ]
    }
}

impl Curves {
    /// Curves of runs.
    #[must_use]
    pub fn new(runs: Vec<Curve>) -> Self {
        Self { runs, ..Self::default() }
    }

    /// The learning curves of members: the longest curve of each run, by the numbers of the runs.
    ///
    /// Refit members are left out where there are others, because they have no validation rows. A record does
    /// not say whether its metric is an accuracy or an error. It is taken for what its values say: an
    /// accuracy lies within 0 and 1 and rises while the loss falls. [`Self::with_metric`] corrects it. The
    /// numbers of rows are unknown until [`Self::with_rows`] gives them, because
    /// [`Record::seen`](crate::store::Record::seen) holds training and validation rows together.
    #[must_use]
    pub fn of_members(members: &[Member]) -> Self {
        let mut longest: BTreeMap<usize, &[EpochRecord]> = BTreeMap::new();
        let all_refit = members.iter().all(|member| member.record.refit);
        for record in members.iter().map(|member| &member.record).filter(|record| all_refit || !record.refit)
        {
            let curve = longest.entry(record.run).or_default();
            if record.curve.len() > curve.len() {
                *curve = &record.curve;
            }
        }
        let runs = longest.into_values().filter(|records| !records.is_empty()).map(Curve::of_records);
        let mut curves = Self::new(runs.collect());
        curves.metric = metric::likely(&curves);
        curves
    }

    /// Says what the metric is.
    #[must_use]
    pub fn with_metric(mut self, metric: impl Into<Option<CurveMetric>>) -> Self {
        self.metric = metric.into();
        self
    }

    /// Says how many training and validation rows there are; `None` where it is not known.
    #[must_use]
    pub fn with_rows(mut self, train: impl Into<Option<usize>>, valid: impl Into<Option<usize>>) -> Self {
        (self.train_rows, self.valid_rows) = (train.into(), valid.into());
        self
    }

    /// Checks that there is a run, and that each run has a loss and series of one length.
    ///
    /// # Errors
    /// [`Error::Invalid`] with the number of the run, from 1, and the name of the series.
    pub fn check(&self) -> Result<()> {
        if self.runs.is_empty() {
            return Err(Error::invalid("the number of runs", "at least 1", 0));
        }
        for (run, curve) in self.runs.iter().enumerate() {
            let run = run + 1;
            let epochs = curve.epochs();
            if epochs == 0 {
                let must = "a list with one value for each epoch";
                return Err(Error::invalid(format!("the loss of run {run}"), must, "empty"));
            }
            let odd = curve.series().into_iter().find(|(_, series)| ![0, epochs].contains(&series.len()));
            if let Some((name, series)) = odd {
                let must = format!("empty or of {epochs} values, one for each epoch");
                let got = format!("of {}", series.len());
                return Err(Error::invalid(format!("{name} of run {run}"), must, got));
            }
        }
        Ok(())
    }
}

/// One line, such as `5 runs, 50 epochs, accuracy, 686 training rows`.
impl fmt::Display for Curves {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let epochs = || self.runs.iter().map(Curve::epochs);
        write!(f, "{}, ", count(self.runs.len(), "run"))?;
        match (epochs().min().unwrap_or(0), epochs().max().unwrap_or(0)) {
            (least, most) if least < most => write!(f, "{least} to {most} epochs")?,
            (_, most) => f.write_str(&count(most, "epoch"))?,
        }
        if let Some(metric) = self.metric {
            write!(f, ", {metric}")?;
        }
        if let Some(rows) = self.train_rows {
            write!(f, ", {}", count(rows, "training row"))?;
        }
        if let Some(rows) = self.valid_rows {
            write!(f, ", {}", count(rows, "validation row"))?;
        }
        if self.runs.iter().all(|run| run.valid_loss.is_empty() && run.valid_metric.is_empty()) {
            f.write_str(", no validation")?;
        }
        Ok(())
    }
}

/// A number with its noun: `1 run`, `5 runs`.
fn count(n: usize, noun: &str) -> String {
    format!("{n} {noun}{}", if n == 1 { "" } else { "s" })
}
