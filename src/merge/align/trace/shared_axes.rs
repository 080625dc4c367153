//! Which axes hold the same units, found by changing one unit and observing where the change arrives.
use crate::{
    data::Inputs,
    merge::align::{
        trace::graph::{changed, unit_axis, Origins, Pass, Probe},
        PermutationSpec, UnitLayout,
    },
    weights::Weights,
    Error, Network, Result, Seed,
};
use candle_core::{DType, Device, Tensor, TensorId};
use rand::Rng;
use rand_distr::StandardNormal;
use std::collections::{BTreeMap, BTreeSet};

/// A weight of rank 2 or more, with one axis along the units that it produces and one along the units that it
/// reads.
#[derive(Clone, Debug)]
pub(crate) struct Layer {
    pub(crate) name: String,
    rank: usize,
    /// The axis along the units that the layer produces.
    pub(crate) output_axis: usize,
    /// The axis along the units that the layer reads.
    pub(crate) input_axis: usize,
    /// The node that the layer reads.
    pub(crate) input: usize,
    /// The node that the layer produces.
    pub(crate) output: usize,
}

/// A layer with a bias, and the node at which the bias was added.
#[derive(Clone, Debug)]
pub(crate) struct Biased {
    pub(crate) layer: Layer,
    pub(crate) bias: String,
    pub(crate) node: usize,
}

impl Layer {
    /// The axis of the units in a node that the layer reads or produces.
    pub(crate) fn axis_of(&self, data: &Tensor) -> Option<usize> {
        unit_axis(self.rank, data)
    }
}

/// The result of a trace.
pub(crate) struct Findings {
    /// The number of nodes of a pass.
    pub(crate) nodes: usize,
    pub(crate) layers: Vec<Layer>,
    pub(crate) biased: Vec<Biased>,
    pub(crate) spec: PermutationSpec,
    /// The reasons why the spec is incomplete.
    pub(crate) problems: Vec<String>,
}

/// An origin of units: an axis of a variable, or the columns or channels of an input.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Source {
    Variable(String, usize),
    Input(usize),
}

/// The changes of a unit, one after the other, of which some are large enough to pass a rectifier.
const CHANGES: [f64; 3] = [1., 4., 2.];

/// A search for the axes that share units.
pub(crate) struct Search<'a, N> {
    probe: &'a Probe<N>,
    inputs: &'a Inputs,
    weights: &'a Weights,
    pass: Pass,
    origins: Origins,
    seed: Seed,
}

impl<'a, N: Network> Search<'a, N> {
    pub(crate) fn new(
        probe: &'a Probe<N>,
        weights: &'a Weights,
        inputs: &'a Inputs,
        seed: Seed,
    ) -> Result<Self> {
        let pass = probe.pass(weights, inputs)?;
        let origins = Origins::of(probe, &pass);
        Ok(Self { probe, inputs, weights, pass, origins, seed })
    }

    pub(crate) fn run(&self) -> Result<Findings> {
        let mut problems = vec![];
        let mut layers = vec![];
        for (name, tensor) in self.weights.iter().filter(|(_, tensor)| is_layer(tensor)) {
            match self.layer(name, tensor)? {
                Some(layer) => layers.push(layer),
                None => problems.push(format!("{name} is not a weight of a layer that a trace knows")),
            }
        }
        layers.sort_by_key(|layer| layer.output);
        let mut shared = SharedUnits::default();
        let mut biased = vec![];
        for (name, tensor) in self.weights.iter().filter(|(_, tensor)| tensor.rank() == 1) {
            let Some(node) = self.first_changed(name)? else { continue };
            self.find_readers(
                &Source::Variable(name.clone(), 0),
                tensor.dim(0)?,
                node,
                &layers,
                &mut shared,
            )?;
            biased.extend(self.biased(name, node, &layers)?);
        }
        for layer in &layers {
            let units = self.tensor(&layer.name)?.dim(layer.output_axis)?;
            let source = Source::Variable(layer.name.clone(), layer.output_axis);
            self.find_readers(&source, units, layer.output, &layers, &mut shared)?;
        }
        for (i, tensor) in self.inputs.tensors().iter().enumerate() {
            if let (true, Some(units)) = (tensor.dtype().is_float(), tensor.dims().get(1)) {
                let node = self.pass.inputs.get(i).and_then(|id| self.place(*id));
                if let Some(node) = node {
                    self.find_readers(&Source::Input(i), *units, node, &layers, &mut shared)?;
                }
            }
        }
        biased.retain(|one| !shared.reaches_output(&Source::Variable(one.bias.clone(), 0)));
        biased.sort_by_key(|one| one.node);
        problems.extend(shared.problems());
        Ok(Findings { nodes: self.pass.nodes.len(), spec: shared.spec(&layers), layers, biased, problems })
    }

