//! Permutation alignment: the hidden units of one network in the order of another's.
//!
//! Hidden units can be in any order without a change of what a network computes, and independently trained
//! networks have them in different orders. In a plain average each unit is therefore the mean of two
//! unrelated units. Alignment finds, for each group of units, the order in which they match those of another
//! network. Then the average is meaningful.
//!
//! 1. A [`PermutationSpec`] lists the axes that share units. A [`Trace`](crate::merge::Trace) derives it from
//!    the model.
//! 2. [`align`] finds the orders, and returns the network with its units reordered.
//! 3. [`Aligned::unless_worse`] keeps the result only if the [barrier](crate::merge::barrier()) is not higher
//!    than before.
//! 4. [`re_estimate`](crate::merge::re_estimate()) the batch-norm statistics of the average, or
//!    [`repair`](crate::merge::repair()) it.
//!
//! [`MergeSpec::alignment`](crate::merge::MergeSpec::alignment) does all of this for a pool.
//!
//! ```
//! use candle_core::{DType, Device, Tensor};
//! use candle_ensemble::{data::TensorDataset, merge::{*, align::{align, Matching}}, strategy::MultiRun, train::Trainer, Session};
//! use candle_nn::{linear, seq, Activation};
//!
//! let x = Tensor::arange(0f32, 80., &Device::Cpu)?.affine(0.05, -2.)?.reshape((40, 2))?;
//! let data = TensorDataset::classification(&x, &Tensor::from_iter((0..40u32).map(|i| i / 20), &Device::Cpu)?)?;
//! let trainer = Trainer::new(|vb| {
//!     Ok(seq().add(linear(2, 16, vb.pp(0))?).add(Activation::Relu).add(linear(16, 2, vb.pp(1))?))
//! });
//! let pool = Session::new(&trainer, &data).fit(&MultiRun::new(2), 42)?;
//! let [a, b] = [0, 1].map(|i: usize| &pool.members()[i].weights);
//!
//! let model = Model::new(&trainer)?;
//! let spec = Trace::new(&model, &x)?.permutations()?;
//! let rows: Vec<u32> = (0..40).collect();
//! let chosen = align(a, b, &spec, &Matching::Weights, 1)?
//!     .unless_worse(a, b, BARRIER_POINTS, |w| model.loss(w, &data, &rows))?;
//! assert!(chosen.after.height <= chosen.before.height);
//! # Ok::<(), candle_ensemble::Error>(())
//! ```
//!
//! Source: Ainsworth, Hayase and Srinivasa (2023), "Git Re-Basin: merging models modulo permutation
//! symmetries", arXiv:2209.04836.
mod activations;
mod assignment;
mod spec;
pub(crate) mod trace;
mod weights;

pub use activations::Activations;
pub use spec::{inverse, Axis, Group, PermutationSpec, Permutations, UnitLayout};

use crate::{
    merge::{barrier, uniform_soup, Barrier},
    weights::{compatibility, Weights},
    Error, Result, Seed,
};
use rand::seq::SliceRandom;
use std::fmt;

/// How units of two networks are matched.
#[derive(Clone, Copy)]
#[non_exhaustive]
pub enum Matching<'a> {
    /// Matches units by their weights (Ainsworth et al. 2023, section 3.2).
    ///
    /// Formula: the orders `P` that maximize `Σ ⟨W_a, P(W_b)⟩` over all parameters along whose axes the units
    /// lie.
    ///
    /// Groups are visited in a random order. For each the best order is found by linear assignment on
    /// `A = Σ W_a P(W_b)ᵀ`, with the other groups held, until no group gains more than 10⁻¹² of
    /// `Σ ‖W_a‖ ‖W_b‖`, or for 100 sweeps. The result is a local optimum. The paper starts from the present
    /// order; here the search also starts from orders that are built from the inputs and outputs inwards, and
    /// the better result is kept. So a network that is the reference in another order is recovered, as long
    /// as its units differ. Running statistics of batch-norm are reordered with their units, but not
    /// compared.
    ///
    /// Use it by default: it needs no data.
    ///
    /// Cost: an assignment of 512 units takes about 0.1 s, of 2048 units about 2 s.
    Weights,
    /// Matches units by their activations on given rows (Li et al. 2016, arXiv:1511.07543; Ainsworth et al.,
    /// section 3.1).
    ///
    /// Formula: the order that maximizes the sum of the correlations of matched units, averaged over all
    /// layers that read the group.
    ///
    /// The closure returns the [`Activations`] of a network;
    /// [`Trace::activations`](crate::merge::Trace::activations) computes them without changes to the model.
    /// Each group needs one linear assignment, whose result is a global optimum.
    ///
    /// Use it where representative rows are at hand; it is better than weights for networks whose weights are
    /// noisy.
    ///
    /// Cost: one pass over the rows for each network, and one assignment for each group.
    Activations(&'a dyn Fn(&Weights) -> Result<Activations>),
}

impl fmt::Debug for Matching<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Weights => "Weights",
            Self::Activations(_) => "Activations",
        })
    }
}

/// A network with its units in the order of another's.
#[derive(Clone, Debug)]
pub struct Aligned {
    /// The weights of the network, which computes the same as before.
    pub weights: Weights,
    /// The orders that were applied to its groups of units.
    pub permutations: Permutations,
    /// The similarity of the networks before, from −1 to 1: `Σ ⟨W_a, W_b⟩ / Σ ‖W_a‖ ‖W_b‖`, or the mean
    /// correlation.
    pub similarity_before: f64,
    /// The similarity of the networks now.
    pub similarity: f64,
    /// The number of sweeps over all groups.
    pub sweeps: usize,
}

