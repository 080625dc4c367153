//! The largest numbers of a task vector, without a copy of it.
//!
//! A sample brackets the magnitude of the rank that is asked for. One walk then counts what is above the bracket and
//! gathers what is within, among which the one of the rank is found. Where it is not, or too much is within, magnitudes
//! are counted: those of f32 are ordered as their bits are, so one count of the upper bits and one of the lower bits of
//! those with the right upper ones find any rank, in 512 KiB.
use crate::{
    kernels::{linear::difference, simd::vectorized},
    merge::{Sources, Strip, STRIP_LEN},
};
use std::sync::atomic::{AtomicUsize, Ordering};

/// Lower bits of a magnitude, which has 31.
const LOW: u32 = 15;
const HIGHS: usize = 1 << (31 - LOW);
const LOWS: usize = 1 << LOW;

/// Stretches of a sample, and the numbers of one.
const STRETCHES: usize = 512;
const STRETCH: usize = 128;
/// Ranks in a sample from the one that is looked for to the ends of its bracket: five standard deviations of the rank,
/// were all numbers drawn by themselves, and more for neighbours that are alike.
const ASIDE: usize = STRETCHES * STRETCH / 80;
/// Numbers of a tensor that are gathered whatever their magnitude, and of a larger one the share that is: a quarter
/// more than a bracket is expected to hold.
const ALL: usize = 1 << 17;
const SHARE: usize = 32;
/// Networks that a walk reads side by side: with the base as many inputs as are read where they lie.
const TOGETHER: usize = 3;
/// The bits of a magnitude.
const HIGHEST: u32 = u32::MAX >> 1;
/// Bits of a place in its tensor, which a number that is gathered carries with its magnitude.
const PLACE: u32 = 33;

/// How far the numbers of largest magnitude reach: those above a magnitude, and of those that have it the ones up to a
/// place. Of equal magnitudes the first come first, so exactly as many are kept as were asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Reach {
    magnitude: u32,
    /// The first number of that magnitude that is left out.
    before: usize,
}

impl Reach {
    /// Clears what is not among them; the first number is number `start` of its tensor.
    pub(crate) fn keep(self, start: usize, numbers: &mut [f32]) {
        self.each(
            start,
            numbers,
            #[inline(always)]
            |x, least| if magnitude(x) >= least { x } else { 0. },
        );
    }

    /// Clears what is among them.
    pub(crate) fn drop(self, start: usize, numbers: &mut [f32]) {
        self.each(
            start,
            numbers,
            #[inline(always)]
            |x, least| if magnitude(x) >= least { 0. } else { x },
        );
    }

    /// Changes each number, with the least magnitude at its place that is among them.
    fn each(self, start: usize, numbers: &mut [f32], change: impl Fn(f32, u32) -> f32 + Copy) {
        let (first, rest) = numbers.split_at_mut(self.before.saturating_sub(start).min(numbers.len()));
        for (part, least) in [(first, self.magnitude), (rest, self.magnitude.saturating_add(1))] {
            vectorized(
                #[inline(always)]
                || {
                    part.iter_mut().for_each(
                        #[inline(always)]
                        |x| *x = change(*x, least),
                    )
                },
            );
        }
    }
}

#[inline(always)]
fn magnitude(x: f32) -> u32 {
    x.to_bits() & (HIGHEST)
}

/// For each network and each of `counts`: how far the so many numbers of largest magnitude in its task vector reach.
pub(crate) fn reaches(tensor: &Sources<'_>, counts: &[usize]) -> Vec<Vec<Reach>> {
    let trivial: Vec<Option<Reach>> = counts.iter().map(|count| trivial(tensor, *count)).collect();
    let mut known = vec![trivial; tensor.networks()];
    if counts.iter().any(|count| self::trivial(tensor, *count).is_none()) && tensor.len() >> PLACE == 0 {
        for (i, known) in known.chunks_mut(TOGETHER).enumerate() {
            gather(tensor, i * TOGETHER, counts, known);
        }
    }
    known.into_iter().enumerate().map(|(network, known)| complete(tensor, network, counts, known)).collect()
}

