//! Weights by differential evolution.
use crate::{
    combine::{
        blend::search::{fit_by_search, Objective, WeightLoss},
        Combiner, Weighted,
    },
    kernels::argmax::argmin,
    metrics::Criterion,
    Error, HeldOut, Result, Seed,
};
use rand::{seq::SliceRandom, Rng};
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;

/// Individuals for each slot.
const INDIVIDUALS_PER_SLOT: usize = 15;
const MIN_INDIVIDUALS: usize = 5;
/// The range of the mutation factor, which is drawn for each generation ("dither").
const MUTATION: std::ops::Range<f64> = 0.5..1.;
const RECOMBINATION: f64 = 0.7;

/// Finds the weights with the least loss by any [`Criterion`] with differential evolution.
///
/// ```text
/// min loss(Σ_s w_s p_s)  over  w = x / Σ x,  x ∈ [0, 1]^S
/// ```
///
/// It learns from held-out predictions `(S, R, C)` (slots, rows, classes or outputs). The default
/// criterion is the error rate for classes and the squared error for values.
///
/// The strategy is best/1/bin with SciPy's defaults: 15 individuals for each slot from a Latin hypercube, a
/// mutation factor drawn between 0.5 and 1 for each generation, recombination 0.7. It ends when the standard
/// deviation of the losses is a hundredth of their mean, or after 1000 generations. Each generation is made
/// from the last one as a whole (SciPy's `updating="deferred"`), so that its losses are computed in parallel.
/// The result is not polished (`polish=False`), because a loss such as the error rate has no gradient.
///
/// Use it for a criterion that is not convex or has no gradient. For the log-loss or squared error,
/// [`SimplexLogLoss`](crate::combine::SimplexLogLoss) and [`SimplexSquares`](crate::combine::SimplexSquares)
/// find the exact optimum in less time. Where held-out rows are few, it overfits them.
///
/// The cost is `15 S` evaluations of the criterion for each generation, which take as long as those of
/// [`GridSearch`](crate::combine::GridSearch).
///
/// # Errors
/// [`Combiner::fit`] fails when the tolerance is negative or not finite, when the criterion does not support
/// the task, or when the criterion is finite for no weights.
///
/// # Examples
/// ```
/// use candle_core::{Device, Tensor};
/// use candle_ensemble::{
///     combine::{Combiner, DifferentialEvolution, FittedCombiner}, data::Task, predictions::Predictions, HeldOut,
/// };
///
/// let y = Tensor::new(&[[1f64], [2.]], &Device::Cpu)?;
/// let predicted = Tensor::stack(&[(&y + 1.)?, (&y - 2.)?], 0)?;
/// let predictions = Predictions::new(predicted, Task::Regression { outputs: 1 })?;
/// let held_out = HeldOut::from_predictions(&predictions, &y)?;
/// let fitted = DifferentialEvolution::new().seed(42).fit(&held_out)?;
/// assert!((fitted.weights().unwrap()[0] - 2. / 3.).abs() < 1e-3);
/// # Ok::<(), candle_ensemble::Error>(())
/// ```
///
/// Source: Storn and Price 1997, doi:10.1023/A:1008202821328.
#[derive(Clone, Debug)]
pub struct DifferentialEvolution {
    seed: Option<Seed>,
    max_generations: usize,
    tolerance: f64,
    objective: Objective,
}

impl Default for DifferentialEvolution {
    fn default() -> Self {
        Self::new()
    }
}

impl DifferentialEvolution {
    /// Creates the combiner with SciPy's settings.
    #[must_use]
    pub fn new() -> Self {
        Self { seed: None, max_generations: 1000, tolerance: 0.01, objective: Objective::default() }
    }

    /// Sets the seed of the random draws. The default follows from [`HeldOut::seed`].
    #[must_use]
    pub fn seed(mut self, seed: impl Into<Seed>) -> Self {
        self.seed = Some(seed.into());
        self
    }

    /// Sets the loss to minimise. The default is the error rate for classes and the squared error for values.
    #[must_use]
    pub fn criterion(mut self, criterion: impl Criterion + 'static) -> Self {
        self.objective = Objective::given(criterion);
        self
    }

