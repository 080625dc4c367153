//! Bias, variance and diversity of ensembles over repeated trainings.
use super::{
    bias_variance::{unbiased, BiasVariance, BiasVarianceRepeats},
    loss::{check_rows, log_sum_exp, AdditiveLoss},
};
use crate::{evaluate::RowTargets, kernels::cpu, threads, Error, Result};
use candle_core::Tensor;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

/// Number of numbers of a member that are handled at a time.
const BLOCK: usize = 32 * 1024;

/// Bias, variance and diversity of an ensemble that is trained repeatedly; they add up to its expected loss.
///
/// ```text
/// loss = bias + variance − diversity = ensemble_bias + ensemble_variance
/// member_loss = bias + variance
/// ```
///
/// See [`DiversityRepeats`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct BiasVarianceDiversity {
    /// The loss.
    pub kind: AdditiveLoss,
    /// Number of repeats.
    pub repeats: usize,
    /// Number of slots, S.
    pub slots: usize,
    /// The expected loss of the ensemble, which combines its members by their centroid.
    pub loss: f64,
    /// The mean expected loss of the members.
    pub member_loss: f64,
    /// The mean bias of the members. It includes the noise of the targets.
    pub bias: f64,
    /// The mean variance of the members over the repeats.
    pub variance: f64,
    /// The expected mean divergence of the members from their ensemble: by how much the ensemble is better
    /// than its members on average.
    pub diversity: f64,
    /// The bias of the ensemble.
    pub ensemble_bias: f64,
    /// The variance of the ensemble over the repeats.
    pub ensemble_variance: f64,
    /// Bias and variance of each slot.
    pub members: Vec<BiasVariance>,
}

impl BiasVarianceDiversity {
    /// Estimates without the bias of few repeats, for the squared error; see [`BiasVariance::unbiased`].
    #[must_use]
    pub fn unbiased(&self) -> Option<Self> {
        let of = |parts| unbiased(self.kind, self.repeats, parts);
        let (bias, variance) = of((self.bias, self.variance))?;
        let (ensemble_bias, ensemble_variance) = of((self.ensemble_bias, self.ensemble_variance))?;
        let members = self.members.iter().map(BiasVariance::unbiased).collect::<Option<_>>()?;
        Some(Self { bias, variance, ensemble_bias, ensemble_variance, members, ..self.clone() })
    }
}

/// Accumulates the predictions of repeatedly trained ensembles, and decomposes the expected loss of the
/// ensemble into the bias, the variance and the diversity of its members.
///
/// ```text
/// E[L(y, q̄)] = 1/S Σ_s L(y, q_s*) + 1/S Σ_s E[B(q_s*, q_s)] − E[1/S Σ_s B(q̄, q_s)]
/// q̄ = centroid of q_s over the slots,  q_s* = centroid of q_s over the repeats
/// ```
///
/// `q_s` are the predictions of slot `s` in one repeat; the predictions of a repeat are `(S, N, C)` (slots,
/// rows, classes or outputs). The expectation is the mean over the repeats. Slot `s` must mean the same in
/// each repeat, such as the same architecture; slots that differ only by their seeds are alike in any order.
/// See [`AdditiveLoss`] for the centroids and divergences. The sum holds for ensembles that combine by the
/// centroid: the mean for the squared error, and the geometric mean for the cross-entropy.
///
/// Diversity lowers the loss, but it is not free: more of it often comes with more bias or variance of the
/// members. It is a part of the fit, and not a goal of its own.
///
/// Take 10 repeats or more; with few repeats a part of the variance counts as bias. The diversity has no such
/// error.
///
/// It keeps `(S + 1)·N·C` numbers whatever the number of repeats. The cost of a repeat is one pass over its
/// predictions.
///
/// ```
/// use candle_core::{Device, Tensor};
/// use candle_ensemble::evaluate::{decomposition::*, RowTargets};
///
/// let targets = RowTargets::values(&Tensor::new(&[0f32], &Device::Cpu)?)?;
/// let mut repeats = DiversityRepeats::new(AdditiveLoss::Squared, &targets)?;
/// for [first, second] in [[1f32, 3.], [3., 3.]] {
///     repeats.push(&Tensor::new(&[[[first]], [[second]]], &Device::Cpu)?)?;
/// }
/// let parts = repeats.finish()?;
/// assert_eq!(parts.loss, (4. + 9.) / 2.); // the ensembles predict 2 and 3
/// assert_eq!((parts.bias, parts.variance, parts.diversity), ((4. + 9.) / 2., (1. + 0.) / 2., (1. + 0.) / 2.));
/// # Ok::<(), candle_ensemble::Error>(())
/// ```
///
/// Source: Wood, Mu, Webb, Reeve, Luján and Brown 2023, "A unified theory of diversity in ensemble learning",
/// arXiv:2301.03962, JMLR 24:359.
#[derive(Clone, Debug)]
pub struct DiversityRepeats {
    kind: AdditiveLoss,
    targets: RowTargets,
    members: Vec<BiasVarianceRepeats>,
    ensemble: BiasVarianceRepeats,
    /// The weighted sum over all repeats of the mean divergences of the members from their ensemble.
    diversity: f64,
}