/// The result of a matching.
struct Matched {
    orders: Permutations,
    similarity_before: f64,
    similarity: f64,
    sweeps: usize,
}

/// Reorders the units of `other` to match those of `reference`.
///
/// The networks must have the same names, shapes and dtypes; the result has them, too. See [`Matching`] for
/// the formulas.
///
/// Use it for two independently trained networks of one architecture before their weights are averaged. For
/// more networks use [`align_to_mean`] or [`align_all`].
///
/// Cost: that of the [`Matching`].
///
/// # Errors
/// [`Error::Incompatible`] when names, shapes or dtypes differ (all differences are listed). When the spec
/// does not fit the networks, or an element is NaN or infinite.
///
/// The [module](self) has an example.
///
/// Source: Ainsworth et al. (2023), arXiv:2209.04836.
pub fn align(
    reference: &Weights,
    other: &Weights,
    spec: &PermutationSpec,
    method: &Matching<'_>,
    seed: impl Into<Seed>,
) -> Result<Aligned> {
    compatibility::check(&[reference, other])?;
    spec.check(reference)?;
    let found = match method {
        Matching::Weights => weights::match_weights(reference, other, spec, seed.into())?,
        Matching::Activations(of) => activations::match_activations(&of(reference)?, &of(other)?, spec)?,
    };
    let Matched { orders, similarity_before, similarity, sweeps } = found;
    let weights = spec.apply(other, &orders)?;
    Ok(Aligned { weights, permutations: orders, similarity_before, similarity, sweeps })
}

/// Reorders the units of each network to match those of the first network, which is unchanged.
///
/// Use it for several networks where one is the natural reference. [`align_to_mean`] treats all networks the
/// same.
///
/// Cost: one [`align`] for each network but the first.
///
/// # Errors
/// As [`align`], and when there are no networks.
///
/// Source: Ainsworth et al. (2023), arXiv:2209.04836.
pub fn align_all(
    networks: &[&Weights],
    spec: &PermutationSpec,
    method: &Matching<'_>,
    seed: impl Into<Seed>,
) -> Result<Vec<Weights>> {
    let seed = seed.into();
    let Some((first, rest)) = networks.split_first() else {
        return Err(Error::invalid("the number of networks", "at least 1", 0));
    };
    spec.check(first)?;
    let others = rest.iter().enumerate();
    let others = others
        .map(|(i, other)| Ok(align(first, other, spec, method, seed.nth("network", i as u64))?.weights));
    std::iter::once(Ok((*first).clone())).chain(others).collect()
}

/// Reorders the units of each network to match the mean of the others ("MergeMany").
///
/// After [`align_all`], rounds follow. In each round every network in turn, in random order, is aligned by
/// its weights to the mean of the others, until a round changes nothing, or for 100 rounds.
///
/// Use it for more than two networks: it treats all of them the same, where [`align_all`] favours the first.
///
/// Cost: one [`align`] for each network and round; usually a few rounds.
///
/// # Errors
/// As [`align`], and when there are fewer than two networks.
///
/// Source: Ainsworth et al. (2023), arXiv:2209.04836, algorithm 3.
pub fn align_to_mean(
    networks: &[&Weights],
    spec: &PermutationSpec,
    seed: impl Into<Seed>,
) -> Result<Vec<Weights>> {
    const ROUNDS: u64 = 100;
    let seed = seed.into();
    let mut aligned = align_all(networks, spec, &Matching::Weights, seed.child("start"))?;
    if aligned.len() < 2 {
        return Err(Error::invalid("the number of networks", "at least 2", aligned.len()));
    }
    let identity = spec.identity();
    for round in 0..ROUNDS {
        let seed = seed.nth("round", round);
        let mut order: Vec<usize> = (0..aligned.len()).collect();
        order.shuffle(&mut seed.rng());
        let mut changed = false;
        for i in order {
            let others = aligned.iter().enumerate().filter(|(j, _)| *j != i);
            let mean = uniform_soup(&others.map(|(_, weights)| weights).collect::<Vec<_>>())?;
            let Some(network) = aligned.get_mut(i) else { continue };
            let found = align(&mean, network, spec, &Matching::Weights, seed.nth("network", i as u64))?;
            changed |= found.permutations != identity;
            *network = found.weights;
        }
        if !changed {
            break;
        }
    }
    Ok(aligned)
}

/// The better of a network before and after its alignment.
#[derive(Clone, Debug)]
pub struct Chosen {
    /// The weights of the network: aligned, or as before if the barrier was lower then.
    pub weights: Weights,
    /// Whether the network is aligned.
    pub aligned: bool,
    /// The barrier before the alignment.
    pub before: Barrier,
    /// The barrier of the chosen network, never higher than `before`.
    pub after: Barrier,
}

impl Aligned {
    /// Measures the barrier before and after the alignment, and chooses the network with the lower one.
    /// `reference` and `other` are the networks that were passed to [`align`]; see [`barrier`] for `points`
    /// and `loss`.
    ///
    /// # Errors
    /// As [`barrier`].
    pub fn unless_worse(
        self,
        reference: &Weights,
        other: &Weights,
        points: usize,
        mut loss: impl FnMut(&Weights) -> Result<f64>,
    ) -> Result<Chosen> {
        let before = barrier(reference, other, points, &mut loss)?;
        let after = barrier(reference, &self.weights, points, &mut loss)?;
        if after.height <= before.height {
            return Ok(Chosen { weights: self.weights, aligned: true, before, after });
        }
        Ok(Chosen { weights: other.clone(), aligned: false, after: before.clone(), before })
    }
}

#[cfg(all(test, feature = "align"))]
mod tests;
