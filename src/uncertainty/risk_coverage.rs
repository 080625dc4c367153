//! Selective prediction: the error of the rows of which a predictor is surest.
use crate::{codec::real, statistics::upper_bound, Error, Result};
use serde::{Deserialize, Serialize};

/// The risk of a predictor that abstains from the rows of which it is least certain, for every share of rows that it
/// predicts.
///
/// ```text
/// risk(c) = mean loss of the share c of the rows with the least uncertainty        AURC = ∫ risk(c) dc
/// ```
///
/// The losses are those of rows on which nothing was fitted: 1 for a wrong class and 0 for a right one, or any other loss of
/// 0 or more. Rows with the same uncertainty are in no order: a part of them has their mean loss.
///
/// Use it to compare uncertainties by what they are good for. The area depends on the predictor's error too;
/// [`excess`](Self::excess) is the part that a perfect order of the rows would remove.
///
/// Cost: `O(N log N)`.
///
/// # Examples
/// ```
/// use candle_ensemble::uncertainty::RiskCoverage;
///
/// // The two rows of which it is surest are right.
/// let curve = RiskCoverage::new(&[0.1, 0.2, 0.3, 0.4], &[0., 0., 1., 0.])?;
/// assert_eq!(curve.risk(0.5)?, 0.);
/// assert_eq!(curve.risk(1.)?, 0.25);
/// assert_eq!(curve.threshold(0.25).map(|point| point.coverage), Some(1.));
/// # Ok::<(), candle_ensemble::Error>(())
/// ```
///
/// Sources: El-Yaniv and Wiener 2010, <https://jmlr.org/papers/v11/el-yaniv10a.html>; Geifman, Uziel and El-Yaniv 2019,
/// arXiv:1805.08206.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RiskCoverage {
    /// One for each different uncertainty, from the least on.
    points: Vec<RiskCoveragePoint>,
    losses: Vec<f64>,
}

/// A point of a curve of risk and coverage.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct RiskCoveragePoint {
    /// Rows up to this uncertainty are predicted.
    #[serde(with = "real")]
    pub uncertainty: f64,
    /// Their number.
    pub rows: usize,
    /// Their share.
    pub coverage: f64,
    /// Their mean loss.
    pub risk: f64,
}

/// A threshold with a guarantee.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct SelectiveThreshold {
    /// Rows up to this uncertainty are predicted.
    #[serde(with = "real")]
    pub uncertainty: f64,
    /// Their share of the rows on which the threshold was found.
    pub coverage: f64,
    /// Their share of wrong rows.
    pub risk: f64,
    /// With the wished-for confidence, the risk of new rows is at most this.
    pub bound: f64,
}

impl RiskCoverage {
    /// The curve for the uncertainty and the loss of each row.
    ///
    /// # Errors
    /// When there are no rows, the lists differ in length, an uncertainty is NaN, or a loss is negative or not finite.
    pub fn new(uncertainty: &[f64], losses: &[f64]) -> Result<Self> {
        if uncertainty.is_empty() {
            return Err(Error::invalid("number of rows", "at least 1", 0));
        }
        if losses.len() != uncertainty.len() {
            let must = format!("{}, one for each uncertainty", uncertainty.len());
            return Err(Error::invalid("number of losses", must, losses.len()));
        }
        if let Some(row) = uncertainty.iter().position(|u| u.is_nan()) {
            return Err(Error::invalid(format!("uncertainty of row {row}"), "a number", f64::NAN));
        }
        if let Some((row, loss)) =
            losses.iter().enumerate().find(|(_, loss)| !(loss.is_finite() && **loss >= 0.))
        {
            return Err(Error::invalid(format!("loss of row {row}"), "finite, and 0 or more", loss));
        }
        let mut rows: Vec<(f64, f64)> = uncertainty.iter().copied().zip(losses.iter().copied()).collect();
        rows.sort_unstable_by(|(a, v), (b, w)| a.total_cmp(b).then(v.total_cmp(w)));
        let (all, mut points, mut sum, mut count) = (rows.len() as f64, vec![], 0., 0);
        for equal in rows.chunk_by(|(a, _), (b, _)| a == b) {
            sum += equal.iter().map(|(_, loss)| loss).sum::<f64>();
            count += equal.len();
            points.extend(equal.last().map(|(uncertainty, _)| RiskCoveragePoint {
                uncertainty: *uncertainty,
                rows: count,
                coverage: count as f64 / all,
                risk: sum / count as f64,
            }));
        }
        let mut losses = losses.to_vec();
        losses.sort_unstable_by(f64::total_cmp);
        Ok(Self { points, losses })
    }