    fn tensor(&self, name: &str) -> Result<&'a Tensor> {
        self.weights.get(name).ok_or_else(|| Error::invalid(name, "a variable of the network", "missing"))
    }

    fn place(&self, id: TensorId) -> Option<usize> {
        self.pass.nodes.iter().position(|node| node.id() == id)
    }

    fn node(&self, place: usize) -> Result<&Tensor> {
        at(&self.pass, place)
    }

    /// The layer of a weight, if one of its first two axes is along the units that it produces, one position
    /// for each unit, and the other along the units that it reads.
    fn layer(&self, name: &str, tensor: &Tensor) -> Result<Option<Layer>> {
        let Some(output) = self.origins.first_with_inputs(name) else { return Ok(None) };
        let Some(input) = self.origins.operand(name, output) else { return Ok(None) };
        let (rank, produced, read) = (tensor.rank(), self.node(output)?, self.node(input)?);
        let (Some(along), Some(across)) = (unit_axis(rank, produced), unit_axis(rank, read)) else {
            return Ok(None);
        };
        for output_axis in [0, 1] {
            let (units, input_axis) = (tensor.dim(output_axis)?, 1 - output_axis);
            if produced.dim(along)? != units || read.dim(across)? != tensor.dim(input_axis)? {
                continue;
            }
            let unit = self.draw(name, units);
            let moved = self
                .probe
                .pass(&self.with_change(self.weights, name, output_axis, unit, 1.)?, self.inputs)?;
            if changed(produced, at(&moved, output)?, along)? == [unit] {
                let name = name.into();
                return Ok(Some(Layer { name, rank, output_axis, input_axis, input, output }));
            }
        }
        Ok(None)
    }

    /// The first node that depends on the inputs and changes with a vector.
    fn first_changed(&self, name: &str) -> Result<Option<usize>> {
        let unit = self.draw(name, self.tensor(name)?.dim(0)?);
        let moved = self.probe.pass(&self.with_change(self.weights, name, 0, unit, 1.)?, self.inputs)?;
        for place in 0..self.pass.nodes.len() {
            if self.origins.depends_on_inputs(place)
                && !changed(self.node(place)?, at(&moved, place)?, 0)?.is_empty()
            {
                return Ok(Some(place));
            }
        }
        Ok(None)
    }

    /// Finds the layers that read the units of a source unmixed.
    ///
    /// Weights behind the source are set to zero, so a change arrives only element by element: through
    /// activations, normalization, pooling and residual connections, and not through another layer.
    fn find_readers(
        &self,
        source: &Source,
        units: usize,
        node: usize,
        layers: &[Layer],
        shared: &mut SharedUnits,
    ) -> Result<()> {
        if units < 2 {
            return Ok(()); // nothing to permute
        }
        let upstream = match source {
            Source::Variable(..) => self.origins.variables.get(node).cloned().unwrap_or_default(),
            Source::Input(_) => BTreeSet::new(),
        };
        let silence = |(name, tensor): (&String, &Tensor)| {
            let silent = is_layer(tensor) && !upstream.contains(name);
            Ok((name.clone(), if silent { tensor.zeros_like()? } else { tensor.clone() }))
        };
        let quiet = self.weights.iter().map(silence).collect::<Result<Weights>>()?;
        let unchanged = self.probe.pass(&quiet, self.inputs)?;
        let readers: Vec<&Layer> = layers.iter().filter(|layer| !upstream.contains(&layer.name)).collect();
        let mut seen = BTreeMap::new();
        let mut reaches_output = false;
        for (turn, change) in CHANGES.into_iter().enumerate() {
            let unit = self.draw(&format!("{source:?} {turn}"), units);
            let moved = match source {
                Source::Variable(name, axis) => {
                    self.probe.pass(&self.with_change(&quiet, name, *axis, unit, change)?, self.inputs)?
                }
                Source::Input(i) => self.probe.pass(&quiet, &self.with_input_change(*i, unit, change)?)?,
            };
            let last = self.pass.nodes.len() - 1;
            reaches_output |= !changed(at(&unchanged, last)?, at(&moved, last)?, 0)?.is_empty();
            for layer in &readers {
                let (before, after) = (at(&unchanged, layer.input)?, at(&moved, layer.input)?);
                let Some(axis) = layer.axis_of(before) else { continue };
                let places = changed(before, after, axis)?;
                if !places.is_empty() {
                    let each = seen.entry(layer.name.as_str()).or_insert_with(Footprint::default);
                    each.add(&places, unit, units, before.dim(axis)?);
                }
            }
        }
        shared.add(source, units, &readers, &seen, reaches_output);
        Ok(())
    }

    /// The layer of which this vector is the bias, which means that it is added to the layer's product only.
    fn biased(&self, name: &str, node: usize, layers: &[Layer]) -> Result<Option<Biased>> {
        let Some(operand) = self.origins.operand(name, node) else { return Ok(None) };
        let produces =
            |layer: &&Layer| operand == layer.output || self.origins.is_computed_from(operand, layer.output);
        let Some(layer) = layers.iter().rev().find(produces) else { return Ok(None) };
        let numbers = |t: &Tensor| -> Result<Vec<f64>> {
            Ok(t.detach().to_device(&Device::Cpu)?.to_dtype(DType::F64)?.flatten_all()?.to_vec1()?)
        };
        let (product, operand, sum) = (self.node(layer.output)?, self.node(operand)?, self.node(node)?);
        let units = self.tensor(name)?.dim(0)?;
        let Some(axis) = layer.axis_of(sum) else { return Ok(None) };
        if numbers(product)? != numbers(operand)? || sum.dim(axis)? != units || sum.dims() != operand.dims() {
            return Ok(None);
        }
        let mut shape = vec![1; sum.rank()];
        if let Some(length) = shape.get_mut(axis) {
            *length = units;
        }
        let bias = self.tensor(name)?.to_device(operand.device())?.reshape(shape)?;
        let expected = operand.detach().broadcast_add(&bias)?;
        let same = numbers(&expected)? == numbers(sum)?;
        Ok(same.then(|| Biased { layer: layer.clone(), bias: name.into(), node }))
    }

    fn draw(&self, name: &str, units: usize) -> usize {
        self.seed.child(name).rng().random_range(0..units.max(1))
    }

    /// The weights with one unit along an axis changed: a vector by `by`, a matrix or kernel by random
    /// multiples of `by`.
    fn with_change(
        &self,
        weights: &Weights,
        name: &str,
        axis: usize,
        unit: usize,
        by: f64,
    ) -> Result<Weights> {
        let mut all = weights.clone();
        if let Some(tensor) = all.get_mut(name) {
            let mut rng = self.seed.child("nudge").rng();
            let random = tensor.rank() > 1;
            *tensor = add_at(tensor, axis, unit, || {
                by * if random { rng.sample::<f64, _>(StandardNormal) } else { 1. }
            })?;
        }
        Ok(all)
    }

    fn with_input_change(&self, which: usize, unit: usize, by: f64) -> Result<Inputs> {
        let mut all = self.inputs.tensors().to_vec();
        if let Some(tensor) = all.get_mut(which) {
            *tensor = add_at(tensor, 1, unit, || by)?;
        }
        Ok(all.into())
    }
}

