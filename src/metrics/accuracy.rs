//! Accuracy.
use crate::{
    kernels::sums,
    metrics::inputs::{Case, Cases},
    Result,
};
use candle_core::Tensor;

/// Share of the rows whose most probable class is the label: `1/N Σᵢ [argmax_c p_ic = yᵢ]`, 0 to 1.
///
/// Of classes that tie for the most probable the lowest is taken, so the answer depends on nothing but the
/// numbers. `probs` is `(N, C)`; `weights`, one a row, make it a weighted mean. Errors: see the
/// [module](super).
///
/// ```
/// use candle_core::{Device, Tensor};
/// use candle_ensemble::metrics::accuracy;
///
/// let probs = Tensor::new(&[[0.8f32, 0.2], [0.5, 0.5]], &Device::Cpu)?;
/// assert_eq!(accuracy(&probs, &[0, 1], None)?, 0.5); // the tie goes to class 0
/// # Ok::<(), candle_ensemble::Error>(())
/// ```
pub fn accuracy(probs: &Tensor, labels: &[u32], weights: Option<&[f32]>) -> Result<f64> {
    Cases::new(probs, labels, weights)?.mean(|case| f64::from(Top::of(case).correct))
}

/// What the most probable class says.
pub(crate) struct Top {
    /// Its probability.
    pub(crate) confidence: f64,
    /// Whether it is the label.
    pub(crate) correct: bool,
}

impl Top {
    pub(crate) fn of(case: &Case<'_>) -> Self {
        let (_, confidence) = sums::range(case.probs);
        let class = case.probs.iter().position(|&p| p == confidence);
        Self { confidence, correct: class == Some(case.label) }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tables;
    use super::*;
    use candle_core::Device;

    #[test]
    fn agrees_with_scikit_learn() {
        let (probs, labels, weights) = tables::classification();
        tables::close(accuracy(&probs, &labels, None).unwrap(), 0.7333333333333333);
        tables::close(accuracy(&probs, &labels, Some(&weights)).unwrap(), 0.8095238095238095);
    }

    #[test]
    fn ties_go_to_the_lowest_class() {
        let probs = Tensor::new(&[[0.2f32, 0.4, 0.4], [0.2, 0.4, 0.4]], &Device::Cpu).unwrap();
        assert_eq!(accuracy(&probs, &[1, 2], None).unwrap(), 0.5);
        assert_eq!(accuracy(&probs, &[1, 2], Some(&[3.0, 1.0])).unwrap(), 0.75);
    }
}
