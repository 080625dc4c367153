//! Monitors: what happens to gradients, weights and activations while a network is trained.
use crate::{
    nn::tap::{ActivationMeter, Observed},
    store::{Monitors, VariableRecord},
    train::clip::norm,
    Error, Result,
};
use candle_core::{backprop::GradStore, Result as CResult, Tensor, Var};
use serde::{Deserialize, Serialize};

/// Measures gradients, weights, updates and activations during a training, as data.
///
/// ```text
/// for each variable and epoch:  mean ‖g‖ over the measured steps,  ‖w‖ after the epoch,  mean ‖Δw‖
/// for each layer and epoch:     mean and standard deviation of the outputs, share of dead units, share of saturated outputs
/// ```
///
/// The measured steps are the first step of each epoch and every `every`-th step after it. The result is
/// [`EpochRecord::monitors`](crate::store::EpochRecord::monitors). The measurement does not change the training: the
/// weights are the same to the bit.
///
/// Layers are those of a [`Sequential`](crate::nn::Sequential), and what a model reports by
/// [`observe_output`](crate::nn::observe_output).
///
/// Use it when a network does not learn: vanishing or exploding gradients, dead units and a learning rate that does not
/// suit a layer show in the records. Turn it off for the final training of many members, whose records would grow.
///
/// Cost: at a measured step one pass over the gradients, a copy of the weights and a pass over both; with `every` 10,
/// 1 to 3 % of the time of a training. A few hundred bytes for each variable and epoch in the record.
///
/// # Errors
/// A session returns [`Error::Invalid`] before it trains, if `every` is 0.
///
/// ```
/// use candle_ensemble::train::{Monitor, Trainer};
///
/// let trainer = Trainer::new(|vb| candle_nn::linear(2, 1, vb)).monitor(Monitor::default().every(5));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Monitor {
    /// Steps from one measured step to the next within an epoch, at least 1. Default 10.
    pub every: usize,
}

impl Default for Monitor {
    fn default() -> Self {
        Self { every: 10 }
    }
}

impl Monitor {
    /// Sets the number of steps from one measured step to the next.
    #[must_use]
    pub fn every(self, every: usize) -> Self {
        Self { every }
    }

    pub(crate) fn check(self) -> Result<()> {
        match self.every {
            0 => Err(Error::invalid("Monitor::every", "at least 1 step", 0)),
            _ => Ok(()),
        }
    }
}

/// The measurement of one epoch.
#[derive(Debug)]
pub(crate) struct EpochMonitor {
    monitor: Monitor,
    steps: usize,
    variables: Vec<Measured>,
    activations: ActivationMeter,
}

/// A variable with the sums over the measured steps.
#[derive(Debug)]
struct Measured {
    name: String,
    var: Var,
    gradients: f64,
    updates: f64,
}

/// The variables before a measured step, and the norms of their gradients.
pub(crate) struct BeforeStep(Vec<Option<(f64, Tensor)>>);

impl EpochMonitor {
    /// For these trainable variables, sorted by name.
    pub(crate) fn new<'v>(monitor: Monitor, variables: impl Iterator<Item = (&'v str, &'v Var)>) -> Self {
        let measured = |(name, var): (&str, &Var)| {
            let (name, var) = (name.to_owned(), var.clone());
            Measured { name, var, gradients: 0., updates: 0. }
        };
        let activations = ActivationMeter::default();
        Self { monitor, steps: 0, variables: variables.map(measured).collect(), activations }
    }

    /// Whether the step of this batch is measured.
    pub(crate) fn is_due(&self, batch: usize) -> bool {
        batch.is_multiple_of(self.monitor.every.max(1))
    }

    /// Adds the outputs of layers in the forward pass of a batch that is due.
    pub(crate) fn add_outputs(&mut self, outputs: &[Observed]) -> CResult<()> {
        self.activations.add(outputs)
    }

    /// Call it before the step of a batch that is due, with the gradients of a loss that is `scale` times its value.
    pub(crate) fn before_step(&self, gradients: &GradStore, scale: f64) -> CResult<BeforeStep> {
        let before = |of: &Measured| {
            let measured = |gradient| Ok((norm(std::iter::once(gradient))? / scale, of.var.copy()?.detach()));
            gradients.get(&of.var).map(measured).transpose()
        };
        Ok(BeforeStep(self.variables.iter().map(before).collect::<CResult<_>>()?))
    }

    /// Call it after the step, when constraints have been applied.
    pub(crate) fn after_step(&mut self, before: BeforeStep) -> CResult<()> {
        self.steps += 1;
        for (of, before) in self.variables.iter_mut().zip(before.0) {
            let Some((gradient, weights)) = before else { continue };
            of.gradients += gradient;
            of.updates += norm(std::iter::once(&(of.var.as_detached_tensor() - weights)?))?;
        }
        Ok(())
    }

    /// The records of the epoch.
    pub(crate) fn finish(self) -> CResult<Monitors> {
        let steps = self.steps.max(1) as f64;
        let record = |of: Measured| {
            let weight = norm(std::iter::once(of.var.as_tensor()))?;
            let (gradient, update) = (of.gradients / steps, of.updates / steps);
            Ok(VariableRecord { name: of.name, gradient, weight, update })
        };
        let variables = self.variables.into_iter().map(record).collect::<CResult<_>>()?;
        Ok(Monitors { variables, layers: self.activations.finish() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::Device;

    #[test]
    fn norms_are_those_of_gradients_weights_and_updates_of_the_measured_steps() -> Result<()> {
        let w = Var::new(&[3f32, 4.], &Device::Cpu)?;
        let mut monitor = EpochMonitor::new(Monitor::default().every(2), [("w", &w)].into_iter());
        assert_eq!((0..5).filter(|batch| monitor.is_due(*batch)).collect::<Vec<_>>(), [0, 2, 4]);
        // The gradient of (6 w₀ + 8 w₁) is (6, 8), then half of it.
        for scale in [1., 0.5] {
            let gradients = (w.as_tensor() * &Tensor::new(&[6f32, 8.], &Device::Cpu)?)?.sum_all()?;
            let gradients = (gradients * scale)?.backward()?;
            let before = monitor.before_step(&gradients, 1.)?;
            w.set(&(w.as_detached_tensor() * 2.)?)?;
            monitor.after_step(before)?;
        }
        let records = monitor.finish()?.variables;
        // ‖g‖: 10 and 5. ‖w‖: 5, 10, 20, so the updates are 5 and 10.
        let expected = VariableRecord { name: "w".into(), gradient: 7.5, weight: 20., update: 7.5 };
        assert_eq!(records, [expected]);
        Ok(())
    }
}
