//! Conformal prediction sets of classes.
use super::{
    class_score::{check_seed, shares, RowScores},
    inputs::check_alpha,
    mondrian::ScoreQuantiles,
    ClassProbabilities, ClassScore, PredictionSets,
};
use crate::{Error, Result, Seed};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

/// Over which rows the coverage of [`ClassConformal`] holds on average.
///
/// # Examples
/// ```
/// use candle_ensemble::conformal::{ClassConformal, ClassProbabilities, ClassScore, Condition};
///
/// let values = [0.75, 0.25, 0.875, 0.125, 0.625, 0.375, 0.75, 0.25];
/// let (probabilities, labels) = (ClassProbabilities::new(&values, 2)?, [0, 0, 0, 1]);
/// let lac = ClassScore::Lac;
/// let fit = |condition| ClassConformal::fit(lac, &probabilities, &labels, condition, 0.25, None);
/// assert_eq!(fit(Condition::Marginal)?.quantiles().of(None)?.quantile, 0.75);
/// assert_eq!(fit(Condition::Classes)?.quantiles().of(Some(0))?.quantile, 0.375);
/// assert_eq!(fit(Condition::Classes)?.quantiles().too_few(), [1]); // one row of class 1: it is in each set
/// # Ok::<(), candle_ensemble::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Condition<'a> {
    /// Over all rows. Rare classes may be covered much less often.
    #[default]
    Marginal,
    /// Over the rows of each class, that is, for each true label. Each class needs
    /// [`rows_needed`](super::rows_needed()) calibration rows; a class with fewer is in each set.
    Classes,
    /// Over the rows of each group, by the group numbers of the calibration rows. New rows need one too. The
    /// set of a row whose group has too few calibration rows has all classes.
    Groups(&'a [u32]),
}

/// What happens to a set without classes.
///
/// A set of LAC is empty where no class is probable enough, and one of APS or RAPS where the first class is
/// above the quantile already (often so with a seed). The guarantee counts such sets as errors.
///
/// # Examples
/// ```
/// use candle_ensemble::conformal::*;
///
/// let values = [0.75, 0.25, 0.875, 0.125, 0.625, 0.375];
/// let calibration = ClassProbabilities::new(&values, 2)?;
/// let (lac, marginal) = (ClassScore::Lac, Condition::Marginal);
/// let fitted = ClassConformal::fit(lac, &calibration, &[0; 3], marginal, 0.25, None)?;
/// let unsure = ClassProbabilities::new(&[0.5, 0.5], 2)?;
/// let sizes = |empty| fitted.predict(&unsure, None, empty, None).map(|sets| sets.sizes());
/// assert_eq!(sizes(EmptySets::Keep)?, [0]);
/// assert_eq!(sizes(EmptySets::MostProbable)?, [1]);
/// # Ok::<(), candle_ensemble::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum EmptySets {
    /// It gets the most probable class. The coverage can only become higher, by at most the share of empty
    /// sets.
    #[default]
    MostProbable,
    /// It stays empty: the row is unlike those of any class. Choose this to find rows that the model does not
    /// know, or for exact coverage with a seed.
    Keep,
}

/// Conformal prediction sets: sets of classes that contain the true one with a stated probability.
///
/// ```text
/// C(x) = { c : s(x, c) ≤ q },  q = the conformal quantile of s(xᵢ, yᵢ)
/// ```
///
/// The score `s` is one of [`ClassScore`]. The calibration rows must be rows that the model was not fitted
/// on, and that neither a calibration of its probabilities nor a choice of a setting was made on. Then `P(y ∈
/// C(x)) ≥ 1 − α` for a new row that is exchangeable with them.
///
/// **Sets have all classes up to the last whose score is at most `q`**, and not the next one, which other
/// programs (MAPIE's `include_last_label=True`) include too. This is enough for the guarantee, and the sets
/// are smaller.
///
/// **With a seed** the scores of APS and RAPS are randomized. The coverage is then `1 − α` up to `1/(n + 1)`,
/// and the sets are smaller: without, the coverage is higher than `1 − α` where single classes have large
/// probabilities. The sets of rows with equal probabilities differ then. Take another seed for each call of
/// [`ClassConformal::predict`], or rows of equal numbers get equal draws.
///
/// # Examples
/// ```
/// use candle_ensemble::conformal::*;
///
/// let values = [0.5, 0.25, 0.25, 0.25, 0.5, 0.25, 0.125, 0.125, 0.75];
/// let calibration = ClassProbabilities::new(&values, 3)?;
/// // The scores of the labels: 0.5, 0.75, 0.75; the quantile is the third.
/// let (aps, marginal) = (ClassScore::Aps, Condition::Marginal);
/// let fitted = ClassConformal::fit(aps, &calibration, &[0, 0, 2], marginal, 0.25, None)?;
/// let new = ClassProbabilities::new(&[0.125, 0.25, 0.625, 0.25, 0.25, 0.5], 3)?;
/// let sets = fitted.predict(&new, None, EmptySets::default(), None)?;
/// assert_eq!(sets.classes_of(0).collect::<Vec<_>>(), [2]); // 0.625, and then 0.875
/// assert_eq!(sets.classes_of(1).collect::<Vec<_>>(), [0, 2]); // 0.5 and 0.75, and then 1
/// # Ok::<(), candle_ensemble::Error>(())
/// ```
///
/// Sources: see [`ClassScore`]; for class-conditional sets Vovk 2012, arXiv:1209.2673.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ClassConformal {
    score: ClassScore,
    classes: usize,
    quantiles: ScoreQuantiles,
    by_class: bool,
    randomized: bool,
}

