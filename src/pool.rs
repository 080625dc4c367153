//! The pool: the trained members of a plan, with the learner and the data that they come from.
//!
//! A [`Pool`] turns members into predictions. It alone makes held-out predictions, from the rows that each
//! member's record says it has seen, so that no combiner, pruning or merge is judged on rows that shaped its
//! members.
mod builder;
mod conformal;
mod held_out;
mod held_out_on_disk;
mod load;
mod networks;
mod predictions;

pub use builder::{PoolBuilder, PretrainedMember};
pub use load::LoadReport;

use crate::{
    combine::{Combiner, CombinerReport, FittedCombiner},
    data::{Dataset, Fingerprint, RowBitmap},
    ensemble::{Ensemble, Origin},
    predictions::live::LiveSlots,
    prune::Prune,
    store::member::{by_network, is_seen_unknown, predicting, with_own_slots},
    train::Learner,
    weights::{number_of_parameters, Weights},
    Error, HeldOut, Member, Result, Rows, Seed,
};
use candle_core::Device;
use std::sync::OnceLock;

/// The trained members of a plan, with the learner and the data that they come from.
///
/// [`Session::fit`](crate::Session::fit) returns a pool, and [`PoolBuilder`](crate::PoolBuilder) makes one of networks
/// that are already there. It is the place to try things out: fit combiners
/// ([`combine`](Self::combine)), measure them ([`judge`](Self::judge)), drop members
/// ([`prune`](Self::prune)), or average their weights into one network ([`merge`](Self::merge)). All of these
/// borrow the pool. Its held-out predictions are made once, when they are first needed, and kept: a second
/// combiner costs neither a second training nor a second pass over the rows.
///
/// Members of one *slot* act as one predictor, whose prediction is their mean; with most strategies each
/// member has a slot of its own. Combiners see one prediction for each slot.
///
/// ```
/// use candle_core::{Device, Tensor};
/// use candle_ensemble::{combine::*, data::TensorDataset, strategy::KFold, train::Trainer, Session};
///
/// let x = Tensor::arange(0f32, 80., &Device::Cpu)?.affine(0.025, -1.)?.reshape((40, 2))?;
/// let data = TensorDataset::regression(x.clone(), &x.sqr()?.sum(1)?)?;
/// let trainer = Trainer::new(|vb| candle_nn::linear(2, 1, vb)).epochs(2);
///
/// let pool = Session::new(&trainer, &data).fit(&KFold::new(4).repeats(3), 42)?;
/// assert_eq!((pool.members().len(), pool.slots()), (12, 3));
///
/// // Each row is predicted by the members that were not fitted on it.
/// let held_out = pool.held_out()?;
/// assert_eq!(held_out.rows().len(), 40);
///
/// // Two combiners, one training, one pass over the rows.
/// let mean = pool.combine(&Mean)?;
/// let weighted = pool.combine(&InverseError::new())?;
/// assert_eq!(mean.predict(&x)?.dims(), [40, 1]);
/// println!("{}", pool.judge(&InverseError::new())?); // is it better than the mean?
/// # Ok::<(), candle_ensemble::Error>(())
/// ```
#[allow(missing_debug_implementations)] // neither learner nor data set need be Debug
pub struct Pool<'a, L: Learner> {
    members: Vec<Member>,
    learner: &'a L,
    data: &'a dyn Dataset,
    device: Device,
    /// Rows that no run trained on.
    reserved: Rows,
    /// Whether all rows of the data are new to all members, whatever the members' records say of other data.
    new_data: bool,
    seed: Seed,
    /// The digest of the data, made once.
    fingerprint: OnceLock<Fingerprint>,
    held_out: OnceLock<HeldOut>,
    held_out_with_inputs: OnceLock<HeldOut>,
}

impl<'a, L: Learner> Pool<'a, L> {
    pub(crate) fn new(
        members: Vec<Member>,
        learner: &'a L,
        data: &'a dyn Dataset,
        device: Device,
        (reserved, seed): (Rows, Seed),
    ) -> Result<Self> {
        if members.is_empty() {
            return Err(Error::invalid("a pool", "of at least one member", "empty"));
        }
        let (held_out, held_out_with_inputs) = (OnceLock::new(), OnceLock::new());
        let (new_data, fingerprint) = (false, OnceLock::new());
        Ok(Self {
            members,
            learner,
            data,
            device,
            reserved,
            new_data,
            seed,
            fingerprint,
            held_out,
            held_out_with_inputs,
        })
    }

    /// The members, in the order of the plan.
    #[must_use]
    pub fn members(&self) -> &[Member] {
        &self.members
    }

