//! CV+ for classes: prediction sets from members that were each fitted on a part of the rows.
use super::{
    class_score::{check_seed, shares, RowScores},
    classes::fill_if_empty,
    inputs::{check_alpha, check_any},
    quantile::upper_rank,
    ragged::Ragged,
    ClassProbabilities, ClassScore, EmptySets, PredictionSets,
};
use crate::{Error, Result, Seed};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, num::NonZeroUsize};

/// CV+ and jackknife+ for classes: prediction sets from members that were each fitted on a part of the rows, without rows
/// set aside.
///
/// ```text
/// Eᵢ = s(π₋ᵢ(xᵢ), yᵢ),   π₋ᵢ = the mean of the probabilities of the members that were not fitted on row i
/// C(x) = { c : #{ i : Eᵢ < s(π₋ᵢ(x), c) } < (1 − α)(n + 1) }
/// ```
///
/// The score `s` is one of [`ClassScore`]. A class is in the set where its score, by the members that hold out row `i`, is
/// at most the score of row `i` for enough rows. With one member that was fitted on other rows, these are the sets of
/// [`ClassConformal`](super::ClassConformal).
///
/// The method is named after the members, as for [`CrossConformal`](super::CrossConformal): **CV+** where member `k` was
/// fitted on all rows but fold `k`, **jackknife+** where a fold is a row, and jackknife+-after-bootstrap where members were
/// fitted on bootstrap samples and `π₋ᵢ` is the mean of those that have row `i` out of the bag.
///
/// For exchangeable rows and a fit that does not depend on their order, the coverage of jackknife+ is at least `1 − 2α`,
/// and that of CV+ at least `1 − 2α − √(2/n)`. In practice both are close to `1 − α`, except with unstable fits. Use it where rows are few; where rows are plenty, `ClassConformal` needs one fit and
/// has the guarantee `1 − α`. It is no method for rows in groups or time series unless the folds respect them.
///
/// Rows that no member holds out are left out. With `p` such sets of members (the folds, at most `n`), a new row costs `p`
/// means and sorts of `C` probabilities, and `p C` binary searches.
///
/// # Examples
/// ```
/// use candle_ensemble::conformal::{ClassScore, CrossClassConformal, EmptySets};
///
/// // Two folds of one row: member 0 predicts row 0, and member 1 row 1. The scores of LAC are 0.25 and 0.5.
/// const NOT: f64 = f64::NAN;
/// let held_out = [0.75, 0.25, NOT, NOT, NOT, NOT, 0.5, 0.5];
/// let fitted = CrossClassConformal::fit(ClassScore::Lac, &held_out, 2, 2, &[0, 0], 0.4, None)?;
/// // Class 0 has the scores 0.125 by member 0 and 0.625 by member 1, where one row has a lower score; class 1 has 0.875 and
/// // 0.375, where one row has a lower score too. Both are in the set, as 1 < 0.6 · 3.
/// let sets = fitted.predict(&[0.875, 0.125, 0.375, 0.625], EmptySets::Keep, None)?;
/// assert_eq!(sets.sizes(), [2]);
/// let sets = fitted.predict(&[0.875, 0.125, 0.75, 0.25], EmptySets::Keep, None)?; // two rows for class 1
/// assert_eq!(sets.classes_of(0).collect::<Vec<_>>(), [0]);
/// # Ok::<(), candle_ensemble::Error>(())
/// ```
///
/// Sources: Romano, Sesia and Candès 2020, arXiv:2006.02544 (section 2.3 and theorems 2 and 3); Barber, Candès, Ramdas and
/// Tibshirani 2021, arXiv:1905.02928; for the bootstrap Kim, Xu and Barber 2020, arXiv:2002.09025.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CrossClassConformal {
    score: ClassScore,
    members: NonZeroUsize,
    classes: usize,
    /// For each set of members, their numbers in ascending order.
    sets: Ragged<u32>,
    /// For each set of members, the scores of the rows that they hold out, in ascending order.
    scores: Ragged<f64>,
    /// A class is in a set where fewer rows than this have a lower score; `None` where the rows are too few.
    rank: Option<usize>,
    randomized: bool,
}

