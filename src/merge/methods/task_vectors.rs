//! The parts that methods on task vectors share: task vectors `δᵢ = θᵢ − base` are thinned, joined, and added
//! to the base.
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
    Error, Result,
};

/// How task vectors are joined.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Join {
    /// All of them.
    Sum,
    /// By sign election: at each position the sign of the weighted sum is elected, and the task vectors with
    /// that sign are joined.
    Elect,
}

/// The settings of these methods.
#[derive(Clone, Debug)]
pub(crate) struct TaskVectors {
    pub(crate) weights: Option<Vec<f64>>,
    pub(crate) lambda: f64,
    pub(crate) density: f64,
    pub(crate) join: Join,
    /// Whether the sum of the task vectors that are joined is divided by the sum of their weights; by default
    /// after sign election only.
    pub(crate) normalize: Option<bool>,
}

impl TaskVectors {
    /// A sum of all task vectors with weights of 1.
    pub(crate) fn new(density: f64) -> Self {
        Self { weights: None, lambda: 1., density, join: Join::Sum, normalize: None }
    }

    /// The same, joined by sign election or not.
    pub(crate) fn elect_signs(self, elect: bool) -> Self {
        Self { join: if elect { Join::Elect } else { Join::Sum }, ..self }
    }

    fn normalizes(&self) -> bool {
        self.normalize.unwrap_or(self.join == Join::Elect)
    }

    pub(crate) fn check(&self, networks: usize) -> Result<()> {
        check_density(self.density)?;
        check_finite("lambda", self.lambda)?;
        // Sign election is not defined for negative weights.
        let signed = self.join == Join::Sum;
        check::weights(self.weights.as_deref(), networks, signed)?;
        let sum: f64 = weights_or_ones(self.weights.as_deref(), networks).iter().sum();
        match signed && self.normalizes() && sum.abs() < f64::EPSILON {
            true => Err(Error::invalid("the sum of the weights, by which is divided,", "other than 0", sum)),
            false => Ok(()),
        }
    }

    /// The rule for this many networks, whose task vectors are thinned by `thin`.
    pub(crate) fn rule<T: Thin>(&self, networks: usize, thin: T) -> JoinRule<T> {
        let weights = weights_or_ones(self.weights.as_deref(), networks);
        let normalize = self.normalizes();
        let total = if normalize { weights.iter().sum() } else { 1. };
        JoinRule { weights, total, lambda: self.lambda, join: self.join, normalize, thin }
    }
}

/// A way to thin task vectors.
pub(crate) trait Thin: Send + Sync {
    /// Clears some elements of a strip of the network's task vector, and may rescale the others. `start` is
    /// the position of the first element in its tensor.
    fn thin(&self, network: usize, start: usize, delta: &mut [f64]);
}

/// Keeps all elements.
pub(crate) struct KeepAll;

impl Thin for KeepAll {
    fn thin(&self, _network: usize, _start: usize, _delta: &mut [f64]) {}
}

/// The rule `base + λ · join(thin(δᵢ))`.
pub(crate) struct JoinRule<T> {
    weights: Vec<f64>,
    /// By what the sum of all task vectors is divided.
    total: f64,
    lambda: f64,
    join: Join,
    normalize: bool,
    thin: T,
}

/// The number of elements that are joined at a time. Their sums stay in the first level of caches.
const PART: usize = STRIP_LEN / 4;

impl<T: Thin> super::ElementwiseRule for JoinRule<T> {
    fn apply(&self, strip: &Strip<'_>, out: &mut [f64]) -> Result<()> {
        for (number, out) in out.chunks_mut(PART).enumerate() {
            self.apply_part(strip, number * PART, out);
        }
        Ok(())
    }
}