/// Counts for what is not known yet.
fn complete(
    tensor: &Sources<'_>,
    network: usize,
    counts: &[usize],
    mut known: Vec<Option<Reach>>,
) -> Vec<Reach> {
    if known.contains(&None) {
        let highs = tensor.counts(network, HIGHS, |counts, strip| {
            deltas(strip, |_, x| counts[(magnitude(x) >> LOW) as usize] += 1);
        });
        let left = known.iter_mut().zip(counts).filter(|(known, _)| known.is_none());
        left.for_each(|(known, count)| *known = Some(counted(tensor, network, &highs, *count)));
    }
    known.into_iter().flatten().collect()
}

/// None or all.
fn trivial(tensor: &Sources<'_>, count: usize) -> Option<Reach> {
    match count {
        0 => Some(Reach { magnitude: u32::MAX, before: 0 }),
        n if n >= tensor.len() => Some(Reach { magnitude: 0, before: usize::MAX }),
        _ => None,
    }
}

/// Magnitudes between which the one of a rank should be.
#[derive(Clone, Copy)]
struct Bracket {
    least: u32,
    most: u32,
    /// The likeliest, which is only counted, span by span: a common one would fill the memory.
    likely: u32,
}

impl Bracket {
    /// From a sample's magnitudes, the largest first.
    fn new(sample: &[u32], share: f64) -> Self {
        let rank = (share * sample.len() as f64) as usize;
        let at = |rank: Option<usize>| rank.and_then(|rank| sample.get(rank)).copied();
        Self {
            least: at(Some(rank + ASIDE)).unwrap_or(0),
            most: at(rank.checked_sub(ASIDE)).unwrap_or(HIGHEST),
            likely: at(Some(rank)).unwrap_or(u32::MAX),
        }
    }
}

/// What a span has of a bracket.
#[derive(Default)]
struct Part {
    above: usize,
    likely: usize,
    /// Magnitude and place of all others, such that the larger comes first, and of equals the first.
    within: Vec<u64>,
}

/// Finds those that are within their brackets, in one walk over the networks from `first` on.
fn gather(tensor: &Sources<'_>, first: usize, counts: &[usize], known: &mut [Vec<Option<Reach>>]) {
    let networks = first..first + known.len();
    let brackets: Vec<Vec<Bracket>> = networks.clone().map(|i| brackets(tensor, i, counts)).collect();
    let wanted: Vec<usize> = (0..counts.len()).filter(|i| trivial(tensor, counts[*i]).is_none()).collect();
    let most = ALL.max(tensor.len() / SHARE) * wanted.len();
    let taken: Vec<AtomicUsize> = networks.clone().map(|_| AtomicUsize::new(0)).collect();
    let is_too_much = |taken: &AtomicUsize| taken.load(Ordering::Relaxed) > most;
    let parts = tensor.spans_of(
        &networks,
        || (0..networks.len() * wanted.len()).map(|_| Part::default()).collect::<Vec<_>>(),
        |parts, strip| {
            let all = strip.networks.iter().zip(&brackets).zip(&taken).zip(parts.chunks_mut(wanted.len()));
            for (((network, brackets), taken), parts) in all {
                // There is no use in going on, whoever came to see it first.
                if is_too_much(taken) {
                    continue;
                }
                let mut delta = [0f32; STRIP_LEN];
                let delta = delta_of(network, strip.base, &mut delta);
                for (part, i) in parts.iter_mut().zip(&wanted) {
                    let before = part.within.len();
                    part.add(brackets[*i], strip.start, delta);
                    taken.fetch_add(part.within.len() - before, Ordering::Relaxed);
                }
            }
        },
    );
    let small = (0..known.len()).filter(|i| !is_too_much(&taken[*i]));
    for (i, (number, count)) in small.flat_map(|i| wanted.iter().enumerate().map(move |wanted| (i, wanted))) {
        let place = i * wanted.len() + number;
        let parts: Vec<&Part> = parts.iter().filter_map(|parts| parts.get(place)).collect();
        known[i][*count] = found(tensor, first + i, brackets[i][*count], &parts, counts[*count]);
    }
}

