//! What the metric of learning curves is.
use crate::diagnose::{Curve, Curves};
use serde::{Deserialize, Serialize};
use std::fmt;

/// What is measured beside the loss.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum CurveMetric {
    /// The share of rows that are classified correctly, from 0 to 1.
    Accuracy,
    /// The root mean squared error, in the units of the target.
    Rmse,
}

impl CurveMetric {
    /// Its name in files: `accuracy` or `rmse`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Accuracy => "accuracy",
            Self::Rmse => "rmse",
        }
    }

    pub(super) fn of_name(name: &str) -> Option<Self> {
        [Self::Accuracy, Self::Rmse].into_iter().find(|metric| metric.name() == name)
    }
}

impl fmt::Display for CurveMetric {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What the metric probably is, by its values. An accuracy lies within 0 and 1, and rises while the loss
/// falls; an error falls with the loss. `None` if there are no values, or if they do not tell.
pub(super) fn likely(curves: &Curves) -> Option<CurveMetric> {
    let series = |run: &Curve| {
        let train = (run.train_metric.clone(), run.train_loss.clone());
        if train.0.iter().any(|x| x.is_finite()) && !train.1.is_empty() {
            train
        } else {
            (run.valid_metric.clone(), run.valid_loss.clone())
        }
    };
    let values = || curves.runs.iter().flat_map(|run| run.train_metric.iter().chain(&run.valid_metric));
    if values().any(|x| x.is_finite() && *x < 0.) {
        return None;
    }
    if values().any(|x| x.is_finite() && *x > 1.) {
        return Some(CurveMetric::Rmse);
    }
    let together: f64 =
        curves.runs.iter().map(series).map(|(metric, loss)| correlation(&metric, &loss)).sum();
    match together {
        r if r < 0. => Some(CurveMetric::Accuracy),
        r if r > 0. => Some(CurveMetric::Rmse),
        _ => None,
    }
}

/// Pearson's correlation over the pairs that are finite; 0 if one of the two does not vary.
fn correlation(a: &[f64], b: &[f64]) -> f64 {
    let pairs: Vec<(f64, f64)> =
        a.iter().copied().zip(b.iter().copied()).filter(|(a, b)| a.is_finite() && b.is_finite()).collect();
    let n = pairs.len() as f64;
    let (mean_a, mean_b) =
        (pairs.iter().map(|p| p.0).sum::<f64>() / n, pairs.iter().map(|p| p.1).sum::<f64>() / n);
    let sum = |of: fn(f64, f64) -> f64| pairs.iter().map(|p| of(p.0 - mean_a, p.1 - mean_b)).sum::<f64>();
    let r = sum(|a, b| a * b) / (sum(|a, _| a * a) * sum(|_, b| b * b)).sqrt();
    if r.is_finite() {
        r
    } else {
        0.
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_correlation_is_that_of_numpy() {
        // numpy.corrcoef([1, 2, 4, 8], [3, 1, 0, -7])[0, 1]
        let r = correlation(&[1., 2., f64::NAN, 4., 8.], &[3., 1., 9., 0., -7.]);
        assert!((r - -0.984_091_035_258_971_1).abs() < 1e-12, "{r}");
        assert_eq!(correlation(&[1., 1.], &[0., 2.]), 0.);
        assert_eq!(correlation(&[], &[]), 0.);
    }

    #[test]
    fn values_tell_what_the_metric_is() {
        let curves = |metric: [f64; 3]| {
            let run = Curve { train_loss: vec![3., 2., 1.], train_metric: metric.into(), ..Curve::default() };
            likely(&Curves::new(vec![run]))
        };
        assert_eq!(curves([0.2, 0.5, 0.9]), Some(CurveMetric::Accuracy));
        assert_eq!(curves([0.9, 0.5, 0.2]), Some(CurveMetric::Rmse));
        assert_eq!(curves([20., 50., 90.]), Some(CurveMetric::Rmse));
        assert_eq!(curves([0.5, 0.5, 0.5]), None);
        assert_eq!(curves([0.5, -0.5, 0.5]), None);
    }
}
