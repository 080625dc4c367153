//! Variance between splits and between repeats within a split.
use super::inputs::check_finite;
use crate::{Error, Result};
use serde::{Deserialize, Serialize};

/// How much a metric varies with the split of the data, and how much with the seed.
///
/// See [`variance_components`].
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct VarianceComponents {
    /// Number of splits.
    pub splits: usize,
    /// Number of values.
    pub values: usize,
    /// The standard deviation of repeats within a split, such as seeds; `None` (null in JSON) where no split
    /// has two repeats.
    pub within: Option<f64>,
    /// The standard deviation of the splits' true means. It is 0 where the means vary less than `within` alone
    /// would make them, and `None` with a single split or without `within`.
    pub between: Option<f64>,
    /// The standard deviation of one repeat on a new split: `sqrt(within² + between²)`. With one repeat in
    /// each split it is that of the values. It is `None` with a single split.
    pub total: Option<f64>,
}

/// Computes how much of a metric's variance comes from the split and how much from repeats within a split, by
/// the method of moments.
///
/// ```text
/// x_ij = mean + a_i + e_ij,  within² = MSW,  between² = max(0, (MSB − MSW) / n_0)
/// MSW = Σ_ij (x_ij − x̄_i)² / (N − a),  MSB = Σ_i n_i (x̄_i − x̄)² / (a − 1)
/// n_0 = (N − Σ_i n_i² / N) / (a − 1)
/// ```
///
/// There are `a` splits with `n_i` repeats each, and `N` values in all. `values` has one row for each split,
/// with the metric of each repeat; the numbers of repeats may differ.
///
/// Use it to see what to repeat: where `within` is the larger, more seeds make a mean more precise, and where
/// `between` is, only more splits do. With few splits `between` is known badly: its square has a relative
/// error of about `sqrt(2 / (a − 1))`. Splits of one data set share rows, so `between` is less than it would be
/// between independent data sets.
///
/// Cost: `O(N)`.
///
/// # Errors
/// When there are no values, a split has none, or one is NaN or infinite.
///
/// # Examples
/// ```
/// use candle_ensemble::statistics::variance_components;
///
/// // Three splits, two seeds each.
/// let accuracy = [[0.90, 0.92], [0.80, 0.82], [0.85, 0.87]];
/// let parts = variance_components(&accuracy)?;
/// assert!((parts.within.unwrap() - 0.0141).abs() < 1e-4);
/// assert!((parts.between.unwrap() - 0.0490).abs() < 1e-4);
/// assert!((parts.total.unwrap() - 0.0510).abs() < 1e-4);
/// # Ok::<(), candle_ensemble::Error>(())
/// ```
///
/// Source: Searle, Casella and McCulloch 1992, doi:10.1002/9780470316856, section 3.6.
pub fn variance_components<R: AsRef<[f64]>>(values: &[R]) -> Result<VarianceComponents> {
    let splits = values.len();
    if splits == 0 {
        return Err(Error::invalid("number of splits", "at least 1", 0));
    }
    let (mut count, mut squares_of_sizes, mut sum) = (0usize, 0.0, 0.0);
    // Of each split: number, mean and sum of squares about the mean.
    let mut parts = Vec::with_capacity(splits);
    for (split, row) in values.iter().enumerate() {
        let row = row.as_ref();
        if row.is_empty() {
            return Err(Error::invalid(format!("number of values of split {split}"), "at least 1", 0));
        }
        check_finite(&format!("split {split}, value"), row)?;
        let n = row.len() as f64;
        let rough = row.iter().sum::<f64>() / n;
        let mean = rough + row.iter().map(|x| x - rough).sum::<f64>() / n;
        parts.push((n, mean, row.iter().map(|x| (x - mean) * (x - mean)).sum::<f64>()));
        count += row.len();
        squares_of_sizes += n * n;
        sum += n * mean;
    }
    let (n, a) = (count as f64, splits as f64);
    let grand = sum / n;
    let grand = grand + parts.iter().map(|(size, mean, _)| size * (mean - grand)).sum::<f64>() / n;
    let mean_square_within = (count > splits)
        .then(|| parts.iter().map(|(_, _, squares)| squares).sum::<f64>() / (n - a));
    let mean_square_between = (splits > 1).then(|| {
        parts.iter().map(|(size, mean, _)| size * (mean - grand) * (mean - grand)).sum::<f64>() / (a - 1.0)
    });
    let between = mean_square_between.zip(mean_square_within).map(|(between, within)| {
        let size = (n - squares_of_sizes / n) / (a - 1.0);
        ((between - within) / size).max(0.0)
    });
    let total = match mean_square_within {
        Some(within) => between.map(|between| within + between),
        // One repeat in each split.
        None => mean_square_between,
    };
    let [within, between, total] = [mean_square_within, between, total].map(|v| v.map(f64::sqrt));
    Ok(VarianceComponents { splits, values: count, within, between, total })
}
