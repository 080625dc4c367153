//! A neural network as meta-learner.
use crate::{
    combine::{
        stack::{MetaDataset, MetaLearner, MetaModel},
        Fit,
    },
    data::{Dataset, Inputs, Task, TensorDataset},
    files::tensors,
    network::{Output, Scale},
    nn::{seq, Sequential},
    plan::RunSpec,
    train::{train_alone, Loss, Optimizer, Trainer},
    weights::InitScheme,
    Error, Network, Result, Seed,
};
use candle_core::{DType, Device, Result as CandleResult, Tensor};
use candle_nn::{linear, Activation, VarBuilder};
use safetensors::tensor::{Dtype, TensorInfo};
use serde::{de::DeserializeOwned, Deserialize, Deserializer, Serialize, Serializer};
use std::{collections::HashMap, fmt, ops::Range, sync::Arc};

/// The architecture of a meta-learner's network, from which the network can be built again when a fitted
/// stack is read from a file.
///
/// ```
/// use candle_core::Result;
/// use candle_ensemble::combine::stack::{Architecture, NeuralNetwork};
/// use candle_nn::{linear, VarBuilder};
///
/// /// A single linear layer.
/// #[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
/// struct OneLayer;
/// impl Architecture for OneLayer {
///     type Network = candle_nn::Linear;
///     fn build(&self, inputs: usize, outputs: usize, vb: VarBuilder<'_>) -> Result<candle_nn::Linear> {
///         linear(inputs, outputs, vb)
///     }
/// }
///
/// let learner = NeuralNetwork::new(OneLayer).epochs(100);
/// ```
pub trait Architecture: Clone + fmt::Debug + Send + Sync + 'static {
    /// The type of the network. It maps f32 to f32.
    type Network: Network;

    /// Builds a network that maps `(B, inputs)` meta-features to `(B, outputs)` logits or values. All of its
    /// variables must come from `vb`, so that an architecture read from a damaged file cannot make it
    /// allocate more than the file holds.
    ///
    /// # Errors
    /// When the architecture is not valid, or candle fails.
    fn build(&self, inputs: usize, outputs: usize, vb: VarBuilder<'static>) -> CandleResult<Self::Network>;
}

/// A multi-layer perceptron: dense layers with ReLU between them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mlp {
    hidden: Vec<usize>,
}

impl Mlp {
    /// A perceptron with hidden layers of these widths: `&[10]` is inputs → 10 → ReLU → outputs.
    #[must_use]
    pub fn new(hidden: &[usize]) -> Self {
        Self { hidden: hidden.to_vec() }
    }
}

impl Architecture for Mlp {
    type Network = Sequential;

    fn build(&self, inputs: usize, outputs: usize, vb: VarBuilder<'_>) -> CandleResult<Sequential> {
        if let Some(layer) = self.hidden.iter().position(|width| *width == 0) {
            candle_core::bail!("the width of hidden layer {layer} must be at least 1, but is 0")
        }
        let (mut network, mut width) = (seq(), inputs);
        for (layer, units) in self.hidden.iter().enumerate() {
            network = network.add(linear(width, *units, vb.pp(layer))?).add(Activation::Relu);
            width = *units;
        }
        Ok(network.add(linear(width, outputs, vb.pp(self.hidden.len()))?))
    }
}

/// A neural network as meta-learner: the crate's [`Trainer`] fits it on the meta-features, while the members
/// stay as they are.
///
/// ```text
/// minimise Σ_i w_i loss(net(x_i), y_i)    by default cross-entropy for classes, the squared error for regression
/// ```
///
/// The network maps `(B, F)` meta-features to `(B, C)` logits or values, in f32. For regression the
/// meta-features and the targets are standardised first. Rows of weight 0 are not learned from.
///
/// Use it when the best combination is not linear in the meta-features and there are thousands of held-out
/// rows, for example with [`pass_through`](crate::combine::stack::Stack::pass_through). With fewer rows
/// [`Logistic`](crate::combine::stack::Logistic) or [`Ridge`](crate::combine::stack::Ridge) overfits less,
/// and both find the exact optimum. The cost is that of training the network: epochs × rows.
///
/// # Errors
/// Fitting fails when a setting is out of range, when the network cannot be built, when all held-out rows
/// have the same class, and when training diverges.
///
/// ```
/// # use candle_core::{Device, Tensor};
/// # use candle_ensemble::{combine::{stack::{Mlp, NeuralNetwork, Stack}, Combiner, FittedCombiner}, data::Task, predictions::Predictions, HeldOut};
/// # let p = Tensor::arange(0f32, 40., &Device::Cpu)?.affine(0.02, 0.1)?;
/// # let predictions = Predictions::new(Tensor::stack(&[(1. - &p)?, p], 1)?.unsqueeze(0)?, Task::Classification { classes: 2 })?;
/// # let held_out = HeldOut::from_predictions(&predictions, &Tensor::from_iter((0..40u32).map(|i| i / 20), &Device::Cpu)?)?;
/// let learner = NeuralNetwork::new(Mlp::new(&[10])).epochs(200).seed(1);
/// let fitted = Stack::new(learner).fit(&held_out)?;
/// assert_eq!(fitted.combine(&predictions)?.dims(), [40, 2]);
/// # Ok::<(), candle_ensemble::Error>(())
/// ```
///
/// Source: Wolpert 1992, doi:10.1016/S0893-6080(05)80023-1.
#[derive(Clone, Debug)]
pub struct NeuralNetwork<A> {
    architecture: A,
    epochs: usize,
    batch_size: usize,
    optimizer: Optimizer,
    loss: Option<Loss>,
    init: InitScheme,
    seed: Option<Seed>,
}

