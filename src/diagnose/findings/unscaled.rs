//! Inputs and targets that are not scaled.
use super::certainty;
use crate::{
    diagnose::{words::figure, ColumnScale, Evidence, Finding, Observations, Problem, Rule},
    Result,
};

/// Finds inputs whose columns differ in scale, or are far from 0 or from the size of 1.
pub(super) struct UnscaledInputs;

/// Finds targets that are far from 0, or from the size of 1.
pub(super) struct UnscaledTargets;

/// A column is too large from this size on, too small from its inverse on, and two columns differ too much from this
/// ratio of their sizes on.
const SIZE: f64 = 100.;
/// At this size there is no doubt.
const SURE_SIZE: f64 = 10_000.;
/// A mean is too far from 0 from this number of standard deviations on.
const OFFSET: f64 = 10.;
/// At this number there is no doubt.
const SURE_OFFSET: f64 = 1000.;
/// Targets have to be nearer to the size of 1 than inputs: the loss is in their units.
const TARGET_SIZE: f64 = 20.;

const SOURCE: &str = "LeCun, Bottou, Orr and Müller 1998, doi:10.1007/3-540-49430-8_2";

/// A sign, with its confidence.
type Sign = Option<(f64, Evidence)>;

impl Rule for UnscaledInputs {
    fn name(&self) -> &'static str {
        "unscaled_inputs"
    }

    fn detect(&self, seen: &Observations<'_>) -> Result<Vec<Finding>> {
        let Some(scales) = seen.scales else { return Ok(vec![]) };
        if seen.config.is_some_and(|config| config.input_scaling.is_some()) {
            return Ok(vec![]);
        }
        let columns = &scales.inputs;
        let by_size = |a: &&ColumnScale, b: &&ColumnScale| a.size().total_cmp(&b.size());
        let (Some(smallest), Some(largest)) =
            (columns.iter().min_by(by_size), columns.iter().max_by(by_size))
        else {
            return Ok(vec![]);
        };
        let signs = [differ(smallest, largest), extreme(largest, SIZE), offset(columns)];
        Ok(finding(self.name(), "The inputs are not scaled", seen, signs).into_iter().collect())
    }
}

impl Rule for UnscaledTargets {
    fn name(&self) -> &'static str {
        "unscaled_targets"
    }

    fn detect(&self, seen: &Observations<'_>) -> Result<Vec<Finding>> {
        let Some(scales) = seen.scales else { return Ok(vec![]) };
        if seen.config.is_some_and(|config| config.target_scaling.is_some()) {
            return Ok(vec![]);
        }
        let targets = &scales.targets;
        let furthest = targets.iter().map(|target| (target.deviation.ln().abs(), target));
        let Some((_, furthest)) = furthest.reduce(|a, b| if b.0 > a.0 { b } else { a }) else {
            return Ok(vec![]);
        };
        // A constant target has no scale.
        if furthest.deviation <= 0. {
            return Ok(vec![]);
        }
        let signs = [spread(furthest), offset(targets), None];
        Ok(finding(self.name(), "The targets are not scaled", seen, signs).into_iter().collect())
    }
}

fn finding(name: &str, what: &str, seen: &Observations<'_>, signs: [Sign; 3]) -> Option<Finding> {
    let mut signs: Vec<(f64, Evidence)> = signs.into_iter().flatten().collect();
    signs.sort_by(|(a, _), (b, _)| b.total_cmp(a));
    let (confidence, first) = signs.first()?;
    let summary = format!("{what}. {}", first.text);
    let finding =
        Finding::new(name, Problem::Learning, *confidence, summary, SOURCE).with_curves(seen).experiment(
            "Standardize them, and train again. If the loss falls faster, their scale was the cause.",
        );
    Some(signs.into_iter().fold(finding, |finding, (_, evidence)| finding.evidence(evidence)))
}

/// Columns of different sizes.
fn differ(smallest: &ColumnScale, largest: &ColumnScale) -> Sign {
    let ratio = largest.size() / smallest.size();
    let text = format!(
        "Column {} reaches {}, and column {} only {}.",
        largest.column,
        figure(largest.size()),
        smallest.column,
        figure(smallest.size())
    );
    Some((certainty::log_ramp(ratio, SIZE, SURE_SIZE)?, Evidence::new(text).value(ratio)))
}

/// Numbers that are large, or all small.
fn extreme(largest: &ColumnScale, limit: f64) -> Sign {
    let size = largest.size();
    let ratio = size.max(1. / size);
    let text =
        format!("The largest value of a column is {}; numbers of the size of 1 are usual.", figure(size));
    Some((certainty::log_ramp(ratio, limit, SURE_SIZE)?, Evidence::new(text).value(size)))
}

/// Targets whose spread is large or small.
fn spread(target: &ColumnScale) -> Sign {
    let size = target.deviation;
    let text = format!(
        "The targets have a standard deviation of {}; a network begins with outputs of the size of 1.",
        figure(size)
    );
    let confidence = certainty::log_ramp(size.max(1. / size), TARGET_SIZE, SURE_SIZE)?;
    Some((confidence, Evidence::new(text).value(size)))
}

/// The mean that is the furthest from 0.
fn offset(columns: &[ColumnScale]) -> Sign {
    let further = |a, b| {
        let (a, b): (&ColumnScale, &ColumnScale) = (a, b);
        if b.offset() > a.offset() {
            b
        } else {
            a
        }
    };
    let furthest = columns.iter().filter(|column| column.deviation > 0.).reduce(further)?;
    let offset = furthest.offset();
    let text = format!(
        "The mean of column {} is {}, {} times its standard deviation.",
        furthest.column,
        figure(furthest.mean),
        figure(offset)
    );
    Some((certainty::log_ramp(offset, OFFSET, SURE_OFFSET)?, Evidence::new(text).value(offset)))
}
