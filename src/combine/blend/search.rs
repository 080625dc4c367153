//! Search for weights by any criterion: the loss of given weights, and the weighted mean that a search ends
//! in.
use crate::{
    combine::{
        blend::{
            error_rate::ErrorRate, known::fit_known, means::Means,
            simplex_log_loss::true_class_probabilities, squared_error::SquaredError,
        },
        held_out_table::{with_predictions, HeldOutTable, Number},
        FittedCombiner, Weighted,
    },
    kernels::{ln::ln, simd::vectorized},
    metrics::{Criterion, RowLoss, Scored, Truth},
    threads::wide,
    Error, HeldOut, Result,
};
use std::sync::Arc;

/// The criterion that a search minimises: a given one, or the task's own, the error rate for classes and the
/// squared error for values.
#[derive(Clone, Debug, Default)]
pub(crate) struct Objective(Option<Arc<dyn Criterion>>);

impl Objective {
    pub(crate) fn given(criterion: impl Criterion + 'static) -> Self {
        Self(Some(Arc::new(criterion)))
    }
}

/// The loss of the weighted mean, as a function of the weights.
pub(crate) trait WeightLoss: Sync {
    fn slots(&self) -> usize;

    /// The loss of these weights, divided by their sum; infinite where it is not defined.
    fn of(&self, weights: &[f64]) -> Result<f64>;

    /// The loss for each weight of the last slot; `weights` are those of the others.
    fn of_last(&self, weights: &[f64], last: &[f64]) -> Result<Vec<f64>> {
        let (others, mut weights) = (weights.len(), [weights, &[0.]].concat());
        let loss = |last: &f64| {
            weights.splice(others.., [*last]);
            self.of(&weights)
        };
        last.iter().map(loss).collect()
    }
}

/// Any criterion, computed from the weighted means.
struct AnyLoss<'a, T> {
    means: Means<'a, T>,
    table: &'a HeldOutTable,
    criterion: &'a dyn Criterion,
}

impl<T: Number> WeightLoss for AnyLoss<'_, T> {
    fn slots(&self) -> usize {
        self.means.matrix.slots
    }

    fn of(&self, weights: &[f64]) -> Result<f64> {
        let Some(weights) = normalized(weights) else { return Ok(f64::INFINITY) };
        let (values, width) = (self.means.of(&weights), self.table.dims().2);
        let (truth, weights) = (&self.table.truth, self.table.weights.as_slice());
        let loss = self.criterion.loss(&Scored { values: &values, width, truth, weights })?;
        Ok(if loss.is_nan() { f64::INFINITY } else { loss })
    }
}

/// The log-loss, from the probabilities of the true classes.
struct LogLoss<'a> {
    means: Means<'a, f32>,
    weights: &'a [f64],
}

impl WeightLoss for LogLoss<'_> {
    fn slots(&self) -> usize {
        self.means.matrix.slots
    }

    fn of(&self, weights: &[f64]) -> Result<f64> {
        let Some(weights) = normalized(weights) else { return Ok(f64::INFINITY) };
        let mixed = self.means.of(&weights);
        // Each probability is at least NLL_EPSILON already.
        let mut losses = [0.; 8];
        vectorized(
            #[inline(always)]
            || {
                for (mixed, weights) in mixed.chunks(8).zip(self.weights.chunks(8)) {
                    for ((loss, m), w) in losses.iter_mut().zip(mixed).zip(weights) {
                        *loss -= w * ln(*m);
                    }
                }
            },
        );
        Ok(losses.iter().sum())
    }
}

/// The weights divided by their sum, where the sum is above 0.
fn normalized(weights: &[f64]) -> Option<Vec<f64>> {
    total(weights).map(|total| weights.iter().map(|w| w / total).collect())
}

/// The sum of the weights, where it is above 0 and finite.
pub(crate) fn total(weights: &[f64]) -> Option<f64> {
    Some(weights.iter().sum()).filter(|total: &f64| *total > 0. && total.is_finite())
}

/// Calls `f` with the loss by a criterion, in the form that is the fastest to compute.
fn with_loss<R: Send>(
    table: &HeldOutTable,
    criterion: &dyn Criterion,
    f: impl FnOnce(&dyn WeightLoss) -> R + Send,
) -> Result<R> {
    let (_, _, width) = table.dims();
    if let Some(loss) = criterion.by_row() {
        loss.check(&table.truth)?;
    }
    match (criterion.by_row(), &table.truth) {
        (Some(RowLoss::Error), Truth::Classes(labels)) => {
            with_predictions!(table, |all| wide(|| f(&ErrorRate::new(table, all, labels))))
        }
        (Some(RowLoss::LogLoss), Truth::Classes(_)) => {
            let probabilities = true_class_probabilities(table)?;
            let means = Means::of_table(table, &probabilities, 1);
            Ok(wide(|| f(&LogLoss { means, weights: &table.weights })))
        }
        (Some(RowLoss::Brier | RowLoss::Squared), _) if SquaredError::pays(table) => {
            with_predictions!(table, |all| wide(|| f(&SquaredError::new(table, all))))
        }
        _ => with_predictions!(table, |all| {
            wide(|| f(&AnyLoss { means: Means::of_table(table, all, width), table, criterion }))
        }),
    }
}

