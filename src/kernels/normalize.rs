//! Means, variances and their use in normalization layers, forwards and backwards.
//!
//! A tensor is seen as `outer × channels × inner` elements. Batch normalization has one mean for each
//! channel; layer and group normalization have one for each segment: the neighbouring channels of a group, in
//! one of the `outer` rows.
use crate::kernels::{
    float::Real,
    gradients::{Gradients, Wanted},
    simd::vectorized,
    sums::{fold_in_lanes, fold_pairs_in_lanes, plus},
};

/// What the mean and the variance are taken over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sets {
    /// One set for each channel.
    Channels,
    /// One set for each row and group of this many neighbouring channels.
    Segments(usize),
}

/// The dimensions of a tensor. None of them is 0.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Dims {
    pub(crate) outer: usize,
    pub(crate) channels: usize,
    pub(crate) inner: usize,
}

impl Dims {
    fn elements(self) -> usize {
        self.outer * self.channels * self.inner
    }

    /// The number of sets.
    pub(crate) fn sets(self, sets: Sets) -> usize {
        match sets {
            Sets::Channels => self.channels,
            Sets::Segments(group) => self.outer * self.channels / group,
        }
    }

    /// The number of elements in a set.
    pub(crate) fn set_size(self, sets: Sets) -> usize {
        self.elements() / self.sets(sets)
    }

    /// The set that a strip of `inner` elements belongs to, by the number of the strip.
    #[inline(always)]
    fn set_of(self, sets: Sets, strip: usize) -> usize {
        match sets {
            Sets::Channels => strip % self.channels,
            Sets::Segments(group) => strip / group,
        }
    }
}

/// The mean of each set, and the mean of the squared differences from it; from 0 unless `center`.
#[derive(Clone, Debug)]
pub(crate) struct Moments {
    pub(crate) means: Vec<f64>,
    pub(crate) variances: Vec<f64>,
}

impl Moments {
    pub(crate) fn of<T: Real>(x: &[T], dims: Dims, sets: Sets, center: bool) -> Self {
        vectorized(
            #[inline(always)]
            || {
                let means = match center {
                    true => sums(
                        x,
                        dims,
                        sets,
                        &vec![T::zero(); dims.sets(sets)],
                        #[inline(always)]
                        |d: T| d.wide(),
                    ),
                    false => vec![0.; dims.sets(sets)],
                };
                let n = dims.set_size(sets) as f64;
                let means: Vec<f64> = means.into_iter().map(|sum| sum / n).collect();
                let around: Vec<T> = means.iter().map(|mean| T::of(*mean)).collect();
                let squares = sums(
                    x,
                    dims,
                    sets,
                    &around,
                    #[inline(always)]
                    |d: T| d.wide() * d.wide(),
                );
                // Corrected for the rounding of the means to the type.
                let corrected = squares.into_iter().zip(means.iter().zip(&around));
                let variances = corrected
                    .map(|(sum, (mean, around))| (sum / n - (mean - around.wide()).powi(2)).max(0.))
                    .collect();
                Self { means, variances }
            },
        )
    }
}

/// For each set the sum of `f(x − around)`.
#[inline(always)]
fn sums<T: Real>(x: &[T], dims: Dims, sets: Sets, around: &[T], f: impl Fn(T) -> f64 + Copy) -> Vec<f64> {
    let mut sums = vec![0f64; dims.sets(sets)];
    match sets {
        Sets::Channels if dims.inner == 1 => {
            for row in x.chunks_exact(dims.channels) {
                for ((sum, x), around) in sums.iter_mut().zip(row).zip(around) {
                    *sum += f(*x - *around);
                }
            }
        }
        Sets::Channels => {
            for (strip, x) in x.chunks_exact(dims.inner).enumerate() {
                let set = strip % dims.channels;
                let around = around[set];
                sums[set] += fold_in_lanes(
                    x,
                    0.,
                    #[inline(always)]
                    |a, x: T| a + f(x - around),
                    plus,
                );
            }
        }
        Sets::Segments(group) => {
            for ((sum, x), around) in sums.iter_mut().zip(x.chunks_exact(group * dims.inner)).zip(around) {
                *sum = fold_in_lanes(
                    x,
                    0.,
                    #[inline(always)]
                    |a, x: T| a + f(x - *around),
                    plus,
                );
            }
        }
    }
    sums
}

/// A normalization with known means and scales.
#[derive(Clone, Debug)]
pub(crate) struct Normalization {
    pub(crate) dims: Dims,
    pub(crate) sets: Sets,
    /// The mean of each set.
    pub(crate) means: Vec<f64>,
    /// `1 / √(variance + ε)` of each set.
    pub(crate) scales: Vec<f64>,
    /// Whether means and scales are functions of the elements, rather than constants.
    pub(crate) measured: bool,
    /// Whether the mean was removed.
    pub(crate) center: bool,
}

