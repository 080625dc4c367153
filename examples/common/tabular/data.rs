//! The data: a data set of the development dependencies, or a table in a file.
use super::args::{TableArgs, TaskName};
use crate::table::{self, cell, leaks, Input, Kind, Table, Target};
use candle_ensemble::{Error, Result};
use std::{fs, path::Path};

/// A table of numbers and what is to be predicted from them, in `f64`.
pub struct Data {
    pub name: String,
    /// As on the command line.
    pub source: String,
    pub columns: Vec<Column>,
    /// The name of the target.
    pub target: String,
    pub answers: Target,
    /// Why the task is what it is, where it was inferred.
    pub inferred: Option<String>,
    /// What was guessed, left out or is suspicious.
    pub notes: Vec<String>,
    /// The file, for messages that name a line.
    pub file: Option<Table>,
}

/// An input.
pub struct Column {
    pub name: String,
    pub values: Vec<f64>,
}

impl Data {
    pub fn read(args: &TableArgs, name: &str) -> Result<Self> {
        match name {
            "digits" | "wine" | "diabetes" => bundled(args, name),
            file => read_file(Path::new(file), args),
        }
    }

    pub fn rows(&self) -> usize {
        match &self.answers {
            Target::Classes(_, ids) => ids.len(),
            Target::Values(values) => values.len(),
        }
    }

    /// Where a value stands, for messages.
    pub fn place(&self, column: &str, row: usize) -> String {
        let in_file = self.file.as_ref().and_then(|file| Some(file.place(file.find(column)?, row)));
        in_file.unwrap_or_else(|| format!("column {} in row {row} of {}", cell::quote(column), self.name))
    }
}

fn asked(args: &TableArgs) -> Option<Kind> {
    args.task.map(|task| match task {
        TaskName::Classification => Kind::Classes,
        TaskName::Regression => Kind::Values,
    })
}

fn bundled(args: &TableArgs, name: &str) -> Result<Data> {
    for (flag, given) in [
        ("--target", args.target.is_some()),
        ("--delimiter", args.delimiter.is_some()),
        ("--encoding", args.encoding.is_some()),
        ("--decimal", args.decimal != '.'),
        ("--no-header", args.no_header),
        ("--drop", !args.drop.is_empty()),
    ] {
        // With several data sets, the flags are for those that are CSV files.
        if given && args.data_sets().len() == 1 {
            let got = format!("given with --data {name}");
            return Err(Error::invalid(flag, "left out where --data is not a CSV file", got));
        }
    }
    let (target, usual, records, targets) = match name {
        "digits" => {
            let digits = smartcore::dataset::digits::load_dataset();
            let rows = digits.data.chunks(digits.num_features);
            let rows = rows.map(|row| row.iter().map(|x| f64::from(*x)).collect()).collect();
            ("digit", Kind::Classes, rows, digits.target.iter().map(|d| f64::from(*d)).collect())
        }
        "wine" => {
            let wine = linfa_datasets::winequality();
            (
                "quality",
                Kind::Classes,
                rows(wine.records()),
                wine.targets().iter().map(|q| *q as f64).collect(),
            )
        }
        _ => {
            let diabetes = linfa_datasets::diabetes();
            ("progression", Kind::Values, rows(diabetes.records()), diabetes.targets().to_vec())
        }
    };
    let answers = match asked(args).unwrap_or(usual) {
        Kind::Values => Target::Values(targets),
        Kind::Classes => {
            let (names, ids) = table::numbered(targets.iter().map(f64::to_string));
            Target::Classes(names, ids)
        }
    };
    let width = records.first().map_or(0, Vec::len);
    let column = |i: usize| Column {
        name: (i + 1).to_string(),
        values: records.iter().filter_map(|row| row.get(i).copied()).collect(),
    };
    Ok(Data {
        name: name.into(),
        source: name.into(),
        columns: (0..width).map(column).collect(),
        target: target.into(),
        answers,
        inferred: None,
        notes: vec![],
        file: None,
    })
}

fn rows(records: &ndarray::Array2<f64>) -> Vec<Vec<f64>> {
    records.outer_iter().map(|row| row.to_vec()).collect()
}

