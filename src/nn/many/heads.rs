//! A shared network with a last layer for each member.
use crate::{
    network::{MemberBatches, Members},
    nn::{
        many::{
            check_members,
            convert::{DenseLayer, Method},
            EfficientEnsemble, SeparateLayer, MEMBERS,
        },
        seq, Sequential,
    },
    registry::Entry,
};
use candle_core::Result;
use serde::{Deserialize, Serialize};
use std::fmt;

/// Several heads on one trunk: all members share the layers of a network but the last one, of which each has its own.
///
/// ```text
/// y_m = f(x) W_m + b_m
/// ```
///
/// The last linear layer or convolution is replaced by `M` of them, a [`SeparateLayer`], with the variables `members.weight`
/// `(M, outputs, …)` and `members.bias` `(M, outputs)`, drawn as `M` plain layers. What comes before runs once on the rows of a
/// batch, so the cost is hardly above that of one network. All members train on the same rows ([`MemberBatches::Shared`]).
///
/// Use it on a large or pre-trained trunk, where members of their own are out of the question. The members differ little,
/// because what they have learned of the inputs is the same: expect less than of
/// [`BatchEnsemble`](crate::nn::many::BatchEnsemble), and far less than of separate networks.
///
/// # Errors
/// [`convert`](Self::convert) fails when there are no members, or a layer cannot be converted.
///
/// # Source
/// Lee et al. 2015, arXiv:1511.06314, who call the networks TreeNets.
///
/// ```
/// use candle_core::{DType, Device};
/// use candle_ensemble::{nn::{linear, many::Heads, seq, Activation}, weights::fresh};
/// use candle_nn::VarBuilder;
///
/// let mlp = |vb: VarBuilder| {
///     Ok(seq().add(linear(4, 16, vb.pp(0))?).add(Activation::Relu).add(linear(16, 3, vb.pp(1))?))
/// };
/// let (vars, vb) = fresh(1, Default::default(), DType::F32, &Device::Cpu);
/// Heads::new(8).convert(vb, mlp)?;
/// let names = ["0.bias", "0.weight", "1.members.bias", "1.members.weight"];
/// assert_eq!(vars.snapshot()?.keys().collect::<Vec<_>>(), names);
/// # Ok::<(), candle_core::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Heads {
    /// The number of members `M`, at least 1.
    pub members: usize,
}

impl Heads {
    /// `members` members.
    #[must_use]
    pub fn new(members: usize) -> Self {
        Self { members }
    }
}

impl Method for Heads {
    const ENTRY: Entry<EfficientEnsemble> =
        Entry::new("heads", "Heads", "One network with a last layer for each member", |arguments| {
            let heads = Self::new(arguments.get("members")?);
            heads.check()?;
            Ok(heads.into())
        })
        .with_arguments(&[MEMBERS])
        .with_source("Lee et al. 2015, arXiv:1511.06314");

    fn check(&self) -> crate::Result<()> {
        check_members("Heads", self.members)
    }

    fn members(&self) -> Members {
        Members { count: self.members, batches: MemberBatches::Shared }
    }

    fn dense(&self, layer: &DenseLayer<'_>) -> Result<Option<Sequential>> {
        match layer.is_last() {
            true => Ok(Some(seq().add(SeparateLayer::stands_for(layer)?.shared_inputs()))),
            false => Ok(None),
        }
    }
}

/// As in text: `heads:8`.
impl fmt::Display for Heads {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "heads:{}", self.members)
    }
}

/// A last layer for each member, each with the rows of its own.
pub(super) fn head(layer: &DenseLayer<'_>) -> Result<Option<Sequential>> {
    Ok(Some(seq().add(SeparateLayer::stands_for(layer)?.sharing(layer.is_first()))))
}
