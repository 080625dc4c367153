//! How the networks of a pool are merged.
use crate::{
    data::{Dataset, Inputs, RowBitmap},
    merge::{
        align::{align_all, align_to_mean, trace::Trace, Matching, PermutationSpec},
        merge,
        network::re_estimate::refuse_too_few,
        re_estimate, repair, GreedySoup, LearnedSoup, Method, Model,
    },
    train::Learner,
    weights::{average, compatibility::has_statistics, RunWeights, Weights},
    Error, Result, Rows, Seed,
};
use std::sync::Arc;

/// The most rows on which activations are compared and their spread is measured.
const SAMPLE: usize = 1024;

/// How the networks of a pool are made one, for [`Pool::merge`](crate::Pool::merge).
///
/// A spec is a way to merge ([`average`](Self::average), [`greedy`](Self::greedy),
/// [`learned`](Self::learned), [`method`](Self::method)), and optionally an [alignment](Self::alignment)
/// before and a [repair](Self::repair) after.
///
/// ```
/// use candle_ensemble::{merge::{Alignment, GreedySoup, MergeSpec}, weights::RunWeights};
///
/// // Epochs of one run; the newest counts most.
/// let epochs = MergeSpec::average(RunWeights::Linear);
/// // Networks that were fine-tuned from one network.
/// let fine_tuned = MergeSpec::greedy(GreedySoup::new());
/// // Networks that were trained independently.
/// let independent = MergeSpec::average(RunWeights::Uniform).alignment(Alignment::Weights).repair(true);
/// ```
#[derive(Clone, Debug)]
pub struct MergeSpec {
    how: How,
    alignment: Alignment,
    permutations: Option<PermutationSpec>,
    repair: bool,
    statistics_rows: Option<Rows>,
    seed: Seed,
}

#[derive(Clone, Debug)]
enum How {
    Average(RunWeights),
    Greedy(GreedySoup),
    Learned(LearnedSoup),
    Method(Arc<dyn Method>, Option<Arc<Weights>>),
}

/// Whether the units of networks are put into one order before the networks are merged, and by what.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Alignment {
    /// The networks are merged as they are.
    #[default]
    None,
    /// Units are matched by their weights ([`align_to_mean`]).
    Weights,
    /// Units are matched by their activations ([`align_all`]), on up to 1024 of the rows that shaped the
    /// members.
    Activations,
}

impl MergeSpec {
    fn new(how: How) -> Self {
        Self {
            how,
            alignment: Alignment::None,
            permutations: None,
            repair: false,
            statistics_rows: None,
            seed: Seed::from(0),
        }
    }

    /// A weighted average of the networks, oldest first: for networks of one run, or, with an
    /// [alignment](Self::alignment), for networks that were trained independently.
    #[must_use]
    pub fn average(weights: RunWeights) -> Self {
        Self::new(How::Average(weights))
    }

    /// A greedy soup by the loss on the rows of the [`MaxBarrier`](crate::merge::MaxBarrier). The networks
    /// are chosen on these rows, so the barrier there is lower than on other rows.
    #[must_use]
    pub fn greedy(soup: GreedySoup) -> Self {
        Self::new(How::Greedy(soup))
    }

    /// A learned soup by the loss on the rows of the [`MaxBarrier`](crate::merge::MaxBarrier). The
    /// coefficients are fitted on these rows, so the barrier there is lower than on other rows. The
    /// [shares](crate::merge::Merged::shares) are those of the first group of tensors.
    #[must_use]
    pub fn learned(soup: LearnedSoup) -> Self {
        Self::new(How::Learned(soup))
    }

    /// A merge method that needs no base network.
    #[must_use]
    pub fn method(method: impl Method + 'static) -> Self {
        Self::new(How::Method(Arc::new(method), None))
    }

    /// A merge method for networks that were fine-tuned from `base`.
    #[must_use]
    pub fn fine_tuned(method: impl Method + 'static, base: Weights) -> Self {
        Self::new(How::Method(Arc::new(method), Some(Arc::new(base))))
    }

    /// Puts the units of the networks into one order before the merge; [`Alignment::None`] by default.
    #[must_use]
    pub fn alignment(mut self, alignment: Alignment) -> Self {
        self.alignment = alignment;
        self
    }

    /// The axes that hold the same units, for networks that a [`Trace`] cannot follow. By default a trace
    /// finds them.
    #[must_use]
    pub fn permutations(mut self, permutations: PermutationSpec) -> Self {
        self.permutations = Some(permutations);
        self
    }

    /// Whether the merged network is [repaired](crate::merge::repair()), over up to 1024 of the rows that
    /// shaped the members; false by default. A network with batch-norm is not repaired, because its
    /// statistics are re-estimated in any case.
    #[must_use]
    pub fn repair(mut self, repair: bool) -> Self {
        self.repair = repair;
        self
    }

    /// The rows of the pool's data on which statistics of batch-norm are re-estimated, activations are compared, and
    /// their spread is measured, at least 2. By default they are those that shaped the members.
    ///
    /// Use it for networks from elsewhere that have seen no row of the data set, or unknown ones
    /// ([`Seen`](crate::store::Seen)). Only the inputs of the rows are used, and no targets; the rows count as seen by the
    /// merged network.
    #[must_use]
    pub fn statistics_rows(mut self, rows: impl IntoIterator<Item = u32>) -> Self {
        let mut rows: Rows = rows.into_iter().collect();
        rows.sort_unstable();
        rows.dedup();
        self.statistics_rows = Some(rows);
        self
    }

    /// The rows that the caller has set for statistics, sorted.
    pub(super) fn rows_of_statistics(&self) -> Option<&Rows> {
        self.statistics_rows.as_ref()
    }

