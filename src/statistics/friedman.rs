//! Friedman's test of several methods over several data sets.
use super::{
    inputs::check_table,
    ranks::ranks,
    tails::{chi_square_tail, f_tail},
};
use crate::Result;
use serde::{Deserialize, Serialize};
use statrs::function::gamma::ln_gamma;

/// The result of [`friedman_test`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Friedman {
    /// The average rank of each method over the data sets; rank 1 is the best.
    pub average_ranks: Vec<f64>,
    /// Kendall's coefficient of concordance, from 0 (the data sets do not agree) to 1 (they all give the
    /// methods the same ranks): the size of the effect.
    pub kendall_w: f64,
    /// Friedman's statistic, corrected for ties.
    pub chi_square: f64,
    /// The p-value of `chi_square`, with `k − 1` degrees of freedom. It is too large for few data sets; prefer
    /// `p_value`.
    pub chi_square_p_value: f64,
    /// Iman and Davenport's statistic; `None` (null in JSON) where all data sets agree, so that it is a
    /// division by 0.
    pub f: Option<f64>,
    /// The p-value of `f`, with `k − 1` and `(k − 1)(N − 1)` degrees of freedom. Where all data sets agree, it
    /// is the exact probability of that.
    pub p_value: f64,
}

/// Tests whether several methods have the same ranks over several data sets, by Friedman's test with Iman and
/// Davenport's F.
///
/// ```text
/// χ² = 12 N / (k (k + 1)) Σ_j (R_j − (k + 1)/2)² / (1 − ties),  ties = Σ (t³ − t) / (N k (k² − 1))
/// W = χ² / (N (k − 1)),  F = (N − 1) χ² / (N (k − 1) − χ²)
/// ```
///
/// `R_j` is the average rank of method `j`. Equal scores of one data set have the mean of their ranks.
///
/// **Setting**: `k` methods on `N` data sets, with one score for each: `scores` has a row for each data set and
/// a column for each method. With two methods, [`wilcoxon_test`](crate::statistics::wilcoxon_test) finds more.
/// [`RankTest`](crate::statistics::RankTest) adds the comparisons of the methods.
///
/// **Assumes** that the data sets are independent. Scores of different data sets need not be on one scale,
/// since only their order within a data set counts. Repeated splits of one data set are not independent.
///
/// Cost: `O(N k log k)`.
///
/// # Errors
/// When there are fewer than 2 data sets or methods, a row has another length than the first, or a score is
/// NaN or infinite.
///
/// # Examples
/// ```
/// use candle_ensemble::statistics::friedman_test;
///
/// let accuracies = [[0.90, 0.85, 0.80], [0.70, 0.72, 0.60], [0.95, 0.90, 0.90], [0.88, 0.80, 0.75]];
/// let test = friedman_test(&accuracies, true)?;
/// assert_eq!(test.average_ranks, [1.25, 1.875, 2.875]);
/// assert!(test.p_value < 0.05);
/// # Ok::<(), candle_ensemble::Error>(())
/// ```
///
/// Sources: Friedman 1937, doi:10.1080/01621459.1937.10503522; Iman and Davenport 1980,
/// doi:10.1080/03610928008827904; Demšar 2006, <https://www.jmlr.org/papers/v7/demsar06a.html>.
pub fn friedman_test<R: AsRef<[f64]>>(scores: &[R], higher_is_better: bool) -> Result<Friedman> {
    let methods = check_table(scores, "data set", "method")?;
    let (n, k) = (scores.len() as f64, methods as f64);
    let mut sums = vec![0.0; methods];
    // Σ (t³ − t), and the logarithm of how many orders the ranks of the last data set have.
    let (mut ties, mut ln_orders) = (0.0, 0.0);
    for row in scores {
        let sign = if higher_is_better { -1.0 } else { 1.0 };
        let costs: Vec<f64> = row.as_ref().iter().map(|score| sign * score).collect();
        let (ranks, tied) = ranks(&costs, 0.0);
        sums.iter_mut().zip(ranks).for_each(|(sum, rank)| *sum += rank);
        ties += tied.iter().map(|&t| (t * t * t - t) as f64).sum::<f64>();
        ln_orders = ln_factorial(methods) - tied.iter().map(|&t| ln_factorial(t)).sum::<f64>();
    }
    let average_ranks: Vec<f64> = sums.iter().map(|sum| sum / n).collect();
    let squares: f64 = average_ranks.iter().map(|r| (r - (k + 1.0) / 2.0) * (r - (k + 1.0) / 2.0)).sum();
    let untied = 1.0 - ties / (n * k * (k * k - 1.0));
    // All scores of each data set are equal.
    if untied <= 0.0 {
        let (chi_square, f, p_value) = (0.0, Some(0.0), 1.0);
        return Ok(Friedman { average_ranks, kendall_w: 0.0, chi_square, chi_square_p_value: 1.0, f, p_value });
    }
    let chi_square = 12.0 * n / (k * (k + 1.0)) * squares / untied;
    let kendall_w = (chi_square / (n * (k - 1.0))).min(1.0);
    let agree = kendall_w > 1.0 - 1e-12;
    let f = (!agree).then(|| (n - 1.0) * kendall_w / (1.0 - kendall_w));
    let p_value = match f {
        Some(f) => f_tail(f, (k - 1.0, (k - 1.0) * (n - 1.0))),
        None => ((1.0 - n) * ln_orders).exp(),
    };
    let chi_square_p_value = chi_square_tail(chi_square, k - 1.0);
    Ok(Friedman { average_ranks, kendall_w, chi_square, chi_square_p_value, f, p_value })
}

fn ln_factorial(n: usize) -> f64 {
    ln_gamma(n as f64 + 1.0)
}
