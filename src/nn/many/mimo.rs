//! MIMO: several inputs, several outputs.
use crate::{
    check::require,
    network::{MemberBatches, Members},
    nn::{
        many::{
            check_members,
            convert::{DenseLayer, Method},
            dense::{Along, Dense},
            packed::for_inputs,
            EfficientEnsemble, MEMBERS,
        },
        seq, stack, Sequential,
    },
    registry::{Argument, Entry},
    Error,
};
use candle_core::{ModuleT, Result, Tensor};
use serde::{Deserialize, Serialize};
use std::fmt;

/// MIMO, multi-input multi-output: one network that takes an input for each member and gives an output for each member.
///
/// ```text
/// (y_1, …, y_M) = f(x_1, …, x_M)       training: x_m is a row of member m
/// (y_1, …, y_M) = f(x, …, x)           prediction
/// ```
///
/// The first layer with weights takes the inputs of all members side by side, `M · inputs`, and the last one gives `M ·
/// outputs`; all others are those of the plain network. In training each member gets rows of its own
/// ([`MemberBatches::Own`]): those of the batch, `R` times, shuffled for each member, so that a member learns to rely on its
/// own input. With `input_repetition` `ρ`, that share of the rows is the same for all members, which ties them to each other.
/// Layers before the first one with weights see the rows of single members.
///
/// Use it where a network is much larger than its task needs: the members share its capacity, at the cost of one pass. In a
/// network that is just large enough, several members are worse than one. The source takes 2 or 3 members, with `R = 4`
/// on small images and `ρ = 0.6` on large ones, where capacity is short. Its weights are not those of the plain network in the first and in the last
/// layer. `M` is fixed: all members go through the same hidden layers, so the network cannot be pruned to some of them.
///
/// # Errors
/// [`convert`](Self::convert) fails when a parameter is out of range, or the first layer is a convolution with groups.
///
/// # Source
/// Havasi et al. 2021, arXiv:2010.06610.
///
/// ```
/// use candle_core::{DType, Device, Tensor};
/// use candle_ensemble::{data::Inputs, nn::{linear, many::Mimo, seq, Activation}, weights::fresh, Network};
/// use candle_nn::VarBuilder;
///
/// let mlp = |vb: VarBuilder| {
///     Ok(seq().add(linear(5, 64, vb.pp(0))?).add(Activation::Relu).add(linear(64, 2, vb.pp(1))?))
/// };
/// let (vars, vb) = fresh(1, Default::default(), DType::F32, &Device::Cpu);
/// let network = Mimo::new(3).batch_repetition(4).convert(vb, mlp)?;
/// assert_eq!(vars.snapshot()?["0.weight"].dims(), [64, 3 * 5]);
/// let x = |rows: usize| Tensor::ones((rows, 5), DType::F32, &Device::Cpu).map(Inputs::from);
/// assert_eq!(network.run_members(&x(7)?)?.dims(), [3 * 7, 2]);
/// // In training the rows are those of the members, one after the other.
/// assert_eq!(network.run(&x(3 * 4 * 7)?, true)?.dims(), [3 * 4 * 7, 2]);
/// # Ok::<(), candle_core::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Mimo {
    /// The number of members `M`, at least 1.
    pub members: usize,
    /// How often each row of a batch occurs for each member, `R`, at least 1. Default 1.
    pub batch_repetition: usize,
    /// The share of the rows that are the same for all members, `ρ`, from 0 to 1. Default 0.
    pub input_repetition: f64,
}

impl Mimo {
    /// `members` members, with `R = 1` and `ρ = 0`.
    #[must_use]
    pub fn new(members: usize) -> Self {
        Self { members, batch_repetition: 1, input_repetition: 0. }
    }

    /// Sets how often each row of a batch occurs for each member.
    #[must_use]
    pub fn batch_repetition(self, batch_repetition: usize) -> Self {
        Self { batch_repetition, ..self }
    }

    /// Sets the share of the rows that are the same for all members.
    #[must_use]
    pub fn input_repetition(self, input_repetition: f64) -> Self {
        Self { input_repetition, ..self }
    }

