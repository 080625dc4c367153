//! Ensemble selection: members added one by one, whichever helps most.
mod absolute;
mod any;
mod error;
mod greedy;
mod log_loss;
mod panels;
mod squares;
#[cfg(test)]
mod tests;

pub use greedy::SelectionPath;

use greedy::Greedy;

use crate::{
    combine::{held_out_table::HeldOutTable, Combiner, Fit, Weighted},
    data::Task,
    kernels::float::Number,
    metrics::{Criterion, RowLoss, Scored, Truth},
    Error, HeldOut, Result, Seed,
};
use candle_core::DType;
use rand::seq::SliceRandom;
use std::{borrow::Cow, sync::Arc};

/// Ensemble selection (Caruana et al. 2004, doi:10.1145/1015330.1015432): starting from nothing, or from the best few,
/// add again and again the member with which the mean of all added so far is best on the held-out rows. A member may
/// be added several times, so the counts become weights; of all means on the way the best is taken (of equals the
/// first). Ends in a weighted mean, [`Weighted`], of which most weights are zero.
///
/// Ties go to a member already in use, then to the lowest slot. Losses equal to twelve digits are ties.
///
/// ```
/// use candle_core::{Device, Tensor};
/// use candle_ensemble::{combine::*, data::Task, predictions::*, HeldOut};
///
/// // One member is 1 too high, one 2 too low, one far off: two of the first and one of the second are right.
/// let y = Tensor::arange(0f64, 6., &Device::Cpu)?.reshape((6, 1))?;
/// let predicted = Tensor::stack(&[(&y + 1.)?, (&y - 2.)?, (&y * 9.)?], 0)?;
/// let held_out = HeldOut::from_predictions(&Predictions::new(predicted, Task::Regression { outputs: 1 })?, &y)?;
/// let fitted = EnsembleSelection::new(10).fit(&held_out)?;
/// assert_eq!(fitted.used(), [0, 1]);
/// assert!((fitted.weights().unwrap()[0] - 2. / 3.).abs() < 1e-12);
/// # Ok::<(), candle_ensemble::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct EnsembleSelection {
    steps: usize,
    start: usize,
    again: bool,
    bags: Option<(usize, f64)>,
    budget: Option<f64>,
    criterion: Option<Arc<dyn Criterion>>,
    seed: Seed,
}

impl EnsembleSelection {
    /// This many greedy steps, at least 1 (with a start of some members, 0 will do). By log-loss for classes, squared
    /// error for values.
    #[must_use]
    pub fn new(steps: usize) -> Self {
        let (criterion, seed) = (None, Seed::from(0));
        Self { steps, start: 0, again: true, bags: None, budget: None, criterion, seed }
    }

    /// What is to be made small: a [`RowLoss`], which is fast, or any [`Criterion`] of your own.
    #[must_use]
    pub fn criterion(mut self, criterion: impl Criterion + 'static) -> Self {
        self.criterion = Some(Arc::new(criterion));
        self
    }

    /// Starts with the members that are best on their own, this many of them, best first (sorted initialisation).
    /// The greedy steps come on top.
    #[must_use]
    pub fn start(mut self, members: usize) -> Self {
        self.start = members;
        self
    }

    /// Each member at most once: all weights that are not zero are then equal.
    #[must_use]
    pub fn without_replacement(mut self) -> Self {
        self.again = false;
        self
    }

    /// Selects `bags` times, each time from a random share of the members (above 0, at most 1; at least one member), and
    /// takes the mean of the weights: a guard against fitting the held-out rows (Caruana et al. 2006,
    /// doi:10.1109/ICDM.2006.76).
    #[must_use]
    pub fn bags(mut self, bags: usize, share: f64) -> Self {
        self.bags = Some((bags, share));
        self
    }

    /// The members in use may cost this much together, in the unit of [`HeldOut::costs`]. With bags, all bags
    /// together: what one bag has bought is free for the next.
    #[must_use]
    pub fn budget(mut self, most: f64) -> Self {
        self.budget = Some(most);
        self
    }

    /// Seed of the bags' shares; 0, if not set.
    #[must_use]
    pub fn seed(mut self, seed: impl Into<Seed>) -> Self {
        self.seed = seed.into();
        self
    }

