//! What a model's own forward pass says about its units.
mod graph;
mod shared_axes;

use crate::{
    data::Inputs,
    merge::{
        align::{Activations, Axis, PermutationSpec, Permutations},
        Model,
    },
    train::Learner,
    weights::Weights,
    Error, Result, Seed,
};
use candle_core::{DType, Device, Tensor};
use graph::Probe;
use rand::Rng;
use rand_distr::StandardNormal;
use shared_axes::{Findings, Search};
use std::fmt;

/// A model's forward pass, probed for which parameters share units.
///
/// The model is built as it is and run in evaluation mode on a few rows, with random weights. One unit at a time is
/// moved, with all weights that come after it silenced, and where it arrives unmixed (through activations,
/// normalization, pooling, flattening, residual connections) is an axis along which the same units lie. So nothing
/// about the model need be declared. It covers linear and convolutional layers (1-D and 2-D, ungrouped), biases,
/// batch-norm, elementwise activations and residual connections, in any order; not layer-norm, attention, embeddings
/// or grouped convolutions, for which [`permutations`](Self::permutations) refuses.
///
/// ```
/// use candle_core::{DType, Device, Tensor};
/// use candle_ensemble::{merge::{align::trace::Trace, Model}, train::Trainer};
/// use candle_nn::{linear, seq, Activation};
///
/// let trainer = Trainer::new(|vb| {
///     Ok(seq().add(linear(3, 8, vb.pp("in"))?).add(Activation::Relu).add(linear(8, 2, vb.pp("out"))?))
/// });
/// let rows = Tensor::ones((4, 3), DType::F32, &Device::Cpu)?;
/// let spec = Trace::new(&Model::new(&trainer)?, &rows)?.permutations()?;
/// assert_eq!(spec.to_string(), "P0: 8 units along in.bias axis 0, in.weight axis 0, out.weight axis 1\n");
/// # Ok::<(), candle_ensemble::Error>(())
/// ```
pub struct Trace<'a, L: Learner> {
    model: Model<'a, L>,
    example: Inputs,
    weights: Weights,
    found: Findings,
}

impl<L: Learner> fmt::Debug for Trace<'_, L> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Trace").field("spec", &self.found.spec).field("trouble", &self.found.trouble).finish()
    }
}

impl<'a, L: Learner> Trace<'a, L> {
    /// Probes `model` on the first rows of `inputs`, `(N, …)` with N at least 2, four of which are used. Takes about
    /// five forward passes a variable.
    ///
    /// # Errors
    /// When there are fewer than two rows, no input is a float, or the network cannot be built or run on them.
    pub fn new(model: &Model<'a, L>, inputs: impl Into<Inputs>) -> Result<Self> {
        let inputs = inputs.into();
        if inputs.rows() < 2 {
            return Err(Error::invalid("the rows to trace with", "at least two", inputs.rows()));
        }
        if !inputs.tensors().iter().any(|tensor| tensor.dtype().is_float()) {
            return Err(Error::invalid("the inputs of a traced network", "floats, some of them", "none"));
        }
        let seed = Seed::from(0).child("trace");
        let few = inputs.narrow(0, inputs.rows().min(4))?.to_device(model.target_device())?;
        // Rows of zeros, or twice the same, would hide what a unit does.
        let lively = few.tensors().iter().enumerate().map(|(i, tensor)| match tensor.dtype().is_float() {
            true => noisy(tensor, 1., seed.nth("input", i as u64)),
            false => Ok(tensor.clone()),
        });
        let example = Inputs::from(lively.collect::<Result<Vec<_>>>()?);
        let probe = Probe::new(model)?;
        let weights = at_random(&probe.values()?, seed)?;
        let found = Search::new(&probe, &weights, &example, seed.child("search"))?.run()?;
        Ok(Self { model: model.clone(), example, weights, found })
    }

    /// Which axes hold the same units, verified: reordering any group, and all of them, leaves the outputs as they
    /// are, to rounding.
    ///
    /// # Errors
    /// When a hidden axis is left over or mixed by something other than a layer, or a group does not verify; the
    /// parameters are named. Then give a [`PermutationSpec`] by hand.
    pub fn permutations(&self) -> Result<PermutationSpec> {
        if !self.found.trouble.is_empty() {
            return Err(Error::Foreign {
                what: "a network whose permutations are to be derived".into(),
                why: format!("{}; give the specification by hand", self.found.trouble.join("; ")),
            });
        }
        self.verify(&self.found.spec)?;
        Ok(self.found.spec.clone())
    }

