//! The ambiguity decomposition of one ensemble.
use crate::{check, evaluate::RowTargets, kernels::cpu, predictions::Predictions, Error, Result};
use serde::{Deserialize, Serialize};

use super::AdditiveLoss;

/// The squared error of an ensemble as that of its members less their ambiguity.
///
/// ```text
/// loss = member_loss − ambiguity
/// ```
///
/// See [`ambiguity()`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Ambiguity {
    /// The squared error of the ensemble.
    pub loss: f64,
    /// The weighted mean squared error of the members.
    pub member_loss: f64,
    /// The weighted mean squared distance of the members from the ensemble.
    pub ambiguity: f64,
    /// The mean squared distance of each member from the ensemble, on the rows that it predicts; `None` where
    /// it predicts none.
    pub members: Vec<Option<f64>>,
    /// Number of rows that at least one member of positive weight predicts: those of the means.
    pub rows: usize,
}

/// Decomposes the squared error of one ensemble into the mean error of its members and their ambiguity.
///
/// ```text
/// (f̄ − y)² = Σ_s α_s (f_s − y)² − Σ_s α_s (f_s − f̄)²,  f̄ = Σ_s α_s f_s
/// ```
///
/// `predictions` are `(S, N, C)` (slots, rows, classes or outputs). `weights` has the weight `α_s` of each slot,
/// 0 or more; they are divided by their sum, and `None` weighs all slots alike. For values the squared error is
/// the mean over the outputs; for class probabilities it is the Brier score, the sum over the classes. Where
/// predictions are missing, the weights of a row are those of the slots that predict it, divided by their sum.
///
/// So an average is never worse than its members on average, and the ambiguity, which needs no targets, says by
/// how much it is better. It holds for one ensemble, in contrast to decompositions over
/// [repeats](super::DiversityRepeats). The cost is one pass over the predictions.
///
/// # Errors
/// When the targets are of other rows, a weight is out of range, a prediction is not finite, or no row is
/// predicted.
///
/// ```
/// use candle_core::{Device, Tensor};
/// use candle_ensemble::{data::Task, evaluate::{decomposition::ambiguity, RowTargets}, predictions::Predictions};
///
/// let predictions = Tensor::new(&[[[1f32]], [[5.]]], &Device::Cpu)?;
/// let predictions = Predictions::new(predictions, Task::Regression { outputs: 1 })?;
/// let targets = RowTargets::values(&Tensor::new(&[0f32], &Device::Cpu)?)?;
/// let parts = ambiguity(&predictions, &targets, None)?;
/// assert_eq!((parts.loss, parts.member_loss, parts.ambiguity), (9., 13., 4.));
/// let parts = ambiguity(&predictions, &targets, Some(&[3., 1.]))?;
/// assert_eq!((parts.loss, parts.member_loss, parts.ambiguity), (4., 7., 3.));
/// # Ok::<(), candle_ensemble::Error>(())
/// ```
///
/// Source: Krogh and Vedelsby 1995, "Neural network ensembles, cross validation, and active learning", NIPS 7.
pub fn ambiguity(
    predictions: &Predictions,
    targets: &RowTargets,
    weights: Option<&[f64]>,
) -> Result<Ambiguity> {
    let (slots, rows, width) = predictions.values().dims3()?;
    if (targets.rows(), targets.width()) != (rows, width) {
        let must = format!("({rows}, {width}), those of the predictions");
        let got = format!("({}, {})", targets.rows(), targets.width());
        return Err(Error::invalid("rows and columns of the targets", must, got));
    }
    check::weights(weights, slots, false)?;
    predictions.check_finite()?;
    let covered = predictions.coverage_by_slot()?;
    let scale = AdditiveLoss::Squared.scale(targets);
    // The weight of a slot on a row.
    let alpha = |slot: usize, row: usize| match &covered {
        Some(covered) if covered[slot][row] <= 0. => None,
        _ => Some(weights.map_or(1., |weights| weights[slot])),
    };
    let mut sums = Sums { members: vec![(0., 0.); slots], ..Sums::default() };
    cpu::with_slice(predictions.values(), |values: &[f64]| {
        let of = |slot: usize, row: usize| values.get((slot * rows + row) * width..).unwrap_or_default();
        let mut mean = vec![0.; width];
        for row in 0..rows {
            let present = || (0..slots).filter_map(|slot| Some((slot, alpha(slot, row)?)));
            let total: f64 = present().map(|(_, alpha)| alpha).sum();
            let (weight, target) = (targets.weight(row), targets.row(row));
            if total <= 0. || weight <= 0. {
                continue;
            }
            mean.fill(0.);
            for (slot, alpha) in present() {
                mean.iter_mut().zip(of(slot, row)).for_each(|(mean, x)| *mean += alpha / total * x);
            }
            let error = |row: &[f64]| -> f64 {
                let squares = row.iter().take(width).enumerate().map(|(k, x)| (x - target.column(k)).powi(2));
                scale * squares.sum::<f64>()
            };
            sums.rows += 1;
            sums.weight += weight;
            sums.loss += weight * error(&mean);
            for (slot, alpha) in present() {
                let squares = of(slot, row).iter().zip(&mean).map(|(x, mean)| (x - mean).powi(2));
                let distance = scale * squares.sum::<f64>();
                sums.member_loss += weight * alpha / total * error(of(slot, row));
                sums.ambiguity += weight * alpha / total * distance;
                sums.members[slot].0 += weight * distance;
                sums.members[slot].1 += weight;
            }
        }
    })?;
    sums.means()
}

#[derive(Default)]
struct Sums {
    rows: usize,
    weight: f64,
    loss: f64,
    member_loss: f64,
    ambiguity: f64,
    /// The distances of each slot, and the weights of its rows.
    members: Vec<(f64, f64)>,
}

impl Sums {
    fn means(self) -> Result<Ambiguity> {
        if self.rows == 0 {
            let what = "number of rows of positive weight that a member predicts";
            return Err(Error::invalid(what, "at least 1", 0));
        }
        let mean = |(sum, weight): &(f64, f64)| (*weight > 0.).then(|| sum / weight);
        Ok(Ambiguity {
            loss: self.loss / self.weight,
            member_loss: self.member_loss / self.weight,
            ambiguity: self.ambiguity / self.weight,
            members: self.members.iter().map(mean).collect(),
            rows: self.rows,
        })
    }
}
