//! Which axes hold the same units, found by moving one unit and looking where it arrives.
use crate::{
    data::Inputs,
    merge::align::{
        trace::graph::{changed, unit_axis, Origins, Pass, Probe},
        Layout, PermutationSpec,
    },
    weights::Weights,
    Error, Network, Result, Seed,
};
use candle_core::{DType, Device, Tensor, TensorId};
use rand::Rng;
use rand_distr::StandardNormal;
use std::collections::{BTreeMap, BTreeSet};

/// A weight of two or more axes, with one along the units it makes and one along those it reads.
#[derive(Clone, Debug)]
pub(crate) struct Layer {
    pub(crate) name: String,
    rank: usize,
    pub(crate) out: usize,
    pub(crate) reads: usize,
    /// The node it reads.
    pub(crate) entering: usize,
    /// The node it makes.
    pub(crate) leaving: usize,
}

/// A layer's bias, and the node where it has been added.
#[derive(Clone, Debug)]
pub(crate) struct Biased {
    pub(crate) layer: Layer,
    pub(crate) bias: String,
    pub(crate) node: usize,
}

impl Layer {
    /// The node's numbers by unit.
    pub(crate) fn axis_of(&self, data: &Tensor) -> Option<usize> {
        unit_axis(self.rank, data)
    }
}

/// What probing found out.
pub(crate) struct Findings {
    pub(crate) nodes: usize,
    pub(crate) layers: Vec<Layer>,
    pub(crate) biased: Vec<Biased>,
    pub(crate) spec: PermutationSpec,
    /// Why the specification is not the whole one.
    pub(crate) trouble: Vec<String>,
}

/// One unit of something: an axis of a variable, or the inputs' columns or channels.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Source {
    Variable(String, usize),
    Input(usize),
}