/// The bracket of each count; all there is, where that is little.
fn brackets(tensor: &Sources<'_>, network: usize, counts: &[usize]) -> Vec<Bracket> {
    let len = tensor.len();
    if len <= ALL {
        return vec![Bracket { least: 0, most: HIGHEST, likely: u32::MAX }; counts.len()];
    }
    let mut sample = Vec::with_capacity(STRETCHES * STRETCH);
    tensor.sample(network, STRETCHES, STRETCH, |strip| deltas(strip, |_, x| sample.push(magnitude(x))));
    sample.sort_unstable_by(|a, b| b.cmp(a));
    counts.iter().map(|count| Bracket::new(&sample, *count as f64 / len as f64)).collect()
}

impl Part {
    fn add(&mut self, bracket: Bracket, start: usize, delta: &[f32]) {
        vectorized(
            #[inline(always)]
            || {
                let (blocks, rest) = delta.as_chunks::<8>();
                self.add_blocks(bracket, start, blocks);
                self.add_blocks(bracket, start + 8 * blocks.len(), rest.as_chunks::<1>().0);
            },
        );
    }

    #[inline(always)]
    fn add_blocks<const LANES: usize>(&mut self, bracket: Bracket, start: usize, blocks: &[[f32; LANES]]) {
        // Compared as signed numbers, which vectors can.
        let [least, most, likely] = [bracket.least, bracket.most, bracket.likely].map(u32::cast_signed);
        let (mut above, mut equal) = ([0i32; LANES], [0i32; LANES]);
        for (number, block) in blocks.iter().enumerate() {
            let mut within = [0i32; LANES];
            for (i, x) in block.iter().enumerate() {
                let bits = magnitude(*x).cast_signed();
                above[i] += i32::from(bits > most);
                equal[i] += i32::from(bits == likely);
                within[i] = i32::from((bits >= least) & (bits <= most) & (bits != likely));
            }
            // Seldom so.
            if within.iter().fold(0, |any, within| any | within) != 0 {
                for (i, x) in block.iter().enumerate().filter(|(i, _)| within[*i] != 0) {
                    self.within.push(key(magnitude(*x), start + number * LANES + i));
                }
            }
        }
        self.above += above.iter().sum::<i32>() as usize;
        self.likely += equal.iter().sum::<i32>() as usize;
    }
}

#[inline(always)]
fn key(magnitude: u32, place: usize) -> u64 {
    u64::from(!magnitude & (HIGHEST)) << PLACE | place as u64
}

/// The reach of the `count` largest, if its end is within the bracket.
fn found(
    tensor: &Sources<'_>,
    network: usize,
    bracket: Bracket,
    parts: &[&Part],
    count: usize,
) -> Option<Reach> {
    let above: usize = parts.iter().map(|part| part.above).sum();
    let likely: usize = parts.iter().map(|part| part.likely).sum();
    let mut within: Vec<u64> = parts.iter().flat_map(|part| &part.within).copied().collect();
    // From 0.
    let rank = count.checked_sub(above + 1)?;
    let first = key(bracket.likely, 0);
    let larger = within.iter().filter(|key| **key < first).count();
    if (larger..larger + likely).contains(&rank) {
        let equal = parts.iter().map(|part| part.likely as u64);
        return Some(place(tensor, network, bracket.likely, equal, (rank - larger + 1) as u64));
    }
    let rank = if rank < larger { rank } else { rank - likely };
    let (_, last, _) = (rank < within.len()).then(|| within.select_nth_unstable(rank))?;
    let before = (*last & ((1 << PLACE) - 1)) as usize + 1;
    Some(Reach { magnitude: !(*last >> PLACE) as u32 & (HIGHEST), before })
}

/// The reach of the `count` largest, by counting.
fn counted(tensor: &Sources<'_>, network: usize, highs: &[u64], count: usize) -> Reach {
    let (high, left) = rank(highs, count as u64);
    let lows = tensor.counts(network, LOWS, |counts, strip| {
        deltas(strip, |_, x| {
            let bits = magnitude(x);
            // Seldom so: a branch costs less than touching a cell for each number.
            if bits >> LOW == high as u32 {
                counts[bits as usize % LOWS] += 1;
            }
        });
    });
    let (low, left) = rank(&lows, left);
    let bits = (high << LOW | low) as u32;
    match lows.get(low) {
        Some(equal) if *equal > left => {
            let equal = tensor.spans_of(
                &(network..network + 1),
                || 0,
                |count, strip| {
                    deltas(strip, |_, x| *count += u64::from(magnitude(x) == bits));
                },
            );
            place(tensor, network, bits, equal.into_iter(), left)
        }
        _ => Reach { magnitude: bits, before: usize::MAX },
    }
}

