//! From the constructor of a plain network to the network of a method.
use crate::nn::{
    many::{
        dense::Dense,
        network::{Body, EnsembleNetwork},
        outline::Outline,
        recorded::{Asked, Recorded},
        variables::{Start, Variables},
        EfficientEnsemble,
    },
    sequential::Layer,
    Sequential,
};
use crate::{network::Members, registry::Entry};
use candle_core::{bail, Result, Tensor};
use candle_nn::{Init, VarBuilder};
use std::{any::Any, collections::BTreeSet};

/// A method by which one network holds several members.
pub(super) trait Method: std::fmt::Display + Sized {
    /// Its entry in the registry.
    const ENTRY: Entry<EfficientEnsemble>;

    /// Checks the parameters.
    fn check(&self) -> crate::Result<()>;

    /// The members, and what they train on.
    fn members(&self) -> Members;

    /// What stands for a linear layer or a convolution; `None` for the layer itself.
    fn dense(&self, layer: &DenseLayer<'_>) -> Result<Option<Sequential>>;

    /// What stands for a layer of another kind; `None` for the layer itself. It must not be asked for its variables, which
    /// are zeros: [`At`] has the true ones.
    fn other(&self, _layer: &dyn Any, _at: &At<'_>) -> Result<Option<Sequential>> {
        Ok(None)
    }

    /// What computes the outputs, from the layers one after the other.
    fn body(&self, layers: Sequential, _members: usize) -> Result<Box<dyn Body>> {
        Ok(Box::new(layers))
    }
}

/// The place of a layer in the network and among the variables.
pub(super) struct At<'a> {
    /// What the names of its variables have in common; the position for a layer without variables.
    pub(super) prefix: &'a str,
    /// The root of the names.
    pub(super) root: &'a VarBuilder<'a>,
    variables: &'a Variables<'a>,
}

impl At<'_> {
    /// The number of members.
    pub(super) fn members(&self) -> usize {
        self.variables.count()
    }
}

/// A linear layer or a convolution of a plain network. Its tensors are zeros of the right shapes.
pub(super) struct DenseLayer<'a> {
    pub(super) dense: &'a Dense,
    /// Its number among such layers.
    pub(super) index: usize,
    /// How many such layers there are.
    pub(super) count: usize,
    pub(super) at: At<'a>,
    weight: Option<&'a Asked>,
    bias: Option<&'a Asked>,
}

impl DenseLayer<'_> {
    /// Whether it is the first such layer.
    pub(super) fn is_first(&self) -> bool {
        self.index == 0
    }

    /// Whether it is the last such layer.
    pub(super) fn is_last(&self) -> bool {
        self.index + 1 == self.count
    }

    /// The weights of the plain network.
    pub(super) fn weight(&self) -> Result<Tensor> {
        self.weight.map_or_else(|| Ok(self.dense.weight().clone()), |asked| asked.get(self.at.root))
    }

    /// The bias of the plain network.
    pub(super) fn bias(&self) -> Result<Option<Tensor>> {
        let constant = || Ok(self.dense.bias().cloned());
        self.bias.map_or_else(constant, |asked| asked.get(self.at.root).map(Some))
    }

    /// The layer of the plain network.
    pub(super) fn plain(&self) -> Result<Dense> {
        Ok(self.dense.with(self.weight()?, self.bias()?))
    }

    /// How the plain layer declares its weights.
    pub(super) fn weight_init(&self) -> Init {
        self.weight.map_or(candle_nn::init::DEFAULT_KAIMING_NORMAL, Asked::init)
    }

    /// How the plain layer declares its bias.
    pub(super) fn bias_init(&self) -> Init {
        self.bias.map_or(Init::Const(0.), Asked::init)
    }

    /// The variable `<layer>.members.<name>` with an entry of these dimensions for each member.
    pub(super) fn variable(&self, name: &str, entry: &[usize], start: impl Into<Start>) -> Result<Tensor> {
        let dtype = self.dense.weight().dtype();
        self.at.variables.get(self.at.prefix, name, entry, start.into(), dtype)
    }
}

