//! The traits of a merge method.
use crate::{merge::Sources, Error, Result};
use std::fmt;

/// A way to merge networks, tensor by tensor.
///
/// A tensor is merged in two steps. First, [`rule`](Self::rule) may pass over the elements of all inputs, to
/// compute what depends on whole tensors: thresholds, norms, products. Then the [`ElementwiseRule`] that it
/// returns computes each element of the result from the elements at the same position in the inputs. It gets
/// the elements in short strips, in any order. So the memory of a merge does not depend on the size or the
/// number of the inputs, and the bytes of the result do not depend on the number of threads.
///
/// All elements are converted to f64, which is exact. Each element of the result is rounded once, to the dtype
/// of its tensor.
///
/// [`merge`](crate::merge::merge()) applies a method to networks in memory,
/// [`FileMerge`](crate::merge::FileMerge) to files, and [`MergeSpec`](crate::merge::MergeSpec) to the
/// networks of a pool.
///
/// ```
/// use candle_core::{Device, Tensor};
/// use candle_ensemble::{merge::{self, Method, Needs, ElementwiseRule, Sources, Strip}, weights::Weights, Result};
///
/// /// The largest element at each position.
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
///     fn apply(&self, strip: &Strip<'_>, out: &mut [f64]) -> Result<()> {
///         for (i, out) in out.iter_mut().enumerate() {
///             *out = strip.networks.iter().map(|x| x[i]).fold(f64::MIN, f64::max);
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
    /// The name of the method, for messages.
    fn name(&self) -> &'static str;

    /// The inputs that the method needs.
    fn needs(&self) -> Needs;

    /// Checks the parameters of the method for this many networks.
    ///
    /// # Errors
    /// [`Error::Invalid`] names a parameter that is out of range.
    fn check(&self, networks: usize) -> Result<()>;

    /// The rule by which the elements of this tensor are merged.
    ///
    /// # Errors
    /// When the method cannot merge this tensor.
    fn rule(&self, tensor: &Sources<'_>) -> Result<Box<dyn ElementwiseRule>>;
}

/// Computes elements of the merged tensor from the elements at the same positions in the inputs.
///
/// [`Method::rule`] makes a rule for each tensor.
pub trait ElementwiseRule: Send + Sync {
    /// Writes the merged elements of a strip to all of `out`, which is as long as the strip.
    ///
    /// # Errors
    /// When the method cannot merge these elements.
    fn apply(&self, strip: &Strip<'_>, out: &mut [f64]) -> Result<()>;
}

/// A strip of one tensor: the elements at the same consecutive positions in all inputs. There are at most
/// [`STRIP_LEN`](crate::merge::STRIP_LEN), and all are finite when an [`ElementwiseRule`] reads them.
#[derive(Clone, Copy, Debug)]
pub struct Strip<'a> {
    /// The position of the first element in its tensor, in row-major order.
    pub start: usize,
    /// The elements of each network, in the order of the networks.
    pub networks: &'a [&'a [f64]],
    /// The elements of the base; empty without a base.
    pub base: &'a [f64],
    /// The elements of each network's Fisher diagonal; empty without Fisher diagonals.
    pub fishers: &'a [&'a [f64]],
}

impl Strip<'_> {
    /// The number of elements.
    pub(crate) fn len(&self) -> usize {
        self.networks.first().map_or(0, |numbers| numbers.len())
    }
}

/// The inputs that a [`Method`] needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Needs {
    /// The lowest number of networks.
    pub least: usize,
    /// The highest number of networks.
    pub most: usize,
    /// Whether the method needs the base that the networks were fine-tuned from.
    pub base: bool,
    /// Whether the method needs the Fisher diagonal of each network.
    pub fishers: bool,
}

impl Needs {
    /// At least this many networks, and nothing else.
    #[must_use]
    pub fn networks(least: usize) -> Self {
        Self { least, most: usize::MAX, base: false, fishers: false }
    }

    /// At least this many fine-tuned networks, and their base.
    #[must_use]
    pub fn fine_tuned(least: usize) -> Self {
        Self { base: true, ..Self::networks(least) }
    }
}

/// Checks that the inputs are those that a method needs, and its parameters.
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
                "given: the network that all others were fine-tuned from",
                "missing",
            ))
        }
        (false, true) => return Err(Error::invalid(format!("the base of {name}"), "left out", "given")),
        _ => {}
    }
    let fishers_needed = if needs.fishers { networks } else { 0 };
    if fishers != fishers_needed {
        let must = match needs.fishers {
            true => format!("{fishers_needed}, one for each network"),
            false => "0".to_string(),
        };
        return Err(Error::invalid(format!("the number of Fisher diagonals for {name}"), must, fishers));
    }
    method.check(networks)
}

/// Checks that a number is finite.
pub(crate) fn check_finite(what: &str, x: f64) -> Result<()> {
    if x.is_finite() {
        return Ok(());
    }
    Err(Error::invalid(what, "finite", x))
}

/// Checks that a density is above 0 and at most 1.
pub(crate) fn check_density(density: f64) -> Result<()> {
    if density > 0. && density <= 1. {
        return Ok(());
    }
    Err(Error::invalid("the density", "above 0 and at most 1", density))
}

/// The weights, or 1 for each network if none are given.
pub(crate) fn weights_or_ones(weights: Option<&[f64]>, networks: usize) -> Vec<f64> {
    weights.map_or_else(|| vec![1.; networks], <[f64]>::to_vec)
}
