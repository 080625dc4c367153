//! The elements of one tensor in all inputs of a merge, and passes over them.
use crate::{
    files::map::Mapped,
    kernels::{linear::all_below, simd::vectorized},
    merge::{ElementwiseRule, Method, Strip, STRIP_LEN},
    Error, Result,
};
use half::{
    bf16, f16,
    slice::{HalfBitsSliceExt, HalfFloatSliceExt},
};
use pulp::bytemuck::try_cast_slice;
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

/// The magnitude from which on f32 numbers are infinite in this dtype.
pub(crate) fn limit(dtype: Dtype) -> f32 {
    match dtype {
        Dtype::F16 => 65520.,
        Dtype::BF16 => f32::from_bits(0x7f7f_8000),
        _ => f32::INFINITY,
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

impl<'a> Source<'a> {
    /// The number of bytes of an element.
    fn width(&self) -> usize {
        self.dtype.bitsize() / 8
    }

    /// The elements without a copy, if they are stored as f32.
    fn borrowed(&self, range: &Range<usize>) -> Option<&'a [f32]> {
        let native = cfg!(target_endian = "little") || self.file.is_none();
        (self.dtype == Dtype::F32 && native)
            .then(|| try_cast_slice(&self.bytes[self.byte_range(range)]).ok())?
    }

    /// The elements as f32, copied into `scratch`.
    fn copied<'s>(&self, range: &Range<usize>, scratch: &'s mut [f32]) -> &'s [f32] {
        let bytes = &self.bytes[self.byte_range(range)];
        match self.dtype {
            Dtype::F16 => match try_cast_slice::<_, u16>(bytes) {
                // Faster than one by one if the processor has an instruction for it.
                Ok(bits) if cfg!(target_endian = "little") => {
                    bits.reinterpret_cast::<f16>().convert_to_f32_slice(scratch);
                }
                _ => decode(bytes, scratch, |b| f16::from_le_bytes(b).to_f32()),
            },
            Dtype::BF16 => decode(bytes, scratch, |b| f32::from_bits(u32::from(u16::from_le_bytes(b)) << 16)),
            Dtype::F64 => decode(bytes, scratch, |b| f64::from_le_bytes(b) as f32),
            _ => decode(bytes, scratch, f32::from_le_bytes),
        }
        scratch
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

/// Converts bytes to f32 numbers, element by element.
#[inline(always)]
fn decode<const WIDTH: usize>(bytes: &[u8], out: &mut [f32], number: impl Fn([u8; WIDTH]) -> f32) {
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
        let gather = |scratch: &mut Vec<f32>, span: usize| {
            let mut all = start();
            self.walk(self.range(span), read, scratch, |strip| step(&mut all, strip));
            all
        };
        if self.shared {
            return (0..self.spans()).into_par_iter().map_init(Vec::new, gather).collect();
        }
        let mut scratch = vec![];
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
        let none = || (vec![0; count], vec![]);
        let add = |(mut counts, mut scratch): (Vec<u64>, Vec<f32>), span: usize| {
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
        self.walk(self.range(span), Inputs::Networks(network, 1), &mut vec![], see);
    }

    /// Passes over `count` evenly spaced pieces of `len` elements of one network and the base.
    pub(crate) fn sample(&self, network: usize, count: usize, len: usize, mut see: impl FnMut(&Strip<'_>)) {
        let (mut scratch, distance) = (vec![], self.len / count.max(1));
        for start in (0..count).map(|i| i * distance + (distance.saturating_sub(len)) / 2) {
            let range = start..(start + len).min(self.len);
            self.walk(range, Inputs::Networks(network, 1), &mut scratch, &mut see);
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
        scratch: &mut Vec<f32>,
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
        scratch: &mut Vec<f32>,
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
        // With few inputs, elements of files are read without a copy. With more, each input is copied, so
        // that its memory pages are released before those of the next input are loaded.
        let few = visited.len() <= FEW;
        let borrowed =
            |source: &Source<'a>| (few || source.file.is_none()).then(|| source.borrowed(&range))?;
        let mut numbers: Vec<Option<&[f32]>> = visited.iter().map(|source| borrowed(source)).collect();
        let held: Vec<bool> = numbers.iter().map(Option::is_some).collect();
        let copies = held.iter().filter(|held| !**held).count();
        scratch.resize(copies * range.len(), 0.);
        let missing = visited.iter().zip(&mut numbers).filter(|(_, numbers)| numbers.is_none());
        for ((source, numbers), room) in missing.zip(scratch.chunks_exact_mut(range.len())) {
            *numbers = Some(source.copied(&range, room));
            source.release(&source.byte_range(&range));
        }
        let numbers: Vec<&[f32]> = numbers.into_iter().flatten().collect();
        let mut strips = (0..range.len()).step_by(STRIP_LEN).map(|at| at..(at + STRIP_LEN).min(range.len()));
        let mut views: Vec<&[f32]> = Vec::with_capacity(numbers.len());
        let seen = strips.try_for_each(|strip| {
            views.clear();
            views.extend(numbers.iter().map(|numbers| &numbers[strip.clone()]));
            let (networks, others) = views.split_at(networks);
            let (base, fishers) = others.split_at(usize::from(self.has_base));
            let base = base.first().copied().unwrap_or_default();
            see(&Strip { start: range.start + strip.start, networks, base, fishers })
        });
        for (source, _) in visited.iter().zip(held).filter(|(_, held)| *held) {
            source.release(&source.byte_range(&range));
        }
        seen
    }

    /// Merges the tensor, and passes the number of each span and its merged elements to `put`, in any order.
    /// A tensor that is not finite but the same in all inputs, such as a mask, is copied.
    pub(crate) fn merge(
        &self,
        method: &dyn Method,
        put: impl Fn(usize, &[f32]) -> Result<()> + Sync,
    ) -> Result<()> {
        if self.is_empty() {
            return Ok(());
        }
        let rule = method.rule(self)?;
        let merged = self.each_span(|span, scratch, out| {
            self.merge_span(span, &*rule, scratch, out)?;
            put(span, out).map_err(Stop::from)
        });
        match merged {
            Ok(()) => Ok(()),
            Err(Stop::Failed(e)) => Err(e),
            Err(Stop::NotFinite { .. }) if self.same_everywhere() => {
                let copied = self.each_span(|span, scratch, out| {
                    self.walk(self.range(span), Inputs::Networks(0, 1), scratch, |strip| {
                        let at = strip.start - self.range(span).start;
                        out[at..at + strip.networks[0].len()].copy_from_slice(strip.networks[0]);
                    });
                    put(span, out).map_err(Stop::from)
                });
                match copied {
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

    /// Calls `work` for each span, with memory for its inputs and its result.
    fn each_span(
        &self,
        work: impl Fn(usize, &mut Vec<f32>, &mut [f32]) -> Result<(), Stop> + Sync,
    ) -> Result<(), Stop> {
        let buffers = || (vec![], vec![]);
        let each = |(scratch, out): &mut (Vec<f32>, Vec<f32>), span| {
            out.resize(self.range(span).len(), 0.);
            work(span, scratch, out)
        };
        if self.shared {
            return (0..self.spans()).into_par_iter().try_for_each_init(buffers, each);
        }
        let mut buffers = buffers();
        (0..self.spans()).try_for_each(|span| each(&mut buffers, span))
    }

    fn merge_span(
        &self,
        span: usize,
        rule: &dyn ElementwiseRule,
        scratch: &mut Vec<f32>,
        out: &mut [f32],
    ) -> Result<(), Stop> {
        let (range, limit) = (self.range(span), limit(self.to));
        let start = range.start;
        self.try_walk(range, Inputs::All, scratch, |strip| {
            let base = self.has_base.then_some(strip.base);
            let inputs = strip.networks.iter().copied().chain(base).chain(strip.fishers.iter().copied());
            for (input, numbers) in inputs.enumerate() {
                if !all_below(numbers, f32::INFINITY) {
                    let at = numbers.iter().position(|x| !x.is_finite()).unwrap_or_default();
                    return Err(Stop::NotFinite { input, at: strip.start + at });
                }
            }
            let at = strip.start - start;
            let len = strip.networks.first().map_or(0, |numbers| numbers.len());
            let out = &mut out[at..at + len];
            rule.apply(strip, out)?;
            if all_below(out, limit) {
                return Ok(());
            }
            let bad = out.iter().find(|x| x.is_nan() || x.abs() >= limit).copied().unwrap_or_default();
            let must = format!("within the range of {}", self.to);
            Err(Error::invalid(format!("the merged tensor {}", self.name), must, bad).into())
        })
    }

    /// Whether the tensor has the same bytes in all networks and the base.
    fn same_everywhere(&self) -> bool {
        let width = self.element_width();
        let Some((first, others)) = self.inputs[..self.networks + usize::from(self.has_base)].split_first()
        else {
            return true;
        };
        (0..self.spans()).all(|span| {
            let range = self.range(span);
            let bytes = range.start * width..range.end * width;
            let same = others.iter().all(|other| other.bytes[bytes.clone()] == first.bytes[bytes.clone()]);
            std::iter::once(first).chain(others).for_each(|source| source.release(&bytes));
            same
        })
    }

    /// The number of bytes of an element of the networks.
    fn element_width(&self) -> usize {
        self.inputs.first().map_or(1, Source::width)
    }
}

/// Appends numbers to `bytes`, as elements of this dtype.
pub(crate) fn encode(numbers: &[f32], to: Dtype, bytes: &mut Vec<u8>) {
    let start = bytes.len();
    bytes.resize(start + numbers.len() * to.bitsize() / 8, 0);
    let bytes = &mut bytes[start..];
    match to {
        Dtype::F16 => put(numbers, bytes, |x| f16::from_f32(x).to_le_bytes()),
        Dtype::BF16 => put(numbers, bytes, |x| bf16::from_f32(x).to_le_bytes()),
        Dtype::F64 => put(numbers, bytes, |x| f64::from(x).to_le_bytes()),
        _ => put(numbers, bytes, f32::to_le_bytes),
    }
}

/// Writes the bytes of each number to `bytes`.
fn put<const WIDTH: usize>(numbers: &[f32], bytes: &mut [u8], bytes_of: impl Fn(f32) -> [u8; WIDTH]) {
    let (chunks, _) = bytes.as_chunks_mut::<WIDTH>();
    for (chunk, x) in chunks.iter_mut().zip(numbers) {
        *chunk = bytes_of(*x);
    }
}
