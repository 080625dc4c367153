//! What is predicted: classes or values. It is given, or follows from the arrays; a guess is said aloud.
use super::{
    args::{Args, TaskName},
    arrays::{Array, Values},
    input::{sums_to_one, Input},
    labels::{class_ids, distinct, labels, Label},
    program::Failure,
};
use candle_core::{DType, Device, Tensor};
use candle_ensemble::{data::Task, predictions::Predictions};

/// Predictions and targets, as a task.
pub struct Table {
    pub predictions: Predictions,
    /// Class ids `(N,)`, or values `(N, K)`.
    pub targets: Option<Tensor>,
}

/// The predictions and the targets of the task. `fitted` is the task of a combiner that was fitted before.
pub fn table(args: &Args, input: &mut Input, fitted: Option<Task>) -> Result<Table, Failure> {
    let numbers = Numbers::of(input)?;
    let task = match (args.task, fitted) {
        (Some(task), _) => task,
        (None, Some(Task::Classification { .. })) => TaskName::Classification,
        (None, Some(Task::Regression { .. })) => TaskName::Regression,
        (None, None) if args.logits => TaskName::Classification,
        (None, None) => guess(input, &numbers)?,
    };
    let table = match task {
        TaskName::Classification => classification(args, input, numbers)?,
        TaskName::Regression if args.logits => {
            return Err("--logits is for classes, but the task is regression".into())
        }
        TaskName::Regression => {
            let (members, rows, width) = input.predictions.dims3()?;
            let targets = input.targets.as_ref().map(|t| values(t, width)).transpose()?;
            let task = Task::Regression { outputs: width };
            let predictions = with_coverage(input, input.predictions.clone(), task, members, rows)?;
            Table { predictions, targets }
        }
    };
    let predictions = match &input.inputs {
        Some(inputs) => table.predictions.with_inputs(inputs)?,
        None => table.predictions,
    };
    let predictions = match &input.names {
        Some(names) => predictions.with_names(names.clone())?,
        None => predictions,
    };
    Ok(Table { predictions, ..table })
}

fn with_coverage(
    input: &Input,
    values: Tensor,
    task: Task,
    members: usize,
    rows: usize,
) -> Result<Predictions, Failure> {
    let Some(present) = &input.present else { return Ok(Predictions::new(values, task)?) };
    let covered = present.iter().map(|there| u8::from(*there)).collect::<Vec<_>>();
    Ok(Predictions::partial(values, Tensor::from_vec(covered, (members, rows), &Device::Cpu)?, task)?)
}

/// The predictions in f64, row by row of each member.
struct Numbers {
    all: Vec<f64>,
    rows: usize,
    width: usize,
    /// Whether each row of a member is there.
    present: Option<Vec<bool>>,
}

impl Numbers {
    fn of(input: &Input) -> Result<Self, Failure> {
        let (_, rows, width) = input.predictions.dims3()?;
        let all = input.predictions.to_dtype(DType::F64)?.flatten_all()?.to_vec1()?;
        Ok(Self { all, rows, width, present: input.present.clone() })
    }

    /// The predictions that are there, with their numbers.
    fn present(&self) -> impl Iterator<Item = (usize, &[f64])> {
        let there = |i: &usize| self.present.as_ref().is_none_or(|present| present[*i]);
        self.all.chunks_exact(self.width).enumerate().filter(move |(i, _)| there(i))
    }

    /// Whether all rows are probabilities.
    fn are_probabilities(&self) -> bool {
        let within = self.tolerance();
        self.present().all(|(_, row)| sums_to_one(row, within))
    }

    fn are_shares(&self) -> bool {
        self.present().all(|(_, row)| row.iter().all(|p| (0. ..=1.).contains(p)))
    }

    /// How far a sum of probabilities may be from 1: .001, or more where they are rounded to a few decimals,
    /// which moves each of them by up to half a unit.
    fn tolerance(&self) -> f64 {
        let rounded_to = |unit: f64| {
            let near = |x: f64| (x / unit - (x / unit).round()).abs() < 1e-3;
            self.present().all(|(_, row)| row.iter().all(|x| near(*x)))
        };
        let unit = [1e-1, 1e-2, 1e-3, 1e-4].into_iter().find(|unit| rounded_to(*unit));
        // Sums of decimals are themselves rounded.
        unit.map_or(1e-3, |unit| (self.width as f64 * unit / 2.).clamp(1e-3, 0.5)) + 1e-6
    }

    fn place(&self, i: usize) -> String {
        format!("of member {}, row {}", i / self.rows, i % self.rows)
    }

