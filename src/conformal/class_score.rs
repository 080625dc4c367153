//! The scores of classes, from which prediction sets are made.
use super::{
    aps::{aps_scores, Penalty},
    inputs::check_any,
    lac::lac_scores,
    ClassProbabilities,
};
use crate::{Error, Result, Seed};
use rand::Rng;
use serde::{Deserialize, Serialize};

/// How a class is scored for a row; the lower the score, the more likely is the class.
///
/// With the probabilities of a row in descending order, `p₁ ≥ p₂ ≥ …`, the class of rank `k` has the score
///
/// ```text
/// LAC   1 − p_k
/// APS   p₁ + … + p_(k−1) + u p_k
/// RAPS  p₁ + … + p_(k−1) + u p_k + λ max(0, k − k_reg)
/// ```
///
/// `u` is 1, or, with a seed, a draw that is uniform on \[0, 1) and the same for all classes of a row. Of
/// equally probable classes, the one with the lower number has the lower rank.
///
/// | | sets | use it |
/// |---|---|---|
/// | LAC | the smallest on average; some are empty | for small sets, or with class-conditional quantiles |
/// | APS | large for difficult rows; large with many classes | for a better coverage of difficult rows |
/// | RAPS | as APS, without the long tails of improbable classes | with many classes |
///
/// The coverage `1 − α` on average over all rows is the same for each. No score helps a model whose
/// probabilities do not rank the classes well; its sets are large.
///
/// # Examples
/// ```
/// use candle_ensemble::conformal::{ClassProbabilities, ClassScore};
///
/// let probabilities = ClassProbabilities::new(&[0.25, 0.5, 0.25], 3)?;
/// let score = |score: ClassScore| score.of_labels(&probabilities, &[2], None).map(|scores| scores[0]);
/// assert_eq!(score(ClassScore::Lac)?, 0.75);
/// assert_eq!(score(ClassScore::Aps)?, 1.0);
/// assert_eq!(score(ClassScore::Raps { lambda: 0.1, k_reg: 1 })?, 1.2);
/// # Ok::<(), candle_ensemble::Error>(())
/// ```
///
/// Sources: for LAC, the least ambiguous set-valued classifiers, Sadinle, Lei and Wasserman 2019,
/// arXiv:1609.00451; for APS, adaptive prediction sets, Romano, Sesia and Candès 2020, arXiv:2006.02544; for
/// RAPS, regularized APS, Angelopoulos, Bates, Malik and Jordan 2021, arXiv:2009.14193.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub enum ClassScore {
    /// The least ambiguous set-valued classifiers: 1 less the probability.
    Lac,
    /// Adaptive prediction sets: the probability of the class and of all that are more probable.
    Aps,
    /// Regularized adaptive prediction sets. [`select_raps`](super::select_raps()) selects both numbers.
    Raps {
        /// What each rank beyond `k_reg` adds to the score, 0 or more. With 0 the score is that of APS.
        lambda: f64,
        /// Up to this rank nothing is added.
        k_reg: usize,
    },
}

impl ClassScore {
    /// Computes the score of the label of each calibration row; with a seed, `u` is drawn for each row.
    ///
    /// # Errors
    /// When there are no rows, the number of labels differs from that of the rows, a label is not the number
    /// of a class, or `lambda` is negative or not finite.
    pub fn of_labels(
        self,
        probabilities: &ClassProbabilities<'_>,
        labels: &[u32],
        seed: Option<Seed>,
    ) -> Result<Vec<f64>> {
        self.of_labels_with(probabilities, labels, &shares(probabilities.rows(), seed, "calibration rows"))
    }

    /// The scores of labels with `u` for each row.
    pub(super) fn of_labels_with(
        self,
        probabilities: &ClassProbabilities<'_>,
        labels: &[u32],
        shares: &[f64],
    ) -> Result<Vec<f64>> {
        self.check()?;
        check_any(probabilities.rows())?;
        probabilities.check_labels(labels)?;
        let mut row = RowScores::new(self, probabilities.classes());
        let rows = probabilities.iter().zip(shares).zip(labels);
        Ok(rows.filter_map(|((p, u), label)| row.of(p, *u).get(*label as usize).copied()).collect())
    }

    /// Checks the penalty.
    pub(super) fn check(self) -> Result<()> {
        match self {
            Self::Raps { lambda, .. } if !(lambda >= 0.0 && lambda.is_finite()) => {
                Err(Error::invalid("lambda of RAPS", "0 or more, and finite", lambda))
            }
            _ => Ok(()),
        }
    }
}

/// Checks that new rows have a seed if the fit had one, and none otherwise.
pub(super) fn check_seed(seed: Option<Seed>, randomized: bool) -> Result<()> {
    if seed.is_some() == randomized {
        return Ok(());
    }
    let must = if randomized { "given, as the fit had one" } else { "left out, as the fit had none" };
    let got = if seed.is_some() { "given" } else { "missing" };
    Err(Error::invalid("seed of the prediction sets", must, got))
}

/// `u` for each row: 1, or a draw if there is a seed.
pub(super) fn shares(rows: usize, seed: Option<Seed>, name: &str) -> Vec<f64> {
    match seed {
        None => vec![1.0; rows],
        Some(seed) => {
            let mut rng = seed.child(name).rng();
            (0..rows).map(|_| rng.random()).collect()
        }
    }
}

/// The scores of all classes of one row, in memory that is kept.
#[derive(Debug)]
pub(super) struct RowScores {
    score: ClassScore,
    order: Vec<(f64, usize)>,
    scores: Vec<f64>,
}

impl RowScores {
    pub(super) fn new(score: ClassScore, classes: usize) -> Self {
        Self { score, order: Vec::with_capacity(classes), scores: vec![0.0; classes] }
    }

    /// The score of each class.
    pub(super) fn of(&mut self, probabilities: &[f64], share: f64) -> &[f64] {
        let Self { score, order, scores } = self;
        match *score {
            ClassScore::Lac => lac_scores(probabilities, scores),
            ClassScore::Aps => aps_scores(probabilities, share, Penalty::NONE, order, scores),
            ClassScore::Raps { lambda, k_reg } => {
                aps_scores(probabilities, share, Penalty { lambda, k_reg }, order, scores);
            }
        }
        scores
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bad_lambda_is_named() {
        let probabilities = ClassProbabilities::new(&[0.5, 0.5], 2).unwrap();
        let score = ClassScore::Raps { lambda: -1.0, k_reg: 1 };
        let error = score.of_labels(&probabilities, &[0], None).unwrap_err().to_string();
        assert_eq!(error, "lambda of RAPS must be 0 or more, and finite, but is -1");
        let none = ClassProbabilities::new(&[], 2).unwrap();
        assert!(ClassScore::Lac.of_labels(&none, &[], None).is_err());
    }

    #[test]
    fn draws_are_those_of_the_seed() {
        let draw = |seed: u64, name| shares(3, Some(Seed::from(seed)), name);
        assert_eq!(draw(1, "a"), draw(1, "a"));
        assert_ne!(draw(1, "a"), draw(2, "a"));
        assert_ne!(draw(1, "a"), draw(1, "b"));
        assert!(draw(1, "a").iter().all(|u| (0.0..1.0).contains(u)));
    }
}
