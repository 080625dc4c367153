//! Normalization layers with weights and statistics of their own for each member.
use crate::nn::{
    many::{
        convert::At,
        dense::Along,
        rows::{members_of_layer, Rows},
        scale::scale,
        single::{of_any, refused},
        variables::Start,
    },
    norm::RowNorm,
    stack,
    then::Then,
    BatchNorm, BatchNormConfig,
};
use candle_core::{DType, ModuleT, Result, Tensor};
use candle_nn::{Init, VarBuilder};
use std::any::Any;

/// What stands for a normalization layer of ours or of candle's, with weights and statistics of their own for each member and as
/// many features as `own` makes of those of the plain layer; `None` for a layer of another kind.
pub(super) fn separate_norm(
    layer: &dyn Any,
    at: &At<'_>,
    own: impl Fn(usize) -> Result<usize>,
) -> Result<Option<SeparateNorm>> {
    let batch = |config: BatchNormConfig, mean: &Tensor| {
        let size = own(mean.elem_count())?;
        SeparateNorm::by_batches(config, size, mean.dtype(), at).map(Some)
    };
    if let Some(norm) = layer.downcast_ref::<BatchNorm>() {
        return batch(norm.config(), norm.running_mean());
    }
    if let Some(norm) = layer.downcast_ref::<candle_nn::BatchNorm>() {
        let torch = BatchNormConfig::torch().momentum(norm.momentum()).eps(norm.eps());
        return batch(torch.affine(norm.weight_and_bias().is_some()), norm.running_mean());
    }
    let Some(norm) = RowNorm::of(layer) else { return Ok(None) };
    SeparateNorm::by_rows(norm.with_size(own(norm.size)?)?, at).map(Some)
}

/// A normalization layer with weights and running statistics of its own for each member.
///
/// ```text
/// y_m = norm_m(x_m)
/// ```
///
/// The variables are those of the plain layer as `members.weight`, `members.bias`, `members.running_mean` and so on, each `(M,
/// features)`. Inputs are the rows of one member after those of the other, `(M·B, …)`, and so are outputs. After
/// [`shared_inputs`](Self::shared_inputs) the inputs are rows that all members share, `(B, …)`.
///
/// Use it in a model of your own behind layers with weights of each member, such as
/// [`SeparateLayer`](crate::nn::many::SeparateLayer) and [`PackedLayer`](crate::nn::many::PackedLayer), with the features of one
/// member. Behind layers that members share, a plain normalization layer is usual.
///
/// # Errors
/// [`of`](Self::of) fails when there are no members, the plain layer is of another kind, or the `VarBuilder` has other variables
/// of these names. The forward pass fails for inputs of another shape.
///
/// # Source
/// Laurent et al. 2023, arXiv:2210.09184: `PackedBatchNorm2d`, `PackedLayerNorm` and `PackedGroupNorm` of torch-uncertainty.
///
/// ```
/// use candle_core::{DType, Device, ModuleT, Tensor};
/// use candle_ensemble::{nn::{batch_norm, many::SeparateNorm}, weights::fresh};
///
/// let (vars, vb) = fresh(1, Default::default(), DType::F32, &Device::Cpu);
/// let norm = SeparateNorm::of(4, vb.pp("norm"), |vb| batch_norm(8, 1e-5, vb))?;
/// let x = Tensor::ones((4 * 5, 8), DType::F32, &Device::Cpu)?;
/// assert_eq!(norm.forward_t(&x, true)?.dims(), [4 * 5, 8]);
/// assert_eq!(vars.snapshot()?["norm.members.running_mean"].dims(), [4, 8]);
/// # Ok::<(), candle_core::Error>(())
/// ```
#[derive(Debug)]
#[doc(alias = "PackedBatchNorm2d")]
#[doc(alias = "PackedLayerNorm")]
#[doc(alias = "PackedGroupNorm")]
pub struct SeparateNorm {
    rows: Rows,
    kind: Kind,
}

members_of_layer!(SeparateNorm);

#[derive(Debug)]
enum Kind {
    Rows { norm: RowNorm, weight: Tensor, bias: Option<Tensor> },
    Batch(BatchNorm),
}

