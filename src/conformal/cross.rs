//! Jackknife+ and CV+, and their minmax variants.
use super::{
    aggregation::Aggregation,
    inputs::{check_alpha, check_finite},
    quantile::{upper_quantile, upper_rank},
    ragged::Ragged,
    shifted::ShiftedSelection,
    PredictionInterval,
};
use crate::{codec::real, Error, Result};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, num::NonZeroUsize};

/// New rows that are predicted at a time.
const BLOCK: usize = 64;

/// How [`CrossConformal`] makes intervals from the residuals and the predictions of the members.
///
/// # Examples
/// ```
/// use candle_ensemble::conformal::{Aggregation, CrossConformal, CrossMethod};
///
/// // Two folds of one row each, with the residuals 1 and 2.
/// let (held_out, targets) = ([0.0, f64::NAN, f64::NAN, 0.0], [1.0, 2.0]);
/// let interval = |method| {
///     let fitted = CrossConformal::fit(&held_out, 2, &targets, Aggregation::Mean, method, 0.4)?;
///     Ok::<_, candle_ensemble::Error>(fitted.predict(&[10.0, 20.0])?[0])
/// };
/// let plus = interval(CrossMethod::Plus)?; // of 10 ± 1 and 20 ± 2
/// assert_eq!((plus.low, plus.high), (9.0, 22.0));
/// let minmax = interval(CrossMethod::MinMax)?; // 10 − 2 and 20 + 2
/// assert_eq!((minmax.low, minmax.high), (8.0, 22.0));
/// # Ok::<(), candle_ensemble::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum CrossMethod {
    /// Jackknife+ or CV+: quantiles of `μ₋ᵢ(x) ± Rᵢ` over the calibration rows. The coverage is close to
    /// `1 − α` in practice, and the guarantee is `1 − 2α`.
    #[default]
    Plus,
    /// The least and the greatest prediction `μ₋ᵢ(x)`, less and plus the quantile of the residuals. The
    /// jackknife-minmax has the guarantee `1 − α`, and intervals that are often much too wide.
    MinMax,
}

/// Jackknife+ and CV+: intervals from members that were each fitted on a part of the rows, without rows set
/// aside.
///
/// ```text
/// Rᵢ = |yᵢ − μ₋ᵢ(xᵢ)|,  μ₋ᵢ = the members that were not fitted on row i, aggregated
/// plus:    C(x) = [⌊(n + 1)α⌋-th smallest of μ₋ᵢ(x) − Rᵢ,  ⌈(n + 1)(1 − α)⌉-th smallest of μ₋ᵢ(x) + Rᵢ]
/// minmax:  C(x) = [minᵢ μ₋ᵢ(x) − q, maxᵢ μ₋ᵢ(x) + q],  q = the conformal quantile of Rᵢ
/// ```
///
/// The method is named after the members:
///
/// - **jackknife+**: member `i` was fitted on all rows but row `i`.
/// - **CV+**: member `k` was fitted on all rows but fold `k`. With repeated folds, a row has a member for
///   each repetition, which are aggregated.
/// - **jackknife+-after-bootstrap**: member `m` was fitted on a bootstrap sample; see
///   [`CrossConformal::after_bootstrap`].
///
/// For exchangeable rows and a fit that does not depend on their order, the coverage of jackknife+ is at
/// least `1 − 2α`, and that of CV+ at least `1 − 2α − √(2/n)`. In practice both are close to `1 − α`, except
/// with unstable fits. Use it where rows are few. Where rows are plenty,
/// [`SplitConformal`](super::SplitConformal) needs one fit, has the guarantee `1 − α` and is as good. It is
/// no method for rows in groups or time series unless the folds respect them, since their rows are not
/// exchangeable.
///
/// The guarantee is for the members as they are fitted, each on its own rows: no choice, such as a number of
/// epochs, may have been made on the rows that a member holds out.
///
/// Rows that no member holds out are left out. There is no guarantee by group: to have one, call this with
/// the rows of one group at a time.
///
/// Rows that the same members hold out share the aggregated prediction. With `p` such sets of members (the
/// folds, at most `n`), a new row costs the aggregation of `p` predictions, and a selection: `O(p log² n)`,
/// or `O(n)` if `p` is close to `n`. The residuals are sorted once, in the fit. The memory is `O(n + 64 M)`
/// for a block of 64 new rows.
///
/// # Examples
/// ```
/// use candle_ensemble::conformal::{Aggregation, CrossConformal, CrossMethod};
///
/// // Two folds of two rows: member 0 predicts rows 0 and 1, on which it was not fitted.
/// const NOT: f64 = f64::NAN;
/// let held_out = [1.0, 2.0, NOT, NOT, NOT, NOT, 3.0, 4.0];
/// let targets = [1.5, 2.25, 2.0, 5.0];
/// let fitted =
///     CrossConformal::fit(&held_out, 2, &targets, Aggregation::Mean, CrossMethod::Plus, 0.4)?;
/// // Upper ends: the third of 10.25, 10.5, 21, 21. Lower ends: the second of 9.5, 9.75, 19, 19.
/// let intervals = fitted.predict(&[10.0, 20.0])?;
/// assert_eq!((intervals[0].low, intervals[0].high), (9.75, 21.0));
/// # Ok::<(), candle_ensemble::Error>(())
/// ```
///
/// Source: Barber, Candès, Ramdas and Tibshirani 2021, arXiv:1905.02928.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CrossConformal {
    members: NonZeroUsize,
    aggregation: Aggregation,
    method: CrossMethod,
    /// For each set of members, their numbers in ascending order.
    sets: Ragged<u32>,
    /// For each set of members, the residuals of the rows that they hold out, in ascending order.
    residuals: Ragged<f64>,
    /// The rank of the ends, or `None` where the rows are too few.
    rank: Option<usize>,
    /// The conformal quantile of all residuals.
    #[serde(with = "real")]
    quantile: f64,
}

