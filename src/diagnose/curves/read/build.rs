//! From cells to runs.
use super::{
    cell::Cell,
    layout::{Layout, Shortened},
    name::{self, Measure, Split},
    rows::{Clock, Point, RawRun, Values},
};
use crate::{diagnose::CurveMetric, Error, Result};
use std::collections::BTreeMap;

/// What a file holds.
#[derive(Clone, Debug, Default)]
pub(super) struct Parsed {
    pub file: String,
    pub runs: Vec<RawRun>,
    /// Whether the file holds only a part of its runs; the parts of one run have the same key.
    pub partial: bool,
    pub metric: Option<CurveMetric>,
    pub train_rows: Option<usize>,
    pub valid_rows: Option<usize>,
    pub notes: Vec<String>,
}

/// Collects the rows of a file.
pub(super) struct Builder<'a> {
    file: &'a str,
    /// What a row is called: "line" or "entry".
    unit: &'static str,
    layout: Layout,
    /// The runs by their keys, each with its place in the order of the file.
    runs: BTreeMap<String, (usize, RawRun)>,
    rows: usize,
    /// For each series, how many cells are numbers and how many are texts.
    cells: [Cells; 4],
    /// The texts in place of numbers, with their places.
    odd: Shortened,
}

#[derive(Clone, Copy, Default)]
struct Cells {
    numbers: usize,
    texts: usize,
}

impl<'a> Builder<'a> {
    pub(super) fn new(file: &'a str, unit: &'static str, layout: Layout) -> Self {
        let (runs, odd) = (BTreeMap::new(), Shortened::default());
        Self { file, unit, layout, runs, rows: 0, cells: [Cells::default(); 4], odd }
    }