    /// The layer for the inputs or outputs of all members, with the names of the plain one.
    fn widened(&self, layer: &DenseLayer<'_>, [inputs, outputs]: [usize; 2]) -> Result<Dense> {
        let plain = layer.dense;
        if inputs > 1 && plain.groups() > 1 {
            let what = format!("the groups of layer {}, the first of a network for Mimo,", layer.at.position);
            return Err(Error::invalid(what, "1", plain.groups()).into());
        }
        let mut dims = plain.weight().dims().to_vec();
        let own = plain.weight().dim(1)?;
        for (dim, times) in dims.iter_mut().zip([outputs, inputs]) {
            *dim *= times;
        }
        let bias_init = for_inputs(layer.bias_init(), own, own * inputs);
        let bias_dims = plain.bias().map(|bias| bias.elem_count() * outputs);
        let bias = bias_dims.map(|outputs| layer.other_bias(&[outputs], bias_init)).transpose()?;
        Ok(plain.with(layer.other_weight(&dims)?, bias))
    }
}

impl Method for Mimo {
    const ENTRY: Entry<EfficientEnsemble> =
        Entry::new("mimo", "Mimo", "One network with an input and an output for each member", |arguments| {
            let mimo =
                Self::new(arguments.get("members")?).batch_repetition(arguments.get("batch-repetition")?);
            let mimo = mimo.input_repetition(arguments.get("input-repetition")?);
            mimo.check()?;
            Ok(mimo.into())
        })
        .with_arguments(&[
            MEMBERS,
            Argument::new("batch-repetition", "1", "How often each row of a batch occurs for each member"),
            Argument::new("input-repetition", "0", "The share of the rows that are the same for all members"),
        ])
        .with_source("Havasi et al. 2021, arXiv:2010.06610");

    fn check(&self) -> crate::Result<()> {
        check_members("Mimo", self.members)?;
        if self.batch_repetition == 0 {
            return Err(Error::invalid("Mimo::batch_repetition", "at least 1", 0));
        }
        let share = self.input_repetition;
        require((0. ..=1.).contains(&share), "Mimo::input_repetition", "from 0 to 1", share)
    }

    fn members(&self) -> Members {
        let batches =
            MemberBatches::Own { repetitions: self.batch_repetition, shared: self.input_repetition };
        Members { count: self.members, batches }
    }

    fn dense(&self, layer: &DenseLayer<'_>) -> Result<Option<Sequential>> {
        let (members, along) = (self.members, layer.dense.along());
        let [inputs, outputs] = [layer.is_first(), layer.is_last()].map(|is| if is { members } else { 1 });
        if !layer.is_first() && !layer.is_last() {
            return Ok(None);
        }
        let arrangement = Arrangement { members, along };
        let before = if layer.is_first() { seq().add(MimoInputs(arrangement)) } else { seq() };
        let made = self.widened(layer, [inputs, outputs])?.add_to(before);
        Ok(Some(if layer.is_last() { made.add(MimoOutputs(arrangement)) } else { made }))
    }
}

/// As in text: `mimo:3:4:0.5`.
impl fmt::Display for Mimo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "mimo:{}:{}:{}", self.members, self.batch_repetition, self.input_repetition)
    }
}

/// The inputs of all members side by side: what stands before the first layer with weights of [`Mimo`].
///
/// ```text
/// training     (M·R, …, inputs) to (R, …, M·inputs): the rows of one member come after those of the other
/// evaluation   (R, …, inputs) to (R, …, M·inputs): the same inputs M times
/// ```
///
/// Inputs have any type. Features are the last dimension, `(…, inputs)`, or the channels of convolutions after
/// [`along`](Self::along)`(`[`Along::Second`]`)`.
///
/// Use it with [`MimoOutputs`] in a model of your own, and make the network with
/// [`EnsembleNetwork::new`](crate::nn::many::EnsembleNetwork::new) and
/// [`batches`](crate::nn::many::EnsembleNetwork::batches)`(`[`MemberBatches::Own`]` { … })`. The layers between them are plain
/// ones: the first has `M · inputs` inputs and the last `M · outputs` outputs.
///
/// # Errors
/// [`new`](Self::new) fails when there are no members. The forward pass fails in training for rows that members cannot share.
///
/// # Source
/// Havasi et al. 2021, arXiv:2010.06610: the rearrangements of torch-uncertainty's MIMO networks.
///
/// ```
/// use candle_core::{Device::Cpu, ModuleT, Tensor};
/// use candle_ensemble::nn::many::{MimoInputs, MimoOutputs};
///
/// let x = Tensor::new(&[[1f32, 2.], [3., 4.]], &Cpu)?;
/// let joined = MimoInputs::new(2)?;
/// assert_eq!(joined.forward_t(&x, true)?.to_vec2::<f32>()?, [[1., 2., 3., 4.]]);
/// assert_eq!(joined.forward_t(&x, false)?.to_vec2::<f32>()?, [[1., 2., 1., 2.], [3., 4., 3., 4.]]);
/// // The way back.
/// let split = MimoOutputs::new(2)?.forward_t(&joined.forward_t(&x, true)?, true)?;
/// assert_eq!(split.to_vec2::<f32>()?, [[1., 2.], [3., 4.]]);
/// # Ok::<(), candle_core::Error>(())
/// ```
#[derive(Clone, Copy, Debug)]
#[doc(alias = "MIMOBatchFormat")]
pub struct MimoInputs(Arrangement);

