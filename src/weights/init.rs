//! Seeded initial weights.
//!
//! candle draws initial weights from the thread's generator, which cannot be seeded on the CPU. Here each
//! variable is drawn from a hash of a seed and the variable's name. One seed gives the same bytes for any
//! number of threads, for any order in which layers are built, and on every machine. There is one exception:
//! the 0.03 % of normal draws beyond 3.65 standard deviations take a logarithm, whose last bit in f64 depends
//! on the platform.
use crate::{weights::Vars, Error, Result, Seed};
use candle_core::{bail, DType, Device, Result as CResult, Shape, Tensor, Var, WithDType};
use candle_nn::{
    init::{FanInOut, NormalOrUniform},
    var_builder::SimpleBackend,
    Init, VarBuilder,
};
use rand::Rng;
use rand_distr::StandardNormal;
use serde::{Deserialize, Serialize};

/// The distribution that initial weights are drawn from.
///
/// A scheme other than [`Self::AsDeclared`] replaces what the model's layers declare, without a change to the
/// model. Constants, such as the ones and zeros of normalization layers, stay as declared. In the formulas
/// `fan_in` and `fan_out` are the numbers of inputs and outputs of a unit: `i·∏k` and `o·∏k` for a weight of
/// shape `(o, i, k…)`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[non_exhaustive]
pub enum InitScheme {
    /// What the model declares: `N(0, 2 / fan_in)` for candle's linear and convolutional layers.
    #[default]
    AsDeclared,
    /// Weights from `U(−a, a)` with `a = √(6 / (fan_in + fan_out))`, and biases 0. It is the default of
    /// Keras.
    ///
    /// Source: Glorot and Bengio (2010), "Understanding the difficulty of training deep feedforward neural
    /// networks", AISTATS 9:249–256.
    GlorotUniform,
    /// Weights from `U(−a, a)` with `a = 1 / √fan_in`, and biases as declared, which candle's layers draw
    /// from the same range. It is the default of PyTorch's linear and convolutional layers.
    Torch,
}

/// A `VarBuilder` backend that draws each variable from a hash of a seed and the variable's name.
///
/// A variable's value depends on the seed, the scheme, and the variable's name, shape and `Init`, and on
/// nothing else. It is drawn in f64 and then rounded to the dtype. Of the integer types only u32 can be
/// drawn, uniformly; it is rounded down. [`fresh`] wraps the backend in a `VarBuilder`.
///
/// A second request for a name returns the same variable; with another shape, dtype or device it is an error.
#[derive(Clone, Debug)]
pub struct SeededInit {
    seed: Seed,
    scheme: InitScheme,
    vars: Vars,
}

impl SeededInit {
    /// A backend with no variables yet.
    #[must_use]
    pub fn new(seed: impl Into<Seed>, scheme: InitScheme) -> Self {
        Self { seed: seed.into(), scheme, vars: Vars::default() }
    }

    /// A handle to the variables, those still to be made included.
    #[must_use]
    pub fn vars(&self) -> Vars {
        self.vars.clone()
    }
}

impl SimpleBackend for SeededInit {
    fn get(&self, shape: Shape, name: &str, init: Init, dtype: DType, device: &Device) -> CResult<Tensor> {
        let mut vars = self.vars.lock();
        if let Some(var) = vars.get(name) {
            if var.shape() != &shape {
                bail!("{name} has shape {:?}, but is requested with {shape:?}", var.shape())
            }
            return same_variable(name, var, dtype, device);
        }
        // Schemes apply to weights; integers are the state of a layer.
        let scheme = if dtype.is_float() { self.scheme } else { InitScheme::AsDeclared };
        let distribution = Distribution::of(scheme, init, &shape);
        let var = distribution.var(name, shape, self.seed.child(name), dtype, device)?;
        let tensor = var.as_tensor().clone();
        vars.insert(name.into(), var);
        Ok(tensor)
    }

    fn get_unchecked(&self, name: &str, dtype: DType, device: &Device) -> CResult<Tensor> {
        match self.vars.lock().get(name) {
            Some(var) => same_variable(name, var, dtype, device),
            None => bail!("{name} has not been made yet, and it cannot be made without a shape"),
        }
    }

