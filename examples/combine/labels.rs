//! Labels of classes and of groups, which may be numbers or text.
use super::arrays::{Array, Values};
use std::{collections::BTreeMap, fmt};

/// A label. Whole numbers are compared exactly, and -0 is 0.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Label {
    Number(i128),
    Text(String),
}

impl fmt::Display for Label {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(x) => x.fmt(f),
            Self::Text(text) => write!(f, "{text:?}"),
        }
    }
}

/// Above this, f64 does not hold every whole number, and two labels may have become one.
const EXACT: f64 = (1u64 << 53) as f64;

/// The labels of an array called `name`; an error names the first element that is none.
pub fn labels(array: &Array, name: &str) -> Result<Vec<Label>, String> {
    let whole = |(row, x): (usize, f64)| match x {
        x if x.fract() == 0. && x.abs() <= EXACT => Ok(Label::Number(x as i128)),
        x if !x.is_finite() => Err(format!("{name} of row {row} must be finite, but is {x}")),
        x => Err(format!("{name} of row {row} must be a whole number up to 2^53 or text, but is {x}")),
    };
    match &array.values {
        Values::Text(all) => Ok(all.iter().map(|text| Label::Text(text.clone())).collect()),
        Values::Bool(all) => Ok(all.iter().map(|x| Label::Number((*x).into())).collect()),
        Values::Int(all) => Ok(all.iter().map(|x| Label::Number((*x).into())).collect()),
        Values::Uint(all) => Ok(all.iter().map(|x| Label::Number((*x).into())).collect()),
        Values::Single(all) => all.iter().map(|x| f64::from(*x)).enumerate().map(whole).collect(),
        Values::Double(all) => all.iter().copied().enumerate().map(whole).collect(),
    }
}

/// The different labels, in order.
pub fn distinct(labels: &[Label]) -> Vec<Label> {
    let mut all = labels.to_vec();
    all.sort_unstable();
    all.dedup();
    all
}

/// A list of labels in words; of many only the first.
pub fn listed(labels: &[Label]) -> String {
    let first: Vec<String> = labels.iter().take(6).map(ToString::to_string).collect();
    let more = if labels.len() > 6 { ", …" } else { "" };
    format!("{}{more}", first.join(", "))
}

/// Class ids below `classes`, and what is worth saying about how they follow from the labels.
///
/// Labels 0 to C − 1 are the ids. The labels 1 to C, and C labels none of which is an id, are numbered in
/// their order, as scikit-learn does. `columns` are the labels of the columns, where they are known.
pub fn class_ids(
    labels: &[Label],
    classes: usize,
    columns: Option<&[Label]>,
) -> Result<(Vec<u32>, Option<String>), String> {
    if let Some(columns) = columns {
        if columns.len() != classes {
            return Err(format!(
                "classes must be ({classes},), one for each column of the predictions, but are {}",
                columns.len()
            ));
        }
        let id = |(row, label): (usize, &Label)| match columns.iter().position(|column| column == label) {
            Some(id) => Ok(id as u32),
            None => Err(format!(
                "target of row {row} must be one of the classes {}, but is {label}",
                listed(columns)
            )),
        };
        return Ok((labels.iter().enumerate().map(id).collect::<Result<_, String>>()?, None));
    }
    let all = distinct(labels);
    let is_id = |label: &Label| matches!(label, Label::Number(x) if (0..classes as i128).contains(x));
    if all.iter().all(is_id) {
        return Ok((numbered(labels, &(0..classes as i128).map(Label::Number).collect::<Vec<_>>()), None));
    }
    let one_based: Vec<Label> = (1..=classes as i128).map(Label::Number).collect();
    let (from_one, own) = (
        all.iter().all(|label| one_based.contains(label)),
        all.len() == classes && (classes == 2 || !all.iter().any(is_id) || consecutive(&all)),
    );
    if from_one || own {
        let order = if from_one { &one_based } else { &all };
        let note =
            format!("the targets {} are the columns 0 to {} in this order", listed(order), classes - 1);
        return Ok((numbered(labels, order), Some(note)));
    }
    let text = all.iter().any(|label| matches!(label, Label::Text(_)));
    if text || all.len() != classes && !all.iter().any(is_id) {
        return Err(format!(
            "the targets have the {} labels {}, but the predictions have {classes} columns: which column is \
             which class must be said in an array `classes` ({classes},)",
            all.len(),
            listed(&all)
        ));
    }
    let row = labels.iter().position(|label| !is_id(label)).unwrap_or_default();
    Err(format!("target of row {row} must be a class below {classes}, but is {}", labels[row]))
}

/// The position of each label.
fn numbered(labels: &[Label], order: &[Label]) -> Vec<u32> {
    let ids: BTreeMap<&Label, u32> = order.iter().zip(0..).collect();
    labels.iter().map(|label| ids.get(label).copied().unwrap_or_default()).collect()
}

fn consecutive(all: &[Label]) -> bool {
    all.windows(2).all(|pair| matches!(pair, [Label::Number(a), Label::Number(b)] if b - a == 1))
}

/// The groups of the rows: numbers, and what the user calls them.
pub struct Groups {
    pub of_row: Vec<u32>,
    pub names: Vec<Label>,
}

impl Groups {
    pub fn of(array: &Array) -> Result<Self, String> {
        let labels = match &array.values {
            // Groups may be any numbers, such as 1.5.
            Values::Single(_) | Values::Double(_) => number_labels(&array.doubles("groups")?)?,
            _ => labels(array, "group")?,
        };
        let names = distinct(&labels);
        Ok(Self { of_row: numbered(&labels, &names), names })
    }
}

/// Whole numbers as numbers, others as their text.
fn number_labels(all: &[f64]) -> Result<Vec<Label>, String> {
    let label = |(row, x): (usize, &f64)| match *x {
        x if !x.is_finite() => Err(format!("group of row {row} must be finite, but is {x}")),
        x if x.fract() == 0. && x.abs() <= EXACT => Ok(Label::Number(x as i128)),
        x => Ok(Label::Text(x.to_string())),
    };
    all.iter().enumerate().map(label).collect()
}
