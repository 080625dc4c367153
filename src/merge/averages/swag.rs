//! SWAG: a normal distribution over networks, from which networks can be sampled.
use crate::{
    check,
    kernels::{
        cpu::{contiguous, Elements, FloatLoop},
        simd::vectorized,
    },
    store::{member::each_in_networks, Record},
    threads,
    weights::{
        compatibility::is_statistic,
        running_mean::{Precision, RunningMean},
        NamedTensors, Weights,
    },
    Error, Member, Result, Seed,
};
use candle_core::{DType, Device, Tensor, WithDType};
use rand::Rng;
use rand_chacha::ChaCha8Rng;
use rand_distr::StandardNormal;
use rayon::prelude::*;
use std::{
    collections::{BTreeMap, VecDeque},
    ops::Range,
};

/// The lower bound of a variance.
const LEAST: f64 = 1e-30;
/// The number of elements that are drawn at a time.
const CHUNK: usize = 2048;

/// A normal distribution over the networks that a training passes through, from which networks are sampled
/// (SWAG).
///
/// Formula: a sample is `θ = θ̄ + √s·(√σ²·z₁ + Dᵀz₂/√(K − 1))`, where
///
/// - `θ̄` is the mean of the networks, and `σ²` the variance of each element: the mean square minus the
///   square of the mean, at least 1e-30;
/// - `D` holds the last `K` networks' deviations, each from the mean at the time when it was pushed;
/// - `z₁` has a standard normal number for each element, and `z₂` one for each deviation, the same for all
///   tensors.
///
/// Each part contributes half of the variance, so the default `s = 1/2` gives that of the networks. Tensors
/// may have any shape and keep their dtype. Running statistics of batch-norm are averaged, not sampled, so
/// they do not fit a sample: re-estimate them ([`Pool::re_estimated`](crate::Pool::re_estimated)). Integer
/// tensors are those of the newest network.
///
/// Use it for an ensemble from one training: push networks of the last part of the training, for example one
/// each epoch, at a constant or cyclic learning rate, and draw [members](Self::members). Independently
/// trained networks make a more diverse ensemble.
///
/// Cost: a push is one pass over the weights. Memory of 16 bytes for each element, and 4 for each of its
/// deviations, or 8 in networks of f64.
///
/// ```
/// use candle_core::{Device, Tensor};
/// use candle_ensemble::{merge::Swag, weights::Weights};
///
/// let mut swag = Swag::new(2);
/// for w in [1f32, 2., 3.] {
///     swag.push(&Weights::from([("w".into(), Tensor::new(&[w, -w], &Device::Cpu)?)]))?;
/// }
/// assert_eq!(swag.mean()?["w"].to_vec1::<f32>()?, [2., -2.]);
/// assert_eq!(swag.variance()?["w"].to_vec1::<f64>()?, [2. / 3.; 2]);
/// let samples = swag.samples(3, 1)?; // three networks
/// assert_eq!(samples[1]["w"].dims(), [2]);
/// # Ok::<(), candle_ensemble::Error>(())
/// ```
///
/// Source: Maddox et al. (2019), "A simple baseline for Bayesian uncertainty in deep learning",
/// arXiv:1902.02476.
#[derive(Debug)]
pub struct Swag {
    mean: RunningMean,
    spreads: BTreeMap<String, Spread>,
    columns: usize,
    scale: f64,
}

/// The spread of one tensor.
#[derive(Debug, Default)]
struct Spread {
    /// The sums of squared deviations from the mean.
    squares: Vec<f64>,
    /// The last deviations, oldest first.
    deviations: VecDeque<Deviation>,
}

/// The deviations of one network's elements from the mean, in the precision of the networks.
#[derive(Debug)]
enum Deviation {
    F32(Vec<f32>),
    F64(Vec<f64>),
}

impl Deviation {
    /// Replaces the deviations.
    fn fill(&mut self, values: impl Iterator<Item = f64>) {
        match self {
            Self::F32(all) => {
                all.clear();
                all.extend(values.map(|x| x as f32));
            }
            Self::F64(all) => {
                all.clear();
                all.extend(values);
            }
        }
    }

