//! Cross-entropies of whether a label that has reached a class is above it.
use crate::{
    data::Task,
    kernels::float::Real,
    network::Output,
    registry::{Entry, Tasks},
    train::loss::{
        evaluated::{Evaluated, FusedBatch},
        function::LossFunction,
        ordinal, Loss,
    },
};
use candle_core::{Result as CResult, Tensor};

pub(super) struct Corn {}

/// A label is asked for the classes that it has reached.
fn asked(label: usize, questions: usize) -> usize {
    (label + 1).min(questions)
}

impl LossFunction for Corn {
    fn entry() -> Entry<Loss> {
        Entry::new("corn", "Loss::Corn", "Negative log-likelihood of whether a label that has reached a class is above it, for classes with an order", |_| Ok(Loss::Corn))
            .with_tasks(Tasks::Classification)
            .with_source("Shi, Cao and Raschka 2021, arXiv:2111.08851")
    }

    fn misfit(&self, task: Task, output: Output) -> Option<&'static str> {
        let must = "used with Output::ConditionalLogits: end the network in one logit less than there are classes, and say that \
                    its output is Output::ConditionalLogits";
        ordinal::misfit(task, output, Output::ConditionalLogits, must)
    }

    fn fused<T: Real>(&self, batch: &FusedBatch<'_, T>) -> CResult<Evaluated<T>> {
        ordinal::fused(batch, asked)
    }

    fn composed(&self, output: &Tensor, targets: &Tensor) -> CResult<Tensor> {
        ordinal::composed(output, targets, asked)
    }
}