impl Normalization {
    /// The normalization of each of `parts` equal parts of the rows, whose means and scales follow each other.
    pub(crate) fn split(&self, parts: usize) -> Vec<Self> {
        let dims = Dims { outer: self.dims.outer / parts.max(1), ..self.dims };
        let each = (self.means.len() / parts.max(1)).max(1);
        let sets = self.means.chunks_exact(each).zip(self.scales.chunks_exact(each));
        let part = |(means, scales): (&[f64], &[f64])| Self {
            dims,
            means: means.into(),
            scales: scales.into(),
            ..*self
        };
        sets.map(part).collect()
    }

    /// `(x − mean) · scale · weight + bias`, with one weight and one bias for each channel.
    pub(crate) fn apply<T: Real>(&self, x: &[T], weight: &[T], bias: &[T]) -> Vec<T> {
        let Dims { channels, inner, .. } = self.dims;
        let (means, scales) = (narrow::<T>(&self.means), narrow::<T>(&self.scales));
        vectorized(
            #[inline(always)]
            || {
                if inner > 1 {
                    return self.apply_to_strips(x, weight, bias, (&means, &scales));
                }
                let mut y = x.to_vec();
                match self.sets {
                    Sets::Channels => {
                        let scaled: Vec<T> = scales.iter().zip(weight).map(|(s, w)| *s * *w).collect();
                        for row in y.chunks_exact_mut(channels) {
                            for (((y, mean), scale), bias) in
                                row.iter_mut().zip(&means).zip(&scaled).zip(bias)
                            {
                                *y = (*y - *mean) * *scale + *bias;
                            }
                        }
                    }
                    Sets::Segments(group) => {
                        for (set, row) in y.chunks_exact_mut(group).enumerate() {
                            let (mean, scale) = (means[set], scales[set]);
                            let first = set * group % channels;
                            let (weight, bias) = (&weight[first..][..group], &bias[first..][..group]);
                            for ((y, weight), bias) in row.iter_mut().zip(weight).zip(bias) {
                                *y = (*y - mean) * scale * *weight + *bias;
                            }
                        }
                    }
                }
                y
            },
        )
    }

    /// [`Self::apply`] where `inner` is above 1.
    #[inline(always)]
    fn apply_to_strips<T: Real>(
        &self,
        x: &[T],
        weight: &[T],
        bias: &[T],
        (means, scales): (&[T], &[T]),
    ) -> Vec<T> {
        let mut y = Vec::with_capacity(x.len());
        for (strip, x) in x.chunks_exact(self.dims.inner).enumerate() {
            let (set, channel) = (self.dims.set_of(self.sets, strip), strip % self.dims.channels);
            let (mean, scale, bias) = (means[set], scales[set] * weight[channel], bias[channel]);
            y.extend(x.iter().map(
                #[inline(always)]
                |x| (*x - mean) * scale + bias,
            ));
        }
        y
    }