impl SeparateNorm {
    /// `members` normalization layers of ours or of candle's: [`batch_norm`](crate::nn::batch_norm()),
    /// [`layer_norm`](crate::nn::layer_norm()), [`group_norm`](crate::nn::group_norm()) or
    /// [`rms_norm`](crate::nn::rms_norm()).
    ///
    /// # Errors
    /// See the type.
    pub fn of<'v, L: Any>(
        members: usize,
        vb: VarBuilder<'v>,
        plain: impl FnOnce(VarBuilder<'v>) -> Result<L>,
    ) -> Result<Self> {
        of_any("SeparateNorm", members, &vb, plain, |layer, at| {
            let made = separate_norm(layer, at, Ok)?;
            made.ok_or_else(|| refused::<L>("SeparateNorm", "a normalization layer of nn or of candle"))
        })
    }

    fn by_rows(norm: RowNorm, at: &At<'_>) -> Result<Self> {
        let weight = constant(at, "weight", 1., norm.size, norm.dtype)?;
        let bias = match norm.has_bias {
            true => Some(constant(at, "bias", 0., norm.size, norm.dtype)?),
            false => None,
        };
        Ok(Self::new(Kind::Rows { norm, weight, bias }, at))
    }

    fn by_batches(config: BatchNormConfig, size: usize, dtype: DType, at: &At<'_>) -> Result<Self> {
        let variable = |name, value| constant(at, name, value, size, dtype);
        let (mean, var) = (variable("running_mean", 0.)?, variable("running_var", 1.)?);
        let affine = match config.affine {
            true => Some((variable("weight", 1.)?, variable("bias", 0.)?)),
            false => None,
        };
        let frozen = at.is_frozen("running_mean") && at.is_frozen("running_var");
        let norm = BatchNorm::of_variables(config, affine, [&mean, &var], frozen)?;
        Ok(Self::new(Kind::Batch(norm), at))
    }

    /// If no layer with variables comes before it, the rows are the same for all members.
    fn new(kind: Kind, at: &At<'_>) -> Self {
        Self { rows: Rows { members: at.members(), shared: at.is_first }, kind }
    }
}

/// A variable whose entries, one for each member, begin as a constant.
fn constant(at: &At<'_>, name: &str, value: f64, size: usize, dtype: DType) -> Result<Tensor> {
    at.variable(name, &[size], Start::Each(Init::Const(value)), dtype)
}

impl ModuleT for SeparateNorm {
    fn forward_t(&self, x: &Tensor, train: bool) -> Result<Tensor> {
        match &self.kind {
            Kind::Rows { norm, weight, bias } => {
                let along = if norm.is_last { Along::Last } else { Along::Second };
                scale(&norm.forward(x)?, (self.rows, along), weight, bias.as_ref(), Then::Nothing)
            }
            Kind::Batch(norm) => self.side_by_side(x, |x| norm.forward_t(x, train)),
        }
    }
}

impl SeparateNorm {
    /// Applies a layer to the channels of all members as the channels of one, `(B, M·C, …)`.
    fn side_by_side(&self, x: &Tensor, layer: impl Fn(&Tensor) -> Result<Tensor>) -> Result<Tensor> {
        let (parts, members) = (stack::parts(), self.rows.members);
        let rows = self.rows.of_each(stack::rows_of_each(x.dim(0)?)?)?;
        let others = x.dims().get(1..).unwrap_or_default();
        let (channels, features) = (x.dim(1)?, others.iter().product::<usize>());
        let x = x.contiguous()?;
        let by_row = match self.rows.shared {
            true => x.reshape((parts * rows, 1, features))?.repeat((1, members, 1))?,
            false => x.reshape((parts, members, rows, features))?.transpose(1, 2)?.contiguous()?,
        };
        let inner = features / channels.max(1);
        let y = layer(&by_row.reshape((parts * rows, members * channels, inner))?)?;
        let y = y.reshape((parts, rows, members, features))?.transpose(1, 2)?.contiguous()?;
        y.reshape([&[parts * members * rows], others].concat())
    }
}
