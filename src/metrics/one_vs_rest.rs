//! Areas under curves, one class against the others.
use crate::{
    metrics::{inputs::Case, margins::needs_two_classes, stream::Accumulate, Average},
    Error, Result,
};
use rayon::prelude::*;

/// A row as one class sees it.
#[derive(Clone, Copy)]
struct Ranked {
    /// The probability of the class.
    score: f64,
    /// Whether the row is of the class.
    positive: bool,
    /// The weight of the row, which is positive.
    weight: f64,
}

/// The rows of a class that have the same score.
#[derive(Clone, Copy, Default)]
pub(crate) struct Group {
    /// Their weight.
    pub(crate) positive: f64,
    /// The weight of the rows of other classes with this score.
    pub(crate) ties: f64,
    /// The weight of the rows of other classes with a score between those of the group before and of this
    /// one.
    pub(crate) below: f64,
}

/// Up to this number of scores, which fit in the cache, it is faster to search the place of each other row
/// than to sort the other rows too.
const SEARCHED: usize = 1 << 16;

/// The rows in the order of their scores.
pub(crate) struct Ranking {
    /// From the least score to the greatest.
    pub(crate) groups: Vec<Group>,
    /// The weight of the rows of other classes with a score above that of the last group.
    pub(crate) above: f64,
}

impl Ranking {
    /// Sorts the rows of the class and finds the place of each other row among them.
    fn new(rows: impl Iterator<Item = Ranked> + Clone, searched: usize) -> Self {
        let ours = rows.clone().filter(|row| row.positive);
        let mut ours: Vec<(f64, f64)> = ours.map(|row| (row.score, row.weight)).collect();
        ours.sort_unstable_by(|(a, v), (b, w)| a.total_cmp(b).then(v.total_cmp(w)));
        let (mut scores, mut groups) = (vec![], vec![]);
        for equals in ours.chunk_by(|(a, _), (b, _)| a == b) {
            scores.extend(equals.first().map(|(score, _)| *score));
            let positive = equals.iter().map(|(_, weight)| weight).sum();
            groups.push(Group { positive, ..Group::default() });
        }
        let mut ranking = Self { groups, above: 0.0 };
        let others = rows.filter(|row| !row.positive).map(|row| (row.score, row.weight));
        if scores.len() <= searched {
            for (score, weight) in others {
                ranking.place(&scores, scores.partition_point(|threshold| *threshold < score), score, weight);
            }
        } else {
            let mut others: Vec<(f64, f64)> = others.collect();
            others.sort_unstable_by(|(a, v), (b, w)| a.total_cmp(b).then(v.total_cmp(w)));
            let mut at = 0;
            for (score, weight) in others {
                at += scores.iter().skip(at).take_while(|threshold| **threshold < score).count();
                ranking.place(&scores, at, score, weight);
            }
        }
        ranking
    }

    /// Adds a row of another class; `at` is the number of `scores` that are less than its score.
    fn place(&mut self, scores: &[f64], at: usize, score: f64, weight: f64) {
        match (self.groups.get_mut(at), scores.get(at)) {
            (Some(group), Some(own)) if *own == score => group.ties += weight,
            (Some(group), _) => group.below += weight,
            (None, _) => self.above += weight,
        }
    }
}

/// An area under a curve that follows the rows from the greatest score to the least.
#[derive(Clone, Copy)]
pub(crate) struct Area {
    /// The name in messages.
    pub(crate) name: &'static str,
    /// The area; `None` where it is not defined.
    pub(crate) of: fn(&Ranking) -> Option<f64>,
}

/// Accumulates the average over the classes of an area. Two classes have one area, that of class 1.
pub(crate) struct OneVsRest {
    area: Area,
    average: Average,
    classes: usize,
    /// The probabilities of each row; of two classes, only those of class 1.
    probs: Vec<f64>,
    rows: Vec<(u32, f64)>,
}

impl OneVsRest {
    pub(crate) fn new(area: Area, average: Average) -> Self {
        Self { area, average, classes: 0, probs: vec![], rows: vec![] }
    }

    fn width(&self) -> usize {
        if self.classes == 2 {
            1
        } else {
            self.classes
        }
    }

    /// The area of one class.
    fn class(&self, class: usize) -> Option<f64> {
        let column = if self.classes == 2 { 0 } else { class };
        let scores = self.probs.iter().skip(column).step_by(self.width().max(1));
        let rows = scores.zip(&self.rows).map(|(score, (label, weight))| Ranked {
            score: *score,
            positive: *label as usize == class,
            weight: *weight,
        });
        (self.area.of)(&Ranking::new(rows, SEARCHED))
    }

