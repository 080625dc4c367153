//! A pool's networks made one, if that is sound.
use crate::{
    combine::Mean,
    data::Dataset,
    merge::{
        align::trace::Trace,
        network::{barrier::along, merge_spec::MergeContext},
        Barrier, MergeSpec, Model, BARRIER_POINTS,
    },
    store::{member::predicting, Record},
    train::Learner,
    weights::{compatibility, Weights},
    Ensemble, Error, Member, Pool, Result, Rows,
};
use candle_core::Device;
use std::fmt;

/// Where the [barrier](Barrier) of a merge is measured, and above which height the merge is refused.
#[derive(Clone, Copy)]
pub struct MaxBarrier<'g> {
    limit: f64,
    data: Option<&'g dyn Dataset>,
    rows: &'g [u32],
}

impl fmt::Debug for MaxBarrier<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MaxBarrier")
            .field("limit", &self.limit)
            .field("rows", &self.rows.len())
            .finish_non_exhaustive()
    }
}

impl<'g> MaxBarrier<'g> {
    /// Refuses a merge whose barrier on these rows of the pool's data is above `limit`: in nats for classes, in squared
    /// units of the targets for values; infinity refuses nothing. Rows kept back by
    /// [`Plan::reserve`](crate::plan::Plan::reserve) are the honest choice; on rows that the members were fitted on, the
    /// barrier is one of the training loss.
    #[must_use]
    pub fn new(limit: f64, rows: &'g [u32]) -> Self {
        Self { limit, data: None, rows }
    }

    /// The rows are of other data.
    #[must_use]
    pub fn on(mut self, data: &'g dyn Dataset) -> Self {
        self.data = Some(data);
        self
    }
}

/// One network out of a pool, and what lies between it and the pool's.
#[allow(missing_debug_implementations)] // neither learner nor data set need be Debug
pub struct Merged<'a, L: Learner> {
    /// The network, as a pool of one member, whose record has seen what any of the networks has.
    pub pool: Pool<'a, L>,
    /// The share of each network in it, in the pool's order; equal shares where a method has none.
    pub shares: Vec<f64>,
    /// Whether the networks' units were put in one order first: when asked for, and the barrier was not higher for it.
    pub aligned: bool,
    /// The loss barrier on the guard's rows: along the straight path between two networks, with each point repaired or
    /// measured anew as the result is; else the loss of the result minus the mean of the networks' losses by their
    /// shares.
    pub barrier: Barrier,
    /// The rows of the guard, and those of them that shaped a network.
    pub rows: (usize, usize),
}

impl<L: Learner> Merged<'_, L> {
    /// The one network's weights.
    #[must_use]
    pub fn weights(&self) -> &Weights {
        &self.pool.members()[0].weights
    }

    /// The live network, the user's own type: what one member costs, and nothing around it.
    ///
    /// # Errors
    /// When candle cannot build it.
    pub fn network(&self) -> Result<L::Network> {
        self.pool.network(0)
    }

    /// The network as an ensemble of one: with `predict`, `predict_proba`, `save`.
    ///
    /// # Errors
    /// When candle cannot build it.
    pub fn into_ensemble(self) -> Result<Ensemble<L::Network, Mean>> {
        self.pool.combine(&Mean)
    }
}

impl<L: Learner> fmt::Display for Merged<'_, L> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (rows, fitted) = self.rows;
        let how = if self.aligned { ", aligned" } else { "" };
        write!(f, "one network out of {}{how}: {} ({rows} rows", self.shares.len(), self.barrier)?;
        match fitted {
            0 => write!(f, ")"),
            some => write!(f, ", {some} of which networks were fitted on)"),
        }
    }
}

