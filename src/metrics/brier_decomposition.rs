//! The parts of the Brier score.
use crate::{
    metrics::{
        calibration_bins::Bins,
        inputs::{Case, Cases},
        stream::Accumulate,
    },
    Result,
};
use candle_core::Tensor;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

/// The parts of the [`brier`](super::brier()) score, each summed over the classes.
///
/// ```text
/// Brier = reliability − resolution + uncertainty + within_bin_variance − within_bin_covariance
/// ```
///
/// [`brier_decomposition`] computes it.
///
/// # Examples
/// ```
/// use candle_core::{Device, Tensor};
/// use candle_ensemble::metrics::{brier, brier_decomposition};
///
/// let probs = Tensor::new(&[[0.75f32, 0.25], [0.75, 0.25], [0.5, 0.5], [0.25, 0.75]], &Device::Cpu)?;
/// let labels = [0, 1, 0, 1];
/// let parts = brier_decomposition(&probs, &labels, None, None)?;
/// assert_eq!(parts.uncertainty, 0.5); // half of the rows are of each class
/// assert!((parts.brier() - brier(&probs, &labels, None)?).abs() < 1e-15);
/// # Ok::<(), candle_ensemble::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct BrierDecomposition {
    /// `Σ_c Σ_b n_b/N (p̄_b − ȳ_b)²`, 0 or more; less is better. It is 0 where the mean probability `p̄_b` of
    /// every bin is the share `ȳ_b` of the class in the bin, so it measures calibration.
    pub reliability: f64,
    /// `Σ_c Σ_b n_b/N (ȳ_b − ȳ)²`, from 0 to the uncertainty; more is better. It is 0 where the classes have
    /// the same shares in every bin.
    pub resolution: f64,
    /// `Σ_c ȳ (1 − ȳ)`, with the share `ȳ` of the class. It depends on the labels only.
    pub uncertainty: f64,
    /// `Σ_c 1/N Σᵢ (pᵢ − p̄_b)²`, 0 or more: how far the probabilities of a bin are apart. It is 0 where
    /// every bin has one probability.
    pub within_bin_variance: f64,
    /// `Σ_c 2/N Σᵢ (pᵢ − p̄_b)(yᵢ − ȳ_b)`: whether the probabilities of a bin still tell its rows apart. It
    /// is 0 where every bin has one probability.
    pub within_bin_covariance: f64,
}

impl BrierDecomposition {
    /// Returns the sum of the parts, which is the Brier score.
    #[must_use]
    pub fn brier(&self) -> f64 {
        self.reliability + self.uncertainty - self.generalized_resolution()
    }

    /// Returns `resolution − within_bin_variance + within_bin_covariance`, with which the Brier score is
    /// `reliability − generalized resolution + uncertainty` for any bins.
    #[must_use]
    pub fn generalized_resolution(&self) -> f64 {
        self.resolution - self.within_bin_variance + self.within_bin_covariance
    }
}

/// Computes the reliability, the resolution and the uncertainty of the Brier score of class probabilities,
/// and what the bins hide of it.
///
/// `probs` is `(N, C)` (rows, classes) of any float type; `weights` has one weight for each row and takes the
/// place of counts. The rows are put into bins for each class by its own probability: with `bins` into as
/// many bins of equal width, `(b/bins, (b+1)/bins]` (the first with 0), and without into one bin for each
/// distinct probability. Without bins the parts within bins are exactly 0, and the three others alone add up
/// to the score. See [`BrierDecomposition`] for the formulas.
///
/// Use it to see whether a better Brier score comes from calibration or from telling the classes apart. Use
/// bins where nearly all probabilities differ: without, each row is a bin of its own, the resolution is the
/// uncertainty, and the reliability is the whole score. With few rows in a bin, reliability and resolution
/// are too large (Bröcker 2012, doi:10.1007/s00382-011-1191-1).
///
/// The cost is one pass over the probabilities; without bins also a sort of the rows for each class, on all
/// cores, and a copy of the probabilities in f64.
///
/// # Errors
/// When the inputs are not valid (see the [module](super)), or the number of bins is not between 1 and 65536.
///
/// # Examples
/// ```
/// use candle_core::{Device, Tensor};
/// use candle_ensemble::metrics::brier_decomposition;
///
/// // Always the shares of the classes: reliable, but of no use.
/// let probs = Tensor::new(&[[0.75f32, 0.25]; 4], &Device::Cpu)?;
/// let parts = brier_decomposition(&probs, &[0, 0, 1, 0], Some(10), None)?;
/// assert_eq!((parts.reliability, parts.resolution, parts.uncertainty), (0.0, 0.0, 0.375));
/// # Ok::<(), candle_ensemble::Error>(())
/// ```
///
/// Sources: Murphy 1973, doi:10.1175/1520-0450(1973)012<0595:ANVPOT>2.0.CO;2; for the parts within bins
/// Stephenson, Coelho and Jolliffe 2008, doi:10.1175/2007WAF2006116.1.
pub fn brier_decomposition(
    probs: &Tensor,
    labels: &[u32],
    bins: Option<usize>,
    weights: Option<&[f64]>,
) -> Result<BrierDecomposition> {
    let cases = Cases::new(probs, labels, weights)?;
    match bins {
        Some(bins) => {
            let mut binned = Binned::new(Bins::new(bins)?);
            cases.each(|case| binned.add(&case))?;
            Ok(binned.parts())
        }
        None => {
            let mut distinct = Distinct::default();
            cases.each(|case| distinct.add(&case))?;
            Ok(distinct.parts())
        }
    }
}

