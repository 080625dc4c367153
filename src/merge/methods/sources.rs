//! The elements of one tensor in all inputs of a merge, and passes over them.
use crate::{
    files::map::Mapped,
    kernels::{float::f32_from_f16_bits, linear::all_below, simd::vectorized},
    merge::{ElementwiseRule, Method, Strip, STRIP_LEN},
    Error, Result,
};
use half::{bf16, f16};
use rayon::prelude::*;
use safetensors::Dtype;
use std::ops::Range;

/// The number of elements of all inputs together that are read at a time.
const AT_ONCE: usize = 1 << 19;
/// The least number of elements of one input that are read at a time.
const LEAST: usize = 1 << 12;
/// The largest number of elements of one input that are read at a time.
const MOST: usize = 1 << 17;
/// The number of spans from which all threads share a tensor. Smaller tensors are merged side by side, one on
/// each thread.
const MANY: usize = 8;
/// The number of inputs of which a pass may hold the memory pages of a span at once: a few MiB a thread.
const FEW: usize = 4;

/// Whether tensors of this dtype are merged. Others are copied.
pub(crate) fn is_merged(dtype: Dtype) -> bool {
    matches!(dtype, Dtype::F16 | Dtype::BF16 | Dtype::F32 | Dtype::F64)
}

/// The magnitude from which on numbers are infinite in this dtype.
pub(crate) fn limit(dtype: Dtype) -> f64 {
    match dtype {
        Dtype::F16 => 65520.,
        Dtype::BF16 => f64::from(f32::from_bits(0x7f7f_8000)),
        // Half a unit in the last place above the largest number.
        Dtype::F32 => f64::from(f32::MAX) + 2f64.powi(103),
        _ => f64::INFINITY,
    }
}

/// The tensor of one input, as bytes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Source<'a> {
    pub(crate) bytes: &'a [u8],
    pub(crate) dtype: Dtype,
    /// The file that the bytes are mapped from, and their position in it.
    pub(crate) file: Option<(&'a Mapped, usize)>,
}

impl Source<'_> {
    /// The number of bytes of an element.
    fn width(&self) -> usize {
        self.dtype.bitsize() / 8
    }

    /// The range of bytes of these elements.
    fn byte_range(&self, elements: &Range<usize>) -> Range<usize> {
        elements.start * self.width()..elements.end * self.width()
    }

    /// Releases the memory pages of these bytes, which are not needed for now.
    pub(crate) fn release(&self, bytes: &Range<usize>) {
        if let Some((map, start)) = self.file {
            map.release(&(start + bytes.start..start + bytes.end));
        }
    }
}

/// Converts the bytes of elements of this dtype to f64, which is exact for all dtypes.
fn decode(bytes: &[u8], dtype: Dtype, out: &mut [f64]) {
    match dtype {
        Dtype::F16 => {
            decode_each(bytes, out, |b| f64::from(f32_from_f16_bits(u16::from_le_bytes(b))));
        }
        Dtype::BF16 => {
            decode_each(bytes, out, |b| f64::from(f32::from_bits(u32::from(u16::from_le_bytes(b)) << 16)));
        }
        Dtype::F64 => decode_each(bytes, out, f64::from_le_bytes),
        _ => decode_each(bytes, out, |b| f64::from(f32::from_le_bytes(b))),
    }
}

/// Converts bytes to numbers, element by element.
#[inline(always)]
fn decode_each<const WIDTH: usize>(bytes: &[u8], out: &mut [f64], number: impl Fn([u8; WIDTH]) -> f64) {
    let (chunks, _) = bytes.as_chunks::<WIDTH>();
    vectorized(
        #[inline(always)]
        || {
            for (out, chunk) in out.iter_mut().zip(chunks) {
                *out = number(*chunk);
            }
        },
    );
}

