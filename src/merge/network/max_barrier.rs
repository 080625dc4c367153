//! One network made of a pool's networks, if the loss barrier between them is low enough.
use crate::{
    combine::Mean,
    data::{Dataset, RowBitmap},
    merge::{
        align::trace::Trace,
        network::{barrier::along_path, merge_spec::MergeContext},
        Barrier, MergeSpec, Model, BARRIER_POINTS,
    },
    store::{
        member::{is_seen_unknown, predicting},
        Record,
    },
    train::Learner,
    weights::{compatibility, Weights},
    Ensemble, Error, Member, Pool, Result, Rows,
};
use std::fmt;

/// The highest [loss barrier](Barrier) at which [`Pool::merge`] makes one network of a pool, and the rows on
/// which the barrier is measured.
///
/// The barrier is measured on the rows that are set; else on the rows that the session
/// [reserved](crate::Session::reserve); else on all rows that shaped no member. Where it is unknown which rows shaped
/// some member, they have to be set, of new data if possible. Rows on which members were
/// fitted show the barrier of the training loss, which is usually lower.
///
/// ```
/// use candle_ensemble::merge::MaxBarrier;
///
/// let max_barrier = MaxBarrier::new(0.05); // nats, for a classifier; on the reserved rows
/// let on_these_rows = MaxBarrier::new(0.05).rows(&[3, 8, 12, 40]);
/// ```
#[derive(Clone, Copy)]
pub struct MaxBarrier<'d> {
    limit: f64,
    data: Option<&'d dyn Dataset>,
    rows: Option<&'d [u32]>,
}

impl fmt::Debug for MaxBarrier<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MaxBarrier")
            .field("limit", &self.limit)
            .field("rows", &self.rows.map(<[u32]>::len))
            .finish_non_exhaustive()
    }
}

impl<'d> MaxBarrier<'d> {
    /// Allows a barrier of at most `limit`: in nats for classes, in squared units of the targets for values.
    /// With infinity every merge is allowed.
    #[must_use]
    pub fn new(limit: f64) -> Self {
        Self { limit, data: None, rows: None }
    }

    /// Measures the barrier on these rows of the pool's data.
    #[must_use]
    pub fn rows(mut self, rows: &'d [u32]) -> Self {
        self.rows = Some(rows);
        self
    }

    /// Measures the barrier on these rows of another data set.
    #[must_use]
    pub fn data(mut self, data: &'d dyn Dataset, rows: &'d [u32]) -> Self {
        (self.data, self.rows) = (Some(data), Some(rows));
        self
    }
}

/// A network made of a pool's networks, with the barrier between them.
#[allow(missing_debug_implementations)] // neither learner nor data set need be Debug
pub struct Merged<'a, L: Learner> {
    /// The network, as a pool of one member. The rows that shaped the member are those that shaped any of the
    /// networks.
    pub pool: Pool<'a, L>,
    /// The share of each network in the result, in the pool's order; equal shares for a merge method without
    /// shares.
    pub shares: Vec<f64>,
    /// Whether the units of the networks were aligned. False if alignment was not requested, or made the
    /// barrier higher.
    pub aligned: bool,
    /// The loss barrier. Between two networks that are averaged it is the highest along the straight path
    /// between them, where every point is repaired, or its batch-norm statistics are re-estimated, as the
    /// result is. Otherwise it is the loss of the result minus the mean loss of the networks, weighted by
    /// their shares.
    pub barrier: Barrier,
    /// The number of rows on which the barrier was measured, and the number of those that shaped any of the
    /// networks. Where it is unknown which rows of the pool's data shaped a network, all of them count.
    pub rows: (usize, usize),
}

impl<L: Learner> Merged<'_, L> {
    /// The weights of the network.
    #[must_use]
    pub fn weights(&self) -> &Weights {
        &self.pool.members()[0].weights
    }

    fn seen_unknown(&self) -> bool {
        is_seen_unknown(self.pool.members())
    }

    /// Builds the network as the user's own type. A prediction then costs what one member's does.
    ///
    /// # Errors
    /// When candle cannot build it.
    pub fn network(&self) -> Result<L::Network> {
        self.pool.network(0)
    }

    /// The network as an ensemble of one member, with `predict`, `predict_proba` and `save`.
    ///
    /// # Errors
    /// When candle cannot build it.
    pub fn into_ensemble(self) -> Result<Ensemble<L::Network, Mean>> {
        self.pool.combine(&Mean)
    }
}

