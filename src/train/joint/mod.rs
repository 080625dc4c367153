//! Joint losses: what the members of one network minimise together. Each has a file with its formula.
//!
//! To add one, write a file with its entry of the registry and its loss, a variant of [`JointLoss`], and a line in the functions
//! below.
mod fusion;
mod member_mean;
mod negative_correlation;
mod soft_gradient_boosting;

use crate::{
    data::{Batch, Task},
    network::{Aggregation, MemberBatches, Members, Output},
    registry::{Entry, Registry},
    train::{Loss, TrainConfig},
    Error, Result,
};
use candle_core::{Result as CResult, Tensor};
use serde::{Deserialize, Serialize};
use std::{fmt, sync::LazyLock};

/// The loss that the `M` members of one network minimise together.
///
/// ```text
/// MemberMean            1/M Σ_m l(o_m, y)                          each member learns by itself
/// Fusion                l(ō, y)                                    all learn as one
/// NegativeCorrelation   (1 − λ) 1/M Σ_m l(o_m, y) + λ l(ō, y)      between the two
/// SoftGradientBoosting  Σ_m (o_m − y + p(ν Σ_{i<m} o_i))²          each learns what those before it leave
/// ```
///
/// `o_m` are the outputs of member `m`, `ō` is their mean, and `l` is the mean [`Loss`] of the batch, by the weights of its
/// rows. A network holds several members if [`Network::members`](crate::Network::members) says so; the losses other than the
/// mean of the members need members that train on the same batch ([`MemberBatches::Shared`]).
///
/// [`aggregation`](Self::aggregation) says how the members predict. The validation loss, early stopping and the metrics of the
/// learning curve are those of the aggregated prediction, except that the metric of training rows with
/// [`MemberMean`](Self::MemberMean) is the mean over the members. A pool predicts the same with the
/// [`Mean`](crate::combine::Mean) of the members for values, and for classes of members that were trained by themselves. For
/// classes of members that were trained as one and put out logits, it does so with their
/// [`GeometricMean`](crate::combine::GeometricMean), which is the softmax of the mean of logits.
///
/// Use [`MemberMean`](Self::MemberMean), the default, where members differ by themselves, as those of BatchEnsemble, TabM and
/// independent networks do. Use [`NegativeCorrelation`](Self::NegativeCorrelation) for small members that underfit, which may
/// share a task; large members then learn to rely on each other, and generalize worse with a large `λ` (Webb et al. 2020).
///
/// # Errors
/// A session returns [`Error::Invalid`] before it trains, if a parameter is out of range or the loss of the trainer does not go
/// with the joint loss. A run fails before its first step, if the network has not several members that train on one batch.
///
/// ```
/// use candle_ensemble::train::{JointLoss, Trainer};
///
/// let trainer = Trainer::new(|vb| candle_nn::linear(2, 1, vb))
///     .joint_loss(JointLoss::NegativeCorrelation { lambda: 0.5 });
/// assert_eq!(JointLoss::registry().parse("negative-correlation:0.5")?, trainer.config().joint_loss);
/// assert_eq!(JointLoss::registry().parse("sgb:0.1")?, JointLoss::SoftGradientBoosting { shrinkage: 0.1 });
/// # Ok::<(), candle_ensemble::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum JointLoss {
    /// The mean of the members' losses, never the loss of their mean:
    ///
    /// ```text
    /// loss = 1/M Σ_m l(o_m, y)
    /// ```
    ///
    /// Members predict as those of any ensemble do: the prediction is the mean of their probabilities or values.
    ///
    /// Source: Gorishniy, Kotelnikov and Babenko 2025, arXiv:2410.24210.
    #[default]
    MemberMean,
    /// One loss of the mean of the members' outputs, such as their logits:
    ///
    /// ```text
    /// loss = l(1/M Σ_m o_m, y)
    /// ```
    ///
    /// No member learns to predict alone. It is the fusion of torchensemble.
    Fusion,
    /// Negative correlation learning: from independent members (`λ = 0`, the mean of the members' losses) to members that learn as
    /// one (`λ = 1`, as [`Fusion`](Self::Fusion)).
    ///
    /// ```text
    /// loss = (1 − λ) 1/M Σ_m l(o_m, y) + λ l(ō, y)
    ///      = 1/M Σ_m [(o_m − y)² − λ (o_m − ō)²]          for the squared error
    /// ```
    ///
    /// The second line is the loss of Liu and Yao, up to their factor ½: its gradient for `o_m` is `2/M [(o_m − y) − λ (o_m − ō)]`.
    /// Both lines are equal by the decomposition of the squared error into that of the members and their ambiguity. The first line
    /// is its generalization to other losses; of classes it averages logits.
    ///
    /// Sources: Liu and Yao 1999, doi:10.1016/S0893-6080(99)00073-8. Buschjäger, Pfahler and Morik 2020, arXiv:2011.02952. Webb et
    /// al. 2020, arXiv:1902.04422.
    NegativeCorrelation {
        /// How much the members learn as one, `λ`, from 0 to 1.
        lambda: f64,
    },
    /// Soft gradient boosting: all members learn at once, each what those before it leave.
    ///
    /// ```text
    /// r_m = y − p(ν Σ_{i<m} o_i)                 p is the identity for values, the softmax for classes
    /// loss = Σ_m mean squared error of o_m and r_m
    /// prediction: p(ν Σ_m o_m)
    /// ```
    ///
    /// The targets of classes are vectors with a 1 at the class; of two classes with one logit, 0 or 1, and `p` is the sigmoid.
    /// The squared error is the mean over rows and numbers; torchensemble sums over them by default, with smaller learning rates.
    /// Gradients pass through the residuals too, so that a member also learns what helps those after it. The prediction is a sum
    /// ([`Aggregation::SumOutput`]), so `ν` is both what each member contributes and what it leaves.
    ///
    /// The squared error takes the place of the trainer's loss, which has to be unset or the squared error. The validation loss
    /// of classes is the cross-entropy of the prediction.
    ///
    /// Source: Feng, Xu, Wang and Jiang 2020, arXiv:2006.04059.
    SoftGradientBoosting {
        /// What each member contributes to the sum, the shrinkage `ν`, above 0 and at most 1.
        shrinkage: f64,
    },
}

