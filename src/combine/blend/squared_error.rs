//! The squared error and the Brier score of weighted means, as functions of the weights.
use crate::{
    combine::{
        blend::{
            matrix::SlotMatrix,
            search::{total, WeightLoss},
            simplex_squares::cell_targets,
        },
        held_out_table::HeldOutTable,
    },
    kernels::float::Number,
    Result,
};
use std::collections::BTreeMap;

/// The squared error of the weighted mean: `wᵀEw / (Σ w)²` with the products `E` of the slots' residuals, summed
/// over the rows that the same slots predict.
pub(crate) struct SquaredError {
    slots: usize,
    parts: Vec<Part>,
}

/// The rows that the same slots predict.
struct Part {
    slots: Vec<usize>,
    /// `E`, for these slots.
    products: Vec<f64>,
    /// The squared error of their equal-weight mean.
    equal: f64,
}

impl SquaredError {
    /// Whether the products are fewer numbers than the predictions.
    pub(crate) fn pays(table: &HeldOutTable) -> bool {
        let (slots, rows, width) = table.dims();
        let squares = |row_slots: &Vec<usize>| row_slots.len() * row_slots.len();
        patterns(table).keys().map(squares).sum::<usize>() <= slots * rows * width
    }

    pub(crate) fn new<T: Number>(table: &HeldOutTable, all: &[T]) -> Self {
        let (slots, rows, width) = table.dims();
        let (targets, share) = cell_targets(table);
        let part = |(slots, own): (Vec<usize>, Vec<usize>)| {
            let mut residuals = Vec::with_capacity(slots.len() * own.len() * width);
            for slot in &slots {
                for row in &own {
                    let predicted = &all[(slot * rows + row) * width..][..width];
                    let each = predicted.iter().zip(&targets[row * width..]);
                    residuals.extend(each.map(|(x, y)| (*x).into() - y));
                }
            }
            let count = slots.len();
            let members: Vec<usize> = (0..count).collect();
            let matrix = SlotMatrix::new(&residuals, own.len() * width);
            let products = matrix.gram(&members, |cell| share * table.weights[own[cell / width]]);
            let equal = products.iter().sum::<f64>() / (count * count) as f64;
            Part { slots, products, equal }
        };
        Self { slots, parts: patterns(table).into_iter().map(part).collect() }
    }
}

/// The rows by the slots that predict them.
fn patterns(table: &HeldOutTable) -> BTreeMap<Vec<usize>, Vec<usize>> {
    let (slots, rows, _) = table.dims();
    let mut patterns: BTreeMap<Vec<usize>, Vec<usize>> = BTreeMap::new();
    if table.coverage.is_none() {
        patterns.insert((0..slots).collect(), (0..rows).collect());
        return patterns;
    }
    for row in 0..rows {
        let present = (0..slots).filter(|slot| table.predicts(*slot, row)).collect();
        patterns.entry(present).or_default().push(row);
    }
    patterns
}

impl WeightLoss for SquaredError {
    fn slots(&self) -> usize {
        self.slots
    }

    fn of(&self, weights: &[f64]) -> Result<f64> {
        if total(weights).is_none() {
            return Ok(f64::INFINITY);
        }
        let loss = |part: &Part| {
            let own: Vec<f64> = part.slots.iter().map(|slot| weights[*slot]).collect();
            let total: f64 = own.iter().sum();
            if total <= 0. {
                return part.equal;
            }
            let row = |row: &[f64]| row.iter().zip(&own).map(|(e, w)| e * w).sum::<f64>();
            let square: f64 = part.products.chunks_exact(own.len()).zip(&own).map(|(e, w)| w * row(e)).sum();
            (square / (total * total)).max(0.)
        };
        let loss: f64 = self.parts.iter().map(loss).sum();
        Ok(if loss.is_nan() { f64::INFINITY } else { loss })
    }
}