    /// Adds a row. `run` names its run; without it, the columns of the layout do.
    ///
    /// # Errors
    /// When the column that tells training from validation says neither.
    pub(super) fn push<'c>(
        &mut self,
        line: u64,
        run: Option<&str>,
        restart: bool,
        cell: impl Fn(usize) -> Cell<'c>,
    ) -> Result<()> {
        self.rows += 1;
        let Some(at) = self.at(line, &cell) else { return Ok(()) };
        let mut values: Values = [None; 4];
        for ((column, value), cells) in self.layout.series.iter().zip(&mut values).zip(&mut self.cells) {
            let Some(column) = *column else { continue };
            match cell(column) {
                Cell::Number(x) => {
                    *value = Some(x);
                    cells.numbers += 1;
                }
                Cell::Text(text) => {
                    cells.texts += 1;
                    let name = self.layout.column(column);
                    self.odd.push(|| format!("{text:?} in {name} of {} {line}", self.unit));
                }
                Cell::Missing => {}
            }
        }
        if let Some(column) = self.layout.split {
            values = self.for_split(line, column, cell(column), values)?;
        }
        let key = match run {
            Some(run) => run.to_owned(),
            None => self.layout.runs.iter().map(|column| label(cell(*column))).collect::<Vec<_>>().join("/"),
        };
        let place = self.runs.len();
        let clock = self.clock();
        let (_, run) = self
            .runs
            .entry(key)
            .or_insert_with_key(|key| (place, RawRun { key: key.clone(), clock, points: vec![] }));
        run.points.push(Point { line, at, values, restart });
        Ok(())
    }

    fn clock(&self) -> Clock {
        match (self.layout.epoch, self.layout.step) {
            (None, Some(_)) => Clock::Steps,
            _ => Clock::Epochs,
        }
    }

    /// The epoch or the step; without such a column, the number of the row. A row without its value is left
    /// out.
    fn at<'c>(&mut self, line: u64, cell: impl Fn(usize) -> Cell<'c>) -> Option<f64> {
        let Some(column) = self.layout.epoch.or(self.layout.step) else { return Some(self.rows as f64) };
        let cell = cell(column);
        let at = match cell {
            // "Epoch 3" and "3/50".
            Cell::Text(text) => {
                let digits = text.split(|c: char| !c.is_ascii_digit()).find(|part| !part.is_empty());
                digits.and_then(|digits| digits.parse().ok())
            }
            _ => cell.number().filter(|at| *at >= 0. && at.is_finite()),
        };
        if at.is_none() {
            let (text, name) = (label(cell), self.layout.column(column));
            self.odd.push(|| format!("{text:?} in {name} of {} {line}, which is left out", self.unit));
        }
        at
    }

    /// The values of a row that is about training or validation alone.
    fn for_split(&self, line: u64, column: usize, cell: Cell<'_>, values: Values) -> Result<Values> {
        let [loss, _, metric, _] = values;
        let word = label(cell);
        match name::split(&word) {
            Some(Split::Train) => Ok([loss, None, metric, None]),
            Some(_) => Ok([None, loss, None, metric]),
            None => {
                let what = format!("{} in {} {line} of {}", self.layout.column(column), self.unit, self.file);
                Err(Error::invalid(what, "train or valid", format!("{word:?}")))
            }
        }
    }

    /// The runs, with the metric as an accuracy or a root mean squared error.
    ///
    /// # Errors
    /// When there are no rows, or a column holds more texts than numbers.
    pub(super) fn finish(mut self) -> Result<Parsed> {
        for (column, cells) in self.layout.series.iter().zip(&self.cells) {
            if let (Some(column), true) = (column, cells.texts > cells.numbers) {
                let what = format!("{} of {}", self.layout.column(*column), self.file);
                return Err(Error::invalid(what, "a column of numbers", &self.odd));
            }
        }
        if self.runs.is_empty() {
            let got = if self.rows == 0 { "without rows".into() } else { self.odd.to_string() };
            return Err(Error::invalid(self.file, "a table with rows that have their epoch", got));
        }
        if self.cells.iter().all(|cells| cells.numbers == 0) {
            return Err(Error::invalid(self.file, "a table with a loss", "without any value of one"));
        }
        let mut notes = std::mem::take(&mut self.layout.notes);
        if self.odd.count > 0 {
            notes.push(format!("not numbers, and taken as missing: {}", self.odd));
        }
        let metric = self.metric(&mut notes);
        let mut runs: Vec<_> = self.runs.into_values().collect();
        runs.sort_by_key(|(place, _)| *place);
        let runs = runs.into_iter().map(|(_, run)| run).collect();
        Ok(Parsed { file: self.file.into(), runs, metric, notes, ..Parsed::default() })
    }

    /// Brings the metric to one of the kinds that curves have.
    fn metric(&mut self, notes: &mut Vec<String>) -> Option<CurveMetric> {
        let mut range = (f64::INFINITY, f64::NEG_INFINITY);
        self.each_metric(|x| {
            if x.is_some_and(f64::is_finite) {
                let x = x.unwrap_or_default();
                range = (range.0.min(x), range.1.max(x));
            }
        });
        let (least, most) = range;
        // Shares that were computed in f32 can lie beside 1.
        const NEAR: f64 = 1e-6;
        let share = least >= -NEAR && most <= 1. + NEAR;
        let percent = least >= 0. && !share && most <= 100.;
        let error = matches!(self.layout.metric?, Measure::ErrorRate | Measure::Error);
        match self.layout.metric? {
            _ if least > most => None,
            Measure::Accuracy | Measure::ErrorRate if !share && !percent => {
                notes.push(format!(
                    "the metric lies from {least} to {most}, which no share of rows can: it is not used"
                ));
                self.each_metric(|x| *x = None);
                None
            }
            Measure::Error if !share => {
                notes.push("the error is no share of rows: it is not used beside the loss".into());
                self.each_metric(|x| *x = None);
                None
            }
            Measure::Accuracy | Measure::ErrorRate | Measure::Error => {
                let unit = if percent { 100. } else { 1. };
                if percent {
                    notes.push(format!(
                        "the metric is up to {most}, so it is taken as a percentage and divided by 100"
                    ));
                }
                if error {
                    notes.push("the metric is an error rate; the accuracy is 1 less it".into());
                }
                self.each_metric(|x| {
                    *x = x.map(|x| if error { 1. - x / unit } else { x / unit });
                });
                Some(CurveMetric::Accuracy)
            }
            Measure::Mse => {
                notes.push("the metric is the root of the mean squared error".into());
                self.each_metric(|x| *x = x.map(f64::sqrt));
                Some(CurveMetric::Rmse)
            }
            Measure::Rmse => Some(CurveMetric::Rmse),
            _ => None,
        }
    }

    fn each_metric(&mut self, mut change: impl FnMut(&mut Option<f64>)) {
        let points = self.runs.values_mut().flat_map(|(_, run)| &mut run.points);
        points.for_each(|point| {
            let [_, _, train, valid] = &mut point.values;
            change(train);
            change(valid);
        });
    }
}

/// A cell as the name of a run or of a split.
fn label(cell: Cell<'_>) -> String {
    match cell {
        Cell::Missing => String::new(),
        Cell::Number(x) => x.to_string(),
        Cell::Text(text) => text.into(),
    }
}
