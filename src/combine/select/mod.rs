//! Ensemble selection: a greedy search that adds the member that helps most, step by step.
mod absolute_error;
mod any_criterion;
mod error_rate;
mod greedy;
mod log_loss;
#[cfg(feature = "learned")]
mod on_disk;
mod panels;
mod partial_mean;
mod squared_error;
#[cfg(test)]
mod tests;

pub use greedy::SelectionPath;

use greedy::GreedySelection;

#[cfg(feature = "learned")]
use crate::{combine::fit_loaded, HeldOutFile};
use crate::{
    combine::{
        held_out_table::{Coverage, HeldOutTable, Number},
        Combiner, Weighted,
    },
    data::Task,
    metrics::{Criterion, RowLoss, Scored, Truth},
    Error, HeldOut, Result, Seed,
};
use candle_core::DType;
use rand::seq::SliceRandom;
use std::{borrow::Cow, sync::Arc};

const NAME: &str = "ensemble-selection";

/// Selects members greedily: adds, step by step, the member with which the mean is best on the held-out rows.
///
/// ```text
/// w_s = n_s / Σ_t n_t,  n_s the number of times that member s was added
/// ```
///
/// It learns from held-out predictions `(S, R, C)` (slots, rows, classes or outputs). It starts with no
/// member, or with the best few. A member may be added several times. The result is the best mean of all
/// steps (of equals the first), as a [`Weighted`] mean in which most weights are zero. Ties go to a member
/// that is already in use, then to the lowest slot; losses that agree in twelve digits are ties. The default
/// criterion is the log-loss for classes and the squared error for values.
///
/// Where predictions are missing, the mean of a row is that of the members that predict it. A member is judged
/// by the mean change of the loss on its own rows, so that it does not matter how many they are. A row that no
/// member so far predicts has the mean loss of the single members that predict it.
///
/// Use it to choose a few of many members by any criterion, also within a budget of cost. With few held-out
/// rows it overfits them: select from random subsets ([`bags`](Self::bags)), start with several members
/// ([`start`](Self::start)), or use [`SimplexSquares`](crate::combine::SimplexSquares) with a penalty.
///
/// The cost is one pass over the predictions for each step with a [`RowLoss`] (for squared errors, one for
/// each member that is added for the first time), and `S` evaluations of any other [`Criterion`], or of any
/// criterion where predictions are missing.
///
/// # Errors
/// [`Combiner::fit`] fails when there are no steps, the number of bags is 0 or their share is out of range,
/// the budget is negative or too small for every member, the criterion does not support the task, or the
/// criterion is finite for no member.
///
/// # Examples
/// ```
/// use candle_core::{Device, Tensor};
/// use candle_ensemble::{combine::*, data::Task, predictions::*, HeldOut};
///
/// // The first member is 1 too high, the second 2 too low, the third far off. The mean of the first, the first
/// // and the second is exact.
/// let y = Tensor::arange(0f64, 6., &Device::Cpu)?.reshape((6, 1))?;
/// let predicted = Tensor::stack(&[(&y + 1.)?, (&y - 2.)?, (&y * 9.)?], 0)?;
/// let predictions = Predictions::new(predicted, Task::Regression { outputs: 1 })?;
/// let held_out = HeldOut::from_predictions(&predictions, &y)?;
/// let fitted = EnsembleSelection::new(10).fit(&held_out)?;
/// assert_eq!(fitted.used(), [0, 1]);
/// assert!((fitted.weights().unwrap()[0] - 2. / 3.).abs() < 1e-12);
/// # Ok::<(), candle_ensemble::Error>(())
/// ```
///
/// Source: Caruana, Niculescu-Mizil, Crew and Ksikes 2004, doi:10.1145/1015330.1015432.
#[derive(Clone, Debug)]
pub struct EnsembleSelection {
    steps: usize,
    start: usize,
    replacement: bool,
    bags: Option<(usize, f64)>,
    budget: Option<f64>,
    criterion: Option<Arc<dyn Criterion>>,
    seed: Option<Seed>,
}

impl EnsembleSelection {
    /// Creates the combiner with this many greedy steps, at least 1 (0 is enough with a
    /// [`start`](Self::start)).
    #[must_use]
    pub fn new(steps: usize) -> Self {
        let (criterion, seed) = (None, None);
        Self { steps, start: 0, replacement: true, bags: None, budget: None, criterion, seed }
    }

    /// Sets the loss to minimise: a [`RowLoss`], which is fast, or any [`Criterion`]. The default is the
    /// log-loss for classes and the squared error for values.
    #[must_use]
    pub fn criterion(mut self, criterion: impl Criterion + 'static) -> Self {
        self.criterion = Some(Arc::new(criterion));
        self
    }

