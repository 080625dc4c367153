//! Any criterion, evaluated on the whole mean for each candidate.
use crate::{
    combine::select::{Candidates, Scorer},
    kernels::float::Number,
    metrics::{Criterion, Scored, Truth},
    threads::wide,
    Result,
};
use rayon::prelude::*;

pub(crate) struct AnyCriterion<'a, T: Number> {
    candidates: Candidates<'a, T>,
    truth: &'a Truth,
    criterion: &'a dyn Criterion,
    /// Sum over the members added so far, `(R, C)`.
    sum: Vec<f64>,
    count: usize,
}

impl<'a, T: Number> AnyCriterion<'a, T> {
    pub(crate) fn new(candidates: Candidates<'a, T>, truth: &'a Truth, criterion: &'a dyn Criterion) -> Self {
        let sum = vec![0.; candidates.rows * candidates.width];
        Self { candidates, truth, criterion, sum, count: 0 }
    }

    fn loss(&self, mean: &mut Vec<f64>, slot: usize) -> Result<f64> {
        let count = (self.count + 1) as f64;
        mean.clear();
        mean.extend(
            self.sum.iter().zip(self.candidates.slot(slot)).map(|(sum, x)| (sum + (*x).into()) / count),
        );
        let (width, weights) = (self.candidates.width, &self.candidates.weights);
        self.criterion.loss(&Scored { values: mean, width, truth: self.truth, weights })
    }
}

impl<T: Number> Scorer for AnyCriterion<'_, T> {
    fn losses_with_each(&mut self) -> Result<Vec<f64>> {
        let slots = (0..self.candidates.slots.len()).into_par_iter();
        let losses: Vec<_> = wide(|| slots.map_init(Vec::new, |mean, slot| self.loss(mean, slot)).collect());
        losses.into_iter().collect()
    }

    fn add(&mut self, slot: usize) {
        self.sum.iter_mut().zip(self.candidates.slot(slot)).for_each(|(sum, x)| *sum += (*x).into());
        self.count += 1;
    }
}
