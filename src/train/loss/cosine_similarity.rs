//! One minus the cosine between outputs and targets.
use crate::{
    data::Task,
    kernels::{cpu, float::Real},
    network::Output,
    registry::{Entry, Tasks},
    train::loss::{
        evaluated::{Evaluated, FusedBatch},
        function::{needs_values, Fault, LossFunction},
        shapes::columns,
        Loss,
    },
};
use candle_core::{Result as CResult, Tensor};

pub(super) struct CosineSimilarity {}

/// Shorter vectors count as this long, as in PyTorch.
const SHORTEST: f64 = 1e-8;

impl LossFunction for CosineSimilarity {
    fn entry() -> Entry<Loss> {
        let summary = "One minus the cosine between outputs and targets";
        Entry::new("cosine-similarity", "Loss::CosineSimilarity", summary, |_| Ok(Loss::CosineSimilarity))
            .with_aliases(&["cosine"])
            .with_tasks(Tasks::Regression)
    }

    fn misfit(&self, task: Task, _: Output) -> Option<&'static str> {
        match task {
            Task::Regression { outputs: 0 | 1 } => Some(
                "used with 2 values or more for each row, because the cosine between two numbers is 1 or -1 \
                 and has no gradient",
            ),
            _ => needs_values(task),
        }
    }

    fn target_fault(&self, row: &[f64]) -> Option<Fault> {
        let zero = row.iter().all(|y| *y == 0.0);
        zero.then_some(Fault { column: None, must: "a direction: not only zeros", value: 0.0 })
    }

    fn fused<T: Real>(&self, batch: &FusedBatch<'_, T>) -> CResult<Evaluated<T>> {
        let (_, columns) = columns(batch.output, batch.targets)?;
        cpu::with_slice(batch.targets, |y: &[T]| fused(batch, y, columns))
    }

    fn composed(&self, output: &Tensor, targets: &Tensor) -> CResult<Tensor> {
        let shape = columns(output, targets)?;
        let (x, y) = (output.reshape(shape)?, targets.detach().to_dtype(output.dtype())?.reshape(shape)?);
        // The square is limited before the root is taken: the root has no derivative at 0.
        let length = |x: &Tensor| x.sqr()?.sum(1)?.maximum(SHORTEST * SHORTEST)?.sqrt();
        let cosine = ((&x * &y)?.sum(1)? / (length(&x)? * length(&y)?)?)?;
        1.0 - cosine
    }
}

fn fused<T: Real>(batch: &FusedBatch<'_, T>, y: &[T], columns: usize) -> Evaluated<T> {
    let mut gradient = vec![T::zero(); batch.x.len()];
    let mut value = 0.0;
    let rows =
        batch.x.chunks_exact(columns).zip(y.chunks_exact(columns)).zip(gradient.chunks_exact_mut(columns));
    for (row, ((x, y), gradient)) in rows.enumerate() {
        let product = |a: &[T], b: &[T]| a.iter().zip(b).map(|(a, b)| a.wide() * b.wide()).sum::<f64>();
        let (own, other) = (product(x, x).sqrt(), product(y, y).sqrt());
        let limited = |length: f64| if length < SHORTEST { SHORTEST } else { length };
        let (length, scale) = (limited(own), 1.0 / (limited(own) * limited(other)));
        let cosine = product(x, y) * scale;
        let share = batch.share(row);
        value += share * (1.0 - cosine);
        // A vector shorter than the limit is divided by a constant.
        let along = if own < SHORTEST { 0.0 } else { cosine / (length * length) };
        for ((x, y), gradient) in x.iter().zip(y).zip(gradient) {
            *gradient = T::of(share * (along * x.wide() - scale * y.wide()));
        }
    }
    Evaluated { value: T::of(value), gradient }
}