/// The rows of one bin of one class: the running means of probability and outcome, and the sums of squares
/// and products of their deviations (West 1979, doi:10.1145/359146.359153).
#[derive(Clone, Copy, Default)]
struct Bin {
    weight: f64,
    prob: f64,
    outcome: f64,
    square: f64,
    product: f64,
}

impl Bin {
    fn add(&mut self, prob: f64, outcome: f64, weight: f64) {
        if weight == 0.0 {
            return; // The share below would be 0/0 in the first row.
        }
        self.weight += weight;
        let share = weight / self.weight;
        let (prob_gap, outcome_gap) = (prob - self.prob, outcome - self.outcome);
        self.prob += share * prob_gap;
        self.outcome += share * outcome_gap;
        self.square += weight * prob_gap * (prob - self.prob);
        self.product += weight * prob_gap * (outcome - self.outcome);
    }
}

/// The parts of one class from its bins.
fn of_class(bins: impl Iterator<Item = Bin> + Clone) -> BrierDecomposition {
    let total: f64 = bins.clone().map(|bin| bin.weight).sum();
    let base = bins.clone().map(|bin| bin.weight * bin.outcome).sum::<f64>() / total;
    let mean = |part: fn(&Bin, f64) -> f64| bins.clone().map(|bin| part(&bin, base)).sum::<f64>() / total;
    BrierDecomposition {
        reliability: mean(|bin, _| bin.weight * (bin.prob - bin.outcome).powi(2)),
        resolution: mean(|bin, base| bin.weight * (bin.outcome - base).powi(2)),
        uncertainty: base * (1.0 - base),
        within_bin_variance: mean(|bin, _| bin.square),
        within_bin_covariance: mean(|bin, _| 2.0 * bin.product),
    }
}

/// The sum over the classes.
fn sum(classes: impl IntoIterator<Item = BrierDecomposition>) -> BrierDecomposition {
    classes.into_iter().fold(BrierDecomposition::default(), |a, b| BrierDecomposition {
        reliability: a.reliability + b.reliability,
        resolution: a.resolution + b.resolution,
        uncertainty: a.uncertainty + b.uncertainty,
        within_bin_variance: a.within_bin_variance + b.within_bin_variance,
        within_bin_covariance: a.within_bin_covariance + b.within_bin_covariance,
    })
}

/// Bins of equal width.
struct Binned {
    bins: Bins,
    /// The bins of each class.
    table: Vec<Bin>,
}

impl Binned {
    fn new(bins: Bins) -> Self {
        Self { bins, table: vec![] }
    }

    fn add(&mut self, case: &Case<'_>) {
        let bins = self.bins.count();
        self.table.resize(bins * case.probs.len(), Bin::default());
        for (class, (table, p)) in self.table.chunks_exact_mut(bins).zip(case.probs).enumerate() {
            if let Some(bin) = table.get_mut(self.bins.of(*p)) {
                bin.add(*p, f64::from(class == case.label), case.weight);
            }
        }
    }

    fn parts(&self) -> BrierDecomposition {
        sum(self.table.chunks_exact(self.bins.count()).map(|table| of_class(table.iter().copied())))
    }
}

/// Accumulates one part in bins of equal width, as a metric.
pub(crate) struct BrierPart {
    binned: Binned,
    part: fn(&BrierDecomposition) -> f64,
}

impl BrierPart {
    pub(crate) fn new(bins: Bins, part: fn(&BrierDecomposition) -> f64) -> Self {
        Self { binned: Binned::new(bins), part }
    }
}

impl Accumulate<Case<'_>> for BrierPart {
    fn add(&mut self, case: &Case<'_>) {
        self.binned.add(case);
    }

    fn finish(self: Box<Self>) -> Result<f64> {
        Ok((self.part)(&self.binned.parts()))
    }
}

/// One bin for each distinct probability.
#[derive(Default)]
struct Distinct {
    classes: usize,
    probs: Vec<f64>,
    rows: Vec<(usize, f64)>,
}

