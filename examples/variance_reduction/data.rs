//! The data: a data set of the development dependencies, or a CSV file.
use super::args::{Args, TaskName};
use candle_core::{Device, Tensor};
use candle_ensemble::{
    data::{Dataset, Scaler, Split, Task, TensorDataset},
    Error, Result, Seed,
};
use std::{collections::BTreeSet, path::Path};

/// A table before the task is known.
struct Table {
    name: String,
    columns: usize,
    /// Row by row.
    inputs: Vec<f32>,
    target: String,
    targets: Vec<String>,
}

/// Rows to train on and rows to test on.
pub struct Prepared {
    pub name: String,
    pub target: String,
    pub task: TaskName,
    /// Whether the task was inferred.
    inferred: bool,
    pub columns: usize,
    pub train: TensorDataset,
    pub test: TensorDataset,
    pub target_scaler: Option<Scaler>,
    classes: Vec<String>,
}

impl Prepared {
    pub fn train_task(&self) -> Task {
        self.train.task()
    }

    /// One line that describes the data and the task.
    pub fn describe(&self) -> String {
        let what = match self.task {
            TaskName::Classification => format!("classification, {} classes", self.classes.len()),
            TaskName::Regression => "regression".into(),
        };
        let inferred = if self.inferred { " (inferred; --task changes it)" } else { "" };
        format!(
            "{}: {} columns, {} rows to train on, {} to test on; target {:?}: {what}{inferred}",
            self.name,
            self.columns,
            self.train.rows(),
            self.test.rows(),
            self.target
        )
    }
}

pub fn prepare(args: &Args) -> Result<Prepared> {
    let bundled_data = ["digits", "wine", "diabetes"].contains(&&*args.data);
    if let (true, Some(target)) = (bundled_data, &args.target) {
        let must = "left out where --data is not a CSV file";
        return Err(Error::invalid("--target", must, format!("{target:?}")));
    }
    let table = match args.data.as_str() {
        "digits" => digits(),
        "wine" => bundled("wine", "quality", &linfa_datasets::winequality(), |q| q.to_string()),
        "diabetes" => bundled("diabetes", "progression", &linfa_datasets::diabetes(), |y| y.to_string()),
        file => read_csv(Path::new(file), args.target.as_deref())?,
    };
    if table.targets.is_empty() {
        return Err(Error::invalid("--data", "a table of at least one row", "empty"));
    }
    let given = match args.data.as_str() {
        "digits" | "wine" => args.task.or(Some(TaskName::Classification)),
        "diabetes" => args.task.or(Some(TaskName::Regression)),
        _ => args.task,
    };
    let task = given.unwrap_or_else(|| infer(&table.targets));
    let rows = table.targets.len();
    let classes = distinct(&table.targets);
    let ids = |targets: &[String]| -> Vec<u32> {
        targets.iter().filter_map(|t| classes.binary_search(t).ok()).map(|i| i as u32).collect()
    };
    let seed = Seed::from(args.seed).child("split");
    let split = match (args.train_rows, task) {
        (Some(train), _) => Split::first(rows, train)
            .map_err(|_| Error::invalid("--train-rows", format!("between 1 and {}", rows - 1), train))?,
        (None, TaskName::Classification) => {
            Split::stratified(&ids(&table.targets), args.test_fraction, seed)?
        }
        (None, TaskName::Regression) => Split::random(rows, args.test_fraction, seed)?,
    };

    let inputs = Tensor::from_vec(table.inputs, (rows, table.columns), &Device::Cpu)?;
    let inputs = match args.standardize {
        true => fitted_on(&split.train, &inputs)?.transform(&inputs)?,
        false => inputs,
    };
    let (all, target_scaler) = match task {
        TaskName::Classification => {
            let ids = Tensor::new(ids(&table.targets), &Device::Cpu)?;
            (TensorDataset::classification(inputs, &ids)?, None)
        }
        TaskName::Regression => {
            let targets = numbers(&table.target, &table.targets)?;
            let scaler = args.standardize.then(|| fitted_on(&split.train, &targets)).transpose()?;
            let targets = scaler.as_ref().map_or(Ok(targets.clone()), |s| s.transform(&targets))?;
            (TensorDataset::regression(inputs, &targets)?, scaler)
        }
    };
    let (train, test) = (all.subset(&split.train)?, all.subset(&split.test)?);
    Ok(Prepared {
        name: table.name,
        target: table.target,
        task,
        inferred: given.is_none(),
        columns: table.columns,
        train,
        test,
        target_scaler,
        classes,
    })
}

/// A scaler that is fitted on these rows only.
fn fitted_on(rows: &[u32], table: &Tensor) -> Result<Scaler> {
    Scaler::standardize(&table.index_select(&Tensor::new(rows, &Device::Cpu)?, 0)?)
}

