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
    of_any(name, members, vb, plain, |layer, at| {
        let Some(dense) = Dense::of(layer) else {
            return Err(refused::<L>(name, "nn::Linear, nn::Conv1d or nn::Conv2d, or one of candle's"));
        };
        let weight = at.recorded.behind(dense.weight());
        let bias = dense.bias().and_then(|bias| at.recorded.behind(bias));
        make(&DenseLayer { dense: &dense, index: 0, count: 1, at: *at, weight, bias })
    })
}

/// What `make` makes of the layer of any kind that `plain` makes.
pub(super) fn of_any<'v, L: Any, T>(
    name: &str,
    members: usize,
    vb: &VarBuilder<'v>,
    plain: impl FnOnce(VarBuilder<'v>) -> Result<L>,
    make: impl FnOnce(&L, &At<'_>) -> Result<T>,
) -> Result<T> {
    check_members(name, members)?;
    let (recorded, layer) = Recorded::of(vb, plain)?;
    let (root, place) = (vb.root(), vb.prefix());
    // The names of some variables say what they have in common, such as that of the weight.
    let prefixes = recorded.in_order().map(|asked| prefix(&asked.name));
    let prefix = prefixes.min_by_key(|prefix| prefix.len()).unwrap_or(&place);
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
    make(&layer, &at)
}

/// An error for a plain layer of another kind.
pub(super) fn refused<L>(name: &str, must: &str) -> candle_core::Error {
    Error::invalid(format!("the plain layer of {name}"), must, std::any::type_name::<L>()).into()
}
