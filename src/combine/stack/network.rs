//! A network as meta-learner, trained with the members frozen.
use crate::{
    combine::{
        stack::{MetaDataset, MetaLearner, MetaModel},
        Fit,
    },
    data::{Dataset, Inputs, Task, TensorDataset},
    network::{Output, Scale},
    plan::RunSpec,
    train::{train_alone, Loss, Optimizer, Trainer},
    weights::InitScheme,
    Error, Network as Net, Result, Seed,
};
use candle_core::{DType, Device, Result as CandleResult, Tensor};
use candle_nn::{linear, Activation, Sequential, VarBuilder};
use serde::{de::DeserializeOwned, Deserialize, Deserializer, Serialize, Serializer};
use std::{collections::HashMap, fmt, sync::Arc};

/// A network that can be built again from data: what a saved fitted with a network in it needs.
///
/// ```
/// use candle_core::Result;
/// use candle_ensemble::combine::stack::{Architecture, NeuralNetwork};
/// use candle_nn::{linear, VarBuilder};
///
/// /// One layer.
/// #[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
/// struct Flat;
/// impl Architecture for Flat {
///     type Network = candle_nn::Linear;
///     fn build(&self, inputs: usize, outputs: usize, vb: VarBuilder<'_>) -> Result<candle_nn::Linear> {
///         linear(inputs, outputs, vb)
///     }
/// }
///
/// let learner = NeuralNetwork::new(Flat).epochs(100);
/// ```
pub trait Architecture: Clone + fmt::Debug + Send + Sync + 'static {
    /// The network; f32 in, f32 out.
    type Network: Net;

    /// Builds it for `(B, inputs)` meta-features and `(B, outputs)` logits or values.
    ///
    /// # Errors
    /// candle's.
    fn build(&self, inputs: usize, outputs: usize, vb: VarBuilder<'_>) -> CandleResult<Self::Network>;
}

/// Dense layers of these widths with relu between them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mlp {
    hidden: Vec<usize>,
}

impl Mlp {
    /// `&[10]` is inputs → 10 → relu → outputs.
    #[must_use]
    pub fn new(hidden: &[usize]) -> Self {
        Self { hidden: hidden.to_vec() }
    }
}

impl Architecture for Mlp {
    type Network = Sequential;

    fn build(&self, inputs: usize, outputs: usize, vb: VarBuilder<'_>) -> CandleResult<Sequential> {
        if let Some(layer) = self.hidden.iter().position(|width| *width == 0) {
            candle_core::bail!("hidden layer {layer} must be at least one unit wide")
        }
        let (mut net, mut from) = (candle_nn::seq(), inputs);
        for (layer, to) in self.hidden.iter().enumerate() {
            net = net.add(linear(from, *to, vb.pp(layer))?).add(Activation::Relu);
            from = *to;
        }
        Ok(net.add(linear(from, outputs, vb.pp(self.hidden.len()))?))
    }
}

/// A network trained on the meta-features with the members frozen ("integrated stacking"), by the crate's own
/// [`Trainer`]. For values, meta-features and answers are standardised first.
///
/// Source: Wolpert 1992, doi:10.1016/S0893-6080(05)80023-1.
///
/// ```
/// # use candle_core::{Device, Tensor};
/// # use candle_ensemble::{combine::{stack::{Mlp, NeuralNetwork, Stack}, Combiner, FittedCombiner}, data::Task, predictions::Predictions, HeldOut};
/// # let p = Tensor::arange(0f32, 40., &Device::Cpu)?.affine(0.02, 0.1)?;
/// # let predictions = Predictions::new(Tensor::stack(&[(1. - &p)?, p], 1)?.unsqueeze(0)?, Task::Classification { classes: 2 })?;
/// # let held_out = HeldOut::from_predictions(&predictions, &Tensor::from_iter((0..40u32).map(|i| i / 20), &Device::Cpu)?)?;
/// let learner = NeuralNetwork::new(Mlp::new(&[10])).epochs(200).seed(1.into());
/// let fitted = Stack::new(learner).fit(&held_out)?;
/// assert_eq!(fitted.combine(&predictions)?.dims(), [40, 2]);
/// # Ok::<(), candle_ensemble::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct NeuralNetwork<A> {
    architecture: A,
    epochs: usize,
    batch_size: usize,
    optimizer: Optimizer,
    loss: Option<Loss>,
    init: InitScheme,
    seed: Seed,
}

impl<A: Architecture> NeuralNetwork<A> {
    /// 300 epochs of batches of 32 rows by Adam at 1e-3, seed 0.
    pub fn new(architecture: A) -> Self {
        let (optimizer, seed) = (Optimizer::adam(1e-3), Seed::from(0));
        Self {
            architecture,
            epochs: 300,
            batch_size: 32,
            optimizer,
            loss: None,
            init: InitScheme::default(),
            seed,
        }
    }