impl<'a, L: Learner> Pool<'a, L> {
    /// One network out of all, if the loss barrier between them is no higher than the guard allows.
    ///
    /// Everything goes by name. Batch-norm's statistics are measured anew over the rows that the members have seen.
    /// Where the spec aligns, the result is that without alignment if its barrier is lower.
    ///
    /// ```
    /// # use candle_core::{Device, Tensor};
    /// # use candle_ensemble::{data::TensorDataset, plan::Horizontal, train::Trainer, Session};
    /// use candle_ensemble::{merge::{MaxBarrier, MergeSpec}, weights::RunWeights};
    /// # let x = Tensor::arange(0f32, 80., &Device::Cpu)?.affine(0.02, -0.8)?.reshape((40, 2))?;
    /// # let y = Tensor::from_iter((0..40u32).map(|i| i / 20), &Device::Cpu)?;
    /// # let data = TensorDataset::classification(x, &y)?;
    /// # let trainer = Trainer::new(|vb| candle_nn::linear(2, 2, vb)).epochs(5);
    ///
    /// let session = Session::new(&trainer, &data);
    /// let plan = session.plan(&Horizontal::last(3), 42)?.reserve(0.25, &data, 1.into())?;
    /// let pool = session.train(&plan)?;
    /// let merged = pool.merge(&MergeSpec::average(RunWeights::Linear), &MaxBarrier::new(0.05, &plan.reserved))?;
    /// println!("{merged}");
    /// let one_network = merged.network()?;
    /// # Ok::<(), candle_ensemble::Error>(())
    /// ```
    ///
    /// # Errors
    /// When the barrier is too high: the error says how high, and names alignment or an ensemble of predictions as the
    /// way out. When the members differ in architecture, features, names, shapes or dtypes (the differences are
    /// listed), or the rows are none or out of range; when the model cannot be traced where the spec needs it.
    pub fn merge(&self, spec: &MergeSpec, guard: &MaxBarrier<'_>) -> Result<Merged<'a, L>> {
        if guard.limit.is_nan() {
            return Err(Error::invalid("the guard's limit", "a number", guard.limit));
        }
        let context = self.context(spec, guard)?;
        let plain = self.measure_in(&context, spec, guard, false);
        let merged = match spec.aligns() {
            false => plain?,
            true => {
                let aligned = self.measure_in(&context, spec, guard, true)?;
                match plain {
                    Ok(plain) if plain.barrier.height < aligned.barrier.height => plain,
                    _ => aligned,
                }
            }
        };
        match merged.barrier.height <= guard.limit {
            true => Ok(merged),
            false => Err(merged.barrier.refused(guard.limit, merged.aligned)),
        }
    }

    /// The spec as it is, whatever the barrier.
    pub(crate) fn measure(
        &self,
        spec: &MergeSpec,
        guard: &MaxBarrier<'_>,
        align: bool,
    ) -> Result<Merged<'a, L>> {
        self.measure_in(&self.context(spec, guard)?, spec, guard, align)
    }

    fn measure_in(
        &self,
        context: &MergeContext<'_, L>,
        spec: &MergeSpec,
        guard: &MaxBarrier<'_>,
        align: bool,
    ) -> Result<Merged<'a, L>> {
        let members: Vec<&Member> = predicting(self.members()).collect();
        let networks: Vec<&Weights> = members.iter().map(|member| &member.weights).collect();
        compatibility::check(&networks)?;
        let align = align && networks.len() > 1;
        let moved = if align { spec.align(&networks, context)? } else { vec![] };
        let networks: Vec<&Weights> = if align { moved.iter().collect() } else { networks };
        let (weights, shares) = spec.merge(&networks, context)?;
        let barrier = match networks.as_slice() {
            [a, b] if spec.is_straight() => along(a, b, BARRIER_POINTS, |t, raw| {
                context.loss(&spec.finish(raw, &[a, b], &[1. - t, t], context)?)
            })?,
            _ => {
                let ends = networks.iter().map(|network| context.loss(network));
                Barrier::at(context.loss(&weights)?, ends.collect::<Result<_>>()?, &shares)?
            }
        };
        let fitted = match guard.data {
            Some(_) => 0,
            None => guard.rows.iter().filter(|row| context.seen.binary_search(row).is_ok()).count(),
        };
        let record = record(&members, spec, context.seen.clone());
        let pool = self.with_members(vec![Member { weights, record }])?;
        Ok(Merged { pool, shares, aligned: align, barrier, rows: (guard.rows.len(), fitted) })
    }

    fn context<'k>(&'k self, spec: &MergeSpec, guard: &MaxBarrier<'k>) -> Result<MergeContext<'k, L>> {
        let (learner, data, device) = self.parts();
        let first = one_architecture(self.members())?;
        let model = Model::of(learner, first).device(device);
        let judge = (guard.data.unwrap_or(data), guard.rows);
        let trace = match spec.traces() {
            true => Some(Trace::new(&model, example(judge, device)?)?),
            false => None,
        };
        Ok(MergeContext { model, data, seen: self.seen(), judge, trace })
    }
}

