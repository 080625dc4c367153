//! How well a score tells rows of another kind from those of the training.
use crate::{Error, Result};
use serde::{Deserialize, Serialize};

/// How well an uncertainty score detects rows of another kind (out of distribution), such as letters for a network of digits.
///
/// Scores are larger for rows that are less certain: entropies, mutual informations, [energies](crate::uncertainty::energy),
/// `1 −` the largest probability. Infinite scores are allowed. Rows with equal scores count half for and half against.
///
/// No threshold is chosen, so the figures compare scores; they do not say how many of your rows are of another kind. The
/// areas under the precision–recall curves depend on the share of such rows, so compare them for the same rows only.
///
/// # Examples
/// ```
/// use candle_ensemble::uncertainty::Detection;
///
/// let (digits, letters) = ([0.1, 0.2, 0.2, 0.6], [0.4, 0.7, 0.9]);
/// let detection = Detection::new(&digits, &letters)?;
/// assert_eq!(detection.auroc, 11. / 12.);
/// assert_eq!(detection.fpr_at_95, 1. / 3.); // the threshold that keeps 95 % of the digits is 0.6
/// # Ok::<(), candle_ensemble::Error>(())
/// ```
///
/// Sources: Hendrycks and Gimpel 2017, arXiv:1610.02136; Liang, Li and Srikant 2018, arXiv:1706.02690.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Detection {
    /// The probability that a row of another kind has the larger score; 0.5 for a score that knows nothing.
    pub auroc: f64,
    /// The average precision with the rows of another kind as the positive class.
    pub aupr_out: f64,
    /// The average precision with the rows of the training's kind as the positive class.
    pub aupr_in: f64,
    /// The share of the rows of another kind that are taken for those of the training, at the smallest threshold that keeps
    /// at least 95 % of those of the training.
    pub fpr_at_95: f64,
}

/// The rows with one score.
#[derive(Clone, Copy)]
struct Group {
    inside: f64,
    outside: f64,
}

impl Detection {
    /// The figures for the scores of rows like those of the training (`inside`) and of rows of another kind (`outside`).
    ///
    /// # Errors
    /// When one of the lists is empty, or a score is NaN.
    pub fn new(inside: &[f64], outside: &[f64]) -> Result<Self> {
        for (name, scores) in [("inside", inside), ("outside", outside)] {
            if scores.is_empty() {
                return Err(Error::invalid(format!("number of scores {name}"), "at least 1", 0));
            }
            if let Some(row) = scores.iter().position(|score| score.is_nan()) {
                return Err(Error::invalid(format!("score {row} {name}"), "a number", f64::NAN));
            }
        }
        let groups = groups(inside, outside);
        let (ins, outs) = (inside.len() as f64, outside.len() as f64);
        let falling: Vec<_> = groups.iter().rev().map(|g| (g.outside, g.inside)).collect();
        let rising: Vec<_> = groups.iter().map(|g| (g.inside, g.outside)).collect();
        Ok(Self {
            auroc: auroc(&groups, ins, outs),
            aupr_out: average_precision(&falling, outs),
            aupr_in: average_precision(&rising, ins),
            fpr_at_95: accepted_outside(&groups, 0.95 * ins) / outs,
        })
    }
}

/// The rows by score, from the least to the greatest.
fn groups(inside: &[f64], outside: &[f64]) -> Vec<Group> {
    let mut all: Vec<(f64, bool)> =
        inside.iter().map(|s| (*s, false)).chain(outside.iter().map(|s| (*s, true))).collect();
    // 0 and −0 are equal, and both orders of them end in one group.
    all.sort_unstable_by(|(a, _), (b, _)| a.total_cmp(b));
    let group = |rows: &[(f64, bool)]| {
        let outside = rows.iter().filter(|(_, outside)| *outside).count();
        Group { inside: (rows.len() - outside) as f64, outside: outside as f64 }
    };
    all.chunk_by(|(a, _), (b, _)| a == b).map(group).collect()
}

fn auroc(groups: &[Group], ins: f64, outs: f64) -> f64 {
    let (mut below, mut won) = (0., 0.);
    for group in groups {
        won += group.outside * (below + 0.5 * group.inside);
        below += group.inside;
    }
    won / (ins * outs)
}