    /// Adds those of a range, times `z`.
    #[inline(always)]
    fn add(&self, range: Range<usize>, z: f64, sums: &mut [f64]) {
        match self {
            Self::F32(all) => sums.iter_mut().zip(&all[range]).for_each(|(d, x)| *d += z * f64::from(*x)),
            Self::F64(all) => sums.iter_mut().zip(&all[range]).for_each(|(d, x)| *d += z * x),
        }
    }
}

impl Swag {
    /// A distribution of no networks, which keeps this many deviations, 0 or at least 2; 20 are usual. With 0
    /// the elements are independent (SWAG-Diagonal), and a scale of 1 gives the variance of the networks.
    #[must_use]
    pub fn new(columns: usize) -> Self {
        Self { mean: RunningMean::new(Precision::Double), spreads: BTreeMap::new(), columns, scale: 0.5 }
    }

    /// The scale `s` of samples, at least 0; 0.5 by default, as in the paper. With 0 every sample is the
    /// mean.
    ///
    /// # Errors
    /// When the scale is negative or not finite.
    pub fn scale(mut self, scale: f64) -> Result<Self> {
        check::non_negative("the scale", scale)?;
        self.scale = scale;
        Ok(self)
    }

    /// Adds a network.
    ///
    /// # Errors
    /// [`Error::Incompatible`] when its names, shapes or dtypes differ from those of the networks before it.
    /// Nothing is changed then.
    pub fn push(&mut self, network: &impl NamedTensors) -> Result<()> {
        let n = self.mean.count() as f64 + 1.;
        self.mean.push(network, 1. / n)?;
        network.each(&mut |name, tensor| match self.mean.f64_values(name) {
            Some(mean) if !is_statistic(name) => {
                let spread = self.spreads.entry(name.to_string()).or_default();
                let tensor = contiguous(tensor)?;
                let work = AddDeviation { spread, mean, n, columns: self.columns };
                Elements::of(&tensor)?.run(work)
            }
            _ => Ok(()),
        })
    }

    /// The number of networks that were added.
    #[must_use]
    pub fn count(&self) -> usize {
        self.mean.count()
    }

    /// The mean, in the dtypes of the networks. [`Swa`](crate::weights::Swa) gives the same.
    ///
    /// # Errors
    /// When no network was added, or an element of a tensor, which is named, is NaN or infinite.
    pub fn mean(&self) -> Result<Weights> {
        self.mean.weights()
    }

    /// The variance `σ²` of each element, in f64. Buffers have none.
    ///
    /// # Errors
    /// When no network was added.
    pub fn variance(&self) -> Result<Weights> {
        let shapes = self.mean.weights()?;
        let variance = self.spreads.iter().filter_map(|(name, spread)| {
            let n = self.mean.count() as f64;
            let variance = spread.squares.iter().map(|s| (s / n).max(LEAST)).collect::<Vec<_>>();
            let shape = shapes.get(name)?.shape().clone();
            Some(Tensor::from_vec(variance, shape, &Device::Cpu).map(|tensor| (name.clone(), tensor)))
        });
        Ok(variance.collect::<candle_core::Result<_>>()?)
    }

    /// Draws a network, which depends only on the seed.
    ///
    /// # Errors
    /// When fewer than two networks were added, exactly one deviation is kept, or an element of a tensor,
    /// which is named, is NaN or infinite.
    pub fn sample(&self, seed: impl Into<Seed>) -> Result<Weights> {
        let seed = seed.into();
        let kept = (self.mean.count()).min(self.columns);
        if self.mean.count() < 2 || kept == 1 {
            let must = "made of at least two networks, with no deviations or at least two";
            let got = format!("made of {} networks with {kept} deviations", self.mean.count());
            return Err(Error::invalid("SWAG", must, got));
        }
        let mut rng = seed.child("swag deviations").rng();
        let share = ((kept.max(2) - 1) as f64).sqrt();
        let z2: Vec<f64> = (0..kept).map(|_| rng.sample::<f64, _>(StandardNormal) / share).collect();
        let mean = self.mean.weights()?;
        let draw = |(name, tensor): (&String, &Tensor)| {
            let (Some(spread), Some(mean)) = (self.spreads.get(name), self.mean.f64_values(name)) else {
                return Ok((name.clone(), tensor.clone()));
            };
            let drawn = self.draw(mean, spread, &z2, &mut seed.child("swag weights").child(name).rng());
            let drawn = Tensor::from_vec(drawn, tensor.shape(), &Device::Cpu)?;
            Ok((name.clone(), drawn.to_dtype(DType::F64)?.to_dtype(tensor.dtype())?))
        };
        threads::wide(|| mean.par_iter().map(draw).collect())
    }