    /// The area of all classes of all rows together.
    fn pooled(&self) -> Option<f64> {
        let rows = self.probs.chunks_exact(self.classes.max(1)).zip(&self.rows);
        let each = rows.flat_map(|(probs, (label, weight))| {
            (0u32..).zip(probs).map(move |(class, score)| Ranked {
                score: *score,
                positive: class == *label,
                weight: *weight,
            })
        });
        (self.area.of)(&Ranking::new(each, SEARCHED))
    }

    fn undefined(&self, of: &str) -> Error {
        let must =
            "defined, which needs rows of the class and rows of others (leave out classes without rows \
                    with Average::Weighted)";
        Error::invalid(format!("{}{of}", self.area.name), must, "undefined")
    }

    /// The mean of the areas of the classes with these weights, in which only classes with a weight count.
    fn mean(&self, shares: &[f64]) -> Result<f64> {
        let counts = |(class, share): (usize, &f64)| match *share > 0.0 {
            true => self.class(class),
            false => Some(0.0),
        };
        let areas: Vec<_> = shares.par_iter().enumerate().map(counts).collect();
        let mut sum = 0.0;
        for (class, (share, area)) in shares.iter().zip(areas).enumerate() {
            sum += share * area.ok_or_else(|| self.undefined(&format!(" of class {class}")))?;
        }
        Ok(sum / shares.iter().sum::<f64>())
    }
}

impl Accumulate<Case<'_>> for OneVsRest {
    fn add(&mut self, case: &Case<'_>) {
        self.classes = case.probs.len();
        if case.weight == 0.0 {
            return;
        }
        match case.probs {
            [_, one] => self.probs.push(*one),
            probs => self.probs.extend_from_slice(probs),
        }
        self.rows.push((case.label as u32, case.weight));
    }

    fn finish(self: Box<Self>) -> Result<f64> {
        if self.classes == 2 {
            return self.class(1).ok_or_else(|| self.undefined(" of class 1"));
        }
        match self.average {
            Average::Macro => self.mean(&vec![1.0; self.classes]),
            Average::Weighted => {
                let mut shares = vec![0.0; self.classes];
                for (label, weight) in &self.rows {
                    if let Some(share) = shares.get_mut(*label as usize) {
                        *share += weight;
                    }
                }
                self.mean(&shares)
            }
            Average::Micro => self.pooled().ok_or_else(|| self.undefined("")),
            Average::Binary => Err(needs_two_classes(self.classes)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::{average_precision::AVERAGE_PRECISION, roc_auc::ROC_AUC};

    /// The areas by comparing each row of the class with each other row.
    fn by_pairs(rows: &[Ranked]) -> (f64, f64) {
        let ours = || rows.iter().filter(|row| row.positive);
        let (mut pairs, mut all, mut precisions) = (0.0, 0.0, 0.0);
        for a in ours() {
            for b in rows.iter().filter(|row| !row.positive) {
                all += a.weight * b.weight;
                let ahead = f64::from(a.score > b.score) + 0.5 * f64::from(a.score == b.score);
                pairs += a.weight * b.weight * ahead;
            }
            let at_least = || rows.iter().filter(|row| row.score >= a.score);
            let hits: f64 = at_least().filter(|row| row.positive).map(|row| row.weight).sum();
            precisions += a.weight * hits / at_least().map(|row| row.weight).sum::<f64>();
        }
        (pairs / all, precisions / ours().map(|row| row.weight).sum::<f64>())
    }

    #[test]
    fn searching_and_sorting_agree_with_all_pairs() {
        for values in [7, 1000] {
            let rows: Vec<Ranked> = (0..300usize)
                .map(|i| Ranked {
                    score: (i * i * 31 % 997 % values) as f64 / 1000.0,
                    positive: i * 17 % 5 < 2,
                    weight: (1 + i % 3) as f64,
                })
                .collect();
            let (auc, precision) = by_pairs(&rows);
            for searched in [0, SEARCHED] {
                let ranking = Ranking::new(rows.iter().copied(), searched);
                assert!(((ROC_AUC.of)(&ranking).unwrap() - auc).abs() < 1e-12);
                assert!(((AVERAGE_PRECISION.of)(&ranking).unwrap() - precision).abs() < 1e-12);
            }
        }
    }
}
