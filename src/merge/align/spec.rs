//! The axes of parameters that hold the same units, and orders of these units.
use crate::{weights::Weights, Error, Result, Seed};
use candle_core::{DType, Device, Tensor};
use rand::seq::SliceRandom;
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, fmt};

/// The positions of a group's units along an axis, which may be longer than the group.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum UnitLayout {
    /// Unit `i` of `n` has the positions `i·m … i·m + m − 1` of an axis of length `n·m`. With `m = 1` each
    /// unit has one position; with `m > 1` the positions are those of a channel's pixels, where a convolution
    /// is flattened before a linear layer.
    Blocks,
    /// Unit `i` of `n` has the positions `i, i + n, i + 2n …`, as after a flattened image with the channels
    /// last.
    Interleaved,
}

/// One axis of one parameter.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Axis {
    /// The name of the parameter or buffer.
    pub parameter: String,
    /// The number of the axis, from 0.
    pub axis: usize,
    /// The positions of the units along the axis.
    pub layout: UnitLayout,
}

impl fmt::Display for Axis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} axis {}", self.parameter, self.axis)
    }
}

/// The groups of units of an architecture, with all axes along which the units of each group lie.
///
/// The axes of a group of hidden units are the rows of the weight that produces them, the axis of its bias,
/// the axes of batch-norm parameters, and the columns of the weights that read them. Layers that write to the
/// same residual stream share one group. All axes of a group are reordered together.
/// [`Trace::permutations`](crate::merge::Trace::permutations) derives the spec from a model; here it is given
/// by hand:
///
/// ```
/// use candle_core::{Device, Tensor};
/// use candle_ensemble::{merge::align::{PermutationSpec, Permutations}, weights::Weights};
///
/// let spec = PermutationSpec::new()
///     .units("hidden", 2)
///     .axis("hidden", "in.weight", 0)
///     .axis("hidden", "in.bias", 0)
///     .axis("hidden", "out.weight", 1);
/// let weights = Weights::from([
///     ("in.weight".to_string(), Tensor::new(&[[1f32], [2.]], &Device::Cpu)?),
///     ("in.bias".to_string(), Tensor::new(&[3f32, 4.], &Device::Cpu)?),
///     ("out.weight".to_string(), Tensor::new(&[[5f32, 6.]], &Device::Cpu)?),
/// ]);
/// let swapped = spec.apply(&weights, &Permutations::from([("hidden".into(), vec![1, 0])]))?;
/// assert_eq!(swapped["in.bias"].to_vec1::<f32>()?, [4., 3.]);
/// assert_eq!(swapped["out.weight"].to_vec2::<f32>()?, [[6., 5.]]);
/// # Ok::<(), candle_ensemble::Error>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PermutationSpec {
    groups: BTreeMap<String, Group>,
}

/// A group of units, and the axes along which they lie.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Group {
    /// The number of units.
    pub units: usize,
    /// All axes along which the units lie.
    pub axes: Vec<Axis>,
}

/// The order of the units of each group: unit `order[i]` moves to position `i`. A group without an entry
/// keeps its order.
pub type Permutations = BTreeMap<String, Vec<u32>>;

impl PermutationSpec {
    /// A spec without groups.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a group of this many units, or changes the number of units of a group.
    #[must_use]
    pub fn units(mut self, group: &str, units: usize) -> Self {
        self.groups.entry(group.into()).or_default().units = units;
        self
    }

    /// Adds an axis of a parameter to a group. A longer axis holds the units in blocks
    /// ([`UnitLayout::Blocks`]).
    #[must_use]
    pub fn axis(self, group: &str, parameter: &str, axis: usize) -> Self {
        self.axis_with_layout(group, parameter, axis, UnitLayout::Blocks)
    }

    /// Adds an axis of a parameter to a group, with a layout.
    #[must_use]
    pub fn axis_with_layout(mut self, group: &str, parameter: &str, axis: usize, layout: UnitLayout) -> Self {
        let axis = Axis { parameter: parameter.into(), axis, layout };
        self.groups.entry(group.into()).or_default().axes.push(axis);
        self
    }

    /// The groups, by name.
    #[must_use]
    pub fn groups(&self) -> &BTreeMap<String, Group> {
        &self.groups
    }

