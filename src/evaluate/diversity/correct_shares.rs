//! How many members are right on how many rows.
use crate::{Error, Result};

/// The share of the rows on which exactly `l` of `L` members are right, for `l = 0 … L`: what the measures of
/// a whole group are computed from.
///
/// ```
/// use candle_ensemble::evaluate::diversity::CorrectShares;
///
/// // Three members: all wrong on 1 row, one right on 2, two right on 3, all right on 4.
/// let shares = CorrectShares::new(&[1., 2., 3., 4.])?;
/// assert_eq!(shares.members(), 3);
/// assert_eq!(shares.shares(), [0.1, 0.2, 0.3, 0.4]);
/// assert!((shares.accuracy() - 2. / 3.).abs() < 1e-15);
/// # Ok::<(), candle_ensemble::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct CorrectShares {
    shares: Vec<f64>,
}

impl CorrectShares {
    /// The shares from counts of rows, sums of weights or shares, in the order of `l`; they are divided by
    /// their sum.
    ///
    /// # Errors
    /// When there are fewer than two numbers, one is negative or not finite, or all are 0.
    pub fn new(counts: &[f64]) -> Result<Self> {
        if counts.len() < 2 {
            let must = "at least 2, for none and for all of at least one member";
            return Err(Error::invalid("number of counts", must, counts.len()));
        }
        if let Some(l) = counts.iter().position(|x| !x.is_finite() || *x < 0.) {
            let what = format!("count of rows with {l} members right");
            return Err(Error::invalid(what, "finite and not negative", counts[l]));
        }
        let total: f64 = counts.iter().sum();
        if total <= 0. || !total.is_finite() {
            return Err(Error::invalid("sum of the counts", "positive and finite", total));
        }
        Ok(Self { shares: counts.iter().map(|x| x / total).collect() })
    }

    /// The share of rows for each number of members that are right, from 0 to `L`.
    #[must_use]
    pub fn shares(&self) -> &[f64] {
        &self.shares
    }

    /// The number of members, `L`.
    #[must_use]
    pub fn members(&self) -> usize {
        self.shares.len() - 1
    }

    /// The mean accuracy of the members, `p̄`.
    #[must_use]
    pub fn accuracy(&self) -> f64 {
        self.mean(|right, members| right / members)
    }

    /// The mean over the rows of `f(l, L)`.
    pub(super) fn mean(&self, f: impl Fn(f64, f64) -> f64) -> f64 {
        let members = self.members() as f64;
        self.shares.iter().enumerate().map(|(right, share)| share * f(right as f64, members)).sum()
    }
}