    fn draw(&self, mean: &[f64], spread: &Spread, z2: &[f64], rng: &mut ChaCha8Rng) -> Vec<f64> {
        let (n, scale) = (self.mean.count() as f64, self.scale.sqrt());
        let mut drawn = vec![0.; mean.len()];
        for (i, drawn) in drawn.chunks_mut(CHUNK).enumerate() {
            let range = i * CHUNK..i * CHUNK + drawn.len();
            for (d, s) in drawn.iter_mut().zip(&spread.squares[range.clone()]) {
                *d = (s / n).max(LEAST).sqrt() * rng.sample::<f64, _>(StandardNormal);
            }
            vectorized(
                #[inline(always)]
                || {
                    for (deviation, z) in spread.deviations.iter().zip(z2) {
                        deviation.add(range.clone(), *z, drawn);
                    }
                    drawn.iter_mut().zip(&mean[range.clone()]).for_each(|(d, m)| *d = m + scale * *d);
                },
            );
        }
        drawn
    }

    /// Draws `n` networks.
    ///
    /// # Errors
    /// As [`Swag::sample`].
    pub fn samples(&self, n: usize, seed: impl Into<Seed>) -> Result<Vec<Weights>> {
        let seed = seed.into();
        (0..n as u64).map(|i| self.sample(seed.nth("swag", i))).collect()
    }

    /// Draws `n` networks as members, each with a slot of its own. Their records are copies of `record`,
    /// which must be that of the run's last member: its rows are those that shaped the networks.
    ///
    /// # Errors
    /// As [`Swag::sample`].
    pub fn members(&self, n: usize, record: &Record, seed: impl Into<Seed>) -> Result<Vec<Member>> {
        let weights = self.samples(n, seed)?.into_iter();
        let members = weights.zip(0..).map(|(weights, index)| {
            let key = format!("{}-swag-{index:03}", record.key);
            Member { weights, record: Record { index, slot: index, key, ..record.clone() } }
        });
        Ok(each_in_networks(members.collect()))
    }
}

/// Adds a network's deviation from the mean, which already includes the network.
struct AddDeviation<'a> {
    spread: &'a mut Spread,
    mean: &'a [f64],
    n: f64,
    columns: usize,
}