    /// The members of a pool that is not needed any more.
    pub(crate) fn into_members(self) -> Vec<Member> {
        self.members
    }

    /// The members' weights, in the order of the plan.
    #[must_use]
    pub fn weights(&self) -> Vec<&Weights> {
        self.members.iter().map(|member| &member.weights).collect()
    }

    /// A pool of other members of the same learner and data, such as averages of these members. The members'
    /// records say which rows they have seen.
    ///
    /// # Errors
    /// When there are no members.
    pub fn with_members(&self, members: Vec<Member>) -> Result<Self> {
        let plan = (self.reserved.clone(), self.seed);
        let pool = Self::new(members, self.learner, self.data, self.device.clone(), plan)?;
        Ok(Self { new_data: self.new_data, ..pool })
    }

    /// A pool of the same members over another data set, all rows of which are new to every member.
    ///
    /// All its rows are held out. So rules are fitted, judged, pruned and compared on them, and the rows that the
    /// members were trained on need not be known. The records of the members, which ensembles keep, stay as they are.
    ///
    /// The caller vouches that the rows are new; only the pool's own data set is refused, by its
    /// [fingerprint](Dataset::fingerprint). To merge networks with batch-norm, whose statistics are measured on the
    /// rows that shaped them, use [`merge`](Self::merge) of the pool over that data set, with
    /// [`MaxBarrier::data`](crate::merge::MaxBarrier::data).
    ///
    /// ```
    /// use candle_core::{Device, Tensor};
    /// use candle_ensemble::{prelude::*, store::Seen, train::Pretrained, PoolBuilder, PretrainedMember};
    /// # use candle_ensemble::weights::{StateDict, Weights};
    /// # let x = Tensor::arange(0f32, 20., &Device::Cpu)?.affine(0.1, -1.)?.reshape((10, 2))?;
    /// # let data = TensorDataset::regression(&x, &x.sum(1)?)?;
    /// # let new_rows = TensorDataset::regression(&x.affine(1., 0.05)?, &x.affine(1., 0.05)?.sum(1)?)?;
    /// # let checkpoint = |w: f32| -> Result<StateDict, candle_ensemble::Error> {
    /// #     let weight = Tensor::new(&[[w, 1.]], &Device::Cpu)?;
    /// #     Ok(Weights::from([("weight".into(), weight)]).into())
    /// # };
    /// let networks = Pretrained::new(|vb| candle_nn::linear_no_bias(2, 1, vb));
    /// let mut pool = PoolBuilder::new(&networks, &data);
    /// for w in [0.9, 1.2] {
    ///     pool.add(PretrainedMember::new(checkpoint(w)?, Seen::Unknown))?;
    /// }
    /// let pool = pool.build()?;
    /// let refused = pool.combine(&EnsembleSelection::new(10)).unwrap_err().to_string();
    /// assert!(refused.contains("it is unknown which rows shaped model 0, model 1"));
    ///
    /// let ensemble = pool.on_new_data(&new_rows)?.combine(&EnsembleSelection::new(10))?;
    /// assert_eq!(ensemble.predict(&x)?.dims(), [10, 1]);
    /// # Ok::<(), candle_ensemble::Error>(())
    /// ```
    ///
    /// # Errors
    /// When the data set is the pool's own, or has another task.
    pub fn on_new_data<'b>(&self, data: &'b dyn Dataset) -> Result<Pool<'b, L>>
    where
        'a: 'b,
    {
        let (task, own) = (data.task(), self.data.task());
        if task != own {
            return Err(Error::invalid("the task of the new data", format!("that of the pool, {own}"), task));
        }
        if data.fingerprint() == self.data.fingerprint() {
            let must = "another one than the pool's own, whose rows are not new to the members";
            return Err(Error::invalid("the new data set", must, "the same one"));
        }
        let plan = (Rows::new(), self.seed);
        let pool = Pool::new(self.members.clone(), self.learner, data, self.device.clone(), plan)?;
        Ok(Pool { new_data: true, ..pool })
    }

    /// The learner, the data and the device.
    pub(crate) fn parts(&self) -> (&'a L, &'a dyn Dataset, &Device) {
        (self.learner, self.data, &self.device)
    }

    /// The number of slots.
    #[must_use]
    pub fn slots(&self) -> usize {
        slots(&self.members).len()
    }

    /// Fits `combiner` and puts it together with the members into an ensemble. A combiner that learns is
    /// fitted on the pool's held-out predictions; one that has nothing to learn needs no held-out rows.
    ///
    /// # Errors
    /// For a combiner that learns: [`Error::HeldOut`] when it has too few held-out rows, and [`Error::UnknownRows`] when
    /// it is unknown which rows shaped some member. As [`Combiner::fit`] otherwise; when candle fails.
    pub fn combine<C: Combiner>(&self, combiner: &C) -> Result<Ensemble<L::Network, C::Fitted>> {
        self.ensemble(self.fit_combiner(combiner)?)
    }

    /// The members with a fitted combiner.
    fn ensemble<F: FittedCombiner>(&self, fitted: F) -> Result<Ensemble<L::Network, F>> {
        let live = LiveSlots::build(&self.members, self.learner, self.data, &self.device)?;
        let data = *self.fingerprint.get_or_init(|| self.data.fingerprint());
        let origin = Origin { data, new_data: self.new_data };
        Ok(Ensemble::new(&self.members, live, fitted, self.learner.shared_build()).with_origin(origin))
    }

    /// Fits `combiner` as [`combine`](Self::combine) does, without an ensemble.
    pub(crate) fn fit_combiner<C: Combiner + ?Sized>(&self, combiner: &C) -> Result<C::Fitted> {
        match combiner.needs_held_out() {
            true => combiner.fit(self.held_out_for(combiner.needs_inputs())?),
            false => {
                let (task, rows) = (self.data.task(), self.data.rows());
                combiner.fit(&HeldOut::none(task, self.names(), self.costs(), rows, self.seed)?)
            }
        }
    }

    /// The rows that the plan reserved, sorted: no run trained on them. See
    /// [`Session::reserve`](crate::Session::reserve).
    #[must_use]
    pub fn reserved(&self) -> &[u32] {
        &self.reserved
    }

    /// The rows of the pool's data that shaped none of its members, sorted. They include the
    /// [reserved](Self::reserved) rows. There are none where it is unknown which rows shaped some member.
    #[must_use]
    pub fn unseen(&self) -> Rows {
        match self.is_seen_unknown() {
            true => Rows::new(),
            false => self.seen().complement(self.data.rows()).to_vec(),
        }
    }

    /// The seed of the pool's plan.
    #[must_use]
    pub fn seed(&self) -> Seed {
        self.seed
    }

    /// Measures a combiner on rows on which it was not fitted, by cross-fitting over the held-out rows, next
    /// to the mean and the best single slot; see [`HeldOut::judge`].
    ///
    /// # Errors
    /// As [`HeldOut::judge`].
    pub fn judge<C: Combiner>(&self, combiner: &C) -> Result<CombinerReport> {
        self.held_out_for(combiner.needs_inputs())?.judge(combiner)
    }

    /// A pool of the slots that `pruning` keeps.
    ///
    /// The pruning chooses slots on the held-out rows, and a combiner fitted afterwards is fitted on the same
    /// rows. [`Pruned`](crate::prune::Pruned) makes the pruning part of a combiner, so that
    /// [`judge`](Self::judge) measures both together.
    ///
    /// # Errors
    /// As [`Prune::keep`]; when there are no held-out rows.
    pub fn prune(&self, pruning: &dyn Prune) -> Result<Self> {
        let keep = pruning.keep(self.held_out_for(pruning.needs_inputs())?)?;
        self.select_slots(&keep)
    }

    /// A pool of the slots at these positions. Held-out predictions that have been made already are kept.
    ///
    /// # Errors
    /// When there is no position, or one is out of range.
    pub fn select_slots(&self, keep: &[usize]) -> Result<Self> {
        let mut pool = self.with_members(self.in_smaller_networks(self.members_of(keep)?)?)?;
        let mut sorted = keep.to_vec();
        sorted.sort_unstable();
        sorted.dedup();
        // Empty where nothing has been predicted yet, or where the slots have no held-out row.
        let selected = |held_out: &OnceLock<HeldOut>| {
            let selected = held_out.get().and_then(|held_out| held_out.select_slots(&sorted).ok());
            selected.map_or_else(OnceLock::new, OnceLock::from)
        };
        pool.held_out = selected(&self.held_out);
        pool.held_out_with_inputs = selected(&self.held_out_with_inputs);
        Ok(pool)
    }

    /// A pool in which each member of a sequence is a predictor of its own, with a slot of its own, so that weights can be
    /// learned for the members of [`AdaBoost`](crate::strategy::AdaBoost), or members left out.
    ///
    /// ```
    /// # use candle_core::{Device, Tensor};
    /// use candle_ensemble::{combine::HardVote, data::TensorDataset, strategy::AdaBoost, train::Trainer, Session};
    ///
    /// # let x = Tensor::arange(0f32, 80., &Device::Cpu)?.affine(0.02, -0.8)?.reshape((40, 2))?;
    /// # let y = Tensor::from_iter((0..40u32).map(|i| u32::from(i / 10 == 1 || i / 10 == 2)), &Device::Cpu)?;
    /// # let data = TensorDataset::classification(x.clone(), &y)?;
    /// # let trainer = Trainer::new(|vb| candle_nn::linear(2, 2, vb)).epochs(5);
    /// let pool = Session::new(&trainer, &data).fit(&AdaBoost::new(10).learning_rate(0.5), 42)?;
    /// let apart = pool.apart()?;
    /// assert_eq!((pool.slots(), apart.slots()), (1, pool.members().len()));
    /// let ensemble = apart.combine(&HardVote)?; // each member counts the same
    /// # Ok::<(), candle_ensemble::Error>(())
    /// ```
    ///
    /// # Errors
    /// When the outputs of members are only added up, as those of
    /// [`GradientBoosting`](crate::strategy::GradientBoosting) are.
    pub fn apart(&self) -> Result<Self> {
        let mut members = self.members.clone();
        for member in &mut members {
            if let Some(round) = &member.record.round {
                round.check_predictor(member.name())?;
            }
            member.record.round = None;
        }
        self.with_members(with_own_slots(&members))
    }

    /// The members of the slots at these positions.
    pub(crate) fn members_of(&self, keep: &[usize]) -> Result<Vec<Member>> {
        let slots = slots(&self.members);
        let mut kept = vec![];
        for position in keep {
            let must = || format!("below {}, the number of slots", slots.len());
            let slot = slots.get(*position).ok_or_else(|| Error::invalid("a slot", must(), position))?;
            kept.push(*slot);
        }
        Ok(self.members.iter().filter(|m| kept.contains(&m.record.slot)).cloned().collect())
    }

    /// The rows of the pool's data that are known to have shaped any of its members.
    pub(crate) fn seen(&self) -> RowBitmap {
        RowBitmap::union_of(self.members.iter().filter_map(|member| self.seen_by(member)))
    }

    /// The rows of the pool's data that are known to have shaped a member; `None` where the data is new to all members.
    pub(crate) fn seen_by<'m>(&self, member: &'m Member) -> Option<&'m RowBitmap> {
        (!self.new_data).then_some(&member.record.seen)
    }

    /// Whether it is unknown which rows of the pool's data shaped some member.
    pub(crate) fn is_seen_unknown(&self) -> bool {
        !self.new_data && is_seen_unknown(&self.members)
    }

    /// Whether the pool's data is new to all members, and the rows in their records are those of another data set.
    pub(crate) fn is_on_new_data(&self) -> bool {
        self.new_data
    }

    /// [`Error::UnknownRows`] where it is unknown which rows of the pool's data shaped some member.
    pub(crate) fn refuse_unknown(&self) -> Result<()> {
        if !self.is_seen_unknown() {
            return Ok(());
        }
        let unknown = self.members.iter().filter(|member| member.record.seen_unknown);
        Err(Error::UnknownRows { members: unknown.map(Member::name).collect() })
    }

    /// The names of the slots in tables: the architecture and the number of the slot's first run.
    #[must_use]
    pub fn names(&self) -> Vec<String> {
        let first = |slot: &usize| self.members.iter().find(|m| m.record.slot == *slot);
        slots(&self.members).iter().filter_map(first).map(Member::name).collect()
    }

    /// The number of networks that predict at inference, and of their parameters. A network that holds several members counts
    /// once, however many of them are in the pool.
    pub(crate) fn networks_that_predict(&self) -> (usize, f64) {
        let networks = by_network(predicting(&self.members));
        let first = networks.iter().filter_map(|members| members.first());
        (networks.len(), first.map(|member| number_of_parameters(&member.weights) as f64).sum())
    }

    /// The number of parameters of each slot's networks that predict at inference; of a network that holds several members,
    /// the share of those in the slot.
    pub(crate) fn costs(&self) -> Vec<f64> {
        let of = |m: &Member| number_of_parameters(&m.weights) as f64 / m.record.held() as f64;
        let slot = |slot: &usize| predicting(&self.members).filter(|m| m.record.slot == *slot).map(of).sum();
        slots(&self.members).iter().map(slot).collect()
    }
}

/// The numbers of the slots, sorted.
fn slots(members: &[Member]) -> Vec<usize> {
    let mut slots: Vec<usize> = members.iter().map(|m| m.record.slot).collect();
    slots.sort_unstable();
    slots.dedup();
    slots
}
