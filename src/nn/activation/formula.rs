//! The values and the derivatives of activation functions.
use crate::{
    kernels::{float::Real, simd::vectorized},
    nn::Activation,
};
use std::f64::consts::{FRAC_1_SQRT_2, PI};

pub(super) const SELU_ALPHA: f64 = 1.673_263_242_354_377_2;
pub(super) const SELU_SCALE: f64 = 1.050_700_987_355_480_5;
pub(super) const GELU_CUBE: f64 = 0.044_715;

/// Evaluates `$body` with `$f` as the activation, once for each variant, so that each loop is compiled for
/// its function alone. Use it within `vectorized`, because what that captures is no constant to the compiler.
macro_rules! for_each_function {
    ($activation:expr, $f:ident => $body:expr) => {{
        macro_rules! with {
            ($value:expr) => {{
                let $f = $value;
                $body
            }};
        }
        match $activation {
            Activation::Linear => with!(Activation::Linear),
            Activation::Relu => with!(Activation::Relu),
            Activation::LeakyRelu { slope } => with!(Activation::LeakyRelu { slope }),
            Activation::Elu { alpha } => with!(Activation::Elu { alpha }),
            Activation::Selu => with!(Activation::Selu),
            Activation::Gelu => with!(Activation::Gelu),
            Activation::GeluTanh => with!(Activation::GeluTanh),
            Activation::Silu => with!(Activation::Silu),
            Activation::Mish => with!(Activation::Mish),
            Activation::Softplus => with!(Activation::Softplus),
            Activation::Softsign => with!(Activation::Softsign),
            Activation::HardSigmoid => with!(Activation::HardSigmoid),
            Activation::Tanh => with!(Activation::Tanh),
            Activation::Sigmoid => with!(Activation::Sigmoid),
            Activation::Exponential => with!(Activation::Exponential),
        }
    }};
}

/// Replaces each element `x` by `f(x)`.
pub(in crate::nn) fn apply<T: Real>(activation: Activation, elements: &mut [T]) {
    vectorized(
        #[inline(always)]
        || {
            for_each_function!(activation, f => {
                for x in &mut *elements {
                    *x = value(f, *x);
                }
            });
        },
    );
}

/// `g · f'(x)` for each element, where `y` is `f(x)`.
pub(in crate::nn) fn gradients<T: Real>(activation: Activation, x: &[T], y: &[T], g: &[T]) -> Vec<T> {
    let mut gradient = g.to_vec();
    vectorized(
        #[inline(always)]
        || {
            for_each_function!(activation, f => {
                for ((gradient, x), y) in gradient.iter_mut().zip(x).zip(y) {
                    *gradient *= derivative(f, *x, *y);
                }
            });
        },
    );
    gradient
}

#[inline(always)]
fn value<T: Real>(f: Activation, x: T) -> T {
    let (zero, one, half) = (T::zero(), T::one(), T::of(0.5));
    match f {
        Activation::Linear => x,
        // NaN stays NaN. The sum is `x`: it makes the compiler write every element, because vectors of which some
        // elements are written are slow.
        Activation::Relu => {
            if x <= zero {
                zero
            } else {
                x + zero
            }
        }
        Activation::LeakyRelu { slope } => {
            if x <= zero {
                T::of(slope) * x
            } else {
                x + zero
            }
        }
        Activation::Elu { alpha } => elu(x, alpha, 1.),
        Activation::Selu => elu(x, SELU_ALPHA, SELU_SCALE),
        Activation::Gelu => half * x * gauss(x),
        Activation::GeluTanh => half * x * (one + gelu_argument(x).tanh()),
        Activation::Silu => x * sigmoid(x),
        Activation::Mish => x * softplus(x).tanh(),
        Activation::Softplus => softplus(x),
        Activation::Softsign => x / (one + x.abs()),
        Activation::HardSigmoid => half + (x * T::of(1. / 6.)).within(half),
        Activation::Tanh => x.tanh(),
        Activation::Sigmoid => sigmoid(x),
        Activation::Exponential => x.exp(),
    }
}

#[inline(always)]
fn derivative<T: Real>(f: Activation, x: T, y: T) -> T {
    let (zero, one, half) = (T::zero(), T::one(), T::of(0.5));
    match f {
        Activation::Linear => one,
        Activation::Relu => above(x, one, zero),
        Activation::LeakyRelu { slope } => above(x, one, T::of(slope)),
        // Not y + α, which is 0 where y is rounded to −α.
        Activation::Elu { alpha } => above(x, one, T::of(alpha) * x.exp()),
        Activation::Selu => above(x, T::of(SELU_SCALE), T::of(SELU_SCALE * SELU_ALPHA) * x.exp()),
        Activation::Gelu => {
            let density = T::of((2. * PI).sqrt().recip()) * (zero - half * x * x).exp_of_negative();
            half * gauss(x) + if density > zero { x * density } else { zero }
        }
        Activation::GeluTanh => {
            let t = gelu_argument(x).tanh();
            let slope = one - t * t;
            let inner = T::of((2. / PI).sqrt()) * (one + T::of(3. * GELU_CUBE) * x * x);
            // Far from 0 the slope is 0 and the inner derivative may be infinite.
            half * (one + t) + if slope > zero { half * x * slope * inner } else { zero }
        }
        Activation::Silu => {
            let s = sigmoid(x);
            s + y * (one - s)
        }
        Activation::Mish => {
            let t = softplus(x).tanh();
            t + x * sigmoid(x) * (one - t * t)
        }
        Activation::Softplus => sigmoid(x),
        Activation::Softsign => {
            let d = one + x.abs();
            one / (d * d)
        }
        Activation::HardSigmoid => {
            if x > T::of(-3.) && x < T::of(3.) {
                T::of(1. / 6.)
            } else {
                zero
            }
        }
        Activation::Tanh => one - y * y,
        Activation::Sigmoid => y * (one - y),
        Activation::Exponential => y,
    }
}

/// `positive` for inputs above 0.
#[inline(always)]
fn above<T: Real>(x: T, positive: T, other: T) -> T {
    if x > T::zero() {
        positive
    } else {
        other
    }
}

#[inline(always)]
fn elu<T: Real>(x: T, alpha: f64, scale: f64) -> T {
    if x <= T::zero() {
        T::of(alpha * scale) * x.exp_m1()
    } else {
        T::of(scale) * x + T::zero()
    }
}

/// Twice the distribution function of the normal distribution.
#[inline(always)]
fn gauss<T: Real>(x: T) -> T {
    (T::zero() - x * T::of(FRAC_1_SQRT_2)).erfc()
}

#[inline(always)]
fn gelu_argument<T: Real>(x: T) -> T {
    T::of((2. / PI).sqrt()) * x * (T::one() + T::of(GELU_CUBE) * x * x)
}

/// Computed from the exponential that cannot overflow.
#[inline(always)]
fn sigmoid<T: Real>(x: T) -> T {
    let small = (T::zero() - x.abs()).exp_of_negative();
    let near = T::one() / (T::one() + small);
    if x >= T::zero() {
        near
    } else {
        small * near
    }
}

#[inline(always)]
fn softplus<T: Real>(x: T) -> T {
    let small = (T::zero() - x.abs()).exp_of_negative().ln_1p_of_share();
    if x > T::zero() {
        x + small
    } else {
        small
    }
}
