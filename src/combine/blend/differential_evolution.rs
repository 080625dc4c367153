//! Weights by differential evolution.
use crate::{
    combine::{
        blend::search::{searched, By, Worth},
        Combiner, Weighted,
    },
    kernels::argmax::argmin,
    metrics::Criterion,
    Error, HeldOut, Result, Seed,
};
use rand::{seq::SliceRandom, Rng};
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;

/// Individuals for each slot, and at least.
const CROWD: usize = 15;
const LEAST: usize = 5;
/// The mutation's range, drawn anew each generation ("dither").
const MUTATION: std::ops::Range<f64> = 0.5..1.;
const RECOMBINATION: f64 = 0.7;

/// Weights by differential evolution, for any [`Criterion`]: `[0, 1]^S`, each individual divided by its sum.
///
/// Strategy best/1/bin with SciPy's defaults: 15 individuals a slot from a Latin hypercube, mutation dithered between
/// 0.5 and 1, recombination 0.7, until the losses' standard deviation is a hundredth of their mean or for 1000
/// generations. A generation is bred from the last as a whole (SciPy's `updating="deferred"`), so that its losses are
/// found in parallel, and nothing is polished afterwards (`polish=False`), as a loss such as the error has no slope. The
/// criterion is the accuracy for classes and the squared error for values, unless predicted otherwise.
///
/// Source: Storn and Price 1997, doi:10.1023/A:1008202821328.
///
/// ```
/// use candle_core::{Device, Tensor};
/// use candle_ensemble::{combine::{Combiner, DifferentialEvolution, FittedCombiner}, data::Task, predictions::Predictions, HeldOut};
///
/// let y = Tensor::new(&[[1f64], [2.]], &Device::Cpu)?;
/// let predicted = Tensor::stack(&[(&y + 1.)?, (&y - 2.)?], 0)?;
/// let held_out = HeldOut::from_predictions(&Predictions::new(predicted, Task::Regression { outputs: 1 })?, &y)?;
/// let fitted = DifferentialEvolution::new(42).fit(&held_out)?;
/// assert!((fitted.weights().unwrap()[0] - 2. / 3.).abs() < 1e-3);
/// # Ok::<(), candle_ensemble::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct DifferentialEvolution {
    seed: Seed,
    generations: usize,
    tolerance: f64,
    by: By,
}

impl DifferentialEvolution {
    /// With SciPy's settings.
    pub fn new(seed: impl Into<Seed>) -> Self {
        Self { seed: seed.into(), generations: 1000, tolerance: 0.01, by: By::default() }
    }

    /// What to make small.
    #[must_use]
    pub fn criterion(mut self, criterion: impl Criterion + 'static) -> Self {
        self.by = By::given(criterion);
        self
    }

    /// How many generations at most.
    #[must_use]
    pub fn generations(mut self, generations: usize) -> Self {
        self.generations = generations;
        self
    }

    /// Ends when the losses' standard deviation is this share of their mean, 0 or more.
    #[must_use]
    pub fn tolerance(mut self, tolerance: f64) -> Self {
        self.tolerance = tolerance;
        self
    }

    fn search(&self, worth: &dyn Worth) -> Result<(Vec<f64>, u64)> {
        let mut rng = self.seed.child("differential evolution").rng();
        let losses = |crowd: &[Vec<f64>]| -> Result<Vec<f64>> {
            crowd.par_iter().map(|individual| worth.of(individual)).collect()
        };
        let mut crowd = hypercube(&mut rng, worth.slots());
        let mut energies = losses(&crowd)?;
        let mut tried = crowd.len() as u64;
        for _ in 0..self.generations {
            if self.converged(&energies) {
                break;
            }
            let children = breed(&mut rng, &crowd, argmin(&energies));
            let after = losses(&children)?;
            tried += children.len() as u64;
            for (i, (child, loss)) in children.into_iter().zip(after).enumerate() {
                if loss <= energies[i] {
                    (crowd[i], energies[i]) = (child, loss);
                }
            }
        }
        Ok((crowd.swap_remove(argmin(&energies)), tried))
    }

    fn converged(&self, energies: &[f64]) -> bool {
        let count = energies.len() as f64;
        let mean = energies.iter().sum::<f64>() / count;
        let variance = energies.iter().map(|e| (e - mean).powi(2)).sum::<f64>() / count;
        variance.sqrt() <= self.tolerance * mean.abs()
    }
}

/// One individual in each of as many equal parts of each dimension.
fn hypercube(rng: &mut ChaCha8Rng, slots: usize) -> Vec<Vec<f64>> {
    let count = (CROWD * slots).max(LEAST);
    let mut crowd = vec![vec![0.; slots]; count];
    for slot in 0..slots {
        let mut parts: Vec<usize> = (0..count).collect();
        parts.shuffle(rng);
        crowd.iter_mut().zip(parts).for_each(|(x, part)| {
            x[slot] = (part as f64 + rng.random::<f64>()) / count as f64;
        });
    }
    crowd
}

/// One child of each: the best moved by a difference of two others, in part of the dimensions.
fn breed(rng: &mut ChaCha8Rng, crowd: &[Vec<f64>], best: usize) -> Vec<Vec<f64>> {
    let scale = rng.random_range(MUTATION);
    let child = |(i, parent): (usize, &Vec<f64>)| {
        // Two that differ from each other and from the parent.
        let a = (i + rng.random_range(1..crowd.len())) % crowd.len();
        let b = loop {
            let b = (i + rng.random_range(1..crowd.len())) % crowd.len();
            if b != a {
                break b;
            }
        };
        let always = rng.random_range(0..parent.len());
        let gene = |(slot, old): (usize, &f64)| {
            if slot != always && rng.random::<f64>() >= RECOMBINATION {
                return *old;
            }
            let new = crowd[best][slot] + scale * (crowd[a][slot] - crowd[b][slot]);
            if (0. ..=1.).contains(&new) {
                new
            } else {
                rng.random()
            }
        };
        parent.iter().enumerate().map(gene).collect()
    };
    crowd.iter().enumerate().map(child).collect()
}

impl Combiner for DifferentialEvolution {
    type Fitted = Weighted;

    fn fit(&self, held_out: &HeldOut) -> Result<Weighted> {
        if !self.tolerance.is_finite() || self.tolerance < 0. {
            let must = "finite and not negative";
            return Err(Error::invalid("tolerance of differential evolution", must, self.tolerance));
        }
        searched("differential-evolution", held_out, &self.by, |worth| self.search(worth))
    }
}
