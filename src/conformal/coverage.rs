//! The coverage and the size of prediction intervals and sets.
use super::{inputs::check_rows, PredictionInterval, PredictionSets};
use crate::{
    codec::real,
    statistics::{clopper_pearson, Interval},
    Error, Result,
};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The coverage of some rows.
///
/// # Examples
/// ```
/// use candle_ensemble::conformal::coverage;
///
/// let found = coverage(&[true, true, false, true], 0.95)?;
/// assert_eq!((found.rows, found.share.estimate), (4, 0.75));
/// # Ok::<(), candle_ensemble::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Coverage {
    /// Number of rows.
    pub rows: usize,
    /// The share of rows whose interval or set contains the target, with its exact confidence interval
    /// ([`clopper_pearson`]).
    pub share: Interval,
}

/// Computes the coverage: the share of rows whose interval or set contains the target.
///
/// `covered` says so for each row: it comes from [`intervals_contain`](super::intervals_contain()) or
/// [`PredictionSets::contain`]. `level` is that of the confidence interval of the share.
///
/// The rows must be neither calibration rows nor rows of the fit. The confidence interval is about the
/// coverage of this one calibration. The guarantee `1 − α` is an average over calibrations. So an interval
/// below `1 − α` does not refute it where the calibration rows are few: of `n`, they make the coverage vary
/// with a standard deviation of `√(α(1 − α)/(n + 2))`.
///
/// # Errors
/// When there are no rows, or `level` is not above 0 and below 1.
///
/// # Examples
/// ```
/// use candle_ensemble::conformal::{coverage, intervals_contain, PredictionInterval};
///
/// let intervals = [PredictionInterval { low: 0.0, high: 1.0 }; 4];
/// let found = coverage(&intervals_contain(&intervals, &[0.5, 1.0, 1.5, 0.0])?, 0.95)?;
/// assert_eq!(found.share.estimate, 0.75);
/// assert!(found.share.contains(0.9));
/// # Ok::<(), candle_ensemble::Error>(())
/// ```
pub fn coverage(covered: &[bool], level: f64) -> Result<Coverage> {
    let hits = covered.iter().filter(|covered| **covered).count();
    if covered.is_empty() {
        return Err(Error::invalid("number of rows", "at least 1", 0));
    }
    Ok(Coverage { rows: covered.len(), share: clopper_pearson(hits, covered.len(), level)? })
}

/// Computes the coverage of each group of rows, by ascending group number.
///
/// The group may be anything that is known of the rows: the label, which gives the class-conditional
/// coverage, the prediction, or a range of an input. With many groups, some are far from `1 − α` by chance;
/// the confidence intervals, at a level of `1 − 0.05/groups`, say which are not.
///
/// # Errors
/// When there are no rows, the lengths differ, or `level` is not above 0 and below 1.
///
/// # Examples
/// ```
/// use candle_ensemble::conformal::coverage_by_group;
///
/// let found = coverage_by_group(&[true, true, false, true], &[1, 1, 2, 2], 0.95)?;
/// assert_eq!((found[&1].share.estimate, found[&2].share.estimate), (1.0, 0.5));
/// # Ok::<(), candle_ensemble::Error>(())
/// ```
pub fn coverage_by_group(covered: &[bool], groups: &[u32], level: f64) -> Result<BTreeMap<u32, Coverage>> {
    check_some(covered, groups.len(), "group numbers")?;
    let mut by_group = BTreeMap::<u32, Vec<bool>>::new();
    for (group, covered) in groups.iter().zip(covered) {
        by_group.entry(*group).or_default().push(*covered);
    }
    by_group.into_iter().map(|(group, covered)| Ok((group, coverage(&covered, level)?))).collect()
}

/// The coverage of the rows whose interval or set has a size in a range.
///
/// # Examples
/// ```
/// use candle_ensemble::conformal::coverage_by_size;
///
/// let strata = coverage_by_size(&[true, false], &[1.0, 2.0], 2, 0.95)?;
/// assert_eq!((strata[1].least, strata[1].greatest, strata[1].coverage.rows), (2.0, 2.0, 1));
/// # Ok::<(), candle_ensemble::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct SizeCoverage {
    /// The least size.
    #[serde(with = "real")]
    pub least: f64,
    /// The greatest size.
    #[serde(with = "real")]
    pub greatest: f64,
    /// The coverage.
    pub coverage: Coverage,
}

