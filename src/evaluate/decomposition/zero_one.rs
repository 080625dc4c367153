//! Bias and variance of the error rate.
use crate::{
    evaluate::{row_targets::RowTarget, RowTargets},
    kernels::{argmax::argmax, cpu},
    Error, Result,
};
use candle_core::Tensor;
use serde::{Deserialize, Serialize};

/// Bias and variance of a classifier that is trained repeatedly; they add up to its expected error rate.
///
/// ```text
/// loss = noise + bias + net_variance,  net_variance = unbiased_variance − biased_variance
/// ```
///
/// See [`ZeroOneRepeats`].
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct ZeroOneBiasVariance {
    /// Number of repeats.
    pub repeats: usize,
    /// The expected error rate: the mean over the repeats.
    pub loss: f64,
    /// What the noise of the targets adds, `c₁ N`; 0 unless the class probabilities are known
    /// ([`ZeroOneRepeats::class_probabilities`]).
    pub noise: f64,
    /// The share of the rows whose main prediction is wrong.
    pub bias: f64,
    /// The mean probability that a repeat does not predict the main prediction.
    pub variance: f64,
    /// What the variance adds to the loss, on rows whose main prediction is right.
    pub unbiased_variance: f64,
    /// What the variance takes from the loss, on rows whose main prediction is wrong: the probability that a
    /// repeat is right there.
    pub biased_variance: f64,
    /// What the variance adds to the loss as a whole. It may be below 0.
    pub net_variance: f64,
}

/// Accumulates the classes that repeated trainings of one classifier predict, and decomposes their expected
/// error rate into bias and variance.
///
/// ```text
/// P(y ≠ t) = c₁ N + B + c₂ V
/// N = P(t ≠ y*),  B = [y_m ≠ y*],  V = P(y ≠ y_m)
/// c₁ = P(y = y*) − P(y ≠ y*) P(y = t | y ≠ y*, t ≠ y*)
/// c₂ = 1 where y_m = y*, and −P(y = y* | y ≠ y_m) elsewhere
/// ```
///
/// On each row `y` is the class that a repeat predicts, `t` the target, `y*` the best prediction, and `y_m` the
/// *main* prediction, the one that most repeats make (the lowest of equal ones). The parts are means over the
/// rows. The variance is not simply added: it costs where the main prediction is right, and helps where it is
/// wrong. For two classes `c₂` is −1 there.
///
/// With one target for each row the noise is not known. Then `y* = t`, the noise is 0, and the bias includes
/// it.
///
/// Take 10 repeats or more: the main prediction of few repeats is uncertain, and that of one has no variance.
///
/// It keeps `N·C` counts whatever the number of repeats. The cost of a repeat is one pass over its predictions.
///
/// ```
/// use candle_core::{Device, Tensor};
/// use candle_ensemble::evaluate::{decomposition::ZeroOneRepeats, RowTargets};
///
/// let mut repeats = ZeroOneRepeats::new(&RowTargets::classes(&[0, 0], 2)?)?;
/// for second_row in [[1f32, 0.], [0., 1.], [0., 1.], [0., 1.]] {
///     repeats.push(&Tensor::new(&[[1f32, 0.], second_row], &Device::Cpu)?)?;
/// }
/// let parts = repeats.finish()?; // the second row is wrong in three of four repeats
/// assert_eq!((parts.loss, parts.bias, parts.net_variance), (0.375, 0.5, -0.125));
/// # Ok::<(), candle_ensemble::Error>(())
/// ```
///
/// Sources: Domingos 2000, "A unified bias-variance decomposition and its applications", ICML; Valentini and
/// Dietterich 2004, JMLR 5:725 (net variance).
#[derive(Clone, Debug)]
pub struct ZeroOneRepeats {
    pub(super) targets: RowTargets,
    pub(super) repeats: u32,
    /// How many repeats predict each class, `(N, C)`.
    counts: Vec<u32>,
    /// The probability of each class, `(N, C)`.
    probabilities: Option<Vec<f64>>,
}

impl ZeroOneRepeats {
    /// Nothing accumulated yet.
    ///
    /// # Errors
    /// When the targets are values.
    pub fn new(targets: &RowTargets) -> Result<Self> {
        targets.labels("the 0-1 loss")?;
        let counts = vec![0; targets.rows() * targets.width()];
        Ok(Self { targets: targets.clone(), repeats: 0, counts, probabilities: None })
    }

    /// Sets the true probability of each class on each row, `(N, C)`, such as that of simulated data or the
    /// shares of several annotators. Then the noise is known, and the loss is the probability that a prediction
    /// differs from a target that is drawn anew; the labels do not count.
    ///
    /// # Errors
    /// When the shape is another one, or a row is not a distribution.
    pub fn class_probabilities(mut self, probabilities: &Tensor) -> Result<Self> {
        use super::loss::{check_rows, AdditiveLoss};
        let (rows, width) = (self.targets.rows(), self.targets.width());
        check_shape(probabilities, rows, width)?;
        self.probabilities = Some(cpu::with_slice(&probabilities.detach(), |values: &[f64]| {
            check_rows(AdditiveLoss::CrossEntropy, probabilities, values, width)?;
            let normalised = |row: &[f64]| {
                let sum: f64 = row.iter().map(|p| p.max(0.)).sum();
                row.iter().map(|p| p.max(0.) / sum).collect::<Vec<_>>()
            };
            Ok::<_, Error>(values.chunks_exact(width).flat_map(normalised).collect())
        })??);
        Ok(self)
    }

