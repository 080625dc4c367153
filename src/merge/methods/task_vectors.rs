//! What methods on task vectors share: `δᵢ = θᵢ − base`, thinned out, put together and added to the base.
use crate::{
    check,
    kernels::{
        linear::{add_scaled, difference},
        simd::vectorized,
    },
    merge::{
        methods::method::{check_density, check_finite, weights_or_ones},
        Strip, STRIP_LEN,
    },
    Result,
};

/// How task vectors are put together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Join {
    /// `Σ wᵢ δᵢ`
    Sum,
    /// At each place the sign of the weighted sum is elected, and those that agree are averaged.
    Elect,
}

/// Settings of these methods.
#[derive(Clone, Debug)]
pub(crate) struct TaskVectors {
    pub(crate) weights: Option<Vec<f64>>,
    pub(crate) lambda: f64,
    pub(crate) density: f64,
    pub(crate) join: Join,
}

impl TaskVectors {
    pub(crate) fn new(density: f64, join: Join) -> Self {
        Self { weights: None, lambda: 1., density, join }
    }

    pub(crate) fn check(&self, networks: usize) -> Result<()> {
        check_density(self.density)?;
        check_finite("lambda", self.lambda)?;
        // Votes and averages of those that agree make sense of no negative weights.
        check::weights(self.weights.as_deref(), networks, self.join == Join::Sum)
    }

    /// The rule for `networks`, whose task vectors are thinned out by `thin`.
    pub(crate) fn rule<T: Thin>(&self, networks: usize, thin: T) -> Joined<T> {
        Joined {
            weights: weights_or_ones(self.weights.as_deref(), networks),
            lambda: self.lambda,
            join: self.join,
            thin,
        }
    }
}

/// The numbers of a task vector that are kept.
pub(crate) trait Thin: Send + Sync {
    /// Clears, and perhaps scales, numbers of network `i`'s task vector, of which the first is number `start`.
    fn thin(&self, network: usize, start: usize, delta: &mut [f32]);
}

/// Keeps all.
pub(crate) struct All;

impl Thin for All {
    fn thin(&self, _network: usize, _start: usize, _delta: &mut [f32]) {}
}

/// `base + λ · joined`
pub(crate) struct Joined<T> {
    weights: Vec<f64>,
    lambda: f64,
    join: Join,
    thin: T,
}

/// Numbers at a time: their sums stay in the first level of caches.
const PART: usize = STRIP_LEN / 4;

impl<T: Thin> super::ElementwiseRule for Joined<T> {
    fn apply(&self, strip: &Strip<'_>, out: &mut [f32]) -> Result<()> {
        for (number, out) in out.chunks_mut(PART).enumerate() {
            self.apply_part(strip, number * PART, out);
        }
        Ok(())
    }
}

impl<T: Thin> Joined<T> {
    /// From number `from` of the strip on.
    fn apply_part(&self, strip: &Strip<'_>, from: usize, out: &mut [f32]) {
        let places = from..from + out.len();
        let (base, mut delta) = (&strip.base[places.clone()], [0f32; PART]);
        let delta = &mut delta[..out.len()];
        // Sums of the positive and of the negative numbers, and of the weights of either.
        let mut sums = [[0f64; PART]; 4];
        for (i, (w, network)) in self.weights.iter().zip(strip.networks).enumerate() {
            vectorized(
                #[inline(always)]
                || difference(&network[places.clone()], base, delta),
            );
            self.thin.thin(i, strip.start + from, delta);
            vectorized(
                #[inline(always)]
                || match self.join {
                    Join::Sum => add_scaled(&mut sums[0], *w, delta),
                    Join::Elect => add_apart(&mut sums, *w, delta),
                },
            );
        }
        let [up, down, agree_up, agree_down] = &sums;
        vectorized(
            #[inline(always)]
            || match self.join {
                Join::Sum => {
                    for ((out, base), sum) in out.iter_mut().zip(base).zip(up) {
                        *out = (f64::from(*base) + self.lambda * sum) as f32;
                    }
                }
                Join::Elect => {
                    let votes = up.iter().zip(down).zip(agree_up.iter().zip(agree_down));
                    for ((out, base), ((up, down), (agree_up, agree_down))) in
                        out.iter_mut().zip(base).zip(votes)
                    {
                        let elected = up + down >= 0.;
                        let (sum, weight) = if elected { (up, agree_up) } else { (down, agree_down) };
                        *out = (f64::from(*base) + self.lambda * mean(*sum, *weight)) as f32;
                    }
                }
            },
        );
    }
}

/// For weights of at least 0.
#[inline(always)]
fn add_apart([up, down, agree_up, agree_down]: &mut [[f64; PART]; 4], w: f64, delta: &[f32]) {
    let places = up.iter_mut().zip(down).zip(agree_up).zip(agree_down);
    for ((((up, down), agree_up), agree_down), delta) in places.zip(delta) {
        let x = w * f64::from(*delta);
        *up += if x > 0. { x } else { 0. };
        *down += if x < 0. { x } else { 0. };
        *agree_up += where_so(*delta > 0., w);
        *agree_down += where_so(*delta < 0., w);
    }
}

/// `x`, or 0: without a branch, which compilers make of the usual form.
#[inline(always)]
fn where_so(so: bool, x: f64) -> f64 {
    f64::from_bits(x.to_bits() & u64::from(so).wrapping_neg())
}

#[inline(always)]
fn mean(sum: f64, weight: f64) -> f64 {
    if weight > 0. {
        sum / weight
    } else {
        0.
    }
}

/// Setters that these methods have in common.
macro_rules! task_vector_settings {
    ($method:ident) => {
        impl $method {
            /// A weight for each network; 1 for each by default. They are not divided by their sum.
            #[must_use]
            pub fn weights(mut self, weights: &[f64]) -> Self {
                self.settings.weights = Some(weights.to_vec());
                self
            }

            /// What the joined task vector is multiplied with before it is added to the base; 1 by default.
            #[must_use]
            pub fn lambda(mut self, lambda: f64) -> Self {
                self.settings.lambda = lambda;
                self
            }
        }
    };
}
pub(crate) use task_vector_settings;