    /// The points of the curve, one for each different uncertainty, from the least coverage to 1.
    #[must_use]
    pub fn points(&self) -> &[RiskCoveragePoint] {
        &self.points
    }

    fn rows(&self) -> usize {
        self.losses.len()
    }

    /// The mean loss of this share of the rows, which is above 0 and at most 1.
    ///
    /// # Errors
    /// When the share is not in this range.
    pub fn risk(&self, coverage: f64) -> Result<f64> {
        if !(coverage > 0. && coverage <= 1.) {
            return Err(Error::invalid("coverage", "above 0 and at most 1", coverage));
        }
        Ok(self.risk_of(coverage * self.rows() as f64))
    }

    /// The mean loss of the first rows, which may be a part of the last one.
    fn risk_of(&self, rows: f64) -> f64 {
        let after = self.points.partition_point(|point| (point.rows as f64) < rows);
        let sum = |point: &RiskCoveragePoint| point.risk * point.rows as f64;
        let before = after.checked_sub(1).and_then(|before| self.points.get(before));
        let (done, sum_before) = before.map_or((0., 0.), |point| (point.rows as f64, sum(point)));
        match self.points.get(after) {
            Some(point) => {
                let mean = (sum(point) - sum_before) / (point.rows as f64 - done);
                (sum_before + mean * (rows - done)) / rows
            }
            None => sum_before / done,
        }
    }

    /// The area under the curve: the mean of the risks of the surest 1, 2, …, N rows.
    #[must_use]
    pub fn aurc(&self) -> f64 {
        (1..=self.rows()).map(|rows| self.risk_of(rows as f64)).sum::<f64>() / self.rows() as f64
    }

    /// The area beyond that of the best order of the rows, in which the smallest losses come first; 0 or more.
    #[must_use]
    pub fn excess(&self) -> f64 {
        let mut sum = 0.;
        let best = self.losses.iter().enumerate().map(|(row, loss)| {
            sum += loss;
            sum / (row + 1) as f64
        });
        (self.aurc() - best.sum::<f64>() / self.rows() as f64).max(0.)
    }

    /// The point with the largest coverage whose risk is at most this; `None` if there is none. The risk of new rows may be
    /// larger; [`guaranteed`](Self::guaranteed) takes that into account.
    #[must_use]
    pub fn threshold(&self, risk: f64) -> Option<RiskCoveragePoint> {
        self.points.iter().rev().find(|point| point.risk <= risk).copied()
    }

