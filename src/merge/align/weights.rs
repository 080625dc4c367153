//! Weight matching: the orders of units in which the weights of two networks are most similar.
use crate::{
    merge::align::{
        assignment::{assign, total},
        Axis, Matched, PermutationSpec, Permutations,
    },
    weights::{compatibility::is_statistic, Weights},
    Error, Result, Seed,
};
use candle_core::Tensor;
use rand::seq::SliceRandom;
use std::collections::{BTreeMap, BTreeSet};

/// The highest number of sweeps over all groups.
const SWEEPS: usize = 100;
/// The smallest gain that counts, as a share of `Σ ‖W_a‖ ‖W_b‖`, which is the highest possible similarity.
const LEAST: f64 = 1e-12;

pub(crate) fn match_weights(
    reference: &Weights,
    other: &Weights,
    spec: &PermutationSpec,
    seed: Seed,
) -> Result<Matched> {
    let search = Search::new(reference, other, spec)?;
    let identity = spec.identity();
    let similarity_before = search.similarity(&identity)?;
    let first = search.climb(identity, seed)?;
    let second = search.climb(search.start_at_inputs_and_outputs()?, seed)?;
    let (orders, similarity, sweeps) = if second.1 > first.1 { second } else { first };
    Ok(Matched { orders, similarity_before, similarity, sweeps })
}

/// A search for the orders with the highest similarity.
struct Search<'a> {
    reference: &'a Weights,
    other: &'a Weights,
    spec: &'a PermutationSpec,
    /// The axes of each parameter that is compared, with their groups.
    axes: BTreeMap<&'a str, Vec<(&'a str, &'a Axis)>>,
    /// For each group, its axes with the reference's elements by unit.
    tables: BTreeMap<&'a str, Vec<(&'a Axis, Tensor)>>,
    /// `Σ ‖W_a‖ ‖W_b‖`.
    scale: f64,
}

impl<'a> Search<'a> {
    fn new(reference: &'a Weights, other: &'a Weights, spec: &'a PermutationSpec) -> Result<Self> {
        let mut axes: BTreeMap<_, Vec<_>> = BTreeMap::new();
        let mut tables: BTreeMap<_, Vec<_>> = BTreeMap::new();
        for (name, group) in spec.groups() {
            // Statistics are on another scale than weights; they are only reordered.
            for axis in group.axes.iter().filter(|axis| !is_statistic(&axis.parameter)) {
                axes.entry(axis.parameter.as_str()).or_default().push((name.as_str(), axis));
                if let Some(tensor) = reference.get(&axis.parameter) {
                    let table = axis.by_unit(tensor, group.units)?;
                    tables.entry(name.as_str()).or_default().push((axis, table));
                }
            }
        }
        let mut search = Self { reference, other, spec, axes, tables, scale: 1. };
        let norms = |weights: &Weights, name: &str| match weights.get(name) {
            Some(tensor) => inner(tensor, tensor).map(f64::sqrt),
            None => Ok(0.),
        };
        let products = search.axes.keys().map(|name| Ok(norms(reference, name)? * norms(other, name)?));
        search.scale = products.sum::<Result<f64>>()?.max(f64::MIN_POSITIVE);
        Ok(search)
    }

    /// Improves one group after another, in a random order for each sweep, until no group gains. Returns the
    /// orders, the similarity, and the number of sweeps.
    fn climb(&self, mut orders: Permutations, seed: Seed) -> Result<(Permutations, f64, usize)> {
        let names: Vec<&String> = self.spec.groups().keys().collect();
        let mut sweeps = 0;
        while sweeps < SWEEPS {
            let mut shuffled = names.clone();
            shuffled.shuffle(&mut seed.nth("sweep", sweeps as u64).rng());
            sweeps += 1;
            let mut better = false;
            for group in shuffled {
                better |= self.improve(group, &mut orders)?;
            }
            if !better {
                break;
            }
        }
        let similarity = self.similarity(&orders)?;
        Ok((orders, similarity, sweeps))
    }

    /// Initial orders, built from the inputs and the outputs, which have a fixed order. One group after
    /// another is matched by only those parameters whose other axes are matched already, the group with the
    /// most of them first. This recovers a reordered network, because no other order is more similar.
    fn start_at_inputs_and_outputs(&self) -> Result<Permutations> {
        let mut orders = self.spec.identity();
        let mut left: BTreeSet<&str> = self.tables.keys().copied().collect();
        while !left.is_empty() {
            let mut best: Option<(f64, &str)> = None;
            for group in &left {
                let mut evidence = 0.;
                for (axis, table) in self.tables.get(group).into_iter().flatten() {
                    // Vectors are little evidence: the scales of batch-norm are all near 1.
                    if table.dim(1)? > 1 && self.is_matched(axis, &left) {
                        evidence += inner(table, table)?;
                    }
                }
                if best.is_none_or(|(most, _)| evidence > most) {
                    best = Some((evidence, group));
                }
            }
            let Some((_, group)) = best else { break };
            let Some(n) = orders.get(group).map(Vec::len) else { break };
            let found = assign(&self.gains(group, n, &orders, |axis| self.is_matched(axis, &left))?, n)?;
            orders.insert(group.into(), found);
            left.remove(group);
        }
        Ok(orders)
    }

