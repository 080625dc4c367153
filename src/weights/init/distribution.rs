//! Distributions of the elements of a variable, and draws from them.
use crate::{
    weights::init::{identity, orthogonal},
    Error, Result, Seed,
};
use candle_core::{bail, DType, Device, Result as CResult, Shape, Tensor, Var, WithDType};
use candle_nn::{
    init::{FanInOut, NormalOrUniform},
    Init,
};
use rand::Rng;
use rand_distr::StandardNormal;

/// The distribution of one variable's elements.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Distribution {
    Constant(f64),
    Normal {
        mean: f64,
        deviation: f64,
    },
    /// Drawn again beyond two deviations.
    TruncatedNormal {
        mean: f64,
        deviation: f64,
    },
    Orthogonal {
        gain: f64,
    },
    Identity {
        gain: f64,
    },
    Uniform {
        low: f64,
        high: f64,
    },
}

impl Distribution {
    pub(super) fn declared(init: Init, shape: &Shape) -> Self {
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

    pub(super) fn symmetric(bound: f64) -> Self {
        Self::Uniform { low: -bound, high: bound }
    }

    fn check(self, name: &str) -> Result<()> {
        match self {
            Self::Constant(value) if value.is_nan() => {
                Err(Error::invalid(format!("the initial value of {name}"), "a number", value))
            }
            Self::Normal { mean, deviation } | Self::TruncatedNormal { mean, deviation }
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
            Self::Orthogonal { gain } | Self::Identity { gain } if !gain.is_finite() => {
                Err(Error::invalid(format!("the gain of the initial {name}"), "finite", gain))
            }
            Self::Uniform { low, high } if !((high - low).is_finite() && low <= high) => {
                let got = format_args!("{low} and {high}").to_string();
                Err(Error::invalid(format!("the bounds of the initial {name}"), "finite and in order", got))
            }
            _ => Ok(()),
        }
    }

    pub(super) fn var(
        self,
        name: &str,
        shape: Shape,
        seed: Seed,
        dtype: DType,
        device: &Device,
    ) -> CResult<Var> {
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
            DType::U32 => Var::from_vec(self.draw::<u32>(&shape, seed), shape, device),
            DType::F32 => Var::from_vec(self.draw::<f32>(&shape, seed), shape, device),
            DType::F64 => Var::from_vec(self.draw::<f64>(&shape, seed), shape, device),
            _ => {
                // Cast on the CPU, because some devices have no f64.
                let values = Tensor::from_vec(self.draw::<f64>(&shape, seed), shape, &Device::Cpu)?;
                Var::from_tensor(&values.to_dtype(dtype)?.to_device(device)?)
            }
        }
    }

    fn draw<T: WithDType>(self, shape: &Shape, seed: Seed) -> Vec<T> {
        let (mut rng, n) = (seed.rng(), shape.elem_count());
        match self {
            Self::Constant(value) => vec![T::from_f64(value); n],
            Self::Normal { mean, deviation } => {
                let mut next = || mean + deviation * rng.sample::<f64, _>(StandardNormal);
                (0..n).map(|_| T::from_f64(next())).collect()
            }
            Self::TruncatedNormal { mean, deviation } => {
                let mut next = || loop {
                    let z: f64 = rng.sample(StandardNormal);
                    if z.abs() <= 2. {
                        return mean + deviation * z;
                    }
                };
                (0..n).map(|_| T::from_f64(next())).collect()
            }
            Self::Orthogonal { gain } => {
                let rows = shape.dims().first().copied().unwrap_or(1);
                let matrix = orthogonal::matrix(rows, n / rows.max(1), gain, || rng.sample(StandardNormal));
                matrix.into_iter().map(T::from_f64).collect()
            }
            Self::Identity { gain } => {
                identity::weight(shape.dims(), gain).into_iter().map(T::from_f64).collect()
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
