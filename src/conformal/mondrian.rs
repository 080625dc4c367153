//! Conformal quantiles by group.
use super::{
    inputs::{check_alpha, check_rows, check_scores},
    quantile::upper_quantile,
    WeightedScores,
};
use crate::{codec::real, Error, Result};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// A conformal quantile with the number of its scores.
///
/// # Examples
/// ```
/// use candle_ensemble::conformal::ScoreQuantiles;
///
/// let quantiles = ScoreQuantiles::fit(&[1.0, 2.0, 3.0], None, 0.5)?;
/// assert_eq!((quantiles.of(None)?.rows, quantiles.of(None)?.quantile), (3, 2.0));
/// # Ok::<(), candle_ensemble::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct ScoreQuantile {
    /// Number of calibration rows.
    pub rows: usize,
    /// The quantile; infinite where the rows are too few.
    #[serde(with = "real")]
    pub quantile: f64,
}

/// The conformal quantile of all scores, or one for each group of rows (Mondrian conformal prediction).
///
/// ```text
/// q_g = the conformal quantile of { sᵢ : group of row i is g }
/// ```
///
/// A common quantile has the coverage `1 − α` on average over all rows, and may have much less in some
/// groups. With a quantile for each group, the coverage holds in each group. Groups are numbers of any kind
/// that are known for new rows too: a site, a range of an input, or, for classes, the class itself. They must
/// be fixed before the calibration rows are looked at.
///
/// **Few rows.** A group with fewer rows than [`rows_needed`](super::rows_needed()) has an infinite quantile,
/// and so has a group that no calibration row is in. Its intervals are infinite and its sets have all
/// classes. This is not an error, because a single new row of a rare group would make the prediction of all
/// rows fail. It is also the only answer that has the guarantee. [`ScoreQuantiles::too_few`] lists the
/// groups. Join rare groups before the fit, if their intervals are of no use.
///
/// The cost is `O(n log g)` for `n` scores and `g` groups.
///
/// # Examples
/// ```
/// use candle_ensemble::conformal::ScoreQuantiles;
///
/// let (scores, groups) = ([1.0, 2.0, 3.0, 10.0], [7, 7, 7, 8]);
/// let quantiles = ScoreQuantiles::fit(&scores, Some(&groups), 0.25)?;
/// assert_eq!(quantiles.of(Some(7))?.quantile, 3.0);
/// assert_eq!(quantiles.of(Some(8))?.quantile, f64::INFINITY);
/// assert_eq!(quantiles.too_few(), [8]);
/// # Ok::<(), candle_ensemble::Error>(())
/// ```
///
/// Source: Vovk, Lindsay, Nouretdinov and Gammerman 2003, "Mondrian confidence machine"; Vovk 2012,
/// arXiv:1209.2673.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ScoreQuantiles(Kind);

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Kind {
    Common(ScoreQuantile),
    ByGroup(BTreeMap<u32, ScoreQuantile>),
}

impl ScoreQuantiles {
    /// The quantile of all scores, or that of each group if there are group numbers.
    ///
    /// # Errors
    /// When the numbers of scores and groups differ, a score is NaN, or `alpha` is not above 0 and below 1.
    pub fn fit(scores: &[f64], groups: Option<&[u32]>, alpha: f64) -> Result<Self> {
        check_alpha(alpha)?;
        check_scores(scores)?;
        let quantile = |mut scores: Vec<f64>| ScoreQuantile {
            rows: scores.len(),
            quantile: upper_quantile(&mut scores, alpha),
        };
        let Some(groups) = groups else { return Ok(Self(Kind::Common(quantile(scores.to_vec())))) };
        check_rows("group numbers", groups.len(), scores.len())?;
        let mut by_group = BTreeMap::<u32, Vec<f64>>::new();
        for (group, score) in groups.iter().zip(scores) {
            by_group.entry(*group).or_default().push(*score);
        }
        let quantiles = by_group.into_iter().map(|(group, scores)| (group, quantile(scores)));
        Ok(Self(Kind::ByGroup(quantiles.collect())))
    }