impl Distinct {
    fn add(&mut self, case: &Case<'_>) {
        self.classes = case.probs.len();
        if case.weight > 0.0 {
            self.probs.extend_from_slice(case.probs);
            self.rows.push((case.label, case.weight));
        }
    }

    fn parts(&self) -> BrierDecomposition {
        let classes: Vec<_> = (0..self.classes).into_par_iter().map(|class| self.class(class)).collect();
        sum(classes)
    }

    fn class(&self, class: usize) -> BrierDecomposition {
        let probs = self.probs.iter().skip(class).step_by(self.classes.max(1));
        let each = probs.zip(&self.rows).map(|(p, (label, weight))| (*p, *label == class, *weight));
        let mut rows: Vec<(f64, bool, f64)> = each.collect();
        // By all fields, so that sums have the same bits for any order of the rows.
        rows.sort_unstable_by(|(p, a, v), (q, b, w)| p.total_cmp(q).then(a.cmp(b)).then(v.total_cmp(w)));
        let bins: Vec<Bin> = rows
            .chunk_by(|(p, ..), (q, ..)| p == q)
            .map(|equals| {
                let mut bin = Bin::default();
                equals.iter().for_each(|(p, hit, weight)| bin.add(*p, f64::from(*hit), *weight));
                bin
            })
            .collect();
        of_class(bins.iter().copied())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::{
        brier,
        reference::{classification, close, ties},
    };
    use proptest::prelude::*;

    fn array(parts: BrierDecomposition) -> [f64; 5] {
        let BrierDecomposition { reliability, resolution, uncertainty, .. } = parts;
        [reliability, resolution, uncertainty, parts.within_bin_variance, parts.within_bin_covariance]
    }

    #[test]
    fn agrees_with_numpy() {
        let tables = [
            (
                classification(),
                [
                    [0.6396349970060226, 0.7350000000000001, 0.735, 0.0, 0.0],
                    [0.6154215849429465, 0.7475283446712027, 0.7475283446712019, 0.0, 0.0],
                ],
                [
                    [
                        0.08039918391652988,
                        0.159864509350927,
                        0.735,
                        0.011680063711737368,
                        0.027579741271317234,
                    ],
                    [
                        0.10290373374660378,
                        0.21268511361341738,
                        0.7475283446712019,
                        0.010970488356111547,
                        0.03329586821755314,
                    ],
                ],
            ),
            (
                ties(),
                [
                    [0.4592592592592593, 0.5888888888888889, 0.7222222222222223, 0.0, 0.0],
                    [0.4439553599217465, 0.6351874082966522, 0.72562358276644, 0.0, 0.0],
                ],
                [
                    [
                        0.42063492063492064,
                        0.5793650793650794,
                        0.7222222222222223,
                        0.013227513227513225,
                        -0.015873015873015872,
                    ],
                    [
                        0.4055988455988456,
                        0.6248443619872192,
                        0.72562358276644,
                        0.01392977392977393,
                        -0.014083694083694082,
                    ],
                ],
            ),
        ];
        for ((probs, labels, weights), distinct, binned) in tables {
            for (bins, expected) in [(None, distinct), (Some(5), binned)] {
                for (w, expected) in [None, Some(&weights[..])].into_iter().zip(expected) {
                    let parts = brier_decomposition(&probs, &labels, bins, w).unwrap();
                    array(parts).into_iter().zip(expected).for_each(|(a, b)| close(a, b));
                    close(parts.brier(), brier(&probs, &labels, w).unwrap());
                }
            }
        }
    }

    #[test]
    fn distinct_probabilities_leave_nothing_within_bins() {
        for (probs, labels, weights) in [classification(), ties()] {
            let parts = brier_decomposition(&probs, &labels, None, Some(&weights)).unwrap();
            assert_eq!((parts.within_bin_variance, parts.within_bin_covariance), (0.0, 0.0));
        }
    }

    proptest! {
        #[test]
        fn the_parts_add_up(bins in prop::option::of(1usize..40), seed in any::<u64>()) {
            let (probs, labels, _) = if seed % 2 == 0 { classification() } else { ties() };
            let weights: Vec<f64> = (0..labels.len()).map(|i| f64::from(((seed >> (i % 60)) % 8) as u8)).collect();
            prop_assume!(weights.iter().any(|w| *w > 0.0));
            let parts = brier_decomposition(&probs, &labels, bins, Some(&weights)).unwrap();
            let whole = brier(&probs, &labels, Some(&weights)).unwrap();
            prop_assert!((parts.brier() - whole).abs() < 1e-13, "{parts:?}, {whole}");
            prop_assert!(parts.resolution <= parts.uncertainty + 1e-13);
        }
    }
}
