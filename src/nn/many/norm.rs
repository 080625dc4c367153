//! Normalization layers with weights and statistics of their own for each member.
use crate::nn::{
    frozen::is_frozen,
    many::{convert::At, dense::Along, rows::Rows, scale::scale, variables::Start},
    norm::RowNorm,
    then::Then,
    BatchNorm, BatchNormConfig,
};
use crate::weights::members::MEMBERS;
use candle_core::{DType, ModuleT, Result, Tensor};
use candle_nn::Init;
use std::any::Any;

/// A normalization layer of a plain network.
#[derive(Clone, Copy, Debug)]
pub(super) struct Norm {
    pub(super) kind: NormKind,
    /// The number of features or channels.
    pub(super) size: usize,
    dtype: DType,
}

#[derive(Clone, Copy, Debug)]
pub(super) enum NormKind {
    /// By the statistics of each row.
    Rows(RowNorm),
    /// By the statistics of the batch.
    Batch(BatchNormConfig),
}

impl Norm {
    /// The layer, if it is one of ours or of candle's.
    pub(super) fn of(layer: &dyn Any) -> Option<Self> {
        let batch = |config: BatchNormConfig, mean: &Tensor| {
            let kind = NormKind::Batch(config);
            Some(Self { kind, size: mean.elem_count(), dtype: mean.dtype() })
        };
        if let Some(norm) = layer.downcast_ref::<BatchNorm>() {
            return batch(norm.config(), norm.running_mean());
        }
        if let Some(norm) = layer.downcast_ref::<candle_nn::BatchNorm>() {
            let torch = BatchNormConfig::torch().momentum(norm.momentum()).eps(norm.eps());
            return batch(torch.affine(norm.weight_and_bias().is_some()), norm.running_mean());
        }
        let norm = RowNorm::of(layer)?;
        Some(Self { kind: NormKind::Rows(norm), size: norm.size, dtype: norm.dtype })
    }
}

/// A normalization layer of each member: weights, biases and running statistics `(M, features)`.
#[derive(Debug)]
pub(super) struct SeparateNorm {
    rows: Rows,
    kind: Kind,
}

#[derive(Debug)]
enum Kind {
    Rows { norm: RowNorm, weight: Tensor, bias: Option<Tensor> },
    Batch(BatchNorm),
}

impl SeparateNorm {
    /// What stands for a layer. If the rows are `shared`, they are the same for all members.
    pub(super) fn new(norm: Norm, at: &At<'_>, shared: bool) -> Result<Self> {
        let start = |value| Start::Each(Init::Const(value));
        let variable = |name, value| at.variable(name, &[norm.size], start(value), norm.dtype);
        let kind = match norm.kind {
            NormKind::Rows(norm) => {
                let weight = variable("weight", 1.)?;
                let bias = if norm.has_bias { Some(variable("bias", 0.)?) } else { None };
                Kind::Rows { norm, weight, bias }
            }
            NormKind::Batch(config) => {
                let (mean, var) = (variable("running_mean", 0.)?, variable("running_var", 1.)?);
                let affine = match config.affine {
                    true => Some((variable("weight", 1.)?, variable("bias", 0.)?)),
                    false => None,
                };
                let vb = at.vb().pp(MEMBERS);
                let frozen = is_frozen(&vb, "running_mean") && is_frozen(&vb, "running_var");
                Kind::Batch(BatchNorm::of_variables(config, affine, [&mean, &var], frozen)?)
            }
        };
        Ok(Self { rows: Rows { members: at.members(), shared }, kind })
    }
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
        let (members, each) = (self.rows.members, self.rows.of_each(x.dim(0)?)?);
        let others = x.dims().get(1..).unwrap_or_default();
        let (channels, inner) = (x.dim(1)?, others.iter().skip(1).product::<usize>());
        let by_member = match self.rows.shared {
            true => x.contiguous()?.reshape((each, 1, channels * inner))?.repeat((1, members, 1))?,
            false => {
                x.contiguous()?.reshape((members, each, channels * inner))?.transpose(0, 1)?.contiguous()?
            }
        };
        let y = layer(&by_member.reshape((each, members * channels, inner))?)?;
        let y = y.reshape((each, members, channels * inner))?.transpose(0, 1)?.contiguous()?;
        y.reshape([&[members * each], others].concat())
    }
}