impl CrossConformal {
    /// Fits on the `(M, N)` predictions of `members` members for `N` rows (row-major), NaN where a member was
    /// fitted on the row, and on the targets of the rows.
    ///
    /// # Errors
    /// When there are no members or no rows, the lengths differ, a prediction is infinite, a target is not
    /// finite, no row is held out by a member, or `alpha` is not above 0 and below 1.
    pub fn fit(
        held_out: &[f64],
        members: usize,
        targets: &[f64],
        aggregation: Aggregation,
        method: CrossMethod,
        alpha: f64,
    ) -> Result<Self> {
        check_alpha(alpha)?;
        let members = check_table("held-out predictions", held_out, members, targets.len())?;
        check_finite("target", targets)?;
        let by_set = residuals_by_set(held_out, targets, aggregation)?;
        let (mut sets, mut residuals) = (Ragged::new(), Ragged::new());
        for (set, mut own) in by_set {
            own.sort_unstable_by(f64::total_cmp);
            sets.push(set);
            residuals.push(own);
        }
        let rows = residuals.items().len();
        if rows == 0 {
            return Err(Error::invalid("number of rows that a member holds out", "at least 1", 0));
        }
        let quantile = upper_quantile(&mut residuals.items().to_vec(), alpha);
        Ok(Self { members, aggregation, method, sets, residuals, rank: upper_rank(rows, alpha), quantile })
    }

    /// How the predictions of several members become one.
    #[must_use]
    pub fn aggregation(&self) -> Aggregation {
        self.aggregation
    }

    /// Number of calibration rows: those that at least one member holds out.
    #[must_use]
    pub fn rows(&self) -> usize {
        self.residuals.items().len()
    }

    /// The conformal quantile of the residuals.
    #[must_use]
    pub fn quantile(&self) -> f64 {
        self.quantile
    }

    /// The intervals of `K` new rows, from the `(M, K)` predictions of all members for them (row-major).
    ///
    /// # Errors
    /// When the length is not a multiple of the number of members, or a prediction is not finite.
    pub fn predict(&self, predictions: &[f64]) -> Result<Vec<PredictionInterval>> {
        let rows = predictions.len() / self.members;
        if rows * self.members.get() != predictions.len() {
            let must = format!("a multiple of {}, one for each member and new row", self.members);
            return Err(Error::invalid("number of predictions", must, predictions.len()));
        }
        if let Some((at, p)) = predictions.iter().enumerate().find(|(_, p)| !p.is_finite()) {
            let what = format!("prediction of member {} for new row {}", at / rows, at % rows);
            return Err(Error::invalid(what, "finite", p));
        }
        let blocks = (0..rows.div_ceil(BLOCK)).into_par_iter();
        let blocks: Vec<_> =
            blocks.map(|block| self.predict_block(predictions, rows, block * BLOCK)).collect();
        Ok(blocks.concat())
    }

    /// The intervals of the new rows of one block.
    fn predict_block(&self, predictions: &[f64], rows: usize, start: usize) -> Vec<PredictionInterval> {
        let mut scratch = Scratch::new(&self.residuals);
        let columns = columns(predictions, rows, start);
        columns.chunks_exact(self.members.get()).map(|column| self.interval(column, &mut scratch)).collect()
    }