    fn contains_tensor(&self, name: &str) -> bool {
        self.vars.lock().contains_key(name)
    }
}

/// The variable's tensor. A cast or moved variable would be a copy that training does not update, so it is an
/// error.
fn same_variable(name: &str, var: &Var, dtype: DType, device: &Device) -> CResult<Tensor> {
    if var.dtype() != dtype {
        bail!("{name} is {:?}, but is requested as {dtype:?}", var.dtype())
    }
    if !var.device().same_device(device) {
        bail!("{name} is on {:?}, but is requested on {device:?}", var.device())
    }
    Ok(var.as_tensor().clone())
}

/// An empty set of variables, and the `VarBuilder` that fills it while a model is built.
///
/// ```
/// use candle_core::{DType, Device, Module};
/// use candle_ensemble::weights::{fresh, InitScheme};
///
/// let build = |seed: u64| {
///     let (_, vb) = fresh(seed, InitScheme::GlorotUniform, DType::F32, &Device::Cpu);
///     candle_nn::linear(3, 2, vb)?.weight().to_vec2::<f32>()
/// };
/// assert_eq!(build(1)?, build(1)?);
/// assert_ne!(build(1)?, build(2)?);
/// # Ok::<(), candle_core::Error>(())
/// ```
#[must_use]
pub fn fresh(
    seed: impl Into<Seed>,
    scheme: InitScheme,
    dtype: DType,
    device: &Device,
) -> (Vars, VarBuilder<'static>) {
    let backend = SeededInit::new(seed, scheme);
    (backend.vars(), VarBuilder::from_backend(Box::new(backend), dtype, device.clone()))
}

/// The distribution of one variable's elements.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Distribution {
    Constant(f64),
    Normal { mean: f64, deviation: f64 },
    Uniform { low: f64, high: f64 },
}

impl Distribution {
    fn of(scheme: InitScheme, init: Init, shape: &Shape) -> Self {
        let (fan_in, fan_out) = (fan(FanInOut::FanIn, shape), fan(FanInOut::FanOut, shape));
        let is_weight = shape.rank() >= 2;
        match (scheme, init) {
            (_, Init::Const(value)) => Self::Constant(value),
            (InitScheme::GlorotUniform, _) if is_weight => Self::symmetric((6. / (fan_in + fan_out)).sqrt()),
            (InitScheme::GlorotUniform, _) => Self::Constant(0.),
            (InitScheme::Torch, _) if is_weight => Self::symmetric(1. / fan_in.sqrt()),
            (InitScheme::AsDeclared | InitScheme::Torch, init) => Self::declared(init, shape),
        }
    }

    fn declared(init: Init, shape: &Shape) -> Self {
        match init {
            Init::Const(value) => Self::Constant(value),
            Init::Randn { mean, stdev } => Self::Normal { mean, deviation: stdev },
            Init::Uniform { lo, up } => Self::Uniform { low: lo, high: up },
            Init::Kaiming { dist, fan: kind, non_linearity } => {
                let deviation = non_linearity.gain() / fan(kind, shape).sqrt();
                match dist {
                    NormalOrUniform::Normal => Self::Normal { mean: 0., deviation },
                    NormalOrUniform::Uniform => Self::symmetric(3f64.sqrt() * deviation),
                }
            }
        }
    }

    fn symmetric(bound: f64) -> Self {
        Self::Uniform { low: -bound, high: bound }
    }

    fn check(self, name: &str) -> Result<()> {
        match self {
            Self::Constant(value) if value.is_nan() => {
                Err(Error::invalid(format!("the initial value of {name}"), "a number", value))
            }
            Self::Normal { mean, deviation }
                if !(mean.is_finite() && deviation.is_finite() && deviation >= 0.) =>
            {
                let must = "finite, with a standard deviation of at least 0";
                let got = format_args!("{mean} and {deviation}").to_string();
                Err(Error::invalid(
                    format!("the mean and standard deviation of the initial {name}"),
                    must,
                    got,
                ))
            }
            Self::Uniform { low, high } if !((high - low).is_finite() && low <= high) => {
                let got = format_args!("{low} and {high}").to_string();
                Err(Error::invalid(format!("the bounds of the initial {name}"), "finite and in order", got))
            }
            _ => Ok(()),
        }
    }

