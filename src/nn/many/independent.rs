//! Complete networks side by side.
use crate::{
    network::{MemberBatches, Members},
    nn::{
        many::{
            check_members,
            convert::{At, DenseLayer, Method},
            embedding::SeparateEmbedding,
            norm::separate_norm,
            EfficientEnsemble, SeparateLayer, MEMBERS,
        },
        seq, Sequential,
    },
    registry::Entry,
};
use candle_core::Result;
use serde::{Deserialize, Serialize};
use std::{any::Any, fmt};

/// Complete networks in one: no two members share a weight.
///
/// ```text
/// y_m = f_m(x)
/// ```
///
/// Each layer with weights becomes `M` of them, with the variables `members.weight` `(M, …)` and so on, drawn as those of
/// `M` plain networks. All members train on the same rows ([`MemberBatches::Shared`]).
///
/// Use it for losses that join the members, such as negative correlation, and to compare the methods that share weights with
/// members that share none. Where members are trained without regard to each other, separate runs of a
/// [`strategy`](crate::strategy) have rows, seeds and stopping times of their own, and are the better choice.
///
/// # Errors
/// [`convert`](Self::convert) fails when there are no members, or a layer cannot be converted.
///
/// ```
/// use candle_core::{DType, Device};
/// use candle_ensemble::{nn::{linear, many::Independent, seq, Activation}, weights::fresh};
/// use candle_nn::VarBuilder;
///
/// let mlp = |vb: VarBuilder| {
///     Ok(seq().add(linear(4, 16, vb.pp(0))?).add(Activation::Relu).add(linear(16, 3, vb.pp(1))?))
/// };
/// let (vars, vb) = fresh(1, Default::default(), DType::F32, &Device::Cpu);
/// Independent::new(4).convert(vb, mlp)?;
/// assert_eq!(vars.snapshot()?["0.members.weight"].dims(), [4, 16, 4]);
/// # Ok::<(), candle_core::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Independent {
    /// The number of members `M`, at least 1.
    pub members: usize,
}

impl Independent {
    /// `members` members.
    #[must_use]
    pub fn new(members: usize) -> Self {
        Self { members }
    }
}

impl Method for Independent {
    const ENTRY: Entry<EfficientEnsemble> = Entry::new(
        "independent",
        "Independent",
        "Complete networks in one, which share no weights",
        |arguments| {
            let independent = Self::new(arguments.get("members")?);
            independent.check()?;
            Ok(independent.into())
        },
    )
    .with_arguments(&[MEMBERS]);

    fn check(&self) -> crate::Result<()> {
        check_members("Independent", self.members)
    }

    fn members(&self) -> Members {
        Members { count: self.members, batches: MemberBatches::Shared }
    }

    fn dense(&self, layer: &DenseLayer<'_>) -> Result<Option<Sequential>> {
        Ok(Some(seq().add(SeparateLayer::stands_for(layer)?.sharing(layer.at.is_first))))
    }

    fn other(&self, layer: &dyn Any, at: &At<'_>) -> Result<Option<Sequential>> {
        match separate_norm(layer, at, Ok)? {
            Some(norm) => Ok(Some(seq().add(norm))),
            None => Ok(SeparateEmbedding::of(layer, at)?.map(|layer| seq().add(layer))),
        }
    }
}

/// As in text: `independent:4`.
impl fmt::Display for Independent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "independent:{}", self.members)
    }
}
