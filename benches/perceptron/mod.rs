//! The multi-layer perceptron that benchmarks train.
use candle_core::Result;
use candle_ensemble::nn;
use candle_nn::VarBuilder;

/// A multi-layer perceptron of the library's layers, with relu between them.
pub fn layers(widths: &[usize], vb: VarBuilder<'_>) -> Result<nn::Sequential> {
    let mut network = nn::seq();
    for (i, w) in widths.windows(2).enumerate() {
        if i > 0 {
            network = network.add(nn::Activation::Relu);
        }
        network = network.add(nn::linear(w[0], w[1], vb.pp(i))?);
    }
    Ok(network)
}