impl<T: Thin> JoinRule<T> {
    /// Computes the elements from `from` of the strip on.
    fn apply_part(&self, strip: &Strip<'_>, from: usize, out: &mut [f64]) {
        let range = from..from + out.len();
        let (base, mut delta) = (&strip.base[range.clone()], [0f64; PART]);
        let delta = &mut delta[..out.len()];
        // The sums of the positive and of the negative elements, and of the weights of either.
        let mut sums = [[0f64; PART]; 4];
        for (i, (w, network)) in self.weights.iter().zip(strip.networks).enumerate() {
            vectorized(
                #[inline(always)]
                || difference(&network[range.clone()], base, delta),
            );
            self.thin.thin(i, strip.start + from, delta);
            vectorized(
                #[inline(always)]
                || match self.join {
                    Join::Sum => add_scaled(&mut sums[0], *w, delta),
                    Join::Elect => add_by_sign(&mut sums, *w, delta),
                },
            );
        }
        let [positive, negative, positive_weight, negative_weight] = &sums;
        vectorized(
            #[inline(always)]
            || match self.join {
                Join::Sum => {
                    for ((out, base), sum) in out.iter_mut().zip(base).zip(positive) {
                        *out = base + self.lambda * (sum / self.total);
                    }
                }
                Join::Elect => {
                    let sums = positive.iter().zip(negative).zip(positive_weight.iter().zip(negative_weight));
                    for ((out, base), ((positive, negative), weights)) in out.iter_mut().zip(base).zip(sums) {
                        let (sum, weight) = match positive + negative >= 0. {
                            true => (positive, weights.0),
                            false => (negative, weights.1),
                        };
                        let joined = if self.normalize { mean(*sum, *weight) } else { *sum };
                        *out = base + self.lambda * joined;
                    }
                }
            },
        );
    }
}

/// Adds the weighted elements to the sums of their sign, and the weight to the weight of their sign. The
/// weight must be at least 0.
#[inline(always)]
fn add_by_sign(
    [positive, negative, positive_weight, negative_weight]: &mut [[f64; PART]; 4],
    w: f64,
    delta: &[f64],
) {
    let sums = positive.iter_mut().zip(negative);
    let weights = positive_weight.iter_mut().zip(negative_weight);
    for (((positive, negative), (positive_weight, negative_weight)), delta) in sums.zip(weights).zip(delta) {
        let x = w * delta;
        *positive += if x > 0. { x } else { 0. };
        *negative += if x < 0. { x } else { 0. };
        *positive_weight += select(*delta > 0., w);
        *negative_weight += select(*delta < 0., w);
    }
}

/// `x` if `condition`, else 0; without the branch that compilers make of an `if`.
#[inline(always)]
fn select(condition: bool, x: f64) -> f64 {
    f64::from_bits(x.to_bits() & u64::from(condition).wrapping_neg())
}

/// `sum / weight`, or 0 for a weight of 0.
#[inline(always)]
fn mean(sum: f64, weight: f64) -> f64 {
    if weight > 0. {
        sum / weight
    } else {
        0.
    }
}

/// The setters that these methods have in common.
macro_rules! task_vector_settings {
    ($method:ident) => {
        impl $method {
            /// A weight for each network; 1 by default. Weights are not divided by their sum.
            #[must_use]
            pub fn weights(mut self, weights: &[f64]) -> Self {
                self.settings.weights = Some(weights.to_vec());
                self
            }

            /// The factor `λ` of the joined task vector; 1 by default.
            #[must_use]
            pub fn lambda(mut self, lambda: f64) -> Self {
                self.settings.lambda = lambda;
                self
            }

            /// Whether the sum of the task vectors that are joined is divided by the sum of their weights. By
            /// default it is divided where signs are elected, at each position by the weights of the task
            /// vectors with the elected sign, and not divided where all task vectors are added.
            #[must_use]
            pub fn normalize(mut self, normalize: bool) -> Self {
                self.settings.normalize = Some(normalize);
                self
            }
        }
    };
}
pub(crate) use task_vector_settings;
