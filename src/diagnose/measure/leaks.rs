//! Columns that alone predict the target.
use super::table::{Table, Targets};
use crate::{codec::real, data::Dataset, Result};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

/// Folds of the cross-validation. Rows with equal inputs are in one fold.
const FOLDS: usize = 5;
/// The smallest number of rows of a bin.
const BIN_ROWS: usize = 5;
/// The smallest number of rows of which a score means something.
const LEAST_ROWS: usize = 50;

/// How well each column of the inputs alone predicts the target: a search for leakage.
///
/// A column that knows the target is often one that is written down after it, such as the date of a discharge in a
/// prediction of survival: it will not be known when the network is used. It is a suspicion, and not a proof; some
/// targets do follow from one column.
///
/// ```text
/// sort the rows by the column, and cut them into bins of 5 rows or more, equal values together
/// predict each row by the rows of its bin that are in the other of 5 folds: their most frequent class, or their mean
/// score = (accuracy − share of the largest class) / (1 − share of the largest class),   or R² for values
/// ```
///
/// Fewer than 50 rows have no scores, and neither has a single column: then there is nothing else to predict from.
///
/// Cost: a sort of each column, in parallel, of at most 10 000 rows.
///
/// ```
/// use candle_core::{Device, Tensor};
/// use candle_ensemble::{data::TensorDataset, diagnose::LeakCheck};
///
/// let rows = 200u32;
/// let noise = |row: u32| (row.wrapping_mul(2_654_435_761) % 97) as f32;
/// let x: Vec<f32> = (0..rows).flat_map(|row| [noise(row), noise(row + 1) * 2. + 1.]).collect();
/// let y: Vec<f32> = (0..rows).map(|row| noise(row + 1)).collect();
/// let x = Tensor::from_vec(x, (rows as usize, 2), &Device::Cpu)?;
/// let data = TensorDataset::regression(&x, &Tensor::new(y, &Device::Cpu)?)?;
/// let check = LeakCheck::of(&data, &(0..rows).collect::<Vec<_>>())?;
/// assert_eq!(check.best().map(|column| column.column), Some(1));
/// # Ok::<(), candle_ensemble::Error>(())
/// ```
///
/// Source: Kaufman, Rosset, Perlich and Stitelman 2012, doi:10.1145/2382577.2382579.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct LeakCheck {
    /// The number of rows that were read.
    pub rows: usize,
    /// Whether scores are of classes; otherwise they are `R²`.
    pub classes: bool,
    /// The columns of the inputs, flattened to `(rows, columns)`, that are not constant.
    pub columns: Vec<ColumnScore>,
}

/// How well a column alone predicts the target.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct ColumnScore {
    /// The column.
    pub column: usize,
    /// The score, at most 1; about 0 for a column that says nothing. Of several outputs, that which it predicts best.
    #[serde(with = "real")]
    pub score: f64,
}

impl LeakCheck {
    /// Scores the columns on these rows.
    ///
    /// # Errors
    /// When there are no rows, the data cannot be read, or a number is NaN or infinite.
    pub fn of(data: &dyn Dataset, rows: &[u32]) -> Result<Self> {
        let table = Table::read(data, rows)?;
        let classes = matches!(table.targets, Targets::Classes(..));
        if table.len() < LEAST_ROWS || table.columns.len() < 2 {
            return Ok(Self { rows: table.len(), classes, columns: vec![] });
        }
        let folds: Vec<usize> = (0..table.len()).map(|row| fold(&table, row)).collect();
        let score = |(column, of): (usize, &super::table::Column)| {
            let bins = bins(&of.values);
            (bins.len() > 1).then(|| ColumnScore { column, score: score(&bins, &folds, &table.targets) })
        };
        let columns: Vec<ColumnScore> = table.columns.par_iter().enumerate().filter_map(score).collect();
        Ok(Self { rows: table.len(), classes, columns })
    }

    /// The column with the highest score; the first one of equal scores.
    #[must_use]
    pub fn best(&self) -> Option<&ColumnScore> {
        self.columns.iter().reduce(|best, column| if column.score > best.score { column } else { best })
    }
}

/// The fold of a row: a hash of its inputs, so that equal rows do not predict each other.
fn fold(table: &Table, row: usize) -> usize {
    let mut hasher = blake3::Hasher::new();
    for value in table.row(row) {
        hasher.update(&(value + 0.).to_le_bytes());
    }
    usize::from(hasher.finalize().as_bytes()[0]) % FOLDS
}

