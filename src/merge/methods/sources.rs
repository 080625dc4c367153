//! The numbers of one tensor in all inputs, and walks over them.
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

/// Numbers of all inputs together that are read in one go.
const AT_ONCE: usize = 1 << 19;
/// Bounds to the numbers of one input that are.
const LEAST: usize = 1 << 12;
const MOST: usize = 1 << 17;
/// Spans from which on a tensor is worth all threads: smaller ones are merged side by side, one a thread.
const MANY: usize = 8;
/// Inputs of which a walk may hold the pages of one span all at once: whatever they are, a few MiB a thread.
const FEW: usize = 4;

/// Whether the numbers of this type are merged rather than copied.
pub(crate) fn is_merged(dtype: Dtype) -> bool {
    matches!(dtype, Dtype::F16 | Dtype::BF16 | Dtype::F32 | Dtype::F64)
}

/// Magnitudes from here on are infinite in this type.
pub(crate) fn limit(dtype: Dtype) -> f32 {
    match dtype {
        Dtype::F16 => 65520.,
        Dtype::BF16 => f32::from_bits(0x7f7f_8000),
        _ => f32::INFINITY,
    }
}

/// One input's tensor, as bytes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Source<'a> {
    pub(crate) bytes: &'a [u8],
    pub(crate) dtype: Dtype,
    /// The file it is mapped from, and where it begins there.
    pub(crate) file: Option<(&'a Mapped, usize)>,
}

impl<'a> Source<'a> {
    fn width(&self) -> usize {
        self.dtype.bitsize() / 8
    }

    /// The numbers where they lie, if they are f32 there.
    fn in_place(&self, range: &Range<usize>) -> Option<&'a [f32]> {
        let as_here = cfg!(target_endian = "little") || self.file.is_none();
        (self.dtype == Dtype::F32 && as_here).then(|| try_cast_slice(&self.bytes[self.place(range)]).ok())?
    }

    /// The numbers as f32, in `scratch`.
    fn copied<'s>(&self, range: &Range<usize>, scratch: &'s mut [f32]) -> &'s [f32] {
        let bytes = &self.bytes[self.place(range)];
        match self.dtype {
            Dtype::F16 => match try_cast_slice::<_, u16>(bytes) {
                // Faster than one by one where the processor has an instruction for it.
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

    /// Where in its bytes these numbers are.
    fn place(&self, numbers: &Range<usize>) -> Range<usize> {
        numbers.start * self.width()..numbers.end * self.width()
    }

    /// These bytes are not needed for now.
    pub(crate) fn done(&self, bytes: &Range<usize>) {
        if let Some((map, start)) = self.file {
            map.release(&(start + bytes.start..start + bytes.end));
        }
    }
}

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

/// Which inputs a walk visits.
#[derive(Clone, Copy)]
enum Visit {
    All,
    /// So many networks from this one on, and the base.
    Some(usize, usize),
}

/// Why a tensor is not merged.
enum Stop {
    NotFinite { input: usize, at: usize },
    Failed(Error),
}

impl From<Error> for Stop {
    fn from(e: Error) -> Self {
        Self::Failed(e)
    }
}

/// The numbers of one tensor in all inputs. A [`Method`] takes its statistics from here.
#[derive(Debug)]
pub struct Sources<'a> {
    pub(crate) name: &'a str,
    pub(crate) labels: &'a [String],
    pub(crate) len: usize,
    pub(crate) networks: usize,
    pub(crate) has_base: bool,
    /// The networks, then the base, if there is one, then the Fisher diagonals, if there are any.
    pub(crate) inputs: Vec<Source<'a>>,
    /// What the result is to be cast to.
    pub(crate) to: Dtype,
    /// Whether all threads are at work on this tensor.
    pub(crate) shared: bool,
}

impl<'a> Sources<'a> {
    /// The tensor's name.
    #[must_use]
    pub fn name(&self) -> &str {
        self.name
    }

    /// How many numbers it has.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether it has none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// How many networks are merged.
    #[must_use]
    pub fn networks(&self) -> usize {
        self.networks
    }

