//! Bias and variance of one predictor over repeated trainings.
use super::loss::{check_rows, log_sum_exp, AdditiveLoss};
use crate::{evaluate::RowTargets, kernels::cpu, Error, Result};
use candle_core::Tensor;
use serde::{Deserialize, Serialize};

/// Bias and variance of a predictor that is trained repeatedly; they add up to its expected loss.
///
/// ```text
/// loss = bias + variance
/// ```
///
/// See [`BiasVarianceRepeats`].
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct BiasVariance {
    /// The loss.
    pub kind: AdditiveLoss,
    /// Number of repeats.
    pub repeats: usize,
    /// The expected loss: the mean over the repeats.
    pub loss: f64,
    /// The loss of the centroid of the repeats' predictions. It includes the noise of the targets.
    pub bias: f64,
    /// The mean divergence of a repeat's prediction from the centroid: what the choice of the seed and of the
    /// training rows changes.
    pub variance: f64,
}

impl BiasVariance {
    /// Estimates without the bias of few repeats, for the squared error; `None` for another loss, and for one
    /// repeat.
    ///
    /// ```text
    /// variance · R/(R − 1),  bias − variance/(R − 1)
    /// ```
    ///
    /// The centroid of R repeats varies itself by 1/R of the variance. The plain parts count that as bias: for
    /// 5 repeats a fifth of the variance. The sum of the parts stays the same. The bias may come out below 0
    /// when it is small.
    #[must_use]
    pub fn unbiased(&self) -> Option<Self> {
        let (bias, variance) = unbiased(self.kind, self.repeats, (self.bias, self.variance))?;
        Some(Self { bias, variance, ..*self })
    }
}

/// Bias and variance without the bias of few repeats.
pub(super) fn unbiased(kind: AdditiveLoss, repeats: usize, parts: (f64, f64)) -> Option<(f64, f64)> {
    if kind != AdditiveLoss::Squared || repeats < 2 {
        return None;
    }
    let shift = parts.1 / (repeats - 1) as f64;
    Some((parts.0 - shift, parts.1 + shift))
}

/// Accumulates the predictions of repeated trainings of one predictor, and decomposes their expected loss into
/// bias and variance.
///
/// ```text
/// E[L(y, q)] = L(y, q*) + E[B(q*, q)],  q* = centroid of q over the repeats
/// ```
///
/// `q` are the predictions of one repeat, such as those of one ensemble by any combiner, `(N, C)` (rows,
/// classes or outputs). For the squared error `B(q*, q)` is `(q* − q)²`, and for the cross-entropy
/// `KL(q* ‖ q)`. The expectation is the mean over the repeats. Compare the parts of an ensemble with those of a
/// single network to see what the ensemble lowers; for most it is the variance.
///
/// Take 10 repeats or more, each from seeds of its own: with few repeats a part of the variance counts as bias
/// (see [`BiasVariance::unbiased`]). When all repeats train on the same rows, the variance is that of the
/// seeds alone.
///
/// It keeps `N·C` numbers whatever the number of repeats. The cost of a repeat is one pass over its
/// predictions.
///
/// ```
/// use candle_core::{Device, Tensor};
/// use candle_ensemble::evaluate::{decomposition::*, RowTargets};
///
/// let targets = RowTargets::values(&Tensor::new(&[1f32], &Device::Cpu)?)?;
/// let mut repeats = BiasVarianceRepeats::new(AdditiveLoss::Squared, &targets)?;
/// for predicted in [2f32, 4.] {
///     repeats.push(&Tensor::new(&[[predicted]], &Device::Cpu)?)?;
/// }
/// let parts = repeats.finish()?;
/// assert_eq!((parts.loss, parts.bias, parts.variance), (5., 4., 1.)); // (1 + 9)/2 = (3 − 1)² + 1
/// # Ok::<(), candle_ensemble::Error>(())
/// ```
///
/// Sources: Geman, Bienenstock and Doursat 1992, doi:10.1162/neco.1992.4.1.1 (squared error); Heskes 1998,
/// doi:10.1162/089976698300017232 (cross-entropy); Pfau 2013, "A generalized bias-variance decomposition for
/// Bregman divergences".
#[derive(Clone, Debug)]
pub struct BiasVarianceRepeats {
    pub(super) kind: AdditiveLoss,
    pub(super) targets: RowTargets,
    pub(super) repeats: usize,
    scale: f64,
    /// The mean over the repeats, `(N, C)`, in the coordinates of [`AdditiveLoss::to_dual`].
    mean: Vec<f64>,
    /// The weighted sum of the squared distances from the mean.
    spread: f64,
    /// The weighted sum of the losses of all repeats.
    loss: f64,
}