/// Whether a variable may be the weight of a layer, which mixes units: it has rank 2 or more.
fn is_layer(tensor: &Tensor) -> bool {
    tensor.rank() >= 2 && tensor.dtype().is_float()
}

fn at(pass: &Pass, place: usize) -> Result<&Tensor> {
    pass.nodes.get(place).ok_or_else(super::graph_changed)
}

/// The tensor with `by()` added to each element of one unit along an axis.
fn add_at(tensor: &Tensor, axis: usize, unit: usize, mut by: impl FnMut() -> f64) -> Result<Tensor> {
    let inner: usize = tensor.dims().iter().skip(axis + 1).product();
    let length = tensor.dim(axis)?;
    let moves = (0..tensor.elem_count()).map(|k| if k / inner % length == unit { by() } else { 0. });
    let moves = Tensor::from_iter(moves, &Device::Cpu)?.reshape(tensor.shape())?;
    Ok((tensor + moves.to_dtype(tensor.dtype())?.to_device(tensor.device())?)?)
}

/// The positions at which the units of a source arrive in the input of a layer.
#[derive(Default)]
struct Footprint {
    not_blocks: bool,
    not_interleaved: bool,
}

impl Footprint {
    fn add(&mut self, places: &[usize], unit: usize, units: usize, length: usize) {
        let whole = length.is_multiple_of(units);
        let each = (length / units).max(1);
        self.not_blocks |= !whole || places.iter().any(|place| place / each != unit);
        self.not_interleaved |= !whole || places.iter().any(|place| place % units != unit);
    }

