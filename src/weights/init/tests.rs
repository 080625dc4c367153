use candle_nn::init::{NonLinearity, DEFAULT_KAIMING_NORMAL, DEFAULT_KAIMING_UNIFORM};
use proptest::prelude::*;
use rand::Rng; // not proptest's, which is another version
use statrs::distribution::{Continuous, ContinuousCDF, Normal, Uniform};

use super::*;
use crate::{codec, weights::Vars, Seed};
use candle_core::{DType, Device, Tensor};
use candle_nn::{
    init::{FanInOut, NormalOrUniform},
    VarBuilder,
};
use rand_distr::StandardNormal;
use std::collections::BTreeMap;
use variance_scaling::TRUNCATED_DEVIATION;

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
/// the shape; Keras' `VarianceScaling` and PyTorch's `nn.init` for the others. Normal: mean and standard
/// deviation; uniform: bounds.
#[derive(Clone, Copy, Debug)]
enum Want {
    Normal(f64, f64),
    /// Of a normal distribution that is drawn again beyond two deviations, with its own deviation.
    Truncated(f64, f64),
    Uniform(f64, f64),
}

fn out_scaling(scale: f64, distribution: WeightDistribution) -> InitScheme {
    InitScheme::VarianceScaling { scale, mode: FanMode::Out, distribution }
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
        // Fan-in 100, fan-out 400, mean 250.
        (conv, normal, InitScheme::glorot_normal(), Want::Normal(0., 0.004f64.sqrt())),
        (conv, normal, InitScheme::glorot_truncated(), Want::Truncated(0., 0.004f64.sqrt())),
        (conv, normal, InitScheme::he_uniform(), within(0.06f64.sqrt())),
        (conv, normal, InitScheme::he_normal(), Want::Normal(0., 0.02f64.sqrt())),
        (conv, normal, InitScheme::he_truncated(), Want::Truncated(0., 0.02f64.sqrt())),
        (conv, normal, InitScheme::lecun_uniform(), within(0.03f64.sqrt())),
        (conv, normal, InitScheme::lecun_normal(), Want::Normal(0., 0.1)),
        (conv, normal, InitScheme::lecun_truncated(), Want::Truncated(0., 0.1)),
        (&[50, 200], normal, InitScheme::he_truncated(), Want::Truncated(0., 0.1)),
        (conv, normal, out_scaling(3., WeightDistribution::Uniform), within(0.15)),
        (conv, normal, out_scaling(4., WeightDistribution::Normal), Want::Normal(0., 0.1)),
        (conv, normal, InitScheme::Uniform { low: 0., high: 1. }, Want::Uniform(0., 1.)),
        (conv, normal, InitScheme::Normal { mean: 2., deviation: 0.1 }, Want::Normal(2., 0.1)),
        (
            conv,
            normal,
            InitScheme::TruncatedNormal { mean: -1., deviation: 3. },
            Want::Truncated(-1., 3. * 0.87962566),
        ),
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

/// 36 cases × 20 seeds, each p above 1e-4 and each moment within 5 standard errors: sound code fails with
/// probability 0.07 over the choice of seeds, which is made once and for all.
#[test]
fn draws_follow_the_documented_distributions() {
    for (dims, init, scheme, want) in cases() {
        for seed in 0..20 {
            let draws = values(seed, "layer.weight", dims, init, scheme.clone());
            let n = draws.len() as f64;
            assert_eq!(draws.len(), 10_000);
            let (p, mean, variance, kurtosis) = match want {
                Want::Normal(mean, sd) => {
                    let distribution = Normal::new(mean, sd).unwrap();
                    (kolmogorov_smirnov(&draws, |x| distribution.cdf(x)), mean, sd * sd, 3.)
                }
                Want::Truncated(mean, sd) => {
                    let parent = Normal::standard();
                    let (inside, density) = (1. - 2. * parent.cdf(-2.), parent.pdf(2.));
                    let parent_sd = sd / TRUNCATED_DEVIATION;
                    assert!(draws.iter().all(|x| (x - mean).abs() <= 2. * parent_sd + 1e-12), "{init:?}");
                    let cdf = |x: f64| {
                        let z = ((x - mean) / parent_sd).clamp(-2., 2.);
                        (parent.cdf(z) - parent.cdf(-2.)) / inside
                    };
                    // Moments of a standard normal variable between −2 and 2, by parts.
                    let second = 1. - 4. * density / inside;
                    assert!((second.sqrt() - TRUNCATED_DEVIATION).abs() < 1e-9, "{second}");
                    let fourth = 3. * second - 16. * density / inside;
                    (kolmogorov_smirnov(&draws, cdf), mean, sd * sd, fourth / (second * second))
                }
                Want::Uniform(low, high) => {
                    assert!(draws.iter().all(|x| (low..=high).contains(x)), "{init:?}");
                    let distribution = Uniform::new(low, high).unwrap();
                    let variance = (high - low).powi(2) / 12.;
                    (kolmogorov_smirnov(&draws, |x| distribution.cdf(x)), (low + high) / 2., variance, 1.8)
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
    for scheme in every_scheme() {
        for value in [0., 1., -2.5] {
            assert_eq!(values(1, "w", &[2, 2], Init::Const(value), scheme.clone()), [value; 4]);
        }
    }
}

#[test]
fn biases_are_zero_under_all_schemes_but_those_of_candle_and_torch() {
    let bias = Init::Uniform { lo: -1., up: 1. };
    let declared = values(1, "b", &[3], bias, AsDeclared);
    assert_ne!(declared, [0.; 3]);
    for scheme in every_scheme() {
        let as_declared = matches!(scheme, AsDeclared | Torch);
        let want = if as_declared { declared.clone() } else { vec![0.; 3] };
        assert_eq!(values(1, "b", &[3], bias, scheme.clone()), want, "{scheme:?}");
    }
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
            s.spawn(move || (from..from + 10).for_each(|i| _ = vb.get((4, 4), &format!("w{i}")).unwrap()));
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

/// One scheme of each kind, and all that the registry has by default.
fn every_scheme() -> Vec<InitScheme> {
    let named = InitScheme::registry().entries().iter().map(|entry| {
        let value = if entry.name() == "constant" { ":0.5" } else { "" };
        InitScheme::parse(&format!("{}{value}", entry.name())).unwrap()
    });
    let by_name = InitScheme::by_name([("o*.weight", InitScheme::he_uniform())], GlorotUniform);
    named.chain([AsDeclared, GlorotUniform, Torch, by_name]).collect()
}

#[test]
fn a_scheme_survives_serde() {
    assert_eq!(InitScheme::default(), AsDeclared);
    for scheme in every_scheme() {
        let json = serde_json::to_string(&scheme).unwrap();
        assert_eq!(serde_json::from_str::<InitScheme>(&json).unwrap(), scheme);
        let bytes = codec::encode(&scheme).unwrap();
        assert_eq!(codec::decode::<InitScheme>(&bytes).unwrap(), scheme);
    }
    // What stores and tags of earlier versions hold.
    let json = |scheme| serde_json::to_string(&scheme).unwrap();
    let all = [AsDeclared, GlorotUniform, Torch].map(json).join(" ");
    assert_eq!(all, r#""AsDeclared" "GlorotUniform" "Torch""#);
    assert_eq!(
        [AsDeclared, GlorotUniform, Torch].map(|scheme| codec::encode(&scheme).unwrap()),
        [[0], [1], [2]]
    );
}

/// The bytes of the variance scaling that is Glorot's are those of Glorot's own variant.
#[test]
fn glorot_uniform_is_variance_scaling() {
    for dims in [&[7, 5][..], &[6, 3, 2, 2], &[1, 11]] {
        let scaling = InitScheme::VarianceScaling {
            scale: 1.,
            mode: FanMode::Average,
            distribution: WeightDistribution::Uniform,
        };
        let of = |scheme| values(3, "w", dims, DEFAULT_KAIMING_NORMAL, scheme);
        assert_eq!(of(scaling), of(GlorotUniform));
    }
    // √(6 / (2 + 2)) times the draws from U(−1, 1).
    let glorot = values(42, "head.weight", &[2, 2], DEFAULT_KAIMING_NORMAL, GlorotUniform);
    let bound = 1.5f64.sqrt();
    for (got, unit) in glorot.iter().zip(GOLDEN_UNIFORM) {
        assert!((got - bound * unit).abs() < 1e-15);
    }
}

/// `A = Q R` with a positive diagonal of `R` has one solution, so these conditions leave no other result.
#[test]
fn orthogonal_weights_are_the_q_of_their_normal_draws() {
    let init = DEFAULT_KAIMING_NORMAL;
    for dims in [&[4, 4][..], &[3, 8], &[8, 3], &[5, 2, 2, 3], &[20, 2, 3], &[1, 6], &[6, 1], &[1, 1]] {
        let (rows, columns) = (dims[0], dims[1..].iter().product::<usize>());
        let (count, length) = (rows.min(columns), rows.max(columns));
        let q = values(11, "w", dims, init, InitScheme::Orthogonal { gain: 1.5 });
        // The vectors: rows of a wide matrix, columns of a tall one.
        let at = |vector: usize, i: usize| match rows <= columns {
            true => q[vector * columns + i] / 1.5,
            false => q[i * columns + vector] / 1.5,
        };
        let mut rng = Seed::from(11).child("w").rng();
        let draws: Vec<f64> = (0..count * length).map(|_| rng.sample(StandardNormal)).collect();
        for a in 0..count {
            for b in 0..count {
                let product: f64 = (0..length).map(|i| at(a, i) * at(b, i)).sum();
                let unit = if a == b { 1. } else { 0. };
                assert!((product - unit).abs() < 1e-13, "{dims:?} {a} {b}: {product}");
                let r: f64 = (0..length).map(|i| at(a, i) * draws[b * length + i]).sum();
                match a.cmp(&b) {
                    std::cmp::Ordering::Less => {}
                    std::cmp::Ordering::Equal => assert!(r > 0.),
                    std::cmp::Ordering::Greater => assert!(r.abs() < 1e-12, "{dims:?} {a} {b}: {r}"),
                }
            }
        }
    }
}

/// The trace of a uniform orthogonal matrix has mean 0, variance 1 and, for four rows, fourth moment 3. Over
/// 2000 matrices the standard errors are 0.022 and 0.032.
#[test]
fn orthogonal_weights_are_uniform_among_orthogonal_matrices() {
    let traces: Vec<f64> = (0..2000)
        .map(|seed| {
            let q = values(seed, "w", &[4, 4], DEFAULT_KAIMING_NORMAL, InitScheme::Orthogonal { gain: 1. });
            (0..4).map(|i| q[5 * i]).sum()
        })
        .collect();
    let mean = traces.iter().sum::<f64>() / 2000.;
    let variance = traces.iter().map(|t| t * t).sum::<f64>() / 2000.;
    assert!(mean.abs() < 0.11 && (variance - 1.).abs() < 0.16, "{mean} {variance}");
}

#[test]
fn nearly_dependent_draws_stay_orthogonal() {
    // The second vector is the first, but for one part in 10⁹; the third is the first and is drawn again.
    let mut draws = [1., 1., 1., 1. + 1e-9, 1., 1., 1., 1., 1., 1., 2., 5.].into_iter();
    let q = orthogonal::matrix(3, 3, 1., || draws.next().unwrap());
    for (a, b) in [(0, 1), (0, 2), (1, 2)] {
        let product: f64 = (0..3).map(|i| q[3 * a + i] * q[3 * b + i]).sum();
        assert!(product.abs() < 1e-14, "{a} {b}: {product}");
    }
}

/// By the documentation of PyTorch's `eye_` and `dirac_`.
#[test]
fn the_identity_is_on_the_diagonal_and_in_the_middle_of_a_kernel() {
    let of = |dims: &[usize]| values(1, "w", dims, DEFAULT_KAIMING_NORMAL, InitScheme::Identity { gain: 2. });
    assert_eq!(of(&[2, 3]), [2., 0., 0., 0., 2., 0.]);
    assert_eq!(of(&[3, 2]), [2., 0., 0., 2., 0., 0.]);
    assert_eq!(of(&[2, 2, 4]), [0., 0., 2., 0., 0., 0., 0., 0., 0., 0., 0., 0., 0., 0., 2., 0.]);
    let kernel = of(&[2, 1, 3, 2]);
    assert_eq!(kernel.iter().filter(|x| **x != 0.).count(), 1);
    assert_eq!(kernel[3], 2., "row 1 of 3, column 1 of 2");
    // A convolution with it copies its input channels.
    let (_, vb) = fresh(1, InitScheme::Identity { gain: 1. }, DType::F64, &CPU);
    let config = candle_nn::Conv2dConfig { padding: 1, ..Default::default() };
    let conv = candle_nn::conv2d(3, 3, 3, config, vb).unwrap();
    let x = Tensor::arange(0f64, 48., &CPU).unwrap().reshape((1, 3, 4, 4)).unwrap();
    let y = candle_core::Module::forward(&conv, &x).unwrap();
    let flat = |t: Tensor| t.flatten_all().unwrap().to_vec1::<f64>().unwrap();
    assert_eq!(flat(y), flat(x));
}

#[test]
fn constant_weights_replace_the_declared_ones() {
    let of = |text: &str| values(1, "w", &[2, 2], DEFAULT_KAIMING_NORMAL, InitScheme::parse(text).unwrap());
    assert_eq!(of("zeros"), [0.; 4]);
    assert_eq!(of("ones"), [1.; 4]);
    assert_eq!(of("constant:-0.25"), [-0.25; 4]);
}

#[test]
fn the_first_rule_whose_pattern_matches_decides() {
    let constant = |value| InitScheme::Constant { value };
    let inner = InitScheme::by_name([("*.0.*", constant(4.))], constant(5.));
    let scheme = InitScheme::by_name(
        [("out.*", constant(1.)), ("layer[0-1].weight", constant(2.)), ("*2.*", inner)],
        constant(3.),
    );
    let first = |name: &str| values(1, name, &[2, 2], DEFAULT_KAIMING_NORMAL, scheme.clone())[0];
    let names = ["out.weight", "layer0.weight", "layer2.weight", "block2.0.weight", "in.weight"];
    assert_eq!(names.map(first), [1., 2., 5., 4., 3.]);
    let names = ["layer0.weight", "out.bias", "layer2.bias"];
    assert_eq!(scheme.unmatched_patterns(&names).unwrap(), ["*.0.*"]);
    assert!(scheme.unmatched_patterns(&["in.weight"]).unwrap().contains(&"out.*".to_string()));
    assert!(Torch.unmatched_patterns(&names).unwrap().is_empty());
    // The draws are those of the scheme alone.
    let he = InitScheme::by_name([("out.*", GlorotUniform)], InitScheme::he_uniform());
    let of = |name, scheme| values(1, name, &[2, 2], DEFAULT_KAIMING_NORMAL, scheme);
    assert_eq!(of("in.weight", he.clone()), of("in.weight", InitScheme::he_uniform()));
    assert_eq!(of("out.weight", he), of("out.weight", GlorotUniform));
}

#[test]
fn schemes_are_made_from_text() {
    let parsed = |text: &str| InitScheme::parse(text).unwrap();
    assert_eq!(parsed("he-uniform"), InitScheme::he_uniform());
    assert_eq!(parsed("kaiming-normal"), InitScheme::he_normal());
    assert_eq!(parsed("glorot-uniform"), GlorotUniform);
    let (mode, distribution) = (FanMode::Average, WeightDistribution::Uniform);
    assert_eq!(parsed("glorot-uniform:3"), InitScheme::VarianceScaling { scale: 9., mode, distribution });
    let (mode, distribution) = (FanMode::In, WeightDistribution::TruncatedNormal);
    let half = InitScheme::VarianceScaling { scale: 0.5, mode, distribution };
    assert_eq!(parsed("he-truncated:gain=0.5"), half);
    assert_eq!(parsed("uniform:-0.5:0.25"), InitScheme::Uniform { low: -0.5, high: 0.25 });
    assert_eq!(parsed("truncated-normal"), InitScheme::TruncatedNormal { mean: 0., deviation: 0.05 });
    let rules =
        [("out.*", InitScheme::Constant { value: 0. }), ("*.1.weight", InitScheme::Orthogonal { gain: 2. })];
    assert_eq!(
        parsed("out.* => zeros; *.1.weight => orthogonal:2 ; lecun-normal"),
        InitScheme::by_name(rules, InitScheme::lecun_normal())
    );
    let error = |text: &str| InitScheme::parse(text).unwrap_err().to_string();
    assert!(error("he-unifrom").ends_with("did you mean he-uniform?"));
    assert_eq!(error("orthogonal:0"), "InitScheme::Orthogonal::gain must be positive and finite, but is 0");
    assert!(error("out.* => zeros").starts_with("the last rule of the initialization must be followed by ;"));
    assert!(error("zeros; ones").contains("pattern => scheme, but is zeros"));
    assert!(error("[ => zeros; ones").starts_with("a pattern of InitScheme::ByName must be a glob"));
}

#[test]
fn bad_parameters_of_schemes_are_named() {
    let nan = f64::NAN;
    let bounds = "Uniform::low and high must be finite and in order, but is 1 and 0";
    for (scheme, name) in [
        (out_scaling(0., WeightDistribution::Uniform), "VarianceScaling::scale"),
        (out_scaling(nan, WeightDistribution::Uniform), "VarianceScaling::scale"),
        (InitScheme::Orthogonal { gain: -1. }, "Orthogonal::gain"),
        (InitScheme::Identity { gain: f64::INFINITY }, "Identity::gain"),
        (InitScheme::Constant { value: nan }, "Constant::value"),
        (InitScheme::Uniform { low: 1., high: 0. }, bounds),
        (InitScheme::Uniform { low: nan, high: 0. }, "Uniform::low"),
        (InitScheme::Normal { mean: nan, deviation: 1. }, "Normal::mean"),
        (InitScheme::TruncatedNormal { mean: 0., deviation: -1. }, "TruncatedNormal::deviation"),
        (InitScheme::by_name([("***a", GlorotUniform)], Torch), "a pattern of InitScheme::ByName"),
        (InitScheme::by_name([("a", InitScheme::Constant { value: nan })], Torch), "Constant::value"),
        (InitScheme::by_name([("a", Torch)], InitScheme::Identity { gain: nan }), "Identity::gain"),
    ] {
        let e = scheme.check().unwrap_err().to_string();
        assert!(e.contains(name), "{e}");
        // Without the check it is an error too, or drawn as it stands; it does not panic.
        _ = builder(1, scheme).1.get_with_hints((2, 2), "a", DEFAULT_KAIMING_NORMAL);
    }
    assert!(every_scheme().iter().all(|scheme| scheme.check().is_ok()));
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