    fn var(self, name: &str, shape: Shape, seed: Seed, dtype: DType, device: &Device) -> CResult<Var> {
        let n = shape.elem_count();
        if n == 0 {
            return Var::zeros(shape, dtype, device); // fan_in may be 0, and the distribution undefined
        }
        self.check(name)?;
        let integers = matches!((self, dtype), (Self::Uniform { .. }, DType::U32));
        if !matches!(self, Self::Constant(_)) && !dtype.is_float() && !integers {
            bail!("{name} cannot be drawn at random as {dtype:?}; use a floating-point type, or a uniform distribution for u32")
        }
        match dtype {
            DType::U32 => Var::from_vec(self.draw::<u32>(n, seed), shape, device),
            DType::F32 => Var::from_vec(self.draw::<f32>(n, seed), shape, device),
            DType::F64 => Var::from_vec(self.draw::<f64>(n, seed), shape, device),
            _ => {
                // Cast on the CPU, because some devices have no f64.
                let values = Tensor::from_vec(self.draw::<f64>(n, seed), shape, &Device::Cpu)?;
                Var::from_tensor(&values.to_dtype(dtype)?.to_device(device)?)
            }
        }
    }

    fn draw<T: WithDType>(self, n: usize, seed: Seed) -> Vec<T> {
        let mut rng = seed.rng();
        match self {
            Self::Constant(value) => vec![T::from_f64(value); n],
            Self::Normal { mean, deviation } => {
                let mut next = || mean + deviation * rng.sample::<f64, _>(StandardNormal);
                (0..n).map(|_| T::from_f64(next())).collect()
            }
            Self::Uniform { low, high } => {
                let width = high - low;
                // Rounding can exceed the upper bound.
                let mut next = || (low + width * rng.random::<f64>()).min(high);
                (0..n).map(|_| T::from_f64(next())).collect()
            }
        }
    }
}

fn fan(kind: FanInOut, shape: &Shape) -> f64 {
    kind.for_shape(shape) as f64
}

#[cfg(test)]
mod tests {
    use candle_nn::init::{NonLinearity, DEFAULT_KAIMING_NORMAL, DEFAULT_KAIMING_UNIFORM};
    use proptest::prelude::*;
    use rand::Rng; // not proptest's, which is another version
    use statrs::distribution::{ContinuousCDF, Normal, Uniform};

    use super::*;
    use std::collections::BTreeMap;

    const CPU: Device = Device::Cpu;
    use InitScheme::{AsDeclared, GlorotUniform, Torch};

    fn builder(seed: u64, scheme: InitScheme) -> (Vars, VarBuilder<'static>) {
        fresh(Seed::from(seed), scheme, DType::F64, &CPU)
    }

    fn values(seed: u64, name: &str, dims: &[usize], init: Init, scheme: InitScheme) -> Vec<f64> {
        let tensor = builder(seed, scheme).1.get_with_hints(dims, name, init).unwrap();
        tensor.flatten_all().unwrap().to_vec1().unwrap()
    }

    /// What candle documents for each `Init`, and Glorot and torch for the schemes, worked out by hand for
    /// the shape. Normal: mean and standard deviation; uniform: bounds.
    #[derive(Clone, Copy, Debug)]
    enum Want {
        Normal(f64, f64),
        Uniform(f64, f64),
    }