    /// Sets the number of initial members: those that are best on their own, best first (sorted
    /// initialisation). The greedy steps come after them. The default is 0.
    #[must_use]
    pub fn start(mut self, members: usize) -> Self {
        self.start = members;
        self
    }

    /// Sets whether a member may be added several times; the default is true. Without replacement all weights
    /// that are not zero are equal.
    #[must_use]
    pub fn replacement(mut self, replacement: bool) -> Self {
        self.replacement = replacement;
        self
    }

    /// Sets the number of bags, and the share of the members in each, above 0 and at most 1. Each bag selects
    /// from a random subset of at least one member, and the result is the mean of their weights, which
    /// reduces overfitting of the held-out rows (Caruana, Munson and Niculescu-Mizil 2006,
    /// doi:10.1109/ICDM.2006.76).
    #[must_use]
    pub fn bags(mut self, bags: usize, share: f64) -> Self {
        self.bags = Some((bags, share));
        self
    }

    /// Sets the greatest total cost of the members in use, in the unit of [`HeldOut::costs`]. The budget
    /// covers all bags together: a member that one bag uses is free for the next.
    #[must_use]
    pub fn budget(mut self, budget: f64) -> Self {
        self.budget = Some(budget);
        self
    }

    /// Sets the seed of the bags' random subsets. The default follows from [`HeldOut::seed`].
    #[must_use]
    pub fn seed(mut self, seed: impl Into<Seed>) -> Self {
        self.seed = Some(seed.into());
        self
    }

    /// Returns the steps of the search: one path, or one for each bag, with slots of `held_out`. The path of
    /// a bag whose members all exceed the budget is empty.
    ///
    /// # Errors
    /// Fails as [`Combiner::fit`] does.
    pub fn paths(&self, held_out: &HeldOut) -> Result<Vec<SelectionPath>> {
        self.paths_of(held_out, &HeldOutTable::of(held_out)?)
    }

    /// Checks that some path has a member.
    fn check_paths(&self, paths: &[SelectionPath]) -> Result<()> {
        if paths.iter().any(|path| path.best() > 0) {
            return Ok(());
        }
        Err(match self.budget {
            Some(budget) => Error::invalid("the budget", "enough for a member with a finite loss", budget),
            None => Error::invalid("the criterion", "a number for some member", "NaN or infinite for all"),
        })
    }

    fn paths_of(&self, held_out: &HeldOut, table: &HeldOutTable) -> Result<Vec<SelectionPath>> {
        self.check()?;
        let criterion = self.criterion_for(table.task);
        if let Some(loss) = criterion.by_row() {
            loss.check(&table.truth)?;
        }
        let of = (held_out.costs(), held_out.seed());
        let f64s = held_out.predictions().values().dtype() == DType::F64;
        let paths = match table.task {
            Task::Classification { .. } if !f64s => {
                table.with(|all: &[f32]| self.run(of, scorer_of(class_scorer, table, all, &*criterion)))
            }
            Task::Classification { .. } => {
                table.with(|all: &[f64]| self.run(of, scorer_of(class_scorer, table, all, &*criterion)))
            }
            Task::Regression { .. } => {
                table.with(|all: &[f64]| self.run(of, scorer_of(value_scorer, table, all, &*criterion)))
            }
        }??;
        self.check_paths(&paths)?;
        Ok(paths)
    }

    fn check(&self) -> Result<()> {
        if self.steps + self.start == 0 {
            return Err(Error::invalid("steps of ensemble selection", "at least 1", 0));
        }
        match self.bags {
            Some((0, _)) => return Err(Error::invalid("bags of ensemble selection", "at least 1", 0)),
            Some((_, share)) if !(share > 0. && share <= 1.) => {
                return Err(Error::invalid("a bag's share of the members", "above 0 and at most 1", share));
            }
            _ => {}
        }
        match self.budget {
            Some(budget) if budget.is_nan() || budget < 0. => {
                Err(Error::invalid("the budget", "a number that is not negative", budget))
            }
            _ => Ok(()),
        }
    }

    fn criterion_for(&self, task: Task) -> Arc<dyn Criterion> {
        self.criterion.clone().unwrap_or_else(|| Arc::new(RowLoss::loss_for(task)))
    }

