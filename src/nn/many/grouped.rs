//! Linear layers in groups, one for each member.
use crate::nn::{
    many::{dense::Dense, separate::SeparateLayer},
    stack,
};
use candle_core::{bail, ModuleT, Result, Tensor};

/// A linear layer of each member, in groups: each group of outputs sees the inputs of its group.
#[derive(Clone, Debug)]
pub(super) struct GroupedLinear {
    pub(super) members: usize,
    groups: usize,
    weight: Tensor,
    bias: Option<Tensor>,
    /// The layer of each group of each member.
    each: SeparateLayer,
}

impl GroupedLinear {
    /// Weights `(M, outputs, inputs / groups)` and biases `(M, outputs)`.
    pub(super) fn new(dense: &Dense, groups: usize, weight: Tensor, bias: Option<Tensor>) -> Result<Self> {
        let (of_weight, of_bias) = by_group(&weight, bias.as_ref(), groups)?;
        let each = SeparateLayer::new(dense, of_weight, of_bias)?;
        Ok(Self { members: weight.dim(0)?, groups, weight, bias, each })
    }

    /// What `layer` makes of the rows of each group of each member, one after the other.
    fn grouped(&self, x: &Tensor, layer: impl Fn(&Tensor) -> Result<Tensor>) -> Result<Tensor> {
        let Some((features, others)) = x.dims().split_last() else { bail!("expected rows") };
        let (members, groups) = (self.members, self.groups);
        let rows = others.iter().product::<usize>() / members.max(1);
        let by_group = x.reshape((members, rows, groups, features / groups))?.transpose(1, 2)?;
        let by_group = by_group.contiguous()?.reshape((members * groups * rows, features / groups))?;
        let y = layer(&by_group)?.reshape((members, groups, rows, ()))?;
        let outputs = groups * y.dim(3)?;
        y.transpose(1, 2)?.contiguous()?.reshape([others, &[outputs]].concat())
    }
}

/// Weights `(M · groups, outputs / groups, inputs / groups)` and biases of the groups of all members.
fn by_group(weight: &Tensor, bias: Option<&Tensor>, groups: usize) -> Result<(Tensor, Option<Tensor>)> {
    let (members, outputs, inputs) = weight.dims3()?;
    let bias = bias.map(|bias| bias.reshape((members * groups, outputs / groups))).transpose()?;
    Ok((weight.reshape((members * groups, outputs / groups, inputs))?, bias))
}

impl GroupedLinear {
    pub(super) fn forward(&self, x: &Tensor, train: bool) -> Result<Tensor> {
        if !stack::is_passing() {
            return self.grouped(x, |x| self.each.forward_t(x, train));
        }
        let weights = stack::operands(&self.weight)?;
        let biases = self.bias.as_ref().map(stack::operands).transpose()?;
        stack::each(x, |network, x| {
            let bias = biases.as_ref().map(|biases| &biases[network]);
            let (weight, bias) = by_group(&weights[network], bias, self.groups)?;
            self.grouped(x, |x| {
                let y = x.reshape((weight.dim(0)?, (), weight.dim(2)?))?.matmul(&weight.transpose(1, 2)?)?;
                match &bias {
                    Some(bias) => y.broadcast_add(&bias.unsqueeze(1)?),
                    None => Ok(y),
                }
            })
        })
    }
}