    /// Whether all other axes of the axis' parameter belong to groups that are not `left`.
    fn is_matched(&self, axis: &Axis, left: &BTreeSet<&str>) -> bool {
        let all = self.axes.get(axis.parameter.as_str()).into_iter().flatten();
        all.filter(|(_, other)| *other != axis).all(|(group, _)| !left.contains(group))
    }

    /// `A = Σ W_a P(W_b)ᵀ` over the group's axes for which `count` is true, `(n, n)` row by row.
    fn gains(
        &self,
        group: &str,
        n: usize,
        orders: &Permutations,
        count: impl Fn(&Axis) -> bool,
    ) -> Result<Vec<f64>> {
        let mut gains = vec![0.; n * n];
        for (axis, table) in self.tables.get(group).into_iter().flatten().filter(|(axis, _)| count(axis)) {
            let theirs = axis.by_unit(&self.ordered(&axis.parameter, Some(axis), orders)?, n)?;
            let part = table.matmul(&theirs.t()?)?.flatten_all()?.to_vec1::<f64>()?;
            gains.iter_mut().zip(part).for_each(|(sum, x)| *sum += x);
        }
        Ok(gains)
    }

    /// `Σ ⟨W_a, P(W_b)⟩ / Σ ‖W_a‖ ‖W_b‖`, from −1 to 1.
    fn similarity(&self, orders: &Permutations) -> Result<f64> {
        Ok(self.inner_products(self.axes.keys().copied(), orders)? / self.scale)
    }

    /// `Σ ⟨W_a, P(W_b)⟩` over these parameters.
    fn inner_products<'n>(&self, names: impl Iterator<Item = &'n str>, orders: &Permutations) -> Result<f64> {
        let each = names.map(|name| match self.reference.get(name) {
            Some(tensor) => inner(tensor, &self.ordered(name, None, orders)?),
            None => Ok(0.),
        });
        each.sum()
    }

    /// The other network's parameter with all its axes reordered, except one.
    fn ordered(&self, name: &str, except: Option<&Axis>, orders: &Permutations) -> Result<Tensor> {
        let mut tensor = match self.other.get(name) {
            Some(tensor) => tensor.detach(),
            None => return Err(Error::invalid(name, "a parameter of both networks", "missing")),
        };
        for (group, axis) in self.axes.get(name).into_iter().flatten() {
            if let (true, Some(order)) = (Some(*axis) != except, orders.get(*group)) {
                tensor = axis.reorder(&tensor, order)?;
            }
        }
        Ok(tensor)
    }

    /// Finds the best order of one group, with the others held. Returns whether it is better than before.
    fn improve(&self, group: &str, orders: &mut Permutations) -> Result<bool> {
        let Some(present) = orders.get(group).cloned() else { return Ok(false) };
        let n = present.len();
        let gains = self.gains(group, n, orders, |_| true)?;
        let found = assign(&gains, n)?;
        let least = LEAST * self.scale;
        if total(&gains, &found) - total(&gains, &present) <= least {
            return Ok(false);
        }
        if !self.is_on_two_axes(group) {
            orders.insert(group.into(), found);
            return Ok(true);
        }
        // If the group lies along two axes of one parameter, the sum is not linear in the order, and the step
        // may lose.
        let names = || self.spec.groups().get(group).into_iter().flat_map(|g| &g.axes);
        let names =
            || names().map(|axis| axis.parameter.as_str()).filter(|name| self.axes.contains_key(name));
        let distinct: BTreeSet<&str> = names().collect();
        let before = self.inner_products(distinct.iter().copied(), orders)?;
        orders.insert(group.into(), found);
        if self.inner_products(distinct.iter().copied(), orders)? - before > least {
            return Ok(true);
        }
        orders.insert(group.into(), present);
        Ok(false)
    }

    /// Whether the group lies along two axes of one parameter.
    fn is_on_two_axes(&self, group: &str) -> bool {
        let of_group = |axes: &Vec<(&str, &Axis)>| axes.iter().filter(|(name, _)| *name == group).count() > 1;
        self.axes.values().any(of_group)
    }
}

/// `Σ aᵢ bᵢ` in f64.
fn inner(a: &Tensor, b: &Tensor) -> Result<f64> {
    let [a, b] = [a, b].map(|t| t.detach().to_dtype(candle_core::DType::F64));
    Ok((a? * b?)?.sum_all()?.to_scalar()?)
}
