//! Isotonic recalibration of predicted distributions.
use crate::{Error, Result};
use serde::{Deserialize, Serialize};

/// Isotonic recalibration of predicted distributions: a map of probabilities, after which a share `p` of the targets is below
/// the predicted quantile `p`, for every `p`.
///
/// ```text
/// p_i = F_i(y_i)        R(p) = 1/n |{i : p_i ≤ p}|, linear in between        F'(y) = R(F(y))
/// ```
///
/// `F_i` is the predicted distribution function of row `i`: that of a normal distribution, or, of predicted quantiles, the
/// level of the target among them. It works for any kind of distribution, as long as it can be evaluated at the target.
/// Fit it on rows that the network was not fitted on. [`level`](Self::level) says which level to ask the network for, so that
/// its quantile has the wanted one.
///
/// It makes the levels right on average over all rows. It says nothing of a single row, and with few rows the tails are
/// rough: `R` cannot tell levels below `1/n` apart. For a guarantee use
/// [`QuantileConformal`](crate::conformal::QuantileConformal).
///
/// # Examples
/// ```
/// use candle_ensemble::uncertainty::CdfCalibration;
///
/// // The network is too sure: its lower and upper quarters hold three quarters of the targets.
/// let levels = [0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 0.9, 0.95];
/// let calibration = CdfCalibration::fit(&levels)?;
/// assert_eq!(calibration.apply(0.2)?, 0.375);
/// assert_eq!(calibration.level(0.375)?, 0.2); // its quantile 0.2 is the quantile 0.375
/// # Ok::<(), candle_ensemble::Error>(())
/// ```
///
/// Source: Kuleshov, Fenner and Ermon 2018, arXiv:1807.00263, algorithm 1.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CdfCalibration {
    /// The different levels and the shares of rows up to them, from level 0 to level 1.
    knots: Vec<(f64, f64)>,
}

impl CdfCalibration {
    /// Fits on the predicted distribution functions at the targets, `F_i(y_i)`, from 0 to 1.
    ///
    /// # Errors
    /// When there are no rows, or a level is not from 0 to 1.
    pub fn fit(levels: &[f64]) -> Result<Self> {
        if levels.is_empty() {
            return Err(Error::invalid("number of rows", "at least 1", 0));
        }
        let mut sorted = levels.to_vec();
        if let Some((row, level)) = levels.iter().enumerate().find(|(_, level)| !(0. ..=1.).contains(*level))
        {
            return Err(Error::invalid(format!("level of row {row}"), "from 0 to 1", level));
        }
        sorted.sort_unstable_by(f64::total_cmp);
        let (mut knots, mut count) = (vec![], 0);
        if sorted.first().is_some_and(|first| *first > 0.) {
            knots.push((0., 0.));
        }
        for equal in sorted.chunk_by(|a, b| a == b) {
            count += equal.len();
            knots.extend(equal.first().map(|level| (*level, count as f64 / levels.len() as f64)));
        }
        if sorted.last().is_some_and(|last| *last < 1.) {
            knots.push((1., 1.));
        }
        Ok(Self { knots })
    }

    /// The recalibrated probability of a predicted one: `F'(y) = R(F(y))`.
    ///
    /// # Errors
    /// When it is not from 0 to 1.
    pub fn apply(&self, probability: f64) -> Result<f64> {
        in_range("predicted probability", probability)?;
        Ok(between(self.knots.iter().map(|(x, y)| (*x, *y)), probability))
    }

    /// The level to ask the predicted distribution for, so that its quantile is the recalibrated quantile of `probability`:
    /// `R⁻¹`, the lowest such level.
    ///
    /// # Errors
    /// When the probability is not from 0 to 1.
    pub fn level(&self, probability: f64) -> Result<f64> {
        in_range("probability of the quantile", probability)?;
        Ok(between(self.knots.iter().map(|(x, y)| (*y, *x)), probability))
    }

