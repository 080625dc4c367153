//! The rows that a calibration is fitted on.
use crate::{metrics::NLL_EPSILON, Result};
use candle_core::{DType, Result as CandleResult, Tensor};

/// Probabilities with their labels and weights.
pub(crate) struct Cases {
    /// The probabilities, `(N, C)`.
    pub(crate) probs: Vec<f64>,
    /// Their logarithms; the least probability is [`NLL_EPSILON`].
    pub(crate) logs: Vec<f64>,
    pub(crate) classes: usize,
    pub(crate) labels: Vec<usize>,
    /// The weights of the rows, which sum to one.
    pub(crate) weights: Vec<f64>,
}

impl Cases {
    /// The rows whose weight is not 0. There must be at least one.
    pub(crate) fn new(probs: &Tensor, labels: &[u32], weights: Option<&[f64]>) -> Result<Self> {
        let classes = probs.dim(1)?;
        let all: Vec<f64> = probs.to_dtype(DType::F64)?.flatten_all()?.to_vec1()?;
        let weight = |row: usize| weights.map_or(1., |w| w[row]);
        let total: f64 = (0..labels.len()).map(weight).sum();
        let mut cases = Self { probs: vec![], logs: vec![], classes, labels: vec![], weights: vec![] };
        for (row, label) in labels.iter().enumerate().filter(|(row, _)| weight(*row) > 0.) {
            cases.probs.extend(&all[row * classes..][..classes]);
            cases.labels.push(*label as usize);
            cases.weights.push(weight(row) / total);
        }
        cases.logs.extend(cases.probs.iter().map(|p| p.clamp(NLL_EPSILON, 1.).ln()));
        Ok(cases)
    }

    /// The logarithms, the label and the weight of each row.
    pub(crate) fn rows(&self) -> impl Iterator<Item = (&[f64], usize, f64)> {
        let labels = self.labels.iter().copied().zip(self.weights.iter().copied());
        self.logs.chunks_exact(self.classes).zip(labels).map(|(logs, (label, weight))| (logs, label, weight))
    }
}

/// The logarithms of a tensor of probabilities; the least probability is [`NLL_EPSILON`].
pub(crate) fn ln(probs: &Tensor) -> CandleResult<Tensor> {
    // `clamp` may lose a NaN; adding 0 · NaN restores it.
    probs.clamp(NLL_EPSILON, 1.)?.log()? + (probs * 0.)?
}