impl JointLoss {
    /// The joint losses by name. The trainer reads such a text from a run's setting `"joint_loss"`.
    #[must_use]
    pub fn registry() -> &'static Registry<Self> {
        const ENTRIES: &[Entry<JointLoss>] =
            &[member_mean::ENTRY, fusion::ENTRY, negative_correlation::ENTRY, soft_gradient_boosting::ENTRY];
        static REGISTRY: LazyLock<Registry<JointLoss>> =
            LazyLock::new(|| Registry::new("joint loss", ENTRIES.to_vec()));
        &REGISTRY
    }

    /// How members that were trained with this loss predict together.
    #[must_use]
    pub fn aggregation(self) -> Aggregation {
        match self {
            Self::MemberMean => Aggregation::MeanPrediction,
            // The members are independent.
            Self::NegativeCorrelation { lambda: 0. } => Aggregation::MeanPrediction,
            Self::Fusion | Self::NegativeCorrelation { .. } => Aggregation::MeanOutput,
            Self::SoftGradientBoosting { shrinkage } => Aggregation::SumOutput { factor: shrinkage },
        }
    }

    /// Checks that the parameters are in their ranges.
    ///
    /// # Errors
    /// [`Error::Invalid`] that names the parameter.
    pub fn check(self) -> Result<()> {
        match self {
            Self::MemberMean | Self::Fusion => Ok(()),
            Self::NegativeCorrelation { lambda } => negative_correlation::check(lambda),
            Self::SoftGradientBoosting { shrinkage } => soft_gradient_boosting::check(shrinkage),
        }
    }

    /// Checks that it goes with the losses of the trainer and the output of the network.
    pub(crate) fn check_with(self, config: &TrainConfig, task: Task, output: Output) -> Result<()> {
        self.check()?;
        if self != Self::MemberMean && output.is_distribution() {
            let must = format!("one whose mean is an output, for {self:?}, such as Output::Logits");
            return Err(Error::invalid("the output of the network", must, format!("Output::{output:?}")));
        }
        let has_parts = matches!(self, Self::NegativeCorrelation { .. } | Self::SoftGradientBoosting { .. });
        if has_parts && config.distillation.is_some() {
            return Err(Error::invalid("distillation", format!("off with {self:?}"), "on"));
        }
        match self {
            Self::SoftGradientBoosting { .. } => soft_gradient_boosting::check_with(config, task, output),
            _ => Ok(()),
        }
    }

    /// Checks that it goes with the members of the network.
    pub(crate) fn check_members(self, members: Members) -> Result<()> {
        let together = members.count > 1 && members.batches == MemberBatches::Shared;
        if self == Self::MemberMean || together {
            return Ok(());
        }
        let must =
            "JointLoss::MemberMean for a network that has not several members that train on one batch \
                    (MemberBatches::Shared)";
        Err(Error::invalid("the joint loss", must, format!("{self:?} for {members:?}")))
    }

    /// Whether the outputs of the members become one output before the loss, so that the training is that of one member.
    pub(crate) fn fuses(self) -> bool {
        self == Self::Fusion
    }

    /// Whether the members learn parts of one prediction, which counts in the metric of the training rows.
    pub(crate) fn is_of_parts(self) -> bool {
        !self.fuses() && self.aggregation() != Aggregation::MeanPrediction
    }

    /// The loss of a batch from the outputs of all members, `(M·B, …)`, and their targets, which are those of the batch for each
    /// member. `mean` is the mean loss of outputs for a batch.
    pub(crate) fn loss(
        self,
        (task, members): (Task, usize),
        (output, batch): (&Tensor, &Batch),
        mean: impl Fn(&Tensor, &Batch) -> CResult<Tensor>,
    ) -> CResult<Tensor> {
        match self {
            Self::NegativeCorrelation { lambda } if self.is_of_parts() => {
                negative_correlation::loss((lambda, members), (output, batch), mean)
            }
            Self::SoftGradientBoosting { shrinkage } => {
                soft_gradient_boosting::loss((shrinkage, members), task, (output, batch))
            }
            _ => mean(output, batch),
        }
    }
}

/// The targets and weights of the first of several members, from those of all.
pub(crate) fn of_one(batch: &Batch, members: usize) -> CResult<Batch> {
    let first = |all: &Tensor| all.narrow(0, 0, all.dim(0)? / members.max(1));
    let weights = batch.weights.as_ref().map(first).transpose()?;
    Ok(Batch { inputs: batch.inputs.clone(), targets: first(&batch.targets)?, weights })
}

/// As [`registry`](JointLoss::registry) reads it.
impl fmt::Display for JointLoss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::MemberMean => f.write_str("member-mean"),
            Self::Fusion => f.write_str("fusion"),
            Self::NegativeCorrelation { lambda } => write!(f, "negative-correlation:{lambda}"),
            Self::SoftGradientBoosting { shrinkage } => write!(f, "soft-gradient-boosting:{shrinkage}"),
        }
    }
}

/// A squared error, whatever the loss of the trainer is.
const SQUARED: Loss = Loss::MeanSquared;

#[cfg(test)]
mod tests;
