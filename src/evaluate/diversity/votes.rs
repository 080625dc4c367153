//! The classes that members predict, as bits.
use super::{pair_matrix::pairs, CorrectShares, PairCounts};
use crate::{
    evaluate::RowTargets, kernels::argmax::argmax_rows, predictions::Predictions, threads, Error, Result,
};
use candle_core::{DType, Device};
use rayon::prelude::*;

/// Number of rows in a word of bits.
const BITS: usize = 64;

/// One bit for each row of each slot. The bits after the last row are 0.
struct Bits {
    words: usize,
    all: Vec<u64>,
}

/// The bits of one slot: where it is right, and each binary digit of its classes.
type Planes = (Vec<u64>, Vec<Vec<u64>>);

impl Bits {
    fn zeros(slots: usize, rows: usize) -> Self {
        let words = rows.div_ceil(BITS);
        Self { words, all: vec![0; slots * words] }
    }

    fn slot(&self, slot: usize) -> &[u64] {
        self.all.get(slot * self.words..(slot + 1) * self.words).unwrap_or_default()
    }
}

/// What each slot predicts for each row, reduced to bits: whether it predicts the row, whether it is right,
/// and the number of the class in binary.
pub(super) struct Votes<'a> {
    slots: usize,
    rows: usize,
    classes: usize,
    weights: Option<&'a [f64]>,
    covered: Bits,
    right: Bits,
    /// One plane for each binary digit of the class.
    digits: Vec<Bits>,
    /// The share of the rows for which a slot predicts a class, `(S, C)`, where every slot predicts every row.
    shares: Option<Vec<f64>>,
}

/// Two slots on the rows that both predict.
pub(super) struct Pair {
    pub(super) counts: PairCounts,
    /// The share of the rows with the same class.
    pub(super) agreement: f64,
    /// The agreement of two slots that predict their classes independently.
    pub(super) by_chance: f64,
}

impl<'a> Votes<'a> {
    pub(super) fn new(predictions: &Predictions, targets: &'a RowTargets) -> Result<Self> {
        let labels = targets.labels("diversity of classifiers")?;
        let (slots, rows, classes) = predictions.values().dims3()?;
        let covered = covered(predictions)?;
        let of_slot =
            |slot: usize| -> Result<Vec<u32>> { Ok(argmax_rows(&predictions.values().get(slot)?)?) };
        let digits = BITS - (classes.max(2) - 1).leading_zeros() as usize;
        let planes = |slot: usize| -> Result<Planes> {
            let (votes, covered) = (of_slot(slot)?, covered.slot(slot));
            let plane = |bit: &(dyn Fn(u32, u32) -> bool + Sync)| -> Vec<u64> {
                let words = votes.chunks(BITS).zip(labels.chunks(BITS)).zip(covered);
                words.map(|((votes, labels), covered)| word(votes, labels, bit) & covered).collect()
            };
            let right = plane(&|vote, label| vote == label);
            Ok((right, (0..digits).map(|digit| plane(&|vote, _| vote >> digit & 1 == 1)).collect()))
        };
        let all = threads::wide(|| (0..slots).into_par_iter().map(planes).collect::<Result<Vec<_>>>())?;
        let gather = |of: &dyn Fn(&Planes) -> Vec<u64>| {
            let mut bits = Bits::zeros(slots, rows);
            bits.all = all.iter().flat_map(of).collect();
            bits
        };
        let mut new = Self {
            slots,
            rows,
            classes,
            weights: targets.weights(),
            covered,
            right: gather(&|(right, _)| right.clone()),
            digits: (0..digits).map(|digit| gather(&|(_, digits)| digits[digit].clone())).collect(),
            shares: None,
        };
        if predictions.covered().is_none() {
            let total = new.mass(new.covered.slot(0).iter().copied());
            let mut shares = vec![0.; slots * classes];
            for (slot, shares) in shares.chunks_exact_mut(classes).enumerate() {
                new.add_classes(slot, new.covered.slot(slot), shares);
                shares.iter_mut().for_each(|share| *share /= total);
            }
            new.shares = Some(shares);
        }
        Ok(new)
    }

    /// The number of these rows, or the sum of their weights.
    fn mass(&self, words: impl Iterator<Item = u64>) -> f64 {
        match self.weights {
            None => words.map(|word| u64::from(word.count_ones())).sum::<u64>() as f64,
            Some(weights) => {
                let mut mass = 0.;
                each_row(words, |row| mass += weights.get(row).copied().unwrap_or(0.));
                mass
            }
        }
    }

    /// Adds the weight of these rows to the class that a slot predicts for each.
    fn add_classes(&self, slot: usize, rows: &[u64], shares: &mut [f64]) {
        let digits: Vec<&[u64]> = self.digits.iter().map(|digit| digit.slot(slot)).collect();
        each_row(rows.iter().copied(), |row| {
            let digit = |bits: &&[u64]| (bits[row / BITS] >> (row % BITS) & 1) as usize;
            let class = digits.iter().rev().fold(0, |class, bits| class << 1 | digit(bits));
            shares[class] += self.weights.map_or(1., |weights| weights[row]);
        });
    }

    /// The error rate of each slot on the rows that it predicts; `None` where there are none.
    pub(super) fn errors(&self) -> Vec<Option<f64>> {
        let error = |slot: usize| {
            let (right, covered) = (self.right.slot(slot), self.covered.slot(slot));
            let total = self.mass(covered.iter().copied());
            let wrong = self.mass(right.iter().zip(covered).map(|(right, covered)| !right & covered));
            (total > 0.).then(|| wrong / total)
        };
        (0..self.slots).map(error).collect()
    }

