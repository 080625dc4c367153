//! Model breadcrumbs.
use crate::{
    merge::{
        methods::{
            select::{reaches, share, Reach},
            task_vectors::{task_vector_settings, Join, TaskVectors, Thin},
        },
        ElementwiseRule, Method, Needs, Sources,
    },
    Error, Result,
};

/// Breadcrumbs: `θ = base + λ Σ wᵢ mᵢ∘(θᵢ − base)`, where the mask `mᵢ` clears the largest and the smallest numbers of
/// each tensor's task vector.
///
/// Of a tensor's `n` numbers, the ⌊gamma·n⌋ of largest magnitude are dropped, and of the rest the ⌊density·n⌋ largest
/// are kept, so density is the share of all numbers that stays, as in mergekit. Where both shares together exceed 1,
/// fewer of the largest are dropped. Of equal magnitudes those that come first count as larger. The paper names two
/// percentiles, which are 1 − gamma and 1 − gamma − density.
///
/// Choose it for many task vectors at once: outliers, which dominate a sum, are dropped with the noise, and one setting
/// suits more tasks than plain task arithmetic's λ does. [`elected`](Self::elected) joins the masked task vectors by
/// sign election, as [`Ties`](crate::merge::Ties) does.
///
/// Source: Davari and Belilovsky (2023), "Model breadcrumbs: scaling multi-task model merging with sparse masks",
/// arXiv:2312.06795.
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
#[derive(Clone, Debug)]
pub struct Breadcrumbs {
    settings: TaskVectors,
    gamma: f64,
}

impl Breadcrumbs {
    /// Keeping the share `density` of each task vector's numbers, above 0 and at most 1 (.1 to .15 in the paper),
    /// below the share `gamma` of the largest, at least 0 and below 1 (.01 in the paper). λ and all weights are 1.
    #[must_use]
    pub fn new(density: f64, gamma: f64) -> Self {
        Self { settings: TaskVectors::new(density, Join::Sum), gamma }
    }

    /// Whether the task vectors are joined by sign election, as [`Ties`](crate::merge::Ties) does, in place of a sum; false by
    /// default. Weights must be at least 0 then.
    #[must_use]
    pub fn elect_signs(mut self, elect: bool) -> Self {
        self.settings.join = if elect { Join::Elect } else { Join::Sum };
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
        let kept = share(self.settings.density, tensor.len());
        let dropped = share(self.gamma, tensor.len()).min(tensor.len() - kept);
        let both = |reaches: Vec<Reach>| match reaches[..] {
            [dropped, all] => Some((dropped, all)),
            _ => None,
        };
        let between = reaches(tensor, &[dropped, dropped + kept]).into_iter().filter_map(both).collect();
        Ok(Box::new(self.settings.rule(tensor.networks(), Between(between))))
    }
}

/// Keeps what the second reaches and the first does not.
struct Between(Vec<(Reach, Reach)>);

impl Thin for Between {
    fn thin(&self, network: usize, start: usize, delta: &mut [f32]) {
        if let Some((dropped, all)) = self.0.get(network) {
            all.keep(start, delta);
            dropped.drop(start, delta);
        }
    }
}
