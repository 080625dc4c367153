//! The outputs of a network's first layers as a data set.
use crate::{
    data::{Dataset, Inputs, TensorDataset},
    nn::Sequential,
    Error, Result,
};
use candle_core::Tensor;

/// Rows in a forward pass.
const ROWS: usize = 1024;

/// Runs the first `layers` layers of a network once over all rows: a data set whose inputs are their outputs,
/// with the same targets, weights, strata and groups.
///
/// ```text
/// x' = f_layers(… f_2(f_1(x)))       in evaluation mode
/// ```
///
/// Layers are those of the [`Sequential`], so an activation counts as one. A network of the other layers that
/// is trained on the result becomes what the whole network becomes with these layers frozen
/// ([`Freeze`](crate::train::Freeze)), up to the rounding of matrix products over other numbers of rows, at a
/// fraction of the cost: each epoch saves the passes through the frozen layers. It is not the same where one
/// of the layers is random in training, such as dropout, or normalizes by the batch.
///
/// Inputs `(N, …)` become outputs `(N, …)` of the type of the layers, in memory. Cost: one forward pass.
///
/// # Errors
/// When the network has fewer layers, the data has several input tensors, a layer fails, or an output is NaN
/// or infinite.
///
/// ```
/// use candle_core::{Device, DType, Tensor};
/// use candle_ensemble::{data::*, nn::seq, train::features, weights::fresh};
/// use candle_nn::{linear, Activation};
///
/// let (_, vb) = fresh(1, Default::default(), DType::F32, &Device::Cpu);
/// let hidden = seq().add(linear(2, 8, vb.pp("hidden"))?).add(Activation::Relu);
/// let network = hidden.add(linear(8, 1, vb.pp("out"))?);
/// let x = Tensor::arange(0f32, 20., &Device::Cpu)?.reshape((10, 2))?;
/// let data = TensorDataset::regression(&x, &x.sum(1)?)?;
/// assert_eq!(features(&network, 2, &data)?.inputs().only()?.dims(), [10, 8]);
/// # Ok::<(), candle_ensemble::Error>(())
/// ```
///
/// Source: Donahue et al. (2013), "DeCAF: a deep convolutional activation feature for generic visual
/// recognition", arXiv:1310.1531.
pub fn features(network: &Sequential, layers: usize, data: &TensorDataset) -> Result<TensorDataset> {
    if layers > network.len() {
        let must = format!("at most {}, the number of layers of the network", network.len());
        return Err(Error::invalid("layers", must, layers));
    }
    let (inputs, rows) = (data.inputs().only()?, data.rows());
    let outputs = (0..rows).step_by(ROWS).map(|start| {
        let part = inputs.narrow(0, start, ROWS.min(rows - start))?;
        Ok(network.forward_first(layers, &part)?.detach())
    });
    let outputs = outputs.collect::<Result<Vec<Tensor>>>()?;
    data.with_inputs(Inputs::from(Tensor::cat(&outputs, 0)?))
}