/// Appends numbers to `bytes`, as elements of this dtype, each rounded once.
fn encode(numbers: &[f64], to: Dtype, bytes: &mut Vec<u8>) {
    let start = bytes.len();
    bytes.resize(start + numbers.len() * to.bitsize() / 8, 0);
    let bytes = &mut bytes[start..];
    match to {
        Dtype::F16 => encode_each(numbers, bytes, |x| f16::from_f32(rounded_to_odd(x)).to_le_bytes()),
        Dtype::BF16 => encode_each(numbers, bytes, |x| bf16::from_f32(rounded_to_odd(x)).to_le_bytes()),
        Dtype::F64 => encode_each(numbers, bytes, f64::to_le_bytes),
        _ => encode_each(numbers, bytes, |x| (x as f32).to_le_bytes()),
    }
}

/// Writes the bytes of each number to `bytes`.
#[inline(always)]
fn encode_each<const WIDTH: usize>(numbers: &[f64], bytes: &mut [u8], bytes_of: impl Fn(f64) -> [u8; WIDTH]) {
    let (chunks, _) = bytes.as_chunks_mut::<WIDTH>();
    vectorized(
        #[inline(always)]
        || {
            for (chunk, x) in chunks.iter_mut().zip(numbers) {
                *chunk = bytes_of(*x);
            }
        },
    );
}

/// The number as an f32 whose last bit is set where digits were cut off. A second rounding, to fewer digits,
/// then rounds as if it were the only one (Boldo and Melquiond 2008, doi:10.1109/TC.2007.70819).
fn rounded_to_odd(x: f64) -> f32 {
    let nearest = x as f32;
    let back = f64::from(nearest);
    if back == x || !nearest.is_finite() {
        return nearest;
    }
    let cut = if back.abs() > x.abs() { nearest.to_bits() - 1 } else { nearest.to_bits() };
    f32::from_bits(cut | 1)
}

/// The inputs that a pass reads.
#[derive(Clone, Copy)]
enum Inputs {
    All,
    /// Some networks, given by the first and their number, and the base.
    Networks(usize, usize),
}

/// The reason why a tensor is not merged.
enum Stop {
    NotFinite { input: usize, at: usize },
    Failed(Error),
}

impl From<Error> for Stop {
    fn from(e: Error) -> Self {
        Self::Failed(e)
    }
}

/// The elements of one tensor in all inputs of a merge. A [`Method`] computes the statistics of whole tensors
/// with it.
///
/// [`sums`](Self::sums) and [`counts`](Self::counts) pass over the elements strip by strip, on several
/// threads for a large tensor, and without loading whole tensors into memory.
#[derive(Debug)]
pub struct Sources<'a> {
    pub(crate) name: &'a str,
    pub(crate) labels: &'a [String],
    pub(crate) len: usize,
    pub(crate) networks: usize,
    pub(crate) has_base: bool,
    /// The networks, then the base if there is one, then the Fisher diagonals if there are any.
    pub(crate) inputs: Vec<Source<'a>>,
    /// The dtype of the result.
    pub(crate) to: Dtype,
    /// Whether all threads share this tensor.
    pub(crate) shared: bool,
}

impl<'a> Sources<'a> {
    /// The name of the tensor.
    #[must_use]
    pub fn name(&self) -> &str {
        self.name
    }

    /// The number of elements of the tensor.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether the tensor has no elements.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The number of networks that are merged.
    #[must_use]
    pub fn networks(&self) -> usize {
        self.networks
    }

