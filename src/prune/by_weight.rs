//! Pruning by the weights of a combiner.
use crate::{
    combine::{Combiner, FittedCombiner},
    prune::{at_least_one, Prune},
    Error, HeldOut, Result,
};

/// Keeps the members with the largest weights of a combiner, by absolute value.
///
/// ```text
/// keep {s : |w_s| > threshold}, or the k slots with the largest |w_s|
/// ```
///
/// The combiner is fitted on the held-out predictions `(S, R, C)` (slots, rows, classes or outputs); its fit
/// must have one weight for each slot. Use it after a combiner that gives unneeded members a small weight,
/// such as [`SimplexLogLoss`](crate::combine::SimplexLogLoss). Correlated members share their weight, so a
/// threshold can remove all of them; [`Ordered`](crate::prune::Ordered) does not have this problem.
///
/// The cost is one fit of the combiner.
///
/// # Errors
/// [`Prune::keep`] fails when the combiner cannot be fitted or has no weights, the threshold is negative or
/// above every weight, or the number of members is 0.
///
/// # Examples
/// ```
/// use candle_core::{Device, Tensor};
/// use candle_ensemble::{combine::*, data::Task, predictions::*, prune::*, HeldOut};
///
/// let y = Tensor::arange(0f64, 6., &Device::Cpu)?.reshape((6, 1))?;
/// let predicted = Tensor::stack(&[(&y * 9.)?, (&y + 1.)?, (&y - 1.)?], 0)?;
/// let predictions = Predictions::new(predicted, Task::Regression { outputs: 1 })?;
/// let held_out = HeldOut::from_predictions(&predictions, &y)?;
/// assert_eq!(ByWeight::above(SimplexSquares::new(), 0.01).keep(&held_out)?, [1, 2]);
/// # Ok::<(), candle_ensemble::Error>(())
/// ```
///
/// Source: Zhou, Wu and Tang 2002, doi:10.1016/S0004-3702(02)00190-X (weights above a threshold).
#[derive(Clone, Debug)]
pub struct ByWeight<C> {
    combiner: C,
    keep: Keep,
}

#[derive(Clone, Copy, Debug)]
enum Keep {
    Above(f64),
    Largest(usize),
}

impl<C: Combiner> ByWeight<C> {
    /// Keeps the members whose weight is above a threshold, which must not be negative.
    pub fn above(combiner: C, threshold: f64) -> Self {
        Self { combiner, keep: Keep::Above(threshold) }
    }

    /// Keeps the given number of members with the largest weights, at least 1, but no member whose weight is
    /// zero. Of equals the lowest slots are kept.
    pub fn largest(combiner: C, members: usize) -> Self {
        Self { combiner, keep: Keep::Largest(members) }
    }
}

impl<C: Combiner> Prune for ByWeight<C> {
    fn keep(&self, held_out: &HeldOut) -> Result<Vec<usize>> {
        let (least, most) = match self.keep {
            Keep::Largest(members) => (0., at_least_one(members)?),
            Keep::Above(threshold) if threshold >= 0. => (threshold, usize::MAX),
            Keep::Above(threshold) => {
                return Err(Error::invalid(
                    "the threshold of the weights",
                    "a number that is not negative",
                    threshold,
                ));
            }
        };
        let fitted = self.combiner.fit(held_out)?;
        let slots = held_out.predictions().slots();
        let weights: Vec<f64> = match fitted.weights() {
            Some(weights) if weights.len() == slots => weights.iter().map(|w| w.abs()).collect(),
            _ => {
                return Err(Error::invalid("the combiner", "one with a weight for each slot", fitted.name()))
            }
        };
        let mut kept: Vec<usize> = (0..slots).filter(|s| weights[*s] > least).collect();
        if kept.is_empty() {
            let greatest = weights.iter().copied().fold(0., f64::max);
            return Err(Error::invalid(
                "the threshold of the weights",
                format!("below the largest, {greatest}"),
                least,
            ));
        }
        kept.sort_by(|a, b| weights[*b].total_cmp(&weights[*a]));
        kept.truncate(most);
        kept.sort_unstable();
        Ok(kept)
    }

    fn needs_inputs(&self) -> bool {
        self.combiner.needs_inputs()
    }
}
