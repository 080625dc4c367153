//! The nodes of a forward pass.
//!
//! candle does not show the operations of its graph, but it lists a tensor's ancestors that lead to variables, in a
//! topological order that the program alone determines. With the inputs made variables that is every intermediate
//! tensor, at the same place in each pass.
use crate::{
    data::Inputs,
    merge::{network::model::Live, Model},
    train::Learner,
    weights::Weights,
    Error, Network, Result,
};
use candle_core::{DType, Device, Tensor, TensorId, Var};
use std::collections::{BTreeSet, HashMap};

/// A network whose every intermediate tensor can be read.
pub(crate) struct Probe<N> {
    live: Live<N>,
}

/// The intermediate tensors of one pass, each after those it is made of; the last is the output.
pub(crate) struct Pass {
    pub(crate) nodes: Vec<Tensor>,
    pub(crate) inputs: Vec<TensorId>,
}

impl<N: Network> Probe<N> {
    pub(crate) fn new<L: Learner<Network = N>>(model: &Model<'_, L>) -> Result<Self> {
        Ok(Self { live: model.fresh()? })
    }

    /// The variables' values as the constructor left them.
    pub(crate) fn values(&self) -> Result<Weights> {
        Ok(self.live.vars.snapshot()?)
    }

    pub(crate) fn pass(&self, weights: &Weights, inputs: &Inputs) -> Result<Pass> {
        self.live.vars.load(weights)?;
        let variable = |tensor: &Tensor| match tensor.dtype().is_float() {
            true => Ok(Var::from_tensor(&tensor.detach())?.into_inner()),
            false => Ok(tensor.clone()),
        };
        let tensors = inputs.tensors().iter().map(variable).collect::<Result<Vec<_>>>()?;
        let inputs = tensors.iter().map(Tensor::id).collect();
        let output = self.live.run(&Inputs::from(tensors), false)?;
        let mut nodes: Vec<Tensor> = output.sorted_nodes().into_iter().cloned().collect();
        nodes.reverse();
        if nodes.is_empty() {
            return Err(Error::Foreign {
                what: "the network".into(),
                why: "its output depends on no variable that can be traced".into(),
            });
        }
        Ok(Pass { nodes, inputs })
    }
}

/// Which variables and inputs each node depends on.
pub(crate) struct Origins {
    /// Names of variables, by node.
    pub(crate) variables: Vec<BTreeSet<String>>,
    /// Whether the node depends on the inputs.
    pub(crate) of_inputs: Vec<bool>,
    /// The nodes that each node is made of, itself among them.
    ancestors: Vec<BTreeSet<usize>>,
}

impl Origins {
    pub(crate) fn of<N>(probe: &Probe<N>, pass: &Pass) -> Self {
        let names: HashMap<TensorId, String> =
            probe.live.vars.named().into_iter().map(|(name, var)| (var.id(), name)).collect();
        let places: HashMap<TensorId, usize> =
            pass.nodes.iter().enumerate().map(|(place, node)| (node.id(), place)).collect();
        let mut origins = Self { variables: vec![], of_inputs: vec![], ancestors: vec![] };
        for node in &pass.nodes {
            let ids: Vec<TensorId> = node.sorted_nodes().iter().map(|node| node.id()).collect();
            origins.variables.push(ids.iter().filter_map(|id| names.get(id).cloned()).collect());
            origins.of_inputs.push(ids.iter().any(|id| pass.inputs.contains(id)));
            origins.ancestors.push(ids.iter().filter_map(|id| places.get(id).copied()).collect());
        }
        origins
    }

    fn has(&self, node: usize, name: &str) -> bool {
        self.variables.get(node).is_some_and(|names| names.contains(name))
    }

    pub(crate) fn sees_inputs(&self, node: usize) -> bool {
        self.of_inputs.get(node).copied().unwrap_or(false)
    }

    /// The node where a variable meets the data: the first that depends on both.
    pub(crate) fn meeting(&self, name: &str) -> Option<usize> {
        (0..self.variables.len()).find(|node| self.sees_inputs(*node) && self.has(*node, name))
    }

    /// The data that a variable meets at `node`: the last of its ancestors that depends on the inputs and not on the
    /// variable.
    pub(crate) fn met(&self, name: &str, node: usize) -> Option<usize> {
        let data = |node: &&usize| self.sees_inputs(**node) && !self.has(**node, name);
        self.ancestors.get(node)?.iter().rev().find(data).copied()
    }

    /// Whether `node` is made of `other`.
    pub(crate) fn made_of(&self, node: usize, other: usize) -> bool {
        self.ancestors.get(node).is_some_and(|all| all.contains(&other))
    }
}

/// The places along `axis` where two tensors differ.
pub(crate) fn changed(before: &Tensor, after: &Tensor, axis: usize) -> Result<Vec<usize>> {
    let table = |t: &Tensor| -> Result<Vec<Vec<f64>>> {
        let t = t.detach().to_device(&Device::Cpu)?.to_dtype(DType::F64)?.transpose(0, axis)?.contiguous()?;
        Ok(t.reshape((t.dim(0)?, ()))?.to_vec2()?)
    };
    if before.dims() != after.dims() {
        return Err(super::unsteady());
    }
    let (before, after) = (table(before)?, table(after)?);
    Ok(before.iter().zip(&after).enumerate().filter(|(_, (a, b))| a != b).map(|(place, _)| place).collect())
}

/// Where the units lie in a tensor that a weight of this rank reads or makes: last for a matrix, else second.
pub(crate) fn unit_axis(rank: usize, data: &Tensor) -> Option<usize> {
    match (rank, data.rank()) {
        (_, 0 | 1) => None,
        (2, data) => Some(data - 1),
        _ => Some(1),
    }
}
