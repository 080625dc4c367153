//! The likelihood of mixtures of Gaussians.
use crate::{
    data::Task,
    distribution::positive,
    kernels::float::Real,
    network::Output,
    registry::{Argument, Entry, Tasks},
    train::loss::{
        cross_entropy::log_softmax,
        evaluated::{Evaluated, FusedBatch},
        function::{needs_distribution, LossFunction},
        located::{self, Layout},
        shapes::invalid,
        Loss,
    },
    Error, Result,
};
use candle_core::{Result as CResult, Tensor};
use std::f64::consts::PI;

pub(super) struct GaussianMixtureNll {
    pub(super) components: usize,
}

impl GaussianMixtureNll {
    fn layout(&self) -> Layout {
        Layout::Blocks { parameters: 3, components: self.components }
    }
}

impl LossFunction for GaussianMixtureNll {
    fn entry() -> Entry<Loss> {
        const ARGUMENTS: &[Argument] =
            &[Argument::new("components", "3", "The number of components, at least 1")];
        let summary = "Likelihood of mixtures of Gaussians whose parameters are outputs";
        Entry::new("gaussian-mixture-nll", "Loss::GaussianMixtureNll", summary, |arguments| {
            Ok(Loss::GaussianMixtureNll { components: arguments.get("components")? })
        })
        .with_arguments(ARGUMENTS)
        .with_tasks(Tasks::Regression)
        .with_source("Bishop 1994, Mixture density networks, Aston University NCRG/94/004")
    }

    fn check(&self) -> Result<()> {
        match self.components {
            0 => Err(Error::invalid("Loss::GaussianMixtureNll::components", "at least 1", 0)),
            _ => Ok(()),
        }
    }

    fn misfit(&self, task: Task, output: Output) -> Option<&'static str> {
        let same = output == Output::GaussianMixture { components: self.components };
        needs_distribution(task, same, "used with Output::GaussianMixture of as many components")
    }

    fn fused<T: Real>(&self, batch: &FusedBatch<'_, T>) -> CResult<Evaluated<T>> {
        let components = self.components;
        located::fused(batch, self.layout(), |numbers, y| {
            let (logits, others) = numbers.split_at_mut(components);
            let (means, raw) = others.split_at_mut(components);
            mixture(logits, means, raw, y)
        })
    }

    fn composed(&self, output: &Tensor, targets: &Tensor) -> CResult<Tensor> {
        located::composed(output, targets, self.layout(), |parameters, y| {
            let [logits, means, raw] = parameters else {
                return Err(invalid("the output", "logits, means and scales of the components", output));
            };
            let variance = located::softplus(raw)?;
            let density = ((&variance * (2. * PI))?.log()? + (means.broadcast_sub(y)?.sqr()? / variance)?)?;
            let terms = (log_softmax(logits)? - (density * 0.5)?)?;
            let greatest = terms.detach().max_keepdim(2)?;
            let sum = terms.broadcast_sub(&greatest)?.exp()?.sum_keepdim(2)?.log()?;
            (sum + greatest)?.squeeze(2)?.neg()
        })
    }
}

/// The loss of one target. The parameters are replaced by their derivatives.
fn mixture(logits: &mut [f64], means: &mut [f64], raw: &mut [f64], y: f64) -> f64 {
    let greatest = |numbers: &[f64]| numbers.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let of_logits = greatest(logits);
    let total: f64 = logits.iter().map(|a| (a - of_logits).exp()).sum();
    // The logarithm of the joint density of component and target, in place of the raw scale's own slot below.
    let joint: Vec<f64> = logits
        .iter()
        .zip(means.iter().zip(raw.iter()))
        .map(|(a, (m, t))| {
            let variance = positive(*t).0;
            a - of_logits - total.ln() - 0.5 * ((2. * PI * variance).ln() + (m - y) * (m - y) / variance)
        })
        .collect();
    let of_joint = greatest(&joint);
    let sum: f64 = joint.iter().map(|l| (l - of_joint).exp()).sum();
    for (((a, m), t), l) in logits.iter_mut().zip(means.iter_mut()).zip(raw.iter_mut()).zip(&joint) {
        let responsibility = (l - of_joint).exp() / sum;
        let (variance, slope) = positive(*t);
        let z = (*m - y) / variance;
        *a = (*a - of_logits).exp() / total - responsibility;
        *m = responsibility * z;
        *t = responsibility * 0.5 * (1. / variance - z * z) * slope;
    }
    -(of_joint + sum.ln())
}
