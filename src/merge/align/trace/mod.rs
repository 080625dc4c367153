//! The units of a model, found from its forward pass.
mod graph;
mod shared_axes;

use crate::{
    data::Inputs,
    merge::{
        align::{Activations, Axis, PermutationSpec, Permutations, UnitLayout},
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

/// A model whose forward pass was traced, to find the parameters that share units.
///
/// The model is built and run in evaluation mode on a few rows, with random weights. One unit at a time is
/// changed, with all layers behind it set to zero. The axes at which the change arrives unmixed (through
/// activations, normalization, pooling, flattening and residual connections) hold the same units. So the
/// model needs no declaration and no change.
///
/// A trace covers linear and convolutional layers (1-D and 2-D, ungrouped), biases, batch-norm, elementwise
/// activations and residual connections, in any order. It does not cover layer-norm, attention, embeddings
/// and grouped convolutions; [`permutations`](Self::permutations) then returns an error.
///
/// Use it to derive a [`PermutationSpec`], to compute [activations](Self::activations), and for
/// [`repair`](crate::merge::repair()).
///
/// Cost: about five forward passes over four rows for each variable.
///
/// ```
/// use candle_core::{DType, Device, Tensor};
/// use candle_ensemble::{merge::{Model, Trace}, train::Trainer};
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
        f.debug_struct("Trace")
            .field("spec", &self.found.spec)
            .field("problems", &self.found.problems)
            .finish()
    }
}

impl<'a, L: Learner> Trace<'a, L> {
    /// Traces `model` on the first rows of `inputs`, `(N, …)` with `N` at least 2. At most four rows are
    /// used.
    ///
    /// # Errors
    /// When there are fewer than two rows, no input has a floating-point dtype, or the network cannot be
    /// built or run.
    pub fn new(model: &Model<'a, L>, inputs: impl Into<Inputs>) -> Result<Self> {
        let inputs = inputs.into();
        if inputs.rows() < 2 {
            return Err(Error::invalid("the number of rows to trace with", "at least 2", inputs.rows()));
        }
        if !inputs.tensors().iter().any(|tensor| tensor.dtype().is_float()) {
            return Err(Error::invalid(
                "the inputs of a traced network",
                "floats, at least one of them",
                "of other dtypes",
            ));
        }
        let seed = Seed::from(0).child("trace");
        let few = inputs.narrow(0, inputs.rows().min(4))?.to_device(model.target_device())?;
        // Rows of zeros, or equal rows, would hide the effect of a unit.
        let noisy_inputs =
            few.tensors().iter().enumerate().map(|(i, tensor)| match tensor.dtype().is_float() {
                true => noisy(tensor, 1., seed.nth("input", i as u64)),
                false => Ok(tensor.clone()),
            });
        let example = Inputs::from(noisy_inputs.collect::<Result<Vec<_>>>()?);
        let probe = Probe::new(model)?;
        let weights = random_weights(&probe.values()?, seed)?;
        let found = Search::new(&probe, &weights, &example, seed.child("search"))?.run()?;
        Ok(Self { model: model.clone(), example, weights, found })
    }

    /// The groups of units of the model. They are verified: reordering any group, and all together, leaves
    /// the outputs unchanged to rounding.
    ///
    /// # Errors
    /// When a hidden axis is read by no layer, or mixed by something other than a layer, or a group is not
    /// confirmed. The parameters are named. Write a [`PermutationSpec`] by hand in this case.
    pub fn permutations(&self) -> Result<PermutationSpec> {
        if !self.found.problems.is_empty() {
            return Err(Error::Foreign {
                what: "a network whose permutations are derived".into(),
                why: format!("{}; write the PermutationSpec by hand", self.found.problems.join("; ")),
            });
        }
        self.verify(&self.found.spec)?;
        Ok(self.found.spec.clone())
    }

    /// Checks a spec, for example one that is written by hand: with random weights, reordering each group,
    /// and all groups together, must leave the outputs unchanged to rounding (10⁻⁴ of the largest output in
    /// f32).
    ///
    /// # Errors
    /// When a group does not fit the model, or changes the outputs. It is named with its parameters.
    pub fn verify(&self, spec: &PermutationSpec) -> Result<()> {
        let output = |weights: &Weights| self.model.output(weights, &self.example);
        let plain = output(&self.weights)?;
        let random = spec.random(Seed::from(0).child("verify"));
        let mut trials: Vec<(String, Permutations)> = vec![];
        for (name, group) in spec.groups() {
            let n = group.units as u32;
            let rotated = (0..n).map(|unit| (unit + 1) % n).collect();
            let axes: Vec<_> = group.axes.iter().map(Axis::to_string).collect();
            let what = format!("the group {name} ({})", axes.join(", "));
            trials.push((what.clone(), Permutations::from([(name.clone(), rotated)])));
            let order = random.get(name).cloned().unwrap_or_default();
            trials.push((what, Permutations::from([(name.clone(), order)])));
        }
        trials.push(("the groups together".into(), random));
        for (what, orders) in trials {
            let off = distance(&plain, &output(&spec.apply(&self.weights, &orders)?)?)?;
            if !off.le(&tolerance(plain.dtype())) {
                let why = format!("a reordering changes the outputs by {off:.1e} of the largest");
                return Err(Error::Foreign { what, why });
            }
        }
        Ok(())
    }