    /// Runs one selection for each bag, of slots with these costs. `scorer` makes a scorer of the slots of a bag.
    fn run<'a>(
        &self,
        (costs, seed): (&[f64], Seed),
        scorer: impl Fn(Vec<usize>) -> Result<Box<dyn Scorer + 'a>>,
    ) -> Result<Vec<SelectionPath>> {
        let mut costs = costs.to_vec();
        let mut budget = self.budget.unwrap_or(f64::INFINITY);
        let mut paths = vec![];
        let seed = self.seed.unwrap_or_else(|| seed.child(NAME));
        for slots in self.bag_slots(costs.len(), seed) {
            let mut scorer = scorer(slots.clone())?;
            let selection = GreedySelection {
                start: self.start,
                steps: self.steps,
                replacement: self.replacement,
                budget,
                costs: slots.iter().map(|slot| costs[*slot]).collect(),
            };
            let mut path = selection.run(&mut *scorer)?;
            path.order.iter_mut().for_each(|slot| *slot = slots[*slot]);
            for slot in &path.order[..path.best()] {
                budget -= std::mem::replace(&mut costs[*slot], 0.);
            }
            paths.push(path);
        }
        Ok(paths)
    }

    /// The slots that each bag selects from.
    fn bag_slots(&self, slots: usize, seed: Seed) -> Vec<Vec<usize>> {
        let Some((bags, share)) = self.bags else { return vec![(0..slots).collect()] };
        let size = ((slots as f64 * share).ceil() as usize).clamp(1, slots);
        let draw = |bag: usize| {
            let mut all: Vec<usize> = (0..slots).collect();
            let mut rng = seed.nth("ensemble selection", bag as u64).rng();
            let mut drawn = all.partial_shuffle(&mut rng, size).0.to_vec();
            drawn.sort_unstable();
            drawn
        };
        (0..bags).map(draw).collect()
    }
}

impl Combiner for EnsembleSelection {
    type Fitted = Weighted;

    fn fit(&self, held_out: &HeldOut) -> Result<Weighted> {
        let table = HeldOutTable::of(held_out)?;
        let paths = self.paths_of(held_out, &table)?;
        let (weights, end) = weights_of(&paths, held_out.predictions().slots());
        let criterion = self.criterion_for(table.task);
        Weighted::with_loss_on(&held_out.rows_with_weight()?, NAME, weights, &*criterion, end)
    }

    #[cfg(feature = "learned")]
    fn fit_on_disk(&self, held_out: &HeldOutFile) -> Result<Weighted> {
        self.check()?;
        let criterion = self.criterion_for(held_out.task());
        let Some(loss) = criterion.by_row() else { return fit_loaded(self, held_out) };
        let of = (held_out.costs(), held_out.seed());
        let paths = on_disk::with_scorers(held_out, loss, |scorer| self.run(of, scorer))?;
        self.check_paths(&paths)?;
        let (weights, end) = weights_of(&paths, held_out.slots());
        Weighted::with_loss_on_disk(held_out, NAME, weights, &*criterion, end)
    }
}

/// The mean over the paths of the share of each slot at their best, and the number of steps.
fn weights_of(paths: &[SelectionPath], slots: usize) -> (Vec<f64>, (usize, Option<f64>)) {
    let mut weights = vec![0.; slots];
    let found: Vec<_> = paths.iter().filter(|path| path.best() > 0).collect();
    for path in &found {
        let chosen = &path.order[..path.best()];
        chosen.iter().for_each(|slot| weights[*slot] += 1. / (chosen.len() * found.len()) as f64);
    }
    (weights, (paths.iter().map(|path| path.order.len()).sum(), None))
}

/// The loss of the equal-weight mean of the first slot of an order, of the first two, and so on.
pub(crate) fn losses_of_order(
    table: &HeldOutTable,
    order: &[usize],
    criterion: &dyn Criterion,
) -> Result<Vec<f64>> {
    let (slots, rows, width) = table.dims();
    if table.coverage.is_some() {
        return table.with(|all: &[f64]| {
            let candidates = Candidates::new(table, all, (0..slots).collect());
            let mut mean = partial_mean::PartialMean::new(candidates, &table.truth, criterion);
            let after = |slot: &usize| {
                mean.add(*slot);
                mean.current()
            };
            order.iter().map(after).collect()
        })?;
    }
    let (truth, weights) = (&table.truth, table.weights.as_slice());
    let mut sum = vec![0.; rows * width];
    let after = |(before, slot): (usize, &usize)| {
        sum.iter_mut().zip(table.slot(*slot)?).for_each(|(sum, x)| *sum += x);
        let mean: Vec<f64> = sum.iter().map(|x| x / (before + 1) as f64).collect();
        criterion.loss(&Scored { values: &mean, width, truth, weights })
    };
    order.iter().enumerate().map(after).collect()
}