impl BiasVarianceRepeats {
    /// Nothing accumulated yet.
    ///
    /// # Errors
    /// When the loss is the cross-entropy and the targets are values.
    pub fn new(kind: AdditiveLoss, targets: &RowTargets) -> Result<Self> {
        kind.check(targets)?;
        Ok(Self {
            kind,
            targets: targets.clone(),
            repeats: 0,
            scale: kind.scale(targets),
            mean: vec![0.; targets.rows() * targets.width()],
            spread: 0.,
            loss: 0.,
        })
    }

    /// Adds the predictions of one repeat, `(N, C)`, of any float type: probabilities, or values.
    ///
    /// # Errors
    /// When the shape is another one, a prediction is not finite, or, for the cross-entropy, a row is not a
    /// distribution. Nothing is added then.
    pub fn push(&mut self, predictions: &Tensor) -> Result<()> {
        let (rows, width) = (self.targets.rows(), self.targets.width());
        if predictions.dims() != [rows, width] {
            let got = format!("{:?}", predictions.dims());
            return Err(Error::invalid("shape of the predictions", format!("({rows}, {width})"), got));
        }
        cpu::with_slice(&predictions.detach(), |values: &[f64]| {
            check_rows(self.kind, predictions, values, width)?;
            self.repeats += 1;
            let mut buffer = vec![0.; width];
            for (row, values) in values.chunks_exact(width).enumerate() {
                buffer.copy_from_slice(values);
                self.kind.to_dual(&mut buffer);
                self.add_rows(row, &buffer);
            }
            Ok(())
        })?
    }

    /// Adds rows of the present repeat in dual coordinates, from row number `start` on.
    pub(super) fn add_rows(&mut self, start: usize, dual: &[f64]) {
        let (width, repeats) = (self.targets.width(), self.repeats as f64);
        let means = self.mean.chunks_exact_mut(width).skip(start);
        for ((row, values), means) in (start..).zip(dual.chunks_exact(width)).zip(means) {
            let (target, weight) = (self.targets.row(row), self.targets.weight(row));
            let (mut spread, mut loss) = (0., 0.);
            for (column, (x, mean)) in values.iter().zip(means).enumerate() {
                let before = x - *mean;
                *mean += before / repeats;
                match self.kind {
                    AdditiveLoss::Squared => {
                        spread += before * (x - *mean);
                        loss += (x - target.column(column)).powi(2);
                    }
                    AdditiveLoss::CrossEntropy => loss -= target.column(column) * x,
                }
            }
            self.spread += weight * self.scale * spread;
            self.loss += weight * self.scale * loss;
        }
    }

    /// Decomposes the loss over the repeats so far.
    ///
    /// # Errors
    /// When there are no repeats.
    pub fn finish(&self) -> Result<BiasVariance> {
        if self.repeats == 0 {
            return Err(Error::invalid("number of repeats", "at least 1", 0));
        }
        let (repeats, total) = (self.repeats as f64, self.targets.total_weight());
        let (mut bias, mut variance) = (0., self.spread / repeats);
        for (row, mean) in self.mean.chunks_exact(self.targets.width()).enumerate() {
            let (target, weight) = (self.targets.row(row), self.targets.weight(row));
            let columns = mean.iter().enumerate();
            match self.kind {
                AdditiveLoss::Squared => {
                    let squares = columns.map(|(k, mean)| (mean - target.column(k)).powi(2));
                    bias += weight * self.scale * squares.sum::<f64>();
                }
                AdditiveLoss::CrossEntropy => {
                    // The mean of KL(q* ‖ q) over the repeats is minus the logarithm by which their geometric
                    // mean is normalised.
                    let log_sum = log_sum_exp(mean);
                    let log_label: f64 = columns.map(|(k, mean)| target.column(k) * mean).sum();
                    bias += weight * (log_sum - log_label);
                    variance += weight * (-log_sum).max(0.);
                }
            }
        }
        let (kind, loss) = (self.kind, self.loss / (repeats * total));
        Ok(BiasVariance { kind, repeats: self.repeats, loss, bias: bias / total, variance: variance / total })
    }
}
