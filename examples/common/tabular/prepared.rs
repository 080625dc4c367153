//! Rows to train on and rows to test on, scaled in `f64` and cast last.
use super::{
    args::{TableArgs, TaskName},
    data::Data,
};
use crate::table::{cell::quote, some, Target};
use candle_core::{DType, Device, Tensor};
use candle_ensemble::{
    data::{Dataset, Scaler, Split, Task, TensorDataset},
    Error, Result, Rows, Seed,
};
use std::collections::BTreeSet;

/// Rows to train on and rows to test on.
pub struct Prepared {
    pub name: String,
    /// As on the command line.
    pub source: String,
    pub target: String,
    pub task: TaskName,
    pub columns: usize,
    /// All rows.
    pub all: TensorDataset,
    /// The numbers of the rows to test on.
    pub test_rows: Rows,
    pub train: TensorDataset,
    /// The targets of a regression are in `f64` here, for the scores.
    pub test: TensorDataset,
    pub target_scaler: Option<Scaler>,
    pub notes: Vec<String>,
    /// Why the task is what it is, where it was inferred.
    inferred: Option<String>,
}

impl Prepared {
    /// The rows of a data set in one of its splits, by number.
    pub fn of(args: &TableArgs, seed: u64, data: &Data, number: usize) -> Result<Self> {
        let split = split(args, seed, data, number)?;
        let mut notes = data.notes.clone();
        notes.extend(check_classes(args, data, &split)?);
        let inputs = Tensor::from_vec(by_row(data), (data.rows(), data.columns.len()), &Device::Cpu)?;
        let scaled = to_scale(args, &inputs, &split.train)?.0;
        notes.extend(check_range(data, &scaled, data.columns.iter().map(|c| &*c.name))?);
        let inputs = scaled.to_dtype(DType::F32)?;
        let (task, all, test, target_scaler) = match &data.answers {
            Target::Classes(_, ids) => {
                let ids = Tensor::new(&**ids, &Device::Cpu)?;
                let all = TensorDataset::classification(inputs, &ids)?;
                let test = all.subset(&split.test)?;
                (TaskName::Classification, all, test, None)
            }
            Target::Values(values) => {
                let values = Tensor::new(&**values, &Device::Cpu)?;
                let (scaled, scaler) = to_scale(args, &values, &split.train)?;
                notes.extend(check_range(data, &scaled.unsqueeze(1)?, [&*data.target].into_iter())?);
                let all = TensorDataset::regression(&inputs, &scaled.to_dtype(DType::F32)?)?;
                let test = TensorDataset::regression(inputs, &scaled)?;
                (TaskName::Regression, all, test.subset(&split.test)?, scaler)
            }
        };
        let columns = data.columns.len();
        let (name, target, inferred) = (data.name.clone(), data.target.clone(), data.inferred.clone());
        Ok(Self {
            name,
            source: data.source.clone(),
            target,
            task,
            columns,
            train: all.subset(&split.train)?,
            all,
            test_rows: split.test,
            test,
            target_scaler,
            notes,
            inferred,
        })
    }

    pub fn train_task(&self) -> Task {
        self.train.task()
    }

    /// One line that describes the data and the task.
    pub fn describe(&self) -> String {
        let what = match self.train.classes() {
            Some(classes) => format!("classification, {classes} classes"),
            None => "regression".into(),
        };
        let why = |why: &String| format!(" (inferred from {why}; --task changes it)");
        let inferred = self.inferred.as_ref().map_or_else(String::new, why);
        format!(
            "{}: {} columns, {} rows to train on, {} to test on; target {}: {what}{inferred}",
            self.name,
            self.columns,
            self.train.rows(),
            self.test.rows(),
            quote(&self.target)
        )
    }
}

