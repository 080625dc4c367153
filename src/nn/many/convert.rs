//! From the constructor of a plain network to the network of a method.
use crate::{
    network::Members,
    nn::{
        frozen::is_frozen,
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
    },
    registry::Entry,
    weights::members::MEMBERS,
    Error,
};
use candle_core::{bail, DType, Result, Tensor};
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

    /// What follows a layer of another kind that stays as it is. As for [`other`](Self::other), it is not to be asked for its
    /// variables.
    fn behind(&self, _layer: &dyn Any, _at: &At<'_>) -> Result<Option<Sequential>> {
        Ok(None)
    }

    /// What computes the outputs, from the layers one after the other.
    fn body(&self, layers: Sequential) -> Result<Box<Body>> {
        Ok(Box::new(layers))
    }
}

/// What a method makes of a layer.
enum Made {
    /// The layer itself.
    Same,
    /// The layer itself, and what follows it.
    Followed(Sequential),
    /// What stands for it.
    Replaced(Sequential),
}

impl Made {
    fn is_replaced(&self) -> bool {
        matches!(self, Self::Replaced(_))
    }
}

/// The place of a layer in the network and among the variables.
#[derive(Clone, Copy)]
pub(super) struct At<'a> {
    /// Where it is: `2`, or `2.0` for the first layer of nested ones.
    pub(super) position: &'a str,
    /// The layers before it.
    pub(super) earlier: &'a [&'a Layer],
    /// How many linear layers and convolutions the network has.
    pub(super) count: usize,
    /// What the names of its variables have in common; the position for a layer without variables.
    pub(super) prefix: &'a str,
    /// The root of the names.
    pub(super) root: &'a VarBuilder<'a>,
    /// Whether it is the first layer of floats with variables.
    pub(super) is_first: bool,
    pub(super) variables: &'a Variables<'a>,
    pub(super) recorded: &'a Recorded,
}

impl<'a> At<'a> {
    /// The number of members.
    pub(super) fn members(&self) -> usize {
        self.variables.count()
    }

    /// The linear layers and convolutions before it.
    pub(super) fn dense_before(&self) -> Vec<Dense> {
        self.earlier.iter().filter_map(|layer| Dense::of(layer.as_any())).collect()
    }

    /// The variable `<layer>.members.<name>` with an entry of these dimensions for each member.
    pub(super) fn variable(
        &self,
        name: &str,
        entry: &[usize],
        start: impl Into<Start>,
        dtype: DType,
    ) -> Result<Tensor> {
        self.variables.get(self.prefix, name, entry, start.into(), dtype)
    }

    /// The same place, with another name for the layer's variables.
    pub(super) fn named(self, prefix: &'a str) -> Self {
        Self { prefix, ..self }
    }

    /// The source of the layer's variables.
    pub(super) fn vb(&self) -> VarBuilder<'a> {
        match self.prefix {
            "" => self.root.clone(),
            prefix => self.root.pp(prefix),
        }
    }

    /// How the plain layer declares the variable behind one of its tensors.
    pub(super) fn init_of(&self, tensor: &Tensor) -> Option<Init> {
        self.recorded.behind(tensor).map(Asked::init)
    }

    /// Whether the variable `<layer>.members.<name>` is frozen in the network that is built.
    pub(super) fn is_frozen(&self, name: &str) -> bool {
        is_frozen(&self.vb().pp(MEMBERS), name)
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
    pub(super) weight: Option<&'a Asked>,
    pub(super) bias: Option<&'a Asked>,
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

    /// The variable of the plain network's weights, with these dimensions.
    pub(super) fn other_weight(&self, dims: &[usize]) -> Result<Tensor> {
        self.reshaped(self.weight, dims, self.weight_init())
    }

    /// The variable of the plain network's bias, with these dimensions and another beginning.
    pub(super) fn other_bias(&self, dims: &[usize], init: Init) -> Result<Tensor> {
        self.reshaped(self.bias, dims, init)
    }

    fn reshaped(&self, asked: Option<&Asked>, dims: &[usize], init: Init) -> Result<Tensor> {
        let Some(asked) = asked else {
            let what = format!("the weights of layer {}", self.at.position);
            return Err(Error::invalid(what, "variables, for layers of other sizes", "constants").into());
        };
        asked.get_as(self.at.root, dims.into(), init)
    }

    /// [`At::variable`] of the type of the weights.
    pub(super) fn variable(&self, name: &str, entry: &[usize], start: impl Into<Start>) -> Result<Tensor> {
        self.at.variable(name, entry, start, self.dense.weight().dtype())
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
    let mut layers = vec![];
    flat(&first, &mut layers);
    let making = Making {
        method,
        root: &root,
        variables: &variables,
        outline: &outline,
        recorded: &recorded,
        layers: &layers,
    };
    let stand_ins = making.all()?;
    let replaced = |(place, made): (_, &Made)| made.is_replaced().then_some(place);
    let kept: BTreeSet<String> =
        outline.0.iter().zip(&stand_ins).filter_map(replaced).flat_map(names).collect();
    let second = recorded.again(vb, kept, &plain)?;
    let mut stand_ins = stand_ins.into_iter();
    let layers = joined(second, &mut stand_ins)?;
    if stand_ins.next().is_some() {
        bail!("the constructor made fewer layers when it was called again");
    }
    let count = variables.count();
    Ok(EnsembleNetwork::of(method.body(layers)?, Members { count, ..members }))
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
    /// The layers that contain no others.
    layers: &'a [&'a Layer],
}