    /// The quantile of all scores for new rows of **new groups**, where the rows of a group share their errors: patients
    /// with several images, documents with several sentences.
    ///
    /// ```text
    /// q = the least score s with Σ { 1/n_g : sᵢ ≤ s } ≥ (1 − α)(G + 1);  ∞ where there is none
    /// ```
    ///
    /// `G` is the number of groups, and `n_g` that of the rows in the group of row `i`. Groups count alike, whatever their
    /// number of rows. The guarantee is the usual one for a random row of a new group, as long as the groups are
    /// exchangeable: `1/α − 1` groups are needed for a finite quantile, however many rows they have.
    ///
    /// # Errors
    /// When the numbers of scores and groups differ, a score is NaN, or `alpha` is not above 0 and below 1.
    ///
    /// ```
    /// use candle_ensemble::conformal::ScoreQuantiles;
    ///
    /// // Two of the three groups have scores up to 2.
    /// let quantiles = ScoreQuantiles::fit_for_new_groups(&[1.0, 2.0, 2.0, 9.0], &[0, 0, 1, 2], 0.5)?;
    /// assert_eq!(quantiles.of(None)?.quantile, 2.0);
    /// # Ok::<(), candle_ensemble::Error>(())
    /// ```
    ///
    /// Source: Lee, Barber and Willett 2023, arXiv:2306.06342.
    pub fn fit_for_new_groups(scores: &[f64], groups: &[u32], alpha: f64) -> Result<Self> {
        check_alpha(alpha)?;
        check_rows("group numbers", groups.len(), scores.len())?;
        let mut counts = BTreeMap::<u32, f64>::new();
        for group in groups {
            *counts.entry(*group).or_default() += 1.0;
        }
        let weights: Vec<f64> = groups.iter().filter_map(|g| Some(1.0 / counts.get(g)?)).collect();
        let quantile = WeightedScores::new(scores, &weights)?.quantile(1.0, alpha)?;
        Ok(Self(Kind::Common(ScoreQuantile { rows: scores.len(), quantile })))
    }

    /// Whether there is a quantile for each group.
    #[must_use]
    pub fn by_group(&self) -> bool {
        matches!(self.0, Kind::ByGroup(_))
    }

    /// The quantile of a group, or that of all rows, if there are no groups. That of a group that no
    /// calibration row is in is infinite, with 0 rows.
    ///
    /// # Errors
    /// When a group is given and the quantiles were fitted without groups, or the reverse.
    pub fn of(&self, group: Option<u32>) -> Result<ScoreQuantile> {
        match (&self.0, group) {
            (Kind::Common(quantile), None) => Ok(*quantile),
            (Kind::ByGroup(quantiles), Some(group)) => Ok(of_group(quantiles, group)),
            (Kind::Common(_), Some(group)) => Err(superfluous("group of the new row", group)),
            (Kind::ByGroup(_), None) => Err(missing("group of the new row")),
        }
    }

    /// The quantile for each of `rows` new rows.
    pub(super) fn of_rows(&self, rows: usize, groups: Option<&[u32]>) -> Result<Vec<f64>> {
        match (&self.0, groups) {
            (Kind::Common(quantile), None) => Ok(vec![quantile.quantile; rows]),
            (Kind::ByGroup(quantiles), Some(groups)) => {
                check_rows("group numbers", groups.len(), rows)?;
                Ok(groups.iter().map(|group| of_group(quantiles, *group).quantile).collect())
            }
            (Kind::Common(_), Some(groups)) => {
                Err(superfluous("groups of the new rows", format!("of length {}", groups.len())))
            }
            (Kind::ByGroup(_), None) => Err(missing("groups of the new rows")),
        }
    }