    /// The seed of the alignment, which visits groups of units in a random order; 0 by default.
    #[must_use]
    pub fn seed(mut self, seed: impl Into<Seed>) -> Self {
        self.seed = seed.into();
        self
    }

    /// Whether the networks are aligned first.
    pub(crate) fn aligns(&self) -> bool {
        self.alignment != Alignment::None
    }

    /// Whether the forward pass of the model is traced.
    pub(crate) fn traces(&self) -> bool {
        let given = self.permutations.is_some() && self.alignment != Alignment::Activations;
        self.repair || self.aligns() && !given
    }

    /// Whether the merge of two networks lies on the straight path between them.
    pub(crate) fn is_straight(&self) -> bool {
        matches!(self.how, How::Average(_))
    }

    /// The networks with their units in one order.
    pub(crate) fn align<L: Learner>(
        &self,
        networks: &[&Weights],
        context: &MergeContext<'_, L>,
    ) -> Result<Vec<Weights>> {
        let permutations = match &self.permutations {
            Some(permutations) => permutations.clone(),
            None => context.trace()?.permutations()?,
        };
        match self.alignment {
            Alignment::Activations => {
                let (trace, sample) = (context.trace()?, context.sample()?);
                let activations = |weights: &Weights| trace.activations(&permutations, weights, &sample);
                align_all(networks, &permutations, &Matching::Activations(&activations), self.seed)
            }
            _ => align_to_mean(networks, &permutations, self.seed),
        }
    }

    /// The merged network, and the share of each network in it.
    pub(crate) fn merge<L: Learner>(
        &self,
        networks: &[&Weights],
        context: &MergeContext<'_, L>,
    ) -> Result<(Weights, Vec<f64>)> {
        let equal = || vec![1. / networks.len() as f64; networks.len()];
        let (raw, shares) = match &self.how {
            How::Average(weights) => {
                let shares = weights.weights(networks.len())?;
                (average(networks, &shares)?, shares)
            }
            How::Greedy(soup) => {
                let metric = |weights: &Weights| Ok(-context.loss(&context.re_estimated(weights)?)?);
                let soup = soup.merge(networks, metric)?;
                (soup.weights, soup.coefficients.into_values().next().unwrap_or_else(equal))
            }
            How::Learned(soup) => {
                let (data, rows) = (context.data, &context.rows);
                let soup = soup.merge(networks, |weights| context.model.loss_tensor(weights, data, rows))?;
                (soup.weights, soup.coefficients.into_values().next().unwrap_or_else(equal))
            }
            How::Method(method, base) => (merge(&**method, networks, base.as_deref())?, equal()),
        };
        Ok((self.finish(raw, networks, &shares, context)?, shares))
    }

    /// Repairs the merged network, or re-estimates its batch-norm statistics, as needed.
    pub(crate) fn finish<L: Learner>(
        &self,
        raw: Weights,
        parents: &[&Weights],
        shares: &[f64],
        context: &MergeContext<'_, L>,
    ) -> Result<Weights> {
        if !self.repair || has_statistics(&raw) {
            return context.re_estimated(&raw);
        }
        Ok(repair(context.trace()?, parents, shares, &raw, context.sample()?)?.weights)
    }
}

/// What a merge needs besides the networks.
pub(crate) struct MergeContext<'k, L: Learner> {
    /// Runs the networks.
    pub(crate) model: Model<'k, L>,
    /// The data that the members were trained on.
    pub(crate) train_data: &'k dyn Dataset,
    /// The rows of `train_data` that shaped any member.
    pub(crate) seen: RowBitmap,
    /// Whether other rows of `train_data`, which are unknown, may have shaped some member too.
    pub(crate) seen_unknown: bool,
    /// The rows of `train_data` on which statistics and activations are measured, sorted.
    pub(crate) statistics_rows: Rows,
    /// The data on which losses are measured.
    pub(crate) data: &'k dyn Dataset,
    /// The rows of `data` on which losses are measured.
    pub(crate) rows: Rows,
    /// Whether `data` is `train_data`.
    pub(crate) is_train_data: bool,
    /// The traced model, for a spec that needs it.
    pub(crate) trace: Option<Trace<'k, L>>,
}

impl<'k, L: Learner> MergeContext<'k, L> {
    pub(crate) fn loss(&self, weights: &Weights) -> Result<f64> {
        self.model.loss(weights, self.data, &self.rows)
    }

    /// The number of rows to measure on that shaped any member, or may have.
    pub(crate) fn seen_rows(&self) -> usize {
        let may_be_seen = |row: &u32| self.seen_unknown || self.seen.contains(*row);
        let seen = |row: &&u32| self.is_train_data && may_be_seen(row);
        self.rows.iter().filter(seen).count()
    }

    /// The network with its batch-norm statistics re-estimated over the rows of the statistics.
    fn re_estimated(&self, weights: &Weights) -> Result<Weights> {
        match has_statistics(weights) {
            true => {
                refuse_too_few(&self.statistics_rows, "the members")?;
                re_estimate(&self.model, weights, self.train_data, &self.statistics_rows)
            }
            false => Ok(weights.clone()),
        }
    }

    fn trace(&self) -> Result<&Trace<'k, L>> {
        self.trace
            .as_ref()
            .ok_or_else(|| Error::invalid("the merge spec", "one that traces the model", "another one"))
    }

    /// Evenly spaced rows of those of the statistics.
    fn sample(&self) -> Result<Inputs> {
        refuse_too_few(&self.statistics_rows, "the members")?;
        let step = self.statistics_rows.len().div_ceil(SAMPLE).max(1);
        let rows: Rows = self.statistics_rows.iter().step_by(step).copied().collect();
        Ok(self.train_data.batch(&rows, self.model.target_device())?.inputs)
    }
}
