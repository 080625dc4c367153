//! Bayesian model combination.
use crate::{
    combine::{
        blend::{densities::LogDensities, known::fit_known},
        Combiner, Weighted,
    },
    kernels::softmax::softmax,
    threads::wide,
    Error, HeldOut, Result, Seed,
};
use rand::Rng;
use rand_distr::Gamma;
use serde::{Deserialize, Serialize};

/// Number of combinations that are drawn between updates of the distribution.
const DRAWS_PER_UPDATE: usize = 3;

/// Averages randomly drawn weighted means of the slots, each weighted by its likelihood.
///
/// ```text
/// w ∝ Σ_b w_b exp(Σ_i ln Σ_s w_b,s p_s(y_i)),  w_b ~ Dirichlet(a)
/// ```
///
/// It learns from the predictive densities `p_s(y_i)` of held-out predictions `(S, R, C)` (slots, rows,
/// classes or outputs); see [`PredictiveStacking`](crate::combine::PredictiveStacking). Combinations
/// are drawn from a Dirichlet distribution that is flat at first. Of each three, the weights of the one with
/// the highest likelihood are added to the parameters `a`. A mean of weighted means is a weighted mean, so
/// the result has one weight for each slot. The likelihood is that of the mixture, where the paper counts
/// right and wrong classes. Where predictions are missing, the mixture of a row is that of the slots that
/// predict it.
///
/// Bayesian model averaging gives nearly all weight to a single member as rows become many; this does not.
/// Use it where a smooth weighting is wanted. For the least loss use
/// [`SimplexLogLoss`](crate::combine::SimplexLogLoss).
///
/// The cost is one pass over the densities `(S, R)` for each draw.
///
/// # Errors
/// [`Combiner::fit`] fails when the number of draws is 0.
///
/// # Examples
/// ```
/// use candle_core::{Device, Tensor};
/// use candle_ensemble::{
///     combine::{Combiner, FittedCombiner, ModelCombination}, data::Task, predictions::Predictions, HeldOut,
/// };
///
/// let predicted = Tensor::new(&[[[0.9f32, 0.1], [0.4, 0.6]], [[0.2, 0.8], [0.7, 0.3]]], &Device::Cpu)?;
/// let predictions = Predictions::new(predicted, Task::Classification { classes: 2 })?;
/// let held_out = HeldOut::from_predictions(&predictions, &Tensor::new(&[0u32, 1], &Device::Cpu)?)?;
/// let fitted = ModelCombination::new().seed(42).fit(&held_out)?;
/// assert!(fitted.weights().unwrap()[0] > 0.5);
/// # Ok::<(), candle_ensemble::Error>(())
/// ```
///
/// Source: Monteith, Carroll, Seppi and Martinez 2011, "Turning Bayesian model averaging into Bayesian model
/// combination", doi:10.1109/IJCNN.2011.6033566.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModelCombination {
    draws: usize,
    seed: Option<Seed>,
}

impl Default for ModelCombination {
    fn default() -> Self {
        Self::new()
    }
}

impl ModelCombination {
    /// Creates the combiner with 999 draws.
    #[must_use]
    pub fn new() -> Self {
        Self { draws: 999, seed: None }
    }

    /// Sets the number of draws, 1 or more; the default is 999.
    #[must_use]
    pub fn draws(mut self, draws: usize) -> Self {
        self.draws = draws;
        self
    }

    /// Sets the seed of the draws. The default follows from [`HeldOut::seed`].
    #[must_use]
    pub fn seed(mut self, seed: impl Into<Seed>) -> Self {
        self.seed = Some(seed.into());
        self
    }
}

impl Combiner for ModelCombination {
    type Fitted = Weighted;

    fn fit(&self, held_out: &HeldOut) -> Result<Weighted> {
        const NAME: &str = "model-combination";
        if self.draws == 0 {
            return Err(Error::invalid("draws of Bayesian model combination", "at least 1", 0));
        }
        fit_known(held_out, |held_out| {
            let densities = LogDensities::of(held_out)?.into_relative();
            let means = densities.means();
            let (slots, rows) = (means.matrix.slots, means.matrix.cells);
            let seed = self.seed.unwrap_or_else(|| held_out.seed().child(NAME));
            let mut rng = seed.child("model combination").rng();
            let mut shape = vec![1.; slots];
            let (mut drawn, mut log_likelihoods): (Vec<Vec<f64>>, Vec<f64>) = (vec![], vec![]);
            let draw = || -> Result<()> {
                for b in 1..=self.draws {
                    let weights = dirichlet(&mut rng, &shape)?;
                    log_likelihoods.push(rows as f64 * densities.log_score(&means, &weights));
                    drawn.push(weights);
                    if b % DRAWS_PER_UPDATE == 0 {
                        let last = drawn.len() - DRAWS_PER_UPDATE..drawn.len();
                        let better = |a, b| if log_likelihoods[b] > log_likelihoods[a] { b } else { a };
                        if let Some(best) = last.reduce(better) {
                            shape.iter_mut().zip(&drawn[best]).for_each(|(a, w)| *a += w);
                        }
                    }
                }
                Ok(())
            };
            wide(draw)?;
            let mut weights = vec![0.; slots];
            softmax(&mut log_likelihoods);
            for (share, one) in log_likelihoods.into_iter().zip(drawn) {
                weights.iter_mut().zip(one).for_each(|(sum, w)| *sum += share * w);
            }
            densities.fitted(held_out, NAME, weights, (self.draws, None))
        })
    }
}

/// Draws from a Dirichlet distribution with this shape.
fn dirichlet(rng: &mut impl Rng, shape: &[f64]) -> Result<Vec<f64>> {
    let draw = |a: &f64| {
        let gamma = Gamma::new(*a, 1.)
            .map_err(|e| Error::invalid("a shape of the Dirichlet distribution", "positive", e))?;
        Ok(rng.sample(gamma))
    };
    let gammas = shape.iter().map(draw).collect::<Result<Vec<f64>>>()?;
    let total: f64 = gammas.iter().sum();
    Ok(gammas.into_iter().map(|x| x / total).collect())
}
