//! The largest numbers of a task vector, by counting, without a copy of it.
//!
//! Magnitudes of f32 are ordered as their bits are, so one count of the upper bits and one of the lower bits of those
//! with the right upper ones find the magnitude of any rank, in two walks and 512 KiB whatever the tensor's size.
use super::{strips::difference, Sources, Strip, STRIP};

/// Lower bits of a magnitude, which has 31.
const LOW: u32 = 15;
const HIGHS: usize = 1 << (31 - LOW);
const LOWS: usize = 1 << LOW;

/// How far the numbers of largest magnitude reach: those above a magnitude, and of those that have it the ones up to a
/// place. Of equal magnitudes the first come first, so exactly as many are kept as were asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Reach {
    magnitude: u32,
    /// The first number of that magnitude that is left out.
    before: usize,
}

impl Reach {
    /// Whether `x`, number `at` of its tensor, is among them.
    #[inline(always)]
    pub(super) fn has(self, x: f32, at: usize) -> bool {
        let bits = magnitude(x);
        (bits > self.magnitude) | ((bits == self.magnitude) & (at < self.before))
    }
}

#[inline(always)]
fn magnitude(x: f32) -> u32 {
    x.to_bits() & (u32::MAX >> 1)
}

/// How far the `count` numbers of largest magnitude in a network's task vector reach, for each of `counts`.
pub(super) fn reaches(tensor: &Sources<'_>, network: usize, counts: &[usize]) -> Vec<Reach> {
    if counts.iter().all(|count| is_trivial(tensor, *count).is_some()) {
        return counts.iter().filter_map(|count| is_trivial(tensor, *count)).collect();
    }
    let highs = tensor.counts(network, HIGHS, |counts, strip| {
        deltas(strip, |_, x| counts[(magnitude(x) >> LOW) as usize] += 1);
    });
    counts.iter().map(|count| reach(tensor, network, &highs, *count)).collect()
}

/// None or all.
fn is_trivial(tensor: &Sources<'_>, count: usize) -> Option<Reach> {
    match count {
        0 => Some(Reach { magnitude: u32::MAX, before: 0 }),
        n if n >= tensor.len() => Some(Reach { magnitude: 0, before: usize::MAX }),
        _ => None,
    }
}

fn reach(tensor: &Sources<'_>, network: usize, highs: &[u64], count: usize) -> Reach {
    if let Some(reach) = is_trivial(tensor, count) {
        return reach;
    }
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
    let before = match lows.get(low) {
        Some(equal) if *equal > left => place(tensor, network, bits, left),
        _ => usize::MAX,
    };
    Reach { magnitude: bits, before }
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

/// The place behind the `left`-th number of this magnitude.
fn place(tensor: &Sources<'_>, network: usize, bits: u32, left: u64) -> usize {
    let spans = tensor.counts(network, tensor.spans(), |counts, strip| {
        let mut equal = 0;
        deltas(strip, |_, x| equal += u64::from(magnitude(x) == bits));
        counts[strip.start / tensor.span()] += equal;
    });
    let mut left = left;
    for (span, equal) in spans.iter().enumerate() {
        if *equal >= left {
            let mut found = usize::MAX;
            tensor.look(span, network, |strip| {
                deltas(strip, |at, x| {
                    if magnitude(x) == bits {
                        left = left.wrapping_sub(1);
                        if left == 0 {
                            found = at + 1;
                        }
                    }
                });
            });
            return found;
        }
        left -= equal;
    }
    usize::MAX
}

/// Calls `see` with each number's place and difference from the base.
#[inline(always)]
fn deltas(strip: &Strip<'_>, mut see: impl FnMut(usize, f32)) {
    let network = strip.networks.first().copied().unwrap_or_default();
    let mut delta = [0f32; STRIP];
    let delta = &mut delta[..network.len().min(STRIP)];
    difference(network, strip.base, delta);
    for (i, x) in delta.iter().enumerate() {
        see(strip.start + i, *x);
    }
}

/// As many as this share of `len`, rounded down.
pub(super) fn share(density: f64, len: usize) -> usize {
    ((density * len as f64) as usize).min(len)
}
