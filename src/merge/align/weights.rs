//! Weight matching: the orders under which two networks' weights are most alike.
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

/// Sweeps over all groups, at most.
const SWEEPS: usize = 100;
/// The least gain that counts, as a share of `Σ ‖W_a‖ ‖W_b‖`, which no similarity exceeds.
const LEAST: f64 = 1e-12;

pub(crate) fn match_weights(
    reference: &Weights,
    other: &Weights,
    spec: &PermutationSpec,
    seed: Seed,
) -> Result<Matched> {
    let search = Search::new(reference, other, spec)?;
    let own = spec.identity();
    let before = search.similarity(&own)?;
    let first = search.climb(own, seed)?;
    let second = search.climb(search.grown()?, seed)?;
    let (orders, similarity, sweeps) = if second.1 > first.1 { second } else { first };
    Ok(Matched { orders, before, similarity, sweeps })
}

struct Search<'a> {
    reference: &'a Weights,
    other: &'a Weights,
    spec: &'a PermutationSpec,
    /// The axes of each parameter that counts, with their groups.
    axes: BTreeMap<&'a str, Vec<(&'a str, &'a Axis)>>,
    /// The reference's numbers by unit, in the order of each group's axes.
    tables: BTreeMap<&'a str, Vec<(&'a Axis, Tensor)>>,
    scale: f64,
}

impl<'a> Search<'a> {
    fn new(reference: &'a Weights, other: &'a Weights, spec: &'a PermutationSpec) -> Result<Self> {
        let mut axes: BTreeMap<_, Vec<_>> = BTreeMap::new();
        let mut tables: BTreeMap<_, Vec<_>> = BTreeMap::new();
        for (name, group) in spec.groups() {
            // Statistics are measured on another scale than weights, and follow.
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

    /// Improves group after group, each sweep in a random order of its own, until nothing gains: the orders, how alike
    /// they make the networks, and the sweeps it took.
    fn climb(&self, mut orders: Permutations, seed: Seed) -> Result<(Permutations, f64, usize)> {
        let names: Vec<&String> = self.spec.groups().keys().collect();
        let mut sweeps = 0;
        while sweeps < SWEEPS {
            let mut turn = names.clone();
            turn.shuffle(&mut seed.nth("sweep", sweeps as u64).rng());
            sweeps += 1;
            let mut better = false;
            for group in turn {
                better |= self.improve(group, &mut orders)?;
            }
            if !better {
                break;
            }
        }
        let similarity = self.similarity(&orders)?;
        Ok((orders, similarity, sweeps))
    }

    /// A start that grows from what has no freedom, the inputs and the outputs: one group after another is matched by
    /// those parameters alone whose other axes are settled, the group with the most of them first. A network in
    /// another order is found again by this step alone, for no order is more alike than the right one.
    fn grown(&self) -> Result<Permutations> {
        let mut orders = self.spec.identity();
        let mut left: BTreeSet<&str> = self.tables.keys().copied().collect();
        while !left.is_empty() {
            let mut best: Option<(f64, &str)> = None;
            for group in &left {
                let mut evidence = 0.;
                for (axis, table) in self.tables.get(group).into_iter().flatten() {
                    // Vectors say little: batch-norm's scales are all near one.
                    if table.dim(1)? > 1 && self.settled(axis, &left) {
                        evidence += inner(table, table)?;
                    }
                }
                if best.is_none_or(|(most, _)| evidence > most) {
                    best = Some((evidence, group));
                }
            }
            let Some((_, group)) = best else { break };
            let Some(n) = orders.get(group).map(Vec::len) else { break };
            let found = assign(&self.gains(group, n, &orders, |axis| self.settled(axis, &left))?, n)?;
            orders.insert(group.into(), found);
            left.remove(group);
        }
        Ok(orders)
    }

    /// Whether all other axes of an axis' parameter are of groups that are not `left`.
    fn settled(&self, axis: &Axis, left: &BTreeSet<&str>) -> bool {
        let all = self.axes.get(axis.parameter.as_str()).into_iter().flatten();
        all.filter(|(_, other)| *other != axis).all(|(group, _)| !left.contains(group))
    }

    /// `A = Σ W_a P(W_b)ᵀ` over the group's axes that `count`, `(n, n)` row by row.
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
        Ok(self.alike(self.axes.keys().copied(), orders)? / self.scale)
    }

    fn alike<'n>(&self, names: impl Iterator<Item = &'n str>, orders: &Permutations) -> Result<f64> {
        let each = names.map(|name| match self.reference.get(name) {
            Some(tensor) => inner(tensor, &self.ordered(name, None, orders)?),
            None => Ok(0.),
        });
        each.sum()
    }

    /// The other network's parameter with all its axes in order but one.
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

    /// Finds the best order of one group, the others held; whether it is better than what there was.
    fn improve(&self, group: &str, orders: &mut Permutations) -> Result<bool> {
        let Some(present) = orders.get(group).cloned() else { return Ok(false) };
        let n = present.len();
        let gains = self.gains(group, n, orders, |_| true)?;
        let found = assign(&gains, n)?;
        let least = LEAST * self.scale;
        if total(&gains, &found) - total(&gains, &present) <= least {
            return Ok(false);
        }
        if !self.twice(group) {
            orders.insert(group.into(), found);
            return Ok(true);
        }
        // Along two axes of one parameter the sum is not linear in the order: the step may overshoot.
        let names = || self.spec.groups().get(group).into_iter().flat_map(|g| &g.axes);
        let names =
            || names().map(|axis| axis.parameter.as_str()).filter(|name| self.axes.contains_key(name));
        let distinct: BTreeSet<&str> = names().collect();
        let before = self.alike(distinct.iter().copied(), orders)?;
        orders.insert(group.into(), found);
        if self.alike(distinct.iter().copied(), orders)? - before > least {
            return Ok(true);
        }
        orders.insert(group.into(), present);
        Ok(false)
    }

    /// Whether the group lies along two axes of one parameter.
    fn twice(&self, group: &str) -> bool {
        let of_group = |axes: &Vec<(&str, &Axis)>| axes.iter().filter(|(name, _)| *name == group).count() > 1;
        self.axes.values().any(of_group)
    }
}

/// `Σ aᵢ bᵢ` in f64.
fn inner(a: &Tensor, b: &Tensor) -> Result<f64> {
    let [a, b] = [a, b].map(|t| t.detach().to_dtype(candle_core::DType::F64));
    Ok((a? * b?)?.sum_all()?.to_scalar()?)
}