/// A file with a header line. Every column but the target is an input.
fn read_file(path: &Path, args: &TableArgs) -> Result<Data> {
    let shown = path.display().to_string();
    let bytes = fs::read(path).map_err(|e| {
        let got = format!("{shown} ({e})");
        Error::invalid("--data", "digits, wine, diabetes or a CSV file that can be read", got)
    })?;
    let options = table::Options {
        delimiter: args.delimiter.and_then(|c| u8::try_from(c).ok()),
        encoding: args.encoding.map(|encoding| encoding.0),
        decimal_comma: args.decimal == ',',
        no_header: args.no_header,
        drop: args.drop.clone(),
    };
    let file = Table::parse(&shown, bytes, &options)?;
    if file.names().len() < 2 {
        let must = "two columns or more, one of them the target";
        return Err(Error::invalid(shown, must, file.names().len()));
    }
    if file.rows() == 0 {
        return Err(Error::invalid("--data", "a table of at least one row below its header", "empty"));
    }
    let target = match &args.target {
        None => file.last()?,
        Some(name) => file.find(name).ok_or_else(|| {
            Error::invalid("--target", format!("one of {}", table::some(file.names())), cell::quote(name))
        })?,
    };
    let (answers, why) = file.target(target, asked(args))?;
    let mut notes = file.notes().to_vec();
    let inputs = Inputs::of(&file, target, &answers)?;
    notes.extend(inputs.notes());
    if let Target::Classes(names, _) = &answers {
        notes.extend(table::odd_classes(names).into_iter().map(|note| format!("target: {note}")));
    }
    match file.repeated_rows() {
        0 => {}
        1 => notes.push("1 row is a copy of another: one may be trained on and the other tested on".into()),
        n => {
            notes.push(format!("{n} rows are copies of others: some may be trained on and others tested on"))
        }
    }
    let name = path.file_stem().and_then(|s| s.to_str()).unwrap_or("data");
    Ok(Data {
        name: name.strip_suffix(".csv").unwrap_or(name).into(),
        source: shown,
        columns: inputs.columns()?,
        target: file.names()[target].clone(),
        answers,
        inferred: args.task.is_none().then_some(why),
        notes,
        file: Some(file),
    })
}

/// The columns of a file that are not the target, and what is to be said about them.
#[derive(Default)]
struct Inputs {
    columns: Vec<Column>,
    texts: Vec<String>,
    missing: Vec<String>,
    constant: Vec<String>,
    index: Vec<String>,
    sentinel: Vec<String>,
    copies: Vec<String>,
}

impl Inputs {
    fn of(file: &Table, target: usize, answers: &Target) -> Result<Self> {
        let mut inputs = Self::default();
        for (i, name) in file.names().iter().enumerate().filter(|(i, _)| *i != target) {
            match file.input(i)? {
                Input::Numbers(values) => {
                    inputs.judge(name, &values, answers);
                    inputs.columns.push(Column { name: name.clone(), values });
                }
                Input::Texts(texts, ids) => {
                    let ids: Vec<_> = ids.into_iter().map(f64::from).collect();
                    inputs.judge(name, &ids, answers);
                    let shown: Vec<_> = texts.iter().map(|text| cell::quote(text)).collect();
                    inputs.texts.push(format!("{} ({})", cell::quote(name), table::some(&shown)));
                    inputs.columns.extend(indicators(name, &texts, &ids));
                }
                Input::Missing => inputs.missing.push(cell::quote(name)),
            }
        }
        Ok(inputs)
    }

    fn judge(&mut self, name: &str, values: &[f64], answers: &Target) {
        let (quoted, first) = (cell::quote(name), values.first());
        if let Some(x) = leaks::sentinel(values) {
            self.sentinel.push(format!("{quoted} ({x})"));
        }
        if values.iter().all(|x| Some(x) == first) {
            self.constant.push(quoted);
        } else if leaks::gives_away(values, answers) {
            self.copies.push(quoted);
        } else if leaks::numbers_rows(values) {
            self.index.push(quoted);
        }
    }

    fn notes(&self) -> Vec<String> {
        let say = |columns: &[String], what: &str| {
            let word = if columns.len() == 1 { "column" } else { "columns" };
            (!columns.is_empty()).then(|| format!("{word} {}: {what}", table::some(columns)))
        };
        let notes = [
            say(&self.texts, "texts, read as 0 and 1 for each of them"),
            say(&self.missing, "no values; left out"),
            say(&self.constant, "the same value in every row"),
            say(&self.index, "numbers the rows, and so tells their order; --drop leaves it out"),
            say(&self.sentinel, "a number far from all others, in several rows: does it mean missing?"),
            say(
                &self.copies,
                "gives the target away (a copy of it, under another name or in another unit?); \
                               --drop leaves it out",
            ),
        ];
        notes.into_iter().flatten().collect()
    }

    /// The columns, of which at least one must differ from row to row.
    fn columns(self) -> Result<Vec<Column>> {
        let varies = |column: &Column| column.values.iter().any(|x| Some(x) != column.values.first());
        match self.columns.iter().any(varies) || self.columns.first().is_some_and(|c| c.values.len() == 1) {
            true => Ok(self.columns),
            false => {
                let must = "one at least whose values differ";
                Err(Error::invalid("the columns to predict from", must, "all constant"))
            }
        }
    }
}

/// A column of 0 and 1 for each text; one is enough for two texts.
fn indicators<'a>(name: &'a str, texts: &'a [String], ids: &'a [f64]) -> impl Iterator<Item = Column> + 'a {
    let is = |text: usize| ids.iter().map(|id| f64::from(u8::from(*id == text as f64))).collect();
    let skip = usize::from(texts.len() <= 2);
    let column = move |(i, text): (usize, &String)| Column { name: format!("{name}={text}"), values: is(i) };
    texts.iter().enumerate().skip(skip).map(column)
}
