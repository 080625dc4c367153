//! How a pool's networks become one.
use crate::{
    data::{Dataset, Inputs},
    merge::{
        align::{align_all, align_to_mean, trace::Trace, Matching, PermutationSpec},
        merge,
        network::{re_estimate::re_estimate, repair},
        GreedySoup, LearnedSoup, Method, Model,
    },
    train::Learner,
    weights::{average, compatibility::has_statistics, RunWeights, Weights},
    Error, Result, Rows, Seed,
};
use std::sync::Arc;

/// Rows that units are compared on, and their spread is measured on.
const SAMPLE: usize = 1024;

/// How the members of a pool become one network, for [`Pool::merge`](crate::Pool::merge).
///
/// ```
/// use candle_ensemble::{merge::{GreedySoup, MergeSpec, Ties}, weights::RunWeights};
///
/// let epochs = MergeSpec::average(RunWeights::Linear); // of one run, the newest counting most
/// let relatives = MergeSpec::greedy(GreedySoup::new()); // fine-tuned from one network
/// let strangers = MergeSpec::average(RunWeights::Uniform).aligned().repaired(); // trained apart
/// ```
#[derive(Clone, Debug)]
pub struct MergeSpec {
    how: How,
    alignment: Option<Alignment>,
    spec: Option<PermutationSpec>,
    repair: bool,
    seed: Seed,
}

