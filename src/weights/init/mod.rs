//! Seeded initial weights.
//!
//! candle draws initial weights from the thread's generator, which cannot be seeded on the CPU. Here each
//! variable is drawn from a hash of a seed and the variable's name. One seed gives the same bytes for any
//! number of threads, for any order in which layers are built, and on every machine. There is one exception:
//! the 0.03 % of normal draws beyond 3.65 standard deviations take a logarithm, whose last bit in f64 depends
//! on the platform.
mod backend;
mod by_name;
mod distribution;
mod identity;
mod orthogonal;
mod registry;
mod variance_scaling;

pub use backend::{fresh, SeededInit};
pub use variance_scaling::{FanMode, WeightDistribution};

use crate::{
    check::{non_negative, positive, require},
    weights::members::is_bias,
    Error, Result,
};
use candle_core::Shape;
use candle_nn::Init;
use distribution::Distribution;
use serde::{Deserialize, Serialize};

/// The distribution that initial weights are drawn from.
///
/// A scheme other than [`Self::AsDeclared`] replaces what the model's layers declare, without a change to the
/// model. It applies to weights, the variables of rank 2 or more. Other variables, such as biases, begin at 0
/// (with [`Self::Torch`], as declared). Constants, such as the ones and zeros of normalization layers, stay
/// as declared, and so do integers. Variables with one entry for each member ([`nn::many`](crate::nn::many)) follow the
/// scheme entry by entry; scales of members begin as declared.
///
/// In the formulas `fan_in` and `fan_out` are the numbers of inputs and outputs of a unit: `i·∏k` and `o·∏k`
/// for a weight of shape `(o, i, k…)`.
///
/// Use [`he_uniform`](Self::he_uniform) or [`he_normal`](Self::he_normal) for layers with ReLU,
/// [`Self::GlorotUniform`] for layers with tanh or sigmoid and for output layers, and
/// [`lecun_normal`](Self::lecun_normal) for SELU. Use [`Self::ByName`] where layers differ. The choice
/// matters most in deep networks: weights from `U(0, 1)` keep five layers of tanh from learning, and with
/// Glorot's range they learn as well as ReLU with He's. In a network with one or two hidden layers the
/// schemes that scale with the fan are hard to tell apart.
///
/// [`parse`](Self::parse) reads a scheme from text, such as the value of a setting:
///
/// ```
/// use candle_ensemble::weights::InitScheme;
///
/// assert_eq!(InitScheme::parse("he-uniform")?, InitScheme::he_uniform());
/// assert_eq!(InitScheme::parse("uniform:0:1")?, InitScheme::Uniform { low: 0., high: 1. });
/// assert_eq!(
///     InitScheme::parse("out.* => glorot-uniform; he-uniform")?,
///     InitScheme::by_name([("out.*", InitScheme::GlorotUniform)], InitScheme::he_uniform())
/// );
/// # Ok::<(), candle_ensemble::Error>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
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
    /// Weights with mean 0 and variance `v = scale / fan`, as Keras' initializer of the same name.
    ///
    /// ```text
    /// Uniform          U(−√(3 v), √(3 v))
    /// Normal           N(0, v)
    /// TruncatedNormal  N(0, v / 0.87962566²), drawn again beyond two standard deviations
    /// ```
    ///
    /// The scheme `he_normal` is here what PyTorch calls `kaiming_normal_`. What Keras calls `he_normal` is
    /// [`he_truncated`](Self::he_truncated) here, and likewise for Glorot and LeCun. A gain `g` of PyTorch
    /// multiplies the scale by `g²`.
    VarianceScaling {
        /// The variance times the fan, above 0: 1 for Glorot and LeCun, 2 for He.
        scale: f64,
        /// The number that the variance is divided by.
        mode: FanMode,
        /// The shape of the distribution.
        distribution: WeightDistribution,
    },
    /// Weights with orthogonal rows or columns, whichever are fewer, each of length `gain`. A weight of more
    /// than two dimensions is flattened to `(o, i·∏k)`. The matrix is uniform among all such matrices: it is
    /// the `Q` of a matrix of normal draws, with the signs of `R` made positive.
    ///
    /// Use it for deep or recurrent networks, whose signals it neither amplifies nor damps. A gain of 1 goes
    /// with tanh and linear layers, and `√2` with ReLU. Cost: about `4 o² i` multiplications for a weight
    /// `(o, i)` with `o ≤ i`, when a network is built.
    ///
    /// Source: Saxe et al. 2014, arXiv:1312.6120.
    Orthogonal {
        /// The length of each row or column, above 0.
        gain: f64,
    },
    /// The identity: `gain` on the diagonal of a weight `(o, i)` and 0 elsewhere. In a convolution the output
    /// channels copy the input channels: `gain` at `(c, c)` in the middle of the kernel (at `k / 2`, rounded
    /// down), and 0 elsewhere.
    ///
    /// Use it for recurrent networks of ReLU, or for layers that are to begin as a copy of their input.
    /// Do not use it for all layers of a network: units that see no input begin alike.
    ///
    /// Source: Le et al. 2015, arXiv:1504.00941.
    Identity {
        /// The number on the diagonal.
        gain: f64,
    },
    /// All weights equal. Units with equal weights get equal gradients and stay alike, so use it for one
    /// layer only, such as an output layer that begins at 0.
    Constant {
        /// The value of each weight.
        value: f64,
    },
    /// Weights from `U(low, high)`, whatever the fan.
    Uniform {
        /// The lower bound.
        low: f64,
        /// The upper bound, at least `low`.
        high: f64,
    },
    /// Weights from `N(mean, deviation²)`, whatever the fan.
    Normal {
        /// The mean.
        mean: f64,
        /// The standard deviation, 0 or more.
        deviation: f64,
    },
    /// Weights from `N(mean, deviation²)`, drawn again where they are more than two deviations from the mean.
    /// Their standard deviation is 0.87962566 times `deviation`.
    TruncatedNormal {
        /// The mean.
        mean: f64,
        /// The standard deviation before the truncation, 0 or more.
        deviation: f64,
    },
    /// The scheme of the first rule whose pattern matches the variable's name, or `other` where none does.
    ///
    /// Patterns are globs over the whole name, such as `"out.weight"`: `*` stands for any text, points
    /// included, `?` for any character, and `[0-3]` for one of these. See
    /// [`unmatched_patterns`](Self::unmatched_patterns) for patterns with typing errors.
    ByName {
        /// Patterns and their schemes, the first one first.
        rules: Vec<(String, InitScheme)>,
        /// The scheme of all other variables.
        other: Box<InitScheme>,
    },
}