    /// Checks that the groups fit `weights`.
    ///
    /// # Errors
    /// When a parameter or an axis is missing, the length of an axis is not a multiple of the group's units,
    /// an axis is in two groups or twice in one, or a group has no units or no axes.
    pub fn check(&self, weights: &Weights) -> Result<()> {
        let mut owners: BTreeMap<(&str, usize), &str> = BTreeMap::new();
        for (name, group) in &self.groups {
            if group.units == 0 || group.axes.is_empty() {
                let got = format!("{} units along {} axes", group.units, group.axes.len());
                return Err(Error::invalid(
                    format!("the group {name}"),
                    "of at least one unit and one axis",
                    got,
                ));
            }
            for axis in &group.axes {
                let tensor = weights.get(&axis.parameter).ok_or_else(|| {
                    Error::invalid(
                        axis.to_string(),
                        format!("in the weights, as group {name} needs it"),
                        "missing",
                    )
                })?;
                match tensor.dims().get(axis.axis) {
                    Some(length) if *length > 0 && length % group.units == 0 => {}
                    length => {
                        let must = format!("a multiple of the {} units of {name}", group.units);
                        return Err(Error::invalid(format!("{axis}'s length"), must, format!("{length:?}")));
                    }
                }
                if let Some(other) = owners.insert((&axis.parameter, axis.axis), name) {
                    return Err(Error::invalid(
                        axis.to_string(),
                        "in one group once",
                        format!("in {other} and {name}"),
                    ));
                }
            }
        }
        Ok(())
    }

    /// The weights with their units in these orders. The network computes the same.
    ///
    /// # Errors
    /// When the groups do not fit the weights, a group is unknown, or an order is not a permutation of its
    /// units.
    pub fn apply(&self, weights: &Weights, orders: &Permutations) -> Result<Weights> {
        self.check(weights)?;
        self.check_orders(orders)?;
        let mut all = weights.clone();
        for (name, order) in orders {
            for axis in self.groups.get(name).into_iter().flat_map(|group| &group.axes) {
                if let Some(tensor) = all.get_mut(&axis.parameter) {
                    *tensor = axis.reorder(tensor, order)?;
                }
            }
        }
        Ok(all)
    }

    /// The orders that change nothing: unit `i` at position `i`.
    #[must_use]
    pub fn identity(&self) -> Permutations {
        let order = |group: &Group| (0..group.units as u32).collect();
        self.groups.iter().map(|(name, group)| (name.clone(), order(group))).collect()
    }

    /// Random orders, which depend on the seed and the names of the groups.
    #[must_use]
    pub fn random(&self, seed: impl Into<Seed>) -> Permutations {
        let (seed, mut orders) = (seed.into(), self.identity());
        orders.iter_mut().for_each(|(name, order)| order.shuffle(&mut seed.child(name).rng()));
        orders
    }

    fn check_orders(&self, orders: &Permutations) -> Result<()> {
        for (name, order) in orders {
            let what = || format!("the order of {name}");
            let Some(group) = self.groups.get(name) else {
                return Err(Error::invalid(what(), "for a group of the spec", "for an unknown group"));
            };
            let mut sorted = order.clone();
            sorted.sort_unstable();
            if !sorted.iter().copied().eq(0..group.units as u32) {
                let must = format!("each of 0 … {} once", group.units.saturating_sub(1));
                return Err(Error::invalid(what(), must, format!("{order:?}")));
            }
        }
        Ok(())
    }
}

impl fmt::Display for PermutationSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, group) in &self.groups {
            let axes: Vec<_> = group.axes.iter().map(Axis::to_string).collect();
            writeln!(f, "{name}: {} units along {}", group.units, axes.join(", "))?;
        }
        Ok(())
    }
}

impl Axis {
    /// The tensor with its units in this order.
    pub(crate) fn reorder(&self, tensor: &Tensor, order: &[u32]) -> Result<Tensor> {
        let (units, each) = (order.len(), tensor.dim(self.axis)? / order.len().max(1));
        let positions: Vec<u32> = match self.layout {
            UnitLayout::Blocks => {
                order.iter().flat_map(|unit| (0..each as u32).map(move |k| unit * each as u32 + k)).collect()
            }
            UnitLayout::Interleaved => {
                (0..each as u32).flat_map(|k| order.iter().map(move |unit| k * units as u32 + unit)).collect()
            }
        };
        let positions = Tensor::from_vec(positions, units * each, tensor.device())?;
        Ok(tensor.contiguous()?.index_select(&positions, self.axis)?)
    }

    /// The tensor's elements by unit, `(units, rest)` f64. They are on the CPU, because some devices have no
    /// f64.
    pub(in crate::merge) fn by_unit(&self, tensor: &Tensor, units: usize) -> Result<Tensor> {
        let mut dims = tensor.dims().to_vec();
        let each = tensor.dim(self.axis)? / units.max(1);
        let (first, second, unit) = match self.layout {
            UnitLayout::Blocks => (units, each, self.axis),
            UnitLayout::Interleaved => (each, units, self.axis + 1),
        };
        dims.splice(self.axis..=self.axis, [first, second]);
        let split = tensor.to_device(&Device::Cpu)?.contiguous()?.reshape(dims)?;
        Ok(split.transpose(0, unit)?.contiguous()?.reshape((units, ()))?.to_dtype(DType::F64)?)
    }
}