/// How far a unit is moved, in turns: far enough that some pass a rectifier.
const NUDGES: [f64; 3] = [1., 4., 2.];

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
        let mut trouble = vec![];
        let mut layers = vec![];
        for (name, tensor) in self.weights.iter().filter(|(_, tensor)| is_layer(tensor)) {
            match self.layer(name, tensor)? {
                Some(layer) => layers.push(layer),
                None => trouble.push(format!("what {name} makes of its inputs is no layer this trace knows")),
            }
        }
        layers.sort_by_key(|layer| layer.leaving);
        let mut ties = Ties::default();
        let mut biased = vec![];
        for (name, tensor) in self.weights.iter().filter(|(_, tensor)| tensor.rank() == 1) {
            let Some(node) = self.first_moved(name)? else { continue };
            self.follow(&Source::Variable(name.clone(), 0), tensor.dim(0)?, node, &layers, &mut ties)?;
            biased.extend(self.biased(name, node, &layers)?);
        }
        for layer in &layers {
            let units = self.tensor(&layer.name)?.dim(layer.out)?;
            let source = Source::Variable(layer.name.clone(), layer.out);
            self.follow(&source, units, layer.leaving, &layers, &mut ties)?;
        }
        for (i, tensor) in self.inputs.tensors().iter().enumerate() {
            if let (true, Some(units)) = (tensor.dtype().is_float(), tensor.dims().get(1)) {
                let node = self.pass.inputs.get(i).and_then(|id| self.place(*id));
                if let Some(node) = node {
                    self.follow(&Source::Input(i), *units, node, &layers, &mut ties)?;
                }
            }
        }
        biased.retain(|one| !ties.at_output(&Source::Variable(one.bias.clone(), 0)));
        biased.sort_by_key(|one| one.node);
        trouble.extend(ties.trouble());
        Ok(Findings { nodes: self.pass.nodes.len(), spec: ties.spec(&layers), layers, biased, trouble })
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

    /// How a weight meets the data, if one of its first two axes runs along the units that it makes, each place of
    /// the axis one unit, and the other along those that it reads.
    fn layer(&self, name: &str, tensor: &Tensor) -> Result<Option<Layer>> {
        let Some(leaving) = self.origins.meeting(name) else { return Ok(None) };
        let Some(entering) = self.origins.met(name, leaving) else { return Ok(None) };
        let (rank, made, read) = (tensor.rank(), self.node(leaving)?, self.node(entering)?);
        let (Some(along), Some(across)) = (unit_axis(rank, made), unit_axis(rank, read)) else {
            return Ok(None);
        };
        for out in [0, 1] {
            let (units, reads) = (tensor.dim(out)?, 1 - out);
            if made.dim(along)? != units || read.dim(across)? != tensor.dim(reads)? {
                continue;
            }
            let unit = self.draw(name, units);
            let moved = self.probe.pass(&self.nudged(self.weights, name, out, unit, 1.)?, self.inputs)?;
            if changed(made, at(&moved, leaving)?, along)? == [unit] {
                return Ok(Some(Layer { name: name.into(), rank, out, reads, entering, leaving }));
            }
        }
        Ok(None)
    }

    /// The first node that sees the inputs and moves with a vector; none, if nothing does.
    fn first_moved(&self, name: &str) -> Result<Option<usize>> {
        let unit = self.draw(name, self.tensor(name)?.dim(0)?);
        let moved = self.probe.pass(&self.nudged(self.weights, name, 0, unit, 1.)?, self.inputs)?;
        for place in 0..self.pass.nodes.len() {
            if self.origins.sees_inputs(place)
                && !changed(self.node(place)?, at(&moved, place)?, 0)?.is_empty()
            {
                return Ok(Some(place));
            }
        }
        Ok(None)
    }

    /// Ties a source to every layer that reads its units unmixed.
    ///
    /// Weights that come after the source are silenced, so that what still moves has come along element by element:
    /// through activations, normalization, pooling and residual connections, not through another layer.
    fn follow(
        &self,
        source: &Source,
        units: usize,
        node: usize,
        layers: &[Layer],
        ties: &mut Ties,
    ) -> Result<()> {
        if units < 2 {
            return Ok(()); // nothing to permute
        }
        let upstream = match source {
            Source::Variable(..) => self.origins.variables.get(node).cloned().unwrap_or_default(),
            Source::Input(_) => BTreeSet::new(),
        };
        let quiet = |(name, tensor): (&String, &Tensor)| {
            let silent = is_layer(tensor) && !upstream.contains(name);
            Ok((name.clone(), if silent { tensor.zeros_like()? } else { tensor.clone() }))
        };
        let quiet = self.weights.iter().map(quiet).collect::<Result<Weights>>()?;
        let still = self.probe.pass(&quiet, self.inputs)?;
        let readers: Vec<&Layer> = layers.iter().filter(|layer| !upstream.contains(&layer.name)).collect();
        let mut seen = BTreeMap::new();
        let mut at_output = false;
        for (turn, by) in NUDGES.into_iter().enumerate() {
            let unit = self.draw(&format!("{source:?} {turn}"), units);
            let moved = match source {
                Source::Variable(name, axis) => {
                    self.probe.pass(&self.nudged(&quiet, name, *axis, unit, by)?, self.inputs)?
                }
                Source::Input(i) => self.probe.pass(&quiet, &self.nudged_input(*i, unit, by)?)?,
            };
            let last = self.pass.nodes.len() - 1;
            at_output |= !changed(at(&still, last)?, at(&moved, last)?, 0)?.is_empty();
            for layer in &readers {
                let (before, after) = (at(&still, layer.entering)?, at(&moved, layer.entering)?);
                let Some(axis) = layer.axis_of(before) else { continue };
                let places = changed(before, after, axis)?;
                if !places.is_empty() {
                    let each = seen.entry(layer.name.as_str()).or_insert_with(Footprint::default);
                    each.add(&places, unit, units, before.dim(axis)?);
                }
            }
        }
        ties.add(source, units, &readers, &seen, at_output);
        Ok(())
    }

    /// The layer of which this vector is the bias: added to what the layer makes, and to nothing else.
    fn biased(&self, name: &str, node: usize, layers: &[Layer]) -> Result<Option<Biased>> {
        let Some(met) = self.origins.met(name, node) else { return Ok(None) };
        let made = |layer: &&Layer| met == layer.leaving || self.origins.made_of(met, layer.leaving);
        let Some(layer) = layers.iter().rev().find(made) else { return Ok(None) };
        let numbers = |t: &Tensor| -> Result<Vec<f64>> {
            Ok(t.detach().to_device(&Device::Cpu)?.to_dtype(DType::F64)?.flatten_all()?.to_vec1()?)
        };
        let (made, met, sum) = (self.node(layer.leaving)?, self.node(met)?, self.node(node)?);
        let units = self.tensor(name)?.dim(0)?;
        let Some(axis) = layer.axis_of(sum) else { return Ok(None) };
        if numbers(made)? != numbers(met)? || sum.dim(axis)? != units || sum.dims() != met.dims() {
            return Ok(None);
        }
        let mut shape = vec![1; sum.rank()];
        if let Some(length) = shape.get_mut(axis) {
            *length = units;
        }
        let by_hand =
            met.detach().broadcast_add(&self.tensor(name)?.to_device(met.device())?.reshape(shape)?)?;
        let same = numbers(&by_hand)? == numbers(sum)?;
        Ok(same.then(|| Biased { layer: layer.clone(), bias: name.into(), node }))
    }

    fn draw(&self, name: &str, units: usize) -> usize {
        self.seed.child(name).rng().random_range(0..units.max(1))
    }

    /// `weights` with one place along an axis moved: a vector by `by`, more at random around that.
    fn nudged(&self, weights: &Weights, name: &str, axis: usize, unit: usize, by: f64) -> Result<Weights> {
        let mut all = weights.clone();
        if let Some(tensor) = all.get_mut(name) {
            let mut rng = self.seed.child("nudge").rng();
            let random = tensor.rank() > 1;
            *tensor = nudge(tensor, axis, unit, || {
                by * if random { rng.sample::<f64, _>(StandardNormal) } else { 1. }
            })?;
        }
        Ok(all)
    }

    fn nudged_input(&self, which: usize, unit: usize, by: f64) -> Result<Inputs> {
        let mut all = self.inputs.tensors().to_vec();
        if let Some(tensor) = all.get_mut(which) {
            *tensor = nudge(tensor, 1, unit, || by)?;
        }
        Ok(all.into())
    }
}