fn split(args: &TableArgs, seed: u64, data: &Data, number: usize) -> Result<Split> {
    let seed = Seed::from(seed).child("split");
    let seed = if number == 0 { seed } else { seed.nth("split", number as u64) };
    let rows = data.rows();
    match (args.train_rows, &data.answers) {
        (Some(_), _) if rows < 2 => {
            Err(Error::invalid("--data", "a table of two rows or more, to train on and to test on", rows))
        }
        (Some(train), _) => Split::first(rows, train)
            .map_err(|_| Error::invalid("--train-rows", format!("between 1 and {}", rows - 1), train)),
        (None, Target::Classes(names, ids)) => {
            Split::stratified(ids, args.test_fraction, seed).map_err(|_| {
                let must = format!(
                    "enough to test on a share of {} and to train on one row of each of the {} classes",
                    args.test_fraction,
                    names.len()
                );
                Error::invalid("the number of rows", must, rows)
            })
        }
        (None, Target::Values(_)) => Split::random(rows, args.test_fraction, seed),
    }
}

/// The rows to train on must be of two classes or more; classes that no row to train on or to test on has are
/// noted.
fn check_classes(args: &TableArgs, data: &Data, split: &Split) -> Result<Vec<String>> {
    let Target::Classes(names, ids) = &data.answers else { return Ok(vec![]) };
    let absent = |rows: &[u32]| -> Vec<String> {
        let seen: BTreeSet<_> = rows.iter().filter_map(|row| ids.get(*row as usize)).collect();
        let absent = names.iter().zip(0..).filter(|(_, id)| !seen.contains(id));
        absent.map(|(name, _)| quote(name)).collect()
    };
    let (untrained, untested) = (absent(&split.train), absent(&split.test));
    if names.len() < untrained.len() + 2 {
        let first = args.train_rows.map_or_else(String::new, |n| format!(" (the first {n})"));
        let none = match some(&untrained) {
            none if none.is_empty() => none,
            none => format!("; none is of class {none}"),
        };
        let what = format!("the rows to train on{first}, by target {},", quote(&data.target));
        return Err(Error::invalid(what, "of two classes or more", format!("of one class only{none}")));
    }
    let note = |what: &str, names: &[String]| {
        (!names.is_empty()).then(|| format!("no row to {what} is of class {}", some(names)))
    };
    Ok([note("train on", &untrained), note("test on", &untested)].into_iter().flatten().collect())
}

/// The inputs, row by row.
fn by_row(data: &Data) -> Vec<f64> {
    let row = |row: usize| data.columns.iter().filter_map(move |column| column.values.get(row).copied());
    (0..data.rows()).flat_map(row).collect()
}

/// The table with each column brought to mean 0 and standard deviation 1 of these rows, if that is asked for.
fn to_scale(args: &TableArgs, table: &Tensor, rows: &[u32]) -> Result<(Tensor, Option<Scaler>)> {
    if !args.standardize {
        return Ok((table.clone(), None));
    }
    let scaler = Scaler::standardize(&table.index_select(&Tensor::new(rows, &Device::Cpu)?, 0)?)?;
    Ok((scaler.transform(table)?, Some(scaler)))
}

/// Networks are trained in `f32`: larger values are an error, and columns whose different values become equal
/// are noted.
fn check_range<'a>(
    data: &Data,
    table: &Tensor,
    names: impl Iterator<Item = &'a str>,
) -> Result<Option<String>> {
    let mut merged = vec![];
    for (column, name) in table.t()?.to_vec2::<f64>()?.into_iter().zip(names) {
        if let Some(row) = column.iter().position(|x| !(*x as f32).is_finite()) {
            let must = format!("at most {:e}, the range of f32 in which networks are trained", f32::MAX);
            let must = format!("{must} (--standardize true brings columns to one scale)");
            return Err(Error::invalid(data.place(name, row), must, format!("{:e}", column[row])));
        }
        let mut values = column;
        values.sort_by(f64::total_cmp);
        values.dedup();
        let all = values.len();
        values.dedup_by_key(|x| *x as f32);
        if (all - values.len()) * 100 > all {
            merged.push(format!("{} ({all} different values become {})", quote(name), values.len()));
        }
    }
    let what = "values that differ are equal in f32, in which networks are trained";
    let help = "--standardize true, or subtract an offset";
    Ok((!merged.is_empty()).then(|| format!("{}: {what}; {help}", some(&merged))))
}
