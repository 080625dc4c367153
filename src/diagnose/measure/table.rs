//! Rows of a data set as columns of numbers.
use crate::{
    data::{Dataset, Positions, Task},
    train::in_batches,
    Error, Result, Rows,
};
use candle_core::{DType, Device, Tensor};

/// Rows that are read at a time.
const BATCH_ROWS: usize = 1024;
/// The most rows that are looked at.
const MOST_ROWS: usize = 10_000;
/// The most numbers that are held in memory, 128 MiB of them.
const MOST_NUMBERS: usize = 1 << 24;

/// Rows of a data set in memory.
pub(super) struct Table {
    /// The numbers of the rows.
    pub(super) rows: Rows,
    /// The inputs, flattened to columns.
    pub(super) columns: Vec<Column>,
    pub(super) targets: Targets,
}

/// A column of the inputs.
pub(super) struct Column {
    pub(super) values: Vec<f64>,
    /// Whether it is of a floating-point type, and not a code such as the number of a word.
    pub(super) real: bool,
}

/// The targets of the rows.
pub(super) enum Targets {
    /// The class of each row, and the number of classes.
    Classes(Vec<u32>, usize),
    /// The values of each output.
    Values(Vec<Vec<f64>>),
    /// Of rows with several positions: the share of each class among the positions that have one, or each label, 0 or 1.
    Shares(Vec<Vec<f64>>),
}

impl Table {
    /// Reads rows. Of many rows, it takes some that are spaced evenly.
    ///
    /// # Errors
    /// When there are no rows, the data cannot be read, or a number is not finite.
    pub(super) fn read(data: &dyn Dataset, rows: &[u32]) -> Result<Self> {
        let Some(first) = rows.get(..1) else {
            return Err(Error::invalid("the number of rows", "at least 1", 0));
        };
        let mut table = Self::part(data, first)?;
        let most = (MOST_NUMBERS / table.columns.len().max(1)).clamp(1, MOST_ROWS);
        table = Self::part(data, &spaced(rows, most))?;
        for (column, Column { values, .. }) in table.columns.iter().enumerate() {
            check_finite(&format!("column {column} of the inputs"), values, &table.rows)?;
        }
        if let Targets::Values(outputs) = &table.targets {
            for values in outputs {
                check_finite("the target", values, &table.rows)?;
            }
        }
        Ok(table)
    }

    fn part(data: &dyn Dataset, rows: &[u32]) -> Result<Self> {
        let mut columns: Vec<Column> = vec![];
        let mut targets = match (data.positions(), data.task()) {
            (Positions::One, Task::Classification { classes }) => Targets::Classes(vec![], classes),
            (Positions::One, Task::Regression { outputs }) => Targets::Values(vec![vec![]; outputs]),
            (Positions::Labels { labels }, _) => Targets::Shares(vec![vec![]; labels]),
            (Positions::Many { .. }, task) => Targets::Shares(vec![vec![]; task.width()]),
        };
        for batch in in_batches(data, rows.to_vec(), BATCH_ROWS, &Device::Cpu) {
            let batch = batch?;
            let mut next = 0;
            for tensor in batch.inputs.tensors() {
                let real = tensor.dtype().is_float();
                for values in by_column(tensor)? {
                    match columns.get_mut(next) {
                        Some(column) => column.values.extend(values),
                        None => columns.push(Column { values, real }),
                    }
                    next += 1;
                }
            }
            match &mut targets {
                Targets::Classes(ids, _) => ids.extend(batch.targets.to_dtype(DType::U32)?.to_vec1::<u32>()?),
                Targets::Values(outputs) => {
                    for (output, values) in outputs.iter_mut().zip(by_column(&batch.targets)?) {
                        output.extend(values);
                    }
                }
                Targets::Shares(shares) => {
                    let of_batch = match data.positions() {
                        Positions::Many { ignore_index } => {
                            class_shares(&batch.targets, data.task().width(), ignore_index)?
                        }
                        _ => by_column(&batch.targets)?,
                    };
                    shares.iter_mut().zip(of_batch).for_each(|(all, of_batch)| all.extend(of_batch));
                }
            }
        }
        Ok(Self { rows: rows.to_vec(), columns, targets })
    }

    pub(super) fn len(&self) -> usize {
        self.rows.len()
    }

    /// The values of a row in all columns.
    pub(super) fn row(&self, row: usize) -> impl Iterator<Item = f64> + '_ {
        self.columns.iter().filter_map(move |column| column.values.get(row).copied())
    }
}

/// At most `most` of the rows, spaced evenly.
pub(super) fn spaced(rows: &[u32], most: usize) -> Rows {
    let count = rows.len().min(most);
    (0..count).filter_map(|i| rows.get(i * rows.len() / count)).copied().collect()
}

/// The columns of a tensor whose rows are along dimension 0.
fn by_column(tensor: &Tensor) -> Result<Vec<Vec<f64>>> {
    let rows = tensor.dim(0)?;
    let table = tensor.reshape((rows, tensor.elem_count() / rows.max(1)))?.to_dtype(DType::F64)?;
    Ok(table.t()?.contiguous()?.to_vec2()?)
}

/// For each class its share among the positions of each row that have a class.
fn class_shares(targets: &Tensor, classes: usize, ignored: Option<u32>) -> Result<Vec<Vec<f64>>> {
    let rows = targets.dim(0)?;
    let ids = targets.flatten_all()?.to_vec1::<u32>()?;
    let mut shares = vec![vec![0.; rows]; classes];
    for (row, ids) in ids.chunks((ids.len() / rows.max(1)).max(1)).enumerate() {
        let counted = ids.iter().filter(|id| Some(**id) != ignored);
        let each = 1. / counted.clone().count() as f64;
        for id in counted {
            if let Some(share) = shares.get_mut(*id as usize).and_then(|of_class| of_class.get_mut(row)) {
                *share += each;
            }
        }
    }
    Ok(shares)
}

fn check_finite(what: &str, values: &[f64], rows: &[u32]) -> Result<()> {
    match values.iter().position(|x| !x.is_finite()) {
        None => Ok(()),
        Some(at) => {
            let row = rows.get(at).copied().unwrap_or_default();
            let value = values.get(at).copied().unwrap_or(f64::NAN);
            Err(Error::invalid(format!("row {row}, {what}"), "finite", value))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::TensorDataset;

    #[test]
    fn positions_become_shares_of_their_row() {
        let x = Tensor::new(&[[0f32], [1.]], &Device::Cpu).unwrap();
        let pixels = Tensor::new(&[[[0u32, 2], [2, 9]], [[1, 9], [9, 9]]], &Device::Cpu).unwrap();
        let data = TensorDataset::dense(&x, &pixels, Some(9)).unwrap();
        let Targets::Shares(shares) = Table::read(&data, &[0, 1]).unwrap().targets else { panic!() };
        let third = 1. / 3.;
        assert_eq!(shares, [vec![third, 0.], vec![0., 1.], vec![2. * third, 0.]]);
        let labels = Tensor::new(&[[0u32, 1, 1], [1, 0, 1]], &Device::Cpu).unwrap();
        let data = TensorDataset::multi_label(&x, &labels).unwrap();
        let Targets::Shares(labels) = Table::read(&data, &[1, 0]).unwrap().targets else { panic!() };
        assert_eq!(labels, [vec![1., 0.], vec![0., 1.], vec![1., 1.]]);
    }
}
