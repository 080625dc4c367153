//! Figures of series.
pub(super) use crate::diagnose::series::median;

/// NaN where there is none.
pub(super) fn or_nan(value: Option<f64>) -> f64 {
    value.unwrap_or(f64::NAN)
}

/// The logarithm of a number, of `least` if it is smaller; NaN if it is not finite.
pub(super) fn log(x: f64, least: f64) -> f64 {
    if x.is_finite() {
        x.max(least).ln()
    } else {
        f64::NAN
    }
}

/// The mean; NaN of nothing.
pub(super) fn mean(values: impl IntoIterator<Item = f64>) -> f64 {
    let (sum, n) = values.into_iter().fold((0., 0usize), |(sum, n), x| (sum + x, n + 1));
    sum / n as f64
}

/// The standard deviation of a sample; NaN for less than two values.
pub(super) fn sd(values: &[f64]) -> f64 {
    if values.len() < 2 {
        return f64::NAN;
    }
    let middle = mean(values.iter().copied());
    let squares: f64 = values.iter().map(|x| (x - middle).powi(2)).sum();
    (squares / (values.len() - 1) as f64).sqrt()
}

/// The slope of the least-squares line per epoch.
pub(super) fn slope(values: &[f64]) -> f64 {
    let center = (values.len() as f64 - 1.) / 2.;
    let middle = mean(values.iter().copied());
    let (mut products, mut squares) = (0., 0.);
    for (i, y) in values.iter().enumerate() {
        let x = i as f64 - center;
        products += x * (y - middle);
        squares += x * x;
    }
    products / squares
}

/// The noise from step to step in the second half: `√(mean((x(i) − 2 x(i+1) + x(i+2))² / 6))`, which is the standard
/// deviation of independent noise around a line.
pub(super) fn noise(values: &[f64]) -> f64 {
    let second = values.windows(3).map(|w| match w {
        [a, b, c] => c - 2. * b + a,
        _ => f64::NAN,
    });
    let half = values.len().saturating_sub(2) / 2;
    (mean(second.skip(half).filter(|x| x.is_finite()).map(|x| x * x)) / 6.).sqrt()
}

/// The mean of the finite values at most `width` epochs away, for each epoch.
pub(super) fn smooth(values: &[f64], width: usize) -> Vec<f64> {
    let around = |i: usize| values.iter().take(i + width + 1).skip(i.saturating_sub(width));
    (0..values.len()).map(|i| mean(around(i).copied().filter(|x| x.is_finite()))).collect()
}
