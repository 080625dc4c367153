//! The comparison of several methods over several data sets.
use super::{inputs::check_finite, interval::check_level, tails::normal_two_sided};
use crate::{
    statistics::{
        friedman_test, holm, nemenyi_critical_difference, nemenyi_p_value, wilcoxon_test, Friedman,
        TestResult, ZeroDifferences,
    },
    Error, Result,
};
use serde::{Deserialize, Serialize};

/// The test with which [`RankTest`] compares two methods.
///
/// # Examples
/// ```
/// use candle_ensemble::statistics::{PairTest, RankTest};
///
/// let errors = [[Some(0.1), Some(0.2)], [Some(0.3), Some(0.5)], [Some(0.2), Some(0.4)]];
/// let test = RankTest::new(false).pairs(PairTest::MeanRanks).compare(&["new", "old"], &errors)?;
/// assert_eq!(test.comparisons[0].test.effect, 1.0); // of average ranks
/// # Ok::<(), candle_ensemble::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum PairTest {
    /// Wilcoxon's signed-rank test of the differences of the two methods' scores, with
    /// [`ZeroDifferences::Pratt`]. It does not depend on the other methods, and is the better choice in most
    /// cases (Benavoli, Corani and Mangili 2016, <https://www.jmlr.org/papers/v17/benavoli16a.html>). Its
    /// effect is the Hodges-Lehmann estimate, in the unit of the scores.
    #[default]
    Wilcoxon,
    /// `z = (R_i − R_j) / sqrt(k (k + 1) / (6 N))` of the average ranks, which is the follow-up of Friedman's
    /// test (Demšar 2006). It compares ranks among all `k` methods, so other methods change the result. Its
    /// effect is the difference of the average ranks.
    MeanRanks,
}

/// The comparison of several methods over several data sets by their ranks, after Demšar.
///
/// ```text
/// Friedman's test of all;  each pair, or each method with a control, adjusted by Holm;
/// groups whose average ranks differ by less than Nemenyi's critical difference
/// ```
///
/// **Setting**: `k` methods on `N` data sets, with one score for each, such as the mean accuracy over splits.
///
/// **Assumes** that the data sets are independent. Repeated splits of one data set are not; average over them
/// first, and then compare with [`corrected_t_test`](crate::statistics::corrected_t_test) within a data set.
/// With few data sets nothing can be found: with Wilcoxon's test a pair needs 6 of them for a p-value below
/// 0.05, and more after the adjustment. [`RankTest::control`] leaves `k − 1` comparisons of the
/// `k (k − 1) / 2` and so finds more.
///
/// A method that has no score on some data set cannot be ranked there. It is left out of everything and
/// listed in [`RankComparison::left_out`].
///
/// # Examples
/// ```
/// use candle_ensemble::statistics::RankTest;
///
/// let accuracy = [
///     [Some(0.90), Some(0.85), Some(0.80), None],
///     [Some(0.75), Some(0.72), Some(0.60), Some(0.75)],
///     [Some(0.95), Some(0.90), Some(0.90), Some(0.91)],
///     [Some(0.88), Some(0.80), Some(0.75), Some(0.80)],
/// ];
/// let comparison = RankTest::new(true).control("bagging").compare(&["bagging", "single", "stump", "new"], &accuracy)?;
/// assert_eq!(comparison.left_out, ["new"]);
/// assert_eq!(comparison.names, ["bagging", "single", "stump"]);
/// assert_eq!(comparison.friedman.average_ranks, [1.0, 2.125, 2.875]);
/// assert_eq!(comparison.comparisons.len(), 2);
/// assert_eq!(comparison.comparisons[0].holm_p_value, 0.25); // four data sets are too few
/// # Ok::<(), candle_ensemble::Error>(())
/// ```
///
/// Source: Demšar 2006, <https://www.jmlr.org/papers/v7/demsar06a.html>.
#[derive(Clone, Debug)]
pub struct RankTest {
    higher_is_better: bool,
    control: Option<String>,
    pairs: PairTest,
    alpha: f64,
}

