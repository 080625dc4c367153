//! The largest elements of a task vector, found without a copy of it.
//!
//! A sample gives a bracket around the magnitude of the wanted rank. One pass then counts the elements above
//! the bracket and collects those within, among which the element of that rank is found. If it is not among
//! them, or too many are within, magnitudes are counted: magnitudes are ordered as their bits, so a count by
//! the upper 16 bits, and then by the next 16 of the elements with the right upper bits, and so on, finds any
//! rank in four passes, with 512 KiB of memory.
use crate::{
    kernels::{linear::difference, simd::vectorized},
    merge::{Sources, Strip, STRIP_LEN},
};
use std::{
    cmp::Reverse,
    sync::atomic::{AtomicUsize, Ordering},
};

/// The number of bits of a magnitude by which elements are counted at a time.
const DIGIT: u32 = 16;
/// The positions of these bits in a magnitude, of which the last 63 bits are used.
const DIGITS: [u32; 4] = [48, 32, 16, 0];

/// The number of pieces of a sample, and the number of elements of a piece.
const PIECES: usize = 512;
const PIECE: usize = 128;
/// The distance in a sample, in ranks, of the wanted rank from the ends of its bracket: five standard
/// deviations of the rank if the elements were drawn independently.
const MARGIN: usize = PIECES * PIECE / 80;
/// A tensor of at most this many elements has a bracket that contains all of them.
const ALL: usize = 1 << 17;
/// Of a larger tensor, at most one in this many elements is collected: a quarter more than a bracket is
/// expected to contain.
const SHARE: usize = 32;
/// The number of networks that one pass reads: with the base as many inputs as are read without a copy.
const TOGETHER: usize = 3;
/// The largest magnitude, with all 63 bits set.
const HIGHEST: u64 = u64::MAX >> 1;

/// The threshold between the elements of largest magnitude and the others: the largest are those above a
/// magnitude, and those of this magnitude before a position. So their number is exact, and of equal elements
/// the first are included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Threshold {
    magnitude: u64,
    /// Elements of that magnitude are among the largest if their position is below this.
    before: usize,
}

impl Threshold {
    /// Clears all elements but the largest. `start` is the position of the first element in its tensor.
    pub(crate) fn keep_largest(self, start: usize, numbers: &mut [f64]) {
        self.map(
            start,
            numbers,
            #[inline(always)]
            |x, least| if magnitude(x) >= least { x } else { 0. },
        );
    }

    /// Clears the largest elements.
    pub(crate) fn drop_largest(self, start: usize, numbers: &mut [f64]) {
        self.map(
            start,
            numbers,
            #[inline(always)]
            |x, least| if magnitude(x) >= least { 0. } else { x },
        );
    }

