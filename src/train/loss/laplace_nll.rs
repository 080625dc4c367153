//! The likelihood of Laplace distributions.
use crate::{
    data::Task,
    kernels::float::Real,
    network::Output,
    registry::{Entry, Tasks},
    train::loss::{
        evaluated::{Evaluated, FusedBatch},
        function::{needs_distribution, LossFunction},
        located, Loss,
    },
};
use candle_core::{Result as CResult, Tensor};

pub(super) struct LaplaceNll {}

impl LossFunction for LaplaceNll {
    fn entry() -> Entry<Loss> {
        let summary = "Likelihood of Laplace distributions whose location and scale are outputs";
        Entry::new("laplace-nll", "Loss::LaplaceNll", summary, |_| Ok(Loss::LaplaceNll))
            .with_tasks(Tasks::Regression)
            .with_source("Laplace 1774, Mémoire sur la probabilité des causes par les événements")
    }

    fn misfit(&self, task: Task, output: Output) -> Option<&'static str> {
        needs_distribution(task, output == Output::Laplace, "used with Output::Laplace")
    }

    fn fused<T: Real>(&self, batch: &FusedBatch<'_, T>) -> CResult<Evaluated<T>> {
        located::fused_with_scale(batch, |d, scale| {
            let sign = if d > 0. {
                1.
            } else if d < 0. {
                -1.
            } else {
                // 0 at 0, and NaN for NaN.
                d
            };
            let z = d.abs() / scale;
            ((2. * scale).ln() + z, sign / scale, (1. - z) / scale)
        })
    }

    fn composed(&self, output: &Tensor, targets: &Tensor) -> CResult<Tensor> {
        located::composed_with_scale(output, targets, |d, scale| {
            (scale * 2.)?.log()? + ((d * d.detach().sign()?)? / scale)?
        })
    }
}
