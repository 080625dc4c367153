//! The squared error and the Brier score of the mean, as a quadratic function of the members' counts.
use crate::{
    combine::select::{panels::over_rows, Candidates, Scorer},
    kernels::{float::Number, simd::vectorized},
    threads::wide,
    Result,
};
use rayon::prelude::*;
use std::borrow::Cow;

/// With the residuals `e_s` of the members, `E_st = Σ_r w_r e_sr · e_tr`, and counts `n_s` that sum to `n`,
/// the loss is `Σ_st n_s n_t E_st / n²`. Only those rows of `E` are computed whose members are added.
pub(crate) struct SquaredError<'a, T: Number> {
    candidates: Candidates<'a, T>,
    /// The targets, `(R, C)`; `None` when the candidates are residuals already.
    truth: Option<Vec<f64>>,
    rows: Vec<Option<Vec<f64>>>,
    sums: Sums,
}

/// The loss as a function of the counts.
struct Sums {
    diagonal: Vec<f64>,
    /// `Σ_s n_s E_st` for each `t`.
    with_sum: Vec<f64>,
    /// `Σ_st n_s n_t E_st`.
    of_sum: f64,
    count: usize,
}

impl Sums {
    /// Those of no members, with this diagonal of `E`.
    fn new(diagonal: Vec<f64>) -> Self {
        Self { with_sum: vec![0.; diagonal.len()], diagonal, of_sum: 0., count: 0 }
    }

    fn losses_with_each(&self) -> Vec<f64> {
        let count = (self.count + 1) as f64;
        let own = self.with_sum.iter().zip(&self.diagonal);
        own.map(|(d, e)| ((self.of_sum + 2. * d + e) / (count * count)).max(0.)).collect()
    }

    /// Adds a member, whose row of `E` this is.
    fn add(&mut self, slot: usize, row: &[f64]) {
        self.of_sum += 2. * self.with_sum[slot] + self.diagonal[slot];
        self.with_sum.iter_mut().zip(row).for_each(|(sum, e)| *sum += e);
        self.count += 1;
    }
}

/// The same with products that are known, `E` of all slots.
#[cfg(feature = "learned")]
pub(crate) struct Products<'a> {
    products: &'a [f64],
    all: usize,
    slots: Vec<usize>,
    sums: Sums,
}

#[cfg(feature = "learned")]
impl<'a> Products<'a> {
    /// A scorer of these slots of `all`.
    pub(crate) fn new(products: &'a [f64], all: usize, slots: Vec<usize>) -> Self {
        let sums = Sums::new(slots.iter().map(|slot| products[slot * all + slot]).collect());
        Self { products, all, slots, sums }
    }
}

#[cfg(feature = "learned")]
impl Scorer for Products<'_> {
    fn losses_with_each(&mut self) -> Result<Vec<f64>> {
        Ok(self.sums.losses_with_each())
    }

    fn add(&mut self, slot: usize) {
        let row = &self.products[self.slots[slot] * self.all..][..self.all];
        let row: Vec<f64> = self.slots.iter().map(|other| row[*other]).collect();
        self.sums.add(slot, &row);
    }
}

impl<'a, T: Number> SquaredError<'a, T> {
    /// A scorer for classes. Residuals of probabilities lose no digits, so they are computed when needed.
    pub(crate) fn brier(candidates: Candidates<'a, T>, labels: &[u32]) -> Self {
        let mut truth = vec![0.; candidates.rows * candidates.width];
        labels
            .iter()
            .enumerate()
            .for_each(|(row, label)| truth[row * candidates.width + *label as usize] = 1.);
        Self::new(candidates, Some(truth))
    }

    fn new(candidates: Candidates<'a, T>, truth: Option<Vec<f64>>) -> Self {
        let (of, slots) = (&candidates, candidates.slots.len());
        let square = |slot: usize| -> f64 {
            let row = |row: usize| -> f64 {
                let truth = |k: usize| truth.as_ref().map_or(0., |t| t[row * of.width + k]);
                let predicted = of.row(slot, row).iter().enumerate();
                of.weights[row] * predicted.map(|(k, x)| ((*x).into() - truth(k)).powi(2)).sum::<f64>()
            };
            (0..of.rows).map(row).sum()
        };
        let diagonal = wide(|| (0..slots).into_par_iter().map(square).collect());
        Self { candidates, truth, rows: vec![None; slots], sums: Sums::new(diagonal) }
    }

