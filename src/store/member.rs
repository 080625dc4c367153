//! A trained member: data, not a live network. Threads, restarts and other machines all hand over these.
use crate::{
    codec::real,
    plan::Settings,
    weights::{compatibility::Visit, NamedTensors, Weights},
    Result, Rows,
};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// One trained network: its weights, and what is known of it.
#[derive(Clone, Debug)]
pub struct Member {
    /// Parameters and buffers (batch-norm's running statistics), on the CPU.
    pub weights: Weights,
    /// The rest.
    pub record: Record,
}

/// The members that predict at inference: where a slot was refit, its refit ones alone.
pub(crate) fn predicting(members: &[Member]) -> impl Iterator<Item = &Member> {
    let refit: BTreeSet<usize> = members.iter().filter(|m| m.record.refit).map(|m| m.record.slot).collect();
    members.iter().filter(move |m| m.record.refit || !refit.contains(&m.record.slot))
}

/// These members, each with a slot of its own.
pub(crate) fn apart<'a>(members: impl IntoIterator<Item = &'a Member>) -> Vec<Member> {
    let mut apart: Vec<Member> = members.into_iter().cloned().collect();
    apart.iter_mut().zip(0..).for_each(|(member, slot)| member.record.slot = slot);
    apart
}

/// What is known of a member besides its weights.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// The run it comes from.
    pub run: usize,
    /// 0 for the run's first member.
    pub index: usize,
    /// Members of the same slot act as one predictor.
    pub slot: usize,
    /// Whether it predicts in the place of all others of its slot at inference, and has no part in what is held out; see
    /// [`KFold::refit`](crate::strategy::KFold::refit).
    #[serde(default)]
    pub refit: bool,
    /// The learner's name for its architecture.
    pub architecture: String,
    /// What differed from the learner's own settings.
    pub settings: Settings,
    /// The columns of the inputs `(N, D)` that it sees; all, if `None`.
    pub features: Option<Vec<u32>>,
    /// Every row that shaped it, validation rows of early stopping included, and those that it may not predict
    /// about for another reason ([`RunSpec::excluded`](crate::plan::RunSpec::excluded)); sorted, each once. Held out
    /// means all the others.
    pub seen: Rows,
    /// Loss and metric by epoch, up to where the member was taken.
    pub curve: Vec<EpochRecord>,
    /// The key it is stored under: of the data, the run and the learner.
    pub key: String,
}

/// One epoch of a learning curve.
///
/// The training figures are means over the epoch's batches, as they were when each batch was fitted (dropout
/// and all); the validation figures are taken after the epoch, in evaluation mode. The metric is the accuracy
/// for classes and the root mean squared error for values.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct EpochRecord {
    /// From 0.
    pub epoch: usize,
    /// Learning rate of the epoch's last step.
    #[serde(with = "real")]
    pub learning_rate: f64,
    /// Mean training loss.
    #[serde(with = "real")]
    pub train_loss: f64,
    /// Training accuracy, or root mean squared error.
    #[serde(with = "real")]
    pub train_metric: f64,
    /// Mean loss over the run's validation rows, if it has any.
    #[serde(with = "real::option")]
    pub valid_loss: Option<f64>,
    /// Validation accuracy, or root mean squared error.
    #[serde(with = "real::option")]
    pub valid_metric: Option<f64>,
}

impl NamedTensors for Member {
    fn each(&self, visit: &mut Visit<'_>) -> Result<()> {
        self.weights.each(visit)
    }
}
