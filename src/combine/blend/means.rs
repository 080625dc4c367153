//! Weighted means over the slots that predict a row.
use crate::{
    combine::{
        blend::matrix::SlotMatrix,
        held_out_table::{Coverage, HeldOutTable},
    },
    kernels::float::Number,
};
use std::borrow::Cow;

/// The means `m_i = Σ_s w_s a_s,i / Σ_s w_s` over the slots `s` that predict the row of cell `i`, as a
/// function of the weights. Where all slots of a row have the weight 0, it is their mean, as in
/// [`Weighted`](crate::combine::Weighted).
#[derive(Clone, Debug)]
pub(crate) struct Means<'a, T> {
    /// `a`; 0 where a prediction is missing.
    pub(crate) matrix: SlotMatrix<'a, T>,
    pub(crate) partial: Option<Partial<'a>>,
}

/// Where predictions are missing.
#[derive(Clone, Debug)]
pub(crate) struct Partial<'a> {
    /// 1 where a slot predicts a row, else 0, `(S, R)`.
    pub(crate) there: SlotMatrix<'a, f32>,
    /// The means with equal weights.
    pub(crate) equal: Cow<'a, [f64]>,
    /// Cells in a row.
    pub(crate) width: usize,
}

impl Partial<'_> {
    /// Divides the sums of each row by the sum of the weights that are there.
    fn divide(&self, sums: &mut [f64], weights: &[f64]) {
        let totals = self.there.weighted_sum(weights);
        let rows = sums.chunks_exact_mut(self.width).zip(self.equal.chunks_exact(self.width)).zip(totals);
        for ((sums, equal), total) in rows {
            mean_of_row(sums, total, equal);
        }
    }
}

/// Divides sums by a total; if that is 0, they become `equal`.
#[inline(always)]
pub(crate) fn mean_of_row(sums: &mut [f64], total: f64, equal: &[f64]) {
    match total > 0. {
        true => sums.iter_mut().for_each(|x| *x /= total),
        false => sums.copy_from_slice(equal),
    }
}

impl<'a, T: Number> Means<'a, T> {
    /// Means of `width` cells for each row of a table.
    pub(crate) fn of_table(table: &'a HeldOutTable, values: &'a [T], width: usize) -> Self {
        Self::new(SlotMatrix::new(values, table.weights.len() * width), table.coverage.as_ref(), width)
    }

    pub(crate) fn new(matrix: SlotMatrix<'a, T>, coverage: Option<&'a Coverage>, width: usize) -> Self {
        let rows = matrix.cells / width.max(1);
        Self::covered(matrix, coverage.map(|coverage| SlotMatrix::new(coverage.as_slice(), rows)), width)
    }

    /// The same with a matrix that has 1 where a slot predicts a row, else 0, `(S, R)`, in blocks of the same rows;
    /// `None` where all predictions are there.
    pub(crate) fn covered(
        matrix: SlotMatrix<'a, T>,
        there: Option<SlotMatrix<'a, f32>>,
        width: usize,
    ) -> Self {
        let partial = there.map(|there| {
            let ones = vec![1.; matrix.slots];
            let (mut equal, counts) = (matrix.weighted_sum(&ones), there.weighted_sum(&ones));
            let rows = equal.chunks_exact_mut(width).zip(counts);
            rows.for_each(|(sums, count)| sums.iter_mut().for_each(|x| *x /= count));
            Partial { there, equal: Cow::Owned(equal), width }
        });
        Self { matrix, partial }
    }

    /// The means with these weights, which sum to one.
    pub(crate) fn of(&self, weights: &[f64]) -> Vec<f64> {
        let mut sums = self.matrix.weighted_sum(weights);
        if let Some(partial) = &self.partial {
            partial.divide(&mut sums, weights);
        }
        sums
    }
}
