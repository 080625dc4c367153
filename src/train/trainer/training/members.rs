//! What the training of a network that holds several members adds to that of one.
use super::{spread::Spread, Training};
use crate::{data::Batch, network::mean_of_members, train::joint::of_one, Network, Result, Seed};
use candle_core::{Result as CandleResult, Tensor};
use std::borrow::Cow;

impl<N: Network> Training<'_, N> {
    /// The rows of each member in a step, by the seed of its forward pass. `None` where the loss is of one output for each row
    /// of the batch.
    pub(super) fn spread(&self, rows: usize, draws: Seed) -> Option<Spread> {
        match self.config.joint_loss.fuses() {
            true => None,
            false => Spread::new(self.members, rows, draws.child("members")),
        }
    }

    /// The output that the loss is of: the mean over the members where they are fused.
    pub(super) fn fused(&self, output: Tensor) -> CandleResult<Tensor> {
        match self.config.joint_loss.fuses() {
            true => mean_of_members(&output, self.members.count),
            false => Ok(output),
        }
    }

    /// The output of a step and the batch that it counts against in the metric of the training: those of all members, or of
    /// their prediction where they learn parts of one.
    pub(super) fn counted<'o>(&self, output: &'o Tensor, batch: Batch) -> Result<(Cow<'o, Tensor>, Batch)> {
        let (joint, count) = (self.config.joint_loss, self.members.count);
        if !joint.is_of_parts() {
            return Ok((Cow::Borrowed(output), batch));
        }
        let predicted = joint.aggregation().output((self.kind, self.task), &output.detach(), count)?;
        Ok(match predicted {
            Some(predicted) => (Cow::Owned(predicted), of_one(&batch, count)?),
            None => (Cow::Borrowed(output), batch),
        })
    }
}