    /// What the search went through: one path, or one a bag, in slots of `held_out`. A bag of which no member could
    /// be paid has an empty path.
    ///
    /// # Errors
    /// As [`Combiner::fit`].
    pub fn paths(&self, held_out: &HeldOut) -> Result<Vec<SelectionPath>> {
        self.paths_of(held_out, &HeldOutTable::of(held_out)?)
    }

    fn paths_of(&self, held_out: &HeldOut, held_out_table: &HeldOutTable) -> Result<Vec<SelectionPath>> {
        self.check()?;
        let criterion = self.criterion_for(held_out.predictions().task());
        if let Some(loss) = criterion.by_row() {
            loss.check(&held_out_table.truth)?;
        }
        let f64s = held_out.predictions().values().dtype() == DType::F64;
        let paths = match held_out.predictions().task() {
            Task::Classification { .. } if !f64s => held_out_table
                .with(|all: &[f32]| self.climbs(held_out, held_out_table, all, &*criterion, of_classes)),
            Task::Classification { .. } => held_out_table
                .with(|all: &[f64]| self.climbs(held_out, held_out_table, all, &*criterion, of_classes)),
            Task::Regression { .. } => held_out_table
                .with(|all: &[f64]| self.climbs(held_out, held_out_table, all, &*criterion, of_values)),
        }??;
        if paths.iter().all(|path| path.best() == 0) {
            return Err(match self.budget {
                Some(budget) => {
                    Error::invalid("the budget", "enough for a member that the criterion can judge", budget)
                }
                None => {
                    Error::invalid("the criterion", "a number for some member", "NaN or infinite for all")
                }
            });
        }
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
        match (&self.criterion, task) {
            (Some(criterion), _) => criterion.clone(),
            (None, Task::Classification { .. }) => Arc::new(RowLoss::LogLoss),
            (None, Task::Regression { .. }) => Arc::new(RowLoss::Squared),
        }
    }

    fn climbs<'a, T: Number>(
        &self,
        held_out: &HeldOut,
        held_out_table: &'a HeldOutTable,
        all: &'a [T],
        criterion: &'a dyn Criterion,
        scorer: ScorerOf<'a, T>,
    ) -> Result<Vec<SelectionPath>> {
        let mut costs = held_out.costs().to_vec();
        let mut left = self.budget.unwrap_or(f64::INFINITY);
        let mut paths = vec![];
        for slots in self.libraries(costs.len()) {
            let candidates = Candidates::new(held_out_table, all, slots.clone());
            let greedy = Greedy {
                start: self.start,
                steps: self.steps,
                again: self.again,
                left,
                costs: slots.iter().map(|slot| costs[*slot]).collect(),
            };
            let mut path = greedy.climb(&mut *scorer(candidates, &held_out_table.truth, criterion))?;
            path.order.iter_mut().for_each(|slot| *slot = slots[*slot]);
            for slot in &path.order[..path.best()] {
                left -= std::mem::replace(&mut costs[*slot], 0.);
            }
            paths.push(path);
        }
        Ok(paths)
    }

    /// The members to choose from, for each bag.
    fn libraries(&self, slots: usize) -> Vec<Vec<usize>> {
        let Some((bags, share)) = self.bags else { return vec![(0..slots).collect()] };
        let size = ((slots as f64 * share).ceil() as usize).clamp(1, slots);
        let library = |bag: usize| {
            let mut all: Vec<usize> = (0..slots).collect();
            let mut rng = self.seed.nth("ensemble selection", bag as u64).rng();
            let mut some = all.partial_shuffle(&mut rng, size).0.to_vec();
            some.sort_unstable();
            some
        };
        (0..bags).map(library).collect()
    }
}

impl Combiner for EnsembleSelection {
    type Fitted = Weighted;

