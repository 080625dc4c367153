//! The thresholds above which labels count as there.
use crate::{Error, Result};
use candle_core::{DType, Device, Tensor};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

/// The probability from which on each of several labels counts as there.
///
/// Labels that are rare have low probabilities, so that a threshold of one half hardly ever finds them. [`fit`](Self::fit)
/// chooses the threshold of each label with the highest F1 score:
///
/// ```text
/// t_l = argmax_t 2 tp(t) / (predicted(t) + actual)
/// ```
///
/// Use it with data of several labels ([`TensorDataset::multi_label`](crate::data::TensorDataset::multi_label)), on rows on
/// which no member and no combiner was fitted. Do not use it where probabilities are needed: it leaves them as they are. With
/// few rows of a label its threshold varies much.
///
/// Cost: a sort of the rows for each label, spread over the cores.
///
/// ```
/// use candle_core::{Device, Tensor};
/// use candle_ensemble::metrics::LabelThresholds;
///
/// let probabilities = Tensor::new(&[[0.9f32, 0.30], [0.6, 0.05], [0.2, 0.20], [0.1, 0.10]], &Device::Cpu)?;
/// let labels = Tensor::new(&[[1u32, 1], [1, 0], [0, 1], [0, 0]], &Device::Cpu)?;
/// let thresholds = LabelThresholds::fit(&probabilities, &labels)?;
/// assert_eq!(thresholds.decide(&probabilities)?.to_vec2::<u32>()?, labels.to_vec2::<u32>()?);
/// # Ok::<(), candle_ensemble::Error>(())
/// ```
///
/// Source: Lipton, Elkan and Narayanaswamy 2014, "Thresholding classifiers to maximize F1 score", arXiv:1402.1892.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LabelThresholds(Vec<f64>);

impl LabelThresholds {
    /// The same threshold for each of this number of labels.
    #[must_use]
    pub fn same(threshold: f64, labels: usize) -> Self {
        Self(vec![threshold; labels])
    }

    /// The thresholds with the highest F1 score of each label. `probabilities` and `targets`, of 0 and 1, are `(N, L)`. Of
    /// equal scores the highest threshold is taken; a threshold lies in the middle between two probabilities. A label that
    /// no row has gets a threshold above all of its probabilities.
    ///
    /// # Errors
    /// When the shapes differ, there are no rows, a probability is not within 0 and 1, or a target is neither 0 nor 1.
    pub fn fit(probabilities: &Tensor, targets: &Tensor) -> Result<Self> {
        let (&[rows, labels], false) = (probabilities.dims(), probabilities.elem_count() == 0) else {
            let got = format!("of shape {:?}", probabilities.dims());
            return Err(Error::invalid("the probabilities", "of shape (N, L) with at least one row", got));
        };
        if targets.dims() != probabilities.dims() {
            let must = format!("of shape [{rows}, {labels}], as the probabilities");
            return Err(Error::invalid("the targets", must, format!("of shape {:?}", targets.dims())));
        }
        let columns = |t: &Tensor| -> Result<Vec<Vec<f64>>> {
            Ok(t.to_device(&Device::Cpu)?.to_dtype(DType::F64)?.t()?.to_vec2()?)
        };
        let (probabilities, targets) = (columns(probabilities)?, columns(targets)?);
        let check = |what: &str, columns: &[Vec<f64>], must: &str, fits: fn(f64) -> bool| {
            let bad = columns.iter().enumerate().find_map(|(label, column)| {
                let row = column.iter().position(|value| !fits(*value))?;
                Some((label, row, column.get(row).copied().unwrap_or(f64::NAN)))
            });
            match bad {
                None => Ok(()),
                Some((label, row, value)) => {
                    Err(Error::invalid(format!("the {what} of row {row}, label {label}"), must, value))
                }
            }
        };
        check("probability", &probabilities, "from 0 to 1", |p| (0. ..=1.).contains(&p))?;
        check("target", &targets, "0 or 1", |t| t == 0. || t == 1.)?;
        Ok(Self(probabilities.par_iter().zip(&targets).map(|(p, t)| best_threshold(p, t)).collect()))
    }

    /// The threshold of each label.
    #[must_use]
    pub fn values(&self) -> &[f64] {
        &self.0
    }

    /// 1 where a label's probability is its threshold or more, else 0: `(N, L)` of type u32 for probabilities `(N, L)`.
    ///
    /// # Errors
    /// When the probabilities are not `(N, L)` of as many labels.
    pub fn decide(&self, probabilities: &Tensor) -> Result<Tensor> {
        let labels = self.0.len();
        if probabilities.rank() != 2 || probabilities.dim(1)? != labels {
            let got = format!("of shape {:?}", probabilities.dims());
            return Err(Error::invalid("the probabilities", format!("of shape (N, {labels})"), got));
        }
        let thresholds = Tensor::new(self.0.as_slice(), probabilities.device())?.unsqueeze(0)?;
        Ok(probabilities.to_dtype(DType::F64)?.broadcast_ge(&thresholds)?.to_dtype(DType::U32)?)
    }
}

