//! The error rate of weighted means, as a function of the weights.
use crate::{
    combine::{
        blend::search::{total, WeightLoss},
        held_out_table::HeldOutTable,
    },
    kernels::{float::Number, simd::vectorized},
    Result,
};

/// Weights of the last slot that are computed side by side.
const LANES: usize = 12;

/// The error rate of the weighted mean.
///
/// A row is wrong when `Σ_s w_s (p_s(y) − p_s(c))` is below 0 for some class `c`, or 0 for one below the true
/// class `y`. Most rows do not depend on the weights: in some, no slot gives another class more than the true
/// one, in some all slots do. Only the margins of the other rows, against the classes that can win, are kept.
pub(crate) struct ErrorRate {
    slots: usize,
    /// The weight of the rows that are wrong for all weights.
    always: f64,
    rows: Vec<Open>,
    /// For each class that can win a row the margin of each slot; 0 where its prediction is missing.
    margins: Vec<f64>,
}

/// A row that is right or wrong depending on the weights.
struct Open {
    weight: f64,
    /// The number of classes below the true one that can win, which win ties, and of those above it.
    rivals: [usize; 2],
    /// The slots that predict the row, where some do not, and whether their equal-weight mean is wrong.
    partial: Option<(Vec<usize>, bool)>,
}

impl ErrorRate {
    pub(crate) fn new<T: Number>(table: &HeldOutTable, all: &[T], labels: &[u32]) -> Self {
        let (slots, rows, width) = table.dims();
        let mut error = Self { slots, always: 0., rows: vec![], margins: vec![] };
        let mut margins = vec![0.; slots];
        for row in 0..rows {
            let label = labels[row] as usize;
            let present: Vec<usize> = (0..slots).filter(|slot| table.predicts(*slot, row)).collect();
            let start = error.margins.len();
            let (mut rivals, mut lost, mut wrong) = ([0, 0], false, false);
            for class in (0..width).filter(|class| *class != label) {
                let tie_lost = class < label;
                margins.fill(0.);
                for slot in &present {
                    let predicted = &all[(slot * rows + row) * width..][..width];
                    margins[*slot] = predicted[label].into() - predicted[class].into();
                }
                let loses = |margin: f64| margin < 0. || margin == 0. && tie_lost;
                let own = || present.iter().map(|slot| margins[*slot]);
                lost |= own().all(loses);
                wrong |= loses(own().sum());
                if own().any(loses) {
                    error.margins.extend_from_slice(&margins);
                    rivals[usize::from(!tie_lost)] += 1;
                }
            }
            let weight = table.weights[row];
            if lost {
                error.always += weight;
                error.margins.truncate(start);
            } else if rivals != [0, 0] {
                let partial = (present.len() < slots).then_some((present, wrong));
                error.rows.push(Open { weight, rivals, partial });
            }
        }
        error
    }
}

impl ErrorRate {
    /// The error rates for these weights of the last slot; `weights` are those of the others.
    fn side_by_side<const N: usize>(&self, weights: &[f64], last: &[f64; N]) -> [f64; N] {
        let mut losses = [self.always; N];
        let mut margins = self.margins.chunks_exact(self.slots);
        vectorized(
            #[inline(always)]
            || {
                for Open { weight, rivals: [below, above], partial } in &self.rows {
                    let mut lowest = |count| lowest_margins(margins.by_ref().take(count), weights, last);
                    let (below, above) = (lowest(*below), lowest(*above));
                    let by_equal = match partial {
                        Some((slots, wrong))
                            if slots.iter().all(|s| weights.get(*s).is_none_or(|w| *w == 0.)) =>
                        {
                            Some((slots.contains(&weights.len()), *wrong))
                        }
                        _ => None,
                    };
                    for (j, loss) in losses.iter_mut().enumerate() {
                        let mut wrong = (below[j] <= 0.) | (above[j] < 0.);
                        if let Some((reads_last, by_equal)) = by_equal
                            && !(reads_last && last[j] > 0.)
                        {
                            wrong = by_equal;
                        }
                        *loss += if wrong { *weight } else { 0. };
                    }
                }
            },
        );
        losses
    }
}

/// The lowest of some margins, for each weight of the last slot.
#[inline(always)]
fn lowest_margins<'a, const N: usize>(
    margins: impl Iterator<Item = &'a [f64]>,
    weights: &[f64],
    last: &[f64; N],
) -> [f64; N] {
    let mut lowest = [f64::INFINITY; N];
    for own in margins {
        let (own, of_last) = own.split_at(weights.len());
        let others = own.iter().zip(weights).map(|(m, w)| m * w).sum::<f64>();
        let of_last = of_last.first().copied().unwrap_or_default();
        for (lowest, w) in lowest.iter_mut().zip(last) {
            let margin = others + of_last * w;
            *lowest = if margin < *lowest { margin } else { *lowest };
        }
    }
    lowest
}

impl WeightLoss for ErrorRate {
    fn slots(&self) -> usize {
        self.slots
    }

    fn of(&self, weights: &[f64]) -> Result<f64> {
        match (total(weights), weights.split_last()) {
            (Some(_), Some((last, others))) => {
                let [loss] = self.side_by_side(others, &[*last]);
                Ok(loss)
            }
            _ => Ok(f64::INFINITY),
        }
    }

    fn of_last(&self, weights: &[f64], last: &[f64]) -> Result<Vec<f64>> {
        let mut losses = Vec::with_capacity(last.len());
        for chunk in last.chunks(LANES) {
            let mut lanes = [0.; LANES];
            lanes[..chunk.len()].copy_from_slice(chunk);
            losses.extend_from_slice(&self.side_by_side(weights, &lanes)[..chunk.len()]);
        }
        let others: f64 = weights.iter().sum();
        for (loss, w) in losses.iter_mut().zip(last) {
            if others + w <= 0. {
                *loss = f64::INFINITY;
            }
        }
        Ok(losses)
    }
}