    /// The threshold with a large coverage for which, with probability `1 − delta` over the rows on which it is found, the
    /// risk of new rows of the same kind is at most `risk`. `None` if there is none. The losses are 0 or 1.
    ///
    /// The search halves the thresholds, at most `k = ⌈log₂ N⌉` times. Each of them is bounded at `delta / k` by the exact
    /// bound of Clopper and Pearson for a share of errors, so that all of them hold together. The guarantee assumes that the
    /// true risk rises with the uncertainty, so that the search takes the same way until a bound fails; and rows that are
    /// independent of each other.
    ///
    /// # Errors
    /// When a loss is neither 0 nor 1, or `risk` or `delta` is not between 0 and 1.
    ///
    /// ```
    /// use candle_ensemble::uncertainty::RiskCoverage;
    ///
    /// // Of 400 rows the 300 surest are right, and every second one of the others is wrong.
    /// let uncertainty: Vec<f64> = (0..400).map(f64::from).collect();
    /// let losses: Vec<f64> = (0..400).map(|row| f64::from(row >= 300 && row % 2 == 0)).collect();
    /// let found = RiskCoverage::new(&uncertainty, &losses)?.guaranteed(0.05, 0.05)?.expect("a threshold");
    /// assert!(found.coverage > 0.7 && found.bound <= 0.05);
    /// # Ok::<(), candle_ensemble::Error>(())
    /// ```
    ///
    /// Source: Geifman and El-Yaniv 2017, arXiv:1705.08500, algorithm 1.
    pub fn guaranteed(&self, risk: f64, delta: f64) -> Result<Option<SelectiveThreshold>> {
        for (name, value) in [("the wished-for risk", risk), ("delta", delta)] {
            if !(value > 0. && value < 1.) {
                return Err(Error::invalid(name, "between 0 and 1", value));
            }
        }
        if let Some(loss) = self.losses.iter().find(|loss| **loss != 0. && **loss != 1.) {
            return Err(Error::invalid("loss", "0 or 1 for a guarantee", loss));
        }
        let steps = (self.points.len() as f64).log2().ceil().max(1.) as usize;
        let (mut least, mut most, mut found) = (0, self.points.len(), None);
        for _ in 0..steps {
            // The points below `least` have a bound that is small enough; `most` and those above were not.
            let Some(point) = self.points.get(least + (most - least) / 2).filter(|_| least < most) else {
                break;
            };
            let errors = (point.risk * point.rows as f64).round();
            let bound = upper_bound(errors as usize, point.rows, delta / steps as f64);
            if bound <= risk {
                least += (most - least) / 2 + 1;
                let RiskCoveragePoint { uncertainty, coverage, risk, .. } = *point;
                found = Some(SelectiveThreshold { uncertainty, coverage, risk, bound });
            } else {
                most = least + (most - least) / 2;
            }
        }
        Ok(found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Seed;
    use proptest::prelude::*;
    use rand::Rng;

    #[test]
    fn the_area_is_that_computed_by_hand() {
        let curve = RiskCoverage::new(&[0.3, 0.1, 0.2], &[1., 0., 1.]).unwrap();
        // Risks 0, 1/2, 2/3.
        assert!((curve.aurc() - (0.5 + 2. / 3.) / 3.).abs() < 1e-12);
        // It is the best order already.
        assert_eq!(curve.excess(), 0.);
        // The worst order: risks 1, 1, 2/3.
        let worst = RiskCoverage::new(&[0.2, 0.3, 0.1], &[1., 0., 1.]).unwrap();
        assert!((worst.excess() - (2. + 2. / 3. - 0.5 - 2. / 3.) / 3.).abs() < 1e-12);
        // Rows in no order have their mean risk at any coverage.
        let none = RiskCoverage::new(&[1.; 4], &[1., 0., 0., 0.]).unwrap();
        assert_eq!((none.aurc(), none.risk(0.3).unwrap(), none.points().len()), (0.25, 0.25, 1));
    }

    proptest! {
        #[test]
        fn the_order_of_the_rows_does_not_count(
            mut rows in prop::collection::vec((0u8..5, 0u8..3), 1..30),
            seed: u64,
        ) {
            use rand::seq::SliceRandom;
            let curve = |rows: &[(u8, u8)]| {
                let of = |f: fn(&(u8, u8)) -> u8| rows.iter().map(|r| f64::from(f(r))).collect::<Vec<_>>();
                RiskCoverage::new(&of(|r| r.0), &of(|r| r.1)).unwrap()
            };
            let before = curve(&rows);
            let mean = rows.iter().map(|r| f64::from(r.1)).sum::<f64>() / rows.len() as f64;
            prop_assert!((before.risk(1.).unwrap() - mean).abs() < 1e-12);
            rows.shuffle(&mut Seed::from(seed).rng());
            prop_assert_eq!(&before, &curve(&rows));
            prop_assert!(before.excess() >= 0.);
        }
    }

    /// The risk of new rows exceeds the wished-for one in at most `delta` of the repeats: 200 of them, at most 5 % + 3 standard
    /// errors.
    #[test]
    fn the_guarantee_holds_over_repeats() {
        let (risk, delta, repeats) = (0.1, 0.05, 200);
        let (mut broken, mut found) = (0, 0);
        for repeat in 0..repeats {
            let mut rng = Seed::from(7).nth("repeat", repeat).rng();
            // A row of uncertainty u is wrong with probability u / 2, so the risk up to t is t / 4.
            let uncertainty: Vec<f64> = (0..3000).map(|_| rng.random_range(0.0..1.0)).collect();
            let losses: Vec<f64> =
                uncertainty.iter().map(|u| f64::from(rng.random_range(0.0..1.0) < u / 2.)).collect();
            let curve = RiskCoverage::new(&uncertainty, &losses).unwrap();
            if let Some(threshold) = curve.guaranteed(risk, delta).unwrap() {
                found += 1;
                broken += usize::from(threshold.uncertainty / 4. > risk);
            }
        }
        assert!(found > repeats as usize * 9 / 10, "{found}");
        let share = broken as f64 / repeats as f64;
        assert!(share <= delta + 3. * (delta * (1. - delta) / repeats as f64).sqrt(), "{share}");
    }

    #[test]
    fn numbers_that_do_not_fit_are_errors() {
        assert!(RiskCoverage::new(&[], &[]).is_err() && RiskCoverage::new(&[1.], &[]).is_err());
        assert!(RiskCoverage::new(&[f64::NAN], &[0.]).is_err() && RiskCoverage::new(&[0.], &[-1.]).is_err());
        let curve = RiskCoverage::new(&[0.1, 0.2], &[0., 0.5]).unwrap();
        assert!(curve.risk(0.).is_err() && curve.risk(1.1).is_err() && curve.guaranteed(0.1, 0.05).is_err());
        assert_eq!(curve.threshold(0.1).map(|p| p.rows), Some(1));
        assert!(RiskCoverage::new(&[0.1], &[1.]).unwrap().threshold(0.5).is_none());
    }
}
