//! Weighted sums of the tensors of one name, in one pass over their elements.
use crate::{
    kernels::{
        cpu::{Elements, FloatLoop},
        simd::vectorized,
    },
    Error, Result,
};
use candle_core::{Device, Result as CandleResult, Tensor, WithDType};
use rayon::prelude::*;
use std::{array, ops::Range};

/// The number of elements that are summed at a time. Their sums fit into the first or second level of caches.
pub(super) const STRETCH: usize = 4096;
/// The number of elements of one unit of parallel work.
const PIECE: usize = 64 * STRETCH;
/// The size of a tensor, in elements, above which several threads share it. Smaller tensors are distributed
/// whole.
pub(super) const LARGE: usize = 1 << 22;
/// The number of networks that are added to the sums at a time.
const TOGETHER: usize = 4;

/// The weighted sum of the tensors of one name.
pub(super) struct WeightedSum<'a> {
    pub(super) name: &'a str,
    pub(super) inputs: &'a [Elements<'a>],
    pub(super) coefficients: &'a [f64],
    /// Whether the sum is a mean of f64 elements, which is limited to their range.
    pub(super) is_mean: bool,
    pub(super) shape: &'a [usize],
}

impl FloatLoop for WeightedSum<'_> {
    type Out = Tensor;

    fn run<T: WithDType>(
        self,
        _: &[T],
        load: impl Fn(T) -> f64 + Copy + Send + Sync,
        store: impl Fn(f64) -> T + Copy + Send + Sync,
    ) -> Result<Tensor> {
        let inputs = self.inputs.iter().map(Elements::as_slice).collect::<CandleResult<Vec<&[T]>>>()?;
        let (n, mut finite) = (self.shape.iter().product(), true);
        let c = self.coefficients;
        let out = if n <= LARGE {
            // Extended rather than zeroed first, so that its memory is written once.
            let mut out = Vec::with_capacity(n);
            vectorized(
                #[inline(always)]
                || {
                    let mut sums = [0.; STRETCH];
                    for start in (0..n).step_by(STRETCH) {
                        let sums = &mut sums[..STRETCH.min(n - start)];
                        weighted_sums(sums, start, &inputs, c, load);
                        if self.is_mean {
                            limit_to_range(sums, start, &inputs, c, load);
                        }
                        out.extend(sums.iter().map(|s| store(*s)));
                        finite &= all_finite(&out[start..], load);
                    }
                },
            );
            out
        } else {
            let mut out = vec![T::zero(); n];
            let pieces = out.par_chunks_mut(PIECE).enumerate().map(|(i, piece)| {
                let mut finite = true;
                vectorized(
                    #[inline(always)]
                    || {
                        let mut sums = [0.; STRETCH];
                        for (j, out) in piece.chunks_mut(STRETCH).enumerate() {
                            let sums = &mut sums[..out.len()];
                            let start = i * PIECE + j * STRETCH;
                            weighted_sums(sums, start, &inputs, c, load);
                            if self.is_mean {
                                limit_to_range(sums, start, &inputs, c, load);
                            }
                            for (out, s) in out.iter_mut().zip(&*sums) {
                                *out = store(*s);
                            }
                            finite &= all_finite(out, load);
                        }
                    },
                );
                finite
            });
            finite = pieces.reduce(|| true, |a, b| a & b);
            out
        };
        if !finite {
            return Err(self.not_finite(&inputs, load));
        }
        Ok(Tensor::from_vec(out, self.shape, &Device::Cpu)?)
    }
}

impl WeightedSum<'_> {
    /// The error for a sum that is not finite: it names the network, or the range of the dtype.
    #[cold]
    fn not_finite<T: WithDType>(&self, inputs: &[&[T]], load: impl Fn(T) -> f64) -> Error {
        for (number, input) in inputs.iter().enumerate() {
            if let Some(x) = input.iter().map(|x| load(*x)).find(|x| !x.is_finite()) {
                return Error::invalid(format!("{} of network {number}", self.name), "finite", x);
            }
        }
        let must = format!("within the range of {}", T::DTYPE.as_str());
        Error::invalid(format!("the sum of the networks' {}", self.name), must, "beyond it")
    }
}

/// Writes the weighted sums of the elements of `inputs` from `start` on into `sums`.
#[inline(always)]
fn weighted_sums<T: Copy>(
    sums: &mut [f64],
    start: usize,
    inputs: &[&[T]],
    coefficients: &[f64],
    load: impl Fn(T) -> f64 + Copy,
) {
    let (mut first, range) = (true, start..start + sums.len());
    for (inputs, c) in inputs.chunks(TOGETHER).zip(coefficients.chunks(TOGETHER)) {
        match inputs.len() {
            4 => add_inputs::<_, 4>(sums, first, inputs, &range, c, load),
            3 => add_inputs::<_, 3>(sums, first, inputs, &range, c, load),
            2 => add_inputs::<_, 2>(sums, first, inputs, &range, c, load),
            _ => add_inputs::<_, 1>(sums, first, inputs, &range, c, load),
        }
        first = false;
    }
}

/// Limits each sum to the range of the elements that have a coefficient above 0. Rounding may carry a mean out
/// of it: three times a third of a number is not always the number.
#[inline(always)]
fn limit_to_range<T: Copy>(
    sums: &mut [f64],
    start: usize,
    inputs: &[&[T]],
    coefficients: &[f64],
    load: impl Fn(T) -> f64 + Copy,
) {
    for (j, sum) in sums.iter_mut().enumerate() {
        let (mut least, mut most) = (f64::INFINITY, f64::NEG_INFINITY);
        for (input, _) in inputs.iter().zip(coefficients).filter(|(_, c)| **c > 0.) {
            let x = load(input[start + j]);
            least = if x < least { x } else { least };
            most = if x > most { x } else { most };
        }
        *sum = if *sum < least { least } else { *sum };
        *sum = if *sum > most { most } else { *sum };
    }
}

/// Adds the weighted elements of `N` inputs to the sums in one pass. The first pass writes the sums.
#[inline(always)]
fn add_inputs<T: Copy, const N: usize>(
    sums: &mut [f64],
    first: bool,
    inputs: &[&[T]],
    range: &Range<usize>,
    c: &[f64],
    load: impl Fn(T) -> f64 + Copy,
) {
    let n = sums.len();
    let (x, c): ([&[T]; N], [f64; N]) =
        (array::from_fn(|i| &inputs[i][range.clone()][..n]), array::from_fn(|i| c[i]));
    let after = |sum: f64, j: usize| (1..N).fold(sum, |sum, i| sum + c[i] * load(x[i][j]));
    if first {
        // Written, not added to 0, because 0 + −0 would lose the sign.
        (0..n).for_each(|j| sums[j] = after(c[0] * load(x[0][j]), j));
    } else {
        (0..n).for_each(|j| sums[j] = after(sums[j] + c[0] * load(x[0][j]), j));
    }
}

/// Whether all elements are finite.
#[inline(always)]
fn all_finite<T: Copy>(numbers: &[T], load: impl Fn(T) -> f64) -> bool {
    // Not `all`, which stops early and therefore cannot be vectorized.
    numbers.iter().fold(0, |beyond, x| beyond | u64::from(!load(*x).is_finite())) == 0
}
