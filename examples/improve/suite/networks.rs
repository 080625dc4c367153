//! The two kinds of networks of the suite: fully connected, and convolutional.
use crate::tabular::network::{activation, dense, outputs, perceptron};
use candle_ensemble::{
    data::Task,
    nn::{conv2d, seq},
    plan::Settings,
    train::Trainer,
    AnyNetwork,
};
use candle_nn::{Conv2dConfig, VarBuilder};

/// A kind of network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Fully connected layers.
    Perceptron,
    /// Two convolutions of 3 × 3 with a stride of 2, on images of 8 × 8 in 64 columns, and fully connected layers.
    Convolutional,
}

impl Kind {
    pub const fn name(self) -> &'static str {
        match self {
            Self::Perceptron => "perceptron",
            Self::Convolutional => "convolutional",
        }
    }

    /// The trainer of such a network. The settings of a run give widths, activation function and dropout.
    pub fn trainer(self, columns: usize, task: Task) -> Trainer<AnyNetwork> {
        match self {
            Self::Perceptron => perceptron(columns, task, Settings::new()),
            Self::Convolutional => {
                let outputs = outputs(task);
                let new = move |settings: &Settings, vb: VarBuilder<'static>| {
                    let config = Conv2dConfig { stride: 2, padding: 1, ..Conv2dConfig::default() };
                    let network = seq()
                        .add_fn(|xs| xs.reshape(((), 1, 8, 8)))
                        .add(conv2d(1, 8, 3, config, vb.pp("conv0"))?)
                        .add(activation(settings)?)
                        .add(conv2d(8, 16, 3, config, vb.pp("conv1"))?)
                        .add(activation(settings)?)
                        .add_fn(|xs| xs.flatten_from(1));
                    dense(network, 64, outputs, settings, vb)
                };
                Trainer::convertible(&["activation", "batch_norm", "dropout", "hidden"], new)
            }
        }
    }
}
