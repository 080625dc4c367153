//! Jackknife+-after-bootstrap.
use super::{
    aggregation::Aggregation,
    cross::{check_table, CrossConformal, CrossMethod},
};
use crate::{Error, Result};

impl CrossConformal {
    /// Fits the jackknife+-after-bootstrap: intervals from the members of bagging, without another fit.
    ///
    /// ```text
    /// μ₋ᵢ = the members whose bootstrap sample does not have row i, aggregated
    /// ```
    ///
    /// `predictions` are the `(M, N)` predictions of `members` members for `N` rows (row-major), and `in_bag`
    /// says for each whether the row is in the sample of the member. Predictions for rows in the bag are not
    /// read and may be NaN. [`CrossConformal::fit`] does the same with NaN for the rows in the bag.
    ///
    /// The cost of an ensemble of M members is that of bagging, where the jackknife+ fits `N` networks. The
    /// guarantee of [`CrossMethod::Plus`] is `1 − 2α` if the number of members was drawn from a binomial
    /// distribution with the parameters `M̃` and `(1 − 1/(N + 1))^N` (for samples with replacement, of size
    /// N). With a fixed number of members, as is usual, there is no exact guarantee; in the experiments of the
    /// paper the coverage is close to `1 − α`.
    ///
    /// A row that is in the bag of each member is left out. With bootstrap samples as large as the data, that
    /// is a share of `0.63^M`: 1% with 10 members.
    ///
    /// # Errors
    /// When there are no members or no rows, the lengths differ, a prediction out of the bag or a target is
    /// not finite, each row is in the bag of each member, or `alpha` is not above 0 and below 1.
    ///
    /// # Examples
    /// ```
    /// use candle_ensemble::conformal::{Aggregation, CrossConformal, CrossMethod};
    ///
    /// // Three members, three rows; row 2 is out of the bag of members 0 and 1.
    /// let predictions = [1.0, 2.0, 3.0, 1.5, 2.5, 4.0, 0.5, 2.0, 9.0];
    /// let in_bag = [true, true, false, true, false, false, false, true, true];
    /// let (mean, plus) = (Aggregation::Mean, CrossMethod::Plus);
    /// let targets = [1.0, 3.0, 4.0];
    /// let fitted = CrossConformal::after_bootstrap(&predictions, &in_bag, 3, &targets, mean, plus, 0.25)?;
    /// // All residuals are 0.5: of member 2, of member 1, and of the mean of members 0 and 1.
    /// let intervals = fitted.predict(&[10.0, 20.0, 30.0])?;
    /// assert_eq!((intervals[0].low, intervals[0].high), (15.0 - 0.5, 30.0 + 0.5));
    /// # Ok::<(), candle_ensemble::Error>(())
    /// ```
    ///
    /// Source: Kim, Xu and Barber 2020, arXiv:2002.09025.
    pub fn after_bootstrap(
        predictions: &[f64],
        in_bag: &[bool],
        members: usize,
        targets: &[f64],
        aggregation: Aggregation,
        method: CrossMethod,
        alpha: f64,
    ) -> Result<Self> {
        check_table("predictions", predictions, members, targets.len())?;
        if in_bag.len() != predictions.len() {
            let must = format!("{}, one for each prediction", predictions.len());
            return Err(Error::invalid("length of the in-bag mask", must, in_bag.len()));
        }
        let held_out = predictions.iter().zip(in_bag).enumerate().map(|(at, (p, in_bag))| match in_bag {
            true => Ok(f64::NAN),
            false if p.is_finite() => Ok(*p),
            false => {
                let (member, row) = (at / targets.len(), at % targets.len());
                Err(Error::invalid(format!("prediction of member {member} for row {row}"), "finite", p))
            }
        });
        let held_out: Vec<f64> = held_out.collect::<Result<_>>()?;
        Self::fit(&held_out, members, targets, aggregation, method, alpha)
    }
}
