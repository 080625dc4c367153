//! What depends on the type of the targets of a linfa model.
use crate::{combine::stack::fit_rows::FitRows, data::Task};
use ndarray::{Array1, Array2};
use std::fmt;

/// What depends on the type of the targets.
pub trait Target: Copy + fmt::Debug + 'static {
    /// The targets of each model that is fitted.
    fn columns(rows: &FitRows) -> Vec<Array1<Self>>;
    /// Whether models with these targets can do the task.
    fn suits(task: Task) -> bool;
    /// The number of models, and the width of what each predicts.
    fn models(task: Task, present: usize) -> (usize, usize);
    /// The predictions of all models as one table, `(B, C)`.
    fn assemble(task: Task, present: &[usize], read: Vec<Array2<f64>>) -> Array2<f64>;
}

impl Target for f64 {
    fn columns(rows: &FitRows) -> Vec<Array1<f64>> {
        rows.targets.clone()
    }
    fn suits(task: Task) -> bool {
        matches!(task, Task::Regression { .. })
    }
    fn models(task: Task, _: usize) -> (usize, usize) {
        (task.width(), 1)
    }
    fn assemble(_: Task, _: &[usize], read: Vec<Array2<f64>>) -> Array2<f64> {
        side_by_side(&read)
    }
}

impl Target for usize {
    fn columns(rows: &FitRows) -> Vec<Array1<usize>> {
        let class = |row: usize| rows.targets.iter().position(|column| column[row] > 0.);
        vec![(0..rows.count()).map(|row| class(row).unwrap_or(0)).collect()]
    }
    fn suits(task: Task) -> bool {
        matches!(task, Task::Classification { .. })
    }
    fn models(task: Task, _: usize) -> (usize, usize) {
        (1, task.width())
    }
    fn assemble(_: Task, present: &[usize], read: Vec<Array2<f64>>) -> Array2<f64> {
        let mut all = side_by_side(&read);
        let absent = (0..all.ncols()).filter(|class| !present.contains(class)).collect::<Vec<_>>();
        absent.into_iter().for_each(|class| all.column_mut(class).fill(0.));
        all
    }
}

impl Target for bool {
    fn columns(rows: &FitRows) -> Vec<Array1<bool>> {
        let of = |class: &usize| rows.targets[*class].mapv(|is| is > 0.);
        match &rows.present[..] {
            [_, second] => vec![of(second)],
            all => all.iter().map(of).collect(),
        }
    }
    fn suits(task: Task) -> bool {
        matches!(task, Task::Classification { .. })
    }
    fn models(_: Task, present: usize) -> (usize, usize) {
        (if present == 2 { 1 } else { present }, 1)
    }
    fn assemble(task: Task, present: &[usize], read: Vec<Array2<f64>>) -> Array2<f64> {
        let read = side_by_side(&read);
        let mut all = Array2::zeros((read.nrows(), task.width()));
        if let [first, second] = present {
            all.column_mut(*first).assign(&read.column(0).mapv(|p| 1. - p));
            all.column_mut(*second).assign(&read.column(0));
        } else {
            for (class, column) in present.iter().zip(read.columns()) {
                all.column_mut(*class).assign(&column);
            }
            for mut row in all.rows_mut().into_iter().filter(|row| row.sum() == 0.) {
                present.iter().for_each(|class| row[*class] = 1.); // no model accepts the row
            }
        }
        all
    }
}

/// Joins the columns of tables with the same number of rows.
fn side_by_side(tables: &[Array2<f64>]) -> Array2<f64> {
    let width = tables.iter().map(Array2::ncols).sum();
    let rows = tables.first().map_or(0, Array2::nrows);
    let columns = tables.iter().flat_map(|table| table.columns());
    let mut all = Array2::zeros((rows, width));
    all.columns_mut().into_iter().zip(columns).for_each(|(mut to, from)| to.assign(&from));
    all
}
