//! The effects of variance and diversity on the error rate of majority votes.
use super::{
    bias_variance_diversity::check_slots,
    zero_one::{check_scores, ZeroOneBiasVariance, ZeroOneRepeats},
};
use crate::{
    evaluate::RowTargets,
    kernels::{argmax::argmax, cpu},
    Result,
};
use candle_core::Tensor;
use serde::{Deserialize, Serialize};

/// The bias, the effect of the variance and the effect of the diversity on the error rate of a majority vote
/// that is trained repeatedly; they add up to its expected error rate.
///
/// ```text
/// loss = bias + variance_effect − diversity_effect = ensemble_bias + ensemble_variance_effect
/// member_loss = bias + variance_effect
/// ```
///
/// See [`DiversityEffectRepeats`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DiversityEffect {
    /// Number of repeats.
    pub repeats: usize,
    /// Number of slots, S.
    pub slots: usize,
    /// The expected error rate of the majority vote.
    pub loss: f64,
    /// The mean expected error rate of the members.
    pub member_loss: f64,
    /// The mean error rate of the members' main predictions.
    pub bias: f64,
    /// By how much the error rate of a member is higher than that of its main predictions, on average. It may
    /// be below 0.
    pub variance_effect: f64,
    /// By how much the error rate of the majority vote is lower than the mean of its members'. It may be below
    /// 0.
    pub diversity_effect: f64,
    /// The error rate of the majority vote's main predictions.
    pub ensemble_bias: f64,
    /// By how much the error rate of the majority vote is higher than that of its main predictions. It may be
    /// below 0.
    pub ensemble_variance_effect: f64,
    /// Bias and variance of each slot.
    pub members: Vec<ZeroOneBiasVariance>,
}

/// Accumulates the classes that the members of repeatedly trained ensembles predict, and decomposes the
/// expected error rate of their majority vote.
///
/// ```text
/// bias             = 1/S Σ_s L(t, y_s*)
/// variance effect  = 1/S Σ_s (E[L(t, y_s)] − L(t, y_s*))
/// diversity effect = 1/S Σ_s E[L(t, y_s)] − E[L(t, ȳ)]
/// ```
///
/// `L` is 1 for a wrong class and 0 for the right one, `y_s` the class of slot `s` in a repeat, `y_s*` the class
/// that slot `s` predicts in most repeats, and `ȳ` the class that most slots of a repeat predict; the lowest of
/// equally frequent classes counts. The expectation is the mean over the repeats; the predictions of a repeat
/// are `(S, N, C)` (slots, rows, classes).
///
/// For the error rate no variance and no diversity exist that would be independent of the targets and add up
/// ([`AdditiveLoss`](super::AdditiveLoss) has the losses for which they do). The paper therefore defines their
/// *effects* as differences of losses, after James and Hastie. An effect depends on the targets and may be
/// negative: disagreement costs where most members are wrong.
///
/// It keeps `(S + 1)·N·C` counts whatever the number of repeats. The cost of a repeat is one pass over its
/// predictions.
///
/// ```
/// use candle_core::{Device, Tensor};
/// use candle_ensemble::evaluate::{decomposition::DiversityEffectRepeats, RowTargets};
///
/// // Three members; in the first repeat the first one is wrong, in the second the second one.
/// let (right, wrong) = ([[0.9f32, 0.1]], [[0.2, 0.8]]);
/// let mut repeats = DiversityEffectRepeats::new(&RowTargets::classes(&[0], 2)?)?;
/// repeats.push(&Tensor::new(&[wrong, right, right], &Device::Cpu)?)?;
/// repeats.push(&Tensor::new(&[right, wrong, right], &Device::Cpu)?)?;
/// let parts = repeats.finish()?; // the vote is always right
/// assert_eq!(parts.loss, 0.);
/// assert!((parts.diversity_effect - 1. / 3.).abs() < 1e-15);
/// # Ok::<(), candle_ensemble::Error>(())
/// ```
///
/// Sources: Wood, Mu, Webb, Reeve, Luján and Brown 2023, "A unified theory of diversity in ensemble learning",
/// arXiv:2301.03962, JMLR 24:359, section 6; James and Hastie 1997, "Generalizations of the bias/variance
/// decomposition for prediction error".
#[derive(Clone, Debug)]
pub struct DiversityEffectRepeats {
    targets: RowTargets,
    members: Vec<ZeroOneRepeats>,
    ensemble: ZeroOneRepeats,
}

impl DiversityEffectRepeats {
    /// Nothing accumulated yet.
    ///
    /// # Errors
    /// When the targets are values.
    pub fn new(targets: &RowTargets) -> Result<Self> {
        Ok(Self { targets: targets.clone(), members: vec![], ensemble: ZeroOneRepeats::new(targets)? })
    }

    /// Adds the predictions of the members of one repeat, `(S, N, C)`: probabilities or any scores, of which
    /// the largest counts (the lowest class of equal ones). `S` must be the same for all repeats.
    ///
    /// # Errors
    /// When the shape is another one, or a prediction is NaN. Nothing is added then.
    pub fn push(&mut self, predictions: &Tensor) -> Result<()> {
        let slots = check_slots(predictions, &self.targets, self.members.len())?;
        let (rows, width) = (self.targets.rows(), self.targets.width());
        cpu::with_slice(&predictions.detach(), |values: &[f64]| {
            check_scores(values, width)?;
            if self.members.is_empty() {
                self.members = vec![ZeroOneRepeats::new(&self.targets)?; slots];
            }
            self.members.iter_mut().chain([&mut self.ensemble]).for_each(|one| one.repeats += 1);
            let mut votes = vec![0u32; width];
            for row in 0..rows {
                votes.fill(0);
                for (member, values) in self.members.iter_mut().zip(values.chunks_exact(rows * width)) {
                    let class = argmax(values.get(row * width..(row + 1) * width).unwrap_or_default());
                    member.add(row, class);
                    votes[class] += 1;
                }
                self.ensemble.add(row, argmax(&votes));
            }
            Ok(())
        })?
    }

    /// Decomposes the error rate over the repeats so far.
    ///
    /// # Errors
    /// When there are no repeats.
    pub fn finish(&self) -> Result<DiversityEffect> {
        let ensemble = self.ensemble.finish()?;
        let members = self.members.iter().map(ZeroOneRepeats::finish).collect::<Result<Vec<_>>>()?;
        let slots = members.len();
        let mean = |of: fn(&ZeroOneBiasVariance) -> f64| members.iter().map(of).sum::<f64>() / slots as f64;
        let member_loss = mean(|member| member.loss);
        Ok(DiversityEffect {
            repeats: ensemble.repeats,
            slots,
            loss: ensemble.loss,
            member_loss,
            bias: mean(|member| member.bias),
            variance_effect: mean(|member| member.net_variance),
            diversity_effect: member_loss - ensemble.loss,
            ensemble_bias: ensemble.bias,
            ensemble_variance_effect: ensemble.net_variance,
            members,
        })
    }
}