/// The network of a method, from the constructor of a plain one.
pub(super) fn convert<'v>(
    method: &impl Method,
    vb: &VarBuilder<'v>,
    plain: impl Fn(VarBuilder<'v>) -> Result<Sequential>,
) -> Result<EnsembleNetwork> {
    method.check()?;
    let (recorded, first) = Recorded::of(vb, &plain)?;
    let outline = Outline::of(&first, &recorded, &method.to_string())?;
    let (root, members) = (vb.root(), method.members());
    let variables = Variables::new(root.clone(), members.count);
    let mut making =
        Making { method, root: &root, variables: &variables, outline: &outline, recorded: &recorded };
    let stand_ins = making.all(&first)?;
    let replaced = |(place, made): (_, &Option<Sequential>)| made.as_ref().map(|_| place);
    let kept: BTreeSet<String> =
        outline.0.iter().zip(&stand_ins).filter_map(replaced).flat_map(names).collect();
    let second = recorded.again(vb, kept, &plain)?;
    let mut stand_ins = stand_ins.into_iter();
    let layers = joined(second, &mut stand_ins)?;
    if stand_ins.next().is_some() {
        bail!("the constructor made fewer layers when it was called again");
    }
    let count = variables.count();
    Ok(EnsembleNetwork::of(method.body(layers, count)?, Members { count, ..members }))
}

fn names(place: &super::outline::Place) -> impl Iterator<Item = String> + '_ {
    place.names.iter().cloned()
}

/// What is needed to make what stands for the layers.
struct Making<'a, M> {
    method: &'a M,
    root: &'a VarBuilder<'a>,
    variables: &'a Variables<'a>,
    outline: &'a Outline,
    recorded: &'a Recorded,
}

impl<M: Method> Making<'_, M> {
    /// What stands for each layer. Variables are made in the order in which the plain constructor asks for them.
    fn all(&mut self, network: &Sequential) -> Result<Vec<Option<Sequential>>> {
        let mut layers = vec![];
        flat(network, &mut layers);
        let mut made: Vec<Option<Option<Sequential>>> = layers.iter().map(|_| None).collect();
        let owners = self.outline.owners();
        for asked in self.recorded.in_order() {
            let owner = owners.get(asked.name.as_str()).copied();
            let stand_in = match owner {
                Some(number) => match made.get_mut(number) {
                    Some(Some(stand_in)) => stand_in,
                    Some(place) => place.insert(self.one(number, layers[number])?),
                    None => continue,
                },
                None => &mut None,
            };
            if stand_in.is_none() {
                asked.get(self.root)?;
            }
        }
        let rest = made.into_iter().enumerate();
        rest.map(|(number, made)| made.map_or_else(|| self.one(number, layers[number]), Ok)).collect()
    }

    fn one(&self, number: usize, layer: &Layer) -> Result<Option<Sequential>> {
        let place = &self.outline.0[number];
        let prefix =
            if place.prefix.is_empty() && place.names.is_empty() { &place.position } else { &place.prefix };
        let at = At { prefix, root: self.root, variables: self.variables };
        let Some(dense) = &place.dense else { return self.method.other(layer.as_any(), &at) };
        let of_dense = |places: &[super::outline::Place]| places.iter().filter(|p| p.dense.is_some()).count();
        let (index, count) = (of_dense(&self.outline.0[..number]), of_dense(&self.outline.0));
        let weight = self.recorded.behind(dense.weight());
        let bias = dense.bias().and_then(|bias| self.recorded.behind(bias));
        self.method.dense(&DenseLayer { dense, index, count, at, weight, bias })
    }
}

/// The layers that contain no others.
fn flat<'n>(network: &'n Sequential, layers: &mut Vec<&'n Layer>) {
    for layer in network.layers() {
        match layer.as_any().downcast_ref::<Sequential>() {
            Some(nested) => flat(nested, layers),
            None => layers.push(layer),
        }
    }
}

/// The network with what stands for its layers.
fn joined(
    network: Sequential,
    stand_ins: &mut impl Iterator<Item = Option<Sequential>>,
) -> Result<Sequential> {
    let mut joined = Sequential::default();
    for layer in network.into_layers() {
        joined = match layer.into_nested() {
            Ok(nested) => joined.add(self::joined(nested, stand_ins)?),
            Err(layer) => match stand_ins.next() {
                Some(None) => joined.push(layer),
                Some(Some(stand_in)) => stand_in.into_layers().into_iter().fold(joined, Sequential::push),
                None => bail!("the constructor made more layers when it was called again"),
            },
        };
    }
    Ok(joined)
}
