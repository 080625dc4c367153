//! Epinet.
use crate::{
    check::{non_negative, require},
    network::{MemberBatches, Members},
    nn::{
        self,
        many::{
            check_members,
            convert::{DenseLayer, Method},
            dense::Dense,
            epistemic::{Head, Prior},
            network::Body,
            EfficientEnsemble, MEMBERS,
        },
        seq, Activation, Sequential,
    },
    registry::{Argument, Entry},
    Error,
};
use candle_core::{ModuleT, Result, Tensor};
use serde::{Deserialize, Serialize};
use std::fmt;

/// An epinet: a network with a small one beside its last layer that takes a random index, so that each index is a member.
///
/// ```text
/// y_m = f(x) + σ(φ, z_m) + s · σ_P(φ, z_m),   z_m ~ N(0, I_D)
/// σ(φ, z) = mlp([φ, z]) z                      mlp: numbers to outputs × D
/// φ = [inputs of the last layer, x]            without a gradient into the network
/// ```
///
/// The network `f` is the plain one. The epinet `σ` is a perceptron with relu, whose outputs are contracted with the index, and
/// learns for which rows the index shall not matter. Its prior `σ_P` has the same form with random weights that are not
/// trained: it lets members differ where there are no data. In training each batch has `M` new indices, and the loss is the
/// mean over them ([`MemberBatches::Shared`]). In evaluation member `m` has an index of its own that stays.
///
/// The variables of the epinet are `epinet.0.weight`, `epinet.0.bias` and so on of the last layer. All others are integers: the
/// seed of the prior `epinet.prior.seed`, the seed and the count of the indices in training `epinet.index.seed` and
/// `epinet.index.step`, and the seeds of the members' indices `members.seeds` `(M, 4)`. So the network can be pruned to some of
/// its members. Everything before the last layer runs once for all members.
///
/// Use it on a large network, trained together with it, at little more than the cost of that network: the source has joint
/// predictions as good as those of large ensembles. `s` sets how much members differ: choose it on held-out rows. Many members
/// cost little, and more of them in training make the mean of the loss less noisy. Members are no better than `f` one by one.
///
/// # Errors
/// [`convert`](Self::convert) fails when a parameter is out of range, the last layer with weights is no linear one, or the
/// `VarBuilder` cannot draw integers, as candle's `VarMap` cannot. The forward pass fails when the inputs of the network are not
/// those of its first linear layer, as behind an embedding: leave them out by [`inputs`](Self::inputs).
///
/// # Source
/// Osband et al. 2023, arXiv:2107.08924: `MLPEpinetWithPrior` of the authors' library `enn`.
///
/// ```
/// use candle_core::{DType, Device, Tensor};
/// use candle_ensemble::{nn::{linear, many::Epinet, seq, Activation}, weights::fresh, Network};
/// use candle_nn::VarBuilder;
///
/// let mlp = |vb: VarBuilder| {
///     Ok(seq().add(linear(4, 32, vb.pp(0))?).add(Activation::Relu).add(linear(32, 3, vb.pp(1))?))
/// };
/// let (vars, vb) = fresh(1, Default::default(), DType::F32, &Device::Cpu);
/// let network = Epinet::new(10).index(8).hidden(50).convert(vb, mlp)?;
/// let x = Tensor::ones((2, 4), DType::F32, &Device::Cpu)?.into();
/// assert_eq!(network.run_members(&x)?.dims(), [10 * 2, 3]);
/// // 32 features, 4 inputs and the index; 3 outputs for each element of the index.
/// assert_eq!(vars.snapshot()?["1.epinet.0.weight"].dims(), [50, 32 + 4 + 8]);
/// assert_eq!(vars.snapshot()?["1.epinet.2.weight"].dims(), [3 * 8, 50]);
/// # Ok::<(), candle_core::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Epinet {
    /// The number of members `M`: of indices in a batch and in a prediction, at least 1.
    pub members: usize,
    /// The number of elements of an index `D`, at least 1. Default 8.
    pub index: usize,
    /// The width of the hidden layers of the epinet, at least 1. Default 50.
    pub hidden: usize,
    /// The number of hidden layers of the epinet. Default 2.
    pub layers: usize,
    /// The scale of the prior `s`, 0 or more. Default 1.
    pub prior_scale: f64,
    /// Whether the epinet gets the inputs of the network beside those of the last layer, where the first layer with weights is a
    /// linear one. Default true.
    pub inputs: bool,
}

impl Epinet {
    /// `members` members.
    #[must_use]
    pub fn new(members: usize) -> Self {
        Self { members, index: 8, hidden: 50, layers: 2, prior_scale: 1., inputs: true }
    }

    /// Sets the number of elements of an index.
    #[must_use]
    pub fn index(self, index: usize) -> Self {
        Self { index, ..self }
    }

    /// Sets the width of the hidden layers of the epinet.
    #[must_use]
    pub fn hidden(self, hidden: usize) -> Self {
        Self { hidden, ..self }
    }

    /// Sets the number of hidden layers of the epinet.
    #[must_use]
    pub fn layers(self, layers: usize) -> Self {
        Self { layers, ..self }
    }

    /// Sets the scale of the prior.
    #[must_use]
    pub fn prior_scale(self, prior_scale: f64) -> Self {
        Self { prior_scale, ..self }
    }

