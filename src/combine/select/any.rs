//! Any criterion: every candidate's predictions in full.
use crate::{
    combine::select::{Candidates, Scorer},
    kernels::float::Number,
    metrics::{Criterion, Scored, Truth},
    threads::wide,
    Result,
};
use rayon::prelude::*;

pub(crate) struct Any<'a, T: Number> {
    of: Candidates<'a, T>,
    truth: &'a Truth,
    criterion: &'a dyn Criterion,
    /// Of the members in use, `(R, C)`.
    sum: Vec<f64>,
    count: usize,
}

impl<'a, T: Number> Any<'a, T> {
    pub(crate) fn new(of: Candidates<'a, T>, truth: &'a Truth, criterion: &'a dyn Criterion) -> Self {
        let sum = vec![0.; of.rows * of.width];
        Self { of, truth, criterion, sum, count: 0 }
    }

    fn loss(&self, mean: &mut Vec<f64>, slot: usize) -> Result<f64> {
        let count = (self.count + 1) as f64;
        mean.clear();
        mean.extend(self.sum.iter().zip(self.of.slot(slot)).map(|(sum, x)| (sum + (*x).into()) / count));
        let (width, weights) = (self.of.width, &self.of.weights);
        self.criterion.loss(&Scored { values: mean, width, truth: self.truth, weights })
    }
}

impl<T: Number> Scorer for Any<'_, T> {
    fn trial(&mut self) -> Result<Vec<f64>> {
        let slots = (0..self.of.slots.len()).into_par_iter();
        let losses: Vec<_> = wide(|| slots.map_init(Vec::new, |mean, slot| self.loss(mean, slot)).collect());
        losses.into_iter().collect()
    }

    fn add(&mut self, slot: usize) {
        self.sum.iter_mut().zip(self.of.slot(slot)).for_each(|(sum, x)| *sum += (*x).into());
        self.count += 1;
    }
}
