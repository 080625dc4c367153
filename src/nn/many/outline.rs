//! The layers of a plain network, and the names of their variables.
use crate::{
    nn::{
        many::{dense::Dense, recorded::Recorded},
        Activation, ActivityRegularizer, AlphaDropout, BatchNorm, Dropout, Embedding, GaussianDropout,
        GaussianNoise, GroupNorm, LayerNorm, MaxPool2d, RmsNorm, Sequential, SpatialDropout1d,
        SpatialDropout2d,
    },
    Error,
};
use candle_core::{Result, Tensor};
use std::{
    any::Any,
    collections::{BTreeMap, BTreeSet},
};

/// A layer of a plain network, of those that contain no others.
#[derive(Debug)]
pub(super) struct Place {
    /// Where it is: `2`, or `2.0` for the first layer of nested ones.
    pub(super) position: String,
    /// The name of its type, if it may have variables that are not known.
    unknown: Option<&'static str>,
    /// The layer, if it is a linear layer or a convolution.
    pub(super) dense: Option<Dense>,
    /// What its variables have in common: `0` for `0.weight` and `0.bias`. Empty for a layer without variables.
    pub(super) prefix: String,
    /// The names of its variables.
    pub(super) names: BTreeSet<String>,
    /// Whether one of them is of floats, and not the state of dropout.
    pub(super) has_floats: bool,
}

/// All layers, in the order of the forward pass.
#[derive(Debug)]
pub(super) struct Outline(pub(super) Vec<Place>);

impl Outline {
    /// The layers of a network that was built with recorded variables.
    ///
    /// # Errors
    /// When there is no linear layer or convolution, or a layer with variables is of no known type.
    pub(super) fn of(network: &Sequential, recorded: &Recorded, method: &str) -> Result<Self> {
        let mut outline = Self(vec![]);
        outline.add(network, recorded, "");
        if outline.0.iter().all(|place| place.dense.is_none()) {
            let what = format!("the layers of a network for {method}");
            let must = "at least one nn::Linear, nn::Conv1d or nn::Conv2d, in nn::seq";
            return Err(Error::invalid(what, must, format!("{} others", outline.0.len())).into());
        }
        outline.refuse_unknown(recorded, method)?;
        Ok(outline)
    }

    fn add(&mut self, network: &Sequential, recorded: &Recorded, within: &str) {
        for (number, layer) in network.layers().iter().enumerate() {
            let position = format!("{within}{number}");
            if let Some(nested) = layer.as_any().downcast_ref::<Sequential>() {
                self.add(nested, recorded, &format!("{position}."));
                continue;
            }
            let dense = Dense::of(layer.as_any());
            let known = match &dense {
                Some(dense) => Some(dense.weight().clone()),
                None => a_variable_of(layer.as_any()),
            };
            let name = known.and_then(|tensor| Some(recorded.behind(&tensor)?.name.as_str()));
            let prefix = name.map(prefix).unwrap_or_default().to_string();
            let own = |of: &str| name.is_some() && parent(of) == prefix || Some(of) == name;
            let mut names: BTreeSet<String> =
                recorded.in_order().map(|asked| &asked.name).filter(|of| own(of)).cloned().collect();
            let bias = dense.as_ref().and_then(|dense| recorded.behind(dense.bias()?));
            names.extend(bias.map(|bias| bias.name.clone()));
            let is_float = |name: &String| recorded.named(name).is_some_and(|asked| asked.dtype().is_float());
            let has_floats = names.iter().any(is_float);
            let is_known = !names.is_empty() || is_stateless(layer.as_any());
            let unknown = if is_known { None } else { Some(layer.type_name()) };
            self.0.push(Place { position, unknown, dense, prefix, names, has_floats });
        }
    }

    /// The number of the layer that each variable belongs to.
    pub(super) fn owners(&self) -> BTreeMap<&str, usize> {
        let mut owners = BTreeMap::new();
        for (number, place) in self.0.iter().enumerate() {
            for name in &place.names {
                owners.entry(name.as_str()).or_insert(number);
            }
        }
        owners
    }

    /// An error for float variables that belong to no layer of a known type. Integers are the state of layers such as
    /// dropout.
    fn refuse_unknown(&self, recorded: &Recorded, method: &str) -> Result<()> {
        let owners = self.owners();
        let is_left = |name: &str, is_float: bool| is_float && !owners.contains_key(name);
        let all = recorded.in_order().map(|asked| (asked.name.as_str(), asked.dtype().is_float()));
        let left: Vec<_> =
            all.filter(|(name, float)| is_left(name, *float)).map(|(name, _)| name).take(5).collect();
        if left.is_empty() {
            return Ok(());
        }
        // Layers whose variables are not known.
        let layer = |place: &Place| Some(format!("layer {} ({})", place.position, place.unknown?));
        let unknown: Vec<_> = self.0.iter().filter_map(layer).collect();
        let what = format!("each layer with variables in a network for {method}");
        let must = "a linear layer, a convolution, a normalization, an embedding or dropout of this crate or of candle, \
                    in nn::seq";
        let holders = if unknown.is_empty() { "no layer".into() } else { unknown.join(" or ") };
        Err(Error::invalid(what, must, format!("{holders} with the variables {}", left.join(", "))).into())
    }
}

/// The name without its last part; empty where there is one part only.
fn parent(name: &str) -> &str {
    name.rsplit_once('.').map_or("", |(parent, _)| parent)
}

/// What the variables of a layer have in common, from the name of one of them.
pub(super) fn prefix(name: &str) -> &str {
    match name.rsplit_once('.') {
        Some((parent, "weight" | "running_mean" | "gamma" | "seed")) => parent,
        None if name == "weight" => "",
        _ => name,
    }
}

/// Whether a layer is of a type without variables, or with integers alone.
fn is_stateless(layer: &dyn Any) -> bool {
    macro_rules! any {
        ($($layer:ty),+ $(,)?) => { $(layer.is::<$layer>())||+ };
    }
    any!(
        Activation,
        ActivityRegularizer,
        AlphaDropout,
        Dropout,
        GaussianDropout,
        GaussianNoise,
        MaxPool2d,
        SpatialDropout1d,
        SpatialDropout2d,
        candle_nn::Activation,
        candle_nn::Dropout,
    )
}

/// A variable of a layer that has some, if it is of a known type.
fn a_variable_of(layer: &dyn Any) -> Option<Tensor> {
    macro_rules! first {
        ($($layer:ty => $variable:ident),+ $(,)?) => {
            $(if let Some(layer) = layer.downcast_ref::<$layer>() {
                return Some(layer.$variable().clone());
            })+
        };
    }
    first! {
        BatchNorm => running_mean,
        LayerNorm => weight,
        GroupNorm => weight,
        RmsNorm => weight,
        Embedding => embeddings,
        Dropout => seed,
        SpatialDropout1d => seed,
        SpatialDropout2d => seed,
        candle_nn::BatchNorm => running_mean,
        candle_nn::LayerNorm => weight,
        candle_nn::RmsNorm => weight,
        candle_nn::Embedding => embeddings,
    }
    None
}