impl FloatLoop for AddDeviation<'_> {
    type Out = ();

    fn run<T: WithDType>(
        self,
        x: &[T],
        load: impl Fn(T) -> f64 + Copy + Send + Sync,
        _: impl Fn(f64) -> T + Copy + Send + Sync,
    ) -> Result<()> {
        let Self { spread: Spread { squares, deviations }, mean, n, columns } = self;
        squares.resize(x.len(), 0.);
        // (x − the mean before) · (x − the mean after), by Welford 1962; the first network is its own mean.
        let growth = if n > 1. { n / (n - 1.) } else { 0. };
        for (s, (x, m)) in squares.iter_mut().zip(x.iter().zip(mean)) {
            let deviation = load(*x) - m;
            *s += deviation * deviation * growth;
        }
        if columns > 0 {
            // The memory of the oldest is reused.
            let oldest = if deviations.len() == columns { deviations.pop_front() } else { None };
            let mut newest = oldest.unwrap_or_else(|| match T::DTYPE {
                DType::F64 => Deviation::F64(vec![]),
                _ => Deviation::F32(vec![]),
            });
            newest.fill(x.iter().zip(mean).map(|(x, m)| load(*x) - m));
            deviations.push_back(newest);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand_distr::StandardNormal;

    fn network(numbers: &[f32], dtype: DType) -> Weights {
        let tensor = Tensor::new(numbers, &Device::Cpu).unwrap().to_dtype(dtype).unwrap();
        let running_var = Tensor::new(&[numbers[0].abs()], &Device::Cpu).unwrap();
        let steps = Tensor::new(3u32, &Device::Cpu).unwrap();
        Weights::from([("w".into(), tensor), ("running_var".into(), running_var), ("steps".into(), steps)])
    }

    /// Networks on a path, and the mean, variance and deviations that the paper's formulas give.
    fn path(n: usize, size: usize) -> Vec<Vec<f32>> {
        let mut rng = Seed::from(5).rng();
        (0..n)
            .map(|i| (0..size).map(|j| rng.sample::<f32, _>(StandardNormal) + (i * j) as f32 * 0.1).collect())
            .collect()
    }

    fn swag(columns: usize, path: &[Vec<f32>]) -> Swag {
        let mut swag = Swag::new(columns);
        path.iter().for_each(|numbers| swag.push(&network(numbers, DType::F32)).unwrap());
        swag
    }

    /// The deviations of the tensor `w`.
    fn deviations(swag: &Swag) -> Vec<Vec<f64>> {
        let values = |deviation: &Deviation| match deviation {
            Deviation::F32(all) => all.iter().copied().map(f64::from).collect(),
            Deviation::F64(all) => all.clone(),
        };
        swag.spreads["w"].deviations.iter().map(values).collect()
    }

    /// Differences that f32 cannot hold beside the mean, or at all, are kept for networks of f64.
    #[test]
    fn networks_of_f64_keep_their_deviations_in_f64() -> Result<()> {
        for unit in [1e-60, 1e150] {
            let mut swag = Swag::new(2);
            for x in [1., 2., 4.] {
                let w = Tensor::new(&[x * unit], &Device::Cpu)?;
                swag.push(&Weights::from([("w".into(), w)]))?;
            }
            let right = [unit / 2., unit * 5. / 3.];
            for (got, right) in deviations(&swag).into_iter().zip(right) {
                assert!((got[0] / right - 1.).abs() < 1e-14, "{} {right}", got[0]);
            }
        }
        Ok(())
    }

    #[test]
    fn moments_match_their_formulas() -> Result<()> {
        let path = path(7, 3);
        let swag = swag(4, &path);
        let (mean, variance) = (swag.mean()?["w"].to_vec1::<f32>()?, swag.variance()?["w"].to_vec1::<f64>()?);
        for j in 0..3 {
            let x: Vec<f64> = path.iter().map(|p| f64::from(p[j])).collect();
            let first = x.iter().sum::<f64>() / 7.;
            let second = x.iter().map(|x| x * x).sum::<f64>() / 7.;
            assert!((f64::from(mean[j]) - first).abs() < 1e-6);
            assert!((variance[j] - (second - first * first)).abs() < 1e-12);
            // θᵢ minus the mean of θ₁…θᵢ, of the last four.
            let kept = deviations(&swag).into_iter().map(|d| d[j]);
            for (i, got) in (3..7).zip(kept) {
                let so_far = x[..=i].iter().sum::<f64>() / (i + 1) as f64;
                assert!((got - (x[i] - so_far)).abs() < 1e-6);
            }
        }
        assert!(!swag.spreads.contains_key("running_var") && !swag.spreads.contains_key("steps"));
        Ok(())
    }

    /// The covariance of draws is `s·(diag σ² + DᵀD/(K − 1))`. Over 4000 seeds a mean of draws is off by
    /// `σ/√4000` and a (co)variance by at most `σᵢσⱼ·√(2/4000)`, as standard deviations; of 9 figures, none
    /// is beyond 4.5 of them but once in 16 000 choices of seeds.
    #[test]
    fn samples_have_the_mean_and_covariance_of_the_formula() -> Result<()> {
        const DRAWS: usize = 4000;
        for (columns, scale) in [(5, 0.5), (3, 1.), (0, 1.)] {
            let path = path(8, 3);
            let swag = swag(columns, &path).scale(scale)?;
            let variance = swag.variance()?["w"].to_vec1::<f64>()?;
            let mean: Vec<f64> =
                (0..3).map(|j| path.iter().map(|p| f64::from(p[j])).sum::<f64>() / 8.).collect();
            let deviations = deviations(&swag);
            let covariance = |i: usize, j: usize| {
                let low: f64 = deviations.iter().map(|d| d[i] * d[j]).sum();
                let diagonal = if i == j { variance[i] } else { 0. };
                scale * (diagonal + low / (columns.max(2) - 1) as f64)
            };
            let draws = (0..DRAWS as u64).map(|i| Ok(swag.sample(Seed::from(i))?["w"].to_vec1::<f32>()?));
            let draws = draws.collect::<Result<Vec<Vec<f32>>>>()?;
            let n = DRAWS as f64;
            for i in 0..3 {
                let off = draws.iter().map(|d| f64::from(d[i]) - mean[i]).sum::<f64>() / n;
                assert!(off.abs() < 4.5 * (covariance(i, i) / n).sqrt(), "{off}");
                for j in 0..=i {
                    let product = |d: &Vec<f32>| (f64::from(d[i]) - mean[i]) * (f64::from(d[j]) - mean[j]);
                    let got = draws.iter().map(product).sum::<f64>() / n;
                    let error = (covariance(i, i) * covariance(j, j) * 2. / n).sqrt();
                    assert!((got - covariance(i, j)).abs() < 4.5 * error, "{got} {}", covariance(i, j));
                }
            }
        }
        Ok(())
    }

    /// With two deviations of one direction all weights move along it together: z₂ is shared between tensors.
    #[test]
    fn all_tensors_share_the_factors_of_the_deviations() -> Result<()> {
        let mut swag = Swag::new(2);
        for x in [0f32, 1., 2.] {
            let t = |x: f32| Tensor::new(&[x], &Device::Cpu);
            swag.push(&Weights::from([("a".into(), t(1e3 * x)?), ("b".into(), t(-2e3 * x)?)]))?;
        }
        for spread in swag.spreads.values_mut() {
            spread.squares.fill(0.);
        }
        for i in 0..20 {
            let draw = swag.sample(Seed::from(i))?;
            let (a, b) = (draw["a"].to_vec1::<f32>()?[0], draw["b"].to_vec1::<f32>()?[0]);
            assert!((2. * (a - 1e3) + (b + 2e3)).abs() < 1e-2 && a != 1e3, "{a} {b}");
        }
        Ok(())
    }

    #[test]
    fn samples_depend_on_the_seed_and_keep_dtypes() -> Result<()> {
        let mut swag = Swag::new(2);
        for numbers in path(3, 5000) {
            swag.push(&network(&numbers, DType::BF16))?;
        }
        let bytes = |seed: u64| -> Result<Vec<u8>> {
            Ok(safetensors::serialize(swag.sample(Seed::from(seed))?, None).unwrap())
        };
        assert_eq!(bytes(1)?, bytes(1)?);
        assert_ne!(bytes(1)?, bytes(2)?);
        let (draw, mean) = (swag.sample(Seed::from(1))?, swag.mean()?);
        assert_eq!((draw["w"].dtype(), draw["steps"].to_scalar::<u32>()?), (DType::BF16, 3));
        assert_eq!(draw["running_var"].to_vec1::<f32>()?, mean["running_var"].to_vec1::<f32>()?);
        let at_the_mean = swag.scale(0.)?.sample(Seed::from(1))?;
        assert_eq!(
            at_the_mean["w"].to_dtype(DType::F32)?.to_vec1::<f32>()?,
            mean["w"].to_dtype(DType::F32)?.to_vec1::<f32>()?
        );
        Ok(())
    }

    #[test]
    fn too_few_networks_or_deviations_are_refused() -> Result<()> {
        let path = path(2, 3);
        assert!(swag(2, &path[..1]).sample(Seed::from(1)).is_err());
        assert!(swag(1, &path).sample(Seed::from(1)).is_err());
        assert!(swag(2, &path).sample(Seed::from(1)).is_ok());
        assert!(swag(0, &path).sample(Seed::from(1)).is_ok());
        assert!(Swag::new(2).mean().is_err());
        for bad in [-1., f64::NAN, f64::INFINITY] {
            assert!(Swag::new(2).scale(bad).is_err());
        }
        let mut bad = path.clone();
        bad[1][2] = f32::NAN;
        assert!(swag(2, &bad).sample(Seed::from(1)).unwrap_err().to_string().contains("average of w"));
        Ok(())
    }
}
