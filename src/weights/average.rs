//! Weighted averages of networks, of all at once or one after the other.
use crate::{
    check,
    kernels::cpu::{contiguous, Elements},
    threads,
    weights::{
        compatibility::{self, is_averaged},
        running_mean::{Precision, RunningMean},
        weighted_sum::WeightedSum,
        NamedTensors, Weights,
    },
    Error, Result,
};
use candle_core::{DType, Device, Result as CandleResult, Tensor};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use std::cmp::Reverse;

/// The weight of each network of a run when they are averaged: the newest counts as much as the others, or
/// more.
///
/// A run hands out several networks, for example one at the end of each of the last epochs. A pool lists them
/// oldest first. [`weights`](Self::weights) gives the weights of `n` networks in that order, with sum 1. In
/// the formulas of the variants network `i = 1` is the oldest and `i = n` the newest.
///
/// [`average`] and [`MergeSpec::average`](crate::merge::MergeSpec::average) use them. Choose
/// [`Uniform`](Self::Uniform) where the learning rate was constant or cyclic, as in SWA. Choose
/// [`Linear`](Self::Linear) or [`Exponential`](Self::Exponential) where the networks still improved from
/// epoch to epoch.
///
/// ```
/// use candle_ensemble::weights::RunWeights;
///
/// assert_eq!(RunWeights::Uniform.weights(4)?, [0.25; 4]);
/// assert_eq!(RunWeights::Linear.weights(4)?, [0.1, 0.2, 0.3, 0.4]);
/// let [older, newer] = RunWeights::Exponential { alpha: 2. }.weights(2)?[..] else { unreachable!() };
/// assert!((older / newer - (-0.5f64).exp()).abs() < 1e-15);
/// # Ok::<(), candle_ensemble::Error>(())
/// ```
///
/// Source: Izmailov et al. (2018), arXiv:1803.05407, for equal weights at the end of a training.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum RunWeights {
    /// `wᵢ = 1/n`: all networks count the same.
    #[default]
    Uniform,
    /// `wᵢ = i / Σ i`: weights rise in equal steps, and the newest network counts `n` times as much as the
    /// oldest.
    Linear,
    /// `wᵢ = exp(−(n + 1 − i)/α) / Σ`: each network counts `exp(1/α)` times as much as the one before it.
    Exponential {
        /// The decay `α`, above 0 and finite.
        alpha: f64,
    },
    /// Given weights, at least 0, one for each network, oldest first. They are divided by their sum.
    Given(Vec<f64>),
}

impl RunWeights {
    /// The weights of `n` networks, oldest first. Their sum is 1.
    ///
    /// # Errors
    /// When `n` is 0, `alpha` is not above 0 and finite, or the given weights are not `n`, are negative or
    /// not finite, or are all 0.
    pub fn weights(&self, n: usize) -> Result<Vec<f64>> {
        match self {
            Self::Uniform => normalized(&vec![1.; n], n),
            Self::Linear => normalized(&(1..=n).map(|i| i as f64).collect::<Vec<_>>(), n),
            Self::Exponential { alpha } if *alpha > 0. && alpha.is_finite() => {
                // Relative to the newest, so that not all of them underflow for a small α.
                normalized(&(0..n).rev().map(|age| (-(age as f64) / alpha).exp()).collect::<Vec<_>>(), n)
            }
            Self::Exponential { alpha } => Err(Error::invalid("alpha", "above 0 and finite", alpha)),
            Self::Given(weights) => normalized(weights, n),
        }
    }
}

/// Weights divided by their sum.
fn normalized(weights: &[f64], n: usize) -> Result<Vec<f64>> {
    if n == 0 {
        return Err(Error::invalid("the number of networks", "at least 1", 0));
    }
    check::weights(Some(weights), n, false)?;
    // Relative to the largest, so that the sum neither overflows nor underflows.
    let largest = weights.iter().copied().fold(0., f64::max);
    let sum: f64 = weights.iter().map(|w| w / largest).sum();
    Ok(weights.iter().map(|w| w / largest / sum).collect())
}

fn check_weight(weight: f64) -> Result<()> {
    match weight >= 0. && weight.is_finite() {
        true => Ok(()),
        false => Err(Error::invalid("a network's weight", "0 or more, and finite", weight)),
    }
}

