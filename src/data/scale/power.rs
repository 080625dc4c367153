//! The power transform of Yeo and Johnson.
use crate::{
    data::scale::{
        table::{columns, map_cells},
        Scaler,
    },
    Error, Result,
};
use candle_core::{Device, Tensor};
use serde::{Deserialize, Serialize};

/// One `λ` for each column, and the mean and the standard deviation of the transformed columns.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct FittedPower {
    lambda: Vec<f64>,
    scaler: Scaler,
}

impl FittedPower {
    /// The `λ` of each column that make the transformed column most likely under a normal distribution.
    pub(super) fn fit(x: &Tensor) -> Result<Self> {
        let columns = columns(x)?;
        let lambda: Vec<f64> = columns.iter().map(|column| most_likely(column)).collect();
        let rows = columns.first().map_or(0, Vec::len);
        let mut transformed = Vec::with_capacity(rows * columns.len());
        for row in 0..rows {
            let cells = columns.iter().zip(&lambda);
            transformed
                .extend(cells.filter_map(|(column, lambda)| Some(yeo_johnson(*column.get(row)?, *lambda))));
        }
        let transformed = Tensor::from_vec(transformed, (rows, columns.len()), &Device::Cpu)?;
        Ok(Self { lambda, scaler: Scaler::standardize(&transformed)? })
    }

    pub(super) fn columns(&self) -> usize {
        self.lambda.len()
    }

    pub(super) fn transform(&self, x: &Tensor) -> Result<Tensor> {
        map_cells(x, self.columns(), |column, x| {
            let (shift, scale) = self.scaler.of_column(column);
            (yeo_johnson(x, self.lambda_of(column)) - shift) / scale
        })
    }

    pub(super) fn inverse(&self, z: &Tensor) -> Result<Tensor> {
        map_cells(z, self.columns(), |column, z| {
            let (shift, scale) = self.scaler.of_column(column);
            inverse(z * scale + shift, self.lambda_of(column))
        })
    }

    fn lambda_of(&self, column: usize) -> f64 {
        self.lambda.get(column).copied().unwrap_or(f64::NAN)
    }

    /// Checks that there is a finite `λ` for each column of the scaler.
    pub(super) fn check(&self) -> Result<()> {
        let finite = self.lambda.iter().all(|lambda| lambda.is_finite());
        match finite && self.lambda.len() == self.scaler.columns() {
            true => Ok(()),
            false => {
                Err(Error::invalid("the λ of a power transform", "finite, one for each column", "others"))
            }
        }
    }
}

/// ```text
/// ((x + 1)^λ − 1) / λ,  ln(x + 1) for λ = 0                       if x ≥ 0
/// −((1 − x)^(2 − λ) − 1) / (2 − λ),  −ln(1 − x) for λ = 2         if x < 0
/// ```
fn yeo_johnson(x: f64, lambda: f64) -> f64 {
    let power = |log: f64, exponent: f64| match exponent.abs() < f64::EPSILON {
        true => log,
        false => (exponent * log).exp_m1() / exponent,
    };
    match x >= 0. {
        true => power(x.ln_1p(), lambda),
        false => -power((-x).ln_1p(), 2. - lambda),
    }
}

/// The inverse of [`yeo_johnson`].
fn inverse(y: f64, lambda: f64) -> f64 {
    let power = |y: f64, exponent: f64| match exponent.abs() < f64::EPSILON {
        true => y.exp_m1(),
        false => ((exponent * y).ln_1p() / exponent).exp_m1(),
    };
    match y >= 0. {
        true => power(y, lambda),
        false => -power(-y, 2. - lambda),
    }
}

/// The `λ` with the largest likelihood; 1, which changes nothing, for a constant column.
fn most_likely(column: &[f64]) -> f64 {
    let first = column.first().copied().unwrap_or(0.);
    if column.iter().all(|x| *x == first) {
        return 1.;
    }
    let logs: f64 = column.iter().map(|x| x.signum() * x.abs().ln_1p()).sum();
    let cost = |lambda: f64| negative_log_likelihood(column, logs, lambda);
    minimum(cost, -2., 2.)
}

/// `n/2 · ln σ²(λ) − (λ − 1) Σ sign(x) ln(|x| + 1)`, with the variance of the transformed column.
fn negative_log_likelihood(column: &[f64], logs: f64, lambda: f64) -> f64 {
    let n = column.len() as f64;
    let mean = column.iter().map(|x| yeo_johnson(*x, lambda)).sum::<f64>() / n;
    let variance = column.iter().map(|x| (yeo_johnson(*x, lambda) - mean).powi(2)).sum::<f64>() / n;
    let cost = n / 2. * variance.ln() - (lambda - 1.) * logs;
    if cost.is_finite() {
        cost
    } else {
        f64::INFINITY
    }
}

/// Where a convex function of one number is least, by golden-section search from a bracket that is widened as far as
/// it has to be (to ±64 at most, where no power of a column is finite).
fn minimum(f: impl Fn(f64) -> f64, low: f64, high: f64) -> f64 {
    const RATIO: f64 = 0.618_033_988_749_894_8;
    const WIDEST: f64 = 64.;
    let (mut low, mut high) = (low, high);
    while low > -WIDEST && f(low) < f(low + 1e-3 * (high - low)) {
        low *= 2.;
    }
    while high < WIDEST && f(high) < f(high - 1e-3 * (high - low)) {
        high *= 2.;
    }
    let (mut a, mut b) = (high - RATIO * (high - low), low + RATIO * (high - low));
    let (mut at_a, mut at_b) = (f(a), f(b));
    while high - low > 1e-9 {
        if at_a <= at_b {
            (high, b, at_b) = (b, a, at_a);
            a = high - RATIO * (high - low);
            at_a = f(a);
        } else {
            (low, a, at_a) = (a, b, at_b);
            b = low + RATIO * (high - low);
            at_b = f(b);
        }
    }
    f64::midpoint(low, high)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_inverse_undoes_the_power_for_every_lambda() {
        for lambda in [-2., -0.5, 0., 1e-17, 0.3, 1., 2., 2.5] {
            for x in [-3., -0.7, -1e-9, 0., 1e-9, 0.4, 5.] {
                let back = inverse(yeo_johnson(x, lambda), lambda);
                assert!((back - x).abs() < 1e-9 * (1. + f64::abs(x)), "{lambda} {x} {back}");
            }
        }
    }

    #[test]
    fn a_parabola_is_least_at_its_vertex_within_and_outside_of_the_bracket() {
        for vertex in [-30., -1.3, 0., 1.9, 17.] {
            assert!((minimum(|x| (x - vertex) * (x - vertex), -2., 2.) - vertex).abs() < 1e-7, "{vertex}");
        }
    }
}