    /// Row `slot` of `E`.
    fn row(&self, slot: usize) -> Vec<f64> {
        let (of, slots) = (&self.candidates, self.candidates.slots.len());
        // The last sum is the part of the targets, which is subtracted from each.
        let mut sums = over_rows(
            of.rows,
            slots + 1,
            0.,
            |rows, sums| {
                let from = rows.start * of.width;
                let mut own: Vec<f64> = Vec::with_capacity(rows.len() * of.width);
                for row in rows.clone() {
                    own.extend(of.row(slot, row).iter().map(|x| (*x).into()));
                }
                if let Some(truth) = &self.truth {
                    own.iter_mut().zip(&truth[from..]).for_each(|(x, y)| *x -= y);
                }
                for (own, row) in own.chunks_exact_mut(of.width).zip(rows.clone()) {
                    own.iter_mut().for_each(|x| *x *= of.weights[row]);
                }
                if let Some(truth) = &self.truth {
                    sums[slots] = own.iter().zip(&truth[from..]).map(|(x, y)| x * y).sum();
                }
                for (other, sum) in sums[..slots].iter_mut().enumerate() {
                    *sum = vectorized(
                        #[inline(always)]
                        || dot(&own, &of.slot(other)[from..from + own.len()]),
                    );
                }
            },
            |sum, part| *sum += part,
        );
        let of_truth = sums.pop().unwrap_or(0.);
        sums.iter_mut().for_each(|sum| *sum -= of_truth);
        sums
    }
}

impl<'a> SquaredError<'a, f64> {
    /// A scorer for values. Residuals may be much smaller than the values, so they are computed once, without
    /// cancellation.
    pub(crate) fn values(candidates: &Candidates<'a, f64>, truth: &[f64]) -> Self {
        let (size, count) = (candidates.rows * candidates.width, candidates.slots.len());
        let mut residuals = vec![0.; size * count];
        for (slot, residuals) in residuals.chunks_exact_mut(size.max(1)).enumerate() {
            for ((e, x), y) in residuals.iter_mut().zip(candidates.slot(slot)).zip(truth) {
                *e = x - y;
            }
        }
        // The loss is the mean over outputs.
        let weights = candidates.weights.iter().map(|w| w / candidates.width as f64).collect();
        let slots = (0..count).collect();
        let (values, weights) = (Cow::Owned(residuals), Cow::Owned(weights));
        SquaredError::new(Candidates { values, slots, weights, ..*candidates }, None)
    }
}

impl<T: Number> Scorer for SquaredError<'_, T> {
    fn losses_with_each(&mut self) -> Result<Vec<f64>> {
        Ok(self.sums.losses_with_each())
    }

    fn add(&mut self, slot: usize) {
        let row = match self.rows[slot].take() {
            Some(row) => row,
            None => self.row(slot),
        };
        self.sums.add(slot, &row);
        self.rows[slot] = Some(row);
    }
}

/// The product of two vectors, summed in lanes in a fixed order.
#[inline(always)]
fn dot<T: Number>(a: &[f64], b: &[T]) -> f64 {
    const LANES: usize = 16;
    let mut lanes = [0f64; LANES];
    let (whole, rest) = (a.chunks_exact(LANES).zip(b.chunks_exact(LANES)), a.len() / LANES * LANES);
    for (a, b) in whole {
        for ((lane, a), b) in lanes.iter_mut().zip(a).zip(b) {
            *lane += a * (*b).into();
        }
    }
    for ((lane, a), b) in lanes.iter_mut().zip(&a[rest..]).zip(&b[rest..]) {
        *lane += a * (*b).into();
    }
    lanes.iter().sum()
}