impl<A: Architecture> NeuralNetwork<A> {
    /// A network of this architecture, trained for 300 epochs with batches of 32 rows and Adam at a learning
    /// rate of 1e-3.
    pub fn new(architecture: A) -> Self {
        Self {
            architecture,
            epochs: 300,
            batch_size: 32,
            optimizer: Optimizer::adam(1e-3),
            loss: None,
            init: InitScheme::default(),
            seed: None,
        }
    }

    /// The number of epochs, that is of passes over the held-out rows; 300 by default.
    #[must_use]
    pub fn epochs(mut self, epochs: usize) -> Self {
        self.epochs = epochs;
        self
    }

    /// The number of rows in a batch; 32 by default.
    #[must_use]
    pub fn batch_size(mut self, rows: usize) -> Self {
        self.batch_size = rows;
        self
    }

    /// The optimizer; Adam at a learning rate of 1e-3 by default.
    #[must_use]
    pub fn optimizer(mut self, optimizer: impl Into<Optimizer>) -> Self {
        self.optimizer = optimizer.into();
        self
    }

    /// The loss; by default cross-entropy for classes and the squared error for regression.
    #[must_use]
    pub fn loss(mut self, loss: Loss) -> Self {
        self.loss = Some(loss);
        self
    }

    /// The initialisation of the weights; by default the one that the layers declare.
    #[must_use]
    pub fn init(mut self, init: InitScheme) -> Self {
        self.init = init;
        self
    }

    /// The seed of the initial weights and of the order of the rows; by default the seed of the held-out
    /// predictions ([`HeldOut::seed`](crate::HeldOut::seed)).
    #[must_use]
    pub fn seed(mut self, seed: impl Into<Seed>) -> Self {
        self.seed = Some(seed.into());
        self
    }
}

/// A fitted [`NeuralNetwork`]: the architecture, the weights and the network itself.
pub struct NeuralNetworkModel<A: Architecture> {
    saved: SavedModel<A>,
    network: Arc<A::Network>,
}

/// The serialized form of a model.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct SavedModel<A> {
    architecture: A,
    task: Task,
    inputs: usize,
    /// For regression the mean and the standard deviation of each meta-feature, and then of each output.
    scales: Vec<(f64, f64)>,
    fit: Fit,
    /// The weights as a safetensors file.
    weights: Vec<u8>,
}

impl<A: Architecture> SavedModel<A> {
    /// Builds the network. The bytes of the weights may be of any origin.
    fn build(self) -> CandleResult<NeuralNetworkModel<A>> {
        let outputs = self.task.width();
        let scales = match self.task {
            Task::Classification { .. } => 0,
            Task::Regression { .. } => self.inputs.saturating_add(outputs),
        };
        if self.scales.len() != scales {
            candle_core::bail!(
                "a network with {} inputs and {outputs} outputs must have {scales} scales, but has {}",
                self.inputs,
                self.scales.len()
            )
        }
        let weights = read_weights(&self.weights)?;
        // Variables are looked up by name and shape, so no more is allocated than the tensors there are.
        let vb = VarBuilder::from_tensors(weights, DType::F32, &Device::Cpu);
        let network = self.architecture.build(self.inputs, outputs, vb)?;
        Ok(NeuralNetworkModel { saved: self, network: Arc::new(network) })
    }
}

impl<A: Architecture> NeuralNetworkModel<A> {
    /// The network, on the CPU.
    #[must_use]
    pub fn network(&self) -> &A::Network {
        &self.network
    }