impl ClassConformal {
    /// Fits the quantile on the probabilities and labels of calibration rows. With a seed, the scores are
    /// randomized, which does not change LAC.
    ///
    /// # Errors
    /// When there are no rows, the lengths differ, a label is not the number of a class, `lambda` of RAPS is
    /// negative or not finite, or `alpha` is not above 0 and below 1.
    pub fn fit(
        score: ClassScore,
        probabilities: &ClassProbabilities<'_>,
        labels: &[u32],
        condition: Condition<'_>,
        alpha: f64,
        seed: Option<Seed>,
    ) -> Result<Self> {
        check_alpha(alpha)?;
        let scores = score.of_labels(probabilities, labels, seed)?;
        Self::from_scores(score, probabilities.classes(), &scores, labels, condition, alpha, seed.is_some())
    }

    /// The quantiles of scores of labels.
    pub(super) fn from_scores(
        score: ClassScore,
        classes: usize,
        scores: &[f64],
        labels: &[u32],
        condition: Condition<'_>,
        alpha: f64,
        randomized: bool,
    ) -> Result<Self> {
        let groups = match condition {
            Condition::Marginal => None,
            Condition::Classes => Some(labels),
            Condition::Groups(groups) => Some(groups),
        };
        let quantiles = ScoreQuantiles::fit(scores, groups, alpha)?;
        Ok(Self::of_quantiles(score, classes, quantiles, condition == Condition::Classes, randomized))
    }

    /// The sets of quantiles that are fitted elsewhere.
    pub(super) fn of_quantiles(
        score: ClassScore,
        classes: usize,
        quantiles: ScoreQuantiles,
        by_class: bool,
        randomized: bool,
    ) -> Self {
        Self { score, classes, quantiles, by_class, randomized }
    }

    /// Whether new rows need the numbers of their groups.
    #[must_use]
    pub fn by_group(&self) -> bool {
        self.quantiles.by_group() && !self.by_class
    }

    /// The set of each new row, with the group numbers of the rows if the condition of the fit is
    /// [`Condition::Groups`], and with a seed if the fit had one.
    ///
    /// # Errors
    /// When the number of classes is not that of the fit, the number of groups is not that of the rows, or
    /// groups or a seed are given in the fit only or here only.
    pub fn predict(
        &self,
        probabilities: &ClassProbabilities<'_>,
        groups: Option<&[u32]>,
        empty: EmptySets,
        seed: Option<Seed>,
    ) -> Result<PredictionSets> {
        check_seed(seed, self.randomized)?;
        self.predict_with(probabilities, groups, empty, &shares(probabilities.rows(), seed, "new rows"))
    }

    /// The sets of new rows with `u` for each.
    pub(super) fn predict_with(
        &self,
        probabilities: &ClassProbabilities<'_>,
        groups: Option<&[u32]>,
        empty: EmptySets,
        shares: &[f64],
    ) -> Result<PredictionSets> {
        if probabilities.classes() != self.classes {
            let must = format!("{}, as in the fit", self.classes);
            return Err(Error::invalid("number of classes", must, probabilities.classes()));
        }
        let thresholds = Thresholds::new(self, probabilities.rows(), groups)?;
        let mut inside = vec![false; probabilities.rows() * self.classes];
        let sets =
            inside.par_chunks_exact_mut(self.classes).zip(probabilities.par_iter()).zip(shares).enumerate();
        sets.for_each_init(
            || RowScores::new(self.score, self.classes),
            |scores, (row, ((set, p), u))| {
                let scores = scores.of(p, *u).iter().zip(thresholds.of_row(row));
                set.iter_mut().zip(scores).for_each(|(inside, (score, most))| *inside = *score <= most);
                if empty == EmptySets::MostProbable {
                    fill_if_empty(set, p);
                }
            },
        );
        PredictionSets::new(inside, self.classes)
    }

    /// The quantile of the scores, by group or by class if the fit had groups or was class-conditional.
    #[must_use]
    pub fn quantiles(&self) -> &ScoreQuantiles {
        &self.quantiles
    }
}

