//! The tables from which `tests/reference/metrics.py` computes its numbers, and comparisons with these
//! numbers.
use crate::{metrics::Average, Result};
use candle_core::{Device, Tensor};

const ROWS: usize = 60;

/// The number of classes of the tables.
const CLASSES: usize = 4;

/// Probabilities `(60, 4)` in f64, labels, weights.
pub(crate) fn classification() -> (Tensor, Vec<u32>, Vec<f64>) {
    with_labels(|i| std::array::from_fn(|c| (i * 37 + c * 101 + i * c * 17) % 97 + 1))
}

/// The same with few values, so that rows and classes tie.
pub(crate) fn ties() -> (Tensor, Vec<u32>, Vec<f64>) {
    with_labels(|i| {
        let mut raw: [usize; CLASSES] = std::array::from_fn(|c| (i * 5 + c * 3 + i * c) % 3);
        raw[3] = 6 - raw[..3].iter().sum::<usize>();
        std::array::from_fn(|c| raw[(c + i) % CLASSES])
    })
}

fn with_labels(row: impl Fn(usize) -> [usize; CLASSES]) -> (Tensor, Vec<u32>, Vec<f64>) {
    let (mut probs, mut labels) = (Vec::new(), Vec::new());
    for i in 0..ROWS {
        let raw = row(i);
        let total: usize = raw.iter().sum();
        probs.extend(raw.iter().map(|&r| r as f64 / total as f64));
        let most = *raw.iter().max().unwrap();
        let top = raw.iter().position(|&r| r == most).unwrap();
        labels.push(if i % 3 == 0 { (i * i + 1) % CLASSES } else { top } as u32);
    }
    (Tensor::from_vec(probs, (ROWS, CLASSES), &Device::Cpu).unwrap(), labels, weights())
}

/// Three rows of the classes 0, 1, 1 of three, in which the most probable classes are `top`, or with `[0; 3]`
/// the probabilities of the script.
pub(crate) fn three_rows(top: [usize; 3]) -> (Tensor, Vec<u32>) {
    let rows: [[f64; 3]; 3] = match top {
        [0, 0, 0] => [[0.5, 0.3, 0.2], [0.2, 0.5, 0.3], [0.1, 0.8, 0.1]],
        _ => top.map(|top| std::array::from_fn(|class| if class == top { 0.5 } else { 0.25 })),
    };
    (Tensor::new(&rows, &Device::Cpu).unwrap(), vec![0, 1, 1])
}

/// Two rows of class 1 that are predicted as such, of three classes.
pub(crate) fn one_class() -> (Tensor, Vec<u32>) {
    (Tensor::new(&[[0.25, 0.5, 0.25]; 2], &Device::Cpu).unwrap(), vec![1, 1])
}

/// Predictions and targets `(60, 3)` in f64, weights.
pub(crate) fn regression() -> (Tensor, Tensor, Vec<f64>) {
    const OUTPUTS: usize = 3;
    let (mut predictions, mut targets) = (Vec::new(), Vec::new());
    for (i, k) in (0..ROWS).flat_map(|i| (0..OUTPUTS).map(move |k| (i, k))) {
        let target = ((i * 29 + k * 53 + i * k * 7) % 83) as f64 / 8.0 - 5.0;
        targets.push(target);
        predictions.push(target + (((i * 31 + k * 43) % 41) as f64 - 20.0) / 16.0);
    }
    let tensor = |values| Tensor::from_vec(values, (ROWS, OUTPUTS), &Device::Cpu).unwrap();
    (tensor(predictions), tensor(targets), weights())
}

fn weights() -> Vec<f64> {
    (0..ROWS).map(|i| 0.5 * (1 + i % 6) as f64).collect()
}

/// Checks a metric of class probabilities against its reference values without and with weights.
#[track_caller]
pub(crate) fn check_classification(
    metric: impl Fn(&Tensor, &[u32], Option<&[f64]>) -> Result<f64>,
    [plain, weighted]: [f64; 2],
) {
    let (probs, labels, weights) = classification();
    close(metric(&probs, &labels, None).unwrap(), plain);
    close(metric(&probs, &labels, Some(&weights)).unwrap(), weighted);
}

/// The same on the table with ties.
#[track_caller]
pub(crate) fn check_ties(
    metric: impl Fn(&Tensor, &[u32], Option<&[f64]>) -> Result<f64>,
    [plain, weighted]: [f64; 2],
) {
    let (probs, labels, weights) = ties();
    close(metric(&probs, &labels, None).unwrap(), plain);
    close(metric(&probs, &labels, Some(&weights)).unwrap(), weighted);
}

/// A metric that is averaged over the classes.
type Averaged = fn(&Tensor, &[u32], Average, Option<&[f64]>) -> Result<f64>;

/// Checks a metric that is averaged over the classes on both tables, for the averages macro, weighted, micro
/// and binary. Binary is for two classes: the label is odd, and the probabilities of the even classes and of
/// the odd ones are added.
#[track_caller]
pub(crate) fn check_averages(metric: Averaged, generic: [[f64; 2]; 4], with_ties: [[f64; 2]; 4]) {
    for ((probs, labels, weights), expected) in [(classification(), generic), (ties(), with_ties)] {
        let averages = [Average::Macro, Average::Weighted, Average::Micro, Average::Binary];
        let halves = |start| probs.narrow(1, start, 2).unwrap();
        let two = (halves(0) + halves(2)).unwrap();
        let odd: Vec<u32> = labels.iter().map(|label| label % 2).collect();
        for (average, [plain, weighted]) in averages.into_iter().zip(expected) {
            let (probs, labels) = if average == Average::Binary { (&two, &odd) } else { (&probs, &labels) };
            close(metric(probs, labels, average, None).unwrap(), plain);
            close(metric(probs, labels, average, Some(&weights)).unwrap(), weighted);
        }
        let e = metric(&probs, &labels, Average::Binary, None).unwrap_err().to_string();
        assert_eq!(e, "the number of classes for Average::Binary must be 2, but is 4");
    }
}

/// Checks a metric of regression predictions against its reference values without and with weights, for three
/// outputs and for the first output alone, as a vector.
#[track_caller]
pub(crate) fn check_regression(
    metric: impl Fn(&Tensor, &Tensor, Option<&[f64]>) -> Result<f64>,
    three_outputs: [f64; 2],
    one_output: [f64; 2],
) {
    check_shifted_regression(metric, 0.0, three_outputs, one_output);
}

/// The same with `shift` added to all predictions and targets.
#[track_caller]
pub(crate) fn check_shifted_regression(
    metric: impl Fn(&Tensor, &Tensor, Option<&[f64]>) -> Result<f64>,
    shift: f64,
    three_outputs: [f64; 2],
    one_output: [f64; 2],
) {
    let (predictions, targets, weights) = regression();
    let (predictions, targets) = ((predictions + shift).unwrap(), (targets + shift).unwrap());
    let first = |table: &Tensor| table.narrow(1, 0, 1).unwrap().squeeze(1).unwrap();
    for (p, t, [plain, weighted]) in
        [(&predictions, &targets, three_outputs), (&first(&predictions), &first(&targets), one_output)]
    {
        close(metric(p, t, None).unwrap(), plain);
        close(metric(p, t, Some(&weights)).unwrap(), weighted);
    }
}

/// Checks for equality except for the rounding of a few dozen operations.
#[track_caller]
pub(crate) fn close(a: f64, b: f64) {
    assert!((a - b).abs() <= 1e-13 * (1.0 + b.abs()), "{a} is not {b}");
}