    /// Computes `count` sums over the elements of all inputs. `step` adds the contribution of a strip. The
    /// sums do not depend on the number of threads, because the tensor is divided at fixed positions and
    /// partial sums are added in order.
    pub fn sums(&self, count: usize, step: impl Fn(&mut [f64], &Strip<'_>) + Sync) -> Vec<f64> {
        let parts =
            self.by_span(Inputs::All, || vec![0.; count], |sums: &mut Vec<f64>, strip| step(sums, strip));
        parts.into_iter().fold(vec![0.; count], |mut sums, part| {
            sums.iter_mut().zip(part).for_each(|(sum, part)| *sum += part);
            sums
        })
    }

    /// The results of `step` over the strips of these networks and the base, one for each span.
    pub(crate) fn spans_of<T: Send>(
        &self,
        networks: &Range<usize>,
        start: impl Fn() -> T + Sync,
        step: impl Fn(&mut T, &Strip<'_>) + Sync,
    ) -> Vec<T> {
        self.by_span(Inputs::Networks(networks.start, networks.len()), start, step)
    }

    fn by_span<T: Send>(
        &self,
        read: Inputs,
        start: impl Fn() -> T + Sync,
        step: impl Fn(&mut T, &Strip<'_>) + Sync,
    ) -> Vec<T> {
        let gather = |scratch: &mut Scratch, span: usize| {
            let mut all = start();
            self.walk(self.range(span), read, scratch, |strip| step(&mut all, strip));
            all
        };
        if self.shared {
            return (0..self.spans()).into_par_iter().map_init(Scratch::default, gather).collect();
        }
        let mut scratch = Scratch::default();
        (0..self.spans()).map(|span| gather(&mut scratch, span)).collect()
    }

    /// Computes `count` counts over the elements of one network and the base. `step` adds the contribution of
    /// a strip, which contains only this network.
    pub fn counts(
        &self,
        network: usize,
        count: usize,
        step: impl Fn(&mut [u64], &Strip<'_>) + Sync,
    ) -> Vec<u64> {
        let none = || (vec![0; count], Scratch::default());
        let add = |(mut counts, mut scratch): (Vec<u64>, Scratch), span: usize| {
            self.walk(self.range(span), Inputs::Networks(network, 1), &mut scratch, |strip| {
                step(&mut counts, strip)
            });
            (counts, scratch)
        };
        if !self.shared {
            return (0..self.spans()).fold(none(), add).0;
        }
        let both = |mut a: Vec<u64>, b: Vec<u64>| {
            a.iter_mut().zip(b).for_each(|(a, b)| *a += b);
            a
        };
        // One set of counts for each thread.
        let each = self.spans().div_ceil(rayon::current_num_threads()).max(1);
        let spans = (0..self.spans()).into_par_iter().with_min_len(each);
        spans.fold(none, add).map(|(counts, _)| counts).reduce(|| vec![0; count], both)
    }

    /// Passes over the strips of one network and the base in one span, in order.
    pub(crate) fn read_span(&self, span: usize, network: usize, see: impl FnMut(&Strip<'_>)) {
        self.walk(self.range(span), Inputs::Networks(network, 1), &mut Scratch::default(), see);
    }

    /// Passes over `count` evenly spaced pieces of `len` elements of one network and the base.
    pub(crate) fn sample(&self, network: usize, count: usize, len: usize, mut see: impl FnMut(&Strip<'_>)) {
        let (mut scratch, distance) = (Scratch::default(), self.len / count.max(1));
        for start in (0..count).map(|i| i * distance + (distance.saturating_sub(len)) / 2) {
            let range = start..(start + len).min(self.len);
            self.walk(range, Inputs::Networks(network, 1), &mut scratch, &mut see);
        }
    }

    /// Passes over at most `count` evenly spaced strips of all inputs, all of them in a small tensor.
    pub(crate) fn sample_strips(&self, count: usize, mut see: impl FnMut(&Strip<'_>)) {
        let (mut scratch, strips) = (Scratch::default(), self.len.div_ceil(STRIP_LEN));
        for i in 0..count.min(strips) {
            let start = i * strips / count.min(strips) * STRIP_LEN;
            self.walk(start..(start + STRIP_LEN).min(self.len), Inputs::All, &mut scratch, &mut see);
        }
    }

    /// The length of a span: the number of elements of each input that are read at a time. It depends only on
    /// the number of inputs.
    pub(crate) fn span(&self) -> usize {
        let fair = (AT_ONCE / self.inputs.len().max(1)).clamp(LEAST, MOST);
        // The largest power of two that is not larger.
        1 << fair.ilog2()
    }

    /// The number of spans of the tensor.
    pub(crate) fn spans(&self) -> usize {
        self.len.div_ceil(self.span())
    }

    /// Whether all threads should share the tensor.
    pub(crate) fn is_large(&self) -> bool {
        self.spans() >= MANY
    }

    fn range(&self, span: usize) -> Range<usize> {
        let start = span * self.span();
        start..(start + self.span()).min(self.len)
    }

    /// Passes over the strips of a range of elements, in order. `scratch` is memory to reuse.
    fn walk(
        &self,
        range: Range<usize>,
        read: Inputs,
        scratch: &mut Scratch,
        mut see: impl FnMut(&Strip<'_>),
    ) {
        let done = self.try_walk(range, read, scratch, |strip| {
            see(strip);
            Ok::<_, std::convert::Infallible>(())
        });
        match done {
            Ok(()) => {}
            Err(never) => match never {},
        }
    }

    fn try_walk<E>(
        &self,
        range: Range<usize>,
        read: Inputs,
        scratch: &mut Scratch,
        mut see: impl FnMut(&Strip<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        let base = self.has_base.then_some(self.networks);
        let (visited, networks): (Vec<&Source<'a>>, _) = match read {
            Inputs::All => (self.inputs.iter().collect(), self.networks),
            Inputs::Networks(first, count) => {
                let networks = self.inputs.iter().take(self.networks).skip(first).take(count);
                (networks.chain(base.map(|b| &self.inputs[b])).collect(), count)
            }
        };
        // With few inputs, the pages of files are read strip by strip. With more, the bytes of each input are
        // copied, so that its memory pages are released before those of the next input are loaded.
        let Scratch { copies, numbers } = scratch;
        let (few, mut bytes) = (visited.len() <= FEW, Vec::with_capacity(visited.len()));
        copies.clear();
        for source in &visited {
            let all = source.byte_range(&range);
            let copied = !few && source.file.is_some();
            bytes.push(if copied { copies.len()..copies.len() + all.len() } else { all.clone() });
            if copied {
                copies.extend_from_slice(&source.bytes[all.clone()]);
                source.release(&all);
            }
        }
        let copied = |source: &Source<'_>| !few && source.file.is_some();
        numbers.resize(visited.len() * STRIP_LEN, 0.);
        let mut strips = (0..range.len()).step_by(STRIP_LEN).map(|at| at..(at + STRIP_LEN).min(range.len()));
        let seen = strips.try_for_each(|strip| {
            for ((source, bytes), room) in visited.iter().zip(&bytes).zip(numbers.chunks_exact_mut(STRIP_LEN))
            {
                let all = if copied(source) { copies.as_slice() } else { source.bytes };
                let part = source.byte_range(&strip);
                let part = &all[bytes.start + part.start..bytes.start + part.end];
                decode(part, source.dtype, &mut room[..strip.len()]);
            }
            let views: Vec<&[f64]> = numbers
                .chunks_exact(STRIP_LEN)
                .take(visited.len())
                .map(|numbers| &numbers[..strip.len()])
                .collect();
            let (networks, others) = views.split_at(networks);
            let (base, fishers) = others.split_at(usize::from(self.has_base));
            let base = base.first().copied().unwrap_or_default();
            see(&Strip { start: range.start + strip.start, networks, base, fishers })
        });
        for source in visited.iter().filter(|source| !copied(source)) {
            source.release(&source.byte_range(&range));
        }
        seen
    }

    /// Merges the tensor, and passes the number of each span and the bytes of its merged elements to `put`, in
    /// any order. A tensor that is not finite but the same in all inputs, such as a mask, is copied.
    pub(crate) fn merge(
        &self,
        method: &dyn Method,
        put: impl Fn(usize, &[u8]) -> Result<()> + Sync,
    ) -> Result<()> {
        if self.is_empty() {
            return Ok(());
        }
        let rule = method.rule(self)?;
        match self.each_span(|strip, out| self.merge_strip(strip, &*rule, out), &put) {
            Ok(()) => Ok(()),
            Err(Stop::Failed(e)) => Err(e),
            Err(Stop::NotFinite { .. }) if self.same_everywhere() => {
                let first = |strip: &Strip<'_>, out: &mut [f64]| {
                    out.copy_from_slice(strip.networks[0]);
                    Ok(())
                };
                match self.each_span(first, &put) {
                    Err(Stop::Failed(e)) => Err(e),
                    _ => Ok(()),
                }
            }
            Err(Stop::NotFinite { input, at }) => {
                let label = self.labels.get(input).map_or("", String::as_str);
                let what = format!("the tensor {} of {label}", self.name);
                Err(Error::invalid(what, "finite", format!("not finite at element {at}")))
            }
        }
    }

    /// Computes the elements of each strip with `work`, and passes the bytes of each span to `put`.
    fn each_span(
        &self,
        work: impl Fn(&Strip<'_>, &mut [f64]) -> Result<(), Stop> + Sync,
        put: &(impl Fn(usize, &[u8]) -> Result<()> + Sync),
    ) -> Result<(), Stop> {
        let buffers = || (Scratch::default(), vec![]);
        let each = |(scratch, bytes): &mut (Scratch, Vec<u8>), span| {
            bytes.clear();
            self.try_walk(self.range(span), Inputs::All, scratch, |strip| {
                let mut out = [0.; STRIP_LEN];
                let out = &mut out[..strip.len()];
                work(strip, out)?;
                encode(out, self.to, bytes);
                Ok::<_, Stop>(())
            })?;
            put(span, bytes).map_err(Stop::from)
        };
        if self.shared {
            return (0..self.spans()).into_par_iter().try_for_each_init(buffers, each);
        }
        let mut buffers = buffers();
        (0..self.spans()).try_for_each(|span| each(&mut buffers, span))
    }

    fn merge_strip(
        &self,
        strip: &Strip<'_>,
        rule: &dyn ElementwiseRule,
        out: &mut [f64],
    ) -> Result<(), Stop> {
        let limit = limit(self.to);
        let base = self.has_base.then_some(strip.base);
        let inputs = strip.networks.iter().copied().chain(base).chain(strip.fishers.iter().copied());
        for (input, numbers) in inputs.enumerate() {
            if !all_below(numbers, f64::INFINITY) {
                let at = numbers.iter().position(|x| !x.is_finite()).unwrap_or_default();
                return Err(Stop::NotFinite { input, at: strip.start + at });
            }
        }
        rule.apply(strip, out)?;
        if all_below(out, limit) {
            return Ok(());
        }
        let bad = out.iter().find(|x| x.is_nan() || x.abs() >= limit).copied().unwrap_or_default();
        let must = format!("within the range of {}", self.to);
        Err(Error::invalid(format!("the merged tensor {}", self.name), must, bad).into())
    }

    /// Checks that a tensor of more than one element, which is copied, has the same bytes in all networks and
    /// the base.
    pub(crate) fn refuse_different(&self) -> Result<()> {
        let compared = &self.inputs[..(self.networks + usize::from(self.has_base)).min(self.inputs.len())];
        let Some((first, others)) = compared.split_first().filter(|_| self.len > 1) else { return Ok(()) };
        let width = self.to.bitsize() / 8;
        for range in (0..self.spans()).map(|span| first.byte_range(&self.range(span))) {
            for (number, other) in others.iter().enumerate() {
                let mut pairs = first.bytes[range.clone()].iter().zip(&other.bytes[range.clone()]);
                let Some(at) = pairs.position(|(a, b)| a != b) else { continue };
                let label = |input: usize| self.labels.get(input).map_or("", String::as_str);
                let (dtype, element) = (self.to.to_string().to_lowercase(), (range.start + at) / width);
                let why = format!(
                    "the {dtype} tensor {} of {} differs from that of {} at element {element}; integers have no mean, \
                     and quantized weights must be dequantized before they are merged (copy_integers copies those \
                     of {})",
                    self.name,
                    label(number + 1),
                    label(0),
                    label(if self.has_base { self.networks } else { 0 }),
                );
                return Err(Error::Incompatible { what: "the networks".into(), why });
            }
            compared.iter().for_each(|source| source.release(&range));
        }
        Ok(())
    }

    /// Whether the tensor has the same numbers in all networks and the base.
    fn same_everywhere(&self) -> bool {
        let same = |same: &mut bool, strip: &Strip<'_>| {
            let base = self.has_base.then_some(strip.base);
            let bits = |x: &[f64], y: &[f64]| x.iter().zip(y).all(|(x, y)| x.to_bits() == y.to_bits());
            *same &= strip.networks.iter().copied().chain(base).all(|x| bits(x, strip.networks[0]));
        };
        self.by_span(Inputs::All, || true, same).into_iter().all(|same| same)
    }
}

/// Memory that passes reuse.
#[derive(Default)]
struct Scratch {
    /// The bytes of the inputs that are copied.
    copies: Vec<u8>,
    /// The elements of a strip of each input.
    numbers: Vec<f64>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one<const WIDTH: usize>(x: f64, to: Dtype) -> [u8; WIDTH] {
        let mut bytes = vec![];
        encode(&[x], to, &mut bytes);
        bytes.try_into().unwrap()
    }

    #[test]
    fn numbers_are_rounded_once() {
        // Just above the middle between two f16 or bf16: by way of f32 it would be the middle, and then the
        // lower one, which is even.
        let x = 1. + 2f64.powi(-11) + 2f64.powi(-40);
        assert_eq!(f16::from_le_bytes(one(x, Dtype::F16)).to_f64(), 1. + 2f64.powi(-10));
        assert_eq!(f16::from_le_bytes(one(-x, Dtype::F16)).to_f64(), -1. - 2f64.powi(-10));
        let x = 1. + 2f64.powi(-8) + 2f64.powi(-40);
        assert_eq!(bf16::from_le_bytes(one(x, Dtype::BF16)).to_f64(), 1. + 2f64.powi(-7));
        // Exactly in the middle: the even one.
        assert_eq!(f16::from_le_bytes(one(1. + 2f64.powi(-11), Dtype::F16)).to_f64(), 1.);
        assert_eq!(f32::from_le_bytes(one(1. + 2f64.powi(-24), Dtype::F32)), 1.);
        assert_eq!(f64::from_le_bytes(one(1. + 2f64.powi(-24), Dtype::F64)), 1. + 2f64.powi(-24));
    }

    #[test]
    fn numbers_below_the_limit_are_finite_and_that_limit_is_not() {
        for (dtype, finite) in [
            (Dtype::F16, (|x| f16::from_le_bytes(one(x, Dtype::F16)).is_finite()) as fn(f64) -> bool),
            (Dtype::BF16, |x| bf16::from_le_bytes(one(x, Dtype::BF16)).is_finite()),
            (Dtype::F32, |x| f32::from_le_bytes(one(x, Dtype::F32)).is_finite()),
        ] {
            let limit = limit(dtype);
            assert!(finite(limit.next_down()) && !finite(limit), "{dtype}");
        }
    }

    #[test]
    fn every_dtype_is_decoded_exactly() {
        for x in [0., -0., 1.5, -65504., 6e-8f32.into(), f64::NEG_INFINITY] {
            for dtype in [Dtype::F16, Dtype::BF16, Dtype::F32, Dtype::F64] {
                let (mut bytes, mut back) = (vec![], [f64::NAN]);
                encode(&[x], dtype, &mut bytes);
                decode(&bytes, dtype, &mut back);
                let right = match dtype {
                    Dtype::F16 => f16::from_f64(x).to_f64(),
                    Dtype::BF16 => bf16::from_f64(x).to_f64(),
                    _ => x,
                };
                assert_eq!(back[0].to_bits(), right.to_bits(), "{x} {dtype}");
            }
        }
    }
}
