//! KNORA-Eliminate: the members that are right about all nearby rows.
use crate::combine::{
    dynamic::{competence::Competence, knora::Knora},
    CompetenceMeasure, DynamicSelection, FittedDynamicSelection,
};
use serde::{Deserialize, Serialize};

/// KNORA-Eliminate: for each row, the members vote that are right about all of the `k` nearest held-out rows.
///
/// If no member is right about all `k` of them, the `k − 1` nearest rows are used instead, then the `k − 2`
/// nearest, and so on. If no member is right about the very nearest one, all members vote.
///
/// ```text
/// run_s = how many of the nearest rows, counted from the nearest up to the first mistake, member s is right about
/// p_c   = share of the votes for class c among the members with run_s = max_t run_t
/// ```
///
/// It is fitted on held-out predictions `(S, R, C)` and combines `(S, B, C)` to `(B, C)`.
/// In a row with missing predictions the slots that predict it are compared. Each slot is judged by the `k`
/// nearest held-out rows that it predicts itself; a slot that predicts fewer than `k` is judged by those. Rows
/// of weight 0 are left out; otherwise row weights are not used.
///
/// Use it when each member is good in a different region of the inputs and there are at least some hundred
/// held-out rows to show it. Selection is strict: often a single member decides, so it helps little, or
/// harms, when all members are about equally good everywhere; then use [`Mean`](crate::combine::Mean).
/// [`KnoraU`](crate::combine::KnoraU) is milder. The inputs are compared as they are, so standardize them
/// first; with many inputs distances say little, and [`Space::Outputs`](crate::combine::Space::Outputs) can
/// do better. For classes only; no gradient passes through it.
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
/// let fitted = KnoraE::new(3).fit(&held_out.clone().with_inputs(&x)?)?;
/// let p = fitted.combine(&predicted.with_inputs(&x)?)?; // the true class everywhere
/// assert!(p.to_vec2::<f32>()?.iter().all(|p| p[0] > 0.5));
/// # Ok::<(), candle_ensemble::Error>(())
/// ```
///
/// Source: Ko, Sabourin and Britto 2008, doi:10.1016/j.patcog.2007.10.015; the selected members are those of
/// DESlib.
pub type KnoraE = DynamicSelection<KnoraEliminate>;

/// A fitted [`KnoraE`].
pub type FittedKnoraE = FittedDynamicSelection<KnoraEliminate>;

/// The competence measure of [`KnoraE`]: members that are right about the nearest rows in an unbroken run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct KnoraEliminate;

impl CompetenceMeasure for KnoraEliminate {}

impl Knora for KnoraEliminate {
    const NAME: &'static str = "knora-e";
    const TITLE: &'static str = "KNORA-E";

    /// One vote for each slot with the longest run of right predictions from the nearest row on.
    fn votes(competence: &Competence, nearest: &[(usize, &[u32])]) -> Vec<f64> {
        let run = |(slot, nearest): &(usize, &[u32])| {
            nearest.iter().take_while(|row| competence.is_right(**row, *slot)).count()
        };
        let runs: Vec<usize> = nearest.iter().map(run).collect();
        let longest = runs.iter().copied().max().unwrap_or_default();
        runs.into_iter().map(|run| f64::from(u8::from(run == longest))).collect()
    }
}