/// The comparison of one pair of methods, from [`RankComparison::comparisons`].
///
/// # Examples
/// ```
/// use candle_ensemble::statistics::RankTest;
///
/// let accuracy: Vec<[Option<f64>; 2]> =
///     (0..10).map(|i| [Some(0.8 + f64::from(i) / 100.0), Some(0.8)]).collect();
/// let test = RankTest::new(true).compare(&["new", "old"], &accuracy)?;
/// let pair = test.comparisons[0];
/// assert_eq!((test.names[pair.first].as_str(), test.names[pair.second].as_str()), ("new", "old"));
/// assert!((pair.test.effect - 0.045).abs() < 1e-12 && pair.holm_p_value < 0.01);
/// # Ok::<(), candle_ensemble::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct PairComparison {
    /// Place of the first method in [`RankComparison::names`]; the control, if there is one.
    pub first: usize,
    /// Place of the second method.
    pub second: usize,
    /// The test of this pair alone. Its effect is above 0 where the first method is better.
    pub test: TestResult,
    /// The p-value of `test`, adjusted by [`holm`] for all comparisons of the list.
    pub holm_p_value: f64,
    /// Nemenyi's p-value, adjusted for all pairs of methods.
    pub nemenyi_p_value: f64,
}

/// The result of [`RankTest::compare`].
///
/// # Examples
/// ```
/// use candle_ensemble::statistics::RankTest;
///
/// let accuracy = [[Some(0.9), Some(0.8), Some(0.7)], [Some(0.8), Some(0.6), Some(0.7)]];
/// let found = RankTest::new(true).compare(&["a", "b", "c"], &accuracy)?;
/// for clique in &found.cliques {
///     let names: Vec<&str> = clique.iter().map(|&method| found.names[method].as_str()).collect();
///     assert_eq!(names, ["a", "b", "c"]); // two data sets tell nothing apart
/// }
/// # Ok::<(), candle_ensemble::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RankComparison {
    /// The methods that were compared. Places in all other fields refer to this list.
    pub names: Vec<String>,
    /// The methods that were left out, since they have no score on some data set.
    pub left_out: Vec<String>,
    /// Number of data sets.
    pub datasets: usize,
    /// Friedman's test, with the average ranks.
    pub friedman: Friedman,
    /// The level of the critical difference.
    pub alpha: f64,
    /// Nemenyi's critical difference of average ranks at level `alpha`.
    pub critical_difference: f64,
    /// Place of the control, if there is one.
    pub control: Option<usize>,
    /// All pairs, or the control with each other method.
    pub comparisons: Vec<PairComparison>,
    /// The largest groups of two or more methods that do not differ significantly: all their average ranks are
    /// within the critical difference. Methods and groups are in the order of their ranks, best first; a method
    /// may be in several groups. They are the bars of a critical-difference diagram.
    pub cliques: Vec<Vec<usize>>,
}

impl RankTest {
    /// Compares all pairs by [`PairTest::Wilcoxon`], with a critical difference at level 0.05.
    #[must_use]
    pub fn new(higher_is_better: bool) -> Self {
        Self { higher_is_better, control: None, pairs: PairTest::default(), alpha: 0.05 }
    }

    /// Compares the method of this name with each other method, instead of all pairs.
    #[must_use]
    pub fn control(mut self, name: impl Into<String>) -> Self {
        self.control = Some(name.into());
        self
    }

    /// Sets the test of two methods.
    #[must_use]
    pub fn pairs(mut self, test: PairTest) -> Self {
        self.pairs = test;
        self
    }

    /// Sets the level of the critical difference and of the groups, above 0 and below 1.
    #[must_use]
    pub fn alpha(mut self, alpha: f64) -> Self {
        self.alpha = alpha;
        self
    }

