//! Bins of equal width in which confidences are compared with outcomes.
use crate::{metrics::ECE_BINS, Error, Result};

/// The greatest number of bins, so that a mistake cannot take all memory.
const MAX_BINS: usize = 1 << 16;

/// A number of bins, from 1 to 65536.
#[derive(Clone, Copy)]
pub(crate) struct Bins(usize);

impl Bins {
    /// The usual number of bins.
    pub(crate) const USUAL: Self = Self(ECE_BINS);

    pub(crate) fn new(bins: usize) -> Result<Self> {
        if (1..=MAX_BINS).contains(&bins) {
            return Ok(Self(bins));
        }
        Err(Error::invalid("number of bins", format!("1 to {MAX_BINS}"), bins))
    }

    pub(crate) fn count(self) -> usize {
        self.0
    }

    /// The number `b` of the bin `(b/bins, (b+1)/bins]` that has the confidence. Confidences that rounding
    /// left just outside of 0 and 1 belong to the first bin and the last.
    pub(crate) fn of(self, confidence: f64) -> usize {
        let bins = self.0 as f64;
        let mut bin = ((confidence * bins) as usize).min(self.0 - 1);
        // The product is rounded, so the edges, which are quotients, decide.
        while bin > 0 && confidence <= bin as f64 / bins {
            bin -= 1;
        }
        while bin + 1 < self.0 && confidence > (bin + 1) as f64 / bins {
            bin += 1;
        }
        bin
    }
}

/// Accumulates the confidences and outcomes of rows in bins of equal width.
pub(crate) struct EqualWidth {
    bins: Bins,
    /// For each bin the sum of weight times (outcome − confidence), and the weight.
    sums: Vec<(f64, f64)>,
    weight: f64,
}

impl EqualWidth {
    pub(crate) fn new(bins: Bins) -> Self {
        Self { bins, sums: vec![(0.0, 0.0); bins.count()], weight: 0.0 }
    }

    pub(crate) fn add(&mut self, confidence: f64, outcome: bool, weight: f64) {
        if let Some((gap, mass)) = self.sums.get_mut(self.bins.of(confidence)) {
            *gap += signed_gap(confidence, outcome, weight);
            *mass += weight;
        }
        self.weight += weight;
    }

    /// The mean gap between outcomes and confidences: `n_b/N |acc_b − conf_b|` is the absolute sum of a bin
    /// divided by N.
    pub(crate) fn expected(&self) -> f64 {
        self.sums.iter().map(|(gap, _)| gap.abs()).sum::<f64>() / self.weight
    }

    /// The greatest gap of a bin.
    pub(crate) fn maximum(&self) -> f64 {
        let filled = self.sums.iter().filter(|(_, mass)| *mass > 0.0);
        filled.map(|(gap, mass)| gap.abs() / mass).fold(0.0, f64::max)
    }
}

/// The weighted difference between the outcome and the confidence of a row.
pub(crate) fn signed_gap(confidence: f64, outcome: bool, weight: f64) -> f64 {
    weight * (f64::from(outcome) - confidence.clamp(0.0, 1.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 0.28 · 25 is above 7 in f64, but 0.28 is not above the edge 7/25.
    #[test]
    fn upper_edges_belong_to_their_bins() {
        for count in [1, 3, 7, 10, 15, 25, 49, 1000, 65536] {
            let bins = Bins::new(count).unwrap();
            for b in 0..count {
                let edge = (b + 1) as f64 / count as f64;
                assert_eq!(bins.of(edge), b, "edge {b} of {count}");
                assert_eq!(bins.of(edge.next_up()), (b + 1).min(count - 1), "above edge {b} of {count}");
            }
            assert_eq!([-0.001, 0.0, 1.001].map(|p| bins.of(p)), [0, 0, count - 1]);
        }
        assert!(Bins::new(0).is_err() && Bins::new(65537).is_err());
    }
}
