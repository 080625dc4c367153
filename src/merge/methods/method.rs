//! What a way of merging is.
use crate::{merge::Sources, Error, Result};
use std::fmt;

/// A way to make one network out of several, tensor by tensor.
///
/// A tensor is merged in two steps. [`rule`](Self::rule) may walk over the numbers of all inputs first, for what
/// depends on whole tensors: thresholds, norms, products. The [`ElementwiseRule`] it returns then makes each number of the result
/// from the numbers at the same place in the inputs, short strips at a time and in any order. So neither the size nor
/// the number of the inputs decides what memory a merge takes, and the result is the same bytes for any number of
/// threads.
///
/// All numbers come as f32: f16 and bf16 exactly, f64 rounded.
///
/// ```
/// use candle_core::{Device, Tensor};
/// use candle_ensemble::{merge::{self, Method, Needs, ElementwiseRule, Sources, Strip}, weights::Weights, Result};
///
/// /// The largest number at each place.
/// #[derive(Debug)]
/// struct Largest;
///
/// impl Method for Largest {
///     fn name(&self) -> &'static str {
///         "largest"
///     }
///     fn needs(&self) -> Needs {
///         Needs::networks(1)
///     }
///     fn check(&self, _networks: usize) -> Result<()> {
///         Ok(())
///     }
///     fn rule(&self, _tensor: &Sources<'_>) -> Result<Box<dyn ElementwiseRule>> {
///         Ok(Box::new(Largest))
///     }
/// }
///
/// impl ElementwiseRule for Largest {
///     fn apply(&self, strip: &Strip<'_>, out: &mut [f32]) -> Result<()> {
///         for (i, out) in out.iter_mut().enumerate() {
///             *out = strip.networks.iter().map(|x| x[i]).fold(f32::MIN, f32::max);
///         }
///         Ok(())
///     }
/// }
///
/// let network = |v: [f32; 2]| -> Result<_> { Ok(Weights::from([("w".into(), Tensor::new(&v, &Device::Cpu)?)])) };
/// let merged = merge::merge(&Largest, &[&network([1., 5.])?, &network([3., 4.])?], None)?;
/// assert_eq!(merged["w"].to_vec1::<f32>()?, [3., 5.]);
/// # Ok::<(), candle_ensemble::Error>(())
/// ```
pub trait Method: fmt::Debug + Send + Sync {
    /// Its name, as errors say it.
    fn name(&self) -> &'static str;

    /// What it merges.
    fn needs(&self) -> Needs;

    /// Checks its parameters for this many networks.
    ///
    /// # Errors
    /// [`Error::Invalid`] names the parameter.
    fn check(&self, networks: usize) -> Result<()>;

    /// How the numbers of this tensor are merged.
    ///
    /// # Errors
    /// What the method cannot do with this tensor.
    fn rule(&self, tensor: &Sources<'_>) -> Result<Box<dyn ElementwiseRule>>;
}

/// Makes numbers of the result from the numbers at the same places in the inputs.
pub trait ElementwiseRule: Send + Sync {
    /// Writes the merged numbers of a strip into all of `out`, which is as long as the strip.
    ///
    /// # Errors
    /// What the method cannot do with these numbers.
    fn apply(&self, strip: &Strip<'_>, out: &mut [f32]) -> Result<()>;
}

/// The same places of one tensor in all inputs: at most [`STRIP_LEN`] finite numbers of each.
#[derive(Clone, Copy, Debug)]
pub struct Strip<'a> {
    /// Which number of its tensor, row by row, the first is.
    pub start: usize,
    /// Of each network, in the order given.
    pub networks: &'a [&'a [f32]],
    /// Of the common ancestor; empty without one.
    pub base: &'a [f32],
    /// Of each network's diagonal Fisher information; empty without.
    pub fishers: &'a [&'a [f32]],
}

/// What a method merges.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Needs {
    /// The fewest networks.
    pub least: usize,
    /// The most networks.
    pub most: usize,
    /// Whether it needs the network from which all others were fine-tuned.
    pub base: bool,
    /// Whether it needs the diagonal Fisher information of each network.
    pub fishers: bool,
}

impl Needs {
    /// That many networks or more, and nothing else.
    #[must_use]
    pub fn networks(least: usize) -> Self {
        Self { least, most: usize::MAX, base: false, fishers: false }
    }

    /// That many fine-tuned networks or more, and their common ancestor.
    #[must_use]
    pub fn fine_tuned(least: usize) -> Self {
        Self { base: true, ..Self::networks(least) }
    }
}

/// Whether the inputs are what a method merges.
pub(crate) fn check(method: &dyn Method, networks: usize, base: bool, fishers: usize) -> Result<()> {
    let (needs, name) = (method.needs(), method.name());
    if networks < needs.least || networks > needs.most {
        let must = match needs.most {
            most if most == needs.least => format!("exactly {most}"),
            _ => format!("at least {}", needs.least),
        };
        return Err(Error::invalid(format!("the number of networks for {name}"), must, networks));
    }
    match (needs.base, base) {
        (true, false) => {
            return Err(Error::invalid(
                format!("the base of {name}"),
                "the networks' common ancestor",
                "missing",
            ))
        }
        (false, true) => return Err(Error::invalid(format!("the base of {name}"), "left out", "given")),
        _ => {}
    }
    let fishers_needed = if needs.fishers { networks } else { 0 };
    if fishers != fishers_needed {
        let must = format!("{fishers_needed}, one for each network that the method weighs by it");
        return Err(Error::invalid(format!("the number of Fisher diagonals for {name}"), must, fishers));
    }
    method.check(networks)
}

/// A finite number.
pub(crate) fn check_finite(what: &str, x: f64) -> Result<()> {
    if x.is_finite() {
        return Ok(());
    }
    Err(Error::invalid(what, "finite", x))
}

/// A share above 0 and up to 1.
pub(crate) fn check_density(density: f64) -> Result<()> {
    if density > 0. && density <= 1. {
        return Ok(());
    }
    Err(Error::invalid("the density", "above 0 and at most 1", density))
}

/// The weights, 1 for each network where none are given.
pub(crate) fn weights_or_ones(weights: Option<&[f64]>, networks: usize) -> Vec<f64> {
    weights.map_or_else(|| vec![1.; networks], <[f64]>::to_vec)
}