/// A few inputs.
fn example((data, rows): (&dyn Dataset, &[u32]), device: &Device) -> Result<crate::data::Inputs> {
    Ok(data.batch(&rows[..rows.len().min(4)], device)?.inputs)
}

/// The first member's record, if all are of its architecture and features.
fn one_architecture(members: &[Member]) -> Result<&Record> {
    let Some((first, others)) = members.split_first() else {
        return Err(Error::invalid("a pool", "of at least one member", "empty"));
    };
    let first = &first.record;
    for Member { record, .. } in others {
        if record.architecture != first.architecture {
            let got = format!("of {} and {}", first.architecture, record.architecture);
            return Err(Error::invalid("the networks to merge", "of one architecture", got));
        }
        if record.features != first.features {
            let got = format!("given others in runs {} and {}", first.run, record.run);
            return Err(Error::invalid("the networks to merge", "given the same features", got));
        }
    }
    Ok(first)
}

/// What is known of one network out of several.
fn record(members: &[&Member], spec: &MergeSpec, seen: Rows) -> Record {
    let mut hash = blake3::Hasher::new();
    hash.update(format!("{spec:?}").as_bytes());
    members.iter().for_each(|member| _ = hash.update(member.record.key.as_bytes()));
    let first = members.first().map(|member| &member.record);
    Record {
        run: 0,
        index: 0,
        slot: 0,
        refit: false,
        architecture: first.map(|r| r.architecture.clone()).unwrap_or_default(),
        settings: first.map(|r| r.settings.clone()).unwrap_or_default(),
        features: first.and_then(|r| r.features.clone()),
        seen,
        curve: vec![],
        key: format!("merged-{}", hash.finalize().to_hex()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        merge::{
            network::re_estimate::re_estimate,
            testing::{digits, resnet},
        },
        strategy::MultiRun,
        train::Optimizer,
        weights::RunWeights,
        Session,
    };

    #[test]
    fn residual_networks_with_batch_norm_are_aligned_and_measured_anew() {
        let data = digits(true);
        let trainer = resnet(&[(24, 1)]).epochs(4).optimizer(Optimizer::adam(3e-3));
        let session = Session::new(&trainer, &data);
        let plan = session.plan(&MultiRun::new(2), 1).unwrap().reserve(0.3, &data, 1).unwrap();
        let pool = session.train(&plan).unwrap();
        let guard = MaxBarrier::new(f64::INFINITY, &plan.reserved);
        let average = MergeSpec::average(RunWeights::Uniform);
        let plain = pool.merge(&average, &guard).unwrap();
        let aligned = pool.merge(&average.aligned(), &guard).unwrap();
        assert!(aligned.aligned && aligned.barrier.height < 0.8 * plain.barrier.height, "{plain}, {aligned}");
        // The statistics are those of the result over the rows that the members have seen, and the figure is its loss.
        let model = Model::new(&trainer).unwrap();
        let seen = &aligned.pool.members()[0].record.seen;
        assert_eq!(seen.len() + plan.reserved.len(), data.rows());
        let again = re_estimate(&model, aligned.weights(), &data, seen).unwrap();
        for (name, tensor) in aligned.weights() {
            let off = (tensor - &again[name]).unwrap().abs().unwrap().max_all().unwrap();
            assert!(off.to_scalar::<f32>().unwrap() < 1e-5, "{name}");
        }
        let loss = model.loss(aligned.weights(), &data, &plan.reserved).unwrap();
        assert!((loss - aligned.barrier.middle()).abs() < 1e-6);
    }
}