    /// All pairs, in the order of [`pairs`].
    pub(super) fn pairs(&self) -> Vec<Pair> {
        let all: Vec<_> = pairs(self.slots).collect();
        threads::wide(|| all.into_par_iter().map(|(a, b)| self.pair(a, b)).collect())
    }

    fn pair(&self, a: usize, b: usize) -> Pair {
        let (of_a, of_b) = (self.right.slot(a), self.right.slot(b));
        let right = of_a.iter().zip(of_b);
        let common = || self.covered.slot(a).iter().zip(self.covered.slot(b)).map(|(a, b)| a & b);
        let counts = PairCounts {
            both_right: self.mass(right.clone().map(|(a, b)| a & b)),
            only_first: self.mass(right.clone().zip(common()).map(|((a, b), both)| a & !b & both)),
            only_second: self.mass(right.clone().zip(common()).map(|((a, b), both)| !a & b & both)),
            both_wrong: self.mass(right.zip(common()).map(|((a, b), both)| !a & !b & both)),
        };
        let mut same: Vec<u64> = common().collect();
        for digit in &self.digits {
            let digits = digit.slot(a).iter().zip(digit.slot(b));
            same.iter_mut().zip(digits).for_each(|(same, (a, b))| *same &= !(a ^ b));
        }
        let rows = counts.rows();
        let agreement = self.mass(same.into_iter()) / rows;
        let by_chance = match &self.shares {
            Some(shares) => {
                let of = |slot: usize| &shares[slot * self.classes..][..self.classes];
                of(a).iter().zip(of(b)).map(|(p, q)| p * q).sum()
            }
            None => {
                let common: Vec<u64> = common().collect();
                let (mut of_a, mut of_b) = (vec![0.; self.classes], vec![0.; self.classes]);
                self.add_classes(a, &common, &mut of_a);
                self.add_classes(b, &common, &mut of_b);
                of_a.iter().zip(&of_b).map(|(p, q)| p * q).sum::<f64>() / (rows * rows)
            }
        };
        Pair { counts, agreement, by_chance }
    }

    /// On what share of the rows that all slots predict how many of them are right, and the number of these
    /// rows.
    pub(super) fn correct_shares(&self) -> (Option<CorrectShares>, usize) {
        let mut common = self.covered.slot(0).to_vec();
        for slot in 1..self.slots {
            common.iter_mut().zip(self.covered.slot(slot)).for_each(|(common, covered)| *common &= covered);
        }
        let mut right = vec![0u32; self.rows];
        for slot in 0..self.slots {
            for (rows, word) in right.chunks_mut(BITS).zip(self.right.slot(slot)) {
                rows.iter_mut().enumerate().for_each(|(i, right)| *right += (word >> i & 1) as u32);
            }
        }
        let (mut counts, mut rows) = (vec![0.; self.slots + 1], 0);
        each_row(common.into_iter(), |row| {
            rows += 1;
            counts[right[row] as usize] += self.weights.map_or(1., |weights| weights[row]);
        });
        (CorrectShares::new(&counts).ok(), rows)
    }
}

/// The bits of up to 64 rows.
fn word(votes: &[u32], labels: &[u32], bit: impl Fn(u32, u32) -> bool) -> u64 {
    let bits = votes.iter().zip(labels).map(|(vote, label)| u64::from(bit(*vote, *label)));
    bits.enumerate().fold(0, |word, (i, bit)| word | bit << i)
}

/// Calls `visit` with the number of each row whose bit is set, in order.
fn each_row(words: impl Iterator<Item = u64>, mut visit: impl FnMut(usize)) {
    for (i, mut word) in words.enumerate() {
        while word != 0 {
            visit(i * BITS + word.trailing_zeros() as usize);
            word &= word - 1;
        }
    }
}

fn covered(predictions: &Predictions) -> Result<Bits> {
    let (slots, rows) = (predictions.slots(), predictions.rows());
    let mut bits = Bits::zeros(slots, rows);
    let words = bits.words;
    let Some(covered) = predictions.covered() else {
        for (i, word) in bits.all.iter_mut().enumerate() {
            let left = rows - i % words * BITS;
            *word = if left >= BITS { u64::MAX } else { (1 << left) - 1 };
        }
        return Ok(bits);
    };
    let covered = covered.to_device(&Device::Cpu)?.to_dtype(DType::F32)?.flatten_all()?.to_vec1::<f32>()?;
    if rows > 0 {
        let rows = covered.chunks(rows).flat_map(|slot| slot.chunks(BITS));
        let word = |rows: &[f32]| {
            rows.iter().enumerate().fold(0, |word, (i, covered)| word | u64::from(*covered > 0.) << i)
        };
        bits.all.iter_mut().zip(rows).for_each(|(bits, rows)| *bits = word(rows));
    }
    Ok(bits)
}

/// Checks that the targets are those of the rows and the task of the predictions.
pub(super) fn check(predictions: &Predictions, targets: &RowTargets) -> Result<()> {
    let (_, rows, width) = predictions.values().dims3()?;
    if (targets.rows(), targets.width()) != (rows, width) {
        let got = format!("({}, {})", targets.rows(), targets.width());
        let must = format!("({rows}, {width}), those of the predictions");
        return Err(Error::invalid("rows and columns of the targets", must, got));
    }
    Ok(())
}