/// The cell in which the one of this rank (from 1, the highest cell first) is, and its rank in the cell.
fn rank(cells: &[u64], rank: u64) -> (usize, u64) {
    let mut left = rank;
    for (cell, count) in cells.iter().enumerate().rev() {
        if *count >= left {
            return (cell, left);
        }
        left -= count;
    }
    (0, left)
}

/// The reach that ends with the `left`-th number of this magnitude, of which the spans have so many each.
fn place(
    tensor: &Sources<'_>,
    network: usize,
    magnitude: u32,
    spans: impl Iterator<Item = u64>,
    mut left: u64,
) -> Reach {
    let mut before = usize::MAX;
    for (span, equal) in spans.enumerate() {
        if equal < left {
            left -= equal;
            continue;
        }
        tensor.look(span, network, |strip| {
            deltas(strip, |at, x| {
                if self::magnitude(x) == magnitude {
                    left = left.wrapping_sub(1);
                    if left == 0 {
                        before = at + 1;
                    }
                }
            });
        });
        break;
    }
    Reach { magnitude, before }
}

/// Calls `see` with each number's place and difference from the base.
#[inline(always)]
fn deltas(strip: &Strip<'_>, mut see: impl FnMut(usize, f32)) {
    let mut delta = [0f32; STRIP_LEN];
    let network = strip.networks.first().copied().unwrap_or_default();
    for (i, x) in delta_of(network, strip.base, &mut delta).iter().enumerate() {
        see(strip.start + i, *x);
    }
}

/// The differences of a strip's numbers from the base.
#[inline(always)]
fn delta_of<'d>(network: &[f32], base: &[f32], delta: &'d mut [f32; STRIP_LEN]) -> &'d [f32] {
    let delta = &mut delta[..network.len().min(STRIP_LEN)];
    vectorized(
        #[inline(always)]
        || difference(network, base, delta),
    );
    delta
}

