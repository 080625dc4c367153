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

/// Adds randomly thinned and rescaled task vectors to the base (DARE: drop and rescale).
///
/// Formula: `θ = base + λ Σ wᵢ mᵢ∘δᵢ / density`, where `δᵢ = θᵢ − base` and each element of the mask `mᵢ` is
/// 1 with probability `density` and else 0, drawn for each network by itself.
///
/// The draws depend only on the seed, the tensor's name, the position of the network and the position of the
/// element. mergekit divides by the norm that is left; here it is the density, as in the paper. Tensors may
/// have any shape.
///
/// Use it where task vectors are small, as of networks fine-tuned with little data: nine in ten of their
/// elements can be dropped with hardly a loss, and fewer of the others collide. Don't use it for large task
/// vectors, where the loss is considerable. [`elect_signs`](Self::elect_signs) joins what is left as
/// [`Ties`](crate::merge::Ties) does.
///
/// Cost: one pass over the inputs, and a random number for each element.
///
/// # Errors
/// As [`merge`](crate::merge::merge()); when the density is not above 0 and at most 1, λ is not finite, or a
/// weight is out of range.
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
///
/// Source: Yu et al. (2024), "Language models are super Mario: absorbing abilities from homologous models as
/// a free lunch", arXiv:2311.03099.
#[derive(Clone, Debug)]
pub struct Dare {
    settings: TaskVectors,
    seed: Seed,
}

impl Dare {
    /// A sum that keeps each element with probability `density`, above 0 and at most 1 (0.1 to 0.5 in the
    /// paper), with λ = 1 and weights of 1.
    #[must_use]
    pub fn new(density: f64, seed: impl Into<Seed>) -> Self {
        Self { settings: TaskVectors::new(density), seed: seed.into() }
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
        // Of the 2³² values of a draw, this many keep an element.
        let kept = (density * 2f64.powi(32)).round() as u64;
        let thin = DropAtRandom { seeds, kept, scale: 1. / density };
        Ok(Box::new(self.settings.rule(tensor.networks(), thin)))
    }
}

/// Drops elements at random, and rescales the others.
struct DropAtRandom {
    seeds: Vec<Seed>,
    /// An element is kept if its draw of 32 bits is below this.
    kept: u64,
    scale: f64,
}

impl Thin for DropAtRandom {
    fn thin(&self, network: usize, start: usize, delta: &mut [f64]) {
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
