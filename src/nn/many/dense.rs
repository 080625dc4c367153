//! Layers whose outputs are weighted sums of inputs: linear layers and convolutions.
use crate::nn::{then::Then, then::WithThen, Conv1d, Conv2d, Linear, Sequential};
use candle_core::{Result, Tensor};
use candle_nn::{Conv1dConfig, Conv2dConfig};
use std::any::Any;

/// A layer with a weight for each pair of an input and an output.
#[derive(Clone, Debug)]
pub(super) enum Dense {
    Linear(Linear),
    Conv1d(Conv1d),
    Conv2d(Conv2d),
}

/// Evaluates an expression with the layer, whichever it is.
macro_rules! each {
    ($of:expr, $layer:ident => $expression:expr) => {
        match $of {
            Dense::Linear($layer) => $expression,
            Dense::Conv1d($layer) => $expression,
            Dense::Conv2d($layer) => $expression,
        }
    };
}

/// Along which dimension of its inputs the features of a layer lie.
///
/// ```
/// use candle_core::{DType, Device};
/// use candle_ensemble::{nn::many::{Along, ScaleEnsemble, ScaleInit}, weights::fresh};
///
/// // Scales of the channels of images.
/// let (_, vb) = fresh(1, Default::default(), DType::F32, &Device::Cpu);
/// let scales = ScaleEnsemble::new(3, 8, ScaleInit::default(), vb)?.along(Along::Second);
/// # Ok::<(), candle_core::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Along {
    /// The last, `(rows, …, features)`, as for linear layers.
    Last,
    /// The second, `(rows, features, …)`, as for the channels of convolutions.
    Second,
}

impl Dense {
    /// The layer, if it is one of ours or of candle's.
    pub(super) fn of(layer: &dyn Any) -> Option<Self> {
        fn ours<L: Clone + 'static>(layer: &dyn Any, make: impl Fn(L) -> Dense) -> Option<Dense> {
            layer.downcast_ref::<L>().cloned().map(make)
        }
        let candles = || {
            if let Some(layer) = layer.downcast_ref::<candle_nn::Linear>() {
                return Some(Self::Linear(Linear::new(layer.weight().clone(), layer.bias().cloned())));
            }
            if let Some(layer) = layer.downcast_ref::<candle_nn::Conv1d>() {
                let (weight, bias) = (layer.weight().clone(), layer.bias().cloned());
                return Some(Self::Conv1d(Conv1d::new(weight, bias, *layer.config())));
            }
            let layer = layer.downcast_ref::<candle_nn::Conv2d>()?;
            let (weight, bias) = (layer.weight().clone(), layer.bias().cloned());
            Some(Self::Conv2d(Conv2d::new(weight, bias, *layer.config())))
        };
        ours(layer, Self::Linear)
            .or_else(|| ours(layer, Self::Conv1d))
            .or_else(|| ours(layer, Self::Conv2d))
            .or_else(candles)
    }

    pub(super) fn weight(&self) -> &Tensor {
        each!(self, layer => layer.weight())
    }

    pub(super) fn bias(&self) -> Option<&Tensor> {
        each!(self, layer => layer.bias())
    }

    /// A layer with these weights and this bias and the parameters of this one.
    pub(super) fn with(&self, weight: Tensor, bias: Option<Tensor>) -> Self {
        match self {
            Self::Linear(_) => Self::Linear(Linear::new(weight, bias)),
            Self::Conv1d(layer) => Self::Conv1d(Conv1d::new(weight, bias, *layer.config())),
            Self::Conv2d(layer) => Self::Conv2d(Conv2d::new(weight, bias, *layer.config())),
        }
    }

    /// The same layer with another number of groups, of which a linear layer has one.
    pub(super) fn with_groups(&self, groups: usize) -> Self {
        let (weight, bias) = (self.weight().clone(), self.bias().cloned());
        match self {
            Self::Linear(_) => self.clone(),
            Self::Conv1d(layer) => {
                Self::Conv1d(Conv1d::new(weight, bias, Conv1dConfig { groups, ..*layer.config() }))
            }
            Self::Conv2d(layer) => {
                Self::Conv2d(Conv2d::new(weight, bias, Conv2dConfig { groups, ..*layer.config() }))
            }
        }
    }

    /// The number of groups of inputs and outputs.
    pub(super) fn groups(&self) -> usize {
        match self {
            Self::Linear(_) => 1,
            Self::Conv1d(layer) => layer.config().groups,
            Self::Conv2d(layer) => layer.config().groups,
        }
    }

    /// The number of input features or channels.
    pub(super) fn inputs(&self) -> Result<usize> {
        Ok(self.weight().dim(1)? * self.groups())
    }

    /// The number of output features or channels.
    pub(super) fn outputs(&self) -> Result<usize> {
        self.weight().dim(0)
    }

    pub(super) fn along(&self) -> Along {
        match self {
            Self::Linear(_) => Along::Last,
            Self::Conv1d(_) | Self::Conv2d(_) => Along::Second,
        }
    }

    /// The outputs and what follows them.
    pub(super) fn forward(&self, then: Then, x: &Tensor, train: bool) -> Result<Tensor> {
        each!(self, layer => layer.forward_with(then, x, train))
    }

    /// Adds the layer to a network.
    pub(super) fn add_to(self, network: Sequential) -> Sequential {
        each!(self, layer => network.add(layer))
    }
}