/// Fits weights by `search`, which returns the best weights and how many it tried.
pub(crate) fn fit_by_search(
    combiner: &str,
    held_out: &HeldOut,
    objective: &Objective,
    search: impl FnOnce(&dyn WeightLoss) -> Result<(Vec<f64>, usize)> + Send,
) -> Result<Weighted> {
    fit_known(held_out, |held_out| {
        let table = HeldOutTable::of(held_out)?;
        let criterion = objective.0.clone().unwrap_or_else(|| Arc::new(RowLoss::error_for(table.task)));
        let best = |loss: &dyn WeightLoss| match loss.slots() {
            1 => Ok((vec![1.], 1)),
            _ => search(loss),
        };
        let (weights, tried) = with_loss(&table, &*criterion, best)??;
        let not_finite = |objective: f64| {
            Error::invalid(format!("{} of the best weights", criterion.name()), "finite", objective)
        };
        let weights = normalized(&weights).ok_or_else(|| not_finite(f64::INFINITY))?;
        let fitted = Weighted::with_loss_on(held_out, combiner, weights, &*criterion, (tried, None))?;
        match fitted.fitted().map(|fit| fit.objective) {
            Some(objective) if !objective.is_finite() => Err(not_finite(objective)),
            _ => Ok(fitted),
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        combine::{tests::random_members, Combiner, GridSearch},
        metrics::Custom,
        Seed,
    };
    use rand::Rng;

    /// Each form of a loss agrees with the loss of what is combined, with and without missing predictions and
    /// for weights of zero.
    #[test]
    fn losses_agree_with_those_of_the_combined_predictions() {
        let mut rng = Seed::from(5).rng();
        for case in 0..40u64 {
            let classes = case % 2 == 0;
            let coverages = if case % 4 < 2 { vec![0.3, 0.6, 0.5, 0.7] } else { vec![1.; 4] };
            let held_out = random_members(Seed::from(case), 90, classes, &coverages);
            let table = HeldOutTable::of(&held_out).unwrap();
            let losses: &[RowLoss] = match classes {
                true => &[RowLoss::Error, RowLoss::LogLoss, RowLoss::Brier],
                false => &[RowLoss::Squared, RowLoss::Absolute],
            };
            for criterion in losses {
                let weights: Vec<f64> = (0..4).map(|_| f64::from(rng.random_range(0..4u32))).collect();
                let Ok(fitted) = Weighted::new(&weights) else { continue };
                let want = held_out.loss_of(&fitted, criterion).unwrap();
                let got = with_loss(&table, criterion, |loss| loss.of(&weights)).unwrap().unwrap();
                // Probabilities in f32.
                let most = if *criterion == RowLoss::Error { 0.5 / 90. } else { 1e-6 };
                assert!((got - want).abs() < most, "{criterion:?} {weights:?}: {got} is not {want}");
            }
        }
    }

    /// A criterion that is not known to be a mean over rows is computed from all predictions; the weights found
    /// are the same.
    #[test]
    fn a_search_finds_what_the_plain_criterion_finds() {
        for case in 0..12u64 {
            let classes = case % 3 != 0;
            let coverages = if case % 2 == 0 { vec![1.; 3] } else { vec![0.4, 0.8, 0.6] };
            let held_out = random_members(Seed::from(case), 250, classes, &coverages);
            let losses: &[RowLoss] = match classes {
                true => &[RowLoss::Error, RowLoss::LogLoss, RowLoss::Brier],
                false => &[RowLoss::Squared],
            };
            for loss in losses.iter().copied() {
                let plain = Custom::new("plain", move |scored: &Scored<'_>| loss.loss(scored));
                let grid = |search: GridSearch| search.steps(6).fit(&held_out).unwrap();
                let one = grid(GridSearch::new().criterion(loss));
                let other = grid(GridSearch::new().criterion(plain.clone()));
                let (one, other) = (one.fitted().unwrap(), other.fitted().unwrap());
                assert!((one.objective - other.objective).abs() < 1e-6, "{loss:?} {one:?} {other:?}");
                assert_eq!(one.iterations, other.iterations);
            }
        }
    }
}