/// The rows by bins of the column's values: equal values in one bin, and 5 rows or more in each.
fn bins(values: &[f64]) -> Vec<Vec<usize>> {
    let mut rows: Vec<(f64, usize)> = values.iter().map(|x| x + 0.).zip(0..).collect();
    rows.sort_by(|a, b| a.0.total_cmp(&b.0));
    let mut bins: Vec<Vec<usize>> = vec![];
    for equal in rows.chunk_by(|a, b| a.0 == b.0) {
        let equal = equal.iter().map(|(_, row)| *row);
        match bins.last_mut().filter(|bin| bin.len() < BIN_ROWS) {
            Some(bin) => bin.extend(equal),
            None => bins.push(equal.collect()),
        }
    }
    // The last bin may be too small.
    if let [.., before, last] = bins.as_mut_slice()
        && last.len() < BIN_ROWS
    {
        before.append(last);
        bins.pop();
    }
    bins
}

fn score(bins: &[Vec<usize>], folds: &[usize], targets: &Targets) -> f64 {
    match targets {
        Targets::Classes(ids, classes) => accuracy_gain(bins, folds, ids, *classes),
        Targets::Values(outputs) | Targets::Shares(outputs) => {
            outputs.iter().map(|values| r2(bins, folds, values)).fold(f64::NEG_INFINITY, f64::max)
        }
    }
}

/// What the rows of a bin add up to, in each fold.
fn by_fold<'b>(bin: &'b [usize], folds: &'b [usize]) -> impl Iterator<Item = (usize, usize)> + 'b {
    bin.iter().filter_map(|row| Some((*row, *folds.get(*row)?)))
}

fn accuracy_gain(bins: &[Vec<usize>], folds: &[usize], ids: &[u32], classes: usize) -> f64 {
    let mut all = vec![0usize; classes];
    for id in ids {
        if let Some(count) = all.get_mut(*id as usize) {
            *count += 1;
        }
    }
    let (usual, largest) = most_frequent(&all);
    let mut right = 0;
    for bin in bins {
        let mut counts = vec![vec![0usize; classes]; FOLDS];
        for (row, fold) in by_fold(bin, folds) {
            let id = ids.get(row).copied().unwrap_or_default() as usize;
            if let Some(count) = counts.get_mut(fold).and_then(|of_fold| of_fold.get_mut(id)) {
                *count += 1;
            }
        }
        for (fold, own) in counts.iter().enumerate() {
            let mut others = vec![0usize; classes];
            for (_, of_fold) in counts.iter().enumerate().filter(|(other, _)| *other != fold) {
                others.iter_mut().zip(of_fold).for_each(|(sum, count)| *sum += count);
            }
            let (class, count) = most_frequent(&others);
            right += own.get(if count == 0 { usual } else { class }).copied().unwrap_or_default();
        }
    }
    let (accuracy, without) = (right as f64 / ids.len() as f64, largest as f64 / ids.len() as f64);
    if without >= 1. {
        0.
    } else {
        (accuracy - without) / (1. - without)
    }
}

/// The class with the largest count, the first one of equal counts, and the count.
fn most_frequent(counts: &[usize]) -> (usize, usize) {
    let larger = |best: (usize, usize), next: (usize, usize)| if next.1 > best.1 { next } else { best };
    counts.iter().copied().enumerate().reduce(larger).unwrap_or((0, 0))
}

fn r2(bins: &[Vec<usize>], folds: &[usize], values: &[f64]) -> f64 {
    let mean = values.iter().sum::<f64>() / values.len() as f64;
    let total: f64 = values.iter().map(|y| (y - mean).powi(2)).sum();
    let mut error = 0.;
    for bin in bins {
        // Sums of the distances from the mean, so that large values lose no digits.
        let mut sums = [(0usize, 0f64); FOLDS];
        let distances: Vec<(usize, f64)> =
            by_fold(bin, folds).filter_map(|(row, fold)| Some((fold, values.get(row)? - mean))).collect();
        for (fold, distance) in &distances {
            if let Some((count, sum)) = sums.get_mut(*fold) {
                (*count, *sum) = (*count + 1, *sum + distance);
            }
        }
        for (fold, distance) in &distances {
            let others = sums.iter().enumerate().filter(|(other, _)| other != fold);
            let (count, sum) = others.fold((0, 0.), |(n, s), (_, (count, sum))| (n + count, s + sum));
            let predicted = if count == 0 { 0. } else { sum / count as f64 };
            error += (distance - predicted).powi(2);
        }
    }
    if total > 0. {
        1. - error / total
    } else {
        0.
    }
}
