//! Rows of a data set as columns of numbers.
use crate::{
    data::{Dataset, Task},
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
}

impl Table {
    /// Reads rows. Of many rows, it takes some that are spaced evenly.
    ///
    /// # Errors
    /// When there are no rows, the data cannot be read, or a number is not finite.
    pub(super) fn read(data: &dyn Dataset, rows: &[u32]) -> Result<Self> {
        data.positions().check_one("a diagnosis")?;
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
        let mut targets = match data.task() {
            Task::Classification { classes } => Targets::Classes(vec![], classes),
            Task::Regression { outputs } => Targets::Values(vec![vec![]; outputs]),
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