/// Computes the coverage by the size of the sets or the width of the intervals (size-stratified coverage).
///
/// The rows are put in ascending order of `sizes` and cut into at most `strata` parts of about equal numbers
/// of rows. Rows of equal size stay together, so that there may be fewer parts; with as many strata as rows,
/// each size has one of its own, as is usual for sets of classes.
///
/// Sizes that follow the difficulty of the rows have a coverage near `1 − α` in each part. A coverage that
/// rises with the size means that the narrow intervals are too narrow. The least coverage of all parts is the
/// size-stratified coverage of the paper; look at the numbers of rows too, since that of a small part is low
/// by chance.
///
/// # Errors
/// When there are no rows or no strata, the lengths differ, a size is NaN, or `level` is not above 0 and
/// below 1.
///
/// # Examples
/// ```
/// use candle_ensemble::conformal::coverage_by_size;
///
/// let (covered, sizes) = ([true, false, true, true, true], [1.0, 1.0, 3.0, 2.0, 2.0]);
/// let strata = coverage_by_size(&covered, &sizes, 5, 0.95)?;
/// let found: Vec<_> = strata.iter().map(|part| (part.least, part.coverage.share.estimate)).collect();
/// assert_eq!(found, [(1.0, 0.5), (2.0, 1.0), (3.0, 1.0)]);
/// # Ok::<(), candle_ensemble::Error>(())
/// ```
///
/// Source: Angelopoulos, Bates, Malik and Jordan 2021, arXiv:2009.14193, section 4.
pub fn coverage_by_size(
    covered: &[bool],
    sizes: &[f64],
    strata: usize,
    level: f64,
) -> Result<Vec<SizeCoverage>> {
    check_some(covered, sizes.len(), "sizes")?;
    if strata == 0 {
        return Err(Error::invalid("number of strata", "at least 1", 0));
    }
    if let Some(row) = sizes.iter().position(|size| size.is_nan()) {
        return Err(Error::invalid(format!("size of row {row}"), "a number", f64::NAN));
    }
    let mut rows: Vec<(f64, bool)> = sizes.iter().copied().zip(covered.iter().copied()).collect();
    rows.sort_unstable_by(|(a, _), (b, _)| a.total_cmp(b));
    let strata = strata.min(rows.len());
    let (mut found, mut part, mut seen) = (Vec::new(), Vec::new(), 0);
    for equal in rows.chunk_by(|(a, _), (b, _)| a == b) {
        // The part that is full at the row before.
        let before = seen * strata / rows.len();
        part.extend_from_slice(equal);
        seen += equal.len();
        if seen * strata / rows.len() > before {
            found.extend(of_part(&part, level)?);
            part.clear();
        }
    }
    Ok(found)
}

/// The coverage of rows in ascending order of their sizes; none without rows.
fn of_part(part: &[(f64, bool)], level: f64) -> Result<Option<SizeCoverage>> {
    let (Some((least, _)), Some((greatest, _))) = (part.first(), part.last()) else { return Ok(None) };
    let covered: Vec<bool> = part.iter().map(|(_, covered)| *covered).collect();
    Ok(Some(SizeCoverage { least: *least, greatest: *greatest, coverage: coverage(&covered, level)? }))
}

/// Computes the mean width of intervals. It is infinite if one is; an empty interval counts as 0.
///
/// Of two methods with the same coverage, the one with the less width says more.
///
/// # Errors
/// When there are no intervals.
///
/// # Examples
/// ```
/// use candle_ensemble::conformal::{mean_width, PredictionInterval};
///
/// let intervals = [PredictionInterval { low: 0.0, high: 1.0 }, PredictionInterval { low: 2.0, high: 5.0 }];
/// assert_eq!(mean_width(&intervals)?, 2.0);
/// # Ok::<(), candle_ensemble::Error>(())
/// ```
pub fn mean_width(intervals: &[PredictionInterval]) -> Result<f64> {
    if intervals.is_empty() {
        return Err(Error::invalid("number of intervals", "at least 1", 0));
    }
    Ok(intervals.iter().map(PredictionInterval::width).sum::<f64>() / intervals.len() as f64)
}