    /// Sets the greatest number of generations; the default is 1000.
    #[must_use]
    pub fn max_generations(mut self, generations: usize) -> Self {
        self.max_generations = generations;
        self
    }

    /// Sets the tolerance, 0 or more: the search ends when the standard deviation of the losses is at most
    /// this share of their mean. The default is 0.01.
    #[must_use]
    pub fn tolerance(mut self, tolerance: f64) -> Self {
        self.tolerance = tolerance;
        self
    }

    fn search(&self, loss: &dyn WeightLoss, seed: Seed) -> Result<(Vec<f64>, usize)> {
        let mut rng = seed.child("differential evolution").rng();
        let losses_of = |population: &[Vec<f64>]| -> Result<Vec<f64>> {
            population.par_iter().map(|individual| loss.of(individual)).collect()
        };
        let mut population = latin_hypercube(&mut rng, loss.slots());
        let mut losses = losses_of(&population)?;
        let mut tried = population.len();
        for _ in 0..self.max_generations {
            if self.converged(&losses) {
                break;
            }
            let children = next_generation(&mut rng, &population, argmin(&losses));
            let new_losses = losses_of(&children)?;
            tried += children.len();
            for (i, (child, loss)) in children.into_iter().zip(new_losses).enumerate() {
                if loss <= losses[i] {
                    (population[i], losses[i]) = (child, loss);
                }
            }
        }
        Ok((population.swap_remove(argmin(&losses)), tried))
    }

    fn converged(&self, losses: &[f64]) -> bool {
        let count = losses.len() as f64;
        let mean = losses.iter().sum::<f64>() / count;
        let variance = losses.iter().map(|e| (e - mean).powi(2)).sum::<f64>() / count;
        variance.sqrt() <= self.tolerance * mean.abs()
    }
}

/// A population with one individual in each of as many equal parts of each dimension.
fn latin_hypercube(rng: &mut ChaCha8Rng, slots: usize) -> Vec<Vec<f64>> {
    let count = (INDIVIDUALS_PER_SLOT * slots).max(MIN_INDIVIDUALS);
    let mut population = vec![vec![0.; slots]; count];
    for slot in 0..slots {
        let mut parts: Vec<usize> = (0..count).collect();
        parts.shuffle(rng);
        population.iter_mut().zip(parts).for_each(|(x, part)| {
            x[slot] = (part as f64 + rng.random::<f64>()) / count as f64;
        });
    }
    population
}

/// One child for each individual: the best one moved by a difference of two others, in part of the
/// dimensions.
fn next_generation(rng: &mut ChaCha8Rng, population: &[Vec<f64>], best: usize) -> Vec<Vec<f64>> {
    let scale = rng.random_range(MUTATION);
    let count = population.len();
    let child = |(i, parent): (usize, &Vec<f64>)| {
        // Two individuals that differ from each other and from the parent.
        let a = (i + rng.random_range(1..count)) % count;
        let b = loop {
            let b = (i + rng.random_range(1..count)) % count;
            if b != a {
                break b;
            }
        };
        let always = rng.random_range(0..parent.len());
        let gene = |(slot, old): (usize, &f64)| {
            if slot != always && rng.random::<f64>() >= RECOMBINATION {
                return *old;
            }
            let new = population[best][slot] + scale * (population[a][slot] - population[b][slot]);
            if (0. ..=1.).contains(&new) {
                new
            } else {
                rng.random()
            }
        };
        parent.iter().enumerate().map(gene).collect()
    };
    population.iter().enumerate().map(child).collect()
}

impl Combiner for DifferentialEvolution {
    type Fitted = Weighted;

    fn fit(&self, held_out: &HeldOut) -> Result<Weighted> {
        const NAME: &str = "differential-evolution";
        if !self.tolerance.is_finite() || self.tolerance < 0. {
            let must = "finite and not negative";
            return Err(Error::invalid("tolerance of differential evolution", must, self.tolerance));
        }
        let seed = self.seed.unwrap_or_else(|| held_out.seed().child(NAME));
        fit_by_search(NAME, held_out, &self.objective, |loss| self.search(loss, seed))
    }
}