    /// Sets whether the epinet gets the inputs of the network.
    #[must_use]
    pub fn inputs(self, inputs: bool) -> Self {
        Self { inputs, ..self }
    }

    /// The inputs of the network that the epinet gets for each row; 0 for none.
    fn inputs_of(&self, layer: &DenseLayer<'_>) -> Result<usize> {
        match layer.at.dense_before().first() {
            Some(first @ Dense::Linear(_)) if self.inputs => first.inputs(),
            _ => Ok(0),
        }
    }
}

impl Method for Epinet {
    const ENTRY: Entry<EfficientEnsemble> = Entry::new(
        "epinet",
        "Epinet",
        "One network with a small one that takes a random index",
        |arguments| {
            let epinet = Self::new(arguments.get("members")?).index(arguments.get("index")?);
            let epinet = epinet.hidden(arguments.get("hidden")?).layers(arguments.get("layers")?);
            let epinet = epinet.prior_scale(arguments.get("prior-scale")?).inputs(arguments.get("inputs")?);
            epinet.check()?;
            Ok(epinet.into())
        },
    )
    .with_arguments(&[
        Argument::new("members", "16", MEMBERS.summary()),
        Argument::new("index", "8", "The number of elements of an index"),
        Argument::new("hidden", "50", "The width of the hidden layers of the epinet"),
        Argument::new("layers", "2", "The number of hidden layers of the epinet"),
        Argument::new("prior-scale", "1", "How much members differ where there are no data"),
        Argument::new("inputs", "true", "Whether the epinet gets the inputs of the network"),
    ])
    .with_source("Osband et al. 2023, arXiv:2107.08924");

    fn check(&self) -> crate::Result<()> {
        check_members("Epinet", self.members)?;
        require(self.index > 0, "Epinet::index", "at least 1", self.index as f64)?;
        require(self.hidden > 0, "Epinet::hidden", "at least 1", self.hidden as f64)?;
        non_negative("Epinet::prior_scale", self.prior_scale)
    }

    fn members(&self) -> Members {
        Members { count: self.members, batches: MemberBatches::Shared }
    }

    fn dense(&self, layer: &DenseLayer<'_>) -> Result<Option<Sequential>> {
        if !layer.is_last() {
            return Ok(None);
        }
        let Dense::Linear(base) = layer.plain()? else {
            let what =
                format!("layer {}, the last one with weights of a network for Epinet,", layer.at.position);
            return Err(Error::invalid(what, "a linear layer", "a convolution").into());
        };
        let (outputs, inputs) = (layer.dense.outputs()?, self.inputs_of(layer)?);
        let of_row = layer.dense.inputs()? + inputs + self.index;
        let hidden = std::iter::repeat_n(self.hidden, self.layers);
        let widths: Vec<usize> =
            std::iter::once(of_row).chain(hidden).chain([outputs * self.index]).collect();
        let vb = layer.at.vb().pp("epinet");
        let mut mlp = seq();
        for (number, pair) in widths.windows(2).enumerate() {
            if number > 0 {
                mlp = mlp.add(Activation::Relu);
            }
            mlp = mlp.add(nn::linear(pair[0], pair[1], vb.pp(number))?);
        }
        let prior = Prior::new(self.prior_scale, widths, &vb.pp("prior"))?;
        Ok(Some(seq().add(Head::new(base, mlp, prior, [inputs, self.index], &layer.at)?)))
    }

    fn body(&self, layers: Sequential) -> Result<Box<Body>> {
        match split(layers) {
            (trunk, Some(head), rest) => Ok(Box::new(Parts { trunk, head, rest })),
            (layers, None, _) => Ok(Box::new(layers)),
        }
    }
}

/// As in text: `epinet:16:8:50:2:1`.
impl fmt::Display for Epinet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { members, index, hidden, layers, prior_scale, inputs } = self;
        write!(f, "epinet:{members}:{index}:{hidden}:{layers}:{prior_scale}")?;
        if *inputs {
            Ok(())
        } else {
            f.write_str(":false")
        }
    }
}

/// The layers before the last one with weights, that one, and those behind it.
fn split(layers: Sequential) -> (Sequential, Option<Head>, Sequential) {
    let (mut before, mut head, mut behind) = (seq(), None, seq());
    for layer in layers.into_layers() {
        match (layer.into_nested(), head.is_some()) {
            (Ok(nested), true) => behind = behind.add(nested),
            (Ok(nested), false) => {
                let (outer, found, rest) = split(nested);
                before = before.add(outer);
                if found.is_some() {
                    (head, behind) = (found, behind.add(rest));
                }
            }
            (Err(layer), true) => behind = behind.push(layer),
            (Err(layer), false) => match layer.as_any().downcast_ref::<Head>() {
                Some(found) => head = Some(found.clone()),
                None => before = before.push(layer),
            },
        }
    }
    (before, head, behind)
}

/// A network of which the last layer with weights gets the inputs, too.
struct Parts {
    trunk: Sequential,
    head: Head,
    rest: Sequential,
}

impl ModuleT for Parts {
    fn forward_t(&self, x: &Tensor, train: bool) -> Result<Tensor> {
        let features = self.trunk.forward_t(x, train)?;
        self.rest.forward_t(&self.head.forward(&features, x, train)?, train)
    }
}
