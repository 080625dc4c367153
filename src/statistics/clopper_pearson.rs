//! The exact interval of a binomial share.
use crate::{statistics::Interval, Error, Result};
use statrs::function::factorial::ln_binomial;

/// Bisections at most; the interval is at the precision of f64 before.
const BISECTIONS: usize = 200;

/// Computes a share with its exact confidence interval (Clopper–Pearson).
///
/// ```text
/// low = the p with P(X ≥ hits | p) = (1 − level)/2,  high = the p with P(X ≤ hits | p) = (1 − level)/2
/// ```
///
/// `X` is binomial with `trials` trials. The interval contains the true share with probability `level` or
/// more, for any number of trials; it is wider than others, such as Wilson's, that hold the level on average
/// only. The trials must be independent of each other.
///
/// The cost is `O(√trials)` for each of some 60 bisections.
///
/// # Errors
/// When there are no trials, there are more hits than trials, or `level` is not above 0 and below 1.
///
/// # Examples
/// ```
/// use candle_ensemble::statistics::clopper_pearson;
///
/// let share = clopper_pearson(9, 10, 0.95)?;
/// assert_eq!(share.estimate, 0.9);
/// assert!((share.low - 0.5550).abs() < 1e-4 && (share.high - 0.9975).abs() < 1e-4);
/// # Ok::<(), candle_ensemble::Error>(())
/// ```
///
/// Source: Clopper and Pearson 1934, doi:10.1093/biomet/26.4.404. Reference: scipy's `binomtest`.
pub fn clopper_pearson(hits: usize, trials: usize, level: f64) -> Result<Interval> {
    if !(level > 0.0 && level < 1.0) {
        return Err(Error::invalid("level", "above 0 and below 1", level));
    }
    if trials == 0 {
        return Err(Error::invalid("number of trials", "at least 1", 0));
    }
    if hits > trials {
        return Err(Error::invalid("number of hits", format!("at most {trials}, that of the trials"), hits));
    }
    let (k, n, tail) = (hits as u64, trials as u64, (1.0 - level) / 2.0);
    Ok(Interval {
        estimate: hits as f64 / trials as f64,
        low: lower_end(k, n, tail),
        high: 1.0 - lower_end(n - k, n, tail),
        level,
    })
}

/// The one-sided exact upper bound of a share: the `p` at which `hits` of `trials` or fewer have the probability `tail`. With
/// probability `1 - tail`, the true share is at most this.
pub(crate) fn upper_bound(hits: usize, trials: usize, tail: f64) -> f64 {
    1.0 - lower_end((trials - hits.min(trials)) as u64, trials as u64, tail)
}

/// The `p` at which `k` of `n` hits or more have the probability `tail`.
fn lower_end(k: u64, n: u64, tail: f64) -> f64 {
    if k == 0 {
        return 0.0;
    }
    let ln_ways = ln_binomial(n, k);
    let (mut low, mut high) = (0.0, k as f64 / n as f64);
    for _ in 0..BISECTIONS {
        let p = (low + high) / 2.0;
        if p <= low || p >= high {
            break;
        }
        match upper_tail(k, n, ln_ways, p) < tail {
            true => low = p,
            false => high = p,
        }
    }
    (low + high) / 2.0
}

/// `P(X ≥ k)` for `p` below `k / n`, where the terms fall from the first on.
fn upper_tail(k: u64, n: u64, ln_ways: f64, p: f64) -> f64 {
    let ln_first = ln_ways + k as f64 * p.ln() + (n - k) as f64 * (-p).ln_1p();
    let odds = p / (1.0 - p);
    let (mut sum, mut term, mut j) = (1.0, 1.0, k);
    while j < n && term > 1e-17 * sum {
        term *= (n - j) as f64 / (j + 1) as f64 * odds;
        sum += term;
        j += 1;
    }
    ln_first.exp() * sum
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ends_without_and_with_only_hits() {
        // P(X = 0 | p) = (1 − p)ⁿ.
        let none = clopper_pearson(0, 20, 0.9).unwrap();
        assert_eq!(none.low, 0.0);
        assert!((none.high - (1.0 - 0.05f64.powf(1.0 / 20.0))).abs() < 1e-14);
        let all = clopper_pearson(20, 20, 0.9).unwrap();
        assert_eq!(all.high, 1.0);
        assert!((all.low - 0.05f64.powf(1.0 / 20.0)).abs() < 1e-14);
    }

    /// Without an event the bound is 1 − δ^(1/n).
    #[test]
    fn bounds_of_rare_events() {
        for (trials, tail) in [(1usize, 0.05), (50, 0.05), (100_000, 0.001)] {
            let exact = 1.0 - f64::powf(tail, 1.0 / trials as f64);
            assert!((upper_bound(0, trials, tail) - exact).abs() < 1e-9);
        }
        assert_eq!(upper_bound(5, 5, 0.05), 1.0);
        // Half of the error rate of the two-sided interval is on this side.
        assert_eq!(upper_bound(3, 50, 0.05), clopper_pearson(3, 50, 0.9).unwrap().high);
    }

    #[test]
    fn bad_counts_are_named() {
        let error = clopper_pearson(3, 2, 0.9).unwrap_err().to_string();
        assert_eq!(error, "number of hits must be at most 2, that of the trials, but is 3");
        assert!(clopper_pearson(0, 0, 0.9).is_err() && clopper_pearson(0, 1, 1.0).is_err());
    }
}
