//! Monte-Carlo dropout.
use crate::{
    check::below_one,
    network::{MemberBatches, Members},
    nn::{
        drop_in,
        many::{
            check_members,
            convert::{At, DenseLayer, Method},
            dense::{Along, Dense},
            member_masks::{mask, of_networks, Unit},
            network::Body,
            rows::Rows,
            variables::{Start, Variables},
            EfficientEnsemble,
        },
        random::{keep_masks, seed_of},
        seq,
        sequential::Layer,
        AlphaDropout, DropConnect, Dropout, GaussianDropout, Sequential, SpatialDropout1d, SpatialDropout2d,
    },
    registry::{Argument, Entry},
    Error,
};
use candle_core::{DType, Device, ModuleT, Result, Tensor};
use candle_nn::{Init, VarBuilder};
use serde::{Deserialize, Serialize};
use std::{any::Any, fmt};

/// Monte-Carlo dropout: dropout stays on in evaluation, and each of `T` passes with other masks is a member.
///
/// ```text
/// y_t = f(x; mask_t), t = 1 … T,   prediction: the mean of the y_t
/// ```
///
/// The network trains as the plain one, with dropout ([`MemberBatches::Single`]). In evaluation
/// [`run_members`](crate::Network::run_members) gives the outputs of the `T` passes and [`run`](crate::Network::run) their
/// mean. Each pass has one mask for each layer of dropout, which is the same for all rows: a member is a function of the row
/// alone, whatever batch it is in and whichever thread runs it, and two rows are compared by the same networks. The spread of
/// the members at a row is that of independent masks. A mask follows from integers that are drawn with the initial weights
/// from the seed of the run and the name of the layer, the variables `members.seeds` `(T, 4)`, so a loaded network predicts
/// the same, and it can be pruned to the best passes. What comes before the first dropout runs once.
///
/// Without `p`, dropout is where the plain network has it: [`Dropout`], [`SpatialDropout1d`], [`SpatialDropout2d`] and
/// [`drop_in::Dropout`](crate::nn::drop_in::Dropout). With `p`, [`Dropout`] is added before each layer with weights but the
/// first, where there is none since the layer before.
///
/// Use it where a network with dropout is there already: it needs no further training. For a network that is trained anew,
/// [`Masksembles`](crate::nn::many::Masksembles) needs fewer members. The probability sets the spread: it is to be chosen on
/// held-out rows, not taken from training against overfitting. Each validation costs `T` passes. 20 to 50 passes are usual.
///
/// # Errors
/// [`convert`](Self::convert) fails when there are no passes, `p` is not from 0 to less than 1, there is no dropout to keep, the
/// plain network has dropout of another kind, or the `VarBuilder` cannot draw integers, as candle's `VarMap` cannot.
///
/// # Source
/// Gal and Ghahramani 2016, arXiv:1506.02142. Masks that are the same for all rows: Kirsch, van Amersfoort and Gal 2019,
/// arXiv:1906.08158.
///
/// ```
/// use candle_core::{DType, Device, Tensor};
/// use candle_ensemble::{nn::{linear, many::McDropout, seq, Activation}, weights::fresh, Network};
/// use candle_nn::VarBuilder;
///
/// let mlp = |vb: VarBuilder| {
///     Ok(seq().add(linear(5, 32, vb.pp(0))?).add(Activation::Relu).add(linear(32, 3, vb.pp(1))?))
/// };
/// let (_, vb) = fresh(1, Default::default(), DType::F32, &Device::Cpu);
/// let network = McDropout::new(20).p(0.1).convert(vb, mlp)?;
/// let x = Tensor::ones((2, 5), DType::F32, &Device::Cpu)?.into();
/// assert_eq!(network.run_members(&x)?.dims(), [20 * 2, 3]);
/// assert_eq!(network.run(&x, true)?.dims(), [2, 3]); // trains as one network
/// # Ok::<(), candle_core::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct McDropout {
    /// The number of passes `T`, at least 1.
    pub passes: usize,
    /// The probability of the dropout that is added where there is none, from 0 to less than 1. Default: none is added.
    pub p: Option<f64>,
}

