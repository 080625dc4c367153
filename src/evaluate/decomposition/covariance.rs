//! Bias, variance and covariance of ensembles over repeated trainings.
use super::{AdditiveLoss, BiasVarianceDiversity};
use serde::{Deserialize, Serialize};

/// Bias, variance and covariance of the members of an ensemble that averages them and is trained repeatedly;
/// they add up to its expected squared error.
///
/// ```text
/// loss = bias + variance/S + (1 − 1/S) covariance
/// bias = (E[f̄] − y)²,  variance = 1/S Σ_s Var(f_s),  covariance = 1/(S(S − 1)) Σ_{s ≠ t} Cov(f_s, f_t)
/// ```
///
/// Expectations are means over the repeats, and all parts are means over the rows. A larger ensemble lowers the
/// share of the variance, and leaves the bias and the covariance. So `bias + covariance` is about what many
/// more such members would reach.
///
/// It comes from [`BiasVarianceDiversity::covariance`].
///
/// Source: Ueda and Nakano 1996, doi:10.1109/ICNN.1996.548872.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct BiasVarianceCovariance {
    /// Number of repeats.
    pub repeats: usize,
    /// Number of slots, S.
    pub slots: usize,
    /// The expected squared error of the ensemble.
    pub loss: f64,
    /// The squared distance of the expected ensemble from the targets. It includes their noise.
    pub bias: f64,
    /// The mean variance of the members over the repeats.
    pub variance: f64,
    /// The mean covariance of two members over the repeats; `None` for one slot.
    pub covariance: Option<f64>,
}

impl BiasVarianceCovariance {
    /// Returns what the variance adds to the loss, `variance/S`.
    #[must_use]
    pub fn variance_term(&self) -> f64 {
        self.variance / self.slots as f64
    }

    /// Returns what the covariance adds to the loss, `(1 − 1/S) covariance`; 0 for one slot.
    #[must_use]
    pub fn covariance_term(&self) -> f64 {
        self.covariance.map_or(0., |covariance| (1. - 1. / self.slots as f64) * covariance)
    }
}

impl BiasVarianceDiversity {
    /// Returns the decomposition into bias, variance and covariance, for the squared error; `None` for another
    /// loss.
    ///
    /// ```
    /// use candle_core::{Device, Tensor};
    /// use candle_ensemble::evaluate::{decomposition::*, RowTargets};
    ///
    /// let targets = RowTargets::values(&Tensor::new(&[0f32], &Device::Cpu)?)?;
    /// let mut repeats = DiversityRepeats::new(AdditiveLoss::Squared, &targets)?;
    /// for [first, second] in [[1f32, 3.], [3., 1.]] {
    ///     repeats.push(&Tensor::new(&[[[first]], [[second]]], &Device::Cpu)?)?;
    /// }
    /// let parts = repeats.finish()?.covariance().unwrap();
    /// assert_eq!((parts.bias, parts.variance, parts.covariance), (4., 1., Some(-1.)));
    /// assert_eq!(parts.loss, 4. + 1. / 2. - 1. / 2.); // both ensembles predict 2
    /// # Ok::<(), candle_ensemble::Error>(())
    /// ```
    #[must_use]
    pub fn covariance(&self) -> Option<BiasVarianceCovariance> {
        if self.kind != AdditiveLoss::Squared {
            return None;
        }
        // Var(f̄) = variance/S + (1 − 1/S) covariance.
        let slots = self.slots as f64;
        let of_pairs = || (self.ensemble_variance - self.variance / slots) / (1. - 1. / slots);
        Some(BiasVarianceCovariance {
            repeats: self.repeats,
            slots: self.slots,
            loss: self.loss,
            bias: self.ensemble_bias,
            variance: self.variance,
            covariance: (self.slots > 1).then(of_pairs),
        })
    }
}
