//! A multi-layer perceptron whose widths, activation function and dropout are settings of the run.
use super::args::{NetworkArgs, OptimizerName};
use candle_core::{Error as CandleError, Result as CandleResult};
use candle_ensemble::{
    data::Task,
    nn::{seq, Activation, BatchNorm, BatchNormConfig, Dropout, Sequential},
    plan::{Settings, Value},
    train::{Adam, Optimizer, Sgd, Trainer},
    weights::InitScheme,
    AnyNetwork, Error, Result,
};
use candle_nn::{linear, VarBuilder};

/// The settings that the network reads.
const READS: [&str; 5] = ["activation", "batch_norm", "dropout", "hidden", "inputs"];

/// The trainer of a network for inputs of these columns. The flags give what a run's settings do not.
pub fn trainer(args: &NetworkArgs, columns: usize, task: Task) -> Result<Trainer<AnyNetwork>> {
    Ok(perceptron(columns, task, args.architecture())
        .epochs(args.epochs)
        .batch_size(args.batch)
        .optimizer(args.optimizer())
        .init(args.initial()?))
}

/// A trainer of a multi-layer perceptron, or of one network of many members that is made of it. `usual` has the settings of the
/// network that a run does not have.
pub fn perceptron(columns: usize, task: Task, usual: Settings) -> Trainer<AnyNetwork> {
    let outputs = outputs(task);
    let version = format!("{columns} columns, {outputs} outputs, {usual:?}");
    let new = move |settings: &Settings, vb: VarBuilder<'static>| {
        let settings = usual.clone().with_all(settings.iter());
        // Strategies that draw features set the number of inputs.
        let columns = settings.count("inputs").map_err(failed)?.unwrap_or(columns);
        dense(seq(), columns, outputs, &settings, vb)
    };
    Trainer::convertible(&READS, new).version(version)
}

/// The outputs that a network needs.
pub fn outputs(task: Task) -> usize {
    match task {
        Task::Classification { classes } => classes,
        Task::Regression { outputs } => outputs,
    }
}

/// An error of a setting, as a constructor returns it.
pub fn failed(e: Error) -> CandleError {
    CandleError::Msg(e.to_string())
}

/// Adds fully connected layers, `layer0`, `layer1`, … .
pub fn dense(
    mut network: Sequential,
    mut width: usize,
    outputs: usize,
    settings: &Settings,
    vb: VarBuilder<'static>,
) -> CandleResult<Sequential> {
    let activation = activation(settings)?;
    let dropout = settings.real("dropout").map_err(failed)?.unwrap_or(0.);
    let batch_norm = settings.flag("batch_norm").map_err(failed)?.unwrap_or(false);
    let hidden = widths(settings).map_err(failed)?;
    for (i, next) in hidden.iter().enumerate() {
        network = network.add(linear(width, *next, vb.pp(format!("layer{i}")))?);
        if batch_norm {
            network =
                network.add(BatchNorm::new(*next, BatchNormConfig::default(), vb.pp(format!("norm{i}")))?);
        }
        network = network.add(activation);
        if dropout > 0. {
            network = network.add(Dropout::new(dropout, vb.pp(format!("dropout{i}")))?);
        }
        width = *next;
    }
    Ok(network.add(linear(width, outputs, vb.pp(format!("layer{}", hidden.len())))?))
}

/// The activation function of the hidden layers.
pub fn activation(settings: &Settings) -> CandleResult<Activation> {
    let name = settings.text("activation").map_err(failed)?.unwrap_or("relu");
    Activation::registry().parse(name).map_err(failed)
}

/// The widths of the hidden layers: `64,32`, or nothing for a linear model.
fn widths(settings: &Settings) -> Result<Vec<usize>> {
    if let Ok(Some(width)) = settings.count("hidden") {
        return Ok(vec![width]);
    }
    let text = settings.text("hidden")?.unwrap_or_default();
    let width = |text: &str| text.trim().parse().ok().filter(|width| *width > 0);
    let widths: Option<Vec<usize>> = match text.trim() {
        "" | "none" => Some(vec![]),
        text => text.split(',').map(width).collect(),
    };
    let must = "widths of at least 1, separated by commas, such as 64,32, or none";
    widths.ok_or_else(|| Error::invalid("hidden", must, format!("{text:?}")))
}

impl NetworkArgs {
    /// The settings that the network itself reads.
    fn architecture(&self) -> Settings {
        let widths: Vec<_> = self.hidden.iter().map(usize::to_string).collect();
        Settings::new()
            .with("activation", self.activation.as_str())
            .with("hidden", &*if widths.is_empty() { "none".into() } else { widths.join(",") })
    }

    fn optimizer(&self) -> Optimizer {
        match self.optimizer {
            OptimizerName::Adam => {
                Adam::new(self.lr).epsilon(self.epsilon).weight_decay(self.weight_decay).into()
            }
            OptimizerName::Sgd => {
                Sgd::new(self.lr).momentum(self.momentum).weight_decay(self.weight_decay).into()
            }
        }
    }

    fn initial(&self) -> Result<InitScheme> {
        match self.init.as_str() {
            "default" => Ok(InitScheme::AsDeclared),
            init => InitScheme::parse(init),
        }
    }

    /// All that the flags say, as settings of a run.
    pub fn settings(&self) -> Settings {
        let optimizer = match self.optimizer {
            OptimizerName::Adam => {
                format!("adam:{}:epsilon={}:weight-decay={}", self.lr, self.epsilon, self.weight_decay)
            }
            OptimizerName::Sgd => {
                format!("sgd:{}:momentum={}:weight-decay={}", self.lr, self.momentum, self.weight_decay)
            }
        };
        let whole = |n: usize| Value::Int(i64::try_from(n).unwrap_or(i64::MAX));
        let settings = self
            .architecture()
            .with("batch_size", whole(self.batch))
            .with("epochs", whole(self.epochs))
            .with("learning_rate", self.lr)
            .with("optimizer", &*optimizer);
        match self.init.as_str() {
            "default" => settings,
            init => settings.with("init", init),
        }
    }
}