impl McDropout {
    /// `passes` passes with the dropout of the plain network.
    #[must_use]
    pub fn new(passes: usize) -> Self {
        Self { passes, p: None }
    }

    /// Adds dropout with this probability before each layer with weights but the first, where there is none.
    #[must_use]
    pub fn p(self, p: f64) -> Self {
        Self { p: Some(p), ..self }
    }

    /// Whether the rows of the members differ already behind these layers.
    fn has_begun(&self, layers: &[&Layer]) -> bool {
        let mut weighted = 0;
        layers.iter().any(|layer| {
            weighted += usize::from(Dense::of(layer.as_any()).is_some());
            is_dropout(layer.as_any()) || weighted > 1 && self.p.is_some()
        })
    }

    /// The masks of a layer with this probability, for the inputs of the members.
    fn masks(&self, at: &At<'_>, p: f64, unit: Unit) -> Result<Masks> {
        let mut masks = Masks::new((p, unit), at.variable("seeds", &[4], ANY_SEEDS, DType::U32)?)?;
        masks.rows.shared = !self.has_begun(at.earlier);
        Ok(masks)
    }
}

/// How the integers of the passes begin.
pub(super) const ANY_SEEDS: Start = Start::Each(Init::Uniform { lo: 0., up: u32::MAX as f64 });

/// The layers whose masks can be kept.
const KINDS: &str = "nn::Dropout, nn::drop_in::Dropout, nn::SpatialDropout1d or nn::SpatialDropout2d";

fn is_dropout(layer: &dyn Any) -> bool {
    dropout(layer).is_some()
}

/// The probability of a layer that drops elements or channels, and which of them.
fn dropout(layer: &dyn Any) -> Option<(f64, Unit)> {
    let channels = Unit::Feature(Along::Second);
    if let Some(layer) = layer.downcast_ref::<Dropout>() {
        return Some((layer.probability(), Unit::Element));
    }
    if let Some(layer) = layer.downcast_ref::<drop_in::Dropout>() {
        return Some((layer.probability(), Unit::Element));
    }
    if let Some(layer) = layer.downcast_ref::<SpatialDropout1d>() {
        return Some((layer.probability(), channels));
    }
    layer.downcast_ref::<SpatialDropout2d>().map(|layer| (layer.probability(), channels))
}

/// An error for dropout of another kind, which would be off in evaluation.
fn refuse_others(layer: &dyn Any, at: &At<'_>) -> Result<()> {
    let others = [
        ("AlphaDropout", layer.is::<AlphaDropout>()),
        ("GaussianDropout", layer.is::<GaussianDropout>()),
        ("DropConnect", layer.is::<DropConnect>()),
        ("the Dropout of candle", layer.is::<candle_nn::Dropout>()),
    ];
    match others.into_iter().find(|(_, is)| *is) {
        Some((name, _)) => {
            let what = format!("the dropout of layer {} in a network for McDropout", at.position);
            Err(Error::invalid(what, KINDS, name).into())
        }
        None => Ok(()),
    }
}

impl Method for McDropout {
    const ENTRY: Entry<EfficientEnsemble> = Entry::new(
        "mc-dropout",
        "McDropout",
        "One network whose dropout stays on, with a mask for each member",
        |arguments| {
            let dropout = Self { p: arguments.optional("p")?, ..Self::new(arguments.get("passes")?) };
            dropout.check()?;
            Ok(dropout.into())
        },
    )
    .with_arguments(&[
        Argument::new("passes", "32", "The number of passes"),
        Argument::optional("p", "The probability of the dropout that is added where there is none"),
    ])
    .with_source("Gal and Ghahramani 2016, arXiv:1506.02142");

    fn check(&self) -> crate::Result<()> {
        check_members("McDropout", self.passes)?;
        self.p.map_or(Ok(()), |p| below_one("McDropout::p", p))
    }

    fn members(&self) -> Members {
        Members { count: self.passes, batches: MemberBatches::Single }
    }

