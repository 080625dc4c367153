//! The quantile transform: each column becomes uniform, or normal.
use crate::{
    data::scale::table::{columns, map_cells},
    statistics::quantile,
    Error, Result,
};
use candle_core::Tensor;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use statrs::distribution::{ContinuousCDF, Normal};

/// How close to 0 and 1 a probability may come before it is turned into a normal number, as in scikit-learn.
const CLIPPED: f64 = 1e-7;

/// The quantiles of each column.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct FittedQuantile {
    normal: bool,
    /// For each column its quantiles at equal distances from 0 to 1.
    quantiles: Vec<Vec<f64>>,
}

impl FittedQuantile {
    /// At most `most` quantiles of each column; no more than there are rows.
    pub(super) fn fit(x: &Tensor, most: usize, normal: bool) -> Result<Self> {
        let of_column = |mut column: Vec<f64>| -> Vec<f64> {
            column.sort_by(f64::total_cmp);
            let count = most.min(column.len());
            let at = |i: usize| if count < 2 { 0. } else { i as f64 / (count - 1) as f64 };
            (0..count).map(|i| quantile(&column, at(i))).collect()
        };
        Ok(Self { normal, quantiles: columns(x)?.into_par_iter().map(of_column).collect() })
    }

    pub(super) fn columns(&self) -> usize {
        self.quantiles.len()
    }

    pub(super) fn transform(&self, x: &Tensor) -> Result<Tensor> {
        let normal = standard_normal()?;
        map_cells(x, self.columns(), |column, x| {
            let p = self.quantiles.get(column).map_or(f64::NAN, |quantiles| rank(quantiles, x));
            match self.normal {
                true => normal.inverse_cdf(p.clamp(CLIPPED, 1. - CLIPPED)),
                false => p,
            }
        })
    }

    pub(super) fn inverse(&self, z: &Tensor) -> Result<Tensor> {
        let normal = standard_normal()?;
        map_cells(z, self.columns(), |column, z| {
            let p = if self.normal { normal.cdf(z) } else { z };
            self.quantiles.get(column).map_or(f64::NAN, |quantiles| quantile(quantiles, p.clamp(0., 1.)))
        })
    }

    /// Checks that the quantiles of each column are finite and in order.
    pub(super) fn check(&self) -> Result<()> {
        let fine = |of: &Vec<f64>| {
            !of.is_empty() && of.iter().all(|x| x.is_finite()) && of.windows(2).all(|pair| pair[0] <= pair[1])
        };
        match self.quantiles.iter().all(fine) {
            true => Ok(()),
            false => Err(Error::invalid("the quantiles of a column", "finite and in order", "others")),
        }
    }
}

fn standard_normal() -> Result<Normal> {
    Normal::new(0., 1.).map_err(|e| Error::invalid("the standard normal distribution", "defined", e))
}

/// The share of a column below `x`, by linear interpolation between its quantiles. Where several quantiles equal `x`, the
/// mean of their ranks.
fn rank(quantiles: &[f64], x: f64) -> f64 {
    let last = quantiles.len().saturating_sub(1);
    let at = |i: usize| if last == 0 { 0.5 } else { i as f64 / last as f64 };
    let (below, up_to) = (quantiles.partition_point(|q| *q < x), quantiles.partition_point(|q| *q <= x));
    match (below, up_to) {
        (0, 0) => 0.,
        (below, _) if below > last => 1.,
        (below, up_to) if up_to > below => f64::midpoint(at(below), at(up_to - 1)),
        (below, _) => {
            let (low, high) = (quantiles[below - 1], quantiles[below]);
            at(below - 1) + (at(below) - at(below - 1)) * (x - low) / (high - low)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranks_interpolate_and_share_the_middle_of_ties() {
        let quantiles = [0., 1., 1., 1., 4.];
        for (x, p) in [(-1., 0.), (0., 0.), (0.5, 0.125), (1., 0.5), (2.5, 0.875), (4., 1.), (9., 1.)] {
            assert_eq!(rank(&quantiles, x), p, "{x}");
        }
        assert_eq!(rank(&[3.], 3.), 0.5);
    }
}