    fn layout(&self) -> Option<UnitLayout> {
        match (self.not_blocks, self.not_interleaved) {
            (false, _) => Some(UnitLayout::Blocks),
            (true, false) => Some(UnitLayout::Interleaved),
            (true, true) => None,
        }
    }
}

/// The sources of units, each with the layers that read them.
#[derive(Default)]
struct SharedUnits {
    sources: BTreeMap<Source, Found>,
}

struct Found {
    units: usize,
    /// The layers that read the units: the name, the axis, and the layout along it.
    readers: Vec<(String, usize, UnitLayout)>,
    /// The layers that read the units mixed.
    mixed: Vec<String>,
    reaches_output: bool,
}

impl SharedUnits {
    fn add(
        &mut self,
        source: &Source,
        units: usize,
        layers: &[&Layer],
        seen: &BTreeMap<&str, Footprint>,
        reaches_output: bool,
    ) {
        let mut found = Found { units, readers: vec![], mixed: vec![], reaches_output };
        for layer in layers {
            match seen.get(layer.name.as_str()).map(Footprint::layout) {
                None => {}
                Some(Some(layout)) => found.readers.push((layer.name.clone(), layer.input_axis, layout)),
                Some(None) => found.mixed.push(layer.name.clone()),
            }
        }
        self.sources.insert(source.clone(), found);
    }

    fn reaches_output(&self, source: &Source) -> bool {
        self.sources.get(source).is_some_and(|found| found.reaches_output)
    }

    /// The units that no layer reads, or that something other than a layer mixes.
    fn problems(&self) -> Vec<String> {
        let hidden = self.sources.iter().filter(|(_, found)| !found.reaches_output);
        let one = |(source, found): (&Source, &Found)| match source {
            Source::Input(_) => None,
            Source::Variable(name, axis) if !found.mixed.is_empty() => Some(format!(
                "the units of {name} axis {axis} are mixed before they reach {}",
                found.mixed.join(", ")
            )),
            Source::Variable(name, axis) if found.readers.is_empty() => {
                Some(format!("no layer reads the units of {name} axis {axis}"))
            }
            Source::Variable(..) => None,
        };
        hidden.filter_map(one).collect()
    }

    /// The groups of units. Sources with a common reader hold the same units. Units that reach the output, or
    /// share a reader with the inputs, have a fixed order and are in no group.
    fn spec(&self, layers: &[Layer]) -> PermutationSpec {
        let sources: Vec<(&Source, &Found)> = self.sources.iter().collect();
        let mut group: Vec<usize> = (0..sources.len()).collect();
        let mut first_of: BTreeMap<(&str, usize), usize> = BTreeMap::new();
        for (i, (_, found)) in sources.iter().enumerate() {
            for (reader, axis, _) in &found.readers {
                let j = *first_of.entry((reader, *axis)).or_insert(i);
                let (from, to) = (group[i].max(group[j]), group[i].min(group[j]));
                group.iter_mut().filter(|g| **g == from).for_each(|g| *g = to);
            }
        }
        let mut members: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
        group.iter().enumerate().for_each(|(i, g)| members.entry(*g).or_default().push(i));
        let depth = |i: &usize| match sources[*i].0 {
            Source::Variable(name, _) => layers.iter().position(|layer| layer.name == *name),
            Source::Input(_) => None,
        };
        let fixed = |i: &usize| sources[*i].1.reaches_output || matches!(sources[*i].0, Source::Input(_));
        let mut groups: Vec<&Vec<usize>> = members
            .values()
            .filter(|all| !all.iter().any(fixed) && all.iter().any(|i| !sources[*i].1.readers.is_empty()))
            .collect();
        groups.sort_by_key(|all| {
            (all.iter().filter_map(depth).min().unwrap_or(usize::MAX), all.first().copied())
        });
        let mut spec = PermutationSpec::new();
        for (number, all) in groups.into_iter().enumerate() {
            let name = format!("P{number}");
            let mut axes = BTreeMap::new();
            for i in all {
                let (source, found) = &sources[*i];
                spec = spec.units(&name, found.units);
                if let Source::Variable(variable, axis) = source {
                    axes.entry((variable.clone(), *axis)).or_insert(UnitLayout::Blocks);
                }
                for (reader, axis, layout) in &found.readers {
                    axes.insert((reader.clone(), *axis), *layout);
                }
            }
            for ((parameter, axis), layout) in axes {
                spec = spec.axis_with_layout(&name, &parameter, axis, layout);
            }
        }
        spec
    }
}
