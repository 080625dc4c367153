//! What is known of rows besides their predictions.
use crate::{data::Task, kernels::bytes::bytes_of, predictions::HeldOut, Error, Result};
use candle_core::{DType, Tensor};
use std::ops::Range;

/// The targets, weights, groups and numbers of some rows.
#[derive(Clone, Debug, Default)]
pub(crate) struct AboutRows {
    /// The class of each row; empty for values.
    pub(crate) classes: Vec<u32>,
    /// The values of the rows, `(R, K)`; empty for classes.
    pub(crate) values: Vec<f64>,
    pub(crate) weights: Option<Vec<f64>>,
    pub(crate) groups: Option<Vec<u32>>,
    pub(crate) numbers: Vec<u32>,
}

impl AboutRows {
    /// What held-out predictions know of their rows, whose numbers are counted from `first` on.
    pub(crate) fn of(held_out: &HeldOut, first: usize) -> Result<Self> {
        let number = |row: &u32| u32::try_from(first + *row as usize);
        let too_many = |_| Error::invalid("the number of rows", format!("at most {}", u32::MAX), "larger");
        let numbers = held_out.rows().iter().map(number).collect::<std::result::Result<_, _>>();
        Ok(Self {
            weights: held_out.row_weights()?,
            groups: held_out.groups().map(<[u32]>::to_vec),
            numbers: numbers.map_err(too_many)?,
            ..Self::of_targets(held_out.predictions().task(), held_out.targets())?
        })
    }

    /// The targets alone: `(R,)` class ids, or `(R,)` or `(R, K)` values.
    pub(crate) fn of_targets(task: Task, targets: &Tensor) -> Result<Self> {
        Ok(match task {
            Task::Classification { .. } => Self { classes: targets.to_vec1()?, ..Self::default() },
            Task::Regression { .. } => {
                let values = targets.to_dtype(DType::F64)?.flatten_all()?.to_vec1()?;
                Self { values, ..Self::default() }
            }
        })
    }

    /// Appends rows of the same kind.
    pub(super) fn extend(&mut self, rows: &Self, range: Range<usize>) {
        let outputs = rows.values.len() / rows.numbers.len().max(1);
        let Range { start, end } = range;
        self.numbers.extend(&rows.numbers[start..end]);
        if rows.values.is_empty() {
            self.classes.extend(&rows.classes[start..end]);
        }
        self.values.extend(&rows.values[start * outputs..end * outputs]);
        if let Some(weights) = &rows.weights {
            self.weights.get_or_insert_default().extend(&weights[start..end]);
        }
        if let Some(groups) = &rows.groups {
            self.groups.get_or_insert_default().extend(&groups[start..end]);
        }
    }

    /// The bytes of the four sections of a chunk of these rows.
    pub(super) fn sections(&self, range: Range<usize>) -> [&[u8]; 4] {
        let outputs = self.values.len() / self.numbers.len().max(1);
        let targets = match self.classes.is_empty() {
            true => bytes_of(&self.values[range.start * outputs..range.end * outputs]),
            false => bytes_of(&self.classes[range.clone()]),
        };
        let weights = self.weights.as_ref().map_or(&[][..], |weights| bytes_of(&weights[range.clone()]));
        let groups = self.groups.as_ref().map_or(&[][..], |groups| bytes_of(&groups[range.clone()]));
        [targets, weights, groups, bytes_of(&self.numbers[range])]
    }

    /// The sum of the weights of some rows.
    pub(super) fn weight(&self, range: Range<usize>) -> f64 {
        self.weights.as_ref().map_or(range.len() as f64, |weights| weights[range].iter().sum())
    }
}
