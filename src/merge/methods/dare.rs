//! DARE: drop and rescale.
use crate::{
    kernels::simd::vectorized,
    merge::{
        methods::task_vectors::{task_vector_settings, Join, TaskVectors, Thin},
        ElementwiseRule, Method, Needs, Sources, STRIP_LEN,
    },
    Result, Seed,
};
use rand::RngCore;

/// DARE: each number of a task vector `δᵢ = θᵢ − base` is kept with probability `density` and divided by it, or
/// dropped: `θ = base + λ Σ wᵢ mᵢ∘δᵢ / density`, `mᵢ ~ Bernoulli(density)`, drawn for each network by itself.
///
/// Choose it where task vectors are small (networks fine-tuned with little data): nine in ten of their numbers can be
/// dropped with hardly a loss, and fewer of what is left collide. [`elected`](Self::elected) joins them by sign
/// election, as [`Ties`](crate::merge::Ties) does without its trimming. Mergekit divides by the norm that is left in place of
/// the density; here it is the paper's form.
///
/// The draws are a function of the seed, the tensor's name, the network's number and the place, and of nothing else.
///
/// Source: Yu et al. (2024), "Language models are super Mario: absorbing abilities from homologous models as a free
/// lunch", arXiv:2311.03099.
///
/// ```
/// use candle_core::{DType, Device, Tensor};
/// use candle_ensemble::{merge::{merge, Dare}, weights::Weights};
///
/// let base = Weights::from([("w".into(), Tensor::zeros(10_000, DType::F32, &Device::Cpu)?)]);
/// let tuned = Weights::from([("w".into(), Tensor::ones(10_000, DType::F32, &Device::Cpu)?)]);
/// let merged = merge(&Dare::new(0.1, 42), &[&tuned], Some(&base))?["w"].to_vec1::<f32>()?;
/// assert!(merged.iter().all(|x| *x == 0. || *x == 10.));
/// assert!((merged.iter().sum::<f32>() / 10_000. - 1.).abs() < 0.15); // five standard errors
/// # Ok::<(), candle_ensemble::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Dare {
    settings: TaskVectors,
    seed: Seed,
}

impl Dare {
    /// Keeping each number with this probability, above 0 and at most 1 (.1 to .5 in the paper). λ and all weights are
    /// 1.
    #[must_use]
    pub fn new(density: f64, seed: impl Into<Seed>) -> Self {
        Self { settings: TaskVectors::new(density, Join::Sum), seed: seed.into() }
    }

    /// Whether the task vectors are joined by sign election, as [`Ties`](crate::merge::Ties) does, in place of a sum; false by
    /// default. Weights must be at least 0 then.
    #[must_use]
    pub fn elect_signs(mut self, elect: bool) -> Self {
        self.settings.join = if elect { Join::Elect } else { Join::Sum };
        self
    }
}

task_vector_settings!(Dare);

impl Method for Dare {
    fn name(&self) -> &'static str {
        match self.settings.join {
            Join::Sum => "DARE",
            Join::Elect => "DARE with TIES",
        }
    }

    fn needs(&self) -> Needs {
        Needs::fine_tuned(1)
    }

    fn check(&self, networks: usize) -> Result<()> {
        self.settings.check(networks)
    }

    fn rule(&self, tensor: &Sources<'_>) -> Result<Box<dyn ElementwiseRule>> {
        let seed = self.seed.child(tensor.name());
        let seeds = (0..tensor.networks() as u64).map(|i| seed.nth("network", i)).collect();
        let density = self.settings.density;
        // 2³² of them is all.
        let kept = (density * 2f64.powi(32)).round() as u64;
        let dropped = Dropped { seeds, kept, scale: (1. / density) as f32 };
        Ok(Box::new(self.settings.rule(tensor.networks(), dropped)))
    }
}

struct Dropped {
    seeds: Vec<Seed>,
    /// Draws of 32 bits below this are kept.
    kept: u64,
    scale: f32,
}

impl Thin for Dropped {
    fn thin(&self, network: usize, start: usize, delta: &mut [f32]) {
        let Some(seed) = self.seeds.get(network) else { return };
        let mut rng = seed.rng();
        rng.set_word_pos(start as u128);
        let mut draws = [0u8; 4 * STRIP_LEN];
        let draws = &mut draws[..4 * delta.len().min(STRIP_LEN)];
        rng.fill_bytes(draws);
        let (draws, _) = draws.as_chunks::<4>();
        vectorized(
            #[inline(always)]
            || {
                for (x, draw) in delta.iter_mut().zip(draws) {
                    let kept = u64::from(u32::from_le_bytes(*draw)) < self.kept;
                    *x = if kept { *x * self.scale } else { 0. };
                }
            },
        );
    }
}
