//! Weights whose variance is inverse to the number of inputs or outputs of a unit.
use crate::weights::init::{distribution::Distribution, InitScheme};
use candle_core::Shape;
use candle_nn::init::FanInOut;
use serde::{Deserialize, Serialize};

/// The number that [`InitScheme::VarianceScaling`] divides the variance by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum FanMode {
    /// `fan_in`, which keeps the variance of the signals in the forward pass.
    In,
    /// `fan_out`, which keeps the variance of the gradients in the backward pass.
    Out,
    /// `(fan_in + fan_out) / 2`.
    Average,
}

impl FanMode {
    /// The number for a weight of this shape.
    pub(super) fn of(self, shape: &Shape) -> f64 {
        let fan = |kind: FanInOut| kind.for_shape(shape) as f64;
        match self {
            Self::In => fan(FanInOut::FanIn),
            Self::Out => fan(FanInOut::FanOut),
            Self::Average => (fan(FanInOut::FanIn) + fan(FanInOut::FanOut)) / 2.,
        }
    }
}

/// The shape of the distribution that [`InitScheme::VarianceScaling`] draws weights from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum WeightDistribution {
    /// Uniform around 0.
    Uniform,
    /// Normal, as PyTorch's `kaiming_normal_` and `xavier_normal_`.
    Normal,
    /// Normal, drawn again beyond two standard deviations, as Keras' `he_normal`, `glorot_normal` and
    /// `lecun_normal`. The variance after the truncation is the one asked for.
    TruncatedNormal,
}

/// The standard deviation of a standard normal variable that is drawn again beyond ±2:
/// `√(1 − 4 φ(2) / (2 Φ(2) − 1))`, with the digits of Keras.
pub(super) const TRUNCATED_DEVIATION: f64 = 0.879_625_661_034_239_8;

/// The distribution for a weight of this shape.
pub(super) fn distribution(
    scale: f64,
    mode: FanMode,
    distribution: WeightDistribution,
    shape: &Shape,
) -> Distribution {
    let fan = mode.of(shape);
    let deviation = (scale / fan).sqrt();
    match distribution {
        WeightDistribution::Uniform => Distribution::symmetric((3. * scale / fan).sqrt()),
        WeightDistribution::Normal => Distribution::Normal { mean: 0., deviation },
        WeightDistribution::TruncatedNormal => {
            Distribution::TruncatedNormal { mean: 0., deviation: deviation / TRUNCATED_DEVIATION }
        }
    }
}

macro_rules! named {
    ($($(#[$doc:meta])* $name:ident = $scale:literal $mode:ident $distribution:ident;)+) => {
        impl InitScheme {
            $(
                $(#[$doc])*
                #[must_use]
                pub fn $name() -> Self {
                    let (mode, distribution) = (FanMode::$mode, WeightDistribution::$distribution);
                    Self::VarianceScaling { scale: $scale, mode, distribution }
                }
            )+
        }
    };
}

named! {
    /// `N(0, 2 / (fan_in + fan_out))`. Source: see [`InitScheme::GlorotUniform`].
    glorot_normal = 1. Average Normal;
    /// Variance `2 / (fan_in + fan_out)`, truncated at two deviations: Keras' `glorot_normal`.
    glorot_truncated = 1. Average TruncatedNormal;
    /// `U(−a, a)` with `a = √(6 / fan_in)`: Keras' `he_uniform`, for layers with ReLU.
    ///
    /// Source: He et al. 2015, arXiv:1502.01852.
    he_uniform = 2. In Uniform;
    /// `N(0, 2 / fan_in)`: PyTorch's `kaiming_normal_` for layers with ReLU. Source: see
    /// [`he_uniform`](Self::he_uniform).
    he_normal = 2. In Normal;
    /// Variance `2 / fan_in`, truncated at two deviations: Keras' `he_normal`. Source: see
    /// [`he_uniform`](Self::he_uniform).
    he_truncated = 2. In TruncatedNormal;
    /// `U(−a, a)` with `a = √(3 / fan_in)`: Keras' `lecun_uniform`.
    ///
    /// Source: LeCun et al. 1998, "Efficient BackProp", doi:10.1007/3-540-49430-8_2.
    lecun_uniform = 1. In Uniform;
    /// `N(0, 1 / fan_in)`, for layers with SELU. Source: see [`lecun_uniform`](Self::lecun_uniform).
    lecun_normal = 1. In Normal;
    /// Variance `1 / fan_in`, truncated at two deviations: Keras' `lecun_normal`. Source: see
    /// [`lecun_uniform`](Self::lecun_uniform).
    lecun_truncated = 1. In TruncatedNormal;
}
