//! From rows as they were logged to one value for each epoch.
use crate::diagnose::Curve;
use std::collections::BTreeMap;

/// The values of a row: training and validation loss, training and validation metric. `None` is a value that
/// the row does not have; NaN is one that is not finite.
pub(super) type Values = [Option<f64>; 4];

/// One row of a log.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Point {
    /// Its line or its number in the file.
    pub line: u64,
    /// The epoch, the step, or the number of the row.
    pub at: f64,
    pub values: Values,
    /// Whether a header was repeated before it.
    pub restart: bool,
}

/// What the rows are counted by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Clock {
    /// Epochs: rows of one epoch belong together.
    #[default]
    Epochs,
    /// Steps: rows up to one with validation belong together.
    Steps,
}

/// The rows of one run.
#[derive(Clone, Debug, Default)]
pub(super) struct RawRun {
    pub key: String,
    pub clock: Clock,
    pub points: Vec<Point>,
}

impl RawRun {
    /// The curves of the rows: one, or several where the epochs start again. What was guessed is added to the
    /// notes.
    pub(super) fn curves(self, notes: &mut Vec<String>) -> Vec<Curve> {
        let clock = self.clock;
        let segments = match clock {
            Clock::Epochs => segments(self.points, notes),
            Clock::Steps => vec![self.points],
        };
        segments.into_iter().map(|points| curve(points, clock, notes)).collect()
    }
}

/// Splits rows where their epochs start again.
///
/// A logger that appends to its file starts again with the first epoch in two cases: another network is
/// trained, or the same one goes on. The loss tells them apart: is its first value nearer to the first or to
/// the last one before? Epochs that start again in the middle replace the earlier ones: the training was
/// resumed from a checkpoint.
fn segments(points: Vec<Point>, notes: &mut Vec<String>) -> Vec<Vec<Point>> {
    let mut done = vec![];
    let mut now = Segment::default();
    // What is added to the epochs of the current part, and the epoch with which it starts in the file.
    let (mut shift, mut start) = (0., points.first().map_or(0., |point| point.at));
    for mut point in points {
        let again = now.has(&point, shift);
        if !again && !point.restart {
            point.at += shift;
            now.push(point);
            continue;
        }
        let line = point.line;
        if again && point.at > start {
            notes.push(format!(
                "the epochs of line {line} and below replace earlier ones: a resumed training"
            ));
            now.cut(point.at + shift);
        } else if now.goes_on(&point) {
            start = point.at;
            if again {
                shift = now.last() + 1. - point.at;
                notes.push(format!("the epochs start again in line {line} and the loss goes on: one run"));
            }
        } else {
            notes.push(format!("the epochs start again in line {line}, and so does the loss: another run"));
            done.push(std::mem::take(&mut now).points);
            (shift, start) = (0., point.at);
        }
        point.at += shift;
        now.push(point);
    }
    done.push(now.points);
    done
}

/// Rows of one training.
#[derive(Default)]
struct Segment {
    points: Vec<Point>,
    /// Which of the four values each epoch has. Epochs are not negative, so that their bits are in order.
    seen: BTreeMap<u64, [bool; 4]>,
}

impl Segment {
    fn push(&mut self, point: Point) {
        let seen = self.seen.entry(bits(point.at)).or_default();
        seen.iter_mut().zip(&point.values).for_each(|(seen, value)| *seen |= value.is_some());
        self.points.push(point);
    }

    /// Whether an earlier epoch that has this value comes once more.
    fn has(&self, point: &Point, shift: f64) -> bool {
        let at = point.at + shift;
        self.points.last().is_some_and(|last| at < last.at)
            && self.seen.get(&bits(at)).is_some_and(|seen| {
                seen.iter().zip(&point.values).any(|(seen, value)| *seen && value.is_some())
            })
    }

    fn last(&self) -> f64 {
        self.seen.last_key_value().map_or(0., |(at, _)| f64::from_bits(*at))
    }

    /// Forgets the epochs from `at` on.
    fn cut(&mut self, at: f64) {
        self.points.retain(|point| point.at < at);
        self.seen.split_off(&bits(at));
    }

    /// Whether the loss of this row goes on from the last one rather than starting again.
    fn goes_on(&self, point: &Point) -> bool {
        let distances = (0..4).filter_map(|series| {
            let value = |point: &Point| point.values.get(series).copied().flatten();
            let first = self.points.iter().find_map(value)?;
            let last = self.points.iter().rev().find_map(value)?;
            let now = value(point)?;
            Some(((now - last).abs(), (now - first).abs()))
        });
        distances.into_iter().next().is_some_and(|(from_last, from_first)| from_last < from_first)
    }
}

