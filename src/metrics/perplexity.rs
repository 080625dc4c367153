//! The perplexity.
use crate::{
    metrics::{
        inputs::Case,
        nll,
        stream::{of_classes, Accumulate, MeanScore},
    },
    Result,
};
use candle_core::Tensor;

/// Computes the perplexity: the exponential of the [negative log-likelihood](super::nll()).
///
/// ```text
/// exp(−1/N Σᵢ ln p_i,yᵢ)
/// ```
///
/// It is 1 or more; less is better. Uniform probabilities score `C`, the number of classes: a perplexity of 20 means that
/// the model is as unsure as one that chooses among 20 tokens of equal probability. `probs` is `(N, C)` (tokens,
/// vocabulary) of any float type; `weights` has one weight for each row.
///
/// Use it for language models, over the tokens of all texts together. Perplexities of models with different vocabularies
/// cannot be compared.
///
/// The cost is one pass over the probabilities and one logarithm for each row.
///
/// # Errors
/// When the inputs are not valid; see the [module](super).
///
/// # Examples
/// ```
/// use candle_core::{Device, Tensor};
/// use candle_ensemble::metrics::perplexity;
///
/// let probs = Tensor::new(&[[0.25f64; 4]; 3], &Device::Cpu)?;
/// assert!((perplexity(&probs, &[0, 1, 3], None)? - 4.).abs() < 1e-12);
/// # Ok::<(), candle_ensemble::Error>(())
/// ```
///
/// Source: Jelinek et al. 1977, "Perplexity: a measure of the difficulty of speech recognition tasks",
/// doi:10.1121/1.2016299.
pub fn perplexity(probs: &Tensor, labels: &[u32], weights: Option<&[f64]>) -> Result<f64> {
    of_classes(Perplexity::default(), probs, labels, weights)
}

/// Accumulates the perplexity row by row.
pub(crate) struct Perplexity(MeanScore);

impl Default for Perplexity {
    fn default() -> Self {
        Self(MeanScore::new(nll::loss))
    }
}

impl Accumulate<Case<'_>> for Perplexity {
    fn add(&mut self, case: &Case<'_>) {
        self.0.add(case);
    }

    fn finish(self: Box<Self>) -> Result<f64> {
        Ok(Box::new(self.0).finish()?.exp())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::{nll, reference};

    #[test]
    fn it_is_the_exponential_of_the_log_loss() {
        let (probs, labels, weights) = reference::classification();
        for weights in [None, Some(&weights[..])] {
            let expected = nll(&probs, &labels, weights).unwrap().exp();
            reference::close(perplexity(&probs, &labels, weights).unwrap(), expected);
        }
    }

    #[test]
    fn by_hand() {
        // Probabilities 1/2 and 1/8 of the true tokens: the geometric mean of 2 and 8.
        let probs =
            Tensor::new(&[[0.5f64, 0.25, 0.25], [0.5, 0.375, 0.125]], &candle_core::Device::Cpu).unwrap();
        reference::close(perplexity(&probs, &[0, 2], None).unwrap(), 4.);
        // Three times the first and once the second: 2^(3/4) · 8^(1/4).
        let weighted = perplexity(&probs, &[0, 2], Some(&[3., 1.])).unwrap();
        reference::close(weighted, 2f64.powf(0.75) * 8f64.powf(0.25));
    }
}
