//! TIES: trim, elect sign, merge.
use crate::{
    merge::{
        methods::{
            largest::{count_of, thresholds, Threshold},
            task_vectors::{task_vector_settings, TaskVectors, Thin},
        },
        ElementwiseRule, Method, Needs, Sources,
    },
    Result,
};

/// Merges trimmed task vectors by sign election (TIES: trim, elect sign, merge).
///
/// Formula: `θ = base + λ · merged`, where the task vectors `δᵢ = θᵢ − base` are merged in three steps:
///
/// - Trim: the `⌊density·n⌋` elements of largest magnitude of each `δᵢ` are kept (of equal ones the first),
///   and the others become 0.
/// - Elect: at each position the sign of `Σ wᵢ δᵢ` is elected; plus if the sum is 0.
/// - Merge: at each position the result is `Σ wᵢ δᵢ / Σ wᵢ` over the task vectors with the elected sign.
///
/// Each tensor is trimmed by itself, as in other implementations; the paper's own code ranks all elements of
/// a network together. The weights come from other implementations, too; the paper has none. Tensors may have
/// any shape.
///
/// Use it for several networks that were fine-tuned for different tasks, where [`TaskArithmetic`] loses too
/// much: elements that hardly changed no longer dilute those that did, and opposite signs no longer cancel.
///
/// Cost: two or three passes over the inputs. [`FileMerge`](crate::merge::FileMerge) needs memory for the
/// candidates of the largest elements, up to about the size of the largest tensor.
///
/// # Errors
/// As [`merge`](crate::merge::merge()); when the density is not above 0 and at most 1, λ is not finite, or a
/// weight is negative.
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
///
/// Source: Yadav et al. (2023), "TIES-Merging: resolving interference when merging models", arXiv:2306.01708.
///
/// [`TaskArithmetic`]: crate::merge::TaskArithmetic
#[derive(Clone, Debug)]
pub struct Ties {
    settings: TaskVectors,
}

impl Ties {
    /// A merge that keeps the share `density` of each task vector, above 0 and at most 1 (0.2 in the paper),
    /// with λ = 1 and weights of 1.
    #[must_use]
    pub fn new(density: f64) -> Self {
        Self { settings: TaskVectors::new(density).elect_signs(true) }
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
        let count = count_of(self.settings.density, tensor.len());
        let thresholds = thresholds(tensor, &[count]).into_iter().flatten().collect();
        Ok(Box::new(self.settings.rule(tensor.networks(), KeepLargest(thresholds))))
    }
}

/// Keeps the largest elements of each network.
struct KeepLargest(Vec<Threshold>);

impl Thin for KeepLargest {
    fn thin(&self, network: usize, start: usize, delta: &mut [f64]) {
        if let Some(threshold) = self.0.get(network) {
            threshold.keep_largest(start, delta);
        }
    }
}
