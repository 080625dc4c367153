//! Batch-norm's running statistics, measured anew.
use crate::weights::batch_norm;
use crate::{
    data::Dataset,
    merge::Model,
    train::Learner,
    weights::{compatibility::has_statistics, Weights},
    Member, Pool, Result,
};
use candle_core::Tensor;

/// `weights` with batch-norm's running statistics as the network's own forward pass finds them over `rows`: what has
/// to be done after weights were averaged, for the mean of two networks' statistics is not what the averaged network
/// would measure (Izmailov et al. 2018, arXiv:1803.05407).
///
/// Runs the network once over the rows, in the order given, in training mode. From what a pass leaves in the running
/// statistics, which is `(1 − m)·old + m·batch`, the batch's own mean and variance are recovered, whatever each
/// layer's momentum `m`, and the batches are joined: `μ = Σ N_b μ_b / N`,
/// `σ² = Σ [(N_b − 1) σ_b² + N_b (μ_b − μ)²] / (N − 1)`, the unbiased variance that candle keeps, with `N_b` numbers
/// a channel in a batch (pixels counted). So momentum plays no part, nor do the old values, and the first layer's
/// statistics are those of its inputs whatever the batch size ([`Model::batch_rows`]). Layers behind another
/// batch-norm are measured, as in training, on inputs normalized by the batch, so for them the size matters a little,
/// and large is better.
///
/// A network without such statistics comes back as it is after one pass. Statistics are recognised by what they do:
/// variables that training passes change and no gradient reaches. Variances are joined exactly when they are called
/// `….running_var` beside a `….running_mean`, as candle's layers call them; pixels are counted where the layer has a
/// `….weight`. Others get the mean over rows of what the batches gave. Dropout is on, as in training, and cannot be
/// seeded.
///
/// ```
/// use candle_core::{DType, Device, Tensor};
/// use candle_ensemble::{data::TensorDataset, merge::{network::re_estimate::re_estimate, Model}, train::Trainer};
/// use candle_nn::batch_norm;
/// use std::collections::BTreeMap;
///
/// let x = Tensor::new(&[[1f32], [2.], [6.]], &Device::Cpu)?;
/// let data = TensorDataset::regression(&x, &Tensor::zeros(3, DType::F32, &Device::Cpu)?)?;
/// let trainer = Trainer::new(|vb| batch_norm(1, 1e-5, vb));
/// let one = Tensor::ones(1, DType::F32, &Device::Cpu)?;
/// let names = ["weight", "bias", "running_mean", "running_var"];
/// let weights = BTreeMap::from(names.map(|name| (name.to_string(), one.clone())));
/// let measured = re_estimate(&Model::new(&trainer)?, &weights, &data, &[0, 1, 2])?;
/// assert!((measured["running_mean"].to_vec1::<f32>()?[0] - 3.).abs() < 1e-5);
/// assert!((measured["running_var"].to_vec1::<f32>()?[0] - 7.).abs() < 1e-5);
/// # Ok::<(), candle_ensemble::Error>(())
/// ```
///
/// # Errors
/// When the weights are not this network's (the differences are listed), there are fewer than two rows or they are
/// out of range, a momentum is 0, a statistic is updated in another way than above, or one is NaN or infinite.
pub fn re_estimate<L: Learner>(
    model: &Model<'_, L>,
    weights: &Weights,
    data: &dyn Dataset,
    rows: &[u32],
) -> Result<Weights> {
    let live = model.live(weights)?;
    let forward =
        |part: &[u32]| -> Result<Tensor> { Ok(live.run(&data.batch(part, model.place())?.inputs, true)?) };
    batch_norm::re_estimate_by(&live.vars, weights, &model.passes(rows)?, &forward)
}

impl<L: Learner> Pool<'_, L> {
    /// The pool with each member's batch-norm statistics [measured](re_estimate) over the rows it has seen: for draws of
    /// [`Swag`](crate::merge::Swag), say. Members without such statistics stay as they are.
    ///
    /// # Errors
    /// As [`re_estimate`].
    pub fn re_estimated(&self) -> Result<Self> {
        let (learner, data, device) = self.parts();
        let measured = |member: &Member| {
            let mut member = member.clone();
            if has_statistics(&member.weights) {
                let model = Model::of(learner, &member.record).device(device);
                member.weights = re_estimate(&model, &member.weights, data, &member.record.seen)?;
            }
            Ok(member)
        };
        self.with_members(self.members().iter().map(measured).collect::<Result<_>>()?)
    }
}

#[cfg(test)]
mod tests;
