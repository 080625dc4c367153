//! The networks of all tables: fully connected, with a place for more layers.
use candle_core::Result as CandleResult;
use candle_ensemble::{
    nn::{seq, Activation, Sequential},
    train::{Adam, Optimizer, Sgd, Trainer, Velocity},
    weights::{InitScheme, WeightFilter},
    Result,
};
use candle_nn::{linear, VarBuilder};

/// Kernels uniform in ±√(6 / (in + out)), biases 0.
pub const GLOROT: &str = "glorot-uniform";
/// The same for the output layer, and ±√(6 / in) for the hidden ones.
pub const HE: &str = "output.* => glorot-uniform; he-uniform";
/// Kernels uniform in (0, 1), biases 0.
pub const POSITIVE: &str = "uniform:0:1";

/// Puts one more layer into a network.
pub type Insert = fn(Sequential, VarBuilder<'static>) -> CandleResult<Sequential>;

/// No layer.
const NOTHING: Insert = |network, _| Ok(network);

/// A network of fully connected layers, called `hidden.0`, `hidden.1` and so on, and `output`.
#[derive(Clone, Copy)]
pub struct Mlp {
    pub inputs: usize,
    pub layers: usize,
    pub width: usize,
    pub outputs: usize,
    /// How initial weights are drawn.
    pub init: &'static str,
    pub activation: Activation,
    /// A layer on the inputs, before the activation of each hidden layer, after it, and on the outputs.
    pub on_inputs: Insert,
    pub before: Insert,
    pub after: Insert,
    pub on_outputs: Insert,
}

impl Mlp {
    /// One hidden layer of relu units, with Glorot's initial weights.
    pub const fn new(inputs: usize, width: usize, outputs: usize) -> Self {
        let (init, activation) = (GLOROT, Activation::Relu);
        let (on_inputs, before, after, on_outputs) = (NOTHING, NOTHING, NOTHING, NOTHING);
        Self { inputs, layers: 1, width, outputs, init, activation, on_inputs, before, after, on_outputs }
    }

    /// The same with He's initial weights in the hidden layers.
    pub const fn he(self) -> Self {
        Self { init: HE, ..self }
    }

    /// A trainer of this network.
    pub fn trainer(self, epochs: usize, optimizer: Optimizer) -> Result<Trainer<Sequential>> {
        let trainer = Trainer::new(move |vb| self.build(vb)).epochs(epochs).optimizer(optimizer);
        Ok(trainer.init(InitScheme::parse(self.init)?))
    }

    fn build(self, vb: VarBuilder<'static>) -> CandleResult<Sequential> {
        let mut network = (self.on_inputs)(seq(), vb.pp("input"))?;
        let mut inputs = self.inputs;
        for layer in 0..self.layers {
            let vb = vb.pp("hidden").pp(layer);
            network = network.add(linear(inputs, self.width, vb.clone())?);
            network = (self.before)(network, vb.pp("before"))?.add(self.activation);
            network = (self.after)(network, vb.pp("after"))?;
            inputs = self.width;
        }
        let network = network.add(linear(inputs, self.outputs, vb.pp("output"))?);
        (self.on_outputs)(network, vb.pp("last"))
    }
}

/// The kernel of the first hidden layer, to which penalties and constraints apply.
pub fn first_kernel() -> WeightFilter {
    WeightFilter::names(["hidden.0.weight"])
}

/// Adam in Keras' form: ε is added to √v.
pub fn adam() -> Optimizer {
    Adam::new(1e-3).epsilon(1e-7).epsilon_hat(true).into()
}

/// Stochastic gradient descent with Keras' momentum.
pub fn sgd(rate: f64) -> Optimizer {
    Sgd::new(rate).momentum(0.9).velocity(Velocity::LrInside).into()
}