    fn dense(&self, layer: &DenseLayer<'_>) -> Result<Option<Sequential>> {
        let since = layer.at.earlier.iter().rev().take_while(|layer| Dense::of(layer.as_any()).is_none());
        let dropped = since.into_iter().any(|layer| is_dropout(layer.as_any()));
        let Some(p) = self.p.filter(|_| !dropped && !layer.is_first()) else { return Ok(None) };
        let own = Dropout::new(p, layer.at.vb().pp("dropout"))?;
        let masks = self.masks(&layer.at, p, Unit::Element)?;
        Ok(Some(layer.plain()?.add_to(seq().add(own).add(masks))))
    }

    fn behind(&self, layer: &dyn Any, at: &At<'_>) -> Result<Option<Sequential>> {
        refuse_others(layer, at)?;
        let Some((p, unit)) = dropout(layer) else { return Ok(None) };
        if layer.is::<drop_in::Dropout>() {
            // It has no variables, so the position is its name.
            let prefix = format!("dropout.{}", at.position);
            return Ok(Some(seq().add(self.masks(&at.named(&prefix), p, unit)?)));
        }
        Ok(Some(seq().add(self.masks(at, p, unit)?)))
    }

    fn body(&self, layers: Sequential) -> Result<Box<Body>> {
        if !has_masks(&layers) {
            let what = "the dropout of a network for McDropout";
            let must = "at least one layer such as nn::Dropout, or added by McDropout::p";
            return Err(Error::invalid(what, must, "none").into());
        }
        Ok(Box::new(layers))
    }
}

/// Whether there are masks among the layers.
fn has_masks(network: &Sequential) -> bool {
    network.layers().iter().any(|layer| match layer.as_any().downcast_ref::<Sequential>() {
        Some(nested) => has_masks(nested),
        None => layer.as_any().is::<Masks>(),
    })
}

/// As in text: `mc-dropout:32:p=0.1`.
impl fmt::Display for McDropout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "mc-dropout:{}", self.passes)?;
        self.p.map_or(Ok(()), |p| write!(f, ":p={p}"))
    }
}

/// Dropout in evaluation, with the mask of each pass. It does nothing in training, in which the layer before it drops.
#[derive(Clone, Debug)]
struct Masks {
    /// Integers for each pass, `(T, 4)`.
    seeds: Tensor,
    p: f64,
    unit: Unit,
    rows: Rows,
}

impl Masks {
    /// Masks of dropout with this probability, one for each entry of `seeds`.
    fn new((p, unit): (f64, Unit), seeds: Tensor) -> Result<Self> {
        let rows = Rows { members: seeds.dim(0)?, shared: false };
        Ok(Self { seeds, p, unit, rows })
    }
}

impl ModuleT for Masks {
    fn forward_t(&self, x: &Tensor, train: bool) -> Result<Tensor> {
        if train {
            return Ok(x.clone());
        }
        let (seeds, count) = (of_networks(&self.seeds)?.to_vec2::<u32>()?, self.unit.count(x)?);
        let rngs: Vec<_> = seeds.iter().map(|parts| seed_of(parts).child("mask").rng()).collect();
        let (passes, kept) = (rngs.len(), (1. / (1. - self.p)) as f32);
        let masks = keep_masks(rngs, self.p, passes * count, 0., kept)?;
        let masks = Tensor::from_vec(masks, (passes, count), &Device::Cpu)?.to_device(x.device())?;
        mask(x, &masks, self.unit, self.rows.shared)
    }
}

