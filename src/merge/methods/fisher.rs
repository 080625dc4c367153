//! Fisher-weighted averaging.
use crate::{
    check,
    kernels::{
        linear::{limit_to_range, StripSums},
        simd::vectorized,
    },
    merge::{methods::method::weights_or_ones, ElementwiseRule, Method, Needs, Sources, Strip, STRIP_LEN},
    Error, Result,
};

/// Averages networks element by element, weighted by their Fisher information.
///
/// Formula: `θ = Σ wᵢ Fᵢ∘θᵢ / Σ wᵢ Fᵢ`, where `Fᵢ` is the diagonal of the Fisher information of network `i`,
/// and `∘` multiplies element by element.
///
/// `Fᵢ` has the shape of `θᵢ`. Each of its elements is raised to the [floor](Self::floor), so elements about
/// which no network's data says anything are averaged by the weights alone. The floor should be far below the
/// elements that matter: below it all networks count the same.
///
/// The networks are alike here. The authors' code has a target, the first network, and by default raises only
/// the target's elements to the floor. Elements about which no data says anything are then those of the target:
/// [`favor_first`](Self::favor_first). It also divides each `Fᵢ` by its norm `‖Fᵢ‖`, taken over all tensors;
/// pass weights of `1/‖Fᵢ‖` for that.
///
/// Use it where data is at hand to compute the Fisher information
/// ([`diagonal_fisher`](crate::merge::diagonal_fisher())): each network then prevails in the elements that
/// matter to it. Without data, use [`LinearMerge`](crate::merge::LinearMerge).
///
/// Cost: one pass over the networks and their Fisher diagonals.
///
/// # Errors
/// As [`merge`](crate::merge::merge()); when a Fisher diagonal is missing or has a negative element, the
/// floor is not above 0, or a weight is out of range.
///
/// ```
/// use candle_core::{Device, Tensor};
/// use candle_ensemble::{merge::{Fisher, MergeInputs}, weights::Weights};
///
/// let named = |x: [f32; 2]| -> candle_core::Result<Weights> {
///     Ok(Weights::from([("w".into(), Tensor::new(&x, &Device::Cpu)?)]))
/// };
/// let (a, b) = (named([1., 1.])?, named([2., 2.])?);
/// let (certain, uncertain) = (named([3., 0.])?, named([1., 0.])?);
/// let merged = MergeInputs::new(&[&a, &b]).fishers(&[&certain, &uncertain]).merge(&Fisher::new())?;
/// assert_eq!(merged["w"].to_vec1::<f32>()?, [1.25, 1.5]);
/// # Ok::<(), candle_ensemble::Error>(())
/// ```
///
/// Source: Matena and Raffel (2022), "Merging models with Fisher-weighted averaging", arXiv:2111.09832.
#[derive(Clone, Debug)]
pub struct Fisher {
    weights: Option<Vec<f64>>,
    floor: f64,
    favor_first: bool,
}

impl Fisher {
    /// A merge with weights of 1 and a floor of 1e-6, which is that of the authors' code.
    #[must_use]
    pub fn new() -> Self {
        Self { weights: None, floor: 1e-6, favor_first: false }
    }

    /// A weight for each network: finite, at least 0, and not all 0; 1 by default.
    #[must_use]
    pub fn weights(mut self, weights: &[f64]) -> Self {
        self.weights = Some(weights.to_vec());
        self
    }

    /// The lower bound of the elements of the Fisher diagonals, above 0 and finite; 1e-6 by default.
    #[must_use]
    pub fn floor(mut self, floor: f64) -> Self {
        self.floor = floor;
        self
    }

    /// Whether only the first network's Fisher diagonal is raised to the floor, so that the result is the first
    /// network's element where the information of all networks is near 0; false by default. The weight of the
    /// first network must be above 0 then.
    #[must_use]
    pub fn favor_first(mut self, favor: bool) -> Self {
        self.favor_first = favor;
        self
    }
}

impl Default for Fisher {
    fn default() -> Self {
        Self::new()
    }
}

impl Method for Fisher {
    fn name(&self) -> &'static str {
        "Fisher-weighted averaging"
    }

    fn needs(&self) -> Needs {
        Needs { fishers: true, ..Needs::networks(1) }
    }

    fn check(&self, networks: usize) -> Result<()> {
        if !(self.floor.is_finite() && self.floor > 0.) {
            return Err(Error::invalid("the floor", "finite and above 0", self.floor));
        }
        check::weights(self.weights.as_deref(), networks, false)?;
        match self.weights.as_deref() {
            Some([first, ..]) if self.favor_first && *first == 0. => {
                Err(Error::invalid("the weight of the first network, which is favored,", "above 0", first))
            }
            _ => Ok(()),
        }
    }

    fn rule(&self, tensor: &Sources<'_>) -> Result<Box<dyn ElementwiseRule>> {
        let weights = weights_or_ones(self.weights.as_deref(), tensor.networks());
        let floors = (0..tensor.networks()).map(|i| if self.favor_first && i > 0 { 0. } else { self.floor });
        Ok(Box::new(FisherRule { weights, floors: floors.collect(), name: tensor.name().into() }))
    }
}

/// The rule for one tensor.
struct FisherRule {
    weights: Vec<f64>,
    floors: Vec<f64>,
    name: String,
}

impl ElementwiseRule for FisherRule {
    fn apply(&self, strip: &Strip<'_>, out: &mut [f64]) -> Result<()> {
        let negative = |fisher: &&[f64]| fisher.iter().any(|f| *f < 0.);
        if strip.fishers.iter().any(negative) {
            let what = format!("the Fisher information of {}", self.name);
            return Err(Error::invalid(what, "at least 0", "negative"));
        }
        vectorized(
            #[inline(always)]
            || {
                // Relative to the largest information at each position, so that no product overflows.
                let (mut largest, mut shares): (StripSums, StripSums) = ([0.; STRIP_LEN], [0.; STRIP_LEN]);
                for (floor, fisher) in self.floors.iter().zip(strip.fishers) {
                    for (largest, f) in largest.iter_mut().zip(*fisher) {
                        let f = if *f > *floor { *f } else { *floor };
                        *largest = if f > *largest { f } else { *largest };
                    }
                }
                out.fill(0.);
                let networks = self.weights.iter().zip(&self.floors).zip(strip.networks).zip(strip.fishers);
                for (((w, floor), x), fisher) in networks {
                    let sums = out.iter_mut().zip(&mut shares).zip(&largest);
                    for (((sum, share), largest), (x, f)) in sums.zip(x.iter().zip(*fisher)) {
                        let f = w * (if *f > *floor { *f } else { *floor } / largest);
                        *sum += f * x;
                        *share += f;
                    }
                }
                for (out, share) in out.iter_mut().zip(&shares) {
                    *out /= share;
                }
                limit_to_range(&self.weights, strip.networks, out);
            },
        );
        Ok(())
    }
}
