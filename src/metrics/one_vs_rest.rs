//! Areas under curves, one class against the others.
use crate::{
    metrics::{inputs::Case, margins::needs_two_classes, stream::Accumulate, Average},
    Error, Result,
};
use rayon::prelude::*;

/// A row as one class sees it.
#[derive(Clone, Copy)]
pub(crate) struct Ranked {
    /// The probability of the class.
    pub(crate) score: f64,
    /// Whether the row is of the class.
    pub(crate) positive: bool,
    /// The weight of the row, which is positive.
    pub(crate) weight: f64,
}

/// An area under a curve that follows the rows from the greatest score to the least.
#[derive(Clone, Copy)]
pub(crate) struct Area {
    /// The name in messages.
    pub(crate) name: &'static str,
    /// The area for rows in groups of equal scores, from the least to the greatest; `None` where it is not
    /// defined.
    pub(crate) of: fn(&[Ranked]) -> Option<f64>,
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
        self.area(rows.collect())
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
        self.area(each.collect())
    }

    fn area(&self, mut rows: Vec<Ranked>) -> Option<f64> {
        // By all fields, so that sums have the same bits for any order of the rows.
        rows.sort_unstable_by(|a, b| {
            let by_score = a.score.total_cmp(&b.score);
            by_score.then(a.positive.cmp(&b.positive)).then(a.weight.total_cmp(&b.weight))
        });
        (self.area.of)(&rows)
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