/// Dropout that stays on in evaluation, with a mask for each pass: the layer of [`McDropout`].
///
/// ```text
/// training     y = x ∘ mask / (1 − p), another mask for each row: (B, …) to (B, …)
/// evaluation   y_t = x_t ∘ mask_t / (1 − p), t = 1 … T: (T·B, …) to (T·B, …)
/// ```
///
/// In training it is the dropout that it is made of, with the variables of that layer. In evaluation each pass has a mask that
/// is the same for all rows, and follows from the integers `members.seeds` `(T, 4)`. Inputs in evaluation are the rows of one
/// pass after those of the other; after [`shared_inputs`](Self::shared_inputs) they are rows that all passes share, `(B, …)`,
/// as they are in front of the first such layer.
///
/// Use it in a model of your own in place of dropout, and make the network with
/// [`EnsembleNetwork::new`](crate::nn::many::EnsembleNetwork::new) and
/// [`batches`](crate::nn::many::EnsembleNetwork::batches)`(`[`MemberBatches::Single`]`)`. All other layers are plain ones.
///
/// # Errors
/// The constructors fail when there are no passes, the probability is not from 0 to less than 1, or the `VarBuilder` cannot draw
/// integers, as candle's `VarMap` cannot.
///
/// # Source
/// See [`McDropout`].
///
/// ```
/// use candle_core::{DType, Device, ModuleT, Tensor};
/// use candle_ensemble::{nn::many::McDropoutLayer, weights::fresh};
///
/// let (_, vb) = fresh(1, Default::default(), DType::F32, &Device::Cpu);
/// let dropout = McDropoutLayer::new(0.5, 20, vb.pp("dropout"))?.shared_inputs();
/// let x = Tensor::ones((3, 8), DType::F32, &Device::Cpu)?;
/// assert_eq!(dropout.forward_t(&x, true)?.dims(), [3, 8]);
/// assert_eq!(dropout.forward_t(&x, false)?.dims(), [20 * 3, 8]);
/// # Ok::<(), candle_core::Error>(())
/// ```
#[doc(alias = "MCDropout")]
pub struct McDropoutLayer {
    dropout: Box<Body>,
    masks: Masks,
}

impl McDropoutLayer {
    /// [`Dropout`] with probability `p`, in [0, 1), and `passes` passes in evaluation.
    ///
    /// # Errors
    /// See the type.
    pub fn new(p: f64, passes: usize, vb: VarBuilder<'_>) -> Result<Self> {
        Self::of(passes, vb, |vb| Dropout::new(p, vb))
    }

    /// The layer for dropout of another kind: [`SpatialDropout1d`], [`SpatialDropout2d`] or
    /// [`drop_in::Dropout`](crate::nn::drop_in::Dropout).
    ///
    /// # Errors
    /// See the type; and when the layer is not one of these.
    ///
    /// ```
    /// use candle_core::{DType, Device, ModuleT, Tensor};
    /// use candle_ensemble::{nn::{many::McDropoutLayer, SpatialDropout2d}, weights::fresh};
    ///
    /// let (_, vb) = fresh(1, Default::default(), DType::F32, &Device::Cpu);
    /// let dropout = McDropoutLayer::of(20, vb, |vb| SpatialDropout2d::new(0.2, vb))?.shared_inputs();
    /// let images = Tensor::ones((2, 3, 8, 8), DType::F32, &Device::Cpu)?;
    /// assert_eq!(dropout.forward_t(&images, false)?.dims(), [20 * 2, 3, 8, 8]);
    /// # Ok::<(), candle_core::Error>(())
    /// ```
    pub fn of<'v, L: ModuleT + Any + Send + Sync>(
        passes: usize,
        vb: VarBuilder<'v>,
        plain: impl FnOnce(VarBuilder<'v>) -> Result<L>,
    ) -> Result<Self> {
        check_members("McDropoutLayer", passes)?;
        let layer = plain(vb.clone())?;
        let Some(of_layer) = dropout(&layer) else {
            let was = std::any::type_name::<L>();
            return Err(Error::invalid("the dropout of McDropoutLayer", KINDS, was).into());
        };
        let seeds = Variables::new(vb, passes).get("", "seeds", &[4], ANY_SEEDS, DType::U32)?;
        Ok(Self { masks: Masks::new(of_layer, seeds)?, dropout: Box::new(layer) })
    }

    /// The number of passes: that of the variables, which is below the declared one in a network that was pruned.
    #[must_use]
    pub fn members(&self) -> usize {
        self.masks.rows.members
    }

    /// The same layer for inputs that in evaluation are rows of a batch, `(B, …)`, the same for all passes, in place of
    /// `(T·B, …)`: for the first layer of this kind.
    #[must_use]
    pub fn shared_inputs(mut self) -> Self {
        self.masks.rows.shared = true;
        self
    }
}

impl ModuleT for McDropoutLayer {
    fn forward_t(&self, x: &Tensor, train: bool) -> Result<Tensor> {
        self.masks.forward_t(&self.dropout.forward_t(x, train)?, train)
    }
}

impl fmt::Debug for McDropoutLayer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "McDropoutLayer of {} passes with p = {}", self.members(), self.masks.p)
    }
}
