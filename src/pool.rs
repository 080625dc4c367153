//! The pool: the trained members of a plan, with the learner and the data that they come from.
//!
//! A [`Pool`] turns members into predictions. It alone makes held-out predictions, from the rows that each
//! member's record says it has seen, so that no combiner, pruning or merge is judged on rows that shaped its
//! members.
mod builder;
mod load;

pub use builder::{PoolBuilder, PretrainedMember};
pub use load::LoadReport;

use crate::{
    combine::{Combiner, CombinerReport},
    conformal::{CalibrationRows, ConformalMethod},
    data::{Dataset, Inputs},
    distribution::Mixture,
    ensemble::Ensemble,
    network::Scale,
    predictions::{
        kept::{Kept, MOST_NUMBERS},
        live::{flat_inputs, Constructor, LiveSlots},
        passes::{Passes, Source, ROWS},
        unseen::{rows_not_in, Unseen},
        Predictions,
    },
    prune::Prune,
    store::member::{in_slot_order, is_seen_unknown, predicting, with_own_slots},
    train::Learner,
    weights::{number_of_parameters, Weights},
    Error, HeldOut, Member, Result, Rows, Seed,
};
use candle_core::{DType, Device, Tensor};
use std::{ops::Range, sync::OnceLock};

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
        let new_data = false;
        Ok(Self { members, learner, data, device, reserved, new_data, seed, held_out, held_out_with_inputs })
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

    /// Builds the network of the member at this position, with its weights.
    ///
    /// # Errors
    /// When there is no such member, when it scales its inputs or targets, or candle cannot build the network.
    pub fn network(&self, position: usize) -> Result<L::Network> {
        let must = || format!("below {}, the number of members", self.members.len());
        let member = self.members.get(position);
        let member = member.ok_or_else(|| Error::invalid("a member's position", must(), position))?;
        Constructor::of(self.learner).build(member, &self.device)?.into_network()
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
        let fitted = self.fit_combiner(combiner)?;
        let live = LiveSlots::build(&self.members, self.learner, self.data, &self.device)?;
        Ok(Ensemble::new(&self.members, live, fitted, self.learner.shared_build()))
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
            false => rows_not_in(&self.seen(), self.data.rows()),
        }
    }

    /// The seed of the pool's plan.
    #[must_use]
    pub fn seed(&self) -> Seed {
        self.seed
    }

    /// The prediction of each slot for any inputs: `(S, N, C)`, for S slots, N rows and C classes or outputs.
    ///
    /// # Errors
    /// When the inputs are not finite or do not fit the networks; when a prediction is NaN.
    pub fn predictions(&self, inputs: impl Into<Inputs>) -> Result<Predictions> {
        self.predict_source(&self.members, Source::Inputs(&inputs.into()))
    }

    /// The prediction of each slot for all rows of a data set, `(S, N, C)`. The rows are read in batches, so
    /// their inputs need not fit in memory.
    ///
    /// # Errors
    /// As [`predictions`](Self::predictions), and when the data cannot be read.
    pub fn predictions_on(&self, data: &dyn Dataset) -> Result<Predictions> {
        let rows: Rows = (0..data.rows() as u32).collect();
        self.predict_source(&self.members, Source::Rows(data, &rows))
    }

    /// The prediction of each member for any inputs, whatever its slot: `(M, N, C)`, for M members, N rows
    /// and C classes or outputs.
    ///
    /// # Errors
    /// As [`predictions`](Self::predictions).
    pub fn predictions_per_member(&self, inputs: impl Into<Inputs>) -> Result<Predictions> {
        self.predict_source(&with_own_slots(&self.members), Source::Inputs(&inputs.into()))
    }

    /// The mixture of the distributions that the members predict for any inputs, where each slot counts the same. The
    /// learner's output is a distribution, such as [`Output::Gaussian`](crate::network::Output::Gaussian).
    ///
    /// ```
    /// use candle_core::{Device, Tensor};
    /// use candle_ensemble::{distribution::Score, prelude::*, train::Output};
    ///
    /// let x = Tensor::arange(0f32, 40., &Device::Cpu)?.affine(0.05, -1.)?.reshape((20, 2))?;
    /// let data = TensorDataset::regression(&x, &x.sum(1)?)?;
    /// let trainer = Trainer::new(|vb| candle_nn::linear(2, 2, vb)).output(Output::Gaussian).epochs(2);
    /// let pool = Session::new(&trainer, &data).fit(&MultiRun::new(3), 1)?;
    /// let mixture = pool.distributions(&x)?;
    /// let (data_noise, disagreement) = (mixture.aleatoric()?, mixture.epistemic()?);
    /// assert_eq!((data_noise.dims(), disagreement.dims()), (&[20, 1][..], &[20, 1][..]));
    /// assert!(mixture.score(Score::Crps, &x.sum(1)?, None)? > 0.);
    /// # Ok::<(), candle_ensemble::Error>(())
    /// ```
    ///
    /// # Errors
    /// When the networks do not output distributions; as [`predictions`](Self::predictions).
    pub fn distributions(&self, inputs: impl Into<Inputs>) -> Result<Mixture> {
        self.distributions_of(Source::Inputs(&inputs.into()))
    }

    /// The mixture of the distributions that the members predict for all rows of a data set; see
    /// [`distributions`](Self::distributions).
    ///
    /// # Errors
    /// As [`distributions`](Self::distributions), and when the data cannot be read.
    pub fn distributions_on(&self, data: &dyn Dataset) -> Result<Mixture> {
        let rows: Rows = (0..data.rows() as u32).collect();
        self.distributions_of(Source::Rows(data, &rows))
    }

    fn distributions_of(&self, source: Source<'_>) -> Result<Mixture> {
        let passes = Passes::new(source, ROWS, &self.device);
        let build = || LiveSlots::build(&self.members, self.learner, self.data, &self.device);
        let (live, equal) = (build()?, vec![1.; self.slots()]);
        live.workers(Some(Box::new(build))).distributions(&passes, &equal)
    }

    fn predict_source(&self, members: &[Member], source: Source<'_>) -> Result<Predictions> {
        self.predict_members(members, &self.passes(source), Scale::Probability)
    }

    /// Passes over rows, of [`ROWS`] rows at most.
    pub(crate) fn passes<'s>(&'s self, source: Source<'s>) -> Passes<'s> {
        Passes::new(source, ROWS, &self.device).limited((self.data.task(), self.data.positions()))
    }

    fn predict_members(&self, members: &[Member], passes: &Passes<'_>, scale: Scale) -> Result<Predictions> {
        let build = || LiveSlots::build(members, self.learner, self.data, &self.device);
        build()?.workers(Some(Box::new(build))).predict(passes, scale)
    }

    /// What `keep` keeps of the predictions of each slot in each pass, `(S, n, C)`. It is told the places of the rows of the
    /// pass among all rows. No more than the predictions of some passes is held beside.
    pub(crate) fn predict_kept(
        &self,
        passes: &Passes<'_>,
        scale: Scale,
        keep: impl Fn(Range<usize>, Predictions) -> Result<Predictions>,
    ) -> Result<Predictions> {
        let build = || LiveSlots::build(&self.members, self.learner, self.data, &self.device);
        let live = build()?;
        let workers = live.workers(Some(Box::new(build)));
        workers.predict_with(passes, scale, |pass, predicted| keep(pass.places(), predicted))
    }

    /// The prediction of each slot for these rows of a data set, `(S, R, C)`.
    pub(crate) fn predict_rows(&self, data: &dyn Dataset, rows: &[u32]) -> Result<Predictions> {
        self.predict_source(&self.members, Source::Rows(data, rows))
    }

    /// The predictions of members for rows that did not shape them. They are made on the first call and kept.
    ///
    /// A slot's prediction for a row is the mean over its members that have not seen the row; refit members
    /// take no part. Rows that no slot can predict are left out. For a row that some slots can predict and
    /// others cannot, the predictions of the others are missing ([`Predictions::covered`]).
    ///
    /// Where rows have several positions, each position is a row here, and the positions of a row are one group. Of more
    /// than 2²⁶ probabilities in all, the same number of positions of each row is kept, drawn with the seed of the plan.
    ///
    /// # Errors
    /// [`Error::UnknownRows`] when it is unknown which rows shaped some member: declare them, or use rows that are new to
    /// all members ([`on_new_data`](Self::on_new_data)). [`Error::HeldOut`] when there is no such row. When candle
    /// fails.
    pub fn held_out(&self) -> Result<&HeldOut> {
        get_or_make(&self.held_out, || self.predict_held_out())
    }

    fn predict_held_out(&self) -> Result<HeldOut> {
        self.refuse_unknown()?;
        let task = self.data.task();
        // The type of predictions, whatever that of the networks.
        let dtype = if self.learner.dtype() == DType::F64 { DType::F64 } else { DType::F32 };
        let slots = slots(&self.members);
        let all: Rows = (0..self.data.rows() as u32).collect();
        let of_slot = MOST_NUMBERS / slots.len().max(1);
        let kept = Kept::of(self.data, &all, of_slot, &self.device, self.seed)?;
        let rows = kept.len();
        let mut sums: Vec<_> = slots.iter().map(|_| (None::<Tensor>, vec![0f32; rows])).collect();
        let members = self.members.iter().filter(|m| !m.record.refit).collect();
        let (data, device) = (self.data, &self.device);
        let pass_rows = self.passes(Source::Rows(data, &all)).size;
        let unseen =
            Unseen { members, learner: self.learner, data, new_data: self.new_data, device, pass_rows };
        unseen.predict(
            |rows, predicted| kept.select(rows, predicted),
            |member, unseen, predicted| {
                let slot = slots.partition_point(|slot| *slot < member.record.slot);
                let Some((sum, count)) = sums.get_mut(slot) else { return Ok(()) };
                let predicted = predicted.to_dtype(dtype)?;
                let before = match sum.take() {
                    Some(sum) => sum,
                    None => Tensor::zeros((rows, predicted.dim(1)?), predicted.dtype(), &self.device)?,
                };
                let places = kept.places(unseen);
                *sum = Some(before.index_add(&Tensor::new(&*places, &self.device)?, &predicted, 0)?);
                for place in &*places {
                    if let Some(n) = count.get_mut(*place as usize) {
                        *n += 1.;
                    }
                }
                Ok(())
            },
        )?;
        let (mut values, mut covered) = (vec![], vec![]);
        for (sum, count) in sums {
            let sum = match sum {
                Some(sum) => sum,
                None => Tensor::zeros((rows, task.width()), dtype, &self.device)?,
            };
            let counts = Tensor::new(count.as_slice(), &self.device)?.to_dtype(sum.dtype())?;
            // 0 / 0 marks a missing prediction.
            values.push(sum.broadcast_div(&counts.unsqueeze(1)?)?);
            covered.push(counts.gt(0f64)?.to_dtype(DType::F32)?);
        }
        let predictions =
            Predictions::partial(Tensor::stack(&values, 0)?, Tensor::stack(&covered, 0)?, task)?;
        let of_slots = (self.names(), self.costs());
        let held_out = kept.held_out(&predictions, (self.data, &all), &self.device, of_slots)?;
        Ok(held_out.with_seed(self.seed))
    }

    /// The held-out predictions, with the inputs of their rows where `inputs` says so.
    pub(crate) fn held_out_for(&self, inputs: bool) -> Result<&HeldOut> {
        match inputs {
            true => get_or_make(&self.held_out_with_inputs, || self.with_inputs(self.held_out()?)),
            false => self.held_out(),
        }
    }

    fn with_inputs(&self, held_out: &HeldOut) -> Result<HeldOut> {
        self.data.positions().check_one("a combiner that reads the inputs of a row")?;
        held_out.clone().with_inputs(&flat_inputs(self.data, held_out.rows(), &self.device)?)
    }

    /// Fits a method of [conformal prediction](crate::conformal) for the members, combined by `combiner`, on rows of the pool's
    /// own data.
    ///
    /// [`CrossIntervals`](crate::conformal::CrossIntervals) takes the held-out predictions of the members: out of the bag for
    /// bagging, out of the fold for cross-validation. [`SplitIntervals`](crate::conformal::SplitIntervals) and
    /// [`ClassSets`](crate::conformal::ClassSets) take the rows that [no member has seen](Self::unseen), such as those that
    /// [`Session::reserve`](crate::Session::reserve) keeps. To calibrate on another data set, use
    /// [`OnDataset::conformal`](crate::OnDataset::conformal).
    ///
    /// ```
    /// use candle_core::{Device, Tensor};
    /// use candle_ensemble::{conformal::*, prelude::*};
    ///
    /// let x = Tensor::arange(0f32, 80., &Device::Cpu)?.affine(0.02, -0.8)?.reshape((80, 1))?;
    /// let data = TensorDataset::regression(&x, &x.sqr()?)?;
    /// let trainer = Trainer::new(|vb| candle_nn::linear(1, 1, vb)).epochs(2);
    /// let pool = Session::new(&trainer, &data).fit(&Bagging::new(20), 42)?;
    /// let conformal = pool.conformal(&Mean, &CrossIntervals::new(0.1))?;
    /// let ensemble = pool.combine(&Mean)?;
    /// assert_eq!(ensemble.predict_intervals(&conformal, &x)?.dims(), [80, 1, 2]);
    /// # Ok::<(), candle_ensemble::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::HeldOut`] when there are no such rows; when the combiner is itself fitted on rows of the pool, except for
    /// jackknife+ intervals, which need a mean or median; when the pool has refit members and the intervals are of the others;
    /// as [`ConformalMethod::fit`].
    pub fn conformal<C: Combiner, M: ConformalMethod>(&self, combiner: &C, method: &M) -> Result<M::Fitted> {
        match method.calibration_rows() {
            CalibrationRows::HeldOut => {
                if self.members.iter().any(|member| member.record.refit) {
                    let must =
                        "those that leave rows out; Pool::with_members makes a pool without refit members";
                    return Err(Error::invalid(
                        "members of cross-conformal prediction",
                        must,
                        "refit members too",
                    ));
                }
                let fitted = self.fit_combiner(combiner)?;
                match self.slots() == self.members.len() {
                    true => method.fit(self.held_out()?, &fitted),
                    false => {
                        method.fit(self.with_members(in_slot_order(&self.members))?.held_out()?, &fitted)
                    }
                }
            }
            CalibrationRows::Unseen => {
                if combiner.needs_held_out() {
                    let must =
                        "one that is not fitted on rows of the pool, or calibrated on another data set";
                    return Err(Error::invalid("combiner of the calibration", must, format!("{combiner:?}")));
                }
                let rows = self.unseen();
                if rows.is_empty() {
                    let (combiner, rows) = ("split conformal prediction".into(), self.data.rows());
                    return Err(Error::HeldOut { combiner, need: 1, have: 0, rows });
                }
                self.combine(combiner)?.on(self.data).rows(&rows).conformal(method)
            }
        }
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
        let mut pool = self.with_members(self.members_of(keep)?)?;
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

    /// The rows of the pool's data that are known to have shaped any of its members, sorted.
    pub(crate) fn seen(&self) -> Rows {
        let mut seen: Rows = self.members.iter().flat_map(|m| self.seen_by(m).iter().copied()).collect();
        seen.sort_unstable();
        seen.dedup();
        seen
    }

    /// The rows of the pool's data that are known to have shaped a member, sorted.
    pub(crate) fn seen_by<'m>(&self, member: &'m Member) -> &'m [u32] {
        if self.new_data {
            &[]
        } else {
            &member.record.seen
        }
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

    /// The number of parameters of each slot's networks that predict at inference.
    pub(crate) fn costs(&self) -> Vec<f64> {
        let of = |m: &Member| number_of_parameters(&m.weights) as f64;
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

/// The content of the cell, made first where it is empty.
fn get_or_make<T>(cell: &OnceLock<T>, make: impl FnOnce() -> Result<T>) -> Result<&T> {
    match cell.get() {
        Some(made) => Ok(made),
        None => {
            let made = make()?;
            Ok(cell.get_or_init(|| made))
        }
    }
}