impl InitScheme {
    /// Checks that every parameter is in its range and every pattern is one.
    ///
    /// # Errors
    /// [`Error::Invalid`] that names the parameter.
    pub fn check(&self) -> Result<()> {
        let finite = |what: &str, value: f64| require(value.is_finite(), what, "finite", value);
        let normal = |what: &str, mean: f64, deviation: f64| {
            finite(&format!("{what}::mean"), mean)?;
            non_negative(&format!("{what}::deviation"), deviation)
        };
        match self {
            Self::AsDeclared | Self::GlorotUniform | Self::Torch => Ok(()),
            Self::VarianceScaling { scale, .. } => positive("InitScheme::VarianceScaling::scale", *scale),
            Self::Orthogonal { gain } => positive("InitScheme::Orthogonal::gain", *gain),
            Self::Identity { gain } => finite("InitScheme::Identity::gain", *gain),
            Self::Constant { value } => finite("InitScheme::Constant::value", *value),
            Self::Uniform { low, high } if (high - low).is_finite() && low <= high => Ok(()),
            Self::Uniform { low, high } => {
                let got = format!("{low} and {high}");
                Err(Error::invalid("InitScheme::Uniform::low and high", "finite and in order", got))
            }
            Self::Normal { mean, deviation } => normal("InitScheme::Normal", *mean, *deviation),
            Self::TruncatedNormal { mean, deviation } => {
                normal("InitScheme::TruncatedNormal", *mean, *deviation)
            }
            Self::ByName { rules, other } => by_name::check(rules, other),
        }
    }

    /// The distribution of each entry of a variable that has one for each member. Entries that are neither weights nor
    /// biases, such as the scales of BatchEnsemble, begin as declared in every scheme.
    fn of_entries(&self, name: &str, init: Init, entry: &Shape) -> Result<Distribution> {
        if entry.rank() < 2 && !is_bias(name) {
            return Ok(Distribution::declared(init, entry));
        }
        self.distribution(name, init, entry)
    }

    /// The distribution of a variable that its layer declares as `init`.
    fn distribution(&self, name: &str, init: Init, shape: &Shape) -> Result<Distribution> {
        if let Self::ByName { rules, other } = self {
            return by_name::scheme(rules, other, name)?.distribution(name, init, shape);
        }
        if let (Init::Const(_), _) | (_, Self::AsDeclared) = (init, self) {
            return Ok(Distribution::declared(init, shape));
        }
        if shape.rank() < 2 {
            return Ok(match self {
                Self::Torch => Distribution::declared(init, shape),
                _ => Distribution::Constant(0.),
            });
        }
        Ok(match *self {
            Self::AsDeclared | Self::ByName { .. } => Distribution::declared(init, shape),
            Self::GlorotUniform => {
                variance_scaling::distribution(1., FanMode::Average, WeightDistribution::Uniform, shape)
            }
            Self::Torch => Distribution::symmetric(1. / FanMode::In.of(shape).sqrt()),
            Self::VarianceScaling { scale, mode, distribution } => {
                variance_scaling::distribution(scale, mode, distribution, shape)
            }
            Self::Orthogonal { gain } => Distribution::Orthogonal { gain },
            Self::Identity { gain } => Distribution::Identity { gain },
            Self::Constant { value } => Distribution::Constant(value),
            Self::Uniform { low, high } => Distribution::Uniform { low, high },
            Self::Normal { mean, deviation } => Distribution::Normal { mean, deviation },
            Self::TruncatedNormal { mean, deviation } => Distribution::TruncatedNormal { mean, deviation },
        })
    }
}

#[cfg(test)]
mod tests;