/// The outputs of each member as rows of their own: what stands behind the last layer with weights of [`Mimo`].
///
/// ```text
/// (R, …, M·outputs) to (M·R, …, outputs): the rows of one member come after those of the other
/// ```
///
/// Use it with [`MimoInputs`], where an example is.
///
/// # Errors
/// [`new`](Self::new) fails when there are no members. The forward pass fails for features that members cannot share.
///
/// # Source
/// Havasi et al. 2021, arXiv:2010.06610.
#[derive(Clone, Copy, Debug)]
pub struct MimoOutputs(Arrangement);

/// The features of how many members lie side by side, and along which dimension.
#[derive(Clone, Copy, Debug)]
struct Arrangement {
    members: usize,
    along: Along,
}

macro_rules! arrangement {
    ($layer:ident) => {
        impl $layer {
            /// For so many members, with features along the last dimension.
            ///
            /// # Errors
            /// When there are none.
            pub fn new(members: usize) -> Result<Self> {
                check_members(stringify!($layer), members)?;
                Ok(Self(Arrangement { members, along: Along::Last }))
            }

            /// Sets where the features are. Default [`Along::Last`].
            #[must_use]
            pub fn along(self, along: Along) -> Self {
                Self(Arrangement { along, ..self.0 })
            }
        }
    };
}

arrangement!(MimoInputs);
arrangement!(MimoOutputs);

impl Arrangement {
    /// The dimension along which the features of such inputs lie.
    fn dimension(self, x: &Tensor) -> Result<usize> {
        match (self.along, x.rank()) {
            (_, 0 | 1) => {
                let what = "the shape of the inputs of a layer of Mimo";
                Err(Error::invalid(what, "(rows, features, …)", format!("{:?}", x.dims())).into())
            }
            (Along::Last, rank) => Ok(rank - 1),
            (Along::Second, _) => Ok(1),
        }
    }
}

impl ModuleT for MimoInputs {
    fn forward_t(&self, x: &Tensor, train: bool) -> Result<Tensor> {
        let (members, at) = (self.0.members, self.0.dimension(x)?);
        if !train {
            return Tensor::cat(&vec![x; members], at);
        }
        let (parts, rows) = (stack::parts(), stack::rows_of_each(x.dim(0)?)?);
        if !rows.is_multiple_of(members) {
            let must = format!("a multiple of {members}, the rows of one member after those of the other");
            return Err(Error::invalid("the number of rows of a training batch of Mimo", must, rows).into());
        }
        let rows = rows / members;
        let by_member = x.reshape([&[parts, members, rows], &x.dims()[1..]].concat())?;
        // The members move to where the features are.
        let order = [0, 2].into_iter().chain(3..at + 2).chain([1]).chain(at + 2..x.rank() + 2);
        let mut dims = x.dims().to_vec();
        dims[0] = parts * rows;
        dims[at] *= members;
        by_member.permute(order.collect::<Vec<_>>())?.contiguous()?.reshape(dims)
    }
}

impl ModuleT for MimoOutputs {
    fn forward_t(&self, x: &Tensor, _train: bool) -> Result<Tensor> {
        let (members, at) = (self.0.members, self.0.dimension(x)?);
        let (parts, features) = (stack::parts(), x.dim(at)?);
        if !features.is_multiple_of(members) {
            let must =
                format!("a multiple of {members}, the outputs of one member beside those of the other");
            return Err(Error::invalid("the number of outputs of a network of Mimo", must, features).into());
        }
        let (outputs, rows) = (features / members, stack::rows_of_each(x.dim(0)?)?);
        let (before, behind) = (&x.dims()[1..at], &x.dims()[at + 1..]);
        let by_member = x.reshape([&[parts, rows], before, &[members, outputs], behind].concat())?;
        let order = [0, at + 1].into_iter().chain(1..=at).chain(at + 2..x.rank() + 2);
        let by_member = by_member.permute(order.collect::<Vec<_>>())?.contiguous()?;
        by_member.reshape([&[parts * members * rows], before, &[outputs], behind].concat())
    }
}
