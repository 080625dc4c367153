//! Everything that was trained, with what is needed to use it.
use crate::{
    combine::{Combiner, RuleReport},
    data::{Dataset, Inputs},
    ensemble::Ensemble,
    network::Scale,
    predictions::{
        live::{flatten_inputs, LiveMembers},
        Predictions,
    },
    prune::Prune,
    store::member::{apart, predicting},
    train::{in_batches, Learner},
    weights::Weights,
    Error, HeldOut, Member, Result, Rows, Seed,
};
use candle_core::{DType, Device, Tensor};
use std::sync::OnceLock;

/// Rows a forward pass where the caller has no say.
pub(crate) const ROWS: usize = 1024;

/// The trained members of a plan, with the learner and the data they come from.
///
/// A pool is borrowed by everything that is done with it: [`combine`](Self::combine), [`judge`](Self::judge),
/// [`prune`](Self::prune), [`merge`](Self::merge). Its held-out predictions are made once, when they are first needed,
/// and kept; so a second combiner costs neither a second training nor a second pass over the rows.
///
/// Only a pool makes held-out predictions, from what each member's record says it has seen. So a combiner that learns
/// cannot be fitted on predictions for rows on which members were fitted.
#[allow(missing_debug_implementations)] // neither learner nor data set need be Debug
pub struct Pool<'a, L: Learner> {
    members: Vec<Member>,
    learner: &'a L,
    data: &'a dyn Dataset,
    device: Device,
    /// Rows kept back from every run.
    reserved: Rows,
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
        Ok(Self { members, learner, data, device, reserved, seed, held_out, held_out_with_inputs })
    }

    /// The members, in the order of the plan.
    #[must_use]
    pub fn members(&self) -> &[Member] {
        &self.members
    }

    /// The members' weights, in the order of the plan.
    #[must_use]
    pub fn weights(&self) -> Vec<&Weights> {
        self.members.iter().map(|member| &member.weights).collect()
    }

    /// A pool of other members of the same learner and data, such as averages of these or draws around them. Their
    /// records say what they may predict.
    ///
    /// # Errors
    /// When there are none.
    pub fn with_members(&self, members: Vec<Member>) -> Result<Self> {
        let plan = (self.reserved.clone(), self.seed);
        Self::new(members, self.learner, self.data, self.device.clone(), plan)
    }

    /// The live network of one member, by its position.
    ///
    /// # Errors
    /// When there is no such member, or candle cannot build it.
    pub fn network(&self, position: usize) -> Result<L::Network> {
        let must = || format!("below {}, the number of members", self.members.len());
        let member = self.members.get(position);
        let member = member.ok_or_else(|| Error::invalid("a member's position", must(), position))?;
        Ok(LiveMembers::build_one(self.learner, member, &self.device)?.into_network())
    }

    /// Who trained the members, on what, and where.
    pub(crate) fn parts(&self) -> (&'a L, &'a dyn Dataset, &Device) {
        (self.learner, self.data, &self.device)
    }

    /// How many slots, each of one prediction.
    #[must_use]
    pub fn slots(&self) -> usize {
        slots(&self.members).len()
    }

    /// Fits `combiner` on the pool's held-out predictions, where it learns, and makes the ensemble.
    ///
    /// # Errors
    /// When the combiner cannot be fitted ([`Error::HeldOut`] where there are no rows to fit it on), or candle fails.
    pub fn combine<C: Combiner>(&self, combiner: &C) -> Result<Ensemble<L::Network, C::Fitted>> {
        let fitted = match combiner.needs_held_out() {
            true => combiner.fit(self.held_out_for(combiner.needs_inputs())?)?,
            false => {
                let (task, rows) = (self.data.task(), self.data.rows());
                combiner.fit(&HeldOut::none(task, self.names(), self.costs(), rows, self.seed)?)?
            }
        };
        Ok(Ensemble::new(self.live()?, fitted))
    }

    /// Rows that were kept back from every run ([`Session::reserve`](crate::Session::reserve)), sorted.
    #[must_use]
    pub fn reserved(&self) -> &[u32] {
        &self.reserved
    }

    /// Rows of the pool's data that shaped none of its members, sorted: the reserved rows first of all.
    #[must_use]
    pub fn unseen(&self) -> Rows {
        let seen = self.seen();
        (0..self.data.rows() as u32).filter(|row| seen.binary_search(row).is_err()).collect()
    }

    /// The seed of the pool's plan.
    #[must_use]
    pub fn seed(&self) -> Seed {
        self.seed
    }

    /// What each slot predict for other rows: `(S, N, C)`.
    ///
    /// # Errors
    /// When the inputs don't go with the networks.
    pub fn predictions(&self, inputs: impl Into<Inputs>) -> Result<Predictions> {
        self.live()?.predict_in_batches(&inputs.into(), ROWS, Scale::Probability)
    }

    /// What each member predict for other rows on its own, whatever its slot: `(M, N, C)`.
    ///
    /// # Errors
    /// When the inputs don't go with the networks.
    pub fn members_apart(&self, inputs: impl Into<Inputs>) -> Result<Predictions> {
        let apart = LiveMembers::build(&apart(&self.members), self.learner, self.data.task(), &self.device)?;
        apart.predict_in_batches(&inputs.into(), ROWS, Scale::Probability)
    }

    /// What members say about rows that none of the member's own training touched.
    ///
    /// Each slot's prediction for a row is the mean over its members that held the row out, refit ones apart. Rows that no slot may
    /// predict are left out; predictions that are missing for a row that is there stay missing
    /// ([`Predictions::covered`]).
    ///
    /// # Errors
    /// When there is no such row, or candle fails.
    pub fn held_out(&self) -> Result<&HeldOut> {
        once(&self.held_out, || self.predict_held_out())
    }

    fn predict_held_out(&self) -> Result<HeldOut> {
        let (rows, task) = (self.data.rows(), self.data.task());
        let (mut values, mut covered) = (vec![], vec![]);
        for slot in slots(&self.members) {
            let (mut sum, mut count) = (None::<Tensor>, vec![0f32; rows]);
            for member in self.members.iter().filter(|m| m.record.slot == slot && !m.record.refit) {
                let unseen: Rows =
                    (0..rows as u32).filter(|row| member.record.seen.binary_search(row).is_err()).collect();
                if unseen.is_empty() {
                    continue;
                }
                let predicted = self.says(member, &unseen)?;
                let before = match sum {
                    Some(sum) => sum,
                    None => Tensor::zeros((rows, predicted.dim(1)?), predicted.dtype(), &self.device)?,
                };
                sum =
                    Some(before.index_add(&Tensor::new(unseen.as_slice(), &self.device)?, &predicted, 0)?);
                unseen.iter().for_each(|row| count[*row as usize] += 1.);
            }
            let sum = match sum {
                Some(sum) => sum,
                None => Tensor::zeros((rows, task.width()), self.learner.dtype(), &self.device)?,
            };
            let counts = Tensor::new(count.as_slice(), &self.device)?.to_dtype(sum.dtype())?;
            // 0 / 0 marks a prediction that is missing.
            values.push(sum.broadcast_div(&counts.unsqueeze(1)?)?);
            covered.push(counts.gt(0f64)?.to_dtype(DType::F32)?);
        }
        let predictions =
            Predictions::partial(Tensor::stack(&values, 0)?, Tensor::stack(&covered, 0)?, task)?;
        let held_out = HeldOut::from_pool(&predictions, self.data, &self.device, self.names(), self.costs())?;
        Ok(held_out.with_seed(self.seed))
    }

    /// The held-out predictions; with the rows' inputs, for a combiner that looks at them.
    fn held_out_for(&self, inputs: bool) -> Result<&HeldOut> {
        match inputs {
            true => once(&self.held_out_with_inputs, || self.with_inputs(self.held_out()?)),
            false => self.held_out(),
        }
    }

    fn with_inputs(&self, held_out: &HeldOut) -> Result<HeldOut> {
        let mut inputs = vec![];
        for batch in in_batches(self.data, held_out.rows().to_vec(), ROWS, &self.device) {
            inputs.push(flatten_inputs(&batch?.inputs)?);
        }
        held_out.clone().with_inputs(&Tensor::cat(&inputs, 0)?)
    }

    /// What a combiner is worth on rows on which it was not fitted, beside the mean and the best single slot; see
    /// [`HeldOut::judge`].
    ///
    /// # Errors
    /// As [`HeldOut::judge`].
    pub fn judge<C: Combiner>(&self, combiner: &C) -> Result<RuleReport> {
        self.held_out_for(combiner.needs_inputs())?.judge(combiner)
    }

    /// The pool of the slots that a pruning keeps. A rule fitted next is fitted on the same held-out rows; what both
    /// are worth together, [`Pruned`](crate::prune::Pruned) tells.
    ///
    /// # Errors
    /// As [`Prune::keep`]; when there are no held-out rows.
    pub fn prune(&self, rule: &dyn Prune) -> Result<Self> {
        let keep = rule.keep(self.held_out_for(rule.needs_inputs())?)?;
        self.select_slots(&keep)
    }

    /// The pool of the slots at these positions.
    ///
    /// # Errors
    /// When there is none, or one is out of range.
    pub fn select_slots(&self, keep: &[usize]) -> Result<Self> {
        let mut some = self.with_members(self.members_of(keep)?)?;
        let mut sorted = keep.to_vec();
        sorted.sort_unstable();
        sorted.dedup();
        // The predictions that are there already; where no row is left, the selection has none.
        let selected =
            |held_out: &OnceLock<HeldOut>| held_out.get().and_then(|h| h.select_slots(&sorted).ok());
        some.held_out = selected(&self.held_out).map_or_else(OnceLock::new, OnceLock::from);
        some.held_out_with_inputs =
            selected(&self.held_out_with_inputs).map_or_else(OnceLock::new, OnceLock::from);
        Ok(some)
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

    /// The rows of the pool's data that shaped any of its members, sorted.
    pub(crate) fn seen(&self) -> Rows {
        let mut seen: Rows = self.members.iter().flat_map(|m| m.record.seen.iter().copied()).collect();
        seen.sort_unstable();
        seen.dedup();
        seen
    }

    /// What tables call the slots: the architecture and the number of the slot's first run.
    #[must_use]
    pub fn names(&self) -> Vec<String> {
        let first = |slot: &usize| self.members.iter().find(|m| m.record.slot == *slot);
        let name = |m: &Member| match m.record.index {
            0 => format!("{} {}", m.record.architecture, m.record.run),
            index => format!("{} {}.{index}", m.record.architecture, m.record.run),
        };
        slots(&self.members).iter().filter_map(first).map(name).collect()
    }

    /// The parameters of each slot's networks, of those that predict at inference.
    pub(crate) fn costs(&self) -> Vec<f64> {
        let of = |m: &Member| m.weights.values().map(|w| w.elem_count() as f64).sum::<f64>();
        let slot = |slot: &usize| predicting(&self.members).filter(|m| m.record.slot == *slot).map(of).sum();
        slots(&self.members).iter().map(slot).collect()
    }

    /// What one member predict for rows of the pool's own data, `(n, C)`.
    fn says(&self, member: &Member, rows: &[u32]) -> Result<Tensor> {
        let member = LiveMembers::build_one(self.learner, member, &self.device)?;
        let (task, output) = (self.data.task(), self.learner.output());
        let mut predicted = vec![];
        for batch in in_batches(self.data, rows.to_vec(), ROWS, &self.device) {
            let out = member.run(&batch?.inputs)?.detach();
            predicted.push(output.prediction(&out, task, Scale::Probability)?);
        }
        Ok(Tensor::cat(&predicted, 0)?)
    }

    pub(crate) fn live(&self) -> Result<LiveMembers<L::Network>> {
        LiveMembers::build(&self.members, self.learner, self.data.task(), &self.device)
    }
}

/// The slots' numbers, in order.
fn slots(members: &[Member]) -> Vec<usize> {
    let mut slots: Vec<usize> = members.iter().map(|m| m.record.slot).collect();
    slots.sort_unstable();
    slots.dedup();
    slots
}

/// What is in the cell, made first where it is empty.
fn once<T>(cell: &OnceLock<T>, make: impl FnOnce() -> Result<T>) -> Result<&T> {
    match cell.get() {
        Some(made) => Ok(made),
        None => {
            let made = make()?;
            Ok(cell.get_or_init(|| made))
        }
    }
}