    /// `count` sums over all numbers of all inputs: `step` adds what a strip contributes. The sums do not depend on
    /// the number of threads: partial sums have fixed places and are added in order.
    pub fn sums(&self, count: usize, step: impl Fn(&mut [f64], &Strip<'_>) + Sync) -> Vec<f64> {
        let parts =
            self.by_span(Visit::All, || vec![0.; count], |sums: &mut Vec<f64>, strip| step(sums, strip));
        parts.into_iter().fold(vec![0.; count], |mut sums, part| {
            sums.iter_mut().zip(part).for_each(|(sum, part)| *sum += part);
            sums
        })
    }

    /// What `step` gathers from the strips of these networks and the base in each span.
    pub(crate) fn spans_of<T: Send>(
        &self,
        networks: &Range<usize>,
        start: impl Fn() -> T + Sync,
        step: impl Fn(&mut T, &Strip<'_>) + Sync,
    ) -> Vec<T> {
        self.by_span(Visit::Some(networks.start, networks.len()), start, step)
    }

    fn by_span<T: Send>(
        &self,
        visit: Visit,
        start: impl Fn() -> T + Sync,
        step: impl Fn(&mut T, &Strip<'_>) + Sync,
    ) -> Vec<T> {
        let gather = |scratch: &mut Vec<f32>, span: usize| {
            let mut all = start();
            self.walk(self.range(span), visit, scratch, |strip| step(&mut all, strip));
            all
        };
        if self.shared {
            return (0..self.spans()).into_par_iter().map_init(Vec::new, gather).collect();
        }
        let mut scratch = vec![];
        (0..self.spans()).map(|span| gather(&mut scratch, span)).collect()
    }

    /// `count` counts over all numbers of one network and the base: `step` adds what a strip, whose only network it
    /// is, contributes.
    pub fn counts(
        &self,
        network: usize,
        count: usize,
        step: impl Fn(&mut [u64], &Strip<'_>) + Sync,
    ) -> Vec<u64> {
        let none = || (vec![0; count], vec![]);
        let add = |(mut counts, mut scratch): (Vec<u64>, Vec<f32>), span: usize| {
            self.walk(self.range(span), Visit::Some(network, 1), &mut scratch, |strip| {
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
        // One set of counts a thread.
        let each = self.spans().div_ceil(rayon::current_num_threads()).max(1);
        let spans = (0..self.spans()).into_par_iter().with_min_len(each);
        spans.fold(none, add).map(|(counts, _)| counts).reduce(|| vec![0; count], both)
    }

    /// Goes through the strips of one network and the base in one span, in order.
    pub(crate) fn look(&self, span: usize, network: usize, see: impl FnMut(&Strip<'_>)) {
        self.walk(self.range(span), Visit::Some(network, 1), &mut vec![], see);
    }

    /// Looks at `count` stretches of `len` numbers of one network and the base, evenly spaced.
    pub(crate) fn sample(&self, network: usize, count: usize, len: usize, mut see: impl FnMut(&Strip<'_>)) {
        let (mut scratch, apart) = (vec![], self.len / count.max(1));
        for start in (0..count).map(|i| i * apart + (apart.saturating_sub(len)) / 2) {
            let range = start..(start + len).min(self.len);
            self.walk(range, Visit::Some(network, 1), &mut scratch, &mut see);
        }
    }

    /// Numbers that are read in one go, of each input: depends on the number of inputs alone.
    pub(crate) fn span(&self) -> usize {
        let fair = (AT_ONCE / self.inputs.len().max(1)).clamp(LEAST, MOST);
        // The power of two below.
        1 << fair.ilog2()
    }

    /// How many spans there are.
    pub(crate) fn spans(&self) -> usize {
        self.len.div_ceil(self.span())
    }

    /// Whether it is worth all threads.
    pub(crate) fn is_large(&self) -> bool {
        self.spans() >= MANY
    }

    fn range(&self, span: usize) -> Range<usize> {
        let start = span * self.span();
        start..(start + self.span()).min(self.len)
    }

    /// Goes through the strips of some numbers in order. The room in `scratch` is used again.
    fn walk(
        &self,
        range: Range<usize>,
        visit: Visit,
        scratch: &mut Vec<f32>,
        mut see: impl FnMut(&Strip<'_>),
    ) {
        let done = self.try_walk(range, visit, scratch, |strip| {
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
        visit: Visit,
        scratch: &mut Vec<f32>,
        mut see: impl FnMut(&Strip<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        let base = self.has_base.then_some(self.networks);
        let (visited, networks): (Vec<&Source<'a>>, _) = match visit {
            Visit::All => (self.inputs.iter().collect(), self.networks),
            Visit::Some(first, count) => {
                let networks = self.inputs.iter().take(self.networks).skip(first).take(count);
                (networks.chain(base.map(|b| &self.inputs[b])).collect(), count)
            }
        };
        // Numbers of files are read where they lie if the inputs are few; else a copy lets a file's pages go before the
        // next input's are touched.
        let few = visited.len() <= FEW;
        let place = |source: &Source<'a>| (few || source.file.is_none()).then(|| source.in_place(&range))?;
        let mut numbers: Vec<Option<&[f32]>> = visited.iter().map(|source| place(source)).collect();
        let held: Vec<bool> = numbers.iter().map(Option::is_some).collect();
        let copies = held.iter().filter(|held| !**held).count();
        scratch.resize(copies * range.len(), 0.);
        let missing = visited.iter().zip(&mut numbers).filter(|(_, numbers)| numbers.is_none());
        for ((source, numbers), room) in missing.zip(scratch.chunks_exact_mut(range.len())) {
            *numbers = Some(source.copied(&range, room));
            source.done(&source.place(&range));
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
            source.done(&source.place(&range));
        }
        seen
    }

    /// Merges the tensor, and hands each span's number and its merged numbers to `put`, in any order. A tensor that is not finite
    /// but the same in all inputs (a mask, say) comes out as it is.
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
                    self.walk(self.range(span), Visit::Some(0, 1), scratch, |strip| {
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
                let what = format!("tensor {} of {label}", self.name);
                Err(Error::invalid(what, "finite", format!("not, at number {at}")))
            }
        }
    }

    /// Does `work` on each span, with room for its inputs and its result.
    fn each_span(
        &self,
        work: impl Fn(usize, &mut Vec<f32>, &mut [f32]) -> Result<(), Stop> + Sync,
    ) -> Result<(), Stop> {
        let rooms = || (vec![], vec![]);
        let each = |(scratch, out): &mut (Vec<f32>, Vec<f32>), span| {
            out.resize(self.range(span).len(), 0.);
            work(span, scratch, out)
        };
        if self.shared {
            return (0..self.spans()).into_par_iter().try_for_each_init(rooms, each);
        }
        let mut rooms = rooms();
        (0..self.spans()).try_for_each(|span| each(&mut rooms, span))
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
        self.try_walk(range, Visit::All, scratch, |strip| {
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
            let must = format!("of numbers that {} holds", self.to);
            Err(Error::invalid(format!("tensor {}, merged,", self.name), must, bad).into())
        })
    }

    /// Whether all networks and the base have the same bytes.
    fn same_everywhere(&self) -> bool {
        let width = self.to_width();
        let Some((first, others)) = self.inputs[..self.networks + usize::from(self.has_base)].split_first()
        else {
            return true;
        };
        (0..self.spans()).all(|span| {
            let range = self.range(span);
            let bytes = range.start * width..range.end * width;
            let same = others.iter().all(|other| other.bytes[bytes.clone()] == first.bytes[bytes.clone()]);
            std::iter::once(first).chain(others).for_each(|source| source.done(&bytes));
            same
        })
    }

    /// Bytes of a number in the networks, which are alike.
    fn to_width(&self) -> usize {
        self.inputs.first().map_or(1, Source::width)
    }
}

/// Numbers as bytes of a type, at the end of `bytes`.
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

fn put<const WIDTH: usize>(numbers: &[f32], bytes: &mut [u8], bytes_of: impl Fn(f32) -> [u8; WIDTH]) {
    let (chunks, _) = bytes.as_chunks_mut::<WIDTH>();
    for (chunk, x) in chunks.iter_mut().zip(numbers) {
        *chunk = bytes_of(*x);
    }
}
