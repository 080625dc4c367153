//! Variance between splits and between repeats within a split.
use super::inputs::check_finite;
use crate::{Error, Result};
use serde::{Deserialize, Serialize};

/// How much a metric varies with the split of the data, and how much with the seed.
///
/// [`variance_components`] computes it.
///
/// # Examples
/// ```
/// use candle_ensemble::statistics::variance_components;
///
/// // One seed on each of three splits: the two sources cannot be told apart.
/// let parts = variance_components(&[[0.8], [0.9], [0.7]])?;
/// assert_eq!((parts.within, parts.between), (None, None));
/// assert!((parts.total.unwrap() - 0.1).abs() < 1e-12);
/// # Ok::<(), candle_ensemble::Error>(())
/// ```
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
    let mean_square_within =
        (count > splits).then(|| parts.iter().map(|(_, _, squares)| squares).sum::<f64>() / (n - a));
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::statistics::testing::{close, draws, normal};

    /// Mean squares of statsmodels' `anova_lm` for one factor: `tests/reference/statistics.py`.
    #[test]
    fn components_agree_with_statsmodels() {
        for (sizes, expected) in [
            (&[4, 4, 4, 4, 4][..], [0.08864183529526759, 0.2864785468564841, 0.2998788634991071]),
            (&[2, 5, 1, 7, 3, 4], [0.09516427042252475, 0.3708071800044228, 0.38282398449925237]),
        ] {
            let mut draw = draws(15);
            let values: Vec<Vec<f64>> = sizes
                .iter()
                .map(|&size| {
                    let centre = draw();
                    (0..size).map(|_| centre + 0.3 * draw()).collect()
                })
                .collect();
            let parts = variance_components(&values).unwrap();
            let found = [parts.within, parts.between, parts.total].map(Option::unwrap);
            found.iter().zip(expected).for_each(|(a, b)| close(*a, b, 1e-11));
            assert_eq!((parts.splits, parts.values), (sizes.len(), sizes.iter().sum()));
            // A large mean loses no more digits than the inputs have.
            let shifted: Vec<Vec<f64>> =
                values.iter().map(|row| row.iter().map(|x| x + 1e6).collect()).collect();
            close(variance_components(&shifted).unwrap().between.unwrap(), expected[1], 1e-8);
        }
    }

    /// By hand: means 1, 3 and 8 of two values each, so MSW = (2 + 2 + 8) / 3 = 4, MSB = 2 · 26 / 2 = 26, and
    /// between² = (26 − 4) / 2 = 11.
    #[test]
    fn components_agree_with_a_calculation_by_hand() {
        let parts = variance_components(&[[0., 2.], [2., 4.], [6., 10.]]).unwrap();
        let expected = [4f64, 11.0, 15.0].map(|v| Some(v.sqrt()));
        assert_eq!([parts.within, parts.between, parts.total], expected);
    }

    #[test]
    fn what_cannot_be_known_is_none() {
        let parts = |values: &[Vec<f64>]| {
            let parts = variance_components(values).unwrap();
            [parts.within, parts.between, parts.total]
        };
        // One repeat in each split: only their sum.
        assert_eq!(parts(&[vec![1.0], vec![3.0]]), [None, None, Some(2f64.sqrt())]);
        // One split.
        assert_eq!(parts(&[vec![1.0, 3.0]]), [Some(2f64.sqrt()), None, None]);
        assert_eq!(parts(&[vec![1.0]]), [None; 3]);
        // Means that vary less than repeats explain.
        assert_eq!(
            parts(&[vec![1.0, 3.0], vec![3.0, 1.0]]),
            [Some(2f64.sqrt()), Some(0.0), Some(2f64.sqrt())]
        );
        assert!(variance_components::<Vec<f64>>(&[]).is_err());
        assert!(variance_components(&[vec![1.0], vec![]]).is_err());
        let error = variance_components(&[vec![1.0], vec![0.0, f64::NAN]]).unwrap_err();
        assert_eq!(error.to_string(), "split 1, value 1 must be finite, but is NaN");
    }

    /// The variances are unbiased, also for unequal numbers; here none is cut at 0.
    #[test]
    fn components_are_those_of_the_simulation() {
        let sizes = [1, 2, 3, 4, 5, 6];
        let (mut within, mut between) = (0.0, 0.0);
        let seed = crate::Seed::from(4);
        for i in 0..2000 {
            let mut rng = seed.nth("simulation", i).rng();
            let values = sizes.map(|size| {
                let centre = 4.0 * normal(&mut rng);
                (0..size).map(|_| centre + normal(&mut rng)).collect::<Vec<f64>>()
            });
            let parts = variance_components(&values).unwrap();
            within += parts.within.unwrap().powi(2) / 2000.0;
            between += parts.between.unwrap().powi(2) / 2000.0;
        }
        // Four standard errors: √(2 / 15 / 2000), and about 16 √(2 / 5 / 2000) · 1.15.
        assert!((within - 1.0).abs() < 0.033, "{within}");
        assert!((between - 16.0).abs() < 1.05, "{between}");
    }
}