    /// The interval of one new row, from the predictions of all members.
    fn interval(&self, column: &[f64], scratch: &mut Scratch<'_>) -> PredictionInterval {
        scratch.centres.clear();
        for set in self.sets.iter() {
            scratch.centres.extend(self.centre(set, column, &mut scratch.of_set));
        }
        match self.method {
            CrossMethod::Plus => self.plus(scratch),
            CrossMethod::MinMax => self.minmax(&scratch.centres),
        }
    }

    /// The aggregated prediction of a set of members.
    fn centre(&self, set: &[u32], column: &[f64], of_set: &mut Vec<f64>) -> Option<f64> {
        if let [member] = set {
            return column.get(*member as usize).copied();
        }
        of_set.clear();
        of_set.extend(set.iter().filter_map(|member| column.get(*member as usize)));
        self.aggregation.of(of_set)
    }

    fn plus(&self, scratch: &mut Scratch<'_>) -> PredictionInterval {
        let Scratch { centres, selection, .. } = scratch;
        let Some(rank) = self.rank else { return PredictionInterval::around(0.0, f64::INFINITY) };
        let high = selection.select(centres.iter().copied(), rank);
        // The k-th smallest of μ − R is the negative of the k-th greatest of R − μ, whose rank from below is
        // that of the upper end.
        let negative_low = selection.select(centres.iter().map(|centre| -centre), rank);
        PredictionInterval {
            low: -negative_low.unwrap_or(f64::INFINITY),
            high: high.unwrap_or(f64::INFINITY),
        }
    }

    fn minmax(&self, centres: &[f64]) -> PredictionInterval {
        let low = centres.iter().copied().fold(f64::INFINITY, f64::min);
        let high = centres.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        PredictionInterval { low: low - self.quantile, high: high + self.quantile }
    }
}

/// The memory of a prediction.
#[derive(Debug)]
struct Scratch<'a> {
    /// The predictions of one set of members.
    of_set: Vec<f64>,
    /// The aggregated prediction of each set.
    centres: Vec<f64>,
    selection: ShiftedSelection<'a>,
}

impl<'a> Scratch<'a> {
    fn new(residuals: &'a Ragged<f64>) -> Self {
        Self { of_set: Vec::new(), centres: Vec::new(), selection: ShiftedSelection::new(residuals) }
    }
}

/// The residuals of the rows that a member holds out, by the set of those members.
fn residuals_by_set(
    held_out: &[f64],
    targets: &[f64],
    aggregation: Aggregation,
) -> Result<BTreeMap<Vec<u32>, Vec<f64>>> {
    let mut rows: Vec<(Vec<u32>, Vec<f64>)> = vec![Default::default(); targets.len()];
    for (member, predictions) in held_out.chunks_exact(targets.len()).enumerate() {
        for (row, ((members, values), p)) in rows.iter_mut().zip(predictions).enumerate() {
            if p.is_infinite() {
                let what = format!("prediction of member {member} for row {row}");
                return Err(Error::invalid(what, "finite, or NaN where it is missing", p));
            }
            if !p.is_nan() {
                members.push(member as u32);
                values.push(*p);
            }
        }
    }
    let mut by_set = BTreeMap::<Vec<u32>, Vec<f64>>::new();
    for ((members, mut values), target) in rows.into_iter().zip(targets) {
        if let Some(centre) = aggregation.of(&mut values) {
            by_set.entry(members).or_default().push((target - centre).abs());
        }
    }
    Ok(by_set)
}

/// The predictions of all members for the new rows of a block, `(rows of the block, M)`.
fn columns(predictions: &[f64], rows: usize, start: usize) -> Vec<f64> {
    let end = rows.min(start + BLOCK);
    let members: Vec<&[f64]> =
        predictions.chunks_exact(rows).filter_map(|member| member.get(start..end)).collect();
    let of_row = |row: usize| members.iter().filter_map(move |member| member.get(row).copied());
    (0..end.saturating_sub(start)).flat_map(of_row).collect()
}

/// Checks a table of `members` by `rows`, both at least 1.
pub(super) fn check_table(what: &str, table: &[f64], members: usize, rows: usize) -> Result<NonZeroUsize> {
    let some = NonZeroUsize::new(members);
    let some = some.ok_or_else(|| Error::invalid("number of members", "at least 1", 0))?;
    super::inputs::check_any(rows)?;
    if Some(table.len()) != members.checked_mul(rows) {
        let must = format!("{members} · {rows}, one for each member and row");
        return Err(Error::invalid(format!("number of {what}"), must, table.len()));
    }
    Ok(some)
}