/// Averages networks with given weights.
///
/// Formula: `θ = Σ wᵢ θᵢ / Σ wᵢ`, tensor by tensor.
///
/// Tensors go by name, and may have any shape. f16, bf16, f32 and f64 tensors keep their dtype; sums are in
/// f64 and rounded once (by way of f32 for f16 and bf16), and a mean of f64 elements is limited to their range,
/// so the average of equal networks is that network to the bit. Integer tensors are those of the last network;
/// those of more than one element must be the same in all networks, since they may be quantized weights, which
/// have no mean. The bytes do not depend on the number of threads.
/// Batch-norm's running statistics are averaged like weights, which is not what the averaged network would
/// measure: re-estimate them afterwards ([`merge::re_estimate`](crate::merge::re_estimate())).
///
/// Use it for networks of one run, for networks that were fine-tuned from one network, and for
/// [aligned](crate::merge::align) networks. Don't use it for independently trained networks without an
/// alignment: their average is useless. [`Average`] does the same for networks that do not fit into memory
/// together.
///
/// Cost: each network is read once, on all cores.
///
/// # Errors
/// [`Error::Incompatible`] when names, shapes or dtypes differ (the differences are listed), or an integer
/// tensor of more than one element. When there are no networks, an element is NaN or infinite (its tensor is named), or the weights are not one for each
/// network, negative, not finite, or all 0.
///
/// ```
/// use candle_core::{Device, Tensor};
/// use candle_ensemble::weights::{average, Weights};
///
/// let network = |w: f32| Ok::<_, candle_core::Error>(Weights::from([("w".into(), Tensor::new(&[w, -w], &Device::Cpu)?)]));
/// let mean = average(&[&network(1.)?, &network(4.)?], &[2., 1.])?;
/// assert_eq!(mean["w"].to_vec1::<f32>()?, [2., -2.]);
/// # Ok::<(), candle_ensemble::Error>(())
/// ```
///
/// Source: Izmailov et al. (2018), arXiv:1803.05407; Wortsman et al. (2022), arXiv:2203.05482.
pub fn average(networks: &[&Weights], weights: &[f64]) -> Result<Weights> {
    mix(networks, &normalized(weights, networks.len())?)
}

/// Adds networks up with given coefficients of any sign and any sum.
///
/// Formula: `θ = Σ cᵢ θᵢ`, tensor by tensor.
///
/// Shapes, dtypes and cost are as for [`average`].
///
/// Use it for coefficients that need not sum to 1, such as those of a
/// [`LearnedSoup`](crate::merge::LearnedSoup) or a point beyond two networks. For a mean, [`average`] is
/// safer: it checks the weights.
///
/// # Errors
/// As [`average`]; when a coefficient is not finite, or a sum exceeds the range of its dtype.
///
/// ```
/// use candle_core::{Device, Tensor};
/// use candle_ensemble::weights::{mix, Weights};
///
/// let network = |w: f32| Ok::<_, candle_core::Error>(Weights::from([("w".into(), Tensor::new(&[w], &Device::Cpu)?)]));
/// assert_eq!(mix(&[&network(3.)?, &network(4.)?], &[2., -1.])?["w"].to_vec1::<f32>()?, [2.]);
/// # Ok::<(), candle_ensemble::Error>(())
/// ```
pub fn mix(networks: &[&Weights], coefficients: &[f64]) -> Result<Weights> {
    check_coefficients(networks, coefficients)?;
    mix_each(networks, &|_| coefficients)
}

/// Checks that the networks are compatible and that each has one finite coefficient.
pub(crate) fn check_coefficients(networks: &[&Weights], coefficients: &[f64]) -> Result<()> {
    compatibility::check(networks)?;
    if coefficients.len() != networks.len() {
        let must = format!("{}, one for each network", networks.len());
        return Err(Error::invalid("the number of coefficients", must, coefficients.len()));
    }
    match coefficients.iter().find(|c| !c.is_finite()) {
        Some(c) => Err(Error::invalid("a coefficient", "finite", c)),
        None => Ok(()),
    }
}

/// As [`mix`], with coefficients for each tensor by name. The networks must be compatible.
pub(crate) fn mix_each<'c>(
    networks: &[&Weights],
    coefficients: &(dyn Fn(&str) -> &'c [f64] + Sync),
) -> Result<Weights> {
    threads::wide(|| mix_on_current_pool(networks, coefficients))
}