/// `Σ_k (R_k − R_{k−1}) P_k` over the thresholds, for groups of (positive, negative) rows from the surest positive on.
fn average_precision(groups: &[(f64, f64)], positives: f64) -> f64 {
    let (mut found, mut taken, mut area) = (0., 0., 0.);
    for (positive, negative) in groups {
        found += positive;
        taken += positive + negative;
        area += positive / positives * (found / taken);
    }
    area
}

/// The number of rows outside up to the first score up to which there are `needed` rows inside.
fn accepted_outside(groups: &[Group], needed: f64) -> f64 {
    let (mut ins, mut outs) = (0., 0.);
    for group in groups {
        ins += group.inside;
        outs += group.outside;
        if ins >= needed {
            break;
        }
    }
    outs
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// scikit-learn 1.9: roc_auc_score and average_precision_score of the same scores.
    #[test]
    fn areas_are_those_of_scikit_learn() {
        let (inside, outside) = ([0.1, 0.2, 0.2, 0.6, 0.8], [0.4, 0.7, 0.9, 0.2]);
        let got = Detection::new(&inside, &outside).unwrap();
        assert!((got.auroc - 0.7).abs() < 1e-12, "{got:?}");
        assert!((got.aupr_out - AUPR_OUT).abs() < 1e-12, "{got:?}");
        assert!((got.aupr_in - AUPR_IN).abs() < 1e-12, "{got:?}");
        assert_eq!(got.fpr_at_95, 0.75);
    }
    /// By hand: 1/4 · (1 + 2/3 + 3/5 + 4/8).
    const AUPR_OUT: f64 = 0.25 * (1. + 2. / 3. + 3. / 5. + 4. / 8.);
    /// By hand: 1/5 (1 + 2 · 3/4 + 4/6 + 5/8).
    const AUPR_IN: f64 = 0.2 * (1. + 2. * 3. / 4. + 4. / 6. + 5. / 8.);

    proptest! {
        #[test]
        fn the_area_is_the_share_of_pairs(
            inside in prop::collection::vec(-4i8..4, 1..20),
            outside in prop::collection::vec(-4i8..4, 1..20),
        ) {
            let wide = |x: &[i8]| x.iter().map(|x| f64::from(*x)).collect::<Vec<_>>();
            let (inside, outside) = (wide(&inside), wide(&outside));
            let got = Detection::new(&inside, &outside).unwrap();
            let mut won = 0.;
            for a in &inside {
                won += outside.iter().map(|b| if b > a { 1. } else if b == a { 0.5 } else { 0. }).sum::<f64>();
            }
            let pairs = (inside.len() * outside.len()) as f64;
            prop_assert!((got.auroc - won / pairs).abs() < 1e-12);
            // The other way about.
            let negative = |x: &[f64]| x.iter().map(|x| -x).collect::<Vec<_>>();
            let turned = Detection::new(&negative(&outside), &negative(&inside)).unwrap();
            prop_assert!((got.auroc - turned.auroc).abs() < 1e-12);
            prop_assert!((got.aupr_out - turned.aupr_in).abs() < 1e-12);
            // The threshold as the definition says.
            let mut sorted = inside.clone();
            sorted.sort_by(f64::total_cmp);
            let threshold = sorted[(0.95 * inside.len() as f64).ceil() as usize - 1];
            let accepted = outside.iter().filter(|score| **score <= threshold).count() as f64;
            prop_assert_eq!(got.fpr_at_95, accepted / outside.len() as f64);
        }
    }

    #[test]
    fn scores_that_do_not_fit_are_errors_and_infinite_ones_are_not() {
        assert!(Detection::new(&[], &[1.]).is_err() && Detection::new(&[1.], &[]).is_err());
        assert!(Detection::new(&[1., f64::NAN], &[1.]).unwrap_err().to_string().contains("score 1 inside"));
        assert_eq!(Detection::new(&[f64::NEG_INFINITY, 0.], &[f64::INFINITY]).unwrap().auroc, 1.);
        assert_eq!(Detection::new(&[-0.], &[0.]).unwrap().auroc, 0.5);
    }
}