    /// Compares methods. `scores` has a row for each data set, with one score for each name, or `None` where
    /// the method failed.
    ///
    /// Cost: `O(N k log k)` for ranks, and `O(N log N)` for each comparison.
    ///
    /// # Errors
    /// When there are fewer than 2 data sets; a row does not have one score for each name; a score is NaN or
    /// infinite; two names are equal; fewer than 2 methods have all scores; the control is not among them; the
    /// level is not between 0 and 1.
    pub fn compare<N: AsRef<str>, R: AsRef<[Option<f64>]>>(
        &self,
        names: &[N],
        scores: &[R],
    ) -> Result<RankComparison> {
        check_level(self.alpha)?;
        check(names, scores)?;
        let complete = |method: &usize| scores.iter().all(|row| row.as_ref()[*method].is_some());
        let (used, missing): (Vec<usize>, Vec<usize>) = (0..names.len()).partition(complete);
        let name = |method: &usize| names[*method].as_ref().to_string();
        let (names, left_out): (Vec<_>, Vec<_>) =
            (used.iter().map(name).collect(), missing.iter().map(name).collect());
        if used.len() < 2 {
            return Err(Error::invalid("number of methods with all scores", "at least 2", used.len()));
        }
        let table: Vec<Vec<f64>> = scores
            .iter()
            .map(|row| used.iter().filter_map(|&method| row.as_ref()[method]).collect())
            .collect();
        let control = self.place_of_control(&names)?;
        let friedman = friedman_test(&table, self.higher_is_better)?;
        let critical_difference = nemenyi_critical_difference(names.len(), table.len(), self.alpha)?;
        let comparisons = self.comparisons(&table, &friedman.average_ranks, control)?;
        let cliques = cliques(&friedman.average_ranks, critical_difference);
        let (datasets, alpha) = (table.len(), self.alpha);
        Ok(RankComparison {
            names,
            left_out,
            datasets,
            friedman,
            alpha,
            critical_difference,
            control,
            comparisons,
            cliques,
        })
    }

    fn place_of_control(&self, names: &[String]) -> Result<Option<usize>> {
        let Some(control) = &self.control else { return Ok(None) };
        let place = names.iter().position(|name| name == control);
        let must = || format!("one of the methods with all scores: {}", names.join(", "));
        place.map(Some).ok_or_else(|| Error::invalid("control", must(), control))
    }

    fn comparisons(
        &self,
        table: &[Vec<f64>],
        ranks: &[f64],
        control: Option<usize>,
    ) -> Result<Vec<PairComparison>> {
        let methods = ranks.len();
        let pairs: Vec<(usize, usize)> = match control {
            Some(first) => (0..methods).filter(|&other| other != first).map(|other| (first, other)).collect(),
            None => {
                (0..methods).flat_map(|first| (first + 1..methods).map(move |other| (first, other))).collect()
            }
        };
        let tests: Vec<TestResult> =
            pairs.iter().map(|&pair| self.test(table, ranks, pair)).collect::<Result<_>>()?;
        let adjusted = holm(&tests.iter().map(|test| test.p_value).collect::<Vec<_>>())?;
        let compare = |((&(first, second), test), holm_p_value): ((&(usize, usize), TestResult), f64)| {
            let nemenyi_p_value = nemenyi_p_value(ranks[second] - ranks[first], methods, table.len())?;
            Ok(PairComparison { first, second, test, holm_p_value, nemenyi_p_value })
        };
        pairs.iter().zip(tests).zip(adjusted).map(compare).collect()
    }

    fn test(&self, table: &[Vec<f64>], ranks: &[f64], (first, second): (usize, usize)) -> Result<TestResult> {
        match self.pairs {
            PairTest::Wilcoxon => {
                let sign = if self.higher_is_better { 1.0 } else { -1.0 };
                let gains: Vec<f64> = table.iter().map(|row| sign * (row[first] - row[second])).collect();
                wilcoxon_test(&gains, ZeroDifferences::Pratt)
            }
            PairTest::MeanRanks => {
                let (k, n) = (ranks.len() as f64, table.len() as f64);
                let error = (k * (k + 1.0) / (6.0 * n)).sqrt();
                Ok(TestResult::of_ratio(ranks[second] - ranks[first], error, normal_two_sided))
            }
        }
    }
}

fn check<N: AsRef<str>, R: AsRef<[Option<f64>]>>(names: &[N], scores: &[R]) -> Result<()> {
    if scores.len() < 2 {
        return Err(Error::invalid("number of data sets", "at least 2", scores.len()));
    }
    for (i, name) in names.iter().enumerate() {
        if names[..i].iter().any(|other| other.as_ref() == name.as_ref()) {
            return Err(Error::invalid(format!("name {i}"), "unlike those before", name.as_ref()));
        }
    }
    for (i, row) in scores.iter().enumerate() {
        let row = row.as_ref();
        if row.len() != names.len() {
            let what = format!("number of scores of data set {i}");
            return Err(Error::invalid(what, format!("{}, one for each name", names.len()), row.len()));
        }
        // A missing score is checked as 0.
        let row: Vec<f64> = row.iter().map(|score| score.unwrap_or_default()).collect();
        check_finite(&format!("data set {i}, method"), &row)?;
    }
    Ok(())
}

