//! The weighted mean, which most learned rules come to.
use super::{Head, Voices};
use crate::{codec::real, data::Task, Error, Result};
use candle_core::{Result as CandleResult, Tensor, D};
use serde::{Deserialize, Serialize};

/// How a fit ended.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Fit {
    /// The loss on the rows of the fit, in the unit of the rule's criterion; less is better.
    #[serde(with = "real")]
    pub objective: f64,
    /// Iterations, evaluations or steps, as the rule counts them.
    pub iterations: u64,
    /// By how much the objective may lie above the best possible, where the rule can tell.
    #[serde(with = "real::option")]
    pub gap: Option<f64>,
}

/// A weighted mean of what the slots say, `Σ_s w_s p_s`: what blending, ensemble selection and model averaging
/// come to.
///
/// The mean over the voices that are there, by their weights, where some are missing and weights are a share
/// each (their plain mean where all of those weigh nothing). For classes weights that are not shares (negative ones, or another sum than one) can give numbers that are
/// no probabilities; they are cut off at 0 and normalised again.
///
/// ```
/// use candle_core::{Device, Tensor};
/// use candle_ensemble::{combine::{Head, Voices, Weighted}, data::Task};
///
/// let voices = Voices::new(Tensor::new(&[[[1f64]], [[4.]]], &Device::Cpu)?, Task::Regression { outputs: 1 })?;
/// let head = Weighted::new(&[2., 1.])?;
/// assert_eq!(head.combine(&voices)?.to_vec2::<f64>()?, [[2.]]);
/// # Ok::<(), candle_ensemble::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Weighted {
    rule: String,
    names: Vec<String>,
    weights: Vec<f64>,
    fit: Option<Fit>,
}

impl Weighted {
    /// Given weights, one a slot: not negative, not all zero; only their ratios matter.
    ///
    /// # Errors
    /// When they are not.
    pub fn new(weights: &[f64]) -> Result<Self> {
        if let Some(slot) = weights.iter().position(|w| !w.is_finite() || *w < 0.) {
            return Err(Error::invalid(
                format!("weight of slot {slot}"),
                "finite and not negative",
                weights[slot],
            ));
        }
        let total: f64 = weights.iter().sum();
        if !(total > 0. && total.is_finite()) {
            return Err(Error::invalid("sum of the weights", "positive and finite", total));
        }
        let names = (0..weights.len()).map(|s| format!("member {s}")).collect();
        let weights = weights.iter().map(|w| w / total).collect();
        Ok(Self { rule: "weighted-mean".into(), names, weights, fit: None })
    }

    /// What a rule has found: these weights as they are.
    pub(crate) fn found(rule: &str, names: &[String], weights: Vec<f64>, fit: Option<Fit>) -> Self {
        Self { rule: rule.into(), names: names.to_vec(), weights, fit }
    }

    /// The slots' names, in the order of the weights.
    #[must_use]
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// The slots whose weight is not zero.
    #[must_use]
    pub fn used(&self) -> Vec<usize> {
        (0..self.weights.len()).filter(|s| self.weights[*s] != 0.).collect()
    }

    /// The same rule for the slots that it uses: for an ensemble without the others.
    #[must_use]
    pub fn pruned(&self) -> Self {
        let used = self.used();
        let names = used.iter().map(|s| self.names[*s].clone()).collect();
        let weights = used.iter().map(|s| self.weights[*s]).collect();
        Self { names, weights, ..self.clone() }
    }

    /// Whether the weights are shares of one.
    fn shares(&self) -> bool {
        let total: f64 = self.weights.iter().sum();
        self.weights.iter().all(|w| *w >= 0.) && (total - 1.).abs() < 1e-9
    }
}

impl Head for Weighted {
    fn name(&self) -> String {
        self.rule.clone()
    }

    fn weights(&self) -> Option<&[f64]> {
        Some(&self.weights)
    }

    fn fitted(&self) -> Option<&Fit> {
        self.fit.as_ref()
    }

    fn combine(&self, voices: &Voices) -> CandleResult<Tensor> {
        let (slots, rows, width) = voices.values().dims3()?;
        if slots != self.weights.len() {
            candle_core::bail!("{} was fitted on {} voices, not {slots}", self.rule, self.weights.len());
        }
        let shares = self.shares();
        let filled = voices.filled()?;
        let values = if shares { voices.values() } else { filled.values() };
        let (device, dtype) = (values.device(), values.dtype());
        let weights = Tensor::new(self.weights.as_slice(), device)?.to_dtype(dtype)?.reshape((1, slots))?;
        let said = match voices.covered() {
            // Each row's weights sum to one over the voices that are there.
            Some(covered) if shares => {
                let there = covered.broadcast_mul(&weights.t()?)?;
                let sum = voices.sum_of(&values.broadcast_mul(&weights.reshape((slots, 1, 1))?)?)?;
                let there = there.sum(0)?.unsqueeze(1)?;
                let said = sum.broadcast_div(&there)?;
                // Where only voices without weight speak, they are all there is: their mean.
                let idle = there.eq(0f64)?.broadcast_as((rows, width))?;
                idle.where_cond(&voices.mean_of(values)?, &said)?
            }
            _ => weights.matmul(&values.reshape((slots, rows * width))?)?.reshape((rows, width))?,
        };
        match voices.task() {
            Task::Classification { .. } if !shares => {
                let positive = said.relu()?;
                let total = positive.sum_keepdim(D::Minus1)?;
                // Where nothing is left, every class is as probable.
                let none = total.eq(0f64)?.to_dtype(dtype)?;
                let even = (none.broadcast_as((rows, width))? / width as f64)?;
                positive.broadcast_div(&(total + none)?)? + even
            }
            _ => Ok(said),
        }
    }
}
