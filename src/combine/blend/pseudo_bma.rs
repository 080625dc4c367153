//! Pseudo-Bayesian model averaging.
use crate::{
    combine::{
        blend::densities::{softmax, Densities},
        Combiner, Weighted,
    },
    threads::wide,
    Error, HeldOut, Result, Seed,
};
use rand::Rng;
use rand_distr::Exp1;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

/// Weights by how well each slot predicts, `w_s ∝ exp(elpd_s)` with `elpd_s = Σ_i ln p_s(y_i)` over the held-out rows;
/// as Akaike weights, with held-out rows in place of a criterion. With weights of rows, `R Σ_i ω_i ln p_s(y_i)`.
///
/// The more rows, the more of the weight is one slot's, even where it is better by chance. The Bayesian bootstrap
/// ([`PseudoBma::bootstrap`], "pseudo-BMA+") allows for that: each draw weighs the rows by a flat Dirichlet
/// distribution (times their own weights), and the weights are the mean over the draws. Densities are those of
/// [`PredictiveStacking`](crate::combine::PredictiveStacking).
///
/// Source: Yao, Vehtari, Simpson and Gelman 2018, arXiv:1704.02030, section 3.4.
///
/// ```
/// use candle_core::{Device, Tensor};
/// use candle_ensemble::{combine::{Combiner, FittedCombiner, PseudoBma}, data::Task, predictions::Predictions, HeldOut};
///
/// let predicted = Tensor::new(&[[[0.9f32, 0.1], [0.4, 0.6]], [[0.6, 0.4], [0.1, 0.9]]], &Device::Cpu)?;
/// let predictions = Predictions::new(predicted, Task::Classification { classes: 2 })?;
/// let held_out = HeldOut::from_predictions(&predictions, &Tensor::new(&[0u32, 1], &Device::Cpu)?)?;
/// let fitted = PseudoBma::new().fit(&held_out)?;
/// assert!((fitted.weights().unwrap()[0] - 0.5).abs() < 1e-6); // .9 × .6 each
/// # Ok::<(), candle_ensemble::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PseudoBma {
    bootstrap: Option<(usize, Seed)>,
}

impl PseudoBma {
    /// Without the bootstrap.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// With so many draws of the Bayesian bootstrap, 1 or more; 1000 are usual.
    #[must_use]
    pub fn bootstrap(draws: usize, seed: impl Into<Seed>) -> Self {
        Self { bootstrap: Some((draws, seed.into())) }
    }
}

impl Combiner for PseudoBma {
    type Fitted = Weighted;

    fn fit(&self, held_out: &HeldOut) -> Result<Weighted> {
        if let Some((0, _)) = self.bootstrap {
            return Err(Error::invalid("draws of the Bayesian bootstrap", "at least 1", 0));
        }
        let densities = Densities::of(&held_out)?;
        let Some((draws, seed)) = self.bootstrap else {
            let weights = softmax(&densities.expected(&densities.weights));
            return Ok(densities.weighted("pseudo-bma", &held_out, weights, 1));
        };
        let draw = |b: usize| {
            let mut rng = seed.nth("bayesian bootstrap", b as u64).rng();
            let weights: Vec<f64> =
                densities.weights.iter().map(|w| w * rng.sample::<f64, _>(Exp1)).collect();
            softmax(&densities.expected(&weights))
        };
        let drawn: Vec<Vec<f64>> = wide(|| (0..draws).into_par_iter().map(draw).collect());
        let mut weights = vec![0.; densities.slots];
        for one in drawn {
            weights.iter_mut().zip(one).for_each(|(sum, w)| *sum += w / draws as f64);
        }
        Ok(densities.weighted("pseudo-bma+", &held_out, weights, draws as u64))
    }
}
