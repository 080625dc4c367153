//! The cosines between the tensors of the networks, or between their task vectors, as vectors.
use crate::{
    kernels::{
        linear::{dot, largest_magnitude},
        simd::vectorized,
    },
    merge::{Sources, Strip, STRIP_LEN},
};
use std::ops::RangeInclusive;

/// The squared norms that neither an overflow nor an underflow has changed.
const ORDINARY: RangeInclusive<f64> = 1e-280..=1e280;

/// The cosines between the vectors of one tensor, one vector for each network: its elements, or their
/// differences from the base if there is a base.
pub(crate) struct Cosines {
    /// The products of each vector with itself and with those before it, `(M, M)` row by row.
    products: Vec<f64>,
    networks: usize,
}

impl Cosines {
    /// Computes them in one pass over the tensor, or in three where squares leave the range of f64.
    pub(crate) fn of(tensor: &Sources<'_>) -> Self {
        let networks = tensor.networks();
        let scaled = |scale: f64| Self {
            products: tensor.sums(networks * networks, |sums, strip| add_products(sums, strip, scale)),
            networks,
        };
        let plain = scaled(1.);
        if (0..networks).all(|i| ORDINARY.contains(&plain.product(i, i))) {
            return plain;
        }
        match tensor.largest_magnitude() {
            0. => plain,
            // A power of two, so that scaling is exact.
            largest => scaled((-largest.log2().floor()).clamp(-1022., 1022.).exp2()),
        }
    }

    fn product(&self, i: usize, j: usize) -> f64 {
        self.products.get(i.max(j) * self.networks + i.min(j)).copied().unwrap_or_default()
    }

    /// The cosine between the vectors of two networks; none if one of them is 0.
    pub(crate) fn between(&self, i: usize, j: usize) -> Option<f64> {
        let norms = self.product(i, i).sqrt() * self.product(j, j).sqrt();
        (norms > 0.).then(|| (self.product(i, j) / norms).clamp(-1., 1.))
    }
}

impl Sources<'_> {
    /// The cosine between the tensors of the first two networks over evenly spaced strips, at most this many;
    /// none if one of the tensors is 0 there.
    pub(crate) fn sampled_cosine(&self, strips: usize) -> Option<f64> {
        let mut sums = [0.; 3];
        self.sample_strips(strips, |strip| {
            if let [a, b] = strip.networks {
                for (sum, (x, y)) in sums.iter_mut().zip([(a, a), (b, b), (a, b)]) {
                    *sum += dot(x, y);
                }
            }
        });
        let norms = sums[0].sqrt() * sums[1].sqrt();
        (norms > 0. && norms.is_finite()).then(|| sums[2] / norms)
    }

    /// The largest magnitude among the elements of the networks and the base.
    fn largest_magnitude(&self) -> f64 {
        let largest = self.spans_of(
            &(0..self.networks()),
            || 0f64,
            |largest, strip| {
                let all = strip.networks.iter().copied().chain([strip.base]);
                *largest = all.map(largest_magnitude).fold(*largest, f64::max);
            },
        );
        largest.into_iter().fold(0., f64::max)
    }
}

/// Adds the products of the scaled vectors, each with itself and with those before it, to `sums`.
fn add_products(sums: &mut [f64], strip: &Strip<'_>, scale: f64) {
    let (n, len) = (strip.networks.len(), strip.len());
    let mut vectors = vec![0.; n * STRIP_LEN];
    vectorized(
        #[inline(always)]
        || {
            for (vector, network) in vectors.chunks_exact_mut(STRIP_LEN).zip(strip.networks) {
                vector.iter_mut().zip(*network).for_each(|(v, x)| *v = x * scale);
                vector.iter_mut().zip(strip.base).for_each(|(v, base)| *v -= base * scale);
            }
            for (i, a) in vectors.chunks_exact(STRIP_LEN).enumerate() {
                for (j, b) in vectors.chunks_exact(STRIP_LEN).take(i + 1).enumerate() {
                    sums[i * n + j] += dot(&a[..len], &b[..len]);
                }
            }
        },
    );
}
