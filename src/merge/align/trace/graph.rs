//! The intermediate tensors of a forward pass.
//!
//! candle does not show the operations of its graph, but it lists the ancestors of a tensor that lead to
//! variables, in a topological order that depends only on the program. If the inputs are variables, these are
//! all intermediate tensors, at the same position in each pass.
use crate::{
    data::Inputs,
    merge::{network::model::Live, Model},
    nn::in_parts,
    train::Learner,
    weights::{Vars, Weights},
    Error, Network, Result,
};
use candle_core::{DType, Device, Tensor, TensorId, Var};
use std::collections::{BTreeSet, HashMap};

/// A network whose intermediate tensors can be read.
pub(crate) struct Probe<N> {
    vars: Vars,
    live: Live<N>,
}

/// The intermediate tensors of one pass, each after those that it is computed from. The last is the output.
pub(crate) struct Pass {
    pub(crate) nodes: Vec<Tensor>,
    pub(crate) inputs: Vec<TensorId>,
}

impl<N: Network> Probe<N> {
    pub(crate) fn new<L: Learner<Network = N>>(model: &Model<'_, L>) -> Result<Self> {
        let (vars, live) = model.fresh()?;
        Ok(Self { vars, live })
    }

    /// The values that the constructor gave to the variables.
    pub(crate) fn values(&self) -> Result<Weights> {
        Ok(self.vars.snapshot()?)
    }

    pub(crate) fn pass(&self, weights: &Weights, inputs: &Inputs) -> Result<Pass> {
        self.vars.load(weights)?;
        let variable = |tensor: &Tensor| match tensor.dtype().is_float() {
            true => Ok(Var::from_tensor(&tensor.detach())?.into_inner()),
            false => Ok(tensor.clone()),
        };
        // The network alone: a scaling is neither a layer nor an input of it.
        let inputs = self.live.scaled(inputs)?;
        let tensors = inputs.tensors().iter().map(variable).collect::<Result<Vec<_>>>()?;
        let inputs = tensors.iter().map(Tensor::id).collect();
        let output = in_parts(|| self.live.run_scaled(&Inputs::from(tensors), false))?;
        let mut nodes: Vec<Tensor> = output.sorted_nodes().into_iter().cloned().collect();
        nodes.reverse();
        if nodes.is_empty() {
            return Err(Error::Foreign {
                what: "the network".into(),
                why: "its output depends on no variable".into(),
            });
        }
        Ok(Pass { nodes, inputs })
    }
}

/// The variables and inputs that each node depends on.
pub(crate) struct Origins {
    /// The names of the variables, by node.
    pub(crate) variables: Vec<BTreeSet<String>>,
    /// Whether the node depends on the inputs.
    pub(crate) of_inputs: Vec<bool>,
    /// The nodes that each node is computed from, itself included.
    ancestors: Vec<BTreeSet<usize>>,
}

impl Origins {
    pub(crate) fn of<N>(probe: &Probe<N>, pass: &Pass) -> Self {
        let names: HashMap<TensorId, String> =
            probe.vars.named().into_iter().map(|(name, var)| (var.id(), name)).collect();
        let positions: HashMap<TensorId, usize> =
            pass.nodes.iter().enumerate().map(|(position, node)| (node.id(), position)).collect();
        let mut origins = Self { variables: vec![], of_inputs: vec![], ancestors: vec![] };
        for node in &pass.nodes {
            let ids: Vec<TensorId> = node.sorted_nodes().iter().map(|node| node.id()).collect();
            origins.variables.push(ids.iter().filter_map(|id| names.get(id).cloned()).collect());
            origins.of_inputs.push(ids.iter().any(|id| pass.inputs.contains(id)));
            origins.ancestors.push(ids.iter().filter_map(|id| positions.get(id).copied()).collect());
        }
        origins
    }

    fn depends_on(&self, node: usize, name: &str) -> bool {
        self.variables.get(node).is_some_and(|names| names.contains(name))
    }

    pub(crate) fn depends_on_inputs(&self, node: usize) -> bool {
        self.of_inputs.get(node).copied().unwrap_or(false)
    }

    /// The first node that depends on a variable and on the inputs.
    pub(crate) fn first_with_inputs(&self, name: &str) -> Option<usize> {
        (0..self.variables.len()).find(|node| self.depends_on_inputs(*node) && self.depends_on(*node, name))
    }

    /// The node that is combined with a variable at `node`: the last ancestor that depends on the inputs, but
    /// not on the variable.
    pub(crate) fn operand(&self, name: &str, node: usize) -> Option<usize> {
        let data = |node: &&usize| self.depends_on_inputs(**node) && !self.depends_on(**node, name);
        self.ancestors.get(node)?.iter().rev().find(data).copied()
    }

    /// Whether `node` is computed from `other`.
    pub(crate) fn is_computed_from(&self, node: usize, other: usize) -> bool {
        self.ancestors.get(node).is_some_and(|all| all.contains(&other))
    }
}

/// The positions along `axis` where two tensors differ.
pub(crate) fn changed(before: &Tensor, after: &Tensor, axis: usize) -> Result<Vec<usize>> {
    let table = |t: &Tensor| -> Result<Vec<Vec<f64>>> {
        let t = t.detach().to_device(&Device::Cpu)?.to_dtype(DType::F64)?.transpose(0, axis)?.contiguous()?;
        Ok(t.reshape((t.dim(0)?, ()))?.to_vec2()?)
    };
    if before.dims() != after.dims() {
        return Err(super::graph_changed());
    }
    let (before, after) = (table(before)?, table(after)?);
    Ok(before
        .iter()
        .zip(&after)
        .enumerate()
        .filter(|(_, (a, b))| a != b)
        .map(|(position, _)| position)
        .collect())
}

/// The axis of the units in a tensor that a weight of this rank reads or produces: the last for a matrix,
/// else the second.
pub(crate) fn unit_axis(rank: usize, data: &Tensor) -> Option<usize> {
    match (rank, data.rank()) {
        (_, 0 | 1) => None,
        (2, data) => Some(data - 1),
        _ => Some(1),
    }
}
