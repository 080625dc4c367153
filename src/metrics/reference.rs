//! The tables from which `tests/reference/metrics.py` computes its numbers, and comparisons with these
//! numbers.
use crate::Result;
use candle_core::{Device, Tensor};

const ROWS: usize = 60;

/// Probabilities `(60, 4)` in f64, labels, weights.
pub(crate) fn classification() -> (Tensor, Vec<u32>, Vec<f64>) {
    const CLASSES: usize = 4;
    let (mut probs, mut labels) = (Vec::new(), Vec::new());
    for i in 0..ROWS {
        let raw: Vec<usize> = (0..CLASSES).map(|c| (i * 37 + c * 101 + i * c * 17) % 97 + 1).collect();
        let total: usize = raw.iter().sum();
        probs.extend(raw.iter().map(|&r| r as f64 / total as f64));
        let most = *raw.iter().max().unwrap();
        let top = raw.iter().position(|&r| r == most).unwrap();
        labels.push(if i % 3 == 0 { (i * i + 1) % CLASSES } else { top } as u32);
    }
    (Tensor::from_vec(probs, (ROWS, CLASSES), &Device::Cpu).unwrap(), labels, weights())
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

/// Checks a metric of regression predictions against its reference values without and with weights, for three
/// outputs and for the first output alone, as a vector.
#[track_caller]
pub(crate) fn check_regression(
    metric: impl Fn(&Tensor, &Tensor, Option<&[f64]>) -> Result<f64>,
    three_outputs: [f64; 2],
    one_output: [f64; 2],
) {
    let (predictions, targets, weights) = regression();
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
