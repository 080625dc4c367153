//! Expected calibration error.
use crate::{
    metrics::{accuracy::Top, inputs::Cases},
    Error, Result,
};
use candle_core::Tensor;

/// The usual number of bins (Guo et al. 2017).
pub const ECE_BINS: usize = 15;

/// More bins than any number of rows could fill; an upper bound so that a slip does not take all memory.
const MOST_BINS: usize = 1 << 16;

/// Expected calibration error of the most probable class, in bins of equal width: `Σ_b n_b/N |acc_b - conf_b|`,
/// 0 to 1, less is better (Guo et al. 2017, arXiv:1706.04599; Naeini et al. 2015).
///
/// The confidence of a row is the probability of its most probable class; `acc_b` is the accuracy (ties go to
/// the lowest class) and `conf_b` the mean confidence of the `n_b` rows whose confidence lies in
/// `(b/bins, (b+1)/bins]`. Edges are compared in f64: an f32 confidence of 0.2 lies above the edge 0.2.
/// `probs` is `(N, C)`; `weights`, one a row, take the place of counts. [`ECE_BINS`] is the usual number of
/// bins. Errors: see the [module](super); and unless there are 1 to 65536 bins.
///
/// ```
/// use candle_core::{Device, Tensor};
/// use candle_ensemble::metrics::{ece, ECE_BINS};
///
/// // Always 75 % sure and right half of the time.
/// let probs = Tensor::new(&[[0.75f32, 0.25], [0.25, 0.75]], &Device::Cpu)?;
/// assert_eq!(ece(&probs, &[0, 0], ECE_BINS, None)?, 0.25);
/// # Ok::<(), candle_ensemble::Error>(())
/// ```
pub fn ece(probs: &Tensor, labels: &[u32], bins: usize, weights: Option<&[f32]>) -> Result<f64> {
    let mut table = EqualWidth::new(bins)?;
    Cases::new(probs, labels, weights)?.each(|case| table.add(&Top::of(&case), case.weight))?;
    Ok(table.error())
}

/// Expected calibration error of the most probable class, in bins of equal mass: as [`ece`], but each bin holds
/// the same share of the rows (Nguyen & O'Connor 2015, arXiv:1508.05154; Nixon et al. 2019, arXiv:1904.01685).
///
/// Rows are sorted by confidence, and a row goes to the bin in which the middle of its weight lies. Rows of equal
/// confidence stay together as one, so that the answer does not depend on the order of the rows; where many are
/// equal, bins are uneven or empty. `probs` is `(N, C)`; `weights`, one a row, take the place of counts. Errors:
/// see the [module](super); and unless there are 1 to 65536 bins.
///
/// ```
/// use candle_core::{Device, Tensor};
/// use candle_ensemble::metrics::ece_equal_mass;
///
/// let probs = Tensor::new(&[[0.75f32, 0.25], [0.875, 0.125]], &Device::Cpu)?;
/// assert_eq!(ece_equal_mass(&probs, &[0, 0], 2, None)?, (0.25 + 0.125) / 2.0);
/// # Ok::<(), candle_ensemble::Error>(())
/// ```
pub fn ece_equal_mass(probs: &Tensor, labels: &[u32], bins: usize, weights: Option<&[f32]>) -> Result<f64> {
    check_bins(bins)?;
    let mut rows = Vec::with_capacity(labels.len());
    Cases::new(probs, labels, weights)?.each(|case| rows.push((Top::of(&case), case.weight)))?;
    // By everything they are made of, so that sums come out the same to the bit in any order of the rows.
    rows.sort_unstable_by(|(a, v), (b, w)| {
        a.confidence.total_cmp(&b.confidence).then(a.correct.cmp(&b.correct)).then(v.total_cmp(w))
    });
    let total: f64 = rows.iter().map(|(_, weight)| weight).sum();
    let mut gaps = vec![0.0; bins];
    let mut below = 0.0;
    for equals in rows.chunk_by(|(a, _), (b, _)| a.confidence == b.confidence) {
        let weight: f64 = equals.iter().map(|(_, weight)| weight).sum();
        let middle = bins as f64 * (below + weight / 2.0) / total;
        gaps[(middle as usize).min(bins - 1)] +=
            equals.iter().map(|(top, weight)| gap(top, *weight)).sum::<f64>();
        below += weight;
    }
    Ok(expected(&gaps, total))
}

/// Bins of equal width under way.
pub(crate) struct EqualWidth {
    /// Upper edge of each bin, included in it.
    upper: Vec<f64>,
    /// Weight times (correct - confidence), summed for each bin.
    gaps: Vec<f64>,
    weight: f64,
}

impl EqualWidth {
    pub(crate) fn new(bins: usize) -> Result<Self> {
        check_bins(bins)?;
        let upper = (1..=bins).map(|b| b as f64 / bins as f64).collect();
        Ok(Self { upper, gaps: vec![0.0; bins], weight: 0.0 })
    }

