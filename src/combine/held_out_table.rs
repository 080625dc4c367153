//! Held-out predictions as plain numbers, for combiners that learn.
//!
//! A missing prediction stays missing: a [`HeldOutTable`] says which predictions are there, and nothing takes
//! the place of the others.
pub(crate) use crate::kernels::float::Number;
use crate::{data::Task, kernels::cpu, metrics::Truth, HeldOut, Result};
use candle_core::{DType, Device, Tensor};
use std::collections::BTreeSet;

/// Held-out predictions `(S, R, C)`, slots, rows, classes or outputs, with the targets. It has only rows with
/// a weight above 0.
#[derive(Clone, Debug)]
pub(crate) struct HeldOutTable {
    /// Contiguous, on the CPU; 0 where a prediction is missing.
    values: Tensor,
    /// Which predictions are there; `None` when all are.
    pub(crate) coverage: Option<Coverage>,
    pub(crate) task: Task,
    pub(crate) truth: Truth,
    /// The weight of each row; the weights sum to one.
    pub(crate) weights: Vec<f64>,
}

/// Which slot predicts which row.
#[derive(Clone, Debug)]
pub(crate) struct Coverage {
    /// 1 where a slot predicts a row, else 0, `(S, R)`.
    there: Vec<f32>,
    rows: usize,
}

impl Coverage {
    /// Whether the slot predicts the row.
    #[inline(always)]
    pub(crate) fn predicts(&self, slot: usize, row: usize) -> bool {
        self.there[slot * self.rows + row] > 0.
    }

    #[cfg(feature = "learned")]
    /// 1 where a slot predicts a row, else 0, `(S, R)`.
    pub(crate) fn as_slice(&self) -> &[f32] {
        &self.there
    }

    #[cfg(all(test, feature = "learned"))]
    /// Coverage that has every prediction.
    pub(crate) fn complete_for_test(slots: usize, rows: usize) -> Self {
        Self { there: vec![1.; slots * rows], rows }
    }

    /// The number of slots that predict each row.
    pub(crate) fn counts(&self) -> Vec<f64> {
        let mut counts = vec![0.; self.rows];
        for slot in self.there.chunks_exact(self.rows) {
            counts.iter_mut().zip(slot).for_each(|(count, there)| *count += f64::from(*there));
        }
        counts
    }
}

impl HeldOutTable {
    pub(crate) fn of(held_out: &HeldOut) -> Result<Self> {
        let held_out = held_out.rows_with_weight()?;
        let predictions = held_out.predictions();
        let task = predictions.task();
        let (truth, weights) = (held_out.truth()?, held_out.weights_or_ones()?);
        let total: f64 = weights.iter().sum();
        let weights: Vec<f64> = weights.into_iter().map(|w| w / total).collect();
        let mut values = predictions.values().detach().to_device(&Device::Cpu)?;
        let there = predictions.coverage_by_slot()?.map(|there| there.concat());
        let there = there.filter(|there| there.iter().any(|x| *x <= 0.));
        let coverage = there.map(|mut there| {
            there.iter_mut().for_each(|x| *x = f32::from(u8::from(*x > 0.)));
            Coverage { there, rows: weights.len() }
        });
        if let (Some(coverage), Some(covered)) = (&coverage, predictions.covered()) {
            debug_assert_eq!(coverage.there.len(), covered.elem_count());
            let mask = Tensor::from_slice(&coverage.there, covered.dims(), &Device::Cpu)?.gt(0f64)?;
            let mask = mask.unsqueeze(2)?.broadcast_as(values.shape())?;
            values = mask.where_cond(&values, &values.zeros_like()?)?;
        }
        Ok(Self { values: values.contiguous()?, coverage, task, truth, weights })
    }

    /// Slots, rows, classes or outputs.
    pub(crate) fn dims(&self) -> (usize, usize, usize) {
        let dims = self.values.dims();
        (dims[0], dims[1], dims[2])
    }

    /// Whether the slot predicts the row.
    #[inline(always)]
    pub(crate) fn predicts(&self, slot: usize, row: usize) -> bool {
        self.coverage.as_ref().is_none_or(|coverage| coverage.predicts(slot, row))
    }

    /// The number of slots that predict each row.
    pub(crate) fn counts(&self) -> Vec<f64> {
        let (slots, rows, _) = self.dims();
        self.coverage.as_ref().map_or_else(|| vec![slots as f64; rows], Coverage::counts)
    }

    /// The predictions of one slot, `(R, C)`, row by row; 0 where they are missing.
    pub(crate) fn slot(&self, slot: usize) -> Result<Vec<f64>> {
        Ok(self.values.get(slot)?.to_dtype(DType::F64)?.flatten_all()?.to_vec1()?)
    }

    /// Calls `f` with all predictions, slot by slot, row by row; 0 where they are missing.
    pub(crate) fn with<T: Number, R>(&self, f: impl FnOnce(&[T]) -> R) -> Result<R> {
        Ok(cpu::with_slice(&self.values, f)?)
    }
}

/// Makes estimates comparable that come from different shares of the rows, `(estimate, share)`.
///
/// An estimate from few rows has a large error, so the best and the worst of equals would be those with the
/// fewest rows. The difference of each from the mean of all is multiplied by the square root of its share: then
/// chance moves each as far as if it came from all rows. Estimates from all rows stay as they are, and those from
/// none are NaN.
pub(crate) fn evened(estimates: &[(f64, f64)]) -> Vec<f64> {
    let known = || estimates.iter().filter(|(_, share)| *share > 0.);
    let total: f64 = known().map(|(_, share)| share).sum();
    let mean = known().map(|(estimate, share)| estimate * share).sum::<f64>() / total;
    let even = |(estimate, share): &(f64, f64)| match *share {
        share if share >= 1. - 1e-9 => *estimate,
        share if share > 0. => mean + (estimate - mean) * share.sqrt(),
        _ => f64::NAN,
    };
    estimates.iter().map(even).collect()
}

/// [`evened`] among the estimates of the same group.
pub(crate) fn evened_in_groups(estimates: &[(f64, f64)], groups: &[usize]) -> Vec<f64> {
    let mut result = vec![f64::NAN; estimates.len()];
    for group in groups.iter().collect::<BTreeSet<_>>() {
        let own: Vec<usize> = (0..estimates.len()).filter(|i| groups[*i] == *group).collect();
        let of_group: Vec<(f64, f64)> = own.iter().map(|i| estimates[*i]).collect();
        own.iter().zip(evened(&of_group)).for_each(|(i, x)| result[*i] = x);
    }
    result
}

#[cfg(feature = "learned")]
/// Evaluates an expression with all predictions of a [`HeldOutTable`] as a slice: of `f32` for classes, whose
/// probabilities need no more digits, of `f64` for values. Gives a `Result`.
macro_rules! with_predictions {
    ($table:expr, |$all:ident| $body:expr) => {
        match $table.task {
            $crate::data::Task::Classification { .. } => $table.with(|$all: &[f32]| $body),
            $crate::data::Task::Regression { .. } => $table.with(|$all: &[f64]| $body),
        }
    };
}
#[cfg(feature = "learned")]
pub(crate) use with_predictions;