/// The bits of a number that is not negative; they are in the order of the numbers.
fn bits(at: f64) -> u64 {
    (at + 0.).to_bits()
}

/// The curve of the rows of one training: sorted, and the mean of each epoch.
fn curve(mut points: Vec<Point>, clock: Clock, notes: &mut Vec<String>) -> Curve {
    if !points.is_sorted_by(|a, b| a.at <= b.at) {
        let sorted = |series: usize| {
            let has = |point: &&Point| point.values.get(series).is_some_and(Option::is_some);
            points.iter().filter(has).is_sorted_by(|a, b| a.at <= b.at)
        };
        if !(0..4).all(sorted) {
            notes.push("rows are out of order: they are sorted".into());
        }
        points.sort_by(|a, b| a.at.total_cmp(&b.at));
    }
    let ends = match clock {
        Clock::Steps => validation_steps(&points, notes),
        Clock::Epochs => None,
    };
    // Fractions of an epoch belong to the epoch that they are part of: 0.5 and 1 to the first.
    let fractions = clock == Clock::Epochs && points.iter().any(|point| point.at.fract() != 0.);
    let group = |at: f64| match &ends {
        Some(ends) => ends.partition_point(|end| *end < at) as f64,
        None if fractions => at.ceil(),
        None => at,
    };
    let mut means: Vec<(f64, [Mean; 4])> = vec![];
    for point in &points {
        let at = group(point.at);
        if means.last().is_none_or(|(last, _)| *last != at) {
            means.push((at, <[Mean; 4]>::default()));
        }
        if let Some((_, means)) = means.last_mut() {
            means.iter_mut().zip(&point.values).for_each(|(mean, value)| mean.add(*value));
        }
    }
    if fractions {
        notes.push("fractions of an epoch are averaged over the epoch".into());
    } else if ends.is_none() && means.iter().any(|(_, means)| means.iter().any(|mean| mean.count > 1)) {
        notes.push("several values of one epoch are averaged".into());
    }
    if clock == Clock::Epochs {
        notes.extend(missing(&means.iter().map(|(at, _)| *at).collect::<Vec<_>>()));
    }
    let series = |series: usize| -> Vec<f64> {
        let of = |means: &[Mean; 4]| means.get(series).map_or((0, f64::NAN), |mean| (mean.count, mean.get()));
        match means.iter().any(|(_, means)| of(means).0 > 0) {
            true => means.iter().map(|(_, means)| of(means).1).collect(),
            false => vec![],
        }
    };
    Curve { train_loss: series(0), valid_loss: series(1), train_metric: series(2), valid_metric: series(3) }
}

/// The steps that have validation, where more steps have training: each ends a part of the curve.
fn validation_steps(points: &[Point], notes: &mut Vec<String>) -> Option<Vec<f64>> {
    let steps = |series: [usize; 2]| {
        let has = |point: &&Point| series.iter().any(|s| point.values.get(*s).is_some_and(Option::is_some));
        let mut steps: Vec<f64> = points.iter().filter(has).map(|point| point.at).collect();
        steps.dedup();
        steps
    };
    let (train, valid) = (steps([0, 2]), steps([1, 3]));
    if valid.is_empty() || train.len() <= valid.len() {
        return None;
    }
    notes.push("training steps are averaged up to each validation, which stands for an epoch".into());
    Some(valid)
}

/// Says which epochs between the first and the last are not there.
fn missing(epochs: &[f64]) -> Option<String> {
    let gaps: Vec<(f64, f64)> = epochs
        .iter()
        .zip(epochs.iter().skip(1))
        .filter(|(a, b)| **b - **a > 1.)
        .map(|(a, b)| (a + 1., b - 1.))
        .collect();
    let (from, to) = gaps.first()?;
    let every = to - from + 2.;
    if gaps.len() > 1 && gaps.len() + 1 == epochs.len() && gaps.iter().all(|(a, b)| b - a + 2. == every) {
        return Some(format!("only every {every} epochs are in the file; a value stands for so many epochs"));
    }
    let first = if from == to { format!("epoch {from}") } else { format!("epochs {from} to {to}") };
    let others = if gaps.len() > 1 { " and others" } else { "" };
    Some(format!("missing in the file: {first}{others}; the curve goes on without them"))
}

/// The mean of the values that are there; NaN if one is not finite, or if there is none.
#[derive(Default)]
struct Mean {
    sum: f64,
    count: usize,
}

impl Mean {
    fn add(&mut self, value: Option<f64>) {
        if let Some(value) = value {
            self.sum += value;
            self.count += 1;
        }
    }

    fn get(&self) -> f64 {
        let mean = self.sum / self.count as f64;
        if mean.is_finite() {
            mean
        } else {
            f64::NAN
        }
    }
}
