//! Task arithmetic.
use crate::{
    merge::{
        methods::task_vectors::{task_vector_settings, All, Join, TaskVectors},
        ElementwiseRule, Method, Needs, Sources,
    },
    Result,
};

/// Task arithmetic: `θ = base + λ Σ wᵢ (θᵢ − base)`.
///
/// Choose it to give one network the skills of several that were fine-tuned for different tasks, with λ (.3 to 1,
/// mostly) found on held-out rows; or to take a skill away, with a negative weight. Where task vectors contradict each
/// other, [`Ties`](crate::merge::Ties) loses less.
///
/// Source: Ilharco et al. (2023), "Editing models with task arithmetic", arXiv:2212.04089.
///
/// ```
/// use candle_core::{Device, Tensor};
/// use candle_ensemble::{merge::{merge, TaskArithmetic}, weights::Weights};
///
/// let network = |x: [f32; 2]| -> candle_core::Result<Weights> {
///     Ok(Weights::from([("w".into(), Tensor::new(&x, &Device::Cpu)?)]))
/// };
/// let (base, a, b) = (network([1., 1.])?, network([2., 1.])?, network([1., 3.])?);
/// let merged = merge(&TaskArithmetic::new().lambda(0.5), &[&a, &b], Some(&base))?;
/// assert_eq!(merged["w"].to_vec1::<f32>()?, [1.5, 2.]);
/// # Ok::<(), candle_ensemble::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct TaskArithmetic {
    settings: TaskVectors,
}

impl TaskArithmetic {
    /// With λ = 1 and all weights 1. Weights may be negative.
    #[must_use]
    pub fn new() -> Self {
        Self { settings: TaskVectors::new(1., Join::Sum) }
    }
}

impl Default for TaskArithmetic {
    fn default() -> Self {
        Self::new()
    }
}

task_vector_settings!(TaskArithmetic);

impl Method for TaskArithmetic {
    fn name(&self) -> &'static str {
        "task arithmetic"
    }

    fn needs(&self) -> Needs {
        Needs::fine_tuned(1)
    }

    fn check(&self, networks: usize) -> Result<()> {
        self.settings.check(networks)
    }

    fn rule(&self, tensor: &Sources<'_>) -> Result<Box<dyn ElementwiseRule>> {
        Ok(Box::new(self.settings.rule(tensor.networks(), All)))
    }
}
