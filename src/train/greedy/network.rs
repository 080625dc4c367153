//! Hidden layers and an output layer, of which the first may be used without the others.
use crate::{plan::Settings, weights::Vars};
use candle_core::{ModuleT, Result as CandleResult, Tensor};
use candle_nn::VarBuilder;
use std::{collections::BTreeSet, fmt, sync::Arc};

pub(super) type AnyLayer = Box<dyn ModuleT + Send + Sync>;

/// The constructor of one layer, and the names of the settings that it reads.
#[derive(Clone)]
pub(super) struct LayerConstructor {
    pub(super) reads: Vec<String>,
    #[allow(clippy::type_complexity)]
    new: Arc<dyn Fn(&Settings, VarBuilder<'static>) -> CandleResult<AnyLayer> + Send + Sync>,
}

impl LayerConstructor {
    pub(super) fn new<M: ModuleT + Send + Sync + 'static>(
        reads: &[&str],
        new: impl Fn(&Settings, VarBuilder<'static>) -> CandleResult<M> + Send + Sync + 'static,
    ) -> Self {
        let new =
            move |settings: &Settings, vb: VarBuilder<'static>| Ok(Box::new(new(settings, vb)?) as AnyLayer);
        Self { reads: reads.iter().map(ToString::to_string).collect(), new: Arc::new(new) }
    }

    pub(super) fn build(&self, settings: &Settings, vb: VarBuilder<'static>) -> CandleResult<AnyLayer> {
        (self.new)(settings, vb)
    }
}

/// The network of [`GreedyPretraining`](crate::train::GreedyPretraining): its hidden layers, one after the
/// other, and its output layer.
///
/// The variables of hidden layer `i`, from 0, are called `hidden.i.…`, and those of the output layer
/// `output.…`.
pub struct GreedyNetwork {
    pub(super) hidden: Vec<AnyLayer>,
    pub(super) output: AnyLayer,
}

impl fmt::Debug for GreedyNetwork {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "GreedyNetwork of {} hidden layers", self.hidden.len())
    }
}

impl GreedyNetwork {
    /// The output of the first `layers` hidden layers in evaluation mode, without the graph that leads to it.
    pub(super) fn encode(&self, layers: usize, xs: &Tensor) -> CandleResult<Tensor> {
        let mut layers = self.hidden.iter().take(layers);
        Ok(layers.try_fold(xs.clone(), |xs, layer| layer.forward_t(&xs, false))?.detach())
    }
}

impl ModuleT for GreedyNetwork {
    fn forward_t(&self, xs: &Tensor, train: bool) -> CandleResult<Tensor> {
        Part { network: self, fixed: 0, depth: self.hidden.len() }.forward_t(xs, train)
    }
}

/// The first `depth` hidden layers and the output layer. The first `fixed` of them are not trained and always
/// run in evaluation mode.
pub(super) struct Part<'n> {
    pub(super) network: &'n GreedyNetwork,
    pub(super) fixed: usize,
    pub(super) depth: usize,
}

impl ModuleT for Part<'_> {
    fn forward_t(&self, xs: &Tensor, train: bool) -> CandleResult<Tensor> {
        let start = match self.fixed {
            0 => xs.clone(),
            fixed => self.network.encode(fixed, xs)?,
        };
        let trained = self.network.hidden.iter().take(self.depth).skip(self.fixed);
        let hidden = trained.into_iter().try_fold(start, |xs, layer| layer.forward_t(&xs, train))?;
        self.network.output.forward_t(&hidden, train)
    }
}

/// Whether a variable belongs to hidden layer `layer`.
pub(super) fn is_of_layer(name: &str, layer: usize) -> bool {
    let rest = name.strip_prefix("hidden.").and_then(|rest| rest.strip_prefix(&layer.to_string()));
    rest.is_some_and(|rest| rest.starts_with('.'))
}

/// Builds the layers, each under its own name.
pub(super) fn build(
    hidden: &[LayerConstructor],
    output: &LayerConstructor,
    settings: &Settings,
    vb: &VarBuilder<'static>,
) -> CandleResult<GreedyNetwork> {
    let layer = |(i, layer): (usize, &LayerConstructor)| layer.build(settings, vb.pp("hidden").pp(i));
    let hidden = hidden.iter().enumerate().map(layer).collect::<CandleResult<_>>()?;
    Ok(GreedyNetwork { hidden, output: output.build(settings, vb.pp("output"))? })
}

/// The names of a network's variables that belong to the hidden layers for which `which` holds.
pub(super) fn names_of_layers(vars: &Vars, layers: usize, which: impl Fn(usize) -> bool) -> BTreeSet<String> {
    let of = |name: &String| (0..layers).any(|layer| which(layer) && is_of_layer(name, layer));
    vars.named().into_iter().map(|(name, _)| name).filter(of).collect()
}
