//! Schemes from text.
use crate::{
    registry::{Argument, Arguments, Entry, Registry},
    weights::init::{FanMode, InitScheme, WeightDistribution},
    Error, Result,
};
use std::sync::LazyLock;
use FanMode::{Average, In};
use WeightDistribution::{Normal, TruncatedNormal, Uniform};

/// The names of variance scaling, with the constructors of the scheme, its scale, mode and distribution, and
/// other names.
type Named = (&'static str, &'static str, f64, FanMode, WeightDistribution, &'static [&'static str]);
const NAMED: [Named; 9] = [
    ("glorot-uniform", "InitScheme::GlorotUniform", 1., Average, Uniform, &["xavier-uniform"]),
    ("glorot-normal", "InitScheme::glorot_normal", 1., Average, Normal, &["xavier-normal"]),
    ("glorot-truncated", "InitScheme::glorot_truncated", 1., Average, TruncatedNormal, &[]),
    ("he-uniform", "InitScheme::he_uniform", 2., In, Uniform, &["kaiming-uniform"]),
    ("he-normal", "InitScheme::he_normal", 2., In, Normal, &["kaiming-normal"]),
    ("he-truncated", "InitScheme::he_truncated", 2., In, TruncatedNormal, &[]),
    ("lecun-uniform", "InitScheme::lecun_uniform", 1., In, Uniform, &[]),
    ("lecun-normal", "InitScheme::lecun_normal", 1., In, Normal, &[]),
    ("lecun-truncated", "InitScheme::lecun_truncated", 1., In, TruncatedNormal, &[]),
];

/// The scheme that the name of the entry stands for.
fn named(arguments: &Arguments) -> Result<InitScheme> {
    let gain: f64 = arguments.get("gain")?;
    let found = NAMED.iter().find(|(name, ..)| *name == arguments.entry());
    let Some(&(_, _, scale, mode, distribution, _)) = found else { return Ok(InitScheme::default()) };
    match (mode, distribution) {
        (Average, Uniform) if gain == 1. => Ok(InitScheme::GlorotUniform),
        _ => Ok(InitScheme::VarianceScaling { scale: scale * gain * gain, mode, distribution }),
    }
}

fn entry(
    name: &'static str,
    item: &'static str,
    summary: &'static str,
    make: fn(&Arguments) -> Result<InitScheme>,
) -> Entry<InitScheme> {
    Entry::new(name, item, summary, make)
}

