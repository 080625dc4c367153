//! Ways to use the members of a strategy: combiners of their predictions, and single networks made of them.
mod registry;

pub use registry::combinations;

use crate::{
    combine::{AnyCombiner, AnyFitted, Combiner, FittedCombiner},
    merge::{best_of, Best, BestOf, Distill, MergeSpec},
    train::{Averaging, Learner},
    Error, HeldOut, Pool, Result,
};
use std::fmt::Debug;

/// A way to use the members that a strategy trains: a combiner of their predictions, or one network that is made
/// of them.
///
/// A [`Study`](crate::evaluate::Study) measures each of its strategies with each of its combinations.
/// [`combinations`] makes combinations from names.
///
/// | Kind | Made by | Rows that it is fitted or measured on |
/// |---|---|---|
/// | fixed rule | [`rule`](Self::rule) | none |
/// | learned rule | [`rule`](Self::rule) | held-out rows |
/// | merge of weights | [`merge`](Self::merge) | reserved rows, for the loss barrier |
/// | average within one run | [`averaged`](Self::averaged) | none |
/// | student of the members | [`distilled`](Self::distilled) | none |
/// | best single network or soup | [`best_of`](Self::best_of) | reserved rows |
///
/// ```
/// use candle_ensemble::{combine::Median, evaluate::Combination, merge::MergeSpec, weights::RunWeights};
///
/// let rule = Combination::rule(Median);
/// let one_network = Combination::merge(MergeSpec::average(RunWeights::Linear));
/// assert!(!rule.is_one_network() && one_network.is_one_network());
/// ```
#[derive(Debug)]
pub struct Combination(pub(crate) Way);

/// The ways.
#[derive(Debug)]
pub(crate) enum Way {
    Rule(Box<dyn Combiner<Fitted = Box<dyn FittedCombiner>>>),
    Merge(MergeSpec),
    Averaged(Averaging),
    Distilled(Distill),
    BestOf { max_cost: f64, student: Option<Distill> },
}

impl Combination {
    /// A combiner of the members' predictions. One that learns is fitted on held-out rows only.
    #[must_use]
    pub fn rule<C: Combiner + 'static>(combiner: C) -> Self
    where
        C::Fitted: 'static,
    {
        Self(Way::Rule(Box::new(Erased(combiner))))
    }

    /// One network, merged of the members' weights. The merge is refused where its loss barrier is higher than
    /// the study allows.
    #[must_use]
    pub fn merge(spec: MergeSpec) -> Self {
        Self(Way::Merge(spec))
    }

    /// One network: the average of the networks of the strategy's first run. Where the run collects several
    /// members, these are averaged; otherwise the run is trained once more, with this average.
    #[must_use]
    pub fn averaged(averaging: Averaging) -> Self {
        Self(Way::Averaged(averaging))
    }

    /// One network: a student that is trained on the predictions of the strategy's members, with the architecture of its
    /// first run; see [`Pool::distill`](crate::Pool::distill). Its training counts in the cost. Members predict the rows
    /// that they have not seen, so the strategy has to leave rows out, unless the options say otherwise.
    #[must_use]
    pub fn distilled(options: Distill) -> Self {
        Self(Way::Distilled(options))
    }

    /// The best of the single networks, soups and ensembles that cost at most `max_cost` networks to predict
    /// with; see [`best_of`](crate::merge::best_of()).
    #[must_use]
    pub fn best_of(max_cost: f64) -> Self {
        Self(Way::BestOf { max_cost, student: None })
    }

    /// As [`best_of`](Self::best_of), with a student that is trained on the members' predictions among the candidates; see
    /// [`BestOf::distill`]. Its training counts in the cost. The members must leave rows out that the student is trained
    /// on, unless the options say otherwise.
    #[must_use]
    pub fn best_of_with_student(max_cost: f64, student: Distill) -> Self {
        Self(Way::BestOf { max_cost, student: Some(student) })
    }

    /// Whether the result is one network, which costs as much to predict with as one of the strategy's networks.
    #[must_use]
    pub fn is_one_network(&self) -> bool {
        match &self.0 {
            Way::Rule(_) => false,
            Way::Merge(_) | Way::Averaged(_) | Way::Distilled(_) => true,
            Way::BestOf { max_cost, .. } => *max_cost < 2.,
        }
    }

    /// Whether the combination is fitted or measured on held-out rows.
    #[must_use]
    pub fn needs_held_out(&self) -> bool {
        match &self.0 {
            Way::Rule(combiner) => combiner.needs_held_out(),
            Way::Averaged(_) | Way::Distilled(_) => false,
            Way::Merge(_) | Way::BestOf { .. } => true,
        }
    }

    /// Whether the rows that it is fitted or measured on must be held out for all members at once. Rows that
    /// resampling leaves out are held out for some members only.
    pub(crate) fn needs_reserved(&self) -> bool {
        matches!(self.0, Way::Merge(_) | Way::BestOf { .. })
    }
}

impl From<AnyCombiner> for Combination {
    fn from(combiner: AnyCombiner) -> Self {
        Self(Way::Rule(Box::new(Any(combiner))))
    }
}

/// The best use of a pool. A student that was asked for and cannot be trained is an error.
pub(crate) fn best_within<L: Learner>(
    pool: &Pool<'_, L>,
    max_cost: f64,
    student: Option<&Distill>,
) -> Result<Best<L::Network>> {
    let options = BestOf::new().max_cost(max_cost);
    let best = best_of(pool, &student.map_or(options, |student| options.distill(student)))?;
    match best.report.student().and_then(|candidate| candidate.failure.as_ref()) {
        Some(why) => {
            Err(Error::invalid("the student of best-of", "one that can be trained and measured", why))
        }
        None => Ok(best),
    }
}

/// A combiner of which the type of the fitted form is erased.
#[derive(Debug)]
struct Erased<C>(C);

impl<C: Combiner> Combiner for Erased<C>
where
    C::Fitted: 'static,
{
    type Fitted = Box<dyn FittedCombiner>;

    fn fit(&self, held_out: &HeldOut) -> Result<Self::Fitted> {
        Ok(Box::new(self.0.fit(held_out)?))
    }

    fn needs_held_out(&self) -> bool {
        self.0.needs_held_out()
    }

    fn needs_inputs(&self) -> bool {
        self.0.needs_inputs()
    }
}

/// The same for combiners that were chosen by name, whose fitted form is in a box already.
#[derive(Debug)]
struct Any(AnyCombiner);

impl Combiner for Any {
    type Fitted = Box<dyn FittedCombiner>;

    fn fit(&self, held_out: &HeldOut) -> Result<Self::Fitted> {
        let fitted: Box<AnyFitted> = self.0.fit(held_out)?;
        Ok(fitted)
    }

    fn needs_held_out(&self) -> bool {
        self.0.needs_held_out()
    }

    fn needs_inputs(&self) -> bool {
        self.0.needs_inputs()
    }
}
