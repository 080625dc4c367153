//! Tensors as tables of rows and columns.
use crate::{
    data::{dataset::move_view, values::on_cpu},
    kernels::cpu::on_values,
    Error, Result,
};
use candle_core::{Device, Tensor, WithDType};

/// The values of a tensor as rows and columns, on the CPU.
pub(super) struct Table {
    pub(super) values: Tensor,
    pub(super) rows: usize,
    pub(super) columns: usize,
}

impl Table {
    pub(super) fn of(x: &Tensor) -> Result<Self> {
        let (rows, columns) = match *x.dims() {
            [rows] => (rows, 1),
            [rows, columns] => (rows, columns),
            _ => {
                return Err(Error::invalid(
                    "a table",
                    "of shape (N, D) or (N,)",
                    format_args!("{:?}", x.dims()),
                ))
            }
        };
        if rows == 0 || columns == 0 {
            return Err(Error::invalid(
                "a table",
                "of at least one row and column",
                format_args!("{:?}", x.dims()),
            ));
        }
        if !x.dtype().is_float() {
            return Err(Error::invalid("a table", "of floats", x.dtype().as_str()));
        }
        Ok(Self { values: on_cpu(x)?, rows, columns })
    }

    /// Calls `f` with the column and value of each cell, row by row.
    pub(super) fn each(&self, f: impl FnMut(usize, f64)) -> Result<()> {
        let values = &self.values;
        on_values!(values, values => visit(values, self.columns, f))
    }
}

pub(super) fn visit<T: WithDType>(values: &[T], columns: usize, mut f: impl FnMut(usize, f64)) -> Result<()> {
    for (row, values) in values.chunks_exact(columns).enumerate() {
        for (column, x) in values.iter().map(|x| x.to_f64()).enumerate() {
            if !x.is_finite() {
                return Err(Error::invalid(format!("row {row}, column {column}"), "finite", x));
            }
            f(column, x);
        }
    }
    Ok(())
}

/// Each cell `x` of the table as `f(column, x)`, computed in f64 and rounded once. Dtype, shape and device are kept.
/// `columns` is the number of columns that the scaling was fitted on.
pub(super) fn map_cells(x: &Tensor, columns: usize, f: impl Fn(usize, f64) -> f64) -> Result<Tensor> {
    let table = Table::of(x)?;
    if table.columns != columns {
        let must = format!("that of the scaler, {columns}");
        return Err(Error::invalid("the number of columns", must, table.columns));
    }
    let values = &table.values;
    let mapped = on_values!(values, from => {
        let mut to = Vec::with_capacity(from.len());
        visit(from, columns, |column, x| to.push(back(from, f(column, x))))?;
        if let Some(position) = to.iter().position(|x| !x.to_f64().is_finite()) {
            let (row, column) = (position / columns, position % columns);
            let got = from.get(position).map_or(f64::NAN, |x| x.to_f64());
            let must = format!("small enough to be scaled in {}", x.dtype().as_str());
            return Err(Error::invalid(format!("row {row}, column {column}"), must, got));
        }
        Tensor::from_vec(to, x.shape(), &Device::Cpu).map_err(Error::from)
    })?;
    Ok(move_view(&mapped, x.device())?)
}

/// `x` in the type of `_like`: candle does not export the names of all types.
fn back<T: WithDType>(_like: &[T], x: f64) -> T {
    T::from_f64(x)
}
