//! Whether test rows can stand for new rows: a check of a split into training and test rows.
mod findings;
#[cfg(test)]
mod tests;

use crate::{
    data::{Dataset, Task},
    predictions::passes::ROWS,
    statistics::{holm, homogeneity_test, kolmogorov_smirnov_test, TestResult},
    train::in_batches,
    Error, Result,
};
use candle_core::{DType, Device, Tensor};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// Checks a split: rows on both sides, duplicates, class shares, and features that are distributed
/// differently.
///
/// | check | how |
/// |---|---|
/// | rows and groups on both sides | by their numbers |
/// | duplicates | test rows whose inputs are those of a training row to the bit, by a BLAKE3 hash |
/// | class shares | [`homogeneity_test`] |
/// | drift of features | [`kolmogorov_smirnov_test`] for each column, with Holm's correction over columns |
///
/// [`findings`](Self::findings) puts into words what was found, and so does `Display`. A finding is no error:
/// rows repeat by chance where inputs have few values, and a split by time drifts.
///
/// Use it before a score on the test rows is believed: duplicates make it too good, and drift means that it
/// says little about the training rows' distribution. It sees neither near-duplicates nor a change in the
/// relation of inputs and targets, and it tests columns one by one.
///
/// Cost: one pass over the rows, a sort of each column, and memory for all inputs in `f64`.
///
/// ```
/// use candle_core::{Device, Tensor};
/// use candle_ensemble::{data::TensorDataset, evaluate::SplitCheck};
///
/// let x = Tensor::arange(0f32, 40., &Device::Cpu)?.reshape((40, 1))?;
/// let data = TensorDataset::regression(&x, &x.squeeze(1)?)?;
/// // The rows are in order, so the last ones differ from the first.
/// let (train, test): (Vec<u32>, Vec<u32>) = ((0..30).collect(), (30..40).collect());
/// let check = SplitCheck::of(&data, &train, &test)?;
/// assert_eq!(check.drifting(0.05).count(), 1);
/// println!("{check}");
/// # Ok::<(), candle_ensemble::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SplitCheck {
    /// Number of training rows.
    pub train_rows: usize,
    /// Number of test rows.
    pub test_rows: usize,
    /// The rows that are on both sides, sorted.
    pub on_both_sides: Vec<u32>,
    /// The groups with rows on both sides, sorted.
    pub groups_on_both_sides: Vec<u32>,
    /// The test rows, in their order, with the inputs of a training row of another number.
    pub duplicates: Vec<Duplicate>,
    /// The class shares; `None` for a regression, and for rows with several positions, which are no independent draws.
    pub classes: Option<ClassShares>,
    /// The columns of the inputs, which are flattened to `(rows, columns)`.
    pub columns: Vec<ColumnDrift>,
}

/// A test row with the inputs of a training row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Duplicate {
    /// The test row.
    pub test: u32,
    /// The first training row with its inputs.
    pub train: u32,
    /// Whether the targets are equal, too.
    pub same_target: bool,
}

/// The shares of the classes on both sides.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ClassShares {
    /// The share of each class among the training rows.
    pub train: Vec<f64>,
    /// The share of each class among the test rows.
    pub test: Vec<f64>,
    /// Pearson's chi-squared test.
    pub homogeneity: TestResult,
}

/// How differently a column of the inputs is distributed on both sides.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct ColumnDrift {
    /// The column.
    pub column: usize,
    /// The largest distance of the two distribution functions, from 0 to 1.
    pub distance: f64,
    /// The p-value of the Kolmogorov–Smirnov test.
    pub p_value: f64,
    /// The same with Holm's correction over all columns.
    pub holm_p_value: f64,
}

impl SplitCheck {
    /// Checks the split of a data set into these training and test rows. A row that occurs several times in a
    /// list counts once.
    ///
    /// # Errors
    /// When a side is empty, a row is out of range, the data cannot be read, or an input is NaN or infinite.
    pub fn of(data: &dyn Dataset, train: &[u32], test: &[u32]) -> Result<Self> {
        let distinct = |rows: &[u32]| rows.iter().copied().collect::<BTreeSet<u32>>();
        let (train, test) = (distinct(train), distinct(test));
        for (what, rows) in [("training", &train), ("test", &test)] {
            let Some(last) = rows.last() else {
                return Err(Error::invalid(format!("the number of {what} rows"), "at least 1", 0));
            };
            if *last as usize >= data.rows() {
                let must = format!("below {}, the number of rows", data.rows());
                return Err(Error::invalid(format!("a {what} row"), must, last));
            }
        }
        let (of_train, of_test) = (Side::read(data, &train)?, Side::read(data, &test)?);
        Ok(Self {
            train_rows: train.len(),
            test_rows: test.len(),
            on_both_sides: train.intersection(&test).copied().collect(),
            groups_on_both_sides: groups_on_both_sides(data, &train, &test),
            duplicates: duplicates(&of_train, &of_test),
            classes: class_shares(data, &of_train, &of_test)?,
            columns: drift(&of_train, &of_test)?,
        })
    }

    /// The columns whose distributions differ at this level, after Holm's correction.
    pub fn drifting(&self, level: f64) -> impl Iterator<Item = &ColumnDrift> {
        self.columns.iter().filter(move |column| column.holm_p_value <= level)
    }
}