/// As [`mix_each`], on rayon's current pool of threads.
fn mix_on_current_pool<'c>(
    networks: &[&Weights],
    coefficients: &(dyn Fn(&str) -> &'c [f64] + Sync),
) -> Result<Weights> {
    let Some(newest) = networks.last() else { return Ok(Weights::new()) };
    let mut all: Vec<(&String, &Tensor)> = newest.iter().collect();
    // The largest tensors first and one by one, so that no core is left with a large one at the end.
    all.sort_by_key(|(_, tensor)| Reverse(tensor.elem_count()));
    let mixed = all.into_iter().par_bridge().map(|(name, _)| {
        let tensors = networks.iter().filter_map(|network| network.get(name)).collect::<Vec<_>>();
        Ok((name.clone(), mix_tensors(name, &tensors, coefficients(name))?))
    });
    mixed.collect()
}

/// The linear combination of the tensors of one name.
fn mix_tensors(name: &str, tensors: &[&Tensor], coefficients: &[f64]) -> Result<Tensor> {
    match tensors.last() {
        Some(newest) if !is_averaged(newest.dtype()) => {
            refuse_different_integers(name, tensors)?;
            Ok(contiguous(newest)?.copy()?.detach())
        }
        Some(newest) => {
            let tensors = tensors.iter().map(|t| contiguous(t)).collect::<Result<Vec<_>>>()?;
            let inputs = tensors.iter().map(Elements::of).collect::<CandleResult<Vec<_>>>()?;
            let is_mean = newest.dtype() == DType::F64 && is_mean(coefficients);
            let work = WeightedSum { name, inputs: &inputs, coefficients, is_mean, shape: newest.dims() };
            inputs[0].run(work)
        }
        None => Err(Error::invalid("the number of networks", "at least 1", 0)),
    }
}

/// Checks that an integer tensor of more than one element is the same in all networks.
fn refuse_different_integers(name: &str, tensors: &[&Tensor]) -> Result<()> {
    // Named here only, because it gives tensors a second method `dtype`.
    use safetensors::View;
    let Some((first, others)) = tensors.split_first().filter(|(first, _)| first.elem_count() > 1) else {
        return Ok(());
    };
    let first = first.to_device(&Device::Cpu)?;
    for (number, other) in others.iter().enumerate() {
        if View::data(&first) != View::data(&other.to_device(&Device::Cpu)?) {
            let why = format!(
                "the {} tensor {name} of network {} differs from that of network 0; integers have no mean, and \
                 quantized weights must be dequantized before they are averaged",
                first.dtype().as_str(),
                number + 1
            );
            return Err(Error::Incompatible { what: "the networks".into(), why });
        }
    }
    Ok(())
}

/// Whether a sum with these coefficients is a mean, but for rounding.
fn is_mean(coefficients: &[f64]) -> bool {
    let sum: f64 = coefficients.iter().sum();
    coefficients.iter().all(|c| *c >= 0.) && (sum - 1.).abs() <= f64::EPSILON * coefficients.len() as f64
}

/// Averages networks that come one after the other, with given weights.
///
/// Formula: `θ̄ ← θ̄ + (θ − θ̄)·w/Σ w`. The result equals that of [`average`], to rounding.
///
/// Shapes and dtypes are as for [`average`].
///
/// Use it for more networks than fit into memory, for example read from files. [`Swa`](crate::weights::Swa)
/// does the same with equal weights in f32, at half the memory, and can be saved.
///
/// Cost: memory for one network in f64; a push is one pass over the weights.
///
/// ```
/// # use candle_core::{Device, Tensor};
/// # use candle_ensemble::weights::{Average, Weights};
/// # let network = |w: f32| Ok::<_, candle_core::Error>(Weights::from([("w".into(), Tensor::new(&[w], &Device::Cpu)?)]));
/// let mut mean = Average::new();
/// for (i, weight) in [1., 2., 1.].into_iter().enumerate() {
///     mean.push(&network(i as f32)?, weight)?; // in practice, read from a file
/// }
/// assert_eq!(mean.weights()?["w"].to_vec1::<f32>()?, [1.]);
/// # Ok::<(), candle_ensemble::Error>(())
/// ```
#[derive(Debug)]
pub struct Average {
    running: RunningMean,
    sum: f64,
}

impl Default for Average {
    fn default() -> Self {
        Self::new()
    }
}

impl Average {
    /// An average of no networks.
    #[must_use]
    pub fn new() -> Self {
        Self { running: RunningMean::new(Precision::Double), sum: 0. }
    }