impl<L: Learner> fmt::Display for Merged<'_, L> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (rows, seen) = self.rows;
        let how = if self.aligned { ", aligned" } else { "" };
        write!(f, "one network of {}{how}: {} ({rows} rows", self.shares.len(), self.barrier)?;
        match seen {
            0 => write!(f, ")"),
            some if self.seen_unknown() => write!(f, ", {some} of which may have shaped a network)"),
            some => write!(f, ", {some} of which shaped a network)"),
        }
    }
}

impl<'a, L: Learner> Pool<'a, L> {
    /// Makes one network of the pool's networks, if the loss barrier between them is at most what
    /// `max_barrier` allows.
    ///
    /// Tensors are merged by name. Batch-norm's statistics are re-estimated over the rows that shaped the
    /// members. If the spec aligns the networks, the merge is also made without alignment, and the result
    /// with the lower barrier is returned.
    ///
    /// ```
    /// # use candle_core::{Device, Tensor};
    /// # use candle_ensemble::{data::TensorDataset, plan::Horizontal, train::Trainer, Session};
    /// use candle_ensemble::{merge::{MaxBarrier, MergeSpec}, weights::RunWeights, Error};
    /// # let x = Tensor::arange(0f32, 80., &Device::Cpu)?.affine(0.02, -0.8)?.reshape((40, 2))?;
    /// # let y = Tensor::from_iter((0..40u32).map(|i| i / 20), &Device::Cpu)?;
    /// # let data = TensorDataset::classification(x, &y)?;
    /// # let trainer = Trainer::new(|vb| candle_nn::linear(2, 2, vb)).epochs(5);
    ///
    /// let pool = Session::new(&trainer, &data).reserve(0.25).fit(&Horizontal::last(3), 42)?;
    /// let merged = pool.merge(&MergeSpec::average(RunWeights::Linear), &MaxBarrier::new(0.05))?;
    /// println!("{merged}");
    /// let one_network = merged.network()?;
    ///
    /// let refused = pool.merge(&MergeSpec::average(RunWeights::Linear), &MaxBarrier::new(-1.)).err();
    /// assert!(matches!(refused, Some(Error::BarrierTooHigh { limit: -1., .. })));
    /// # Ok::<(), candle_ensemble::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::BarrierTooHigh`] when the barrier is above the limit. [`Error::Incompatible`] when the
    /// members differ in architecture, features, or the names, shapes or dtypes of their tensors. When there
    /// are no rows to measure on, or they are out of range, and when the model cannot be traced but the spec
    /// needs that.
    pub fn merge(&self, spec: &MergeSpec, max_barrier: &MaxBarrier<'_>) -> Result<Merged<'a, L>> {
        let limit = max_barrier.limit;
        if limit.is_nan() {
            return Err(Error::invalid("the limit of the barrier", "a number", limit));
        }
        let context = self.context(spec, max_barrier)?;
        let plain = self.merge_in(&context, spec, false);
        let merged = match spec.aligns() {
            false => plain?,
            true => {
                let aligned = self.merge_in(&context, spec, true)?;
                match plain {
                    Ok(plain) if plain.barrier.height < aligned.barrier.height => plain,
                    _ => aligned,
                }
            }
        };
        match merged.barrier.height <= limit {
            true => Ok(merged),
            false => {
                let (barrier, aligned) = (merged.barrier.height, merged.aligned);
                Err(Error::BarrierTooHigh { barrier, limit, aligned })
            }
        }
    }

    /// Merges as the spec says, aligned or not, for any barrier, which is measured on rows of `data`.
    pub(crate) fn merge_unchecked(
        &self,
        spec: &MergeSpec,
        (data, rows): (&dyn Dataset, &[u32]),
        align: bool,
    ) -> Result<Merged<'a, L>> {
        let unlimited = MaxBarrier::new(f64::INFINITY).data(data, rows);
        self.merge_in(&self.context(spec, &unlimited)?, spec, align)
    }

