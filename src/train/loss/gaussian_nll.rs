//! The likelihood of Gaussians.
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
use std::f64::consts::PI;

pub(super) struct GaussianNll {}

impl LossFunction for GaussianNll {
    fn entry() -> Entry<Loss> {
        let summary = "Likelihood of Gaussians whose mean and variance are outputs";
        Entry::new("gaussian-nll", "Loss::GaussianNll", summary, |_| Ok(Loss::GaussianNll))
            .with_tasks(Tasks::Regression)
            .with_source("Nix and Weigend 1994, doi:10.1109/ICNN.1994.374138")
    }

    fn misfit(&self, task: Task, output: Output) -> Option<&'static str> {
        needs_distribution(task, output == Output::Gaussian, "used with Output::Gaussian")
    }

    fn fused<T: Real>(&self, batch: &FusedBatch<'_, T>) -> CResult<Evaluated<T>> {
        located::fused_with_scale(batch, |d, variance| {
            let z = d / variance;
            let loss = 0.5 * ((2. * PI * variance).ln() + d * z);
            (loss, z, 0.5 * (1. / variance - z * z))
        })
    }

    fn composed(&self, output: &Tensor, targets: &Tensor) -> CResult<Tensor> {
        located::composed_with_scale(output, targets, |d, variance| {
            ((variance * (2. * PI))?.log()? + (d.sqr()? / variance)?)? * 0.5
        })
    }
}
