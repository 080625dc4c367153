//! Task arithmetic.
use crate::{
    merge::{
        methods::task_vectors::{task_vector_settings, KeepAll, TaskVectors},
        ElementwiseRule, Method, Needs, Sources,
    },
    Result,
};

/// Adds the task vectors of fine-tuned networks to their base.
///
/// Formula: `θ = base + λ Σ wᵢ (θᵢ − base)`. The difference `θᵢ − base` is the task vector of network `i`.
///
/// Tensors may have any shape; see [`merge`](crate::merge::merge()) for dtypes.
///
/// Use it to give one network the abilities of several that were fine-tuned for different tasks, with a λ
/// that is chosen on held-out rows (usually 0.3 to 1), or to remove an ability with a negative weight. Where
/// task vectors contradict each other, [`Ties`](crate::merge::Ties) loses less.
///
/// Cost: one pass over the inputs.
///
/// # Errors
/// As [`merge`](crate::merge::merge()); when λ or a weight is not finite.
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
///
/// Source: Ilharco et al. (2023), "Editing models with task arithmetic", arXiv:2212.04089.
#[derive(Clone, Debug)]
pub struct TaskArithmetic {
    settings: TaskVectors,
}

impl TaskArithmetic {
    /// A sum with λ = 1 and weights of 1. Weights may be negative.
    #[must_use]
    pub fn new() -> Self {
        Self { settings: TaskVectors::new(1.) }
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
        Ok(Box::new(self.settings.rule(tensor.networks(), KeepAll)))
    }
}