    /// The means or the standard deviations of some columns, as f32.
    fn scale(&self, columns: Range<usize>, part: fn(&(f64, f64)) -> f64) -> CandleResult<Tensor> {
        let scales = self.saved.scales.get(columns).unwrap_or_default();
        let scales: Vec<f64> = scales.iter().map(part).collect();
        Tensor::new(scales, &Device::Cpu)?.to_dtype(DType::F32)
    }
}

impl<A: Architecture> MetaModel for NeuralNetworkModel<A> {
    fn name(&self) -> String {
        "network".into()
    }

    fn fitted(&self) -> Option<&Fit> {
        Some(&self.saved.fit)
    }

    fn check(&self, features: usize, task: Task) -> Result<()> {
        let SavedModel { task: own_task, inputs, .. } = self.saved;
        match (inputs, own_task) {
            own if own == (features, task) => Ok(()),
            (inputs, own_task) => {
                let got = format!("for {inputs} meta-features and {own_task:?}");
                Err(Error::invalid("the network", format!("for {features} meta-features and {task:?}"), got))
            }
        }
    }

    fn predict(&self, features: &Tensor) -> CandleResult<Tensor> {
        let SavedModel { task, inputs, .. } = self.saved;
        if features.dim(1)? != inputs {
            candle_core::bail!("the network was fitted on {inputs} meta-features, not {}", features.dim(1)?)
        }
        let (device, dtype) = (features.device(), features.dtype());
        let features = features.to_device(&Device::Cpu)?;
        let run = |x: Tensor| self.network.run(&Inputs::from(x), false);
        let predicted = match task {
            Task::Classification { .. } => {
                let logits = run(features.to_dtype(DType::F32)?)?;
                Output::Logits.prediction(&logits, task, Scale::Probability)?.to_dtype(dtype)?
            }
            Task::Regression { outputs } => {
                let mean = |columns| self.scale(columns, |scale| scale.0)?.to_dtype(dtype);
                let deviation = |columns| self.scale(columns, |scale| scale.1)?.to_dtype(dtype);
                let targets = inputs..inputs + outputs;
                let x = features.broadcast_sub(&mean(0..inputs)?)?;
                let x = x.broadcast_div(&deviation(0..inputs)?)?;
                let y =
                    Output::Logits.prediction(&run(x.to_dtype(DType::F32)?)?, task, Scale::Probability)?;
                let y = y.to_dtype(dtype)?.broadcast_mul(&deviation(targets.clone())?)?;
                y.broadcast_add(&mean(targets)?)?
            }
        };
        predicted.to_device(device)
    }
}

impl<A: Architecture> MetaLearner for NeuralNetwork<A> {
    type Model = NeuralNetworkModel<A>;

    fn fit(&self, dataset: &MetaDataset<'_>) -> Result<NeuralNetworkModel<A>> {
        let (task, weights) = (dataset.task(), dataset.weights()?);
        let inputs = dataset.features().dim(1)?;
        let x = dataset.features().to_device(&Device::Cpu)?;
        let mut scales = vec![];
        let data = match task {
            Task::Classification { classes } => {
                let y = dataset.targets().to_device(&Device::Cpu)?;
                labelled(x.to_dtype(DType::F32)?, &y, classes)?
            }
            Task::Regression { outputs } => {
                let rows = x.dim(0)?;
                let y = dataset.targets().to_device(&Device::Cpu)?.reshape((rows, outputs))?;
                let (x, feature_scales) = standardise(&x, &weights)?;
                let (y, target_scales) = standardise(&y, &weights)?;
                scales = [feature_scales, target_scales].concat();
                TensorDataset::regression(x, &y)?
            }
        };
        let data = data.with_weights(weights.iter().map(|w| *w as f32).collect())?;
        let architecture = self.architecture.clone();
        let outputs = task.width();
        let mut trainer = Trainer::new(move |vb| architecture.build(inputs, outputs, vb))
            .epochs(self.epochs)
            .batch_size(self.batch_size)
            .init(self.init.clone())
            .optimizer(self.optimizer.clone());
        if let Some(loss) = self.loss {
            trainer = trainer.loss(loss);
        }
        let seed = self.seed.unwrap_or_else(|| dataset.seed()).child("network-stack");
        let rows = 0..data.rows() as u32;
        let run = RunSpec::new(0, "model", seed.nth("run", 0), rows);
        let (weights, curve) = train_alone(&trainer, &data, &run, &Device::Cpu)?;
        let objective = curve.last().map_or(f64::NAN, |epoch| epoch.train_loss);
        let fit = Fit { objective, iterations: self.epochs, gap: None };
        let weights = safetensors::serialize(&weights, None)
            .map_err(|e| Error::invalid("the network's weights", "serializable", e))?;
        let saved =
            SavedModel { architecture: self.architecture.clone(), task, inputs, scales, fit, weights };
        Ok(saved.build()?)
    }
}

