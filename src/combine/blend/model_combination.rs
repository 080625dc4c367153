//! Bayesian model combination.
use crate::{
    combine::{
        blend::densities::{softmax, Densities},
        Combiner, Fit, Weighted,
    },
    threads::wide,
    Error, HeldOut, Result, Seed,
};
use rand::Rng;
use rand_distr::Gamma;
use serde::{Deserialize, Serialize};

/// How many combinations are drawn before the best of them is learned from.
const AT_ONCE: usize = 3;

/// Bayesian model combination: an average not over the slots, one of which would win in the end, but over weighted
/// means of them, each counted by its likelihood, `Σ_b w_b exp(Σ_i ln Σ_s w_b,s p_s(y_i))`, normalised.
///
/// Combinations are drawn from a Dirichlet distribution, flat at first; of each three the weights of the likeliest are
/// added to its parameters. The mean of weighted means is one again, so one weight a slot comes out. The likelihood is
/// that of the mixture (as in [`PredictiveStacking`](crate::combine::PredictiveStacking)), where the paper counts right and
/// wrong classes.
///
/// Source: Monteith, Carroll, Seppi and Martinez 2011, "Turning Bayesian model averaging into Bayesian model
/// combination", doi:10.1109/IJCNN.2011.6033566.
///
/// ```
/// use candle_core::{Device, Tensor};
/// use candle_ensemble::{combine::{Combiner, FittedCombiner, ModelCombination}, data::Task, predictions::Predictions, HeldOut};
///
/// let predicted = Tensor::new(&[[[0.9f32, 0.1], [0.4, 0.6]], [[0.2, 0.8], [0.7, 0.3]]], &Device::Cpu)?;
/// let predictions = Predictions::new(predicted, Task::Classification { classes: 2 })?;
/// let held_out = HeldOut::from_predictions(&predictions, &Tensor::new(&[0u32, 1], &Device::Cpu)?)?;
/// let fitted = ModelCombination::new(42).fit(&held_out)?;
/// assert!(fitted.weights().unwrap()[0] > 0.5);
/// # Ok::<(), candle_ensemble::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModelCombination {
    draws: usize,
    seed: Seed,
}

impl ModelCombination {
    /// With 999 draws.
    pub fn new(seed: impl Into<Seed>) -> Self {
        Self { draws: 999, seed: seed.into() }
    }

    /// With so many draws, 1 or more.
    #[must_use]
    pub fn draws(mut self, draws: usize) -> Self {
        self.draws = draws;
        self
    }
}

impl Combiner for ModelCombination {
    type Fitted = Weighted;

    fn fit(&self, held_out: &HeldOut) -> Result<Weighted> {
        if self.draws == 0 {
            return Err(Error::invalid("draws of Bayesian model combination", "at least 1", 0));
        }
        let densities = Densities::of(&held_out)?.into_relative();
        let table = densities.table();
        let score = |weights: &[f64]| -> f64 {
            table.mix(weights).into_iter().zip(&densities.weights).map(|(m, w)| w * m.ln()).sum()
        };
        let mut rng = self.seed.child("model combination").rng();
        let mut shape = vec![1.; table.slots];
        let (mut drawn, mut logs): (Vec<Vec<f64>>, Vec<f64>) = (vec![], vec![]);
        let fit = || {
            for b in 1..=self.draws {
                let weights = dirichlet(&mut rng, &shape)?;
                logs.push(table.cells as f64 * score(&weights));
                drawn.push(weights);
                if b % AT_ONCE == 0 {
                    let last = drawn.len() - AT_ONCE as usize..drawn.len();
                    if let Some(best) = last.reduce(|a, b| if logs[b] > logs[a] { b } else { a }) {
                        shape.iter_mut().zip(&drawn[best]).for_each(|(a, w)| *a += w);
                    }
                }
            }
            let mut weights = vec![0.; table.slots];
            for (share, one) in softmax(&logs).into_iter().zip(drawn) {
                weights.iter_mut().zip(one).for_each(|(sum, w)| *sum += share * w);
            }
            let objective = -score(&weights) - densities.highest;
            let fit = Fit { objective, iterations: self.draws as u64, gap: None };
            Ok(Weighted::found("model-combination", held_out.names(), weights, Some(fit)))
        };
        wide(fit)
    }
}

fn dirichlet(rng: &mut impl Rng, shape: &[f64]) -> Result<Vec<f64>> {
    let draw = |a: &f64| {
        let gamma = Gamma::new(*a, 1.).map_err(|e| Error::invalid("a shape", "positive", e))?;
        Ok(rng.sample(gamma))
    };
    let raw = shape.iter().map(draw).collect::<Result<Vec<f64>>>()?;
    let total: f64 = raw.iter().sum();
    Ok(raw.into_iter().map(|x| x / total).collect())
}
