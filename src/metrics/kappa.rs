//! Cohen's kappa.
use crate::{
    metrics::{
        inputs::Case,
        margins::Margins,
        matthews::other_pairs,
        stream::{of_classes, Accumulate},
    },
    Error, Result,
};
use candle_core::Tensor;
use serde::{Deserialize, Serialize};

/// How much it counts against [`cohen_kappa`] that class `i` is predicted for a row of class `j`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum KappaWeights {
    /// 1 for all classes that differ. The default.
    #[default]
    Equal,
    /// `|i − j|`, for classes with an order.
    Linear,
    /// `(i − j)²`, for classes with an order.
    Quadratic,
}

/// Computes Cohen's kappa: the agreement of the most probable classes with the true ones, beyond chance.
///
/// ```text
/// 1 − Σᵢ d(bᵢ, yᵢ) / (1/N Σᵢ Σⱼ d(bᵢ, yⱼ))
/// ```
///
/// `bᵢ` is the most probable class of a row (the lowest of equals), and `d` the disagreement of two classes
/// ([`KappaWeights`]). It is at most 1; more is better, and 0 is what chance reaches. `probs` is `(N, C)`
/// (rows, classes) of any float type; `weights` has one weight for each row and takes the place of counts.
///
/// Use it with quadratic weights for ordered classes (grades, stages), where a near miss is better than a far
/// one. Values from data with different shares of the classes cannot be compared.
///
/// The cost is one pass over the probabilities.
///
/// # Errors
/// When the inputs are not valid (see the [module](super)), or all rows are of one class and predicted as
/// such, for which kappa is not defined (scikit-learn returns NaN).
///
/// # Examples
/// ```
/// use candle_core::{Device, Tensor};
/// use candle_ensemble::metrics::{cohen_kappa, KappaWeights};
///
/// let probs = Tensor::new(&[[0.9f32, 0.1], [0.4, 0.6], [0.7, 0.3], [0.2, 0.8]], &Device::Cpu)?;
/// assert_eq!(cohen_kappa(&probs, &[0, 1, 0, 0], KappaWeights::Equal, None)?, 0.5);
/// # Ok::<(), candle_ensemble::Error>(())
/// ```
///
/// Sources: Cohen 1960, doi:10.1177/001316446002000104; Cohen 1968, doi:10.1037/h0026256. Reference:
/// scikit-learn's `cohen_kappa_score`.
pub fn cohen_kappa(
    probs: &Tensor,
    labels: &[u32],
    kappa_weights: KappaWeights,
    weights: Option<&[f64]>,
) -> Result<f64> {
    of_classes(Kappa::new(kappa_weights), probs, labels, weights)
}

/// Accumulates [`cohen_kappa`].
pub(crate) struct Kappa {
    form: KappaWeights,
    margins: Margins,
    observed: f64,
}

impl Kappa {
    pub(crate) fn new(form: KappaWeights) -> Self {
        Self { form, margins: Margins::default(), observed: 0.0 }
    }
}

impl Accumulate<Case<'_>> for Kappa {
    fn add(&mut self, case: &Case<'_>) {
        self.margins.add(case);
        let apart = case.top.abs_diff(case.label) as f64;
        self.observed += case.weight
            * match self.form {
                KappaWeights::Equal => f64::from(!case.is_correct()),
                KappaWeights::Linear => apart,
                KappaWeights::Quadratic => apart * apart,
            };
    }

    fn finish(self: Box<Self>) -> Result<f64> {
        let actual: Vec<f64> = self.margins.classes.iter().map(|counts| counts.actual).collect();
        let predicted: Vec<f64> = self.margins.classes.iter().map(|counts| counts.predicted).collect();
        let expected = match self.form {
            KappaWeights::Equal => other_pairs(&actual, &predicted),
            KappaWeights::Linear => distances(&actual, &predicted).0,
            KappaWeights::Quadratic => distances(&actual, &predicted).1,
        };
        if expected == 0.0 {
            let must = "defined, which needs rows of two classes, or predicted as two classes";
            return Err(Error::invalid("Cohen's kappa", must, "undefined"));
        }
        Ok(1.0 - self.observed * actual.iter().sum::<f64>() / expected)
    }
}

/// `Σ_cd a_c b_d |c − d|` and `Σ_cd a_c b_d (c − d)²`.
fn distances(a: &[f64], b: &[f64]) -> (f64, f64) {
    let one_way = |pairs: &mut dyn Iterator<Item = (&f64, &f64)>| {
        // Over the classes d before c: Σ b_d, Σ b_d |c − d|, Σ b_d (c − d)².
        let (mut mass, mut linear, mut square) = (0.0, 0.0, 0.0);
        let (mut linear_sum, mut square_sum) = (0.0, 0.0);
        for (a, b) in pairs {
            linear_sum += a * linear;
            square_sum += a * square;
            mass += b;
            square += 2.0 * linear + mass;
            linear += mass;
        }
        (linear_sum, square_sum)
    };
    let (up, down) = (one_way(&mut a.iter().zip(b)), one_way(&mut a.iter().zip(b).rev()));
    (up.0 + down.0, up.1 + down.1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::reference::{check_classification, check_ties, one_class};

    #[test]
    fn agrees_with_scikit_learn() {
        use KappaWeights::{Equal, Linear, Quadratic};
        let of = |form| move |p: &Tensor, y: &[u32], w: Option<&[f64]>| cohen_kappa(p, y, form, w);
        check_classification(of(Equal), [0.6489945155393053, 0.747239189961785]);
        check_classification(of(Linear), [0.6921017402945113, 0.7974090407938258]);
        check_classification(of(Quadratic), [0.7472677595628414, 0.8478135551346455]);
        check_ties(of(Equal), [0.7777777777777778, 0.8401826484018264]);
        check_ties(of(Linear), [0.7142857142857143, 0.8]);
        check_ties(of(Quadratic), [0.6923076923076923, 0.7904191616766467]);
    }

    #[test]
    fn one_class_is_an_error() {
        let (probs, labels) = one_class();
        for form in [KappaWeights::Equal, KappaWeights::Linear, KappaWeights::Quadratic] {
            let e = cohen_kappa(&probs, &labels, form, Some(&[0.1, 0.7])).unwrap_err().to_string();
            assert!(e.starts_with("Cohen's kappa must be defined, which needs rows of two classes"), "{e}");
        }
    }

    #[test]
    fn distances_of_three_classes() {
        let (a, b) = ([1.0, 2.0, 4.0], [8.0, 16.0, 32.0]);
        let linear = 16.0 + 2.0 * 32.0 + 2.0 * (8.0 + 32.0) + 4.0 * (16.0 + 2.0 * 8.0);
        let square = 16.0 + 4.0 * 32.0 + 2.0 * (8.0 + 32.0) + 4.0 * (16.0 + 4.0 * 8.0);
        assert_eq!(distances(&a, &b), (linear, square));
    }
}