    fn merge_in(
        &self,
        context: &MergeContext<'_, L>,
        spec: &MergeSpec,
        align: bool,
    ) -> Result<Merged<'a, L>> {
        let members: Vec<&Member> = predicting(self.members()).collect();
        let networks: Vec<&Weights> = members.iter().map(|member| &member.weights).collect();
        compatibility::check(&networks)?;
        let align = align && networks.len() > 1;
        let aligned = if align { spec.align(&networks, context)? } else { vec![] };
        let networks: Vec<&Weights> = if align { aligned.iter().collect() } else { networks };
        let (weights, shares) = spec.merge(&networks, context)?;
        let barrier = match networks.as_slice() {
            [a, b] if spec.is_straight() => along_path(a, b, BARRIER_POINTS, |t, raw| {
                context.loss(&spec.finish(raw, &[a, b], &[1. - t, t], context)?)
            })?,
            _ => {
                let ends = networks.iter().map(|network| context.loss(network));
                Barrier::at_one_point(context.loss(&weights)?, ends.collect::<Result<_>>()?, &shares)?
            }
        };
        let rows = (context.rows.len(), context.seen_rows());
        let record = merged_record(&members, spec, self.members());
        let pool = self.with_members(vec![Member { weights, record }])?;
        Ok(Merged { pool, shares, aligned: align, barrier, rows })
    }

    fn context<'k>(&'k self, spec: &MergeSpec, max_barrier: &MaxBarrier<'k>) -> Result<MergeContext<'k, L>> {
        let (learner, train_data, device) = self.parts();
        let first = common_architecture(self.members())?;
        let model = Model::of(learner, first).device(device);
        let data = max_barrier.data.unwrap_or(train_data);
        let rows = match max_barrier.rows {
            Some(rows) => rows.to_vec(),
            None => unseen_rows(self, "MaxBarrier::rows or MaxBarrier::data", 1)?,
        };
        let trace = match spec.traces() {
            true => {
                let few = &rows[..rows.len().min(4)];
                Some(Trace::new(&model, data.batch(few, device)?.inputs)?)
            }
            false => None,
        };
        let is_train_data = max_barrier.data.is_none();
        let (seen, seen_unknown) = (self.seen(), self.is_seen_unknown());
        let statistics_rows = match spec.rows_of_statistics() {
            Some(_) if self.is_on_new_data() => {
                let must = "rows of the data that the networks were trained on (merge the pool over that data, with \
                            MaxBarrier::data for other rows)";
                return Err(Error::invalid("MergeSpec::statistics_rows", must, "rows of new data"));
            }
            Some(rows) => rows.clone(),
            None => seen.to_vec(),
        };
        Ok(MergeContext {
            model,
            train_data,
            seen,
            seen_unknown,
            statistics_rows,
            data,
            rows,
            is_train_data,
            trace,
        })
    }
}

/// The rows to measure on where the caller sets none: the reserved rows, else the rows that shaped no member.
/// `setters` are the functions by which the caller can set them.
pub(crate) fn unseen_rows<L: Learner>(pool: &Pool<'_, L>, setters: &str, least: usize) -> Result<Rows> {
    pool.refuse_unknown()?;
    let rows = match pool.reserved() {
        [] => pool.unseen(),
        reserved => reserved.to_vec(),
    };
    if rows.len() < least {
        let must =
            format!("at least {least}; reserve rows with Session::reserve, or set them with {setters}");
        return Err(Error::invalid("the number of rows that shaped no member", must, rows.len()));
    }
    Ok(rows)
}