    /// 10,000 values each; a weight of a convolution of 25 channels into 100, kernel 2 × 2, has fan-in 100
    /// and fan-out 400.
    fn cases() -> Vec<(&'static [usize], Init, InitScheme, Want)> {
        let conv: &[usize] = &[100, 25, 2, 2];
        let flat: &[usize] = &[10_000];
        let kaiming = |dist, fan, non_linearity| Init::Kaiming { dist, fan, non_linearity };
        let normal = Init::Randn { mean: 3., stdev: 0.5 };
        use {FanInOut::*, NonLinearity::*};
        let (n, u) = (NormalOrUniform::Normal, NormalOrUniform::Uniform);
        let within = |bound: f64| Want::Uniform(-bound, bound);
        vec![
            (flat, normal, AsDeclared, Want::Normal(3., 0.5)),
            (flat, Init::Uniform { lo: -1., up: 3. }, AsDeclared, Want::Uniform(-1., 3.)),
            (conv, DEFAULT_KAIMING_NORMAL, AsDeclared, Want::Normal(0., 0.02f64.sqrt())),
            (conv, DEFAULT_KAIMING_UNIFORM, AsDeclared, within(0.06f64.sqrt())),
            (conv, kaiming(n, FanOut, ReLU), AsDeclared, Want::Normal(0., 0.005f64.sqrt())),
            (conv, kaiming(u, FanOut, ReLU), AsDeclared, within(0.015f64.sqrt())),
            (conv, kaiming(n, FanIn, Linear), AsDeclared, Want::Normal(0., 0.1)),
            (conv, kaiming(n, FanIn, Sigmoid), AsDeclared, Want::Normal(0., 0.1)),
            (conv, kaiming(n, FanIn, Tanh), AsDeclared, Want::Normal(0., 1. / 6.)),
            (conv, kaiming(n, FanIn, SELU), AsDeclared, Want::Normal(0., 0.075)),
            (conv, kaiming(n, FanIn, ExplicitGain(3.)), AsDeclared, Want::Normal(0., 0.3)),
            (conv, kaiming(u, FanIn, Linear), AsDeclared, within(0.03f64.sqrt())),
            (conv, kaiming(u, FanOut, Sigmoid), AsDeclared, within(0.0075f64.sqrt())),
            (conv, kaiming(u, FanIn, Tanh), AsDeclared, within(3f64.sqrt() / 6.)),
            (conv, kaiming(u, FanIn, SELU), AsDeclared, within(3f64.sqrt() * 0.075)),
            (conv, kaiming(u, FanIn, ExplicitGain(3.)), AsDeclared, within(3f64.sqrt() * 0.3)),
            (flat, kaiming(n, FanIn, Linear), AsDeclared, Want::Normal(0., 1.)),
            (flat, kaiming(n, FanOut, Linear), AsDeclared, Want::Normal(0., 0.01)),
            (conv, normal, GlorotUniform, within(0.012f64.sqrt())),
            (&[50, 200], DEFAULT_KAIMING_NORMAL, GlorotUniform, within(0.024f64.sqrt())),
            (conv, DEFAULT_KAIMING_NORMAL, Torch, within(0.1)),
            (flat, Init::Uniform { lo: -0.1, up: 0.1 }, Torch, within(0.1)),
        ]
    }

    /// Probability of a Kolmogorov-Smirnov distance as large, by Kolmogorov's limit, which is exact enough
    /// for 10,000 values.
    fn kolmogorov_smirnov(values: &[f64], cdf: impl Fn(f64) -> f64) -> f64 {
        let mut sorted = values.to_vec();
        sorted.sort_by(f64::total_cmp);
        let n = sorted.len() as f64;
        let distance = sorted.iter().enumerate().fold(0f64, |d, (i, &x)| {
            let (p, i) = (cdf(x), i as f64);
            d.max(p - i / n).max((i + 1.) / n - p)
        });
        let lambda = distance * n.sqrt();
        let term = |k: i32| (-2. * f64::from(k * k) * lambda * lambda).exp();
        2. * (1..=100).map(|k| if k % 2 == 1 { term(k) } else { -term(k) }).sum::<f64>()
    }