    /// Checks that the rows are probabilities, and divides each by its sum where rounding moved it.
    fn check(&mut self) -> Result<bool, String> {
        let within = self.tolerance();
        for (i, row) in self.present() {
            let place = self.place(i);
            let hint = hint(row);
            if let Some(class) = row.iter().position(|p| !(-1e-3..=1.001).contains(p)) {
                let p = row[class];
                return Err(format!(
                    "probability of class {class} {place} must be between 0 and 1, but is {p}{hint}"
                ));
            }
            let sum: f64 = row.iter().sum();
            if (sum - 1.).abs() > within {
                return Err(format!(
                    "the probabilities {place} must sum to 1 (give or take {:.3}), but sum to {sum}{hint}",
                    within - 1e-6
                ));
            }
        }
        let mut changed = false;
        let present = self.present.as_ref();
        let rows = self.all.chunks_exact_mut(self.width).enumerate();
        for (_, row) in rows.filter(|(i, _)| present.is_none_or(|present| present[*i])) {
            let sum: f64 = row.iter().map(|p| p.max(0.)).sum();
            if (sum - 1.).abs() > 1e-6 || row.iter().any(|p| *p < 0.) {
                row.iter_mut().for_each(|p| *p = p.max(0.) / sum);
                changed = true;
            }
        }
        Ok(changed)
    }

    /// The softmax of each row, or for one column the probabilities `1 − σ(x)` and `σ(x)`.
    fn softmax(&mut self) {
        if self.width == 1 {
            // softmax(−x, 0) = (1 − σ(x), σ(x))
            self.all = self.all.iter().flat_map(|x| [-x, 0.]).collect();
            self.width = 2;
        }
        for row in self.all.chunks_exact_mut(self.width) {
            let largest = row.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            row.iter_mut().for_each(|x| *x = (*x - largest).exp());
            let sum: f64 = row.iter().sum();
            row.iter_mut().for_each(|x| *x /= sum);
        }
    }

    /// From P(y = 1) the probabilities of both classes.
    fn both_classes(&mut self) {
        self.all = self.all.iter().flat_map(|p| [1. - p, *p]).collect();
        self.width = 2;
    }
}

/// What numbers that are no probabilities may be instead.
fn hint(row: &[f64]) -> &'static str {
    let sum: f64 = row.iter().sum();
    let whole = row.iter().all(|x| x.fract() == 0.);
    match row {
        _ if row.len() > 1 && (sum - 100.).abs() < 1. && row.iter().all(|x| *x >= 0.) => {
            "; divide percentages by 100"
        }
        _ if row.len() > 1
            && row.iter().all(|x| *x <= 0.)
            && (row.iter().map(|x| x.exp()).sum::<f64>() - 1.).abs() < 1e-3 =>
        {
            "; these are log-probabilities: give --logits"
        }
        [_] if whole => "; of classes that were predicted, give one column a class (numpy.eye(C)[predicted])",
        _ if row.iter().any(|x| !(-1e-3..=1.001).contains(x)) => "; if these are logits, give --logits",
        _ => "; if each column is a class of its own (several labels a row), combine them one by one",
    }
}

/// The predictions as probabilities of classes, and the targets as class ids.
fn classification(args: &Args, input: &mut Input, mut numbers: Numbers) -> Result<Table, Failure> {
    let single = numbers.width == 1;
    let dtype = input.predictions.dtype();
    let mut values = None;
    if args.logits {
        numbers.softmax();
        values = Some(numbers.all.clone());
    } else if single {
        if let Some((i, row)) = numbers.present().find(|(_, row)| !(0. ..=1.).contains(&row[0])) {
            let (place, got, hint) = (numbers.place(i), row[0], hint(row));
            return Err(format!(
                "with one column, the prediction {place} must be the probability of the second class, between 0 \
                 and 1, but is {got}{hint}"
            )
            .into());
        }
        input.notes.push("the values are taken for the probability of the second of two classes".into());
        numbers.both_classes();
        values = Some(numbers.all.clone());
    } else if numbers.check()? {
        input.notes.push("probabilities that do not sum to 1 are divided by their sum".into());
        values = Some(numbers.all.clone());
    }
    let (members, rows, classes) =
        (numbers.all.len() / numbers.rows / numbers.width, numbers.rows, numbers.width);
    let tensor = match values {
        Some(values) => Tensor::from_vec(values, (members, rows, classes), &Device::Cpu)?.to_dtype(dtype)?,
        None => input.predictions.clone(),
    };
    let targets = match &input.targets {
        None => None,
        Some(targets) => {
            let (ids, note) = ids(targets, classes, input.classes.as_deref())?;
            input.notes.extend(note);
            Some(Tensor::new(ids, &Device::Cpu)?)
        }
    };
    let predictions = with_coverage(input, tensor, Task::Classification { classes }, members, rows)?;
    Ok(Table { predictions, targets })
}

/// The class of each row, from labels or from one column for each class.
fn ids(
    targets: &Array,
    classes: usize,
    columns: Option<&[Label]>,
) -> Result<(Vec<u32>, Option<String>), String> {
    let [_, width] = targets.dims.as_slice() else {
        return class_ids(&labels(targets, "target")?, classes, columns);
    };
    match one_hot(targets) {
        Some(ids) if *width == classes => Ok((ids, None)),
        Some(_) => Err(format!(
            "targets with one column for each class must be (N, {classes}), but are {}",
            targets.shape()
        )),
        None => Err(format!(
            "targets of classes must be (N,) labels, or (N, {classes}) with a single 1 in each row, but are {} \
             with other numbers",
            targets.shape()
        )),
    }
}