/// The first member's record, if all members have its architecture and its features.
fn common_architecture(members: &[Member]) -> Result<&Record> {
    let Some((first, others)) = members.split_first() else {
        return Err(Error::invalid("the number of members", "at least 1", 0));
    };
    if let Some(member) = members.iter().find(|member| member.record.round.is_some()) {
        let why = format!("run {} is one of a sequence, whose members predict together", member.record.run);
        return Err(Error::Incompatible { what: "the networks to merge".into(), why });
    }
    let first = &first.record;
    if let Some(place) = first.in_network {
        let why = format!(
            "member {} is one of {} that a single network holds; the weights of such networks are not averaged",
            first.key, place.of
        );
        return Err(Error::Incompatible { what: "the networks to merge".into(), why });
    }
    for Member { record, .. } in others {
        let why = if record.in_network.is_some() {
            format!("member {} is one of several that a single network holds", record.key)
        } else if record.architecture != first.architecture {
            format!("their architectures are {} and {}", first.architecture, record.architecture)
        } else if record.features != first.features {
            format!("runs {} and {} were given different features", first.run, record.run)
        } else if record.scaling != first.scaling {
            format!(
                "runs {} and {} scale inputs or targets differently, because they were fitted on different rows; scale the \
                 data before the training, or train all runs on the same rows",
                first.run, record.run
            )
        } else {
            continue;
        };
        return Err(Error::Incompatible { what: "the networks to merge".into(), why });
    }
    Ok(first)
}

/// The record of the network that was merged of these members of a pool. The rows that shaped any member of the pool
/// and those of its statistics count as seen.
fn merged_record(members: &[&Member], spec: &MergeSpec, all: &[Member]) -> Record {
    let of_statistics: RowBitmap = spec.rows_of_statistics().into_iter().flatten().collect();
    let seen = RowBitmap::union_of(all.iter().map(|member| &member.record.seen).chain([&of_statistics]));
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
        scaling: first.map(|r| r.scaling.clone()).unwrap_or_default(),
        seen,
        in_network: None,
        seen_unknown: is_seen_unknown(all),
        round: None,
        curve: vec![],
        key: format!("merged-{}", hash.finalize().to_hex()),
    }
}

#[cfg(all(test, feature = "align"))]
mod tests {
    use super::*;
    use crate::{
        merge::{
            re_estimate,
            testing::{digits, resnet},
            Alignment,
        },
        strategy::MultiRun,
        train::Optimizer,
        weights::RunWeights,
        Session,
    };

    #[test]
    fn residual_networks_are_aligned_and_their_batch_norm_re_estimated() {
        let data = digits(true);
        let trainer = resnet(&[(24, 1)]).epochs(4).optimizer(Optimizer::adam(3e-3));
        let session = Session::new(&trainer, &data);
        let plan = session.plan(&MultiRun::new(2), 1).unwrap().reserve(0.3, &data, 1).unwrap();
        let pool = session.train(&plan).unwrap();
        let any = MaxBarrier::new(f64::INFINITY);
        let average = MergeSpec::average(RunWeights::Uniform);
        let plain = pool.merge(&average, &any).unwrap();
        let aligned = pool.merge(&average.alignment(Alignment::Weights), &any).unwrap();
        // 0.38 with this seed, and 0.38 to 0.68 with others; 0.63 or more without re-estimation.
        assert!(aligned.aligned && aligned.barrier.height < 0.5 * plain.barrier.height, "{plain}, {aligned}");
        // The statistics are those of the result over the rows that shaped the members, and the barrier is
        // computed from its loss.
        let model = Model::new(&trainer).unwrap();
        let seen = aligned.pool.members()[0].record.seen.to_vec();
        assert_eq!(seen.len() + plan.reserved.len().unwrap(), data.rows());
        let again = re_estimate(&model, aligned.weights(), &data, &seen).unwrap();
        for (name, tensor) in aligned.weights() {
            let off = (tensor - &again[name]).unwrap().abs().unwrap().max_all().unwrap();
            assert!(off.to_scalar::<f32>().unwrap() < 1e-5, "{name}");
        }
        let loss = model.loss(aligned.weights(), &data, &plan.reserved.to_vec().unwrap()).unwrap();
        assert!((loss - aligned.barrier.middle()).abs() < 1e-6);
    }
}