    /// Adds a network with this weight, at least 0.
    ///
    /// # Errors
    /// When the weight is negative or not finite. [`Error::Incompatible`] when the network's names, shapes or
    /// dtypes differ from those of the networks before it. The average is unchanged then.
    pub fn push(&mut self, network: &impl NamedTensors, weight: f64) -> Result<()> {
        check_weight(weight)?;
        let sum = self.sum + weight;
        if !sum.is_finite() {
            return Err(Error::invalid("the sum of the networks' weights", "finite", sum));
        }
        self.running.push(network, if sum > 0. { weight / sum } else { 0. })?;
        self.sum = sum;
        Ok(())
    }

    /// The number of networks that were added.
    #[must_use]
    pub fn count(&self) -> usize {
        self.running.count()
    }

    /// The average, in the dtypes of the networks.
    ///
    /// # Errors
    /// When no network with a weight above 0 was added, or an element of a tensor, which is named, is NaN or
    /// infinite.
    pub fn weights(&self) -> Result<Weights> {
        if self.sum == 0. {
            return Err(Error::invalid("the sum of the networks' weights", "above 0", 0));
        }
        self.running.weights()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::weights::weighted_sum::{LARGE, STRETCH};
    use proptest::prelude::*;
    use rand::Rng as _;
    use rand_distr::StandardNormal;

    fn noise(seed: u64, shapes: &[&[usize]]) -> Weights {
        let mut rng = crate::Seed::from(seed).rng();
        let tensor = |(i, shape): (usize, &&[usize])| {
            let numbers =
                (0..shape.iter().product()).map(|_| rng.sample(StandardNormal)).collect::<Vec<f32>>();
            (format!("t{i}"), Tensor::from_vec(numbers, *shape, &Device::Cpu).unwrap())
        };
        shapes.iter().enumerate().map(tensor).collect()
    }

    fn bits(weights: &Weights) -> Vec<u8> {
        safetensors::serialize(weights, None).unwrap()
    }

    fn numbers(tensor: &Tensor) -> Vec<f64> {
        tensor.to_dtype(DType::F64).unwrap().flatten_all().unwrap().to_vec1().unwrap()
    }

    /// `Σ wᵢ xᵢ / Σ wᵢ` in f64, element by element.
    fn plain(networks: &[&Weights], weights: &[f64], name: &str) -> Vec<f64> {
        let columns: Vec<Vec<f64>> = networks.iter().map(|n| numbers(&n[name])).collect();
        let sum: f64 = weights.iter().sum();
        let mean = |j: usize| columns.iter().zip(weights).map(|(c, w)| c[j] * w).sum::<f64>() / sum;
        (0..columns[0].len()).map(mean).collect()
    }

    const SHAPES: [&[usize]; 4] = [&[3, 5], &[], &[STRETCH * 2 + 7], &[0]];

    #[test]
    fn the_average_is_computed_in_f64_and_rounded_once() -> Result<()> {
        for n in 1..=9 {
            let networks: Vec<_> = (0..n).map(|i| noise(i, &SHAPES)).collect();
            let networks: Vec<&Weights> = networks.iter().collect();
            let weights: Vec<f64> = (1..=n).map(|i| i as f64).collect();
            let (all, mut one_by_one) = (average(&networks, &weights)?, Average::new());
            networks.iter().zip(&weights).try_for_each(|(n, w)| one_by_one.push(*n, *w))?;
            for (name, tensor) in &all {
                let expected = plain(&networks, &weights, name);
                let streamed = numbers(&one_by_one.weights()?[name]);
                assert_eq!(tensor.dims(), networks[0][name].dims());
                for ((got, exact), streamed) in numbers(tensor).iter().zip(&expected).zip(&streamed) {
                    // Half a unit in the last place of f32, and what f64 loses in cancellation.
                    let most = exact.abs() * 2f64.powi(-24) + 1e-15;
                    assert!((got - exact).abs() <= most && (streamed - exact).abs() <= most, "{got} {exact}");
                }
            }
            assert_eq!(one_by_one.count() as u64, n);
        }
        Ok(())
    }

    #[test]
    fn the_bytes_are_the_same_for_any_number_of_threads() -> Result<()> {
        let shapes: [&[usize]; 3] = [&[LARGE + STRETCH + 5], &[STRETCH], &[17]];
        let networks: Vec<_> = (0..6).map(|i| noise(i, &shapes)).collect();
        let networks: Vec<&Weights> = networks.iter().collect();
        let weights = [0.3, 0.1, 0.2, 0.15, 0.05, 0.2];
        let expected = bits(&average(&networks, &weights)?);
        for threads in 1..=3 {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            let shares = normalized(&weights, 6)?;
            assert_eq!(bits(&pool.install(|| mix_on_current_pool(&networks, &|_| &shares))?), expected);
        }
        Ok(())
    }

    #[test]
    fn the_average_of_equal_networks_is_the_network_to_the_bit() -> Result<()> {
        let mut network = noise(1, &SHAPES);
        network.insert(
            "zero".into(),
            Tensor::new(&[-0f32, 0., f32::MIN_POSITIVE / 4., f32::MAX], &Device::Cpu)?,
        );
        for dtype in [DType::F32, DType::BF16, DType::F16] {
            let cast =
                |(name, t): (&String, &Tensor)| Ok((name.clone(), t.clamp(-6e4, 6e4)?.to_dtype(dtype)?));
            let network = network.iter().map(cast).collect::<Result<Weights>>()?;
            for n in 1..=7 {
                let all = average(&vec![&network; n], &vec![3.7; n])?;
                assert!(bits(&all) == bits(&network), "{n} {dtype:?}");
                let mut mean = Average::new();
                (0..n).try_for_each(|_| mean.push(&network, 3.7))?;
                // Added one by one, the sign of a zero is lost.
                mean.weights()?.iter().for_each(|(name, t)| assert_eq!(numbers(t), numbers(&network[name])));
            }
        }
        Ok(())
    }

    #[test]
    fn dtypes_are_kept_and_integers_are_the_newest() -> Result<()> {
        let network = |w: [f32; 2], steps: u32, dtype| -> Result<Weights> {
            let w = Tensor::new(&w, &Device::Cpu)?.to_dtype(dtype)?;
            Ok(Weights::from([("w".into(), w), ("steps".into(), Tensor::new(steps, &Device::Cpu)?)]))
        };
        for dtype in [DType::F16, DType::BF16, DType::F32, DType::F64] {
            let networks = [network([1., 256.], 3, dtype)?, network([2., 1.], 9, dtype)?];
            let mean = average(&[&networks[0], &networks[1]], &[1., 3.])?;
            assert_eq!(mean["w"].dtype(), dtype);
            assert_eq!(mean["steps"].to_scalar::<u32>()?, 9);
            // 64.75 has seven binary digits before its fraction's two: bf16, of eight, rounds it to the even
            // 65 − 0.
            let second = if dtype == DType::BF16 { 65. } else { 64.75 };
            assert_eq!(numbers(&mean["w"]), [1.75, second]);
        }
        Ok(())
    }

    #[test]
    fn views_are_read_in_their_own_order() -> Result<()> {
        let all = Tensor::arange(0f32, 24., &Device::Cpu)?.reshape((4, 6))?;
        let one = |t: Tensor| Weights::from([("w".to_string(), t)]);
        let (a, b) =
            (one(all.narrow(0, 1, 2)?), one(all.t()?.narrow(0, 2, 2)?.narrow(1, 0, 1)?.expand((2, 6))?));
        let mean = average(&[&a, &b], &[1., 1.])?;
        assert_eq!(numbers(&mean["w"])[..6], [4., 4.5, 5., 5.5, 6., 6.5]);
        assert_eq!(numbers(&mean["w"])[6..], [7.5, 8., 8.5, 9., 9.5, 10.]);
        Ok(())
    }

    #[test]
    fn a_tensor_with_nan_or_infinity_is_named() -> Result<()> {
        let one = |w: f32| {
            Ok::<_, Error>(Weights::from([("head.w".to_string(), Tensor::new(&[1., w], &Device::Cpu)?)]))
        };
        for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            for weight in [1., 0.] {
                let e = average(&[&one(1.)?, &one(bad)?], &[1., weight]).unwrap_err().to_string();
                assert!(e.contains("head.w of network 1") && e.contains("finite"), "{e}");
            }
            let mut mean = Average::new();
            mean.push(&one(bad)?, 1.)?;
            assert!(mean.weights().unwrap_err().to_string().contains("head.w"));
        }
        let e = mix(&[&one(f32::MAX)?, &one(f32::MAX)?], &[1., 1.]).unwrap_err().to_string();
        assert!(e.contains("head.w") && e.contains("range of f32"), "{e}");
        assert_eq!(
            numbers(&average(&[&one(f32::MAX)?, &one(f32::MAX)?], &[1., 1.])?["head.w"])[1],
            f64::from(f32::MAX)
        );
        Ok(())
    }