    #[test]
    fn the_kolmogorov_smirnov_test_rejects_a_wrong_distribution() {
        let draws = values(0, "w", &[10_000], Init::Randn { mean: 0., stdev: 1. }, AsDeclared);
        for (mean, deviation) in [(0.07, 1.), (0., 1.09)] {
            let distribution = Normal::new(mean, deviation).unwrap();
            assert!(kolmogorov_smirnov(&draws, |x| distribution.cdf(x)) < 1e-4);
        }
        // 2 Σ (−1)^(k−1) exp(−2 k² 1.6276²) = 0.01: the 1 % point in every table of the distribution.
        let evenly: Vec<_> = (0..10_000).map(|i| (f64::from(i) + 0.5) / 1e4).collect();
        let p = kolmogorov_smirnov(&evenly, |x| x + 0.016276 - 0.5e-4);
        assert!((p - 0.01).abs() < 1e-4, "{p}");
    }

    /// 22 cases × 20 seeds, each p above 1e-4 and each moment within 5 standard errors: sound code fails with
    /// probability 0.045 over the choice of seeds, which is made once and for all.
    #[test]
    fn draws_follow_the_documented_distributions() {
        for (dims, init, scheme, want) in cases() {
            for seed in 0..20 {
                let draws = values(seed, "layer.weight", dims, init, scheme);
                let n = draws.len() as f64;
                assert_eq!(draws.len(), 10_000);
                let (p, mean, variance, kurtosis) = match want {
                    Want::Normal(mean, sd) => {
                        let distribution = Normal::new(mean, sd).unwrap();
                        (kolmogorov_smirnov(&draws, |x| distribution.cdf(x)), mean, sd * sd, 3.)
                    }
                    Want::Uniform(low, high) => {
                        assert!(draws.iter().all(|x| (low..=high).contains(x)), "{init:?}");
                        let distribution = Uniform::new(low, high).unwrap();
                        let variance = (high - low).powi(2) / 12.;
                        (
                            kolmogorov_smirnov(&draws, |x| distribution.cdf(x)),
                            (low + high) / 2.,
                            variance,
                            1.8,
                        )
                    }
                };
                assert!(p > 1e-4, "{init:?} {scheme:?} {seed}: p = {p}");
                let got_mean = draws.iter().sum::<f64>() / n;
                assert!((got_mean - mean).abs() < 5. * (variance / n).sqrt(), "{init:?} {seed}: {got_mean}");
                let got = draws.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / n;
                let error = variance * ((kurtosis - 1.) / n).sqrt();
                assert!((got - variance).abs() < 5. * error, "{init:?} {seed}: {got} for {variance}");
            }
        }
    }

    #[test]
    fn constants_are_constant_under_every_scheme() {
        for scheme in [AsDeclared, GlorotUniform, Torch] {
            for value in [0., 1., -2.5] {
                assert_eq!(values(1, "w", &[2, 2], Init::Const(value), scheme), [value; 4]);
            }
        }
    }

    #[test]
    fn biases_under_glorot_are_zero() {
        let bias = Init::Uniform { lo: -1., up: 1. };
        assert_eq!(values(1, "b", &[3], bias, GlorotUniform), [0.; 3]);
        assert_ne!(values(1, "b", &[3], bias, Torch), [0.; 3]);
    }

    /// The correlation of 10,000 independent pairs has standard deviation 0.01; 5 of them are exceeded in one
    /// of 45 pairs with probability 3e-5.
    #[test]
    fn names_and_seeds_are_independent() {
        let init = Init::Randn { mean: 0., stdev: 1. };
        let draws: Vec<_> =
            [(0, "a"), (0, "b"), (0, "a.a"), (0, "aa"), (0, ""), (0, "0"), (0, "1"), (1, "a"), (2, "a")]
                .iter()
                .map(|&(seed, name)| values(seed, name, &[10_000], init, AsDeclared))
                .chain([Seed::from(0).rng().sample_iter(StandardNormal).take(10_000).collect()])
                .collect();
        for (i, a) in draws.iter().enumerate() {
            for b in &draws[..i] {
                let correlation = a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>() / 1e4;
                assert!(correlation.abs() < 0.05, "{correlation}");
            }
        }
    }

