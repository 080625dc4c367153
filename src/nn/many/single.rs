//! A single layer for many members, from the constructor of a layer of a plain network.
use crate::{
    nn::many::{
        check_members,
        convert::{At, DenseLayer},
        dense::Dense,
        outline::prefix,
        recorded::Recorded,
        variables::Variables,
    },
    Error,
};
use candle_core::Result;
use candle_nn::VarBuilder;
use std::any::Any;

/// What `make` makes of the linear layer or convolution that `plain` makes. Only the variables that it asks for are made.
pub(super) fn of_plain<'v, L: Any, T>(
    name: &str,
    members: usize,
    vb: &VarBuilder<'v>,
    plain: impl FnOnce(VarBuilder<'v>) -> Result<L>,
    make: impl FnOnce(&DenseLayer<'_>) -> Result<T>,
) -> Result<T> {
    check_members(name, members)?;
    let (recorded, layer) = Recorded::of(vb, plain)?;
    let Some(dense) = Dense::of(&layer) else {
        let must = "nn::Linear, nn::Conv1d or nn::Conv2d, or one of candle's";
        return Err(
            Error::invalid(format!("the plain layer of {name}"), must, std::any::type_name::<L>()).into()
        );
    };
    let weight = recorded.behind(dense.weight());
    let bias = dense.bias().and_then(|bias| recorded.behind(bias));
    let (root, place) = (vb.root(), vb.prefix());
    let prefix = weight.map_or(place.as_str(), |asked| prefix(&asked.name));
    let variables = Variables::new(root.clone(), members);
    let at = At {
        position: &place,
        earlier: &[],
        count: 1,
        prefix,
        root: &root,
        is_first: false,
        variables: &variables,
        recorded: &recorded,
    };
    make(&DenseLayer { dense: &dense, index: 0, count: 1, at, weight, bias })
}