/// One side of a split, read into memory.
struct Side {
    rows: Vec<u32>,
    /// The hash of each row's inputs, and of its target.
    hashes: Vec<([u8; 32], [u8; 32])>,
    /// The inputs by column.
    columns: Vec<Vec<f64>>,
    /// The targets of a classification.
    labels: Vec<u32>,
}

impl Side {
    fn read(data: &dyn Dataset, rows: &BTreeSet<u32>) -> Result<Self> {
        let rows: Vec<u32> = rows.iter().copied().collect();
        let (mut hashes, mut columns, mut labels) = (vec![], Vec::<Vec<f64>>::new(), vec![]);
        for batch in in_batches(data, rows.clone(), ROWS, &Device::Cpu) {
            let batch = batch?;
            let inputs = batch.inputs.tensors().iter().map(table).collect::<Result<Vec<_>>>()?;
            let targets = table(&batch.targets)?;
            for (row, target) in targets.iter().enumerate() {
                let parts: Vec<&[f64]> =
                    inputs.iter().filter_map(|table| table.get(row)).map(Vec::as_slice).collect();
                hashes.push((hash(&parts), hash(&[target])));
                for (column, value) in parts.concat().into_iter().enumerate() {
                    if columns.len() <= column {
                        columns.push(vec![]);
                    }
                    if let Some(values) = columns.get_mut(column) {
                        values.push(value);
                    }
                }
            }
            if let (Task::Classification { .. }, true) = (data.task(), data.positions().is_one()) {
                labels.extend(batch.targets.to_dtype(DType::U32)?.to_vec1::<u32>()?);
            }
        }
        Ok(Self { rows, hashes, columns, labels })
    }
}

/// A tensor as rows of numbers.
fn table(tensor: &Tensor) -> Result<Vec<Vec<f64>>> {
    let tensor = if tensor.rank() == 1 { tensor.unsqueeze(1)? } else { tensor.flatten_from(1)? };
    Ok(tensor.to_dtype(DType::F64)?.to_vec2()?)
}

/// The hash of numbers. The two zeros are equal.
fn hash(parts: &[&[f64]]) -> [u8; 32] {
    let mut hasher = blake3::Hasher::new();
    for value in parts.iter().copied().flatten() {
        hasher.update(&(value + 0.).to_le_bytes());
    }
    *hasher.finalize().as_bytes()
}

fn groups_on_both_sides(data: &dyn Dataset, train: &BTreeSet<u32>, test: &BTreeSet<u32>) -> Vec<u32> {
    let Some(groups) = data.groups() else { return vec![] };
    let of = |rows: &BTreeSet<u32>| {
        rows.iter().filter_map(|row| groups.get(*row as usize)).copied().collect::<BTreeSet<u32>>()
    };
    of(train).intersection(&of(test)).copied().collect()
}

fn duplicates(train: &Side, test: &Side) -> Vec<Duplicate> {
    let mut first = BTreeMap::<[u8; 32], Vec<(u32, [u8; 32])>>::new();
    for (row, (inputs, target)) in train.rows.iter().zip(&train.hashes) {
        first.entry(*inputs).or_default().push((*row, *target));
    }
    let duplicate = |(row, (inputs, target)): (&u32, &([u8; 32], [u8; 32]))| {
        let others: Vec<_> = first.get(inputs)?.iter().filter(|(other, _)| other != row).collect();
        // One with the same target, if there is one.
        let same = others.iter().find(|(_, other)| other == target);
        let (train, _) = same.or(others.first())?;
        Some(Duplicate { test: *row, train: *train, same_target: same.is_some() })
    };
    test.rows.iter().zip(&test.hashes).filter_map(duplicate).collect()
}

fn class_shares(data: &dyn Dataset, train: &Side, test: &Side) -> Result<Option<ClassShares>> {
    let (Task::Classification { classes }, true) = (data.task(), data.positions().is_one()) else {
        return Ok(None);
    };
    let counts = |side: &Side| {
        let mut counts = vec![0u64; classes];
        for label in &side.labels {
            if let Some(count) = counts.get_mut(*label as usize) {
                *count += 1;
            }
        }
        counts
    };
    let (of_train, of_test) = (counts(train), counts(test));
    let shares = |counts: &[u64], side: &Side| {
        counts.iter().map(|count| *count as f64 / side.rows.len() as f64).collect::<Vec<_>>()
    };
    Ok(Some(ClassShares {
        train: shares(&of_train, train),
        test: shares(&of_test, test),
        homogeneity: homogeneity_test(&of_train, &of_test)?,
    }))
}

fn drift(train: &Side, test: &Side) -> Result<Vec<ColumnDrift>> {
    let tests = train.columns.iter().zip(&test.columns).enumerate().map(|(column, (a, b))| {
        kolmogorov_smirnov_test(a, b)
            .map_err(|e| Error::invalid(format!("column {column} of the inputs"), "finite", e))
    });
    let tests = tests.collect::<Result<Vec<_>>>()?;
    let adjusted = holm(&tests.iter().map(|test| test.p_value).collect::<Vec<_>>())?;
    let column = |(column, (test, holm_p_value)): (usize, (&TestResult, f64))| ColumnDrift {
        column,
        distance: test.effect,
        p_value: test.p_value,
        holm_p_value,
    };
    Ok(tests.iter().zip(adjusted).enumerate().map(column).collect())
}