    /// The group numbers of the calibration rows, in ascending order, with their quantiles. It is empty
    /// without groups.
    pub fn groups(&self) -> impl Iterator<Item = (u32, ScoreQuantile)> + '_ {
        let quantiles = match &self.0 {
            Kind::Common(_) => None,
            Kind::ByGroup(quantiles) => Some(quantiles),
        };
        quantiles.into_iter().flatten().map(|(group, quantile)| (*group, *quantile))
    }

    /// The groups whose rows are too few for a finite quantile, in ascending order.
    #[must_use]
    pub fn too_few(&self) -> Vec<u32> {
        self.groups()
            .filter(|(_, quantile)| quantile.quantile == f64::INFINITY)
            .map(|(group, _)| group)
            .collect()
    }
}

fn of_group(quantiles: &BTreeMap<u32, ScoreQuantile>, group: u32) -> ScoreQuantile {
    quantiles.get(&group).copied().unwrap_or(ScoreQuantile { rows: 0, quantile: f64::INFINITY })
}

fn superfluous(what: &str, got: impl std::fmt::Display) -> Error {
    Error::invalid(what, "left out, as the calibration rows had no groups", got)
}

fn missing(what: &str) -> Error {
    Error::invalid(what, "given, as the calibration rows had groups", "missing")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_group_without_calibration_rows_has_an_infinite_quantile() {
        let quantiles = ScoreQuantiles::fit(&[1.0, 2.0], Some(&[3, 3]), 0.5).unwrap();
        assert_eq!(quantiles.of_rows(2, Some(&[3, 4])).unwrap(), [2.0, f64::INFINITY]);
        assert_eq!(quantiles.of(Some(4)).unwrap().rows, 0);
        assert!(quantiles.too_few().is_empty());
    }

    #[test]
    fn groups_are_given_in_both_places_or_in_none() {
        let grouped = ScoreQuantiles::fit(&[1.0], Some(&[0]), 0.5).unwrap();
        let error = grouped.of_rows(1, None).unwrap_err().to_string();
        assert_eq!(
            error,
            "groups of the new rows must be given, as the calibration rows had groups, but is missing"
        );
        let common = ScoreQuantiles::fit(&[1.0], None, 0.5).unwrap();
        assert!(common.of_rows(1, Some(&[0])).is_err() && common.of(Some(0)).is_err());
        assert!(grouped.of(None).is_err() && grouped.of_rows(2, Some(&[0])).is_err());
        assert!(ScoreQuantiles::fit(&[1.0], Some(&[0, 1]), 0.5).is_err());
        assert_eq!(common.groups().count(), 0);
    }

    /// Groups of one row each are rows.
    #[test]
    fn new_groups_of_one_row_each_have_the_quantile_of_rows() {
        let scores = [3.0, 1.0, 4.0, 1.5, 9.0, 2.6];
        for alpha in [0.1, 0.15, 0.3, 0.5, 0.8] {
            let rows = ScoreQuantiles::fit(&scores, None, alpha).unwrap();
            let groups = ScoreQuantiles::fit_for_new_groups(&scores, &[5, 4, 3, 2, 1, 0], alpha).unwrap();
            assert_eq!(groups, rows, "{alpha}");
        }
        assert!(ScoreQuantiles::fit_for_new_groups(&scores, &[1], 0.1).is_err());
    }

    proptest! {
        #[test]
        fn each_group_has_the_quantile_of_its_own_scores(
            rows in prop::collection::vec((0u32..4, -50i32..50), 1..80),
            alpha in 0.05f64..0.95,
        ) {
            let groups: Vec<u32> = rows.iter().map(|(group, _)| *group).collect();
            let scores: Vec<f64> = rows.iter().map(|(_, score)| f64::from(*score)).collect();
            let quantiles = ScoreQuantiles::fit(&scores, Some(&groups), alpha).unwrap();
            for group in 0..4 {
                let own: Vec<f64> =
                    rows.iter().filter(|(g, _)| *g == group).map(|(_, score)| f64::from(*score)).collect();
                let found = quantiles.of(Some(group)).unwrap();
                prop_assert_eq!(found.quantile, crate::conformal::conformal_quantile(&own, alpha).unwrap());
                prop_assert_eq!(found.rows, own.len());
            }
        }
    }
}
