//! Pseudo-Bayesian model averaging.
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
use rand_distr::Exp1;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

/// Weights each slot by its expected log predictive density on the held-out rows.
///
/// ```text
/// w_s ∝ exp(elpd_s),  elpd_s = R Σ_i ω_i ln p_s(y_i)
/// ```
///
/// It learns from the predictive densities `p_s(y_i)` of held-out predictions `(S, R, C)` (slots, rows, classes
/// or outputs); see [`PredictiveStacking`](crate::combine::PredictiveStacking). These are Akaike weights, with
/// held-out rows in place of an information criterion.
///
/// Where predictions are missing, slots are compared on the rows that they have in common: `elpd_s` is `R`
/// times the effect `θ_s` of the model `ln p_s(y_i) = θ_s + α_i`, fitted to the predictions that are there. A
/// slot that predicts few rows has a large error of `θ_s`, and with `R` in the exponent it would be the best or
/// the worst slot by chance; so each `θ_s` is divided by its standard error relative to that of a slot that
/// predicts every row.
///
/// With many rows nearly all of the weight goes to one slot, even if it is better by chance. The Bayesian
/// bootstrap ([`PseudoBma::bootstrap`], "pseudo-BMA+") accounts for that: each draw weights the rows by a
/// flat Dirichlet distribution (times their own weights), and the result is the mean of the weights over the
/// draws. Use it as a quick weighting that follows the uncertainty of the comparison. For the least loss use
/// `PredictiveStacking`.
///
/// The cost is one pass over the densities `(S, R)`, and one more for each draw.
///
/// # Errors
/// [`Combiner::fit`] fails when the number of draws is 0.
///
/// # Examples
/// ```
/// use candle_core::{Device, Tensor};
/// use candle_ensemble::{
///     combine::{Combiner, FittedCombiner, PseudoBma}, data::Task, predictions::Predictions, HeldOut,
/// };
///
/// let predicted = Tensor::new(&[[[0.9f32, 0.1], [0.4, 0.6]], [[0.6, 0.4], [0.1, 0.9]]], &Device::Cpu)?;
/// let predictions = Predictions::new(predicted, Task::Classification { classes: 2 })?;
/// let held_out = HeldOut::from_predictions(&predictions, &Tensor::new(&[0u32, 1], &Device::Cpu)?)?;
/// let fitted = PseudoBma::new().fit(&held_out)?;
/// assert!((fitted.weights().unwrap()[0] - 0.5).abs() < 1e-6); // both have 0.9 × 0.6
/// # Ok::<(), candle_ensemble::Error>(())
/// ```
///
/// Source: Yao, Vehtari, Simpson and Gelman 2018, arXiv:1704.02030, section 3.4.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PseudoBma {
    draws: Option<usize>,
    seed: Option<Seed>,
}

impl PseudoBma {
    /// Creates the combiner without the bootstrap.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Creates the combiner with this many draws of the Bayesian bootstrap, 1 or more; 1000 are usual.
    #[must_use]
    pub fn bootstrap(draws: usize) -> Self {
        Self { draws: Some(draws), seed: None }
    }

    /// Sets the seed of the bootstrap. The default follows from [`HeldOut::seed`].
    #[must_use]
    pub fn seed(mut self, seed: impl Into<Seed>) -> Self {
        self.seed = Some(seed.into());
        self
    }
}

impl Combiner for PseudoBma {
    type Fitted = Weighted;

    fn fit(&self, held_out: &HeldOut) -> Result<Weighted> {
        const NAME: &str = "pseudo-bma+";
        if self.draws == Some(0) {
            return Err(Error::invalid("draws of the Bayesian bootstrap", "at least 1", 0));
        }
        fit_known(held_out, |held_out| {
            let densities = LogDensities::of(held_out)?;
            let comparison = densities.comparison()?;
            let Some(draws) = self.draws else {
                let mut weights = comparison.totals(&densities.weights);
                softmax(&mut weights);
                return densities.into_relative().fitted(held_out, "pseudo-bma", weights, (1, None));
            };
            let seed = self.seed.unwrap_or_else(|| held_out.seed().child(NAME));
            let draw = |b: usize| {
                let mut rng = seed.nth("bayesian bootstrap", b as u64).rng();
                let weights: Vec<f64> =
                    densities.weights.iter().map(|w| w * rng.sample::<f64, _>(Exp1)).collect();
                let mut weights = comparison.totals(&weights);
                softmax(&mut weights);
                weights
            };
            let drawn: Vec<Vec<f64>> = wide(|| (0..draws).into_par_iter().map(draw).collect());
            let mut weights = vec![0.; held_out.predictions().slots()];
            for one in drawn {
                weights.iter_mut().zip(one).for_each(|(sum, w)| *sum += w / draws as f64);
            }
            densities.into_relative().fitted(held_out, NAME, weights, (draws, None))
        })
    }
}
