//! The networks of all tables: fully connected, with a place for more layers.
use candle_core::{Result as CandleResult, Tensor};
use candle_ensemble::{
    nn::{seq, Sequential},
    train::{Adam, Optimizer, Sgd, Velocity},
};
use candle_nn::{
    init::{FanInOut, NonLinearity, NormalOrUniform},
    Init, Linear, VarBuilder,
};

/// How the weights of a layer are drawn; biases are 0.
#[derive(Clone, Copy, Debug)]
pub enum Weights {
    /// Uniform in ±√(6 / (in + out)).
    Glorot,
    /// Uniform in ±√(6 / in).
    He,
    /// Uniform in (0, 1).
    Positive,
}

/// Puts one more layer into a network.
pub type Insert = fn(Sequential, VarBuilder<'static>) -> CandleResult<Sequential>;

/// No layer.
const NOTHING: Insert = |network, _| Ok(network);

/// A network of fully connected layers. The hidden layers are called `hidden`, or `hidden.0`, `hidden.1` and so
/// on where there are several; the output layer is called `out`.
#[derive(Clone, Copy)]
pub struct Mlp {
    pub inputs: usize,
    pub layers: usize,
    pub width: usize,
    pub outputs: usize,
    pub hidden: Weights,
    pub out: Weights,
    pub activation: fn(&Tensor) -> CandleResult<Tensor>,
    /// A layer on the inputs, before the activation of each hidden layer, after it, and on the outputs.
    pub on_inputs: Insert,
    pub before: Insert,
    pub after: Insert,
    pub on_outputs: Insert,
}

impl Mlp {
    /// One hidden layer of relu units; all weights Glorot-uniform.
    pub const fn new(inputs: usize, width: usize, outputs: usize) -> Self {
        let (hidden, out, activation) = (Weights::Glorot, Weights::Glorot, Tensor::relu as fn(&Tensor) -> _);
        let (on_inputs, before, after, on_outputs) = (NOTHING, NOTHING, NOTHING, NOTHING);
        Self {
            inputs,
            layers: 1,
            width,
            outputs,
            hidden,
            out,
            activation,
            on_inputs,
            before,
            after,
            on_outputs,
        }
    }

    /// The same with He-uniform weights in the hidden layers.
    pub fn he(self) -> Self {
        Self { hidden: Weights::He, ..self }
    }

    pub fn build(self, vb: VarBuilder<'static>) -> CandleResult<Sequential> {
        let mut network = (self.on_inputs)(seq(), vb.pp("input"))?;
        let mut inputs = self.inputs;
        for layer in 0..self.layers {
            let vb = if self.layers == 1 { vb.pp("hidden") } else { vb.pp("hidden").pp(layer) };
            network = network.add(dense(inputs, self.width, self.hidden, vb.clone())?);
            network = (self.before)(network, vb.pp("before"))?.add_fn(self.activation);
            network = (self.after)(network, vb.pp("after"))?;
            inputs = self.width;
        }
        let network = network.add(dense(inputs, self.outputs, self.out, vb.pp("out"))?);
        (self.on_outputs)(network, vb.pp("output"))
    }
}

/// A fully connected layer with zero biases.
pub fn dense(inputs: usize, outputs: usize, weights: Weights, vb: VarBuilder<'_>) -> CandleResult<Linear> {
    let init = match weights {
        Weights::Glorot => {
            let bound = (6. / (inputs + outputs) as f64).sqrt();
            Init::Uniform { lo: -bound, up: bound }
        }
        Weights::He => Init::Kaiming {
            dist: NormalOrUniform::Uniform,
            fan: FanInOut::FanIn,
            non_linearity: NonLinearity::ReLU,
        },
        Weights::Positive => Init::Uniform { lo: 0., up: 1. },
    };
    let weight = vb.get_with_hints((outputs, inputs), "weight", init)?;
    Ok(Linear::new(weight, Some(vb.get_with_hints(outputs, "bias", Init::Const(0.))?)))
}

/// Adam with Keras' ε.
pub fn adam() -> Optimizer {
    Adam::new(1e-3).epsilon(1e-7).into()
}

/// Stochastic gradient descent with Keras' momentum.
pub fn sgd(rate: f64) -> Optimizer {
    Sgd::new(rate).momentum(0.9).velocity(Velocity::LrInside).into()
}