/// Weights that mix units have two axes or more.
fn is_layer(tensor: &Tensor) -> bool {
    tensor.rank() >= 2 && tensor.dtype().is_float()
}

fn at(pass: &Pass, place: usize) -> Result<&Tensor> {
    pass.nodes.get(place).ok_or_else(super::unsteady)
}

fn nudge(tensor: &Tensor, axis: usize, unit: usize, mut by: impl FnMut() -> f64) -> Result<Tensor> {
    let inner: usize = tensor.dims().iter().skip(axis + 1).product();
    let length = tensor.dim(axis)?;
    let moves = (0..tensor.elem_count()).map(|k| if k / inner % length == unit { by() } else { 0. });
    let moves = Tensor::from_iter(moves, &Device::Cpu)?.reshape(tensor.shape())?;
    Ok((tensor + moves.to_dtype(tensor.dtype())?.to_device(tensor.device())?)?)
}

/// Where one source's units arrive in what a layer reads.
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

    fn layout(&self) -> Option<Layout> {
        match (self.not_blocks, self.not_interleaved) {
            (false, _) => Some(Layout::Blocks),
            (true, false) => Some(Layout::Interleaved),
            (true, true) => None,
        }
    }
}

/// Sources and the layers that read them, as they are found.
#[derive(Default)]
struct Ties {
    sources: BTreeMap<Source, Found>,
}

struct Found {
    units: usize,
    /// Layers that read the units, by number, and how they lie there.
    readers: Vec<(String, usize, Layout)>,
    mixed: Vec<String>,
    at_output: bool,
}

impl Ties {
    fn add(
        &mut self,
        source: &Source,
        units: usize,
        layers: &[&Layer],
        seen: &BTreeMap<&str, Footprint>,
        at_output: bool,
    ) {
        let mut found = Found { units, readers: vec![], mixed: vec![], at_output };
        for layer in layers {
            match seen.get(layer.name.as_str()).map(Footprint::layout) {
                None => {}
                Some(Some(layout)) => found.readers.push((layer.name.clone(), layer.reads, layout)),
                Some(None) => found.mixed.push(layer.name.clone()),
            }
        }
        self.sources.insert(source.clone(), found);
    }

    fn at_output(&self, source: &Source) -> bool {
        self.sources.get(source).is_some_and(|found| found.at_output)
    }

    /// Units that nobody reads, or that something other than a layer mixes.
    fn trouble(&self) -> Vec<String> {
        let hidden = self.sources.iter().filter(|(_, found)| !found.at_output);
        let one = |(source, found): (&Source, &Found)| match source {
            Source::Input(_) => None,
            Source::Variable(name, axis) if !found.mixed.is_empty() => {
                Some(format!("{name} axis {axis} reaches {} mixed", found.mixed.join(", ")))
            }
            Source::Variable(name, axis) if found.readers.is_empty() => {
                Some(format!("no layer reads what runs along {name} axis {axis}"))
            }
            Source::Variable(..) => None,
        };
        hidden.filter_map(one).collect()
    }

    /// Sources with a reader in common hold the same units. Those that reach the output, or share a reader with the
    /// inputs, stay as they are.
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
        let fixed = |i: &usize| sources[*i].1.at_output || matches!(sources[*i].0, Source::Input(_));
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
                    axes.entry((variable.clone(), *axis)).or_insert(Layout::Blocks);
                }
                for (reader, axis, layout) in &found.readers {
                    axes.insert((reader.clone(), *axis), *layout);
                }
            }
            for ((parameter, axis), layout) in axes {
                spec = spec.laid_out(&name, &parameter, axis, layout);
            }
        }
        spec
    }
}
