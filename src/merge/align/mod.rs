//! Permutation alignment: the units of one network in the order of another's.
//!
//! Hidden units can stand in any order, and networks trained apart put them in different ones; averaged as they are,
//! each unit is the mean of two strangers. Alignment finds for each group of units the order in which they match
//! (Ainsworth, Hayase and Srinivasa 2023, "Git Re-Basin", arXiv:2209.04836), which changes nothing that the network
//! computes. Then averages mean something.
//!
//! 1. A [`PermutationSpec`] says which axes share units: by hand, or by [`Trace`](crate::merge::align::trace::Trace).
//! 2. [`align`] finds the orders and returns the other network in the reference's.
//! 3. [`Aligned::unless_worse`] keeps it only if the [barrier](crate::merge::network::barrier()) is no higher than before.
//! 4. [`re_estimate`](crate::merge::network::re_estimate::re_estimate()) batch-norm's statistics of the average, or [`repair`](crate::merge::network::repair()) it.
//!
//! ```
//! use candle_core::{DType, Device, Tensor};
//! use candle_ensemble::{data::TensorDataset, merge::{*, align::{align, Matching}}, strategy::MultiRun, train::Trainer, weights::*, Session};
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
//! let chosen = align(a, b, &spec, &Matching::Weights, 1.into())?
//!     .unless_worse(a, b, BARRIER_POINTS, |w| model.loss(w, &data, &rows))?;
//! assert!(chosen.after.height <= chosen.before.height);
//! # Ok::<(), candle_ensemble::Error>(())
//! ```
mod activations;
mod assignment;
mod spec;
pub(crate) mod trace;
mod weights;

pub use activations::Activations;
pub use spec::{inverse, Axis, Group, Layout, PermutationSpec, Permutations};

use crate::{
    merge::{barrier, uniform_soup, Barrier},
    weights::{compatibility, Weights},
    Error, Result, Seed,
};
use rand::seq::SliceRandom;
use std::fmt;

/// What is compared.
#[derive(Clone, Copy)]
#[non_exhaustive]
pub enum Matching<'a> {
    /// The weights (Ainsworth et al. 2023, section 3.2): group after group in a random order, the order that makes
    /// `Σ ⟨W_a, P(W_b)⟩` largest over all parameters along whose axes the units lie, the other groups held, by linear
    /// assignment on `A = Σ W_a P(W_b)ᵀ`; again until no group gains more than 10⁻¹² of `Σ ‖W_a‖ ‖W_b‖`, or 100
    /// sweeps. A local optimum: the paper starts from the order as it is; here the climb also starts from orders grown
    /// from the inputs and outputs inwards, and the better end is kept. So a network that is the reference in another
    /// order is recovered, as long as its units differ. Batch-norm's running statistics move with their units but are
    /// not compared. Needs no data. An assignment of 512 units takes about 0.1 s, of 2048 units 2 s.
    Weights,
    /// What the units say of given rows (Li et al. 2016, arXiv:1511.07543; Ainsworth et al., section 3.1): the order
    /// with the largest sum of correlations, the mean over all places where a group is read, by one linear assignment
    /// a group, so a global optimum. The closure gives a network's [`Activations`];
    /// [`Trace::activations`](crate::merge::align::trace::Trace::activations) is one that needs no hooks.
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

/// A network in another's order of units.
#[derive(Clone, Debug)]
pub struct Aligned {
    /// Its weights; it computes what it did.
    pub weights: Weights,
    /// The orders that were applied.
    pub permutations: Permutations,
    /// How alike the networks were, from −1 to 1: `Σ ⟨W_a, W_b⟩ / Σ ‖W_a‖ ‖W_b‖`, or the mean correlation.
    pub before: f64,
    /// How alike they are now.
    pub similarity: f64,
    /// Sweeps over all groups.
    pub sweeps: usize,
}