    /// Checks a specification, one given by hand, say: with random weights, each group reordered, and all of them
    /// together, must leave the outputs unchanged to rounding (10⁻⁴ of the largest in f32).
    ///
    /// # Errors
    /// When a group does not fit, or changes the outputs; it is named with its parameters.
    pub fn verify(&self, spec: &PermutationSpec) -> Result<()> {
        let output = |weights: &Weights| self.model.output(weights, &self.example);
        let plain = output(&self.weights)?;
        let random = spec.random(Seed::from(0).child("verify"));
        let mut trials: Vec<(String, Permutations)> = vec![];
        for (name, group) in spec.groups() {
            let n = group.units as u32;
            let turned = (0..n).map(|unit| (unit + 1) % n).collect();
            let axes: Vec<_> = group.axes.iter().map(Axis::to_string).collect();
            let what = format!("the group {name} ({})", axes.join(", "));
            trials.push((what.clone(), Permutations::from([(name.clone(), turned)])));
            let order = random.get(name).cloned().unwrap_or_default();
            trials.push((what, Permutations::from([(name.clone(), order)])));
        }
        trials.push(("the groups together".into(), random));
        for (what, orders) in trials {
            let off = distance(&plain, &output(&spec.apply(&self.weights, &orders)?)?)?;
            if !off.le(&tolerance(plain.dtype())) {
                let why = format!("in another order the outputs change by {off:.1e} of the largest");
                return Err(Error::Foreign { what, why });
            }
        }
        Ok(())
    }

    /// What the units of each group say of `inputs`, as the layers that read them get it (after the activation): for
    /// each such place `(units, samples)`, a sample being a row, or a pixel of one. For activation matching. Holds
    /// all of it in memory, in f64.
    ///
    /// # Errors
    /// When a group is read by no layer that was traced, there are fewer than two rows, or the network branches on
    /// its data, so that its passes cannot be compared.
    pub fn activations(
        &self,
        spec: &PermutationSpec,
        weights: &Weights,
        inputs: impl Into<Inputs>,
    ) -> Result<Activations> {
        spec.check(weights)?;
        let mut places = vec![];
        for (name, group) in spec.groups() {
            let before = places.len();
            let readers = group.axes.iter().flat_map(|axis| self.found.layers.iter().map(move |l| (axis, l)));
            for (axis, layer) in readers.filter(|(a, l)| a.parameter == l.name && a.axis == l.reads) {
                if !places[before..]
                    .iter()
                    .any(|(_, _, _, other): &(_, _, _, &shared_axes::Layer)| other.entering == layer.entering)
                {
                    places.push((name, group.units, axis, layer));
                }
            }
            if places.len() == before {
                return Err(Error::invalid(format!("the group {name}"), "read by a traced layer", "not"));
            }
        }
        let mut parts: Vec<Vec<Tensor>> = vec![vec![]; places.len()];
        self.passes(weights, &inputs.into(), |nodes| {
            for ((_, units, axis, layer), parts) in places.iter().zip(&mut parts) {
                let data = nodes.get(layer.entering).ok_or_else(unsteady)?;
                let along = layer.axis_of(data).ok_or_else(unsteady)?;
                parts.push(by_unit(data, along, axis, *units)?);
            }
            Ok(())
        })?;
        let mut all = Activations::new();
        for ((name, ..), parts) in places.into_iter().zip(parts) {
            all.entry(name.clone()).or_default().push(Tensor::cat(&parts, 1)?);
        }
        Ok(all)
    }

    /// Calls `each` with the nodes of every pass over `inputs`.
    fn passes(
        &self,
        weights: &Weights,
        inputs: &Inputs,
        mut each: impl FnMut(&[Tensor]) -> Result<()>,
    ) -> Result<()> {
        let probe = Probe::new(&self.model)?;
        let rows: Vec<u32> = (0..inputs.rows() as u32).collect();
        for part in self.model.passes(&rows)? {
            let first = part.first().copied().unwrap_or_default() as usize;
            let inputs = inputs.narrow(first, part.len())?.to_device(self.model.target_device())?;
            let pass = probe.pass(weights, &inputs)?;
            if pass.nodes.len() != self.found.nodes {
                return Err(unsteady());
            }
            each(&pass.nodes)?;
        }
        Ok(())
    }