impl DiversityRepeats {
    /// Nothing accumulated yet.
    ///
    /// # Errors
    /// When the loss is the cross-entropy and the targets are values.
    pub fn new(kind: AdditiveLoss, targets: &RowTargets) -> Result<Self> {
        let ensemble = BiasVarianceRepeats::new(kind, targets)?;
        Ok(Self { kind, targets: targets.clone(), members: vec![], ensemble, diversity: 0. })
    }

    /// Adds the predictions of the members of one repeat, `(S, N, C)`, of any float type: probabilities, or
    /// values. `S` must be the same for all repeats.
    ///
    /// # Errors
    /// When the shape is another one, a prediction is not finite, or, for the cross-entropy, a row is not a
    /// distribution. Nothing is added then.
    pub fn push(&mut self, predictions: &Tensor) -> Result<()> {
        let slots = check_slots(predictions, &self.targets, self.members.len())?;
        let width = self.targets.width();
        cpu::with_slice(&predictions.detach(), |values: &[f64]| {
            check_rows(self.kind, predictions, values, width)?;
            if self.members.is_empty() {
                let member = || BiasVarianceRepeats::new(self.kind, &self.targets);
                self.members = (0..slots).map(|_| member()).collect::<Result<_>>()?;
            }
            threads::wide(|| self.add(values));
            Ok(())
        })?
    }

    fn add(&mut self, values: &[f64]) {
        let (rows, width) = (self.targets.rows(), self.targets.width());
        let kind = self.kind;
        self.members.iter_mut().chain([&mut self.ensemble]).for_each(|one| one.repeats += 1);
        let step = (BLOCK / width).max(1);
        let mut duals = vec![vec![]; self.members.len()];
        for start in (0..rows).step_by(step) {
            let cells = start * width..(start + step).min(rows) * width;
            let slots = values.par_chunks_exact(rows * width).zip(&mut duals).zip(&mut self.members);
            slots.for_each(|((values, dual), member)| {
                dual.clear();
                dual.extend_from_slice(values.get(cells.clone()).unwrap_or_default());
                dual.chunks_exact_mut(width).for_each(|row| kind.to_dual(row));
                member.add_rows(start, dual);
            });
            self.add_ensemble(start, &duals);
        }
    }

    /// Adds rows of the ensemble of members whose predictions are given in dual coordinates.
    fn add_ensemble(&mut self, start: usize, duals: &[Vec<f64>]) {
        let (width, slots) = (self.targets.width(), duals.len() as f64);
        let mut centroid = vec![0.; duals.first().map_or(0, Vec::len)];
        for dual in duals {
            centroid.iter_mut().zip(dual).for_each(|(sum, x)| *sum += x);
        }
        centroid.iter_mut().for_each(|sum| *sum /= slots);
        let scale = self.kind.scale(&self.targets);
        for (i, row) in centroid.chunks_exact_mut(width).enumerate() {
            let diversity = match self.kind {
                AdditiveLoss::Squared => {
                    let of = |dual: &Vec<f64>| -> f64 {
                        let values = dual.get(i * width..).unwrap_or_default();
                        row.iter().zip(values).map(|(mean, x)| (mean - x).powi(2)).sum()
                    };
                    scale * duals.iter().map(of).sum::<f64>() / slots
                }
                AdditiveLoss::CrossEntropy => {
                    let log_sum = log_sum_exp(row);
                    row.iter_mut().for_each(|x| *x -= log_sum);
                    (-log_sum).max(0.)
                }
            };
            self.diversity += self.targets.weight(start + i) * diversity;
        }
        self.ensemble.add_rows(start, &centroid);
    }

    /// Decomposes the loss over the repeats so far.
    ///
    /// # Errors
    /// When there are no repeats.
    pub fn finish(&self) -> Result<BiasVarianceDiversity> {
        let ensemble = self.ensemble.finish()?;
        let members = self.members.iter().map(BiasVarianceRepeats::finish).collect::<Result<Vec<_>>>()?;
        let slots = members.len();
        let mean = |of: fn(&BiasVariance) -> f64| members.iter().map(of).sum::<f64>() / slots as f64;
        Ok(BiasVarianceDiversity {
            kind: self.kind,
            repeats: ensemble.repeats,
            slots,
            loss: ensemble.loss,
            member_loss: mean(|member| member.loss),
            bias: mean(|member| member.bias),
            variance: mean(|member| member.variance),
            diversity: self.diversity / (ensemble.repeats as f64 * self.targets.total_weight()),
            ensemble_bias: ensemble.bias,
            ensemble_variance: ensemble.variance,
            members,
        })
    }
}

/// Checks that predictions are `(S, N, C)` for as many slots as before, where there were any, and returns the
/// number of slots.
pub(super) fn check_slots(predictions: &Tensor, targets: &RowTargets, before: usize) -> Result<usize> {
    let (rows, width) = (targets.rows(), targets.width());
    match predictions.dims() {
        [slots, n, c] if *slots > 0 && [*n, *c] == [rows, width] && (before == 0 || before == *slots) => {
            Ok(*slots)
        }
        got => {
            let slots = if before == 0 { "S".into() } else { before.to_string() };
            let must = format!("({slots}, {rows}, {width})");
            Err(Error::invalid("shape of the predictions", must, format!("{got:?}")))
        }
    }
}