    /// The gradients, from the gradient `g` of the result.
    pub(crate) fn backward<T: Real>(&self, x: &[T], weight: &[T], g: &[T], wanted: Wanted) -> Gradients<T> {
        let Dims { channels, inner, .. } = self.dims;
        let (means, scales) = (narrow::<T>(&self.means), narrow::<T>(&self.scales));
        let mut of_weight = vec![0f64; channels];
        let mut of_bias = vec![0f64; channels];
        let sets = self.dims.sets(self.sets);
        // For each set the sums of the gradient of the normalized elements, and of its product with them.
        let (mut plain, mut product) = (vec![0f64; sets], vec![0f64; sets]);
        let mut of_x = vec![T::zero(); if wanted.x { x.len() } else { 0 }];
        vectorized(
            #[inline(always)]
            || {
                if inner == 1 {
                    self.sums_by_element(
                        x,
                        weight,
                        g,
                        (&means, &scales),
                        [&mut of_weight, &mut of_bias],
                        [&mut plain, &mut product],
                    );
                } else {
                    for (strip, (x, g)) in x.chunks_exact(inner).zip(g.chunks_exact(inner)).enumerate() {
                        let (set, channel) = (self.dims.set_of(self.sets, strip), strip % channels);
                        let (mean, scale) = (means[set], scales[set]);
                        let sum = fold_in_lanes(
                            g,
                            0.,
                            #[inline(always)]
                            |a, g: T| a + g.wide(),
                            plus,
                        );
                        let with_x = fold_pairs_in_lanes(
                            (x, g),
                            0.,
                            #[inline(always)]
                            |a, x: T, g: T| a + (g * ((x - mean) * scale)).wide(),
                            plus,
                        );
                        of_bias[channel] += sum;
                        of_weight[channel] += with_x;
                        plain[set] += weight[channel].wide() * sum;
                        product[set] += weight[channel].wide() * with_x;
                    }
                }
                let n = self.dims.set_size(self.sets) as f64;
                let factor = if self.measured { 1. / n } else { 0. };
                let shift: Vec<T> =
                    plain.iter().map(|sum| T::of(if self.center { sum * factor } else { 0. })).collect();
                let slope: Vec<T> = product.iter().map(|sum| T::of(sum * factor)).collect();
                if inner == 1 {
                    let group = match self.sets {
                        Sets::Channels => channels,
                        Sets::Segments(group) => group,
                    };
                    let rows =
                        of_x.chunks_exact_mut(group).zip(x.chunks_exact(group)).zip(g.chunks_exact(group));
                    for (row, ((of_x, x), g)) in rows.enumerate() {
                        match self.sets {
                            Sets::Channels => {
                                let sets = means.iter().zip(&scales).zip(&shift).zip(&slope).zip(weight);
                                for (((of_x, x), g), ((((mean, scale), shift), slope), weight)) in
                                    of_x.iter_mut().zip(x).zip(g).zip(sets)
                                {
                                    *of_x = *scale * (*weight * *g - *shift - (*x - *mean) * *scale * *slope);
                                }
                            }
                            Sets::Segments(_) => {
                                let (mean, scale, shift, slope) =
                                    (means[row], scales[row], shift[row], slope[row]);
                                let weight = &weight[row * group % channels..][..group];
                                for (((of_x, x), g), weight) in of_x.iter_mut().zip(x).zip(g).zip(weight) {
                                    *of_x = scale * (*weight * *g - shift - (*x - mean) * scale * slope);
                                }
                            }
                        }
                    }
                } else {
                    let strips =
                        of_x.chunks_exact_mut(inner).zip(x.chunks_exact(inner)).zip(g.chunks_exact(inner));
                    for (strip, ((of_x, x), g)) in strips.enumerate() {
                        let (set, channel) = (self.dims.set_of(self.sets, strip), strip % channels);
                        let (mean, scale, shift, slope) = (means[set], scales[set], shift[set], slope[set]);
                        let weight = weight[channel];
                        for ((of_x, x), g) in of_x.iter_mut().zip(x).zip(g) {
                            *of_x = scale * (weight * *g - shift - (*x - mean) * scale * slope);
                        }
                    }
                }
            },
        );
        Gradients {
            x: wanted.x.then_some(of_x),
            weight: wanted.weight.then(|| narrow(&of_weight)),
            bias: wanted.bias.then(|| narrow(&of_bias)),
        }
    }

    /// The sums of [`Self::backward`] where `inner` is 1.
    #[inline(always)]
    fn sums_by_element<T: Real>(
        &self,
        x: &[T],
        weight: &[T],
        g: &[T],
        (means, scales): (&[T], &[T]),
        [of_weight, of_bias]: [&mut [f64]; 2],
        [plain, product]: [&mut [f64]; 2],
    ) {
        let channels = self.dims.channels;
        match self.sets {
            Sets::Channels => {
                for (x, g) in x.chunks_exact(channels).zip(g.chunks_exact(channels)) {
                    let sums = of_weight.iter_mut().zip(of_bias.iter_mut());
                    let sets = means.iter().zip(scales);
                    for (((x, g), (of_weight, of_bias)), (mean, scale)) in x.iter().zip(g).zip(sums).zip(sets)
                    {
                        *of_bias += g.wide();
                        *of_weight += (*g * ((*x - *mean) * *scale)).wide();
                    }
                }
                for (set, weight) in weight.iter().enumerate() {
                    plain[set] = weight.wide() * of_bias[set];
                    product[set] = weight.wide() * of_weight[set];
                }
            }
            Sets::Segments(group) => {
                for (set, (x, g)) in x.chunks_exact(group).zip(g.chunks_exact(group)).enumerate() {
                    let first = set * group % channels;
                    let (mean, scale) = (means[set], scales[set]);
                    let sums = of_weight[first..][..group].iter_mut().zip(&mut of_bias[first..][..group]);
                    let (mut sum, mut with_x) = (0f64, 0f64);
                    for (((x, g), (of_weight, of_bias)), weight) in
                        x.iter().zip(g).zip(sums).zip(&weight[first..][..group])
                    {
                        let normalized = (*x - mean) * scale;
                        *of_bias += g.wide();
                        *of_weight += (*g * normalized).wide();
                        sum += (*g * *weight).wide();
                        with_x += (*g * *weight * normalized).wide();
                    }
                    (plain[set], product[set]) = (sum, with_x);
                }
            }
        }
    }
}

fn narrow<T: Real>(numbers: &[f64]) -> Vec<T> {
    numbers.iter().map(|x| T::of(*x)).collect()
}