/// The largest groups of two or more methods whose average ranks differ by less than `critical`.
fn cliques(ranks: &[f64], critical: f64) -> Vec<Vec<usize>> {
    let mut order: Vec<usize> = (0..ranks.len()).collect();
    order.sort_by(|&a, &b| ranks[a].total_cmp(&ranks[b]).then(a.cmp(&b)));
    let (mut groups, mut covered) = (vec![], 0);
    for start in 0..order.len() {
        let near = |&&method: &&usize| ranks[method] - ranks[order[start]] < critical;
        let end = start + order[start..].iter().take_while(near).count();
        // A group that ends where one before it ends is a part of that.
        if end > covered && end - start > 1 {
            groups.push(order[start..end].to_vec());
            covered = end;
        }
    }
    groups
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::statistics::{
        friedman::tests::{coarse, DEMSAR},
        testing::close,
    };

    fn some<R: AsRef<[f64]>>(table: &[R]) -> Vec<Vec<Option<f64>>> {
        table.iter().map(|row| row.as_ref().iter().copied().map(Some).collect()).collect()
    }

    const NAMES: [&str; 5] = ["a", "b", "c", "d", "e"];

    #[track_caller]
    fn all_close(found: impl Iterator<Item = f64>, expected: &[f64]) {
        let found: Vec<f64> = found.collect();
        assert_eq!(found.len(), expected.len());
        found.iter().zip(expected).for_each(|(a, b)| close(*a, *b, 1e-9));
    }

    /// scipy's normal and studentized ranges and exact `wilcoxon`, statsmodels' `multipletests`:
    /// `tests/reference/statistics.py`. The normal
    /// distribution function of statrs has ten digits.
    #[test]
    fn comparisons_agree_with_scipy_and_statsmodels() {
        let scores = some(&DEMSAR);
        let ranks = RankTest::new(true).pairs(PairTest::MeanRanks);
        let all = ranks.compare(&NAMES[..4], &scores).unwrap();
        let pairs: Vec<(usize, usize)> =
            all.comparisons.iter().map(|pair| (pair.first, pair.second)).collect();
        assert_eq!(pairs, [(0, 1), (0, 2), (0, 3), (1, 2), (1, 3), (2, 3)]);
        all_close(
            all.comparisons.iter().map(|pair| pair.test.p_value),
            &[
                0.019172484755223106,
                0.6084078002329985,
                0.015719980210024593,
                0.06727796053834902,
                0.9416529301610358,
                0.05703987424905553,
            ],
        );
        all_close(
            all.comparisons.iter().map(|pair| pair.holm_p_value),
            &[0.09586242377611554, 1.0, 0.09431988126014756, 0.22815949699622212, 1.0, 0.22815949699622212],
        );
        for (pair, expected) in all.comparisons.iter().zip([
            0.08867270928888271,
            0.9561771752218107,
            0.0741847950687442,
            0.2592280701547286,
            0.999859449385133,
            0.22669688602641525,
        ]) {
            close(pair.nemenyi_p_value, expected, 1e-9);
        }
        close(all.critical_difference, 1.253559147117606, 1e-9);
        assert_eq!((all.datasets, all.control, all.alpha), (14, None, 0.05));

        let control = ranks.control("a").compare(&NAMES[..4], &scores).unwrap();
        assert_eq!(control.control, Some(0));
        all_close(
            control.comparisons.iter().map(|pair| pair.holm_p_value),
            &[0.04715994063007378, 0.6084078002329985, 0.04715994063007378],
        );
        assert!(control.comparisons.iter().all(|pair| pair.first == 0 && pair.test.effect < 0.0));

        let wilcoxon = RankTest::new(true).control("a").compare(&NAMES[..4], &scores).unwrap();
        all_close(
            wilcoxon.comparisons.iter().map(|pair| pair.test.p_value),
            &[0.0078125, 0.865966796875, 0.01123046875],
        );
        all_close(
            wilcoxon.comparisons.iter().map(|pair| pair.holm_p_value),
            &[0.0234375, 0.865966796875, 0.0234375],
        );
        let coarse = RankTest::new(true).control("a").compare(&NAMES, &some(&coarse())).unwrap();
        all_close(
            coarse.comparisons.iter().map(|pair| pair.holm_p_value),
            &[0.8125, 0.8203125, 0.8203125, 0.8203125],
        );
    }

    /// With costs in the place of scores, all signs are as before.
    #[test]
    fn lower_costs_are_higher_scores() {
        let costs: Vec<Vec<f64>> = DEMSAR.iter().map(|row| row.iter().map(|x| -x).collect()).collect();
        for pairs in [PairTest::Wilcoxon, PairTest::MeanRanks] {
            let test = |higher, table: Vec<Vec<Option<f64>>>| {
                RankTest::new(higher).pairs(pairs).compare(&NAMES[..4], &table).unwrap()
            };
            assert_eq!(test(true, some(&DEMSAR)), test(false, some(&costs)));
        }
    }

    #[test]
    fn groups_are_the_largest_within_the_critical_difference() {
        assert_eq!(cliques(&[1.0, 4.0, 2.0, 3.0], 1.5), [vec![0, 2], vec![2, 3], vec![3, 1]]);
        assert_eq!(cliques(&[1.0, 4.0, 2.0, 3.0], 2.5), [vec![0, 2, 3], vec![2, 3, 1]]);
        assert_eq!(cliques(&[1.0, 4.0, 2.0, 3.0], 9.0), [vec![0, 2, 3, 1]]);
        assert_eq!(cliques(&[1.0, 4.0, 1.0, 8.0], 1.0), [vec![0, 2]]);
        assert!(cliques(&[1.0, 2.0], 1.0).is_empty());
    }

    #[test]
    fn a_method_without_a_score_is_left_out_and_nothing_else_changes() {
        let full = some(&DEMSAR);
        let mut holes = full.clone();
        for (i, row) in holes.iter_mut().enumerate() {
            row.insert(1, (i != 5).then_some(0.5));
        }
        let names = ["a", "failed", "b", "c", "d"];
        let test = RankTest::new(true).control("b");
        let found = test.compare(&names, &holes).unwrap();
        assert_eq!(found.left_out, ["failed"]);
        let expected = test.compare(&NAMES[..4], &full).unwrap();
        assert_eq!(found, RankComparison { left_out: vec!["failed".into()], ..expected });
        let json = serde_json::to_string(&found).unwrap();
        assert_eq!(serde_json::from_str::<RankComparison>(&json).unwrap(), found);
        let error = RankTest::new(true).control("failed").compare(&names, &holes).unwrap_err();
        assert_eq!(
            error.to_string(),
            "control must be one of the methods with all scores: a, b, c, d, but is failed"
        );
    }

    #[test]
    fn two_data_sets_and_two_methods_are_enough_and_less_is_an_error() {
        let two = RankTest::new(true).compare(&["a", "b"], &some(&[[0.9, 0.8], [0.7, 0.6]])).unwrap();
        assert_eq!(two.friedman.average_ranks, [1.0, 2.0]);
        assert_eq!(two.comparisons[0].holm_p_value, 0.5);
        close(two.friedman.p_value, 0.5, 1e-12);
        assert_eq!(two.cliques, [vec![0, 1]]);
        let message = |names: &[&str], scores: &[Vec<Option<f64>>]| {
            RankTest::new(true).compare(names, scores).unwrap_err().to_string()
        };
        let row = vec![Some(1.0), Some(2.0)];
        assert!(message(&["a", "b"], std::slice::from_ref(&row)).starts_with("number of data sets must be"));
        assert_eq!(
            message(&["a", "a"], &[row.clone(), row.clone()]),
            "name 1 must be unlike those before, but is a"
        );
        assert_eq!(
            message(&["a", "b"], &[row.clone(), vec![None]]),
            "number of scores of data set 1 must be 2, one for each name, but is 1"
        );
        assert_eq!(
            message(&["a", "b"], &[row.clone(), vec![None, Some(1.0)]]),
            "number of methods with all scores must be at least 2, but is 1"
        );
        assert_eq!(
            message(&["a", "b"], &[row.clone(), vec![Some(f64::NAN), None]]),
            "data set 1, method 0 must be finite, but is NaN"
        );
        let scores = [row.clone(), row];
        assert!(RankTest::new(true).alpha(0.0).compare(&["a", "b"], &scores).is_err());
    }
}
