//! Model breadcrumbs.
use crate::{
    merge::{
        methods::{
            largest::{count_of, thresholds, Threshold},
            task_vectors::{task_vector_settings, Join, TaskVectors, Thin},
        },
        ElementwiseRule, Method, Needs, Sources,
    },
    Error, Result,
};

/// Adds task vectors without their largest and their smallest elements to the base (model breadcrumbs).
///
/// Formula: `θ = base + λ Σ wᵢ mᵢ∘(θᵢ − base)`, where the mask `mᵢ` clears elements of each tensor's task
/// vector.
///
/// Of the `n` elements of a tensor, the `⌊gamma·n⌋` of largest magnitude are dropped, and of the others the
/// `⌊density·n⌋` largest are kept. So `density` is the share of all elements that is kept, as in mergekit;
/// the paper's two percentiles are `1 − gamma` and `1 − gamma − density`. If both shares exceed 1 together,
/// fewer of the largest are dropped. Of equal magnitudes the first count as larger. Tensors may have any
/// shape.
///
/// Use it for many task vectors: outliers, which dominate a sum, are dropped along with the noise, and one
/// setting suits more tasks than the λ of [`TaskArithmetic`]. For contradicting task vectors,
/// [`elect_signs`](Self::elect_signs).
///
/// Cost: two or three passes over the inputs; memory as for [`Ties`](crate::merge::Ties).
///
/// # Errors
/// As [`merge`](crate::merge::merge()); when gamma, the density, λ or a weight is out of range.
///
/// ```
/// use candle_core::{Device, Tensor};
/// use candle_ensemble::{merge::{merge, Breadcrumbs}, weights::Weights};
///
/// let network = |x: [f32; 4]| -> candle_core::Result<Weights> {
///     Ok(Weights::from([("w".into(), Tensor::new(&x, &Device::Cpu)?)]))
/// };
/// let (base, tuned) = (network([0.; 4])?, network([1., -9., 3., -2.])?);
/// let merged = merge(&Breadcrumbs::new(0.5, 0.25), &[&tuned], Some(&base))?;
/// assert_eq!(merged["w"].to_vec1::<f32>()?, [0., 0., 3., -2.]);
/// # Ok::<(), candle_ensemble::Error>(())
/// ```
///
/// Source: Davari and Belilovsky (2023), "Model breadcrumbs: scaling multi-task model merging with sparse
/// masks", arXiv:2312.06795.
///
/// [`TaskArithmetic`]: crate::merge::TaskArithmetic
#[derive(Clone, Debug)]
pub struct Breadcrumbs {
    settings: TaskVectors,
    gamma: f64,
}

impl Breadcrumbs {
    /// A sum that keeps the share `density` of each task vector, above 0 and at most 1 (0.1 to 0.15 in the
    /// paper), and drops the share `gamma` of the largest elements, at least 0 and below 1 (0.01 in the
    /// paper), with λ = 1 and weights of 1.
    #[must_use]
    pub fn new(density: f64, gamma: f64) -> Self {
        Self { settings: TaskVectors::new(density), gamma }
    }

    /// Whether the task vectors are joined by sign election, as [`Ties`](crate::merge::Ties) does, in place
    /// of a sum; false by default. Weights must be at least 0 then. The task vectors with the elected sign are
    /// averaged, as TIES does; with [`normalize(false)`](Self::normalize) they are added, which is mergekit's
    /// default for this method.
    #[must_use]
    pub fn elect_signs(mut self, elect: bool) -> Self {
        self.settings = self.settings.elect_signs(elect);
        self
    }
}

task_vector_settings!(Breadcrumbs);

impl Method for Breadcrumbs {
    fn name(&self) -> &'static str {
        match self.settings.join {
            Join::Sum => "breadcrumbs",
            Join::Elect => "breadcrumbs with TIES",
        }
    }

    fn needs(&self) -> Needs {
        Needs::fine_tuned(1)
    }

    fn check(&self, networks: usize) -> Result<()> {
        if !(0. ..1.).contains(&self.gamma) {
            return Err(Error::invalid("gamma", "at least 0 and below 1", self.gamma));
        }
        self.settings.check(networks)
    }

    fn rule(&self, tensor: &Sources<'_>) -> Result<Box<dyn ElementwiseRule>> {
        let kept = count_of(self.settings.density, tensor.len());
        let dropped = count_of(self.gamma, tensor.len()).min(tensor.len() - kept);
        let pair = |thresholds: Vec<Threshold>| match thresholds[..] {
            [upper, lower] => Some((upper, lower)),
            _ => None,
        };
        let pairs = thresholds(tensor, &[dropped, dropped + kept]).into_iter().filter_map(pair).collect();
        Ok(Box::new(self.settings.rule(tensor.networks(), KeepBetween(pairs))))
    }
}

/// Keeps the elements between two thresholds of each network, the upper one first.
struct KeepBetween(Vec<(Threshold, Threshold)>);

impl Thin for KeepBetween {
    fn thin(&self, network: usize, start: usize, delta: &mut [f64]) {
        if let Some((upper, lower)) = self.0.get(network) {
            lower.keep_largest(start, delta);
            upper.drop_largest(start, delta);
        }
    }
}