/// The members that can be added, with their predictions.
#[derive(Clone)]
struct Candidates<'a, T: Number> {
    /// Predictions of all slots, `(S, R, C)`.
    values: Cow<'a, [T]>,
    /// The slot of each candidate.
    slots: Vec<usize>,
    rows: usize,
    width: usize,
    /// The weight of each row; the weights sum to one.
    weights: Cow<'a, [f64]>,
    /// Which predictions are there; `None` when all are.
    coverage: Option<&'a Coverage>,
}

impl<'a, T: Number> Candidates<'a, T> {
    fn new(table: &'a HeldOutTable, all: &'a [T], slots: Vec<usize>) -> Self {
        let (_, rows, width) = table.dims();
        let (values, weights) = (Cow::Borrowed(all), Cow::Borrowed(table.weights.as_slice()));
        Self { values, slots, rows, width, weights, coverage: table.coverage.as_ref() }
    }

    /// Whether a candidate predicts a row.
    #[inline(always)]
    fn predicts(&self, candidate: usize, row: usize) -> bool {
        self.predicts_slot(self.slots[candidate], row)
    }

    /// Whether a slot predicts a row.
    #[inline(always)]
    fn predicts_slot(&self, slot: usize, row: usize) -> bool {
        self.coverage.is_none_or(|coverage| coverage.predicts(slot, row))
    }

    /// The predictions of a candidate, `(R, C)`.
    #[inline(always)]
    fn slot(&self, candidate: usize) -> &[T] {
        &self.values[self.slots[candidate] * self.rows * self.width..][..self.rows * self.width]
    }

    #[inline(always)]
    fn row(&self, candidate: usize, row: usize) -> &[T] {
        &self.slot(candidate)[row * self.width..][..self.width]
    }
}

/// Computes losses of the mean of the candidates added so far and one more.
trait Scorer {
    /// The loss of the mean with each candidate added; NaN for one that cannot be added.
    fn losses_with_each(&mut self) -> Result<Vec<f64>>;

    /// Adds a candidate.
    fn add(&mut self, candidate: usize);

    /// The loss of the mean so far, where it is not what [`losses_with_each`](Self::losses_with_each) has given
    /// for the last candidate added.
    fn loss(&self) -> Result<Option<f64>> {
        Ok(None)
    }
}

type NewScorer<'a, T> = fn(Candidates<'a, T>, &'a Truth, &'a dyn Criterion) -> Box<dyn Scorer + 'a>;

/// What makes a scorer of some slots of a table.
fn scorer_of<'a, T: Number>(
    new: NewScorer<'a, T>,
    table: &'a HeldOutTable,
    all: &'a [T],
    criterion: &'a dyn Criterion,
) -> impl Fn(Vec<usize>) -> Result<Box<dyn Scorer + 'a>> {
    move |slots| Ok(new(Candidates::new(table, all, slots), &table.truth, criterion))
}

fn class_scorer<'a, T: Number>(
    candidates: Candidates<'a, T>,
    truth: &'a Truth,
    criterion: &'a dyn Criterion,
) -> Box<dyn Scorer + 'a> {
    if candidates.coverage.is_some() {
        return Box::new(partial_mean::PartialMean::new(candidates, truth, criterion));
    }
    match (criterion.by_row(), truth) {
        (Some(RowLoss::LogLoss), Truth::Classes(ids)) => Box::new(log_loss::LogLoss::new(&candidates, ids)),
        (Some(RowLoss::Error), Truth::Classes(ids)) => Box::new(error_rate::ErrorRate::new(&candidates, ids)),
        (Some(RowLoss::Brier), Truth::Classes(ids)) => {
            Box::new(squared_error::SquaredError::brier(candidates, ids))
        }
        _ => Box::new(any_criterion::AnyCriterion::new(candidates, truth, criterion)),
    }
}

fn value_scorer<'a>(
    candidates: Candidates<'a, f64>,
    truth: &'a Truth,
    criterion: &'a dyn Criterion,
) -> Box<dyn Scorer + 'a> {
    if candidates.coverage.is_some() {
        return Box::new(partial_mean::PartialMean::new(candidates, truth, criterion));
    }
    match (criterion.by_row(), truth) {
        (Some(RowLoss::Squared), Truth::Values(y)) => {
            Box::new(squared_error::SquaredError::values(&candidates, y))
        }
        (Some(RowLoss::Absolute), Truth::Values(y)) => {
            Box::new(absolute_error::AbsoluteError::new(&candidates, y))
        }
        _ => Box::new(any_criterion::AnyCriterion::new(candidates, truth, criterion)),
    }
}