    /// The hidden layers with a bias, those that come first first: weight, axis of its units, bias.
    pub(crate) fn hidden(&self) -> impl Iterator<Item = Hidden<'_>> {
        self.found.biased.iter().enumerate().map(|(number, one)| Hidden {
            number,
            weight: &one.layer.name,
            axis: one.layer.out,
            bias: &one.bias,
        })
    }

    /// What the units of these hidden layers say before the activation, over all rows: for each layer mean and
    /// standard deviation (population) of each unit.
    pub(crate) fn moments(
        &self,
        layers: &[usize],
        weights: &Weights,
        inputs: &Inputs,
    ) -> Result<Vec<Moments>> {
        let ones: Vec<_> = layers.iter().filter_map(|number| self.found.biased.get(*number)).collect();
        let mut sums: Vec<Option<(f64, Tensor, Tensor)>> = vec![None; ones.len()];
        self.passes(weights, inputs, |nodes| {
            for (one, sum) in ones.iter().zip(&mut sums) {
                let data = nodes.get(one.node).ok_or_else(unsteady)?;
                let along = one.layer.axis_of(data).ok_or_else(unsteady)?;
                let units = data.dim(along)?;
                let axis = Axis {
                    parameter: String::new(),
                    axis: along,
                    layout: crate::merge::align::Layout::Blocks,
                };
                let table = by_unit(data, along, &axis, units)?;
                // Each pass around its own mean, and the passes joined, so that large means cost no digits.
                let (n, mean) = (table.dim(1)? as f64, table.mean(1)?);
                let squares = table.broadcast_sub(&mean.unsqueeze(1)?)?.sqr()?.sum(1)?;
                *sum = Some(match sum.take() {
                    None => (n, mean, squares),
                    Some((m, centre, rest)) => {
                        let apart = (&mean - &centre)?;
                        let joined = (centre + (&apart * (n / (m + n)))?)?;
                        let between = (apart.sqr()? * (m * n / (m + n)))?;
                        (m + n, joined, ((rest + squares)? + between)?)
                    }
                });
            }
            Ok(())
        })?;
        let finish = |sum: Option<(f64, Tensor, Tensor)>| {
            let (n, mean, squares) = sum.ok_or_else(unsteady)?;
            Ok(Moments { mean: mean.to_vec1()?, sd: (squares / n)?.sqrt()?.to_vec1()? })
        };
        sums.into_iter().map(finish).collect()
    }
}

/// A hidden layer with a bias.
pub(crate) struct Hidden<'a> {
    pub(crate) number: usize,
    pub(crate) weight: &'a str,
    pub(crate) axis: usize,
    pub(crate) bias: &'a str,
}

/// Mean and standard deviation of each unit.
pub(crate) struct Moments {
    pub(crate) mean: Vec<f64>,
    pub(crate) sd: Vec<f64>,
}

/// `(units, samples)` f64 of a node whose units lie along `along`, laid out as the weight's axis says.
fn by_unit(data: &Tensor, along: usize, axis: &Axis, units: usize) -> Result<Tensor> {
    Axis { parameter: String::new(), axis: along, layout: axis.layout }.by_unit(&data.detach(), units)
}

fn unsteady() -> Error {
    Error::Foreign {
        what: "a traced network".into(),
        why: "its graph changes from one pass to the next".into(),
    }
}

/// Random weights in the place of what the constructor drew: matrices and kernels of the size that keeps signals alive,
/// and vectors that differ from unit to unit but stay near what was declared, for some are variances.
fn at_random(declared: &Weights, seed: Seed) -> Result<Weights> {
    let draw = |(name, tensor): (&String, &Tensor)| {
        let tensor = match (tensor.dtype().is_float(), tensor.rank()) {
            (false, _) => tensor.clone(),
            (true, 0 | 1) => noisy(tensor, 0.1, seed.child(name))?,
            (true, _) => {
                let fan_in = tensor.elem_count() / tensor.dim(0)?.max(1);
                noisy(&tensor.zeros_like()?, (2. / fan_in.max(1) as f64).sqrt(), seed.child(name))?
            }
        };
        Ok((name.clone(), tensor))
    };
    declared.iter().map(draw).collect()
}

/// `tensor` plus normal noise, within three standard deviations.
fn noisy(tensor: &Tensor, deviation: f64, seed: Seed) -> Result<Tensor> {
    let mut rng = seed.rng();
    let noise =
        (0..tensor.elem_count()).map(|_| deviation * rng.sample::<f64, _>(StandardNormal).clamp(-3., 3.));
    let noise = Tensor::from_iter(noise, &Device::Cpu)?.reshape(tensor.shape())?;
    Ok((tensor + noise.to_dtype(tensor.dtype())?.to_device(tensor.device())?)?)
}

/// The largest difference as a share of the largest number of `a`.
fn distance(a: &Tensor, b: &Tensor) -> Result<f64> {
    let [a, b] = [a, b].map(|t| {
        Ok::<_, Error>(t.to_device(&Device::Cpu)?.to_dtype(DType::F64)?.flatten_all()?.to_vec1::<f64>()?)
    });
    let (a, b) = (a?, b?);
    let off = a.iter().zip(&b).fold(0., |most: f64, (a, b)| match (a - b).abs() {
        off if off.is_nan() => f64::NAN,
        _ if most.is_nan() => most,
        off => most.max(off),
    });
    Ok(off / a.iter().fold(f64::MIN_POSITIVE, |most, a| most.max(a.abs())))
}

fn tolerance(dtype: DType) -> f64 {
    match dtype {
        DType::F64 => 1e-10,
        DType::F32 => 1e-4,
        DType::F16 => 2e-2,
        _ => 0.1,
    }
}

#[cfg(test)]
mod tests;
