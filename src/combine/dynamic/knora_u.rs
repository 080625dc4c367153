//! KNORA-Union: votes for each nearby row that a member is right about.
use crate::combine::{
    dynamic::{competence::Competence, knora::Knora},
    CompetenceMeasure, DynamicSelection, FittedDynamicSelection,
};
use serde::{Deserialize, Serialize};

/// KNORA-Union: for each row, a member has one vote for each of the `k` nearest held-out rows that it is
/// right about.
///
/// If no member is right about any of them, each member has one vote.
///
/// ```text
/// v_s = k Σ_i w_i [member s is right about row i] / Σ_i w_i    over the k nearest rows i, with the weights w_i of the rows
/// p_c = Σ_s v_s [member s votes for class c] / Σ_s v_s
/// ```
///
/// It is fitted on held-out predictions `(S, R, C)` and combines `(S, B, C)` to `(B, C)`.
/// In a row with missing predictions the slots that predict it are compared. Each slot is judged by the `k`
/// nearest held-out rows that it predicts itself; a slot that predicts fewer than `k` is judged by those. Rows
/// of weight 0 are left out.
///
/// Use it when members are better in some regions of the inputs than in others and there are at least some
/// hundred held-out rows to show it. It is milder than [`KnoraE`](crate::combine::KnoraE): every member that
/// is right about one near row has a say. When members are about equally good everywhere it is close to
/// [`HardVote`](crate::combine::HardVote) and costs more. The inputs are compared as they are, so standardize
/// them first; with many inputs distances say little, and [`Space::Outputs`](crate::combine::Space::Outputs)
/// can do better. For classes only; no gradient passes through it.
///
/// The fit takes `R·S` operations and keeps `R·(F + S)` numbers for `F` inputs. A prediction searches the
/// nearest rows: in a k-d tree up to 16 inputs, otherwise among all `R` rows.
///
/// # Errors
/// Fitting fails for regression, for `k` = 0, without held-out rows, and when the inputs are needed and
/// missing.
///
/// ```
/// use candle_core::{Device, Tensor};
/// use candle_ensemble::{combine::*, data::Task, predictions::*, HeldOut};
///
/// // The first member is right for negative inputs, the second one for the others.
/// let x = Tensor::arange(-10f32, 10., &Device::Cpu)?.unsqueeze(1)?;
/// let right = x.lt(0f32)?.to_dtype(x.dtype())?;
/// let first = Tensor::cat(&[&right, &(1. - &right)?], 1)?;
/// let second = (1. - &first)?;
/// let predicted = Predictions::new(Tensor::stack(&[first, second], 0)?, Task::Classification { classes: 2 })?;
/// let held_out = HeldOut::from_predictions(&predicted, &Tensor::zeros(20, candle_core::DType::U32, &Device::Cpu)?)?;
/// let fitted = KnoraU::new(3).fit(&held_out.clone().with_inputs(&x)?)?;
/// let p = fitted.combine(&predicted.with_inputs(&x)?)?; // the true class everywhere
/// assert!(p.to_vec2::<f32>()?.iter().all(|p| p[0] > 0.5));
/// # Ok::<(), candle_ensemble::Error>(())
/// ```
///
/// Source: Ko, Sabourin and Britto 2008, doi:10.1016/j.patcog.2007.10.015; the votes are those of DESlib.
pub type KnoraU = DynamicSelection<KnoraUnion>;

/// A fitted [`KnoraU`].
pub type FittedKnoraU = FittedDynamicSelection<KnoraUnion>;

/// The competence measure of [`KnoraU`]: votes for each near row that a member is right about.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct KnoraUnion;

impl CompetenceMeasure for KnoraUnion {}

impl Knora for KnoraUnion {
    const NAME: &'static str = "knora-u";
    const TITLE: &'static str = "KNORA-U";

    /// For each slot the share of the rows that it is right about, by weight, times `k`.
    fn votes(competence: &Competence, nearest: &[(usize, &[u32])]) -> Vec<f64> {
        let votes = |(slot, nearest): &(usize, &[u32])| {
            let right = nearest.iter().filter(|row| competence.is_right(**row, *slot));
            let right: f64 = right.map(|row| competence.weight(*row)).sum();
            let total: f64 = nearest.iter().map(|row| competence.weight(*row)).sum();
            if total > 0. {
                right * (competence.k as f64 / total)
            } else {
                0.
            }
        };
        nearest.iter().map(votes).collect()
    }
}
