//! Cross-entropies of whether a label is above each class.
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

pub(super) struct Coral {}

/// Each label is above a class or not.
fn asked(_label: usize, questions: usize) -> usize {
    questions
}

impl LossFunction for Coral {
    fn entry() -> Entry<Loss> {
        Entry::new(
            "coral",
            "Loss::Coral",
            "Cross-entropies of whether a label is above each class, for classes with an order",
            |_| Ok(Loss::Coral),
        )
        .with_tasks(Tasks::Classification)
        .with_source("Cao, Mirjalili and Raschka 2020, arXiv:1901.07884")
    }

    fn misfit(&self, task: Task, output: Output) -> Option<&'static str> {
        let must = "used with Output::CumulativeLogits: end the network in one logit less than there are classes, and say that \
                    its output is Output::CumulativeLogits";
        ordinal::misfit(task, output, Output::CumulativeLogits, must)
    }

    fn fused<T: Real>(&self, batch: &FusedBatch<'_, T>) -> CResult<Evaluated<T>> {
        ordinal::fused(batch, asked)
    }

    fn composed(&self, output: &Tensor, targets: &Tensor) -> CResult<Tensor> {
        ordinal::composed(output, targets, asked)
    }
}
