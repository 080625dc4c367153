//! Normalization layers with weights and statistics of their own for each member.
use crate::nn::{
    many::{convert::At, dense::Along, rows::Rows, scale::scale, variables::Start},
    seq, stack,
    then::Then,
    BatchNorm, GroupNorm, LayerNorm, RmsNorm, Sequential,
};
use crate::Error;
use candle_core::{Module, ModuleT, Result, Tensor};
use candle_nn::Init;
use std::any::Any;

/// What stands for a normalization layer of this crate, for the rows of each member, with as many features as `own` makes of
/// those of the plain layer; `None` for a layer of another kind.
///
/// # Errors
/// For the normalization layers of candle, which do not tell their parameters.
pub(super) fn separate_norm(
    layer: &dyn Any,
    at: &At<'_>,
    own: impl Fn(usize) -> Result<usize>,
) -> Result<Option<Sequential>> {
    if let Some(norm) = layer.downcast_ref::<BatchNorm>() {
        let features = own(norm.running_mean().elem_count())?;
        return Ok(Some(seq().add(SeparateBatchNorm::new(norm, features, at)?)));
    }
    let affine = |features, along, like: &Tensor, bias: bool| Affine::new(at, features, along, like, bias);
    if let Some(norm) = layer.downcast_ref::<LayerNorm>() {
        let features = own(norm.weight().elem_count())?;
        let affine = affine(features, Along::Last, norm.weight(), norm.bias().is_some())?;
        return Ok(Some(seq().add(norm.without_weights(features)?).add(affine)));
    }
    if let Some(norm) = layer.downcast_ref::<GroupNorm>() {
        let features = own(norm.weight().elem_count())?;
        let affine = affine(features, Along::Second, norm.weight(), true)?;
        return Ok(Some(seq().add(norm.without_weights(features)?).add(affine)));
    }
    if let Some(norm) = layer.downcast_ref::<RmsNorm>() {
        let features = own(norm.weight().elem_count())?;
        let affine = affine(features, Along::Last, norm.weight(), false)?;
        return Ok(Some(seq().add(norm.without_weights(features)?).add(affine)));
    }
    let of_candle = layer.is::<candle_nn::BatchNorm>() || layer.is::<candle_nn::LayerNorm>();
    match of_candle || layer.is::<candle_nn::RmsNorm>() {
        true => {
            let what = format!(
                "layer {} of a network whose members have normalization layers of their own",
                at.position
            );
            let must =
                "a normalization layer of this crate (nn::batch_norm, layer_norm, group_norm or rms_norm)";
            Err(Error::invalid(what, must, "one of candle's").into())
        }
        false => Ok(None),
    }
}

/// A scale and a shift of each feature of each member, `(M, features)`.
#[derive(Debug)]
struct Affine {
    along: Along,
    weight: Tensor,
    bias: Option<Tensor>,
}

impl Affine {
    fn new(at: &At<'_>, features: usize, along: Along, like: &Tensor, bias: bool) -> Result<Self> {
        let variable =
            |name, value| at.variable(name, &[features], Start::Each(Init::Const(value)), like.dtype());
        let (weight, bias) = (variable("weight", 1.)?, if bias { Some(variable("bias", 0.)?) } else { None });
        Ok(Self { along, weight, bias })
    }
}

impl Module for Affine {
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let rows = Rows { members: self.weight.dim(0)?, shared: false };
        scale(x, (rows, self.along), &self.weight, self.bias.as_ref(), Then::Nothing)
    }
}

/// A batch normalization of each member's rows. The features of all members are the channels of one layer.
#[derive(Debug)]
struct SeparateBatchNorm {
    members: usize,
    norm: BatchNorm,
}

impl SeparateBatchNorm {
    fn new(plain: &BatchNorm, features: usize, at: &At<'_>) -> Result<Self> {
        let dtype = plain.running_mean().dtype();
        let variable = |name, value| at.variable(name, &[features], Start::Each(Init::Const(value)), dtype);
        let statistics = [variable("running_mean", 0.)?, variable("running_var", 1.)?];
        let affine = match plain.weight_and_bias() {
            Some(_) => Some((variable("weight", 1.)?, variable("bias", 0.)?)),
            None => None,
        };
        let frozen = at.is_frozen("running_mean") && at.is_frozen("running_var");
        let members = statistics[0].dim(0)?;
        Ok(Self { members, norm: BatchNorm::of_members(plain.config(), statistics, affine, frozen)? })
    }
}

impl ModuleT for SeparateBatchNorm {
    fn forward_t(&self, x: &Tensor, train: bool) -> Result<Tensor> {
        let parts = stack::parts();
        let (rows, features) = (stack::rows_of_each(x.dim(0)?)? / self.members, x.dim(1)?);
        let inner = x.elem_count() / (x.dim(0)? * features).max(1);
        let by_row = x.reshape((parts, self.members, rows, features * inner))?.transpose(1, 2)?;
        let by_row = by_row.contiguous()?.reshape((parts * rows, self.members * features, inner))?;
        let y = self.norm.forward_t(&by_row, train)?;
        let y = y.reshape((parts, rows, self.members, features * inner))?.transpose(1, 2)?;
        y.contiguous()?.reshape(x.shape())
    }
}