#[derive(Clone, Debug)]
enum How {
    Average(RunWeights),
    Greedy(GreedySoup),
    Learned(LearnedSoup),
    Method(Arc<dyn Method>, Option<Arc<Weights>>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Alignment {
    Weights,
    Activations,
}

impl MergeSpec {
    fn new(how: How) -> Self {
        Self { how, alignment: None, spec: None, repair: false, seed: Seed::from(0) }
    }

    /// Their weighted average, oldest first: for the networks of one run, and with
    /// [`aligned`](Self::aligned) for networks trained apart.
    #[must_use]
    pub fn average(weights: RunWeights) -> Self {
        Self::new(How::Average(weights))
    }

    /// The greedy soup by the loss on the guard's rows, so its barrier there is lower than it would be elsewhere.
    #[must_use]
    pub fn greedy(soup: GreedySoup) -> Self {
        Self::new(How::Greedy(soup))
    }

    /// The learned soup of least loss on the guard's rows, so its barrier there is lower than it would be elsewhere. All
    /// of the rows are in one graph. Shares are those of the first group of tensors.
    #[must_use]
    pub fn learned(soup: LearnedSoup) -> Self {
        Self::new(How::Learned(soup))
    }

    /// Any method that needs no common ancestor.
    #[must_use]
    pub fn method(method: impl Method + 'static) -> Self {
        Self::new(How::Method(Arc::new(method), None))
    }

    /// Any method for networks that were fine-tuned from `base`.
    #[must_use]
    pub fn relatives(method: impl Method + 'static, base: Weights) -> Self {
        Self::new(How::Method(Arc::new(method), Some(Arc::new(base))))
    }

    /// Puts the networks' units in one order first, by their weights
    /// ([`align_to_mean`](crate::merge::align::align_to_mean)).
    #[must_use]
    pub fn aligned(mut self) -> Self {
        self.alignment = Some(Alignment::Weights);
        self
    }

    /// The same by what the units say of up to 1024 of the rows that the members have seen
    /// ([`align_all`](crate::merge::align::align_all)).
    #[must_use]
    pub fn aligned_by_activations(mut self) -> Self {
        self.alignment = Some(Alignment::Activations);
        self
    }

    /// Which axes hold the same units, for networks that [`Trace`] cannot follow; found by it, if not set.
    #[must_use]
    pub fn permutations(mut self, spec: PermutationSpec) -> Self {
        self.spec = Some(spec);
        self
    }

    /// Brings the units back to the spread they had: [`repair`](crate::merge::network::repair()) over up to 1024 of the rows that the
    /// members have seen. A network with batch-norm needs none: its statistics are always measured anew.
    #[must_use]
    pub fn repaired(mut self) -> Self {
        self.repair = true;
        self
    }

    /// Seed of the alignment's order of steps; 0, if not set.
    #[must_use]
    pub fn seed(mut self, seed: impl Into<Seed>) -> Self {
        self.seed = seed.into();
        self
    }

    /// Whether the networks are aligned first.
    pub(crate) fn aligns(&self) -> bool {
        self.alignment.is_some()
    }

    /// Whether the model's own forward pass has to say which units there are.
    pub(crate) fn traces(&self) -> bool {
        let by_hand = self.spec.is_some() && self.alignment != Some(Alignment::Activations);
        self.repair || self.aligns() && !by_hand
    }

    /// Whether the result lies on the straight line between two networks.
    pub(crate) fn is_straight(&self) -> bool {
        matches!(self.how, How::Average(_))
    }

    /// The networks in one order of units.
    pub(crate) fn align<L: Learner>(
        &self,
        networks: &[&Weights],
        context: &MergeContext<'_, L>,
    ) -> Result<Vec<Weights>> {
        let spec = match &self.spec {
            Some(spec) => spec.clone(),
            None => context.trace()?.permutations()?,
        };
        match self.alignment {
            Some(Alignment::Activations) => {
                let (trace, sample) = (context.trace()?, context.sample()?);
                let of = |weights: &Weights| trace.activations(&spec, weights, &sample);
                align_all(networks, &spec, &Matching::Activations(&of), self.seed)
            }
            _ => align_to_mean(networks, &spec, self.seed),
        }
    }

    /// One network out of several, and the share that each has in it.
    pub(crate) fn merge<L: Learner>(
        &self,
        networks: &[&Weights],
        context: &MergeContext<'_, L>,
    ) -> Result<(Weights, Vec<f64>)> {
        let equal = || vec![1. / networks.len() as f64; networks.len()];
        let (raw, shares) = match &self.how {
            How::Average(weights) => {
                let shares = weights.of(networks.len())?;
                (average(networks, &shares)?, shares)
            }
            How::Greedy(soup) => {
                let metric = |weights: &Weights| Ok(-context.loss(&context.measured(weights)?)?);
                let soup = soup.merge(networks, metric)?;
                (soup.weights, soup.coefficients.into_values().next().unwrap_or_else(equal))
            }
            How::Learned(soup) => {
                let (data, rows) = context.judge;
                let soup = soup.merge(networks, |weights| context.model.loss_tensor(weights, data, rows))?;
                (soup.weights, soup.coefficients.into_values().next().unwrap_or_else(equal))
            }
            How::Method(method, base) => (merge(&**method, networks, base.as_deref())?, equal()),
        };
        Ok((self.finish(raw, networks, &shares, context)?, shares))
    }

    /// Repairs and measures what has to be.
    pub(crate) fn finish<L: Learner>(
        &self,
        raw: Weights,
        parents: &[&Weights],
        shares: &[f64],
        context: &MergeContext<'_, L>,
    ) -> Result<Weights> {
        if !self.repair || has_statistics(&raw) {
            return context.measured(&raw);
        }
        Ok(repair(context.trace()?, parents, shares, &raw, context.sample()?)?.weights)
    }
}

/// What cooking takes besides the networks.
pub(crate) struct MergeContext<'k, L: Learner> {
    /// How the networks run.
    pub(crate) model: Model<'k, L>,
    /// The data that the members were trained on, and the rows that shaped any of them.
    pub(crate) data: &'k dyn Dataset,
    pub(crate) seen: Rows,
    /// Where losses are measured.
    pub(crate) judge: (&'k dyn Dataset, &'k [u32]),
    /// Of recipes that need it.
    pub(crate) trace: Option<Trace<'k, L>>,
}

impl<'k, L: Learner> MergeContext<'k, L> {
    pub(crate) fn loss(&self, weights: &Weights) -> Result<f64> {
        let (data, rows) = self.judge;
        self.model.loss(weights, data, rows)
    }

    /// With batch-norm's statistics as they are over the rows seen.
    fn measured(&self, weights: &Weights) -> Result<Weights> {
        match has_statistics(weights) {
            true => re_estimate(&self.model, weights, self.data, &self.seen),
            false => Ok(weights.clone()),
        }
    }

    fn trace(&self) -> Result<&Trace<'k, L>> {
        self.trace.as_ref().ok_or_else(|| Error::invalid("the spec", "one that traces the model", "another"))
    }

    /// Some of the rows seen, evenly spaced.
    fn sample(&self) -> Result<Inputs> {
        let step = self.seen.len().div_ceil(SAMPLE).max(1);
        let rows: Rows = self.seen.iter().step_by(step).copied().collect();
        Ok(self.data.batch(&rows, self.model.place())?.inputs)
    }
}
