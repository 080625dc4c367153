//! Re-estimation of batch-norm's running statistics.
use crate::{
    data::{Dataset, RowBitmap},
    merge::Model,
    train::Learner,
    weights::{
        batch_norm::{re_estimate_by, TrainingNetwork},
        compatibility::has_statistics,
        Weights,
    },
    Error, Member, Pool, Result,
};

/// Re-estimates batch-norm's running statistics over rows of data.
///
/// The average of two networks' statistics is not what the averaged network would measure, so this is needed
/// after weights were averaged.
///
/// The network runs once over the rows, in the given order, in training mode. A pass leaves
/// `(1 − m)·old + m·batch` in each running statistic, with the momentum `m` of the layer, from which the
/// statistics of the batch are recovered. The batches are joined:
///
/// ```text
/// μ = Σ N_b μ_b / N        σ² = Σ [(N_b − 1) σ_b² + N_b (μ_b − μ)²] / (N − 1)
/// ```
///
/// where `N_b` is the number of elements of a channel in a batch (rows times pixels), and `σ²` is the
/// unbiased variance that candle keeps. So neither the momentum nor the old values have an influence, and the
/// statistics of the first layer do not depend on the batch size. Layers behind another batch-norm read
/// inputs that are normalized by the batch, as in training, so for them a large batch ([`Model::batch_rows`])
/// is a little better.
///
/// A network without batch-norm is returned unchanged, after one pass. Statistics are recognised by their
/// behaviour: they are variables that training passes change and no gradient reaches. Variances are joined
/// exactly if they are named `….running_var` beside a `….running_mean`, as in candle's layers; pixels are
/// counted where the layer has a `….weight`. Other statistics get the mean over rows of the batches'
/// statistics. Dropout is active, as in training, and candle's own dropout cannot be seeded.
///
/// Use it after [`average`](crate::weights::average()), a soup, or a merge of networks with batch-norm;
/// [`Pool::merge`](crate::Pool::merge) does it itself. Use the rows that the networks were trained on.
///
/// Cost: one forward pass over the rows, and three over the first batch. Several threads share the batches
/// ([`Model::threads`]), each with a network of its own; the result is the same to the bit.
///
/// # Errors
/// [`Error::Incompatible`](crate::Error::Incompatible) when the weights do not fit the network (the
/// differences are listed). When there are fewer than two rows, a row is out of range, a momentum is 0, a
/// statistic is updated in another way than above, or a statistic is NaN or infinite.
///
/// ```
/// use candle_core::{DType, Device, Tensor};
/// use candle_ensemble::{data::TensorDataset, merge::{re_estimate, Model}, train::Trainer, weights::Weights};
/// use candle_nn::batch_norm;
///
/// let x = Tensor::new(&[[1f32], [2.], [6.]], &Device::Cpu)?;
/// let data = TensorDataset::regression(&x, &Tensor::zeros(3, DType::F32, &Device::Cpu)?)?;
/// let trainer = Trainer::new(|vb| batch_norm(1, 1e-5, vb));
/// let one = Tensor::ones(1, DType::F32, &Device::Cpu)?;
/// let names = ["weight", "bias", "running_mean", "running_var"];
/// let weights = Weights::from(names.map(|name| (name.to_string(), one.clone())));
/// let measured = re_estimate(&Model::new(&trainer)?, &weights, &data, &[0, 1, 2])?;
/// assert!((measured["running_mean"].to_vec1::<f32>()?[0] - 3.).abs() < 1e-5);
/// assert!((measured["running_var"].to_vec1::<f32>()?[0] - 7.).abs() < 1e-5);
/// # Ok::<(), candle_ensemble::Error>(())
/// ```
///
/// Source: Izmailov et al. (2018), arXiv:1803.05407, section 3.2, for the need of it.
pub fn re_estimate<L: Learner>(
    model: &Model<'_, L>,
    weights: &Weights,
    data: &dyn Dataset,
    rows: &[u32],
) -> Result<Weights> {
    let parts = model.passes(rows)?;
    let build = || -> Result<TrainingNetwork<'_>> {
        let (vars, live) = model.live(weights)?;
        Ok(TrainingNetwork::new(&vars, move |part| {
            Ok(live.run(&data.batch(part, model.target_device())?.inputs, true)?)
        }))
    };
    re_estimate_by(&build()?, Some(&build), weights, &parts, model.threads_for(weights, rows.len()))
}

impl<L: Learner> Pool<'_, L> {
    /// A pool whose members have their batch-norm statistics [re-estimated](re_estimate()) over the rows that
    /// shaped them: for samples of [`Swag`](crate::merge::Swag), for example. Members without batch-norm are
    /// unchanged.
    ///
    /// # Errors
    /// As [`re_estimate`].
    pub fn re_estimated(&self) -> Result<Self> {
        let (learner, data, device) = self.parts();
        let re_estimated = |member: &Member| -> Result<Weights> {
            if !has_statistics(&member.weights) {
                return Ok(member.weights.clone());
            }
            let seen = self.seen_by(member).map(RowBitmap::to_vec).unwrap_or_default();
            refuse_too_few(&seen, &format!("member {}", member.record.key))?;
            let model = Model::of(learner, &member.record).device(device);
            re_estimate(&model, &member.weights, data, &seen)
        };
        let mut members = Vec::with_capacity(self.members().len());
        for of_network in self.members().chunk_by(Member::shares_network) {
            let weights = re_estimated(&of_network[0])?;
            let with_weights =
                |Member { record, .. }: &Member| Member { weights: weights.clone(), record: record.clone() };
            members.extend(of_network.iter().map(with_weights));
        }
        self.with_members(members)
    }
}

/// Checks that there are rows that shaped `what`: the record of a member that was made elsewhere may have none.
pub(super) fn refuse_too_few(seen: &[u32], what: &str) -> Result<()> {
    if seen.len() >= 2 {
        return Ok(());
    }
    let what = format!("the number of rows that shaped {what}, by its record (Record::seen),");
    let must = "at least 2, to run the network on (declare them with Seen::Rows, or name rows with \
                MergeSpec::statistics_rows)";
    Err(Error::invalid(what, must, seen.len()))
}

#[cfg(test)]
mod tests;
