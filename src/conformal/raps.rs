//! Selection of the regularization of RAPS.
use super::{
    aps::rank_of, inputs::check_alpha, quantile::upper_quantile, ClassConformal, ClassProbabilities,
    ClassScore, Condition, EmptySets,
};
use crate::{Error, Result, Seed};

/// The values of `lambda` that the paper tries.
pub const RAPS_LAMBDAS: [f64; 5] = [0.001, 0.01, 0.1, 0.2, 0.5];

/// Selects `lambda` and `k_reg` of [`ClassScore::Raps`] for small sets, on rows of their own.
///
/// ```text
/// k_reg  = the conformal quantile of the ranks of the labels
/// lambda = the one of `lambdas` whose sets are the smallest on average
/// ```
///
/// The rows are rows that the model was not fitted on, and that [`ClassConformal::fit`] does not use
/// afterwards: a selection on its calibration rows breaks the guarantee. Each `lambda` is calibrated and
/// measured on the rows given here. Of equally good values the least is selected. Empty sets count as 0, and
/// with a seed the scores are randomized, as they shall be afterwards.
///
/// With few rows the conformal quantile of the ranks is infinite; `k_reg` is the number of classes then, so
/// that there is no penalty.
///
/// # Errors
/// When there are no rows, the lengths differ, a label is not the number of a class, `lambdas` is empty or
/// has a negative or infinite value, or `alpha` is not above 0 and below 1.
///
/// # Examples
/// ```
/// use candle_ensemble::conformal::{select_raps, ClassProbabilities, ClassScore, RAPS_LAMBDAS};
///
/// let values = [0.5, 0.25, 0.25, 0.25, 0.5, 0.25, 0.125, 0.125, 0.75];
/// let rows = ClassProbabilities::new(&values, 3)?;
/// // The labels have the ranks 1, 2 and 1, of which the third is 2.
/// let score = select_raps(&rows, &[0, 0, 2], 0.25, &RAPS_LAMBDAS, None)?;
/// assert!(matches!(score, ClassScore::Raps { k_reg: 2, .. }));
/// # Ok::<(), candle_ensemble::Error>(())
/// ```
///
/// Source: Angelopoulos, Bates, Malik and Jordan 2021, arXiv:2009.14193, appendix E.
pub fn select_raps(
    probabilities: &ClassProbabilities<'_>,
    labels: &[u32],
    alpha: f64,
    lambdas: &[f64],
    seed: Option<Seed>,
) -> Result<ClassScore> {
    check_alpha(alpha)?;
    probabilities.check_labels(labels)?;
    let k_reg = k_reg(probabilities, labels, alpha);
    let mut best: Option<(usize, f64)> = None;
    for lambda in lambdas {
        let size =
            total_size(ClassScore::Raps { lambda: *lambda, k_reg }, probabilities, labels, alpha, seed)?;
        if best.is_none_or(|(least, at)| size < least || (size == least && *lambda < at)) {
            best = Some((size, *lambda));
        }
    }
    match best {
        Some((_, lambda)) => Ok(ClassScore::Raps { lambda, k_reg }),
        None => Err(Error::invalid("number of values of lambda", "at least 1", 0)),
    }
}

/// The conformal quantile of the ranks of labels, at most the number of classes.
fn k_reg(probabilities: &ClassProbabilities<'_>, labels: &[u32], alpha: f64) -> usize {
    let mut order = Vec::new();
    let rows = probabilities.iter().zip(labels);
    let mut ranks: Vec<f64> = rows
        .filter_map(|(p, label)| rank_of(*label as usize, p, &mut order))
        .map(|rank| rank as f64)
        .collect();
    upper_quantile(&mut ranks, alpha).min(probabilities.classes() as f64) as usize
}

/// The sum of the sizes of the sets of rows that are calibrated on the same rows.
fn total_size(
    score: ClassScore,
    probabilities: &ClassProbabilities<'_>,
    labels: &[u32],
    alpha: f64,
    seed: Option<Seed>,
) -> Result<usize> {
    let fitted = ClassConformal::fit(score, probabilities, labels, Condition::Marginal, alpha, seed)?;
    Ok(fitted.predict(probabilities, None, EmptySets::Keep, seed)?.sizes().iter().sum())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Of the sizes by hand: a penalty from the second rank on cuts the tail of the unsure row.
    #[test]
    fn the_smallest_sets_win() {
        let values = [0.75, 0.125, 0.125, 0.75, 0.125, 0.125, 0.375, 0.3125, 0.3125, 0.875, 0.0625, 0.0625];
        let rows = ClassProbabilities::new(&values, 3).unwrap();
        let labels = [0, 0, 0, 0];
        // Scores of the labels: 0.75, 0.75, 0.375, 0.875, and k_reg is 1. With α = 0.25 the quantile is
        // 0.875. The second class of the third row has 0.6875 + λ: it is in the set unless λ is above 0.1875,
        // and the third has 1 + 2λ.
        let select = |lambdas: &[f64]| select_raps(&rows, &labels, 0.25, lambdas, None).unwrap();
        assert_eq!(select(&[0.0, 0.125, 0.25, 0.5]), ClassScore::Raps { lambda: 0.25, k_reg: 1 });
        assert_eq!(select(&[0.125, 0.0625]), ClassScore::Raps { lambda: 0.0625, k_reg: 1 });
    }

    #[test]
    fn too_few_rows_give_no_penalty() {
        let rows = ClassProbabilities::new(&[0.5, 0.25, 0.25], 3).unwrap();
        let score = select_raps(&rows, &[0], 0.1, &[0.1], None).unwrap();
        assert_eq!(score, ClassScore::Raps { lambda: 0.1, k_reg: 3 });
        assert!(select_raps(&rows, &[0], 0.1, &[], None).is_err());
        assert!(select_raps(&rows, &[0], 0.1, &[-1.0], None).is_err());
        assert!(select_raps(&rows, &[3], 0.1, &[0.1], None).is_err());
    }
}