    #[test]
    fn bad_weights_are_refused() -> Result<()> {
        let a = noise(1, &[&[2]]);
        for weights in [&[0., 0.][..], &[f64::NAN, 1.], &[-1., 2.], &[f64::INFINITY, 1.], &[1.], &[1.; 3]] {
            assert!(average(&[&a, &a], weights).is_err(), "{weights:?}");
        }
        assert!(average(&[], &[]).is_err());
        assert!(mix(&[&a], &[f64::NAN]).is_err());
        assert!(Average::new().weights().is_err());
        let mut mean = Average::new();
        assert!(mean.push(&a, -1.).is_err() && mean.push(&a, f64::NAN).is_err() && mean.count() == 0);
        mean.push(&a, 0.)?;
        assert!(mean.weights().is_err());
        // Weights near the limits of f64.
        assert_eq!(bits(&average(&[&a, &a], &[f64::MAX, f64::MAX])?), bits(&a));
        assert_eq!(bits(&average(&[&a, &a], &[5e-324, 0.])?), bits(&a));
        Ok(())
    }

    #[test]
    fn a_network_with_weight_zero_has_no_influence() -> Result<()> {
        let one = |w: f32| Weights::from([("w".to_string(), Tensor::new(&[w], &Device::Cpu).unwrap())]);
        let mut mean = Average::new();
        mean.push(&one(1e30), 0.)?;
        mean.push(&one(1e-30), 2.)?;
        mean.push(&one(-1e30), 0.)?;
        assert_eq!(mean.weights()?["w"].to_vec1::<f32>()?, [1e-30]);
        Ok(())
    }

