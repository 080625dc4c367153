//! The loss of a network before its first step.
use super::{constant::Constant, table::spaced};
use crate::{
    codec::real,
    data::{positions::FlatTargets, Batch, Dataset, FittedScalings, Inputs},
    network::{positions::Layout, MemberBatches},
    nn::seeded_pass,
    plan::RunSpec,
    predictions::passes::{Passes, Source},
    train::{Learner, Trainer},
    weights::fresh,
    Network, Result,
};
use candle_core::{DType, Device, Result as CResult, Tensor};
use serde::{Deserialize, Serialize};

/// The rows that the loss is measured on, at most.
const ROWS: usize = 512;

/// The loss of a network with its initial weights, and what it should be.
///
/// An untrained network knows nothing, so its loss is near that of outputs that are the same for every row: `ln C` for
/// cross-entropy and `C` balanced classes, and the variance of the targets for the squared error. A loss far above it
/// means that the outputs are too large, because of the initial weights or of inputs or targets that are not scaled. A
/// loss far below it means that the network knows something already.
///
/// It is measured in training mode on at most 512 training rows, scaled as in training, without noise. Of rows with several
/// positions, it is the loss of all their positions that have a class, and there may be fewer rows. Of a network that holds
/// several members, it is the loss of the first one.
///
/// ```
/// use candle_core::{Device, Tensor};
/// use candle_ensemble::{data::TensorDataset, diagnose::FirstLoss, plan::RunSpec, train::Trainer, weights::InitScheme, Seed};
///
/// let x = Tensor::arange(0f32, 40., &Device::Cpu)?.affine(0.05, -1.)?.reshape((20, 2))?;
/// let y = Tensor::from_iter((0..20u32).map(|i| i / 10), &Device::Cpu)?;
/// let data = TensorDataset::classification(&x, &y)?;
/// let trainer = Trainer::new(|vb| candle_nn::linear(2, 2, vb)).init(InitScheme::parse("constant:0")?);
/// let run = RunSpec::new(0, "model", Seed::from(1), 0..20);
/// let first = FirstLoss::of(&trainer, &data, &run, &Device::Cpu)?;
/// assert!((first.loss - 2f64.ln()).abs() < 1e-6); // a network whose weights are all zero knows nothing
/// # Ok::<(), candle_ensemble::Error>(())
/// ```
///
/// Source: Karpathy 2019, "A Recipe for Training Neural Networks" (verify loss at init).
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct FirstLoss {
    /// The loss of the network; NaN or infinite where that is what it gives.
    #[serde(with = "real")]
    pub loss: f64,
    /// The loss of the best constant output, as far as it is known for the loss.
    #[serde(with = "real::option")]
    pub constant: Option<f64>,
    /// The loss of outputs of 0, where the loss is defined for them.
    #[serde(with = "real::option")]
    pub zero: Option<f64>,
    /// The root of the mean square of the outputs.
    #[serde(with = "real")]
    pub output_size: f64,
    /// The number of rows.
    pub rows: usize,
    /// Whether the network starts from the weights of another one, so that it may know something.
    pub warm_start: bool,
}

impl FirstLoss {
    /// Measures the loss of the network of a run, with its architecture, seed, features and settings.
    ///
    /// # Errors
    /// When the trainer cannot carry out the run, the data cannot be read, or the loss is not defined for the outputs.
    pub fn of<N: Network>(
        trainer: &Trainer<N>,
        data: &dyn Dataset,
        run: &RunSpec,
        device: &Device,
    ) -> Result<Self> {
        Learner::check(trainer, run, data)?;
        let config = trainer.config().for_run(&run.settings)?;
        let features = run.features.as_deref();
        let (inputs, targets) = (config.input_scaling.as_ref(), config.target_scaling.as_ref());
        let train = run.train.to_vec()?;
        let scalings = FittedScalings::fit(data, &train, features, inputs, targets)?;
        let kind = (data.task(), data.positions());
        let most = Passes::new(Source::Rows(data, &train), ROWS, device).limited(kind).size;
        let rows = spaced(&train, most);
        let batch = data.batch(&rows, device)?;
        let inputs = scalings.scale_inputs(&batch.inputs.columns(features)?)?;
        let targets = scalings.scale_targets(&batch.targets)?;

        let scheme = Learner::init(trainer, &run.settings)?;
        let (_, vb) = fresh(run.seed.child("init"), scheme, Learner::dtype(trainer), device);
        let network = trainer.build(&run.architecture, &run.settings, vb)?;
        let output = seeded_pass(run.seed.child("pass"), || first_member(&network, &inputs))?.detach();
        let seen = Batch { inputs, targets, weights: batch.weights };
        let (seen, flat) = FlatTargets::flattened(seen, data.positions())?;
        let output = match &flat {
            Some(flat) => Layout::flat_output(&output, kind, flat)?,
            None => output,
        };
        let (value, constant) = match trainer.custom().mean(&config, &output, &seen) {
            // A loss of the user need not be defined for outputs that are the same for every row.
            Some(value) => (value?, Constant { of_zero: None, best: None }),
            None => {
                let loss = config.loss_for(data.task(), Learner::output(trainer), &output);
                let weights = seen.weights.as_ref();
                let constant = Constant::of(loss, data.task(), output.dims(), &seen.targets, weights)?;
                (loss.mean(&output, &seen.targets, weights)?, constant)
            }
        };
        let value = value.to_dtype(DType::F64)?.to_scalar()?;
        let squares = output.to_dtype(DType::F64)?.sqr()?.mean_all()?.to_scalar::<f64>()?;
        Ok(Self {
            loss: value,
            constant: constant.best,
            zero: constant.of_zero,
            output_size: squares.sqrt(),
            rows: rows.len(),
            warm_start: trainer.starts_warm(),
        })
    }
}

/// The output of the first member in training mode.
fn first_member<N: Network>(network: &N, inputs: &Inputs) -> CResult<Tensor> {
    let members = network.members();
    let repeated = |input: &Tensor| Tensor::cat(&vec![input; members.count], 0);
    let output = match members.batches {
        MemberBatches::Single => return network.run(inputs, true),
        MemberBatches::Shared => network.run(inputs, true)?,
        MemberBatches::Own { .. } => {
            let inputs = inputs.tensors().iter().map(repeated).collect::<CResult<Vec<_>>>()?;
            network.run(&inputs.into(), true)?
        }
    };
    output.narrow(0, 0, inputs.rows())
}