    pub(crate) fn add(&mut self, top: &Top, weight: f64) {
        // Rounding may leave a confidence just above one: it belongs to the last bin.
        let bin = self.upper.partition_point(|&edge| edge < top.confidence).min(self.gaps.len() - 1);
        self.gaps[bin] += gap(top, weight);
        self.weight += weight;
    }

    pub(crate) fn error(&self) -> f64 {
        expected(&self.gaps, self.weight)
    }
}

fn gap(top: &Top, weight: f64) -> f64 {
    weight * (f64::from(top.correct) - top.confidence.min(1.0))
}

/// `n_b/N |acc_b - conf_b|` is the size of the bin's summed gap over N.
fn expected(gaps: &[f64], weight: f64) -> f64 {
    gaps.iter().map(|gap| gap.abs()).sum::<f64>() / weight
}

fn check_bins(bins: usize) -> Result<()> {
    if (1..=MOST_BINS).contains(&bins) {
        return Ok(());
    }
    Err(Error::invalid("number of bins", format!("1 to {MOST_BINS}"), bins))
}

#[cfg(test)]
mod tests {
    use super::super::tables;
    use super::*;
    use candle_core::Device;

    #[test]
    fn agrees_with_numpy() {
        let (probs, labels, weights) = tables::classification();
        let check = |bins, weights, expected| {
            tables::close(ece(&probs, &labels, bins, weights).unwrap(), expected);
        };
        check(5, None, 0.35096955169854704);
        check(15, None, 0.3550776182141712);
        check(5, Some(&weights[..]), 0.4427814266188019);
        check(15, Some(&weights[..]), 0.4427814266188018);
        tables::close(ece_equal_mass(&probs, &labels, 5, None).unwrap(), 0.3257662996660267);
        tables::close(ece_equal_mass(&probs, &labels, 15, None).unwrap(), 0.39528135891229194);
    }

    /// Confidences .5 (a tie, for class 0), .625, .75 and .875 in four bins of width .25: .5 alone in (.25, .5];
    /// .625 and .75 in (.5, .75]; .875 in (.75, 1]. Right, wrong, right, right: gaps .5, -.625 + .25, .125.
    #[test]
    fn agrees_with_a_hand() {
        let rows = [[0.5f64, 0.5], [0.625, 0.375], [0.25, 0.75], [0.875, 0.125]];
        let probs = Tensor::new(&rows, &Device::Cpu).unwrap();
        let labels = [0, 1, 1, 0];
        assert_eq!(ece(&probs, &labels, 4, None).unwrap(), (0.5 + 0.375 + 0.125) / 4.0);
        // The second row three times: gaps .5, -1.875 + .25, .125.
        let weights = [1.0, 3.0, 1.0, 1.0];
        tables::close(ece(&probs, &labels, 4, Some(&weights)).unwrap(), (0.5 + 1.625 + 0.125) / 6.0);
        // Halves of equal mass: .5 - .625 and .25 + .125.
        assert_eq!(ece_equal_mass(&probs, &labels, 2, None).unwrap(), (0.125 + 0.375) / 4.0);
        // The middles of the weights lie at .5, 2.5, 4.5 and 5.5 of 6: gaps .5 - 1.875 and .25 + .125.
        tables::close(ece_equal_mass(&probs, &labels, 2, Some(&weights)).unwrap(), (1.375 + 0.375) / 6.0);
        assert_eq!(ece(&probs, &labels, 1, None).unwrap(), ece_equal_mass(&probs, &labels, 1, None).unwrap());
    }

    /// 0.28 · 25 is above 7 in f64, but 0.28 is not above the edge 7/25.
    #[test]
    fn upper_edges_belong_to_their_bins() {
        let bins = 25;
        for b in 0..bins {
            let mut table = EqualWidth::new(bins).unwrap();
            table.add(&Top { confidence: (b + 1) as f64 / bins as f64, correct: false }, 1.0);
            assert!(table.gaps[b] < 0.0, "edge {b}");
        }
    }

    #[test]
    fn rows_of_equal_confidence_stay_together() {
        let probs = Tensor::new(&[[0.75f32, 0.25]; 8], &Device::Cpu).unwrap();
        let labels = [0, 0, 0, 0, 0, 0, 1, 1];
        assert_eq!(ece_equal_mass(&probs, &labels, 4, None).unwrap(), 0.0);
    }

    #[test]
    fn absurd_numbers_of_bins_are_refused() {
        let probs = Tensor::new(&[[0.75f32, 0.25]], &Device::Cpu).unwrap();
        for bins in [0, usize::MAX] {
            assert!(ece(&probs, &[0], bins, None).is_err());
            assert!(ece_equal_mass(&probs, &[0], bins, None).is_err());
        }
    }
}