/// The threshold of one label with the highest F1 score.
fn best_threshold(probabilities: &[f64], targets: &[f64]) -> f64 {
    let mut rows: Vec<(f64, f64)> = probabilities.iter().copied().zip(targets.iter().copied()).collect();
    rows.sort_unstable_by(|a, b| b.0.total_cmp(&a.0).then(b.1.total_cmp(&a.1)));
    let actual: f64 = targets.iter().sum();
    let above_all = |highest: f64| f64::midpoint(highest, 1.).max(highest.next_up());
    let mut best = (0., rows.first().map_or(0.5, |(highest, _)| above_all(*highest)));
    let (mut found, mut predicted) = (0., 0.);
    let mut equals = rows.chunk_by(|a, b| a.0 == b.0).peekable();
    while let Some(group) = equals.next() {
        found += group.iter().map(|(_, target)| target).sum::<f64>();
        predicted += group.len() as f64;
        let score = 2. * found / (predicted + actual);
        if score > best.0 {
            let own = group.first().map_or(0., |(probability, _)| *probability);
            let next =
                equals.peek().and_then(|group| group.first()).map_or(0., |(probability, _)| *probability);
            // The middle may round to the lower one, which does not count as there.
            let middle = f64::midpoint(own, next);
            best = (score, if middle > next { middle } else { own });
        }
    }
    best.1
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn f1(probabilities: &[f64], targets: &[f64], threshold: f64) -> f64 {
        let there: Vec<bool> = probabilities.iter().map(|p| *p >= threshold).collect();
        let found: f64 = there.iter().zip(targets).filter(|(there, _)| **there).map(|(_, t)| t).sum();
        let all = there.iter().filter(|there| **there).count() as f64 + targets.iter().sum::<f64>();
        if all > 0. {
            2. * found / all
        } else {
            0.
        }
    }

    proptest! {
        #[test]
        fn no_threshold_has_a_higher_f1(rows in prop::collection::vec((0u8..8, any::<bool>()), 1..30)) {
            let p: Vec<f64> = rows.iter().map(|(p, _)| f64::from(*p) / 7.).collect();
            let t: Vec<f64> = rows.iter().map(|(_, t)| f64::from(u8::from(*t))).collect();
            let best = f1(&p, &t, best_threshold(&p, &t));
            for candidate in p.iter().copied().chain([0., 0.5, 1., 2.]) {
                prop_assert!(best >= f1(&p, &t, candidate) - 1e-15);
            }
        }
    }

    #[test]
    fn thresholds_by_hand() {
        // F1 with the first row alone 2/3, with two 2/4, with three 4/5, with all 4/6.
        assert_eq!(best_threshold(&[0.9, 0.8, 0.5, 0.1], &[1., 0., 1., 0.]), 0.3);
        assert!(best_threshold(&[0.2, 0.4], &[0., 0.]) > 0.4);
        assert_eq!(best_threshold(&[0.2, 0.4], &[1., 1.]), 0.1);
        assert!(best_threshold(&[1., 1.], &[0., 0.]) > 1.);
    }

    #[test]
    fn bad_inputs_are_named() {
        let tensor = |rows: &[[f64; 2]; 2]| Tensor::new(rows, &Device::Cpu).unwrap();
        let (p, t) = (tensor(&[[0.1, 0.2], [0.3, 1.5]]), tensor(&[[0., 1.], [1., 2.]]));
        let e = LabelThresholds::fit(&p, &t).unwrap_err().to_string();
        assert_eq!(e, "the probability of row 1, label 1 must be from 0 to 1, but is 1.5");
        let e = LabelThresholds::fit(&(p * 0.5).unwrap(), &t).unwrap_err().to_string();
        assert_eq!(e, "the target of row 1, label 1 must be 0 or 1, but is 2");
        let e = LabelThresholds::same(0.5, 3).decide(&t).unwrap_err().to_string();
        assert!(e.contains("of shape (N, 3), but is of shape [2, 2]"), "{e}");
        let e = LabelThresholds::fit(&t, &t.narrow(0, 0, 1).unwrap()).unwrap_err().to_string();
        assert!(e.contains("of shape [2, 2], as the probabilities"), "{e}");
    }

    #[test]
    fn thresholds_come_back_from_json() {
        let thresholds = LabelThresholds(vec![0.25, 0.1]);
        let text = serde_json::to_string(&thresholds).unwrap();
        assert_eq!(serde_json::from_str::<LabelThresholds>(&text).unwrap(), thresholds);
    }
}