    /// Passes over the held-out rows.
    #[must_use]
    pub fn epochs(mut self, epochs: usize) -> Self {
        self.epochs = epochs;
        self
    }

    /// Rows a step.
    #[must_use]
    pub fn batch_size(mut self, rows: usize) -> Self {
        self.batch_size = rows;
        self
    }

    /// How gradients become updates.
    #[must_use]
    pub fn optimizer(mut self, optimizer: impl Into<Optimizer>) -> Self {
        self.optimizer = optimizer.into();
        self
    }

    /// What is minimised; cross-entropy or the mean squared error, if not set.
    #[must_use]
    pub fn loss(mut self, loss: Loss) -> Self {
        self.loss = Some(loss);
        self
    }

    /// How initial weights are drawn; as the network declares, if not set.
    #[must_use]
    pub fn init(mut self, init: InitScheme) -> Self {
        self.init = init;
        self
    }

    /// Of the initial weights and the order of rows.
    #[must_use]
    pub fn seed(mut self, seed: Seed) -> Self {
        self.seed = seed;
        self
    }
}

/// A [`Network`], fitted: the architecture, its weights and the live network.
pub struct NetworkModel<A: Architecture> {
    saved: SavedModel<A>,
    live: Arc<A::Network>,
}

/// What is written of it.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct SavedModel<A> {
    architecture: A,
    task: Task,
    inputs: usize,
    /// For values: mean and deviation of each meta-feature, then of each output.
    units: Vec<(f64, f64)>,
    fit: Fit,
    /// A safetensors buffer.
    weights: Vec<u8>,
}

impl<A: Architecture> SavedModel<A> {
    fn live(self) -> CandleResult<NetworkModel<A>> {
        let outputs = self.task.width();
        let units = match self.task {
            Task::Classification { .. } => 0,
            Task::Regression { .. } => self.inputs.saturating_add(outputs),
        };
        if self.units.len() != units {
            candle_core::bail!("a network for {} features and {outputs} outputs has other units", self.inputs)
        }
        let weights: HashMap<String, Tensor> =
            candle_core::safetensors::load_buffer(&self.weights, &Device::Cpu)?;
        // The architecture says what shapes it wants, and may be anyone's: it cannot ask for more than there is.
        let vb = VarBuilder::from_tensors(weights, DType::F32, &Device::Cpu);
        let live = self.architecture.build(self.inputs, outputs, vb)?;
        Ok(NetworkModel { saved: self, live: Arc::new(live) })
    }
}

impl<A: Architecture> NetworkModel<A> {
    /// The live network, on the CPU.
    #[must_use]
    pub fn network(&self) -> &A::Network {
        &self.live
    }

    fn column(&self, range: std::ops::Range<usize>, of: fn(&(f64, f64)) -> f64) -> CandleResult<Tensor> {
        let units = self.saved.units.get(range).unwrap_or_default();
        Tensor::new(units.iter().map(of).collect::<Vec<_>>().as_slice(), &Device::Cpu)?.to_dtype(DType::F32)
    }
}

impl<A: Architecture> MetaModel for NetworkModel<A> {
    fn name(&self) -> String {
        "network".into()
    }

    fn fitted(&self) -> Option<&Fit> {
        Some(&self.saved.fit)
    }

    fn predict(&self, features: &Tensor) -> CandleResult<Tensor> {
        let SavedModel { task, inputs, .. } = self.saved;
        if features.dim(1)? != inputs {
            candle_core::bail!("the network was fitted on {inputs} meta-features, not {}", features.dim(1)?)
        }
        let (device, dtype) = (features.device(), features.dtype());
        let here = features.to_device(&Device::Cpu)?;
        let run = |x: Tensor| self.live.run(&Inputs::from(x), false);
        let predicted = match task {
            Task::Classification { .. } => {
                let logits = run(here.to_dtype(DType::F32)?)?;
                Output::Logits.prediction(&logits, task, Scale::Probability)?.to_dtype(dtype)?
            }
            Task::Regression { outputs } => {
                let unit = |range, of| self.column(range, of)?.to_dtype(dtype);
                let last = inputs..inputs + outputs;
                let x = here.broadcast_sub(&unit(0..inputs, |u| u.0)?)?;
                let x = x.broadcast_div(&unit(0..inputs, |u| u.1)?)?;
                let y =
                    Output::Logits.prediction(&run(x.to_dtype(DType::F32)?)?, task, Scale::Probability)?;
                let y = y.to_dtype(dtype)?.broadcast_mul(&unit(last.clone(), |u| u.1)?)?;
                y.broadcast_add(&unit(last, |u| u.0)?)?
            }
        };
        predicted.to_device(device)
    }
}

impl<A: Architecture> MetaLearner for NeuralNetwork<A> {
    type Model = NetworkModel<A>;