    #[test]
    fn coefficients_may_have_any_sign() -> Result<()> {
        let one = |w: f64| Weights::from([("w".to_string(), Tensor::new(&[w], &Device::Cpu).unwrap())]);
        assert_eq!(numbers(&mix(&[&one(3.), &one(4.)], &[2., -1.])?["w"]), [2.]);
        assert_eq!(numbers(&mix(&[&one(3.)], &[0.])?["w"]), [0.]);
        Ok(())
    }

    #[test]
    fn run_weights_match_their_formulas() -> Result<()> {
        // Newest first: i/n for i = n…1, and exp(−i/α) for i = 1…n, each divided by its sum.
        for n in 1..=12usize {
            let normal = |mut w: Vec<f64>| {
                let sum: f64 = w.iter().sum();
                w.iter_mut().for_each(|w| *w /= sum);
                w.reverse();
                w
            };
            let linear = normal((1..=n).rev().map(|i| i as f64 / n as f64).collect());
            let exponential = normal((1..=n).map(|i| (-(i as f64) / 2.).exp()).collect());
            for (scheme, expected) in
                [(RunWeights::Linear, linear), (RunWeights::Exponential { alpha: 2. }, exponential)]
            {
                let got = scheme.weights(n)?;
                assert!(
                    got.iter().zip(&expected).all(|(g, e)| (g - e).abs() < 1e-15),
                    "{got:?} {expected:?}"
                );
            }
        }
        assert_eq!(RunWeights::Exponential { alpha: 1e-6 }.weights(3)?, [0., 0., 1.]);
        assert_eq!(RunWeights::Given(vec![1., 3.]).weights(2)?, [0.25, 0.75]);
        assert!(RunWeights::Given(vec![1.]).weights(2).is_err());
        for alpha in [0., -1., f64::NAN, f64::INFINITY] {
            assert!(RunWeights::Exponential { alpha }.weights(2).is_err());
        }
        assert!(RunWeights::Uniform.weights(0).is_err());
        Ok(())
    }

    proptest! {
        #[test]
        fn run_weights_sum_to_one_and_never_fall(n in 1..200usize, alpha in 0.01..100f64) {
            for scheme in [RunWeights::Uniform, RunWeights::Linear, RunWeights::Exponential { alpha }] {
                let weights = scheme.weights(n).unwrap();
                prop_assert!((weights.iter().sum::<f64>() - 1.).abs() < 1e-12);
                prop_assert!(weights.windows(2).all(|w| w[0] <= w[1]));
            }
        }
    }
}