/// What a matching found.
struct Matched {
    orders: Permutations,
    before: f64,
    similarity: f64,
    sweeps: usize,
}

/// `other` in the order of `reference`'s units.
///
/// # Errors
/// When names, shapes or dtypes differ (all differences are listed), the specification does not fit, or a number is
/// NaN or infinite.
pub fn align(
    reference: &Weights,
    other: &Weights,
    spec: &PermutationSpec,
    method: &Matching<'_>,
    seed: Seed,
) -> Result<Aligned> {
    compatibility::check(&[reference, other])?;
    spec.check(reference)?;
    let found = match method {
        Matching::Weights => weights::match_weights(reference, other, spec, seed)?,
        Matching::Activations(of) => activations::match_activations(&of(reference)?, &of(other)?, spec)?,
    };
    let Matched { orders, before, similarity, sweeps } = found;
    let weights = spec.apply(other, &orders)?;
    Ok(Aligned { weights, permutations: orders, before, similarity, sweeps })
}

/// Each network in the order of the first's units, the first as it is; so any of them can be averaged.
///
/// # Errors
/// As for [`align`], and when there are none.
pub fn align_all(
    networks: &[&Weights],
    spec: &PermutationSpec,
    method: &Matching<'_>,
    seed: Seed,
) -> Result<Vec<Weights>> {
    let Some((first, rest)) = networks.split_first() else {
        return Err(Error::invalid("the networks", "at least one", 0));
    };
    spec.check(first)?;
    let others = rest.iter().enumerate();
    let others = others
        .map(|(i, other)| Ok(align(first, other, spec, method, seed.nth("network", i as u64))?.weights));
    std::iter::once(Ok((*first).clone())).chain(others).collect()
}

/// Each network in an order in which they match their mean ("MergeMany", Ainsworth et al. 2023): in
/// rounds, each network in turn, in random order, is aligned by weights to the mean of the others, until a round
/// moves nothing, or 100 rounds. With more than two networks it treats all alike, where [`align_all`] favours the first.
///
/// # Errors
/// As for [`align`], and when there are fewer than two.
pub fn align_to_mean(networks: &[&Weights], spec: &PermutationSpec, seed: Seed) -> Result<Vec<Weights>> {
    const ROUNDS: u64 = 100;
    let mut placed = align_all(networks, spec, &Matching::Weights, seed.child("start"))?;
    if placed.len() < 2 {
        return Err(Error::invalid("the networks", "at least two", placed.len()));
    }
    let own = spec.identity();
    for round in 0..ROUNDS {
        let seed = seed.nth("round", round);
        let mut turn: Vec<usize> = (0..placed.len()).collect();
        turn.shuffle(&mut seed.rng());
        let mut moved = false;
        for i in turn {
            let others = placed.iter().enumerate().filter(|(j, _)| *j != i);
            let centre = uniform_soup(&others.map(|(_, weights)| weights).collect::<Vec<_>>())?;
            let Some(place) = placed.get_mut(i) else { continue };
            let found = align(&centre, place, spec, &Matching::Weights, seed.nth("network", i as u64))?;
            moved |= found.permutations != own;
            *place = found.weights;
        }
        if !moved {
            break;
        }
    }
    Ok(placed)
}

/// Whether alignment helped, and the better of before and after.
#[derive(Clone, Debug)]
pub struct Chosen {
    /// The other network: aligned, or as it was where that has the lower barrier.
    pub weights: Weights,
    /// Whether it is aligned.
    pub aligned: bool,
    /// The barrier as the networks were.
    pub before: Barrier,
    /// The barrier of what was chosen, never higher than `before`.
    pub after: Barrier,
}

impl Aligned {
    /// Measures the barrier before and after along `points` points, and takes the network as it was where alignment
    /// made it higher. `reference` and `other` are those that were aligned; for `loss` see [`barrier`].
    ///
    /// # Errors
    /// As for [`barrier`].
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

#[cfg(test)]
mod tests;
