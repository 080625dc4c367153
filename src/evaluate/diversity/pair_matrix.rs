//! A measure of every pair of members.
use serde::Serialize;

/// A measure of every pair of S slots, as a symmetric matrix `(S, S)`, for example for a heat map.
///
/// Each value is `None` where the measure is not defined for the pair. The diagonal compares a slot with
/// itself, such as 1 for a correlation. It serializes as a list of rows.
///
/// ```
/// use candle_core::{Device, Tensor};
/// use candle_ensemble::{data::Task, evaluate::{Diversity, RowTargets}, predictions::Predictions};
///
/// let slots = Tensor::new(&[[[0.9f32, 0.1], [0.8, 0.2]], [[0.7, 0.3], [0.4, 0.6]]], &Device::Cpu)?;
/// let predictions = Predictions::new(slots, Task::Classification { classes: 2 })?;
/// let diversity = Diversity::of(&predictions, &RowTargets::classes(&[0, 0], 2)?)?;
/// let disagreement = diversity.pairs("disagreement").unwrap();
/// assert_eq!(disagreement.rows(), [[Some(0.), Some(0.5)], [Some(0.5), Some(0.)]]);
/// # Ok::<(), candle_ensemble::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(into = "Vec<Vec<Option<f64>>>")]
pub struct PairMatrix {
    slots: usize,
    /// The pairs (0, 0), (0, 1), … (0, S − 1), (1, 1), ….
    values: Vec<Option<f64>>,
}

impl PairMatrix {
    /// The matrix of values in the order of [`pairs`].
    pub(super) fn new(slots: usize, values: Vec<Option<f64>>) -> Self {
        Self { slots, values }
    }

    /// Returns the number of slots, S.
    #[must_use]
    pub fn slots(&self) -> usize {
        self.slots
    }

    /// Returns the measure of two slots, in any order; `None` where it is not defined, or a slot is out of
    /// range.
    #[must_use]
    pub fn get(&self, a: usize, b: usize) -> Option<f64> {
        let (a, b) = (a.min(b), a.max(b));
        if b >= self.slots {
            return None;
        }
        // The rows above have S, S − 1, … values.
        let before = a * (2 * self.slots - a + 1) / 2;
        self.values.get(before + b - a).copied().flatten()
    }

    /// Returns the whole matrix, row by row.
    #[must_use]
    pub fn rows(&self) -> Vec<Vec<Option<f64>>> {
        (0..self.slots).map(|a| (0..self.slots).map(|b| self.get(a, b)).collect()).collect()
    }

    /// Returns the mean over the pairs of two different slots for which the measure is defined; `None` where
    /// there are none.
    #[must_use]
    pub fn mean(&self) -> Option<f64> {
        let (count, sum) = self.defined().fold((0, 0.), |(count, sum), x| (count + 1, sum + x));
        (count > 0).then(|| sum / f64::from(count))
    }

    /// Returns the number of pairs of two different slots for which the measure is defined.
    #[must_use]
    pub fn defined_pairs(&self) -> usize {
        self.defined().count()
    }

    fn defined(&self) -> impl Iterator<Item = f64> + '_ {
        let different = pairs(self.slots).zip(&self.values).filter(|((a, b), _)| a != b);
        different.filter_map(|(_, value)| *value)
    }
}

impl From<PairMatrix> for Vec<Vec<Option<f64>>> {
    fn from(matrix: PairMatrix) -> Self {
        matrix.rows()
    }
}

/// The pairs of `slots` slots, each with itself too: (0, 0), (0, 1), … (0, S − 1), (1, 1), ….
pub(super) fn pairs(slots: usize) -> impl Iterator<Item = (usize, usize)> {
    (0..slots).flat_map(move |a| (a..slots).map(move |b| (a, b)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_found_in_any_order_and_the_diagonal_is_no_pair() {
        for slots in 1..6 {
            let of = |a: usize, b: usize| (10 * a + b) as f64;
            let values: Vec<_> = pairs(slots).map(|(a, b)| Some(of(a, b))).collect();
            let matrix = PairMatrix::new(slots, values);
            for (a, b) in (0..slots).flat_map(|a| (0..slots).map(move |b| (a, b))) {
                assert_eq!(matrix.get(a, b), Some(of(a.min(b), a.max(b))));
                assert_eq!(matrix.rows()[a][b], matrix.get(a, b));
            }
            assert_eq!((matrix.get(0, slots), matrix.get(slots, 0)), (None, None));
            assert_eq!(matrix.defined_pairs(), slots * (slots - 1) / 2);
        }
        let some = PairMatrix::new(3, vec![Some(9.), Some(1.), None, Some(9.), Some(2.), Some(9.)]);
        assert_eq!((some.mean(), some.defined_pairs()), (Some(1.5), 2));
        assert_eq!(PairMatrix::new(1, vec![Some(9.)]).mean(), None);
        let json = serde_json::to_string(&PairMatrix::new(2, vec![Some(1.), None, Some(1.)])).unwrap();
        assert_eq!(json, "[[1.0,null],[null,1.0]]");
    }
}