    #[test]
    fn the_stream_never_changes() {
        let normal = values(42, "head.weight", &[4], Init::Randn { mean: 0., stdev: 1. }, AsDeclared);
        assert_eq!(normal, GOLDEN_NORMAL);
        let uniform = values(42, "head.weight", &[4], Init::Uniform { lo: -1., up: 1. }, AsDeclared);
        assert_eq!(uniform, GOLDEN_UNIFORM);
        // The uniform ones by the definition: the upper 53 of 64 bits.
        let mut rng = Seed::from(42).child("head.weight").rng();
        let by_hand = [(); 4].map(|()| 2. * ((rng.random::<u64>() >> 11) as f64 / 2f64.powi(53)) - 1.);
        assert_eq!(uniform, by_hand);
    }
    const GOLDEN_NORMAL: [f64; 4] =
        [-0.6979721047533705, 1.1365352507980684, 0.4533251785820628, -1.8217518514758504];
    const GOLDEN_UNIFORM: [f64; 4] =
        [-0.8465273131801383, 0.7056106350854121, 0.44132898899482, -0.961570638644081];

    #[test]
    fn every_dtype_is_the_f64_draw_rounded() {
        let of = |dtype| {
            let (vars, vb) = fresh(Seed::from(7), AsDeclared, dtype, &CPU);
            let tensor = vb.get_with_hints((30, 20), "w", DEFAULT_KAIMING_NORMAL).unwrap();
            assert_eq!((tensor.dtype(), vars.all_vars()[0].dtype()), (dtype, dtype));
            tensor.to_dtype(DType::F64).unwrap().flatten_all().unwrap().to_vec1::<f64>().unwrap()
        };
        let exact = of(DType::F64);
        for (dtype, bits) in [(DType::F32, 24), (DType::F16, 11), (DType::BF16, 8)] {
            for (a, b) in of(dtype).iter().zip(&exact) {
                // f16 is subnormal below 2⁻¹⁴, with steps of 2⁻²⁴.
                assert!((a - b).abs() <= b.abs().max(2f64.powi(-14)) * 2f64.powi(-bits), "{dtype:?} {a} {b}");
            }
        }
    }

    #[test]
    fn draws_do_not_depend_on_threads_order_or_other_variables() {
        let make = |names: &[usize]| {
            let (vars, vb) = fresh(Seed::from(5), AsDeclared, DType::F32, &CPU);
            for i in names {
                candle_nn::linear(30 + i, 20, vb.pp(format!("layer{i}"))).unwrap();
            }
            let bytes =
                |t: Tensor| t.flatten_all().unwrap().to_vec1::<f32>().unwrap().into_iter().map(f32::to_bits);
            let all = vars.snapshot().unwrap().into_iter();
            all.map(|(name, t)| (name, bytes(t).collect::<Vec<_>>())).collect::<BTreeMap<_, _>>()
        };
        let (forth, back) = std::thread::scope(|s| {
            let other = s.spawn(|| make(&[3, 2, 1, 0]));
            (make(&[0, 1, 2, 3]), other.join().unwrap())
        });
        assert_eq!(forth, back);
        let alone = make(&[2]);
        assert_eq!(alone.len(), 2);
        assert!(alone.iter().all(|(name, bytes)| forth[name] == *bytes));
    }

    #[test]
    fn two_threads_fill_one_map() {
        let (vars, vb) = builder(3, AsDeclared);
        std::thread::scope(|s| {
            for from in [0, 5] {
                let vb = vb.clone();
                s.spawn(move || {
                    (from..from + 10).for_each(|i| _ = vb.get((4, 4), &format!("w{i}")).unwrap())
                });
            }
        });
        assert_eq!(vars.named().len(), 15);
        assert!(vars.named().windows(2).all(|pair| pair[0].0 < pair[1].0));
    }

    #[test]
    fn a_repeated_name_is_the_same_variable() {
        let (vars, vb) = builder(1, AsDeclared);
        let first = vb.get_with_hints(3, "w", DEFAULT_KAIMING_NORMAL).unwrap();
        let again = vb.get_with_hints(3, "w", candle_nn::init::ZERO).unwrap();
        assert_eq!(first.id(), again.id());
        assert_eq!(vb.get_unchecked("w").unwrap().id(), first.id());
        assert!(first.is_variable());
        assert!(vb.contains_tensor("w") && !vb.contains_tensor("v"));
        for (error, what) in [
            (vb.get(4, "w"), "w has shape [3], but is requested with [4]"),
            (vb.to_dtype(DType::F32).get(3, "w"), "w is F64, but is requested as F32"),
            (vb.get_unchecked("v"), "v has not been made yet"),
        ] {
            let message = error.unwrap_err().to_string();
            assert!(message.contains(what), "{message}");
        }
        assert_eq!(vars.named().len(), 1);
    }