/// The tensors of a safetensors file of any origin. (candle's own reader adds and multiplies offsets and
/// shapes without a check for overflow.)
fn read_weights(bytes: &[u8]) -> CandleResult<HashMap<String, Tensor>> {
    let contents = tensors::contents(bytes)
        .map_err(|fault| candle_core::Error::Msg(fault.of("the network's weights").to_string()))?;
    let tensor = |(name, info): (String, TensorInfo)| {
        let dtype = match info.dtype {
            Dtype::U8 | Dtype::U32 | Dtype::I64 | Dtype::BF16 | Dtype::F16 | Dtype::F32 | Dtype::F64 => {
                DType::try_from(info.dtype)?
            }
            other => candle_core::bail!(
                "the type of weight {name} must be one that candle computes with, but is {other:?}"
            ),
        };
        let (start, end) = info.data_offsets;
        Ok((name, Tensor::from_raw_buffer(&bytes[start..end], dtype, &info.shape, &Device::Cpu)?))
    };
    contents.into_iter().map(tensor).collect()
}

/// A data set for `classes` classes, of which only some may occur.
fn labelled(x: Tensor, y: &Tensor, classes: usize) -> Result<TensorDataset> {
    let ids: Vec<u32> = y.to_vec1()?;
    match ids.first() {
        Some(first) if ids.iter().all(|id| id == first) => {
            let must = "two or more for a neural network";
            Err(Error::invalid("the classes of the held-out rows", must, format!("only {first}")))
        }
        _ => TensorDataset::classification(x, y)?.with_classes(classes),
    }
}

/// The columns minus their mean, divided by their standard deviation (1 for a constant column), as f32; and
/// the mean and the standard deviation of each.
fn standardise(table: &Tensor, weights: &[f64]) -> Result<(Tensor, Vec<(f64, f64)>)> {
    let table = table.to_dtype(DType::F64)?;
    let weights = Tensor::new(weights, &Device::Cpu)?.unsqueeze(1)?;
    let total = weights.sum_all()?.to_scalar::<f64>()?;
    let mean_of = |t: &Tensor| t.broadcast_mul(&weights)?.sum_keepdim(0)? / total;
    let mean = mean_of(&table)?;
    let centred = table.broadcast_sub(&mean)?;
    let deviations: Vec<f64> = mean_of(&centred.sqr()?)?.sqrt()?.flatten_all()?.to_vec1()?;
    let means: Vec<f64> = mean.flatten_all()?.to_vec1()?;
    let scale = |(mean, d): (f64, f64)| (mean, if d > 1e-9 * mean.abs() { d } else { 1. });
    let scales: Vec<(f64, f64)> = means.into_iter().zip(deviations).map(scale).collect();
    let divisors = Tensor::from_iter(scales.iter().map(|scale| scale.1), &Device::Cpu)?;
    Ok((centred.broadcast_div(&divisors)?.to_dtype(DType::F32)?, scales))
}

impl<A: Architecture> Clone for NeuralNetworkModel<A> {
    fn clone(&self) -> Self {
        Self { saved: self.saved.clone(), network: self.network.clone() }
    }
}

impl<A: Architecture> fmt::Debug for NeuralNetworkModel<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NeuralNetworkModel")
            .field("architecture", &self.saved.architecture)
            .finish_non_exhaustive()
    }
}

/// Two models are equal if their serialized forms are.
impl<A: Architecture + PartialEq> PartialEq for NeuralNetworkModel<A> {
    fn eq(&self, other: &Self) -> bool {
        let (a, b) = (&self.saved, &other.saved);
        a.architecture == b.architecture
            && (a.task, a.inputs, &a.scales, &a.fit, &a.weights)
                == (b.task, b.inputs, &b.scales, &b.fit, &b.weights)
    }
}

impl<A: Architecture + Serialize> Serialize for NeuralNetworkModel<A> {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        self.saved.serialize(s)
    }
}

impl<'de, A: Architecture + DeserializeOwned> Deserialize<'de> for NeuralNetworkModel<A> {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        SavedModel::deserialize(d)?.build().map_err(serde::de::Error::custom)
    }
}