    /// The activations of each group for `inputs`, for
    /// [`Matching::Activations`](crate::merge::align::Matching::Activations): what each layer that reads the
    /// group gets, `(units, samples)`. A sample is a row, or a pixel of a row. All of them are in memory, in
    /// f64.
    ///
    /// # Errors
    /// When no traced layer reads a group, there are fewer than two rows, or the graph depends on the data,
    /// so that passes cannot be compared.
    pub fn activations(
        &self,
        spec: &PermutationSpec,
        weights: &Weights,
        inputs: impl Into<Inputs>,
    ) -> Result<Activations> {
        spec.check(weights)?;
        let mut reads = vec![];
        for (name, group) in spec.groups() {
            let before = reads.len();
            let readers = group.axes.iter().flat_map(|axis| self.found.layers.iter().map(move |l| (axis, l)));
            for (axis, layer) in readers.filter(|(a, l)| a.parameter == l.name && a.axis == l.input_axis) {
                if !reads[before..]
                    .iter()
                    .any(|(_, _, _, other): &(_, _, _, &shared_axes::Layer)| other.input == layer.input)
                {
                    reads.push((name, group.units, axis, layer));
                }
            }
            if reads.len() == before {
                return Err(Error::invalid(
                    format!("the group {name}"),
                    "read by a traced layer",
                    "read by none",
                ));
            }
        }
        let mut parts: Vec<Vec<Tensor>> = vec![vec![]; reads.len()];
        self.passes(weights, &inputs.into(), |nodes| {
            for ((_, units, axis, layer), parts) in reads.iter().zip(&mut parts) {
                let data = nodes.get(layer.input).ok_or_else(graph_changed)?;
                let axis_of_units = layer.axis_of(data).ok_or_else(graph_changed)?;
                parts.push(by_unit(data, axis_of_units, axis.layout, *units)?);
            }
            Ok(())
        })?;
        let mut all = Activations::new();
        for ((name, ..), parts) in reads.into_iter().zip(parts) {
            all.entry(name.clone()).or_default().push(Tensor::cat(&parts, 1)?);
        }
        Ok(all)
    }

    /// Calls `each` with the nodes of each pass over `inputs`.
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
                return Err(graph_changed());
            }
            each(&pass.nodes)?;
        }
        Ok(())
    }

    /// The hidden layers with a bias, in the order of the forward pass.
    pub(crate) fn hidden(&self) -> impl Iterator<Item = Hidden<'_>> {
        self.found.biased.iter().enumerate().map(|(number, one)| Hidden {
            number,
            weight: &one.layer.name,
            axis: one.layer.output_axis,
            bias: &one.bias,
        })
    }

    /// The mean and the population standard deviation of each unit's pre-activation over all rows, for these
    /// hidden layers.
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
                let data = nodes.get(one.node).ok_or_else(graph_changed)?;
                let axis = one.layer.axis_of(data).ok_or_else(graph_changed)?;
                let units = data.dim(axis)?;
                let table = by_unit(data, axis, UnitLayout::Blocks, units)?;
                // Squares are around the mean of each pass, and passes are joined, so that large means cost
                // no precision.
                let (n, mean) = (table.dim(1)? as f64, table.mean(1)?);
                let squares = table.broadcast_sub(&mean.unsqueeze(1)?)?.sqr()?.sum(1)?;
                *sum = Some(match sum.take() {
                    None => (n, mean, squares),
                    Some((m, joined_mean, joined_squares)) => {
                        let shift = (&mean - &joined_mean)?;
                        let mean = (joined_mean + (&shift * (n / (m + n)))?)?;
                        let between = (shift.sqr()? * (m * n / (m + n)))?;
                        (m + n, mean, ((joined_squares + squares)? + between)?)
                    }
                });
            }
            Ok(())
        })?;
        let finish = |sum: Option<(f64, Tensor, Tensor)>| {
            let (n, mean, squares) = sum.ok_or_else(graph_changed)?;
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

/// The mean and the standard deviation of each unit.
pub(crate) struct Moments {
    pub(crate) mean: Vec<f64>,
    pub(crate) sd: Vec<f64>,
}

/// A node's elements by unit, `(units, samples)` f64, of units that lie along `axis` in this layout.
fn by_unit(data: &Tensor, axis: usize, layout: UnitLayout, units: usize) -> Result<Tensor> {
    Axis { parameter: String::new(), axis, layout }.by_unit(&data.detach(), units)
}

fn graph_changed() -> Error {
    Error::Foreign { what: "a traced network".into(), why: "its graph differs from pass to pass".into() }
}

/// Random weights. Matrices and kernels have the scale that keeps activations in range. Vectors differ from
/// unit to unit, but stay near the declared values, because some are variances.
fn random_weights(declared: &Weights, seed: Seed) -> Result<Weights> {
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

/// `tensor` plus normal noise, limited to three standard deviations.
fn noisy(tensor: &Tensor, deviation: f64, seed: Seed) -> Result<Tensor> {
    let mut rng = seed.rng();
    let noise =
        (0..tensor.elem_count()).map(|_| deviation * rng.sample::<f64, _>(StandardNormal).clamp(-3., 3.));
    let noise = Tensor::from_iter(noise, &Device::Cpu)?.reshape(tensor.shape())?;
    Ok((tensor + noise.to_dtype(tensor.dtype())?.to_device(tensor.device())?)?)
}

/// The largest difference of two tensors, as a share of the largest element of `a`.
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

/// The largest share by which rounding changes the outputs.
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