    #[test]
    fn bad_parameters_are_errors() {
        let (vars, vb) = builder(1, AsDeclared);
        let gain = |g| Init::Kaiming {
            dist: NormalOrUniform::Normal,
            fan: FanInOut::FanIn,
            non_linearity: NonLinearity::ExplicitGain(g),
        };
        for init in [
            Init::Const(f64::NAN),
            Init::Randn { mean: 0., stdev: -1. },
            Init::Randn { mean: 0., stdev: f64::NAN },
            Init::Randn { mean: f64::INFINITY, stdev: 1. },
            Init::Uniform { lo: 1., up: -1. },
            Init::Uniform { lo: f64::NAN, up: 1. },
            Init::Uniform { lo: -1., up: f64::INFINITY },
            Init::Uniform { lo: f64::MIN, up: f64::MAX },
            gain(-1.),
            gain(f64::NAN),
        ] {
            let message = vb.get_with_hints((2, 2), "odd.weight", init).unwrap_err().to_string();
            assert!(message.contains("odd.weight must be"), "{init:?}: {message}");
        }
        assert!(vb.to_dtype(DType::U32).get_with_hints(2, "i", DEFAULT_KAIMING_NORMAL).is_err());
        assert!(vars.named().is_empty(), "nothing is left behind");
        assert_eq!(vb.get_with_hints((0, 4), "none", DEFAULT_KAIMING_NORMAL).unwrap().dims(), [0, 4]);
        assert_eq!(values(1, "u", &[2], Init::Uniform { lo: 2., up: 2. }, AsDeclared), [2., 2.]);
        let count = vb.to_dtype(DType::I64).get_with_hints(1, "count", candle_nn::init::ONE).unwrap();
        assert_eq!(count.to_vec1::<i64>().unwrap(), [1], "counters are variables too");
    }

    #[test]
    fn batch_norm_statistics_are_among_the_variables() {
        let (vars, vb) = builder(1, AsDeclared);
        let norm = candle_nn::batch_norm(3, 1e-5, vb).unwrap();
        let x = Tensor::randn(5f64, 1., (16, 3), &CPU).unwrap();
        norm.forward_train(&x).unwrap();
        let mean = vars.snapshot().unwrap()["running_mean"].to_vec1::<f64>().unwrap();
        assert!(mean.iter().all(|&m| m > 0.2), "the training pass moved them: {mean:?}");
    }

    #[test]
    fn a_scheme_survives_serde() {
        assert_eq!(InitScheme::default(), AsDeclared);
        for scheme in [AsDeclared, GlorotUniform, Torch] {
            let json = serde_json::to_string(&scheme).unwrap();
            assert_eq!(serde_json::from_str::<InitScheme>(&json).unwrap(), scheme);
        }
    }

    proptest! {
        /// Bounds hold to the last bit, whatever they are, in f32 up to its own rounding.
        #[test]
        fn uniform_draws_stay_within(low in -1e3f64..1e3, width in 0f64..1e3, seed: u64) {
            let (low, up) = (low, low + width);
            let draws = values(seed, "w", &[50], Init::Uniform { lo: low, up }, AsDeclared);
            prop_assert!(draws.iter().all(|x| (low..=up).contains(x)));
        }

        #[test]
        fn a_seed_repeats_and_another_differs(seed: u64, name in "[a-z.]{1,12}") {
            let of = |seed| values(seed, &name, &[3, 2], DEFAULT_KAIMING_UNIFORM, AsDeclared);
            prop_assert_eq!(of(seed), of(seed));
            prop_assert_ne!(of(seed), of(seed ^ 1));
        }
    }
}