impl<M: Method> Making<'_, M> {
    /// What stands for each layer. Variables are made in the order in which the plain constructor asks for them.
    fn all(&self) -> Result<Vec<Made>> {
        let mut made: Vec<Option<Made>> = self.layers.iter().map(|_| None).collect();
        let owners = self.outline.owners();
        for asked in self.recorded.in_order() {
            let owner = owners.get(asked.name.as_str()).copied();
            let stand_in = match owner {
                Some(number) => match made.get_mut(number) {
                    Some(Some(stand_in)) => stand_in,
                    Some(place) => place.insert(self.one(number)?),
                    None => continue,
                },
                None => &mut Made::Same,
            };
            if !stand_in.is_replaced() {
                asked.get(self.root)?;
            }
        }
        let rest = made.into_iter().enumerate();
        rest.map(|(number, made)| made.map_or_else(|| self.one(number), Ok)).collect()
    }

    fn one(&self, number: usize) -> Result<Made> {
        let (place, layer) = (&self.outline.0[number], self.layers[number]);
        let prefix =
            if place.prefix.is_empty() && place.names.is_empty() { &place.position } else { &place.prefix };
        let of_dense = |places: &[super::outline::Place]| places.iter().filter(|p| p.dense.is_some()).count();
        let (index, count) = (of_dense(&self.outline.0[..number]), of_dense(&self.outline.0));
        let (earlier, position) = (&self.layers[..number], place.position.as_str());
        let is_first = self.outline.0[..number].iter().all(|place| !place.has_floats);
        let (root, variables, recorded) = (self.root, self.variables, self.recorded);
        let at = At { position, earlier, count, is_first, prefix, root, variables, recorded };
        let Some(dense) = &place.dense else {
            if let Some(replaced) = self.method.other(layer.as_any(), &at)? {
                return Ok(Made::Replaced(replaced));
            }
            return Ok(self.method.behind(layer.as_any(), &at)?.map_or(Made::Same, Made::Followed));
        };
        let weight = self.recorded.behind(dense.weight());
        let bias = dense.bias().and_then(|bias| self.recorded.behind(bias));
        let made = self.method.dense(&DenseLayer { dense, index, count, at, weight, bias })?;
        Ok(made.map_or(Made::Same, Made::Replaced))
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

/// A network with the layers of another one behind its own.
fn all_of(others: Sequential, network: Sequential) -> Sequential {
    others.into_layers().into_iter().fold(network, Sequential::push)
}

/// The network with what stands for its layers.
fn joined(network: Sequential, stand_ins: &mut impl Iterator<Item = Made>) -> Result<Sequential> {
    let mut joined = Sequential::default();
    for layer in network.into_layers() {
        joined = match layer.into_nested() {
            Ok(nested) => joined.add(self::joined(nested, stand_ins)?),
            Err(layer) => match stand_ins.next() {
                Some(Made::Same) => joined.push(layer),
                Some(Made::Followed(others)) => all_of(others, joined.push(layer)),
                Some(Made::Replaced(others)) => all_of(others, joined),
                None => bail!("the constructor made more layers when it was called again"),
            },
        };
    }
    Ok(joined)
}