/// Computes the mean number of classes in prediction sets.
///
/// # Errors
/// When there are no sets.
///
/// # Examples
/// ```
/// use candle_ensemble::conformal::{mean_set_size, PredictionSets};
///
/// let sets = PredictionSets::new(vec![true, false, true, true], 2)?;
/// assert_eq!(mean_set_size(&sets)?, 1.5);
/// # Ok::<(), candle_ensemble::Error>(())
/// ```
pub fn mean_set_size(sets: &PredictionSets) -> Result<f64> {
    if sets.rows() == 0 {
        return Err(Error::invalid("number of prediction sets", "at least 1", 0));
    }
    let inside = sets.as_slice().iter().filter(|inside| **inside).count();
    Ok(inside as f64 / sets.rows() as f64)
}

fn check_some(covered: &[bool], values: usize, what: &str) -> Result<()> {
    if covered.is_empty() {
        return Err(Error::invalid("number of rows", "at least 1", 0));
    }
    check_rows(what, values, covered.len())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn strata_have_about_equal_numbers_of_rows() {
        let sizes: Vec<f64> = (0..10).map(f64::from).collect();
        let found = coverage_by_size(&[true; 10], &sizes, 3, 0.9).unwrap();
        let ends: Vec<_> = found.iter().map(|part| (part.least, part.greatest, part.coverage.rows)).collect();
        assert_eq!(ends, [(0.0, 3.0, 4), (4.0, 6.0, 3), (7.0, 9.0, 3)]);
        let ties = coverage_by_size(&[true; 6], &[1.0, 1.0, 1.0, 1.0, 1.0, 2.0], 3, 0.9).unwrap();
        let rows: Vec<_> = ties.iter().map(|part| part.coverage.rows).collect();
        assert_eq!(rows, [5, 1]);
        let infinite = coverage_by_size(&[true; 2], &[f64::INFINITY, 1.0], 2, 0.9).unwrap();
        assert_eq!(infinite[1].greatest, f64::INFINITY);
    }

    #[test]
    fn nothing_has_no_coverage() {
        assert!(coverage(&[], 0.9).is_err() && coverage_by_group(&[], &[], 0.9).is_err());
        assert!(
            coverage_by_size(&[], &[], 1, 0.9).is_err() && coverage_by_size(&[true], &[1.0], 0, 0.9).is_err()
        );
        assert!(coverage_by_size(&[true], &[f64::NAN], 1, 0.9).is_err());
        assert!(mean_width(&[]).is_err());
        assert!(mean_set_size(&PredictionSets::new(vec![], 2).unwrap()).is_err());
        assert!(coverage_by_group(&[true], &[1, 2], 0.9).is_err());
    }

    proptest! {
        #[test]
        fn strata_and_groups_have_each_row_once(
            rows in prop::collection::vec((any::<bool>(), 0u32..6), 1..60),
            strata in 1usize..80,
        ) {
            let covered: Vec<bool> = rows.iter().map(|(covered, _)| *covered).collect();
            let sizes: Vec<f64> = rows.iter().map(|(_, size)| f64::from(*size)).collect();
            let groups: Vec<u32> = rows.iter().map(|(_, size)| *size).collect();
            let all = coverage(&covered, 0.9).unwrap();
            let by_size = coverage_by_size(&covered, &sizes, strata, 0.9).unwrap();
            let parts: Vec<Coverage> = by_size.iter().map(|part| part.coverage).collect();
            prop_assert!(parts.len() <= strata);
            prop_assert!(by_size.windows(2).all(|pair| pair[0].greatest < pair[1].least));
            let by_group = coverage_by_group(&covered, &groups, 0.9).unwrap();
            for parts in [parts, by_group.values().copied().collect()] {
                prop_assert_eq!(parts.iter().map(|part| part.rows).sum::<usize>(), all.rows);
                let hits: f64 = parts.iter().map(|part| part.share.estimate * part.rows as f64).sum();
                prop_assert!((hits - all.share.estimate * all.rows as f64).abs() < 1e-9);
            }
            if strata >= rows.len() {
                prop_assert_eq!(by_size.len(), by_group.len());
            }
        }
    }
}