impl InitScheme {
    /// The schemes by name, but for those by pattern, which [`parse`](Self::parse) reads too.
    ///
    /// ```
    /// use candle_ensemble::weights::InitScheme;
    ///
    /// let orthogonal = InitScheme::registry().parse("orthogonal:1.41")?;
    /// assert_eq!(orthogonal, InitScheme::Orthogonal { gain: 1.41 });
    /// # Ok::<(), candle_ensemble::Error>(())
    /// ```
    #[must_use]
    pub fn registry() -> &'static Registry<Self> {
        const GAIN: &[Argument] = &[Argument::new("gain", "1", "Factor of the standard deviation")];
        const ORTHOGONAL: &[Argument] = &[Argument::new("gain", "1", "Length of each row or column")];
        const IDENTITY: &[Argument] = &[Argument::new("gain", "1", "The number on the diagonal")];
        const VALUE: &[Argument] = &[Argument::required("value", "The value of each weight")];
        const BOUNDS: &[Argument] = &[
            Argument::new("low", "-0.05", "The lower bound"),
            Argument::new("high", "0.05", "The upper bound"),
        ];
        const MOMENTS: &[Argument] = &[
            Argument::new("mean", "0", "The mean"),
            Argument::new("deviation", "0.05", "The standard deviation"),
        ];
        static REGISTRY: LazyLock<Registry<InitScheme>> = LazyLock::new(|| {
            let mut entries = vec![
                entry("as-declared", "InitScheme::AsDeclared", "What the model declares", |_| {
                    Ok(InitScheme::AsDeclared)
                }),
                entry("torch", "InitScheme::Torch", "PyTorch's default, weights and biases", |_| {
                    Ok(InitScheme::Torch)
                }),
            ];
            entries.extend(NAMED.iter().map(|&(name, item, _, mode, distribution, aliases)| {
                let summary = match (mode, distribution) {
                    (Average, Uniform) => "Uniform, with a variance of 2 by inputs plus outputs",
                    (Average, Normal) => "Normal, with a variance of 2 by inputs plus outputs",
                    (Average, _) => "Truncated normal, with a variance of 2 by inputs plus outputs",
                    (_, Uniform) => "Uniform, with a variance inverse to the number of inputs",
                    (_, Normal) => "Normal, with a variance inverse to the number of inputs",
                    _ => "Truncated normal, with a variance inverse to the number of inputs",
                };
                entry(name, item, summary, named).with_arguments(GAIN).with_aliases(aliases)
            }));
            entries.extend([
                entry("orthogonal", "InitScheme::Orthogonal", "Orthogonal rows or columns", |arguments| {
                    Ok(InitScheme::Orthogonal { gain: arguments.get("gain")? })
                })
                .with_arguments(ORTHOGONAL),
                entry("identity", "InitScheme::Identity", "The identity", |arguments| {
                    Ok(InitScheme::Identity { gain: arguments.get("gain")? })
                })
                .with_arguments(IDENTITY),
                entry("constant", "InitScheme::Constant", "All weights equal", |arguments| {
                    Ok(InitScheme::Constant { value: arguments.get("value")? })
                })
                .with_arguments(VALUE)
                .with_shorthands(&[("zeros", "0"), ("ones", "1")]),
                entry("uniform", "InitScheme::Uniform", "Uniform between two bounds", |arguments| {
                    Ok(InitScheme::Uniform { low: arguments.get("low")?, high: arguments.get("high")? })
                })
                .with_arguments(BOUNDS),
                entry("normal", "InitScheme::Normal", "Normal with this deviation", |arguments| {
                    let (mean, deviation) = (arguments.get("mean")?, arguments.get("deviation")?);
                    Ok(InitScheme::Normal { mean, deviation })
                })
                .with_arguments(MOMENTS),
                entry(
                    "truncated-normal",
                    "InitScheme::TruncatedNormal",
                    "Normal, drawn again beyond two deviations",
                    |arguments| {
                        let (mean, deviation) = (arguments.get("mean")?, arguments.get("deviation")?);
                        Ok(InitScheme::TruncatedNormal { mean, deviation })
                    },
                )
                .with_arguments(MOMENTS),
            ]);
            Registry::new("initialization", entries)
        });
        &REGISTRY
    }

    /// Reads a scheme: a name of the [`registry`](Self::registry) with its arguments, such as
    /// `"orthogonal:1.41"`, or rules by pattern with the scheme of all other variables at the end, such as
    /// `"out.* => glorot-uniform; he-uniform"`. Every parameter is checked.
    ///
    /// # Errors
    /// When a name is unknown, a parameter is out of range, or the scheme at the end is missing.
    pub fn parse(text: &str) -> Result<Self> {
        let parts: Vec<_> = text.split(';').map(str::trim).collect();
        let (last, rules) = parts.split_last().unwrap_or((&"", &[]));
        if last.contains("=>") {
            let must = "followed by ; and the scheme of all other variables";
            return Err(Error::invalid("the last rule of the initialization", must, last));
        }
        let (rules, other) =
            (rules.iter().map(|part| rule(part)).collect::<Result<Vec<_>>>()?, Self::registry().parse(last)?);
        let scheme = if rules.is_empty() { other } else { Self::by_name(rules, other) };
        scheme.check()?;
        Ok(scheme)
    }
}

/// The pattern and the scheme of a rule.
fn rule(part: &str) -> Result<(&str, InitScheme)> {
    match part.split_once("=>") {
        Some((pattern, scheme)) => Ok((pattern.trim(), InitScheme::registry().parse(scheme.trim())?)),
        None => Err(Error::invalid("a rule of the initialization", "pattern => scheme", part)),
    }
}