    fn fit(&self, dataset: &MetaDataset<'_>) -> Result<NetworkModel<A>> {
        let (task, weights) = (dataset.task(), dataset.weights()?);
        let inputs = dataset.features().dim(1)?;
        let x = dataset.features().to_device(&Device::Cpu)?;
        let mut units = vec![];
        let data = match task {
            Task::Classification { classes } => {
                let y = dataset.targets().to_device(&Device::Cpu)?;
                labelled(x.to_dtype(DType::F32)?, &y, classes)?
            }
            Task::Regression { outputs } => {
                let rows = x.dim(0)?;
                let y = dataset.targets().to_device(&Device::Cpu)?.reshape((rows, outputs))?;
                let (x, of_x) = standardised(&x, &weights)?;
                let (y, of_y) = standardised(&y, &weights)?;
                units = [of_x, of_y].concat();
                TensorDataset::regression(x, &y)?
            }
        };
        let data = data.with_weights(weights.iter().map(|w| *w as f32).collect())?;
        let architecture = self.architecture.clone();
        let outputs = task.width();
        let mut trainer = Trainer::new(move |vb| architecture.build(inputs, outputs, vb))
            .epochs(self.epochs)
            .batch_size(self.batch_size)
            .init(self.init)
            .optimizer(self.optimizer.clone());
        if let Some(loss) = self.loss {
            trainer = trainer.loss(loss);
        }
        let seed = self.seed.child("network-stack");
        let rows = (0..data.rows() as u32).collect();
        let run = RunSpec::new(0, "model", seed.nth("run", 0), rows);
        let (weights, curve) = train_alone(&trainer, &data, &run, &Device::Cpu)?;
        let objective = curve.last().map_or(f64::NAN, |epoch| epoch.train_loss);
        let fit = Fit { objective, iterations: self.epochs as u64, gap: None };
        let weights = safetensors::serialize(&weights, None)
            .map_err(|e| Error::invalid("the network's weights", "serializable", e))?;
        Ok(SavedModel { architecture: self.architecture.clone(), task, inputs, units, fit, weights }
            .live()?)
    }
}

/// A data set of so many classes, of which only some may occur.
fn labelled(x: Tensor, y: &Tensor, classes: usize) -> Result<TensorDataset> {
    let ids: Vec<u32> = y.to_vec1()?;
    match ids.first() {
        Some(first) if ids.iter().all(|id| id == first) => {
            let must = "of at least two classes for a network";
            Err(Error::invalid("the held-out rows", must, format!("all of class {first}")))
        }
        _ => TensorDataset::classification(x, y)?.with_classes(classes),
    }
}

/// Columns less their mean, over their deviation (1 for a constant), as f32; and the two of each.
fn standardised(table: &Tensor, weights: &[f64]) -> Result<(Tensor, Vec<(f64, f64)>)> {
    let table = table.to_dtype(DType::F64)?;
    let weights = Tensor::new(weights, &Device::Cpu)?.unsqueeze(1)?;
    let total = weights.sum_all()?.to_scalar::<f64>()?;
    let mean_of = |t: &Tensor| t.broadcast_mul(&weights)?.sum_keepdim(0)? / total;
    let mean = mean_of(&table)?;
    let about = table.broadcast_sub(&mean)?;
    let deviations: Vec<f64> = mean_of(&about.sqr()?)?.sqrt()?.flatten_all()?.to_vec1()?;
    let means: Vec<f64> = mean.flatten_all()?.to_vec1()?;
    let unit = |(m, d): (f64, f64)| (m, if d > 1e-9 * m.abs() { d } else { 1. });
    let units: Vec<(f64, f64)> = means.into_iter().zip(deviations).map(unit).collect();
    let scale = Tensor::from_iter(units.iter().map(|u| u.1), &Device::Cpu)?;
    Ok((about.broadcast_div(&scale)?.to_dtype(DType::F32)?, units))
}

impl<A: Architecture> Clone for NetworkModel<A> {
    fn clone(&self) -> Self {
        Self { saved: self.saved.clone(), live: self.live.clone() }
    }
}

impl<A: Architecture> fmt::Debug for NetworkModel<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NetworkModel").field("architecture", &self.saved.architecture).finish_non_exhaustive()
    }
}

/// By what would be written.
impl<A: Architecture + PartialEq> PartialEq for NetworkModel<A> {
    fn eq(&self, other: &Self) -> bool {
        let (a, b) = (&self.saved, &other.saved);
        a.architecture == b.architecture
            && (a.task, a.inputs, &a.units, &a.fit, &a.weights)
                == (b.task, b.inputs, &b.units, &b.fit, &b.weights)
    }
}

impl<A: Architecture + Serialize> Serialize for NetworkModel<A> {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        self.saved.serialize(s)
    }
}

impl<'de, A: Architecture + DeserializeOwned> Deserialize<'de> for NetworkModel<A> {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        SavedModel::deserialize(d)?.live().map_err(serde::de::Error::custom)
    }
}