    fn fit(&self, held_out: &HeldOut) -> Result<Weighted> {
        let held_out_table = HeldOutTable::of(&held_out)?;
        let paths = self.paths_of(&held_out, &held_out_table)?;
        let mut weights = vec![0.; held_out.predictions().slots()];
        let found: Vec<_> = paths.iter().filter(|path| path.best() > 0).collect();
        for path in &found {
            let chosen = &path.order[..path.best()];
            chosen.iter().for_each(|slot| weights[*slot] += 1. / (chosen.len() * found.len()) as f64);
        }
        let objective = match found.as_slice() {
            [path] => path.losses[path.best() - 1],
            _ => mean_loss(&held_out_table, &weights, &*self.criterion_for(held_out.predictions().task()))?,
        };
        let iterations = paths.iter().map(|path| path.order.len() as u64).sum();
        let fit = Fit { objective, iterations, gap: None };
        Ok(Weighted::found("ensemble-selection", held_out.names(), weights, Some(fit)))
    }
}

/// The loss of the weighted mean.
fn mean_loss(held_out_table: &HeldOutTable, weights: &[f64], criterion: &dyn Criterion) -> Result<f64> {
    let (_, rows, width) = held_out_table.dims();
    let mut values = vec![0.; rows * width];
    for (slot, weight) in weights.iter().enumerate().filter(|(_, w)| **w != 0.) {
        values.iter_mut().zip(held_out_table.slot(slot)?).for_each(|(mean, x)| *mean += weight * x);
    }
    criterion.loss(&Scored {
        values: &values,
        width,
        truth: &held_out_table.truth,
        weights: &held_out_table.weights,
    })
}

/// Who can be added.
#[derive(Clone)]
struct Candidates<'a, T: Number> {
    /// `(S, R, C)`.
    values: Cow<'a, [T]>,
    /// Which of the slots.
    slots: Vec<usize>,
    rows: usize,
    width: usize,
    /// Of the rows; they sum to one.
    weights: Cow<'a, [f64]>,
}

impl<'a, T: Number> Candidates<'a, T> {
    fn new(held_out_table: &'a HeldOutTable, all: &'a [T], slots: Vec<usize>) -> Self {
        let (_, rows, width) = held_out_table.dims();
        Self {
            values: Cow::Borrowed(all),
            slots,
            rows,
            width,
            weights: Cow::Borrowed(&held_out_table.weights),
        }
    }

    /// What a candidate says, `(R, C)`.
    #[inline(always)]
    fn slot(&self, candidate: usize) -> &[T] {
        &self.values[self.slots[candidate] * self.rows * self.width..][..self.rows * self.width]
    }

    #[inline(always)]
    fn row(&self, candidate: usize, row: usize) -> &[T] {
        &self.slot(candidate)[row * self.width..][..self.width]
    }
}

/// The mean of the candidates added so far, ready for one more.
trait Scorer {
    /// The loss with each of the candidates added.
    fn trial(&mut self) -> Result<Vec<f64>>;

    /// Adds one.
    fn add(&mut self, candidate: usize);
}

type ScorerOf<'a, T> = fn(Candidates<'a, T>, &'a Truth, &'a dyn Criterion) -> Box<dyn Scorer + 'a>;

fn of_classes<'a, T: Number>(
    of: Candidates<'a, T>,
    truth: &'a Truth,
    criterion: &'a dyn Criterion,
) -> Box<dyn Scorer + 'a> {
    match (criterion.by_row(), truth) {
        (Some(RowLoss::LogLoss), Truth::Classes(ids)) => Box::new(log_loss::LogLoss::new(&of, ids)),
        (Some(RowLoss::Error), Truth::Classes(ids)) => Box::new(error::ErrorRate::new(&of, ids)),
        (Some(RowLoss::Brier), Truth::Classes(ids)) => Box::new(squares::Squares::brier(of, ids)),
        _ => Box::new(any::Any::new(of, truth, criterion)),
    }
}

fn of_values<'a>(
    of: Candidates<'a, f64>,
    truth: &'a Truth,
    criterion: &'a dyn Criterion,
) -> Box<dyn Scorer + 'a> {
    match (criterion.by_row(), truth) {
        (Some(RowLoss::Squared), Truth::Values(y)) => Box::new(squares::Squares::values(&of, y)),
        (Some(RowLoss::Absolute), Truth::Values(y)) => Box::new(absolute::Absolute::new(&of, y)),
        _ => Box::new(any::Any::new(of, truth, criterion)),
    }
}