impl CrossClassConformal {
    /// Fits on the `(M, N, C)` probabilities of `members` members for `N` rows (row-major), NaN where a member was fitted on
    /// the row, and on the labels of the rows. With a seed, the scores are randomized, which does not change LAC.
    ///
    /// # Errors
    /// When there are no members or no rows, fewer than two classes, the lengths differ, probabilities that are not missing
    /// are none, a label is not the number of a class, no row is held out by a member, `lambda` of RAPS is negative or not
    /// finite, or `alpha` is not above 0 and below 1.
    pub fn fit(
        score: ClassScore,
        held_out: &[f64],
        members: usize,
        classes: usize,
        labels: &[u32],
        alpha: f64,
        seed: Option<Seed>,
    ) -> Result<Self> {
        check_alpha(alpha)?;
        check_any(labels.len())?;
        let some = NonZeroUsize::new(members);
        let some = some.ok_or_else(|| Error::invalid("number of members", "at least 1", 0))?;
        if Some(held_out.len()) != members.checked_mul(labels.len()).and_then(|n| n.checked_mul(classes)) {
            let must = format!("{members} · {} · {classes}, for each member, row and class", labels.len());
            return Err(Error::invalid("number of held-out probabilities", must, held_out.len()));
        }
        let draws = shares(labels.len(), seed, "calibration rows");
        let (mut sets_of_rows, mut means, mut own_labels, mut own_draws) = (vec![], vec![], vec![], vec![]);
        for (row, (label, draw)) in labels.iter().zip(&draws).enumerate() {
            let of = |member: u32| at(held_out, member as usize * labels.len() + row, classes);
            let holds_out = |member: &u32| of(*member).iter().any(|p| !p.is_nan());
            let set: Vec<u32> = (0..members as u32).filter(holds_out).collect();
            if set.is_empty() {
                continue;
            }
            let mut mean = vec![0.; classes];
            mean_of(set.iter().map(|member| of(*member)), &mut mean);
            means.extend(mean);
            sets_of_rows.push(set);
            own_labels.push(*label);
            own_draws.push(*draw);
        }
        if sets_of_rows.is_empty() {
            return Err(Error::invalid("number of rows that a member holds out", "at least 1", 0));
        }
        let means = ClassProbabilities::new(&means, classes)?;
        let of_labels = score.of_labels_with(&means, &own_labels, &own_draws)?;
        let mut by_set = BTreeMap::<Vec<u32>, Vec<f64>>::new();
        for (set, score) in sets_of_rows.into_iter().zip(of_labels) {
            by_set.entry(set).or_default().push(score);
        }
        let (mut sets, mut scores) = (Ragged::new(), Ragged::new());
        for (set, mut own) in by_set {
            own.sort_unstable_by(f64::total_cmp);
            sets.push(set);
            scores.push(own);
        }
        let rank = upper_rank(scores.items().len(), alpha);
        Ok(Self { score, members: some, classes, sets, scores, rank, randomized: seed.is_some() })
    }

    /// Number of calibration rows: those that at least one member holds out.
    #[must_use]
    pub fn rows(&self) -> usize {
        self.scores.items().len()
    }

    /// The score of a class.
    #[must_use]
    pub fn score(&self) -> ClassScore {
        self.score
    }

    /// The sets of `K` new rows, from the `(M, K, C)` probabilities of all members for them (row-major), with a seed if the
    /// fit had one. A set without classes may get the class that is the most probable one for all members.
    ///
    /// # Errors
    /// When the length is not a multiple of the number of members and classes, probabilities are none, or a seed is given in
    /// the fit only or here only.
    pub fn predict(
        &self,
        predictions: &[f64],
        empty: EmptySets,
        seed: Option<Seed>,
    ) -> Result<PredictionSets> {
        check_seed(seed, self.randomized)?;
        let (members, classes) = (self.members.get(), self.classes);
        let rows = predictions.len() / (members * classes).max(1);
        if rows * members * classes != predictions.len() {
            let must = format!("a multiple of {members} · {classes}, for each member, new row and class");
            return Err(Error::invalid("number of predictions", must, predictions.len()));
        }
        ClassProbabilities::new(predictions, classes)?;
        let draws = shares(rows, seed, "new rows");
        let mut inside = vec![false; rows * classes];
        let sets = inside.par_chunks_exact_mut(classes.max(1)).zip(draws).enumerate();
        sets.for_each_init(
            || Scratch::new(self.score, classes),
            |scratch, (row, (set, draw))| {
                let of = |member: u32| at(predictions, member as usize * rows + row, classes);
                self.set_of(of, draw, scratch, set);
                if empty == EmptySets::MostProbable {
                    mean_of((0..members as u32).map(of), &mut scratch.mean);
                    fill_if_empty(set, &scratch.mean);
                }
            },
        );
        PredictionSets::new(inside, classes)
    }

    /// Writes which classes are in the set of a row, from the probabilities of each member.
    fn set_of<'a>(&self, of: impl Fn(u32) -> &'a [f64], draw: f64, scratch: &mut Scratch, set: &mut [bool]) {
        let Some(rank) = self.rank else { return set.fill(true) };
        let Scratch { mean, lower, row } = scratch;
        lower.fill(0);
        for (members, scores) in self.sets.iter().zip(self.scores.iter()) {
            mean_of(members.iter().map(|member| of(*member)), mean);
            for (lower, own) in lower.iter_mut().zip(row.of(mean, draw)) {
                *lower += scores.partition_point(|score| score < own);
            }
        }
        set.iter_mut().zip(lower).for_each(|(inside, lower)| *inside = *lower < rank);
    }
}

/// The memory of a prediction.
struct Scratch {
    mean: Vec<f64>,
    /// For each class the number of rows whose score is lower.
    lower: Vec<usize>,
    row: RowScores,
}

impl Scratch {
    fn new(score: ClassScore, classes: usize) -> Self {
        Self { mean: vec![0.; classes], lower: vec![0; classes], row: RowScores::new(score, classes) }
    }
}

/// The probabilities at a place of a table.
fn at(table: &[f64], place: usize, classes: usize) -> &[f64] {
    table.get(place * classes..(place + 1) * classes).unwrap_or_default()
}

/// Writes the mean of the probabilities of several members.
fn mean_of<'a>(members: impl Iterator<Item = &'a [f64]>, mean: &mut [f64]) {
    mean.fill(0.);
    let mut count = 0.;
    for probabilities in members {
        mean.iter_mut().zip(probabilities).for_each(|(sum, p)| *sum += p);
        count += 1.;
    }
    mean.iter_mut().for_each(|sum| *sum /= count);
}
