//! What a learning-rate range test found.
#[cfg(feature = "charts")]
use crate::chart::{RangeTestChart, RateMark, RatePoint};
use crate::train::{
    range_test::{suggest, Trace},
    RangeTest,
};
use comfy_table::{presets::ASCII_MARKDOWN, CellAlignment, Table};
use serde::{Deserialize, Serialize};
use std::fmt;

/// Why a range test ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum RangeEnd {
    /// It did all its steps.
    #[default]
    Finished,
    /// The smoothed loss was [`stop_at`](RangeTest::stop_at) times its minimum.
    Rose,
    /// The loss or a variable became NaN or infinite.
    Diverged,
}

/// The result of a [`RangeTest`]: the losses at each learning rate, and the rates that they suggest.
///
/// The suggestions are computed from the smoothed losses without the first tenth of the steps and the last
/// five, as fast.ai does. They are `None` where too few steps are left or the loss never falls. They often
/// differ by a factor of 3: `valley` is the most careful one as a rule, and `suggestion` and
/// `tenth_of_minimum` depend on single points of the curve.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RangeTestReport {
    /// The test.
    pub test: RangeTest,
    /// The learning rate of each step.
    pub rates: Vec<f64>,
    /// The loss of each step's batch, before the step.
    pub losses: Vec<f64>,
    /// The smoothed loss of each step.
    pub smoothed: Vec<f64>,
    /// Why the test ended.
    pub end: RangeEnd,
    /// The rate at which the smoothed loss falls fastest per decade of the rate.
    pub suggestion: Option<f64>,
    /// The rate in the first half of the longest fall of the smoothed loss.
    pub valley: Option<f64>,
    /// A tenth of the rate with the smallest smoothed loss.
    pub tenth_of_minimum: Option<f64>,
}

/// Steps at the end that no suggestion is made from.
const LAST: usize = 5;

impl RangeTestReport {
    pub(super) fn new(test: RangeTest, trace: Trace) -> Self {
        let Trace { rates, losses, smoothed, end, .. } = trace;
        let within = test.steps / 10..smoothed.len().saturating_sub(LAST);
        let (r, s) = (rates.get(within.clone()).unwrap_or(&[]), smoothed.get(within).unwrap_or(&[]));
        let suggestion = suggest::steepest(r, s);
        let valley = suggest::valley(r, s);
        let tenth_of_minimum = suggest::tenth_of_minimum(r, s);
        Self { test, rates, losses, smoothed, end, suggestion, valley, tenth_of_minimum }
    }

    fn suggestions(&self) -> impl Iterator<Item = (&'static str, f64)> {
        let all = [
            ("steepest descent", self.suggestion),
            ("valley", self.valley),
            ("a tenth of the minimum", self.tenth_of_minimum),
        ];
        all.into_iter().filter_map(|(name, rate)| Some((name, rate?)))
    }

    /// The smoothed loss at the step whose rate is nearest to this one.
    fn loss_at(&self, rate: f64) -> Option<f64> {
        let far = |r: f64| (r / rate).ln().abs();
        let near = self.rates.iter().zip(&self.smoothed).min_by(|a, b| far(*a.0).total_cmp(&far(*b.0)));
        near.map(|(_, loss)| *loss)
    }

    /// The losses against the logarithm of the learning rate, with the suggestions marked.
    #[cfg(feature = "charts")]
    #[cfg_attr(docsrs, doc(cfg(feature = "charts")))]
    #[must_use]
    pub fn chart(&self, title: impl Into<String>) -> RangeTestChart {
        let steps = self.rates.iter().zip(&self.losses).zip(&self.smoothed);
        let mark = |(label, rate): (&str, f64)| RateMark { rate, label: label.into() };
        RangeTestChart {
            title: title.into(),
            measure: "training loss".into(),
            points: steps.map(|((&rate, &loss), &smoothed)| RatePoint { rate, loss, smoothed }).collect(),
            marks: self.suggestions().map(mark).collect(),
        }
    }
}

/// The suggestions as a table, and why the test ended.
impl fmt::Display for RangeTestReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut table = Table::new();
        table.load_style(ASCII_MARKDOWN);
        table.set_header(["suggestion", "learning rate", "smoothed loss"]);
        for (name, rate) in self.suggestions() {
            let loss = self.loss_at(rate).map_or_else(|| "–".into(), |loss| format!("{loss:.4}"));
            table.add_row([name.to_string(), format!("{rate:.2e}"), loss]);
        }
        for column in table.column_iter_mut().skip(1) {
            column.set_cell_alignment(CellAlignment::Right);
        }
        writeln!(f, "{table}")?;
        let (steps, last) = (self.rates.len(), self.rates.last().copied().unwrap_or(self.test.from));
        write!(f, "{steps} of {} steps from {:.2e} to {last:.2e}: ", self.test.steps, self.test.from)?;
        match self.end {
            RangeEnd::Finished => f.write_str("all steps done"),
            RangeEnd::Rose => write!(f, "the loss rose to {} times its minimum", self.test.stop_at),
            RangeEnd::Diverged => f.write_str("the training diverged"),
        }
    }
}