/// The column of the single 1 of each row, if every other number is 0.
fn one_hot(targets: &Array) -> Option<Vec<u32>> {
    let [_, width] = targets.dims.as_slice() else { return None };
    if *width < 2 {
        return None;
    }
    let all = targets.doubles("targets").ok()?;
    let id = |row: &[f64]| {
        let ones = row.iter().filter(|x| **x == 1.).count();
        let zeros = row.iter().filter(|x| **x == 0.).count();
        (ones == 1 && zeros == width - 1)
            .then(|| row.iter().position(|x| *x == 1.).unwrap_or_default() as u32)
    };
    all.chunks_exact(*width).map(id).collect()
}

/// Targets of regression, `(N, K)`.
fn values(targets: &Array, outputs: usize) -> Result<Tensor, String> {
    let rows = targets.dims[0];
    let width = targets.len() / rows;
    if width != outputs {
        return Err(format!(
            "targets of values must be (N, {outputs}), as the predictions have {outputs} columns, but are {}; \
             classes are scored with --task classification",
            targets.shape()
        ));
    }
    let double = Array { values: Values::Double(targets.doubles("targets")?), dims: targets.dims.clone() };
    double.tensor("targets", &[rows, width])
}

/// The task that the arrays look like. What could be something else is said, or asked.
fn guess(input: &mut Input, numbers: &Numbers) -> Result<TaskName, Failure> {
    let (task, note) = match &input.targets {
        None if numbers.width > 1 && numbers.are_probabilities() => (TaskName::Classification, None),
        None if numbers.width > 1 => {
            let note =
                "the rows are no probabilities: taken for regression (--task classification, --logits)";
            (TaskName::Regression, Some(note.into()))
        }
        None => (TaskName::Regression, None),
        Some(targets) if matches!(targets.values, Values::Text(_)) => (TaskName::Classification, None),
        Some(targets) => match (numbers.width, targets.dims.len()) {
            (1, 1) => (TaskName::Regression, one_column(targets, numbers)),
            (width, 1) => {
                if labels(targets, "target").is_err() {
                    return Err(format!(
                        "targets must be whole numbers or text for {width} classes, or (N, {width}) for {width} \
                         values, but are {} with other numbers",
                        targets.shape()
                    )
                    .into());
                }
                (TaskName::Classification, None)
            }
            _ => columns(targets, numbers)?,
        },
    };
    input.notes.extend(note);
    Ok(task)
}

/// What the values of one column may be besides values.
fn one_column(targets: &Array, numbers: &Numbers) -> Option<String> {
    let labels = labels(targets, "target").ok()?;
    let two = distinct(&labels).len() <= 2;
    let whole = numbers.present().all(|(_, row)| row[0].fract() == 0.);
    let what = match (two, numbers.are_shares(), whole) {
        (true, true, _) => "; give --task classification if the predictions are P(y=1)",
        (_, false, true) => {
            ", though all predictions are whole numbers: if they are classes, give probabilities, one column a \
             class (numpy.eye(C)[predicted])"
        }
        (true, false, _) => {
            ", though the targets have two values; give --task classification --logits if the predictions are \
             logits of the second class"
        }
        _ => return None,
    };
    Some(format!("taken for regression of one value{what}"))
}

/// The task of targets with several columns, and what they may be besides.
fn columns(targets: &Array, numbers: &Numbers) -> Result<(TaskName, Option<String>), String> {
    let (width, columns) = (numbers.width, targets.dims[1]);
    let probabilities = width == columns && numbers.are_probabilities();
    let zeros_and_ones =
        || targets.doubles("targets").is_ok_and(|all| all.iter().all(|x| *x == 0. || *x == 1.));
    let (task, note) = match one_hot(targets) {
        Some(_) if probabilities => (
            TaskName::Classification,
            format!(
                "the targets have a single 1 in each row: taken for {width} classes; give --task regression if \
                 they are values"
            ),
        ),
        Some(_) => {
            return Err(format!(
                "targets {} have a single 1 in each row, as classes have, but the predictions are no \
                 probabilities of {columns} classes: give --task classification (with --logits, if they are \
                 logits) or --task regression",
                targets.shape()
            ))
        }
        None if probabilities => (
            TaskName::Regression,
            "taken for regression, though the predictions sum to 1: classes are scored with one label a row".into(),
        ),
        None if zeros_and_ones() => (
            TaskName::Regression,
            format!(
                "taken for regression of {width} values, though the targets are 0 and 1: if a row has several \
                 labels, combine them one at a time as (M, N) with --task classification"
            ),
        ),
        None => return Ok((TaskName::Regression, None)),
    };
    Ok((task, Some(note)))
}
