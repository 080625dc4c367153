//! Several kinds of noise, and the calls with which a training loop adds them.
use crate::{
    data::{Inputs, Task},
    train::{
        list::list_of,
        noise::{each, Noise, NoiseSource, NoiseStep, NoisyWeights},
    },
    Result,
};
use candle_core::{backprop::GradStore, Tensor, Var};
use serde::{Deserialize, Serialize};

list_of! {
    /// A list of kinds of [`Noise`]. An empty list, the default, costs nothing.
    ///
    /// A training loop calls, in each step: [`perturb_inputs`](Self::perturb_inputs) and
    /// [`perturb_targets`](Self::perturb_targets) on the batch; [`perturb_weights`](Self::perturb_weights) before
    /// the forward pass and [`NoisyWeights::restore`] after the backward pass; and
    /// [`perturb_gradients`](Self::perturb_gradients) before the update. Each is a function of its arguments alone.
    ///
    /// ```
    /// use candle_core::{Device, Tensor, Var};
    /// use candle_ensemble::{data::Inputs, plan::Position, train::{NoiseStep, Noises}};
    ///
    /// let noises = Noises::parse("input:0.1,weight:0.01")?;
    /// let at = NoiseStep::new(42, Position { epoch: 0, batch: 3, epochs: 10, batches_per_epoch: 5 });
    ///
    /// let inputs = Inputs::from(Tensor::zeros((2, 3), candle_core::DType::F32, &Device::Cpu)?);
    /// let noisy = noises.perturb_inputs(&inputs, at)?;
    /// let again = noises.perturb_inputs(&inputs, at)?;
    /// assert_eq!(noisy.only()?.to_vec2::<f32>()?, again.only()?.to_vec2::<f32>()?);
    ///
    /// let w = Var::new(&[[1f32, 2.0]], &Device::Cpu)?;
    /// let weights = noises.perturb_weights(&[("w".into(), w.clone())], at)?;
    /// assert_ne!(w.to_vec2::<f32>()?, [[1.0, 2.0]]);
    /// weights.restore()?;
    /// assert_eq!(w.to_vec2::<f32>()?, [[1.0, 2.0]]);
    /// # Ok::<(), candle_ensemble::Error>(())
    /// ```
    Noises, Noise
}

impl Noises {
    /// Checks that the noise goes with a task: that noise on classes is a probability.
    ///
    /// # Errors
    /// [`Error::Invalid`](crate::Error::Invalid) that names the parameter.
    pub fn check_task(&self, task: Task) -> Result<()> {
        self.iter().try_for_each(|noise| each!(noise, noise => noise.check_task(task)))
    }

    /// Checks that every pattern of names matches a variable of the network.
    ///
    /// # Errors
    /// As [`WeightFilter::check_some`](crate::weights::WeightFilter::check_some).
    pub fn check_variables(&self, vars: &[(String, Var)]) -> Result<()> {
        self.iter().try_for_each(|noise| each!(noise, noise => noise.check_variables(vars)))
    }

    /// The inputs of a batch with noise. The tensors of the batch are not changed.
    ///
    /// # Errors
    /// When there is noise on inputs and none is of a floating-point type, or candle fails.
    pub fn perturb_inputs(&self, inputs: &Inputs, at: NoiseStep) -> Result<Inputs> {
        self.steps(at)
            .try_fold(inputs.clone(), |inputs, (noise, at)| each!(noise, noise => noise.inputs(inputs, at)))
    }

    /// The targets of a batch with noise: class ids, or floats. The tensor of the batch is not changed.
    ///
    /// # Errors
    /// As [`check_task`](Self::check_task), or when candle fails.
    pub fn perturb_targets(&self, targets: &Tensor, task: Task, at: NoiseStep) -> Result<Tensor> {
        self.steps(at).try_fold(
            targets.clone(),
            |targets, (noise, at)| each!(noise, noise => noise.targets(targets, task, at)),
        )
    }

    /// Adds noise to variables, until [`NoisyWeights::restore`] takes it away.
    ///
    /// # Errors
    /// When candle fails. The variables are then as they were.
    pub fn perturb_weights(&self, vars: &[(String, Var)], at: NoiseStep) -> Result<NoisyWeights> {
        let mut kept = Vec::new();
        let mut steps = self.steps(at);
        let added =
            steps.try_for_each(|(noise, at)| each!(noise, noise => noise.weights(vars, at, &mut kept)));
        // Dropped on an error, which takes the noise away.
        let noisy = NoisyWeights::new(kept);
        added.map(|()| noisy)
    }

    /// Adds noise to the gradients of variables. Variables without a gradient are left out.
    ///
    /// # Errors
    /// When candle fails.
    pub fn perturb_gradients(
        &self,
        gradients: &mut GradStore,
        vars: &[(String, Var)],
        at: NoiseStep,
    ) -> Result<()> {
        self.steps(at).try_for_each(|(noise, at)| each!(noise, noise => noise.gradients(gradients, vars, at)))
    }

    /// Each noise with its step, whose draws differ between two of a kind.
    fn steps(&self, at: NoiseStep) -> impl Iterator<Item = (&Noise, NoiseStep)> {
        self.iter().enumerate().map(move |(index, noise)| (noise, at.of_noise(index)))
    }
}
