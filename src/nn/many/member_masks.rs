//! The elements of each member, times a mask of its own.
use crate::nn::{
    many::{dense::Along, rows::Rows, scale::scale},
    stack,
    then::Then,
};
use candle_core::{bail, Result, Tensor};

/// What a mask has a number for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unit {
    /// Each feature along this dimension.
    Feature(Along),
    /// Each element of a row.
    Element,
}

impl Unit {
    /// The numbers of a mask for such inputs.
    pub(super) fn count(self, x: &Tensor) -> Result<usize> {
        match (self, x.dims()) {
            (Self::Feature(Along::Last), [_, .., last]) => Ok(*last),
            (Self::Feature(Along::Second), [_, second, ..]) => Ok(*second),
            (Self::Element, [_, others @ ..]) => Ok(others.iter().product()),
            (_, dims) => bail!("expected (rows, features, …), but got {dims:?}"),
        }
    }
}

/// A variable with an entry for each member, or those of the networks of a pass, one after the other.
pub(super) fn of_networks(variable: &Tensor) -> Result<Tensor> {
    match stack::members(variable)? {
        Some(networks) => {
            Tensor::cat(&networks.iter().map(|var| var.as_detached_tensor()).collect::<Vec<_>>(), 0)
        }
        None => Ok(variable.detach()),
    }
}

/// The rows of each member times its mask, of which there is one for each member, `(M, …)`; those of the members of one network
/// after those of the other in a pass for several networks. Masks are constants.
pub(super) fn mask(x: &Tensor, masks: &Tensor, unit: Unit, shared: bool) -> Result<Tensor> {
    let masks = masks.to_dtype(x.dtype())?;
    let (networks, count) = (stack::parts(), unit.count(x)?);
    let rows = Rows { members: masks.dim(0)? / networks, shared };
    if masks.dims() != [networks * rows.members, count] {
        let must = format!("{} for {} members", masks.dim(1)?, rows.members);
        return Err(crate::Error::invalid("the features of a layer with masks", must, count).into());
    }
    let dims = [&[networks * rows.members * rows.of_each(stack::rows_of_each(x.dim(0)?)?)?], &x.dims()[1..]]
        .concat();
    if stack::is_passing() {
        return in_a_pass(x, &masks, unit, rows)?.reshape(dims);
    }
    match unit {
        Unit::Feature(along) => scale(x, (rows, along), &masks, None, Then::Nothing),
        Unit::Element => {
            let flat = x.reshape((x.dim(0)?, count))?;
            scale(&flat, (rows, Along::Last), &masks, None, Then::Nothing)?.reshape(dims)
        }
    }
}

/// The same in a pass for several networks.
fn in_a_pass(x: &Tensor, masks: &Tensor, unit: Unit, rows: Rows) -> Result<Tensor> {
    let (networks, count) = (stack::parts(), masks.dim(1)?);
    let own = if rows.shared { 1 } else { rows.members };
    let inner = match unit {
        Unit::Feature(Along::Second) => x.dims().iter().skip(2).product(),
        _ => 1,
    };
    let x = x.contiguous()?.reshape((networks, own, (), count, inner))?;
    x.broadcast_mul(&masks.reshape((networks, rows.members, 1, count, 1))?)
}