    /// The calibration error of predicted distributions before it was fitted: the root of the mean squared difference between
    /// `R(p)` and `p` over `p`, from 0 to about 0.58.
    ///
    /// ```text
    /// √ ∫₀¹ (R(p) − p)² dp
    /// ```
    #[must_use]
    pub fn error(&self) -> f64 {
        let piece = |pair: &[(f64, f64)]| match pair {
            [(a, ra), (b, rb)] => {
                // The integral of the square of a linear function.
                let (from, to) = (ra - a, rb - b);
                (b - a) * (from * from + from * to + to * to) / 3.
            }
            _ => 0.,
        };
        self.knots.windows(2).map(piece).sum::<f64>().sqrt()
    }
}

fn in_range(what: &str, probability: f64) -> Result<()> {
    match (0. ..=1.).contains(&probability) {
        true => Ok(()),
        false => Err(Error::invalid(what, "from 0 to 1", probability)),
    }
}

/// The value at `x` of the polygon through points whose coordinates do not fall; the first one where several have this `x`.
fn between(points: impl Iterator<Item = (f64, f64)>, x: f64) -> f64 {
    let mut before: Option<(f64, f64)> = None;
    for (right, value) in points {
        if x <= right {
            return match before {
                Some((left, at_left)) if x < right => {
                    at_left + (value - at_left) * (x - left) / (right - left)
                }
                _ => value,
            };
        }
        before = Some((right, value));
    }
    before.map_or(x, |(_, value)| value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Seed;
    use proptest::prelude::*;
    use rand::Rng;

    proptest! {
        #[test]
        fn the_map_rises_and_is_undone(
            levels in prop::collection::vec(0f64..1., 1..40),
            p in 0f64..1.,
            q in 0f64..1.,
        ) {
            let calibration = CdfCalibration::fit(&levels).unwrap();
            let (low, high) = (p.min(q), p.max(q));
            prop_assert!(calibration.apply(low).unwrap() <= calibration.apply(high).unwrap());
            let level = calibration.level(p).unwrap();
            prop_assert!((calibration.apply(level).unwrap() - p).abs() < 1e-9 || level == 0., "{level}");
            // At the levels of the rows it is their share.
            for level in &levels {
                let share = levels.iter().filter(|l| *l <= level).count() as f64 / levels.len() as f64;
                prop_assert!((calibration.apply(*level).unwrap() - share).abs() < 1e-12);
            }
        }
    }

    /// Targets u² for uniform u, under predictions that say uniform: R(p) = √p. On new rows, a share p is below the level p.
    #[test]
    fn levels_are_right_on_new_rows() {
        let mut rng = Seed::from(5).rng();
        let mut draw =
            |count: usize| -> Vec<f64> { (0..count).map(|_| rng.random::<f64>().powi(2)).collect() };
        let (rows, new) = (draw(4000), draw(4000));
        let calibration = CdfCalibration::fit(&rows).unwrap();
        for p in [0.05, 0.25, 0.5, 0.9] {
            let level = calibration.level(p).unwrap();
            let share = new.iter().filter(|y| **y <= level).count() as f64 / 4000.;
            // Four standard errors of the difference of two shares.
            let error = 4. * (p * (1. - p) / 2000.).sqrt();
            assert!((share - p).abs() < error, "{share} is not {p}");
            assert!((calibration.apply(p * p).unwrap() - p).abs() < error);
        }
        // ∫ (√p − p)² dp = 1/30.
        assert!((calibration.error() - (1f64 / 30.).sqrt()).abs() < 0.03, "{}", calibration.error());
    }

    #[test]
    fn the_error_by_hand() {
        // R is 2p up to ½ and 1 from there: ∫ p² up to ½ and ∫ (1 − p)² from ½, 1/12 together.
        let calibration = CdfCalibration::fit(&[0.5, 0.5]).unwrap();
        assert!((calibration.error() - (1f64 / 12.).sqrt()).abs() < 1e-12);
        assert_eq!(calibration.level(1.).unwrap(), 0.5);
    }

    #[test]
    fn bad_levels_are_named() {
        assert!(CdfCalibration::fit(&[]).is_err());
        assert!(CdfCalibration::fit(&[0.5, 1.5]).unwrap_err().to_string().contains("level of row 1"));
        let calibration = CdfCalibration::fit(&[0., 1.]).unwrap();
        assert!(calibration.apply(f64::NAN).is_err() && calibration.level(-0.1).is_err());
        assert_eq!((calibration.apply(0.).unwrap(), calibration.apply(1.).unwrap()), (0.5, 1.));
    }
}