/// The inverse of an order, which undoes it.
#[must_use]
pub fn inverse(order: &[u32]) -> Vec<u32> {
    let mut back = vec![0; order.len()];
    for (position, unit) in order.iter().enumerate() {
        if let Some(inverse) = back.get_mut(*unit as usize) {
            *inverse = position as u32;
        }
    }
    back
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn numbers(dims: &[usize]) -> Tensor {
        let n: usize = dims.iter().product();
        Tensor::arange(0f32, n as f32, &Device::Cpu).unwrap().reshape(dims).unwrap()
    }

    fn axis(axis: usize, layout: UnitLayout) -> Axis {
        Axis { parameter: "w".into(), axis, layout }
    }

    #[test]
    fn all_positions_of_a_unit_move_together() {
        let w = numbers(&[1, 6]);
        let moved = axis(1, UnitLayout::Blocks).reorder(&w, &[2, 0, 1]).unwrap();
        assert_eq!(moved.to_vec2::<f32>().unwrap(), [[4., 5., 0., 1., 2., 3.]]);
        let moved = axis(1, UnitLayout::Interleaved).reorder(&w, &[2, 0, 1]).unwrap();
        assert_eq!(moved.to_vec2::<f32>().unwrap(), [[2., 0., 1., 5., 3., 4.]]);
        let by = axis(1, UnitLayout::Interleaved).by_unit(&w, 3).unwrap();
        assert_eq!(by.to_vec2::<f64>().unwrap(), [[0., 3.], [1., 4.], [2., 5.]]);
        let by = axis(1, UnitLayout::Blocks).by_unit(&w, 3).unwrap();
        assert_eq!(by.to_vec2::<f64>().unwrap(), [[0., 1.], [2., 3.], [4., 5.]]);
    }

    #[test]
    fn a_spec_that_does_not_fit_is_refused_by_name() {
        let weights = Weights::from([("w".to_string(), numbers(&[4, 3]))]);
        let fails = |spec: PermutationSpec| spec.check(&weights).unwrap_err().to_string();
        assert!(fails(PermutationSpec::new().units("P", 3).axis("P", "w", 0)).contains("w axis 0's length"));
        assert!(fails(PermutationSpec::new().units("P", 3).axis("P", "w", 2)).contains("w axis 2"));
        assert!(fails(PermutationSpec::new().units("P", 3).axis("P", "v", 0)).contains("v axis 0"));
        let twice = PermutationSpec::new().units("P", 4).axis("P", "w", 0).units("Q", 4).axis("Q", "w", 0);
        assert!(fails(twice).contains("in P and Q"));
        assert!(fails(PermutationSpec::new().axis("P", "w", 0)).contains("0 units"));
        let spec = PermutationSpec::new().units("P", 4).axis("P", "w", 0);
        for order in [vec![0, 1, 2], vec![0, 1, 2, 2], vec![0, 1, 2, 4]] {
            assert!(spec.apply(&weights, &Permutations::from([("P".into(), order)])).is_err());
        }
        assert!(spec.apply(&weights, &Permutations::from([("R".into(), vec![0])])).is_err());
    }

    proptest! {
        #[test]
        fn an_order_and_its_inverse_cancel(seed in 0u64..1000, units in 1usize..9, each in 1usize..4) {
            let spec = PermutationSpec::new()
                .units("P", units)
                .axis_with_layout("P", "a", 1, UnitLayout::Blocks)
                .axis_with_layout("P", "b", 0, UnitLayout::Interleaved);
            let weights = Weights::from([
                ("a".to_string(), numbers(&[2, units * each, 3])),
                ("b".to_string(), numbers(&[units * each, 2])),
            ]);
            let orders = spec.random(seed);
            let there = spec.apply(&weights, &orders).unwrap();
            let back: Permutations = orders.iter().map(|(name, order)| (name.clone(), inverse(order))).collect();
            let again = spec.apply(&there, &back).unwrap();
            for (name, tensor) in &weights {
                let [a, b] = [tensor, &again[name]].map(|t| t.flatten_all().unwrap().to_vec1::<f32>().unwrap());
                prop_assert_eq!(a, b);
            }
            prop_assert_eq!(inverse(&back["P"]), orders["P"].clone());
            // The table by unit of the reordered tensor is the reordered table.
            let axis = &spec.groups()["P"].axes[0];
            let table = axis.by_unit(&weights["a"], units).unwrap().to_vec2::<f64>().unwrap();
            let moved = axis.by_unit(&there["a"], units).unwrap().to_vec2::<f64>().unwrap();
            for (place, unit) in orders["P"].iter().enumerate() {
                prop_assert_eq!(&moved[place], &table[*unit as usize]);
            }
        }
    }
}
