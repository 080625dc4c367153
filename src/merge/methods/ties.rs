//! TIES: trim, elect the sign, merge.
use crate::{
    merge::{
        methods::{
            select::{reaches, share, Reach},
            task_vectors::{task_vector_settings, Join, TaskVectors, Thin},
        },
        ElementwiseRule, Method, Needs, Sources,
    },
    Result,
};

/// TIES: `θ = base + λ · merged`, where the task vectors `δᵢ = θᵢ − base` are merged in three steps.
///
/// - Trim: of each `δᵢ` the ⌊density·n⌋ numbers of largest magnitude stay, of equal ones those that come first; the
///   others become 0.
/// - Elect: at each place the sign of `Σ wᵢ δᵢ`, plus for 0.
/// - Merge: the mean of those that have that sign, `Σ wᵢ δᵢ / Σ wᵢ` over them.
///
/// Trimming is done for each tensor by itself, as the implementations in use do; the paper's own code ranks all
/// numbers of a network together. The weights and their use in the vote and the mean come from there too: the paper has
/// none.
///
/// Choose it for several networks fine-tuned for different tasks, when adding their task vectors loses too much:
/// numbers that hardly moved no longer dilute those that did, and opposite signs no longer cancel.
///
/// Source: Yadav et al. (2023), "TIES-Merging: resolving interference when merging models", arXiv:2306.01708.
///
/// ```
/// use candle_core::{Device, Tensor};
/// use candle_ensemble::{merge::{merge, Ties}, weights::Weights};
///
/// let network = |x: [f32; 4]| -> candle_core::Result<Weights> {
///     Ok(Weights::from([("w".into(), Tensor::new(&x, &Device::Cpu)?)]))
/// };
/// let (base, a, b) = (network([0.; 4])?, network([5., -4., 1., 0.])?, network([3., 6., 0., 1.])?);
/// let merged = merge(&Ties::new(0.5), &[&a, &b], Some(&base))?;
/// assert_eq!(merged["w"].to_vec1::<f32>()?, [4., 6., 0., 0.]);
/// # Ok::<(), candle_ensemble::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Ties {
    settings: TaskVectors,
}

impl Ties {
    /// Keeping this share of each task vector: above 0 and at most 1; .2 in the paper. λ and all weights are 1.
    #[must_use]
    pub fn new(density: f64) -> Self {
        Self { settings: TaskVectors::new(density, Join::Elect) }
    }
}

task_vector_settings!(Ties);

impl Method for Ties {
    fn name(&self) -> &'static str {
        "TIES"
    }

    fn needs(&self) -> Needs {
        Needs::fine_tuned(1)
    }

    fn check(&self, networks: usize) -> Result<()> {
        self.settings.check(networks)
    }

    fn rule(&self, tensor: &Sources<'_>) -> Result<Box<dyn ElementwiseRule>> {
        let count = share(self.settings.density, tensor.len());
        let reaches = reaches(tensor, &[count]).into_iter().flatten().collect();
        Ok(Box::new(self.settings.rule(tensor.networks(), Largest(reaches))))
    }
}

/// Keeps the largest of each network.
struct Largest(Vec<Reach>);

impl Thin for Largest {
    fn thin(&self, network: usize, start: usize, delta: &mut [f32]) {
        if let Some(reach) = self.0.get(network) {
            reach.keep(start, delta);
        }
    }
}