/// As many as this share of `len`, rounded down.
pub(crate) fn share(density: f64, len: usize) -> usize {
    ((density * len as f64) as usize).min(len)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{merge::methods::sources::Source, Seed};
    use proptest::prelude::*;
    use pulp::bytemuck::cast_slice;
    use rand::Rng;
    use rand_distr::{Cauchy, StandardNormal};
    use safetensors::Dtype;

    /// Calls `work` with the numbers as the differences of networks from a base.
    fn with<R>(numbers: &[&[f32]], shared: bool, work: impl FnOnce(&Sources<'_>) -> R) -> R {
        let len = numbers[0].len();
        let zeros = vec![0f32; len];
        fn source<'a>(numbers: &&'a [f32]) -> Source<'a> {
            Source { bytes: cast_slice(numbers), dtype: Dtype::F32, file: None }
        }
        work(&Sources {
            name: "w",
            labels: &[],
            len,
            networks: numbers.len(),
            has_base: true,
            inputs: numbers.iter().chain([&zeros.as_slice()]).map(source).collect(),
            to: Dtype::F32,
            shared,
        })
    }

    /// The numbers that a sort keeps.
    fn sorted(numbers: &[f32], count: usize) -> Vec<f32> {
        let mut order: Vec<usize> = (0..numbers.len()).collect();
        order.sort_by(|a, b| numbers[*b].abs().total_cmp(&numbers[*a].abs()).then(a.cmp(b)));
        let mut kept = vec![0.; numbers.len()];
        order[..count].iter().for_each(|i| kept[*i] = numbers[*i]);
        kept
    }

    fn bits(numbers: &[f32]) -> Vec<u32> {
        numbers.iter().map(|x| x.to_bits()).collect()
    }

    /// In parts of odd lengths, as strips may come.
    fn kept(reach: Reach, numbers: &[f32]) -> [Vec<f32>; 2] {
        let (mut keep, mut drop) = (numbers.to_vec(), numbers.to_vec());
        for (i, (keep, drop)) in keep.chunks_mut(777).zip(drop.chunks_mut(777)).enumerate() {
            reach.keep(i * 777, keep);
            reach.drop(i * 777, drop);
        }
        [keep, drop]
    }

    fn drawn(kind: usize, seed: u64, len: usize) -> Vec<f32> {
        let mut rng = Seed::from(seed).rng();
        let cauchy = Cauchy::new(0f32, 1e-3).unwrap();
        let number = |i: usize| match kind {
            0 => rng.sample(StandardNormal),
            1 => rng.sample(cauchy),
            // As of networks in bf16 that hardly moved: zeros, and few magnitudes.
            2 => f32::from(rng.random_range(-3i8..=3)).max(-1.) * 2f32.powi(rng.random_range(-9..-6)),
            3 => -2.5,
            4 => -0.,
            // All zero but some, which no sample may find.
            5 if i % 9973 == 5 => i as f32,
            5 => 0.,
            // Rows of another scale each, in order.
            6 => rng.sample::<f32, _>(StandardNormal) * (i / 1000 + 1) as f32,
            // Sorted, and close together.
            7 => 1. + i as f32 * f32::EPSILON,
            _ => f32::from_bits(rng.random::<u32>()),
        };
        (0..len).map(number).collect()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(40))]

        #[test]
        fn the_largest_are_those_that_a_sort_finds(
            kinds in prop::collection::vec(0..9usize, 1..5),
            seed in 0..u64::MAX,
            len in prop_oneof![1..2000usize, ALL - 2..ALL + 2, 2 * ALL..3 * ALL],
            shares in prop::array::uniform2(0f64..1.),
            shared in any::<bool>(),
        ) {
            let networks: Vec<Vec<f32>> = kinds.iter().map(|kind| drawn(*kind, seed, len)).collect();
            let views: Vec<&[f32]> = networks.iter().map(Vec::as_slice).collect();
            let counts = shares.map(|share| (share * (len + 1) as f64) as usize);
            let reaches = with(&views, shared, |tensor| reaches(tensor, &counts));
            prop_assert_eq!(reaches.len(), kinds.len());
            for ((reaches, numbers), kind) in reaches.into_iter().zip(&networks).zip(&kinds) {
                prop_assert_eq!(reaches.len(), 2);
                for (reach, count) in reaches.into_iter().zip(counts) {
                    let right = sorted(numbers, count);
                    let left: Vec<f32> = numbers.iter().zip(&right).map(|(x, kept)| {
                        // What is kept is cleared, also where that is a zero.
                        if kept.to_bits() == x.to_bits() { 0. } else { *x }
                    }).collect();
                    let [keep, drop] = kept(reach, numbers);
                    prop_assert!(bits(&keep) == bits(&right), "kind {} len {} count {}", kind, len, count);
                    let same = |(a, b): (&f32, &f32)| a.to_bits() == b.to_bits() || *a == 0. && *b == 0.;
                    prop_assert!(drop.iter().zip(&left).all(same), "kind {} len {} count {}", kind, len, count);
                }
            }
        }
    }

    /// One walk is enough for what is drawn from a density, for common magnitudes and for the ends; counting finds the
    /// same.
    #[test]
    fn brackets_hold_what_they_should() {
        let len = 20 * ALL;
        for (kind, counts) in [
            (0, vec![1, len / 100, len / 5, len / 2, len - 1]),
            (1, vec![len / 10]),
            (2, vec![len / 20, len / 2]),
            (3, vec![7]),
        ] {
            let [first, second] = [3, 4].map(|seed| drawn(kind, seed, len));
            with(&[&first, &second], true, |tensor| {
                let mut known = vec![vec![None; counts.len()]; 2];
                gather(tensor, 0, &counts, &mut known);
                for (network, known) in known.into_iter().enumerate() {
                    let right = complete(tensor, network, &counts, vec![None; counts.len()]);
                    for ((found, right), count) in known.into_iter().zip(right).zip(&counts) {
                        let found = found.expect("in its bracket");
                        assert_eq!(found.magnitude, right.magnitude, "{kind} {count}");
                        assert!(found.before == right.before || right.before == usize::MAX, "{kind} {count}");
                    }
                }
            });
        }
    }
}