/// Classes if a target is text, or if all are whole numbers and at most 20 differ; values otherwise.
fn infer(targets: &[String]) -> TaskName {
    let whole = |t: &String| t.parse::<f64>().is_ok_and(|x| x.fract() == 0.);
    let texts = targets.iter().any(|t| t.parse::<f64>().is_err());
    match texts || (targets.iter().all(whole) && distinct(targets).len() <= 20) {
        true => TaskName::Classification,
        false => TaskName::Regression,
    }
}

/// The classes, each once, in the order of their text.
fn distinct(targets: &[String]) -> Vec<String> {
    targets.iter().cloned().collect::<BTreeSet<_>>().into_iter().collect()
}

/// `1`, `1.0` and `01` are the same class.
fn plain(target: &str) -> String {
    target.parse::<f64>().map_or_else(|_| target.to_string(), |x| x.to_string())
}

fn numbers(column: &str, targets: &[String]) -> Result<Tensor> {
    let number = |t: &String| {
        t.parse::<f32>().ok().filter(|y| y.is_finite()).ok_or_else(|| {
            Error::invalid(format!("target {column:?}"), "a finite number in every row", format!("{t:?}"))
        })
    };
    Ok(Tensor::new(targets.iter().map(number).collect::<Result<Vec<_>>>()?, &Device::Cpu)?)
}

fn digits() -> Table {
    let digits = smartcore::dataset::digits::load_dataset();
    Table {
        name: "digits".into(),
        columns: digits.num_features,
        inputs: digits.data,
        target: "digit".into(),
        targets: digits.target.iter().map(|d| format!("{d:.0}")).collect(),
    }
}

fn bundled<T: Copy>(
    name: &str,
    target: &str,
    data: &linfa::Dataset<f64, T, ndarray::Ix1>,
    text: impl Fn(T) -> String,
) -> Table {
    Table {
        name: name.into(),
        columns: data.records().ncols(),
        inputs: data.records().iter().map(|x| *x as f32).collect(),
        target: target.into(),
        targets: data.targets().iter().map(|t| text(*t)).collect(),
    }
}

/// A CSV file with a header line; every column but the target must be numbers.
fn read_csv(path: &Path, target: Option<&str>) -> Result<Table> {
    let unreadable = |e: csv::Error| match e.into_kind() {
        csv::ErrorKind::Io(source) => {
            let got = format!("{} ({source})", path.display());
            Error::invalid("--data", "digits, wine, diabetes or a CSV file that can be read", got)
        }
        csv::ErrorKind::UnequalLengths { pos, expected_len, len } => {
            let line = pos.map_or_else(String::new, |p| format!("line {} of ", p.line()));
            Error::invalid(format!("{line}{}", path.display()), format!("{expected_len} fields"), len)
        }
        other => Error::invalid(path.display().to_string(), "a CSV file in UTF-8", format!("{other:?}")),
    };
    let mut reader = csv::ReaderBuilder::new().trim(csv::Trim::All).from_path(path).map_err(unreadable)?;
    let header: Vec<String> = reader.headers().map_err(unreadable)?.iter().map(String::from).collect();
    if header.len() < 2 {
        return Err(Error::invalid(
            path.display().to_string(),
            "a table of two columns or more",
            header.len(),
        ));
    }
    let at = match target {
        None => header.len() - 1,
        Some(name) => header.iter().position(|h| h == name).ok_or_else(|| {
            Error::invalid("--target", format!("one of {}", header.join(", ")), format!("{name:?}"))
        })?,
    };
    let (mut inputs, mut targets) = (vec![], vec![]);
    for record in reader.records() {
        let record = record.map_err(unreadable)?;
        let line = record.position().map_or(0, csv::Position::line);
        for (i, field) in record.iter().enumerate() {
            if i == at {
                if field.is_empty() || field.parse::<f64>().is_ok_and(f64::is_nan) {
                    let what = format!("target {:?} in line {line} of {}", header[at], path.display());
                    return Err(Error::invalid(what, "there", format!("missing: {field:?}")));
                }
                targets.push(plain(field));
                continue;
            }
            let number = field.parse::<f32>().ok().filter(|x| x.is_finite()).ok_or_else(|| {
                let what = format!("column {:?} in line {line} of {}", header[i], path.display());
                Error::invalid(what, "a finite number", format!("{field:?}"))
            })?;
            inputs.push(number);
        }
    }
    let name = path.file_stem().and_then(|s| s.to_str()).unwrap_or("data").to_string();
    Ok(Table { name, columns: header.len() - 1, inputs, target: header[at].clone(), targets })
}