    /// Replaces each element by `change` of it and the lowest magnitude at its position that is among the
    /// largest.
    fn map(self, start: usize, numbers: &mut [f64], change: impl Fn(f64, u64) -> f64 + Copy) {
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
fn magnitude(x: f64) -> u64 {
    x.to_bits() & HIGHEST
}

/// For each network and each of `counts`, the threshold of that many largest elements in the network's task
/// vector.
pub(crate) fn thresholds(tensor: &Sources<'_>, counts: &[usize]) -> Vec<Vec<Threshold>> {
    let trivial: Vec<Option<Threshold>> = counts.iter().map(|count| trivial(tensor, *count)).collect();
    let mut known = vec![trivial; tensor.networks()];
    if counts.iter().any(|count| self::trivial(tensor, *count).is_none()) {
        for (i, known) in known.chunks_mut(TOGETHER).enumerate() {
            find_in_brackets(tensor, i * TOGETHER, counts, known);
        }
    }
    known.into_iter().enumerate().map(|(network, known)| complete(tensor, network, counts, known)).collect()
}

/// The thresholds of a network, those that are not known yet by counting.
fn complete(
    tensor: &Sources<'_>,
    network: usize,
    counts: &[usize],
    mut known: Vec<Option<Threshold>>,
) -> Vec<Threshold> {
    let left = known.iter_mut().zip(counts).filter(|(known, _)| known.is_none());
    left.for_each(|(known, count)| *known = Some(find_by_counting(tensor, network, *count)));
    known.into_iter().flatten().collect()
}

/// The threshold for no element or for all elements.
fn trivial(tensor: &Sources<'_>, count: usize) -> Option<Threshold> {
    match count {
        0 => Some(Threshold { magnitude: u64::MAX, before: 0 }),
        n if n >= tensor.len() => Some(Threshold { magnitude: 0, before: usize::MAX }),
        _ => None,
    }
}

/// The magnitudes between which the element of a rank is expected.
#[derive(Clone, Copy)]
struct Bracket {
    least: u64,
    most: u64,
    /// The most likely magnitude. Its elements are only counted, because a common magnitude would fill the
    /// memory.
    likely: u64,
}

impl Bracket {
    /// The bracket of the element at `share` of a sample that is sorted with the largest first.
    fn new(sample: &[u64], share: f64) -> Self {
        let rank = (share * sample.len() as f64) as usize;
        let at = |rank: Option<usize>| rank.and_then(|rank| sample.get(rank)).copied();
        Self {
            least: at(Some(rank + MARGIN)).unwrap_or(0),
            most: at(rank.checked_sub(MARGIN)).unwrap_or(HIGHEST),
            likely: at(Some(rank)).unwrap_or(u64::MAX),
        }
    }
}

/// The elements of a span by their position relative to a bracket.
#[derive(Default)]
struct Part {
    above: usize,
    likely: usize,
    /// The other elements within the bracket.
    within: Vec<Key>,
}

/// Finds the thresholds that are within their brackets, in one pass over the networks from `first` on.
fn find_in_brackets(
    tensor: &Sources<'_>,
    first: usize,
    counts: &[usize],
    known: &mut [Vec<Option<Threshold>>],
) {
    let networks = first..first + known.len();
    let brackets: Vec<Vec<Bracket>> = networks.clone().map(|i| brackets(tensor, i, counts)).collect();
    let wanted: Vec<usize> = (0..counts.len()).filter(|i| trivial(tensor, counts[*i]).is_none()).collect();
    let most = ALL.max(tensor.len() / SHARE) * wanted.len();
    let taken: Vec<AtomicUsize> = networks.clone().map(|_| AtomicUsize::new(0)).collect();
    let is_too_many = |taken: &AtomicUsize| taken.load(Ordering::Relaxed) > most;
    let parts = tensor.spans_of(
        &networks,
        || (0..networks.len() * wanted.len()).map(|_| Part::default()).collect::<Vec<_>>(),
        |parts, strip| {
            let all = strip.networks.iter().zip(&brackets).zip(&taken).zip(parts.chunks_mut(wanted.len()));
            for (((network, brackets), taken), parts) in all {
                // Any thread may have found that there are too many.
                if is_too_many(taken) {
                    continue;
                }
                let mut delta = [0.; STRIP_LEN];
                let delta = delta_of(network, strip.base, &mut delta);
                for (part, i) in parts.iter_mut().zip(&wanted) {
                    let before = part.within.len();
                    part.add(brackets[*i], strip.start, delta);
                    taken.fetch_add(part.within.len() - before, Ordering::Relaxed);
                }
            }
        },
    );
    let complete = (0..known.len()).filter(|i| !is_too_many(&taken[*i]));
    for (i, (number, count)) in
        complete.flat_map(|i| wanted.iter().enumerate().map(move |wanted| (i, wanted)))
    {
        let at = i * wanted.len() + number;
        let parts: Vec<&Part> = parts.iter().filter_map(|parts| parts.get(at)).collect();
        known[i][*count] = find_in_bracket(tensor, first + i, brackets[i][*count], &parts, counts[*count]);
    }
}

/// The bracket of each count; one that contains everything for a small tensor.
fn brackets(tensor: &Sources<'_>, network: usize, counts: &[usize]) -> Vec<Bracket> {
    let len = tensor.len();
    if len <= ALL {
        return vec![Bracket { least: 0, most: HIGHEST, likely: u64::MAX }; counts.len()];
    }
    let mut sample = Vec::with_capacity(PIECES * PIECE);
    tensor.sample(network, PIECES, PIECE, |strip| deltas(strip, |_, x| sample.push(magnitude(x))));
    sample.sort_unstable_by(|a, b| b.cmp(a));
    counts.iter().map(|count| Bracket::new(&sample, *count as f64 / len as f64)).collect()
}

impl Part {
    fn add(&mut self, bracket: Bracket, start: usize, delta: &[f64]) {
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
    fn add_blocks<const LANES: usize>(&mut self, bracket: Bracket, start: usize, blocks: &[[f64; LANES]]) {
        // Compared as signed integers, which vector units can do.
        let [least, most, likely] = [bracket.least, bracket.most, bracket.likely].map(u64::cast_signed);
        let (mut above, mut equal) = ([0i64; LANES], [0i64; LANES]);
        for (number, block) in blocks.iter().enumerate() {
            let mut within = [0i64; LANES];
            for (i, x) in block.iter().enumerate() {
                let bits = magnitude(*x).cast_signed();
                above[i] += i64::from(bits > most);
                equal[i] += i64::from(bits == likely);
                within[i] = i64::from((bits >= least) & (bits <= most) & (bits != likely));
            }
            // Rarely true.
            if within.iter().fold(0, |any, within| any | within) != 0 {
                for (i, x) in block.iter().enumerate().filter(|(i, _)| within[*i] != 0) {
                    self.within.push(key(magnitude(*x), start + number * LANES + i));
                }
            }
        }
        self.above += above.iter().sum::<i64>() as usize;
        self.likely += equal.iter().sum::<i64>() as usize;
    }
}

/// The magnitude of an element and its position. The smaller key is that of the larger magnitude, and for equal
/// magnitudes that of the first position.
type Key = (Reverse<u64>, usize);

#[inline(always)]
fn key(magnitude: u64, position: usize) -> Key {
    (Reverse(magnitude), position)
}

/// The threshold of the `count` largest elements, if it is within the bracket.
fn find_in_bracket(
    tensor: &Sources<'_>,
    network: usize,
    bracket: Bracket,
    parts: &[&Part],
    count: usize,
) -> Option<Threshold> {
    let above: usize = parts.iter().map(|part| part.above).sum();
    let likely: usize = parts.iter().map(|part| part.likely).sum();
    let mut within: Vec<Key> = parts.iter().flat_map(|part| &part.within).copied().collect();
    // Counted from 0.
    let rank = count.checked_sub(above + 1)?;
    let first = key(bracket.likely, 0);
    let larger = within.iter().filter(|key| **key < first).count();
    if (larger..larger + likely).contains(&rank) {
        let equal = parts.iter().map(|part| part.likely as u64);
        return Some(threshold_at(tensor, network, bracket.likely, equal, (rank - larger + 1) as u64));
    }
    let rank = if rank < larger { rank } else { rank - likely };
    let (_, (Reverse(magnitude), position), _) =
        (rank < within.len()).then(|| within.select_nth_unstable(rank))?;
    Some(Threshold { magnitude: *magnitude, before: *position + 1 })
}

/// The threshold of the `count` largest elements, by counting.
fn find_by_counting(tensor: &Sources<'_>, network: usize, count: usize) -> Threshold {
    // The upper bits of the element of that rank, its rank among the elements with these, and their number.
    let (mut upper, mut rank, mut equal) = (0, count as u64, 0);
    for digit in DIGITS {
        let cells = tensor.counts(network, 1 << DIGIT, |cells, strip| {
            deltas(strip, |_, x| {
                let bits = magnitude(x) >> digit;
                // Rarely true after the first time: a branch costs less than a memory access for each element.
                if bits >> DIGIT == upper {
                    cells[bits as usize % (1 << DIGIT)] += 1;
                }
            });
        });
        let (cell, left) = cell_of_rank(&cells, rank);
        (upper, rank, equal) = (upper << DIGIT | cell as u64, left, cells[cell]);
    }
    if equal == rank {
        return Threshold { magnitude: upper, before: usize::MAX };
    }
    let counts = tensor.spans_of(
        &(network..network + 1),
        || 0,
        |count, strip| deltas(strip, |_, x| *count += u64::from(magnitude(x) == upper)),
    );
    threshold_at(tensor, network, upper, counts.into_iter(), rank)
}

/// The cell that contains the element of this rank, counted from 1 in the highest cell, and its rank within
/// the cell.
fn cell_of_rank(cells: &[u64], rank: u64) -> (usize, u64) {
    let mut left = rank;
    for (cell, count) in cells.iter().enumerate().rev() {
        if *count >= left {
            return (cell, left);
        }
        left -= count;
    }
    (0, left)
}

/// The threshold at the `left`-th element of this magnitude. `spans` are the numbers of such elements in the
/// spans.
fn threshold_at(
    tensor: &Sources<'_>,
    network: usize,
    magnitude: u64,
    spans: impl Iterator<Item = u64>,
    mut left: u64,
) -> Threshold {
    let mut before = usize::MAX;
    for (span, equal) in spans.enumerate() {
        if equal < left {
            left -= equal;
            continue;
        }
        tensor.read_span(span, network, |strip| {
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
    Threshold { magnitude, before }
}

/// Calls `visit` with the position of each element and its difference from the base.
#[inline(always)]
fn deltas(strip: &Strip<'_>, mut visit: impl FnMut(usize, f64)) {
    let mut delta = [0.; STRIP_LEN];
    let network = strip.networks.first().copied().unwrap_or_default();
    for (i, x) in delta_of(network, strip.base, &mut delta).iter().enumerate() {
        visit(strip.start + i, *x);
    }
}

/// The differences of a network's elements from the base.
#[inline(always)]
fn delta_of<'d>(network: &[f64], base: &[f64], delta: &'d mut [f64; STRIP_LEN]) -> &'d [f64] {
    let delta = &mut delta[..network.len().min(STRIP_LEN)];
    vectorized(
        #[inline(always)]
        || difference(network, base, delta),
    );
    delta
}

/// `⌊share · len⌋`, at most `len`.
pub(crate) fn count_of(share: f64, len: usize) -> usize {
    ((share * len as f64) as usize).min(len)
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

    /// Calls `work` with sources whose task vectors are these numbers.
    fn with<R>(numbers: &[&[f64]], shared: bool, work: impl FnOnce(&Sources<'_>) -> R) -> R {
        let len = numbers[0].len();
        let zeros = vec![0f64; len];
        fn source<'a>(numbers: &&'a [f64]) -> Source<'a> {
            Source { bytes: cast_slice(numbers), dtype: Dtype::F64, file: None }
        }
        work(&Sources {
            name: "w",
            labels: &[],
            len,
            networks: numbers.len(),
            has_base: true,
            inputs: numbers.iter().chain([&zeros.as_slice()]).map(source).collect(),
            to: Dtype::F64,
            shared,
        })
    }

    /// The elements that are kept if they are found by a sort.
    fn sorted(numbers: &[f64], count: usize) -> Vec<f64> {
        let mut order: Vec<usize> = (0..numbers.len()).collect();
        order.sort_by(|a, b| numbers[*b].abs().total_cmp(&numbers[*a].abs()).then(a.cmp(b)));
        let mut kept = vec![0.; numbers.len()];
        order[..count].iter().for_each(|i| kept[*i] = numbers[*i]);
        kept
    }

    fn bits(numbers: &[f64]) -> Vec<u64> {
        numbers.iter().map(|x| x.to_bits()).collect()
    }

    /// Applies a threshold to parts of an odd length, as strips may have.
    fn kept(threshold: Threshold, numbers: &[f64]) -> [Vec<f64>; 2] {
        let (mut keep, mut drop) = (numbers.to_vec(), numbers.to_vec());
        for (i, (keep, drop)) in keep.chunks_mut(777).zip(drop.chunks_mut(777)).enumerate() {
            threshold.keep_largest(i * 777, keep);
            threshold.drop_largest(i * 777, drop);
        }
        [keep, drop]
    }

    fn drawn(kind: usize, seed: u64, len: usize) -> Vec<f64> {
        let mut rng = Seed::from(seed).rng();
        let cauchy = Cauchy::new(0f64, 1e-3).unwrap();
        let number = |i: usize| match kind {
            0 => rng.sample(StandardNormal),
            1 => rng.sample(cauchy),
            // As in networks in bf16 that hardly changed: zeros, and few magnitudes.
            2 => f64::from(rng.random_range(-3i8..=3)).max(-1.) * 2f64.powi(rng.random_range(-9..-6)),
            3 => -2.5,
            4 => -0.,
            // All zero but a few, which a sample may miss.
            5 if i % 9973 == 5 => i as f64,
            5 => 0.,
            // Rows of different scales, in order.
            6 => rng.sample::<f64, _>(StandardNormal) * (i / 1000 + 1) as f64,
            // Sorted, with close neighbours.
            7 => 1. + i as f64 * f64::EPSILON,
            _ => f64::from_bits(rng.random::<u64>()),
        };
        (0..len).map(number).collect()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(40))]

        #[test]
        fn the_largest_elements_are_those_that_a_sort_finds(
            kinds in prop::collection::vec(0..9usize, 1..5),
            seed in 0..u64::MAX,
            len in prop_oneof![1..2000usize, ALL - 2..ALL + 2, 2 * ALL..3 * ALL],
            shares in prop::array::uniform2(0f64..1.),
            shared in any::<bool>(),
        ) {
            let networks: Vec<Vec<f64>> = kinds.iter().map(|kind| drawn(*kind, seed, len)).collect();
            let views: Vec<&[f64]> = networks.iter().map(Vec::as_slice).collect();
            let counts = shares.map(|share| (share * (len + 1) as f64) as usize);
            let thresholds = with(&views, shared, |tensor| thresholds(tensor, &counts));
            prop_assert_eq!(thresholds.len(), kinds.len());
            for ((thresholds, numbers), kind) in thresholds.into_iter().zip(&networks).zip(&kinds) {
                prop_assert_eq!(thresholds.len(), 2);
                for (threshold, count) in thresholds.into_iter().zip(counts) {
                    let right = sorted(numbers, count);
                    let left: Vec<f64> = numbers.iter().zip(&right).map(|(x, kept)| {
                        // Kept elements are cleared, also if they are zeros.
                        if kept.to_bits() == x.to_bits() { 0. } else { *x }
                    }).collect();
                    let [keep, drop] = kept(threshold, numbers);
                    prop_assert!(bits(&keep) == bits(&right), "kind {} len {} count {}", kind, len, count);
                    let same = |(a, b): (&f64, &f64)| a.to_bits() == b.to_bits() || *a == 0. && *b == 0.;
                    prop_assert!(drop.iter().zip(&left).all(same), "kind {} len {} count {}", kind, len, count);
                }
            }
        }
    }

    /// One pass is enough for elements from a density, for common magnitudes, and for extreme ranks; counting
    /// finds the same thresholds.
    #[test]
    fn brackets_contain_their_thresholds() {
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
                find_in_brackets(tensor, 0, &counts, &mut known);
                for (network, known) in known.into_iter().enumerate() {
                    let right = complete(tensor, network, &counts, vec![None; counts.len()]);
                    for ((found, right), count) in known.into_iter().zip(right).zip(&counts) {
                        let found = found.expect("the threshold is in its bracket");
                        assert_eq!(found.magnitude, right.magnitude, "{kind} {count}");
                        assert!(found.before == right.before || right.before == usize::MAX, "{kind} {count}");
                    }
                }
            });
        }
    }
}