    /// Adds the predictions of one repeat, `(N, C)`: probabilities or any scores, of which the largest counts
    /// (the lowest class of equal ones).
    ///
    /// # Errors
    /// When the shape is another one, or a prediction is NaN. Nothing is added then.
    pub fn push(&mut self, predictions: &Tensor) -> Result<()> {
        let (rows, width) = (self.targets.rows(), self.targets.width());
        check_shape(predictions, rows, width)?;
        cpu::with_slice(&predictions.detach(), |values: &[f64]| {
            check_scores(values, width)?;
            self.repeats += 1;
            values.chunks_exact(width).enumerate().for_each(|(row, scores)| self.add(row, argmax(scores)));
            Ok(())
        })?
    }

    /// Adds the class of a row of the present repeat.
    pub(super) fn add(&mut self, row: usize, class: usize) {
        if let Some(count) = self.counts.get_mut(row * self.targets.width() + class) {
            *count += 1;
        }
    }

    /// Decomposes the error rate over the repeats so far.
    ///
    /// # Errors
    /// When there are no repeats.
    pub fn finish(&self) -> Result<ZeroOneBiasVariance> {
        if self.repeats == 0 {
            return Err(Error::invalid("number of repeats", "at least 1", 0));
        }
        let (width, mut sums) = (self.targets.width(), Parts::default());
        for (row, counts) in self.counts.chunks_exact(width).enumerate() {
            let parts = match &self.probabilities {
                None => self.row(row, counts),
                Some(all) => self.noisy_row(counts, all.get(row * width..).unwrap_or_default()),
            };
            sums.add(&parts, self.targets.weight(row));
        }
        let total = self.targets.total_weight();
        Ok(ZeroOneBiasVariance {
            repeats: self.repeats as usize,
            loss: sums.loss / total,
            noise: sums.noise / total,
            bias: sums.bias / total,
            variance: sums.variance / total,
            unbiased_variance: sums.unbiased / total,
            biased_variance: sums.biased / total,
            net_variance: (sums.unbiased - sums.biased) / total,
        })
    }

    /// The share of the repeats.
    fn share(&self, count: u32) -> f64 {
        f64::from(count) / f64::from(self.repeats)
    }

    /// The parts of a row whose best prediction is its label.
    fn row(&self, row: usize, counts: &[u32]) -> Parts {
        let RowTarget::Class(label) = self.targets.row(row) else { return Parts::default() };
        let right = counts.get(label).map_or(0., |count| self.share(*count));
        Parts { loss: 1. - right, ..self.around(counts, label) }
    }

    /// The parts of a row whose target is drawn with these probabilities.
    fn noisy_row(&self, counts: &[u32], probabilities: &[f64]) -> Parts {
        let probabilities = probabilities.get(..counts.len()).unwrap_or_default();
        let best = argmax(probabilities);
        let (mut right, mut noise) = (0., 0.);
        for (class, (count, p)) in counts.iter().zip(probabilities).enumerate() {
            let predicted = self.share(*count);
            right += predicted * p;
            noise += if class == best { predicted * (1. - p) } else { -predicted * p };
        }
        Parts { loss: 1. - right, noise, ..self.around(counts, best) }
    }

    /// Bias and variance of a row with this best prediction.
    fn around(&self, counts: &[u32], best: usize) -> Parts {
        let main = argmax(counts);
        let variance = 1. - self.share(counts[main]);
        let parts = Parts { variance, ..Parts::default() };
        match main == best {
            true => Parts { unbiased: variance, ..parts },
            // P(y = y* | y ≠ y_m) V, which is P(y = y*).
            false => Parts { bias: 1., biased: self.share(counts[best]), ..parts },
        }
    }
}

/// The parts of a row, or weighted sums of them.
#[derive(Default)]
struct Parts {
    loss: f64,
    noise: f64,
    bias: f64,
    variance: f64,
    unbiased: f64,
    biased: f64,
}

impl Parts {
    fn add(&mut self, row: &Self, weight: f64) {
        self.loss += weight * row.loss;
        self.noise += weight * row.noise;
        self.bias += weight * row.bias;
        self.variance += weight * row.variance;
        self.unbiased += weight * row.unbiased;
        self.biased += weight * row.biased;
    }
}

fn check_shape(table: &Tensor, rows: usize, width: usize) -> Result<()> {
    if table.dims() == [rows, width] {
        return Ok(());
    }
    let got = format!("{:?}", table.dims());
    Err(Error::invalid("shape of the predictions", format!("({rows}, {width})"), got))
}

pub(super) fn check_scores(values: &[f64], width: usize) -> Result<()> {
    match values.iter().position(|x| x.is_nan()) {
        None => Ok(()),
        Some(i) => Err(Error::invalid(format!("prediction in row {}", i / width), "a number", "NaN")),
    }
}