/// The thresholds of the scores, for each class or for each row.
enum Thresholds {
    OfClasses(Vec<f64>),
    OfRows(Vec<f64>),
}

impl Thresholds {
    fn new(fitted: &ClassConformal, rows: usize, groups: Option<&[u32]>) -> Result<Self> {
        if !fitted.by_class {
            return Ok(Self::OfRows(fitted.quantiles.of_rows(rows, groups)?));
        }
        if groups.is_some() {
            let must = "left out, as the sets are conditional on the class";
            return Err(Error::invalid("groups of the new rows", must, "given"));
        }
        let classes: Vec<u32> = (0..).take(fitted.classes).collect();
        Ok(Self::OfClasses(fitted.quantiles.of_rows(classes.len(), Some(&classes))?))
    }

    /// The threshold of each class for a row.
    fn of_row(&self, row: usize) -> impl Iterator<Item = f64> + '_ {
        let (by_class, common) = match self {
            Self::OfClasses(thresholds) => (thresholds.as_slice(), None),
            Self::OfRows(thresholds) => (&[][..], thresholds.get(row).copied()),
        };
        by_class.iter().copied().chain(common.into_iter().flat_map(std::iter::repeat))
    }
}

/// Puts the most probable class into a set without classes.
pub(super) fn fill_if_empty(set: &mut [bool], probabilities: &[f64]) {
    if set.contains(&true) {
        return;
    }
    // The first of equally probable ones.
    let most = probabilities.iter().zip(set).rev().max_by(|(p, _), (q, _)| p.total_cmp(q));
    if let Some((_, inside)) = most {
        *inside = true;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const LAC: ClassScore = ClassScore::Lac;

    fn table(values: &[f64]) -> ClassProbabilities<'_> {
        ClassProbabilities::new(values, 3).unwrap()
    }

    #[test]
    fn the_first_of_equally_probable_classes_fills_an_empty_set() {
        let mut set = [false; 3];
        fill_if_empty(&mut set, &[0.2, 0.4, 0.4]);
        assert_eq!(set, [false, true, false]);
        fill_if_empty(&mut set, &[0.6, 0.2, 0.2]);
        assert_eq!(set, [false, true, false]);
    }

    #[test]
    fn classes_and_groups_have_thresholds_of_their_own() {
        let values = [0.75, 0.125, 0.125, 0.5, 0.25, 0.25, 0.25, 0.25, 0.5];
        let new = table(&[0.5, 0.25, 0.25]);
        // Scores 0.25, 0.75, 0.5 of the classes 0, 1, 2.
        let fitted =
            ClassConformal::fit(LAC, &table(&values), &[0, 1, 2], Condition::Classes, 0.5, None).unwrap();
        let sets = fitted.predict(&new, None, EmptySets::Keep, None).unwrap();
        assert_eq!(sets.as_slice(), [false, true, false]); // 0.5 > 0.25, 0.75 ≤ 0.75, 0.75 > 0.5
        let groups = Condition::Groups(&[5, 5, 6]);
        let fitted = ClassConformal::fit(LAC, &table(&values), &[0, 1, 2], groups, 0.34, None).unwrap();
        let two = table(&[0.5, 0.25, 0.25, 0.5, 0.25, 0.25]);
        let sets = fitted.predict(&two, Some(&[5, 6]), EmptySets::Keep, None).unwrap();
        assert_eq!(sets.sizes(), [3, 3]); // 0.75, and infinite
        assert_eq!(fitted.quantiles().too_few(), [6]);
    }

    #[test]
    fn what_the_fit_had_the_prediction_needs() {
        let values = table(&[0.5, 0.25, 0.25]);
        let fit = |condition, seed| ClassConformal::fit(LAC, &values, &[0], condition, 0.5, seed).unwrap();
        let error = |fitted: ClassConformal, groups: Option<&[u32]>, seed: Option<Seed>| {
            fitted.predict(&values, groups, EmptySets::Keep, seed).unwrap_err().to_string()
        };
        assert_eq!(
            error(fit(Condition::Marginal, Some(Seed::from(1))), None, None),
            "seed of the prediction sets must be given, as the fit had one, but is missing"
        );
        assert!(error(fit(Condition::Marginal, None), None, Some(Seed::from(1))).contains("left out"));
        assert!(error(fit(Condition::Marginal, None), Some(&[0]), None).contains("left out"));
        assert!(error(fit(Condition::Classes, None), Some(&[0]), None).contains("conditional on the class"));
        assert!(error(fit(Condition::Groups(&[0]), None), None, None).contains("given"));
        let other = ClassProbabilities::new(&[0.5, 0.5], 2).unwrap();
        assert!(fit(Condition::Marginal, None).predict(&other, None, EmptySets::Keep, None).is_err());
    }

    fn rows() -> impl Strategy<Value = Vec<(Vec<f64>, u32)>> {
        let row = (prop::collection::vec(1u32..20, 4), 0u32..4).prop_map(|(parts, label)| {
            let sum = f64::from(parts.iter().sum::<u32>());
            (parts.into_iter().map(|part| f64::from(part) / sum).collect(), label)
        });
        prop::collection::vec(row, 1..40)
    }

    fn split(rows: &[(Vec<f64>, u32)]) -> (Vec<f64>, Vec<u32>) {
        (rows.iter().flat_map(|(p, _)| p.clone()).collect(), rows.iter().map(|(_, label)| *label).collect())
    }

    fn scores() -> impl Strategy<Value = ClassScore> {
        let raps = (0.0f64..0.5, 0usize..4).prop_map(|(lambda, k_reg)| ClassScore::Raps { lambda, k_reg });
        prop_oneof![Just(ClassScore::Lac), Just(ClassScore::Aps), raps]
    }

    proptest! {
        #[test]
        fn a_class_is_in_the_set_where_its_score_is_at_most_the_quantile(
            rows in rows(), score in scores(), alpha in 0.02f64..0.9, seed in prop::option::of(0u64..9),
        ) {
            let seed = seed.map(Seed::from);
            let (values, labels) = split(&rows);
            let probabilities = ClassProbabilities::new(&values, 4).unwrap();
            let fitted =
                ClassConformal::fit(score, &probabilities, &labels, Condition::Marginal, alpha, seed).unwrap();
            let quantile = fitted.quantiles().of(None).unwrap().quantile;
            let u = shares(rows.len(), seed, "calibration rows");
            let sets = fitted.predict_with(&probabilities, None, EmptySets::Keep, &u).unwrap();
            let scores = score.of_labels(&probabilities, &labels, seed).unwrap();
            let inside: Vec<bool> = scores.iter().map(|score| *score <= quantile).collect();
            prop_assert_eq!(sets.contain(&labels).unwrap(), inside);
        }

        #[test]
        fn sets_shrink_with_alpha_and_ignore_the_order_of_the_calibration_rows(
            rows in rows(), score in scores(), first in 0.02f64..0.9, second in 0.02f64..0.9,
        ) {
            let (values, labels) = split(&rows);
            let new = ClassProbabilities::new(&values, 4).unwrap();
            let reversed: Vec<_> = rows.iter().rev().cloned().collect();
            let predict = |rows: &[(Vec<f64>, u32)], condition: Condition<'_>, alpha| {
                let (values, labels) = split(rows);
                let calibration = ClassProbabilities::new(&values, 4).unwrap();
                let fitted =
                    ClassConformal::fit(score, &calibration, &labels, condition, alpha, None).unwrap();
                fitted.predict(&new, None, EmptySets::Keep, None).unwrap()
            };
            for condition in [Condition::Marginal, Condition::Classes] {
                let large = predict(&rows, condition, first.min(second));
                let small = predict(&rows, condition, first.max(second));
                prop_assert!(small.as_slice().iter().zip(large.as_slice()).all(|(s, l)| !s | l));
                prop_assert_eq!(&predict(&reversed, condition, first.min(second)), &large);
            }
            // The most probable classes fill empty sets, and change no other set.
            let fitted = ClassConformal::fit(score, &new, &labels, Condition::Marginal, first, None).unwrap();
            let kept = fitted.predict(&new, None, EmptySets::Keep, None).unwrap();
            let filled = fitted.predict(&new, None, EmptySets::MostProbable, None).unwrap();
            for (before, after) in kept.sizes().into_iter().zip(filled.sizes()) {
                prop_assert_eq!(after, before.max(1));
            }
        }

        /// APS and RAPS: the set is that of the most probable classes.
        #[test]
        fn sets_are_nested_in_the_order_of_the_probabilities(
            rows in rows(), score in scores(), alpha in 0.02f64..0.9, seed in 0u64..9,
        ) {
            let (values, labels) = split(&rows);
            let probabilities = ClassProbabilities::new(&values, 4).unwrap();
            let seed = Some(Seed::from(seed));
            let fitted =
                ClassConformal::fit(score, &probabilities, &labels, Condition::Marginal, alpha, seed).unwrap();
            let sets = fitted.predict(&probabilities, None, EmptySets::Keep, seed).unwrap();
            for (set, p) in sets.iter().zip(probabilities.iter()) {
                let inside = set.iter().zip(p).filter(|(inside, _)| **inside).map(|(_, p)| *p);
                let outside = set.iter().zip(p).filter(|(inside, _)| !**inside).map(|(_, p)| *p);
                prop_assert!(inside.fold(1.0, f64::min) >= outside.fold(0.0, f64::max));
            }
        }
    }
}
