//! Greedy layer-wise pretraining: a learner that trains one hidden layer after the other.
mod autoencoder;
mod network;
mod pretraining;
mod stages;
#[cfg(test)]
mod tests;

pub use network::GreedyNetwork;
pub use pretraining::{Corruption, Pretraining};

use crate::{
    codec,
    data::Dataset,
    metrics::Metric,
    network::Output,
    plan::{BatchSize, RunSpec, Settings},
    store::checkpoint::LoopState,
    train::{
        fit::check_output,
        trainer::{
            check_scaling, check_soft_targets, check_watched, fit_scaling, Training, NO_CUSTOM, SETTINGS,
        },
        transfer::Freezing,
        EarlyStopping, Freeze, Learner, Loss, Optimizer, Retrain, Run, SharedBuild, TrainConfig,
    },
    weights::InitScheme,
    Error, Network, Result, Rows,
};
use autoencoder::Autoencoder;
use candle_core::{DType, ModuleT, Result as CandleResult};
use candle_nn::VarBuilder;
use network::{build, names_of_layers, LayerConstructor, Part};
use stages::{stages, total, Stage, Step};
use std::{collections::BTreeSet, fmt};

/// Trains a network layer by layer: greedy layer-wise pretraining, with the targets or as autoencoders.
///
/// ```text
/// supervised:   step k trains hidden layer k and the output layer, on top of the layers 1 … k − 1
/// autoencoder:  step k trains hidden layer k to reconstruct its inputs; then all layers train together
/// ```
///
/// The network consists of the hidden layers that are added here, in this order, and an output layer. In the
/// supervised form ([`Pretraining::Supervised`]) the first step trains one hidden layer and the output layer,
/// and each further step puts a fresh hidden layer below the output layer, which keeps its weights. Earlier
/// hidden layers are frozen unless [`Pretraining`] says otherwise. Every step has
/// [`epochs_per_layer`](Self::epochs_per_layer) epochs, a fresh optimizer and the schedule from its start. A
/// run thus has `layers × epochs_per_layer` epochs, and its learning curve is that of one step after the
/// other. In the unsupervised form ([`Pretraining::Autoencoder`]) `epochs_per_layer` are the epochs in which
/// all layers train together at the end.
///
/// The member is the full network, so every strategy and combiner works as with
/// [`Trainer`](crate::train::Trainer). Members may be collected within a run in its last step only, because
/// the network is not complete before; rules that set the learning rate ([`Snapshot`](crate::plan::Snapshot),
/// [`FastGeometric`](crate::plan::FastGeometric)) are refused. Runs resume from their checkpoints.
///
/// Use it where a network is too deep to be trained end to end, above all with saturating units and without
/// normalization. With relu units and He initialization it is no better than training end to end: on a small
/// problem networks of 3 to 10 layers were neither better nor worse than one hidden layer. Autoencoders help,
/// if at all, where there are many more rows without targets than with them.
///
/// Cost: that of training end to end for the same number of epochs, less the backward passes through frozen
/// layers.
///
/// # Errors
/// Parameters are checked when a session trains a plan. A run fails as those of
/// [`Trainer`](crate::train::Trainer) do; and before its first step, if a hidden layer does not have the
/// width that the output layer takes.
///
/// ```
/// use candle_core::{Device, Tensor};
/// use candle_ensemble::{nn::seq, prelude::*, train::GreedyPretraining};
/// use candle_nn::{linear, Activation};
///
/// let x = Tensor::arange(0f32, 40., &Device::Cpu)?.affine(0.05, -1.)?.reshape((20, 2))?;
/// let y = Tensor::from_iter((0..20u32).map(|i| i / 10), &Device::Cpu)?;
/// let data = TensorDataset::classification(&x, &y)?;
///
/// let learner = GreedyPretraining::new(|vb| linear(8, 2, vb))
///     .hidden(|vb| Ok(seq().add(linear(2, 8, vb)?).add(Activation::Relu)))
///     .hidden_layers(2, |vb| Ok(seq().add(linear(8, 8, vb)?).add(Activation::Relu)))
///     .epochs_per_layer(5)
///     .optimizer(Optimizer::adam(1e-2));
/// let pool = Session::new(&learner, &data).fit(&Bagging::new(3), 42)?;
/// assert_eq!(pool.members()[0].record.curve.len(), 15);
/// # Ok::<(), candle_ensemble::Error>(())
/// ```
///
/// Source: Bengio et al. (2007), "Greedy layer-wise training of deep networks", NIPS 19:153–160; Hinton,
/// Osindero and Teh (2006), doi:10.1162/neco.2006.18.7.1527.
#[derive(Clone)]
pub struct GreedyPretraining {
    hidden: Vec<LayerConstructor>,
    output_layer: LayerConstructor,
    config: TrainConfig,
    pretraining: Pretraining,
    dtype: DType,
    output: Output,
    version: String,
}

impl fmt::Debug for GreedyPretraining {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GreedyPretraining")
            .field("hidden_layers", &self.hidden.len())
            .field("pretraining", &self.pretraining)
            .field("config", &self.config)
            .finish_non_exhaustive()
    }
}

impl GreedyPretraining {
    /// A learner with this output layer and no hidden layers yet. The layer's variables are called
    /// `output.…`.
    pub fn new<M: ModuleT + Send + Sync + 'static>(
        output: impl Fn(VarBuilder<'static>) -> CandleResult<M> + Send + Sync + 'static,
    ) -> Self {
        Self::reading(&[], move |_, vb| output(vb))
    }

    /// The same with a constructor that reads settings of the run; `reads` names them.
    pub fn reading<M: ModuleT + Send + Sync + 'static>(
        reads: &[&str],
        output: impl Fn(&Settings, VarBuilder<'static>) -> CandleResult<M> + Send + Sync + 'static,
    ) -> Self {
        Self {
            hidden: vec![],
            output_layer: LayerConstructor::new(reads, output),
            config: TrainConfig::default(),
            pretraining: Pretraining::default(),
            dtype: DType::F32,
            output: Output::default(),
            version: String::new(),
        }
    }

    /// Adds a hidden layer, with its activation, after the others. The variables of hidden layer `i`, from 0,
    /// are called `hidden.i.…`. In the supervised form every hidden layer has the width that the output layer
    /// takes.
    #[must_use]
    pub fn hidden<M: ModuleT + Send + Sync + 'static>(
        self,
        new: impl Fn(VarBuilder<'static>) -> CandleResult<M> + Send + Sync + 'static,
    ) -> Self {
        self.hidden_layers(1, new)
    }

    /// Adds this many hidden layers of one constructor.
    #[must_use]
    pub fn hidden_layers<M: ModuleT + Send + Sync + 'static>(
        mut self,
        count: usize,
        new: impl Fn(VarBuilder<'static>) -> CandleResult<M> + Send + Sync + 'static,
    ) -> Self {
        let layer = LayerConstructor::new(&[], move |_, vb| new(vb));
        self.hidden.extend(vec![layer; count]);
        self
    }

    /// Adds a hidden layer whose constructor reads settings of the run, such as `"inputs"`, the number of
    /// features of a random subspace; `reads` names them.
    #[must_use]
    pub fn hidden_reading<M: ModuleT + Send + Sync + 'static>(
        mut self,
        reads: &[&str],
        new: impl Fn(&Settings, VarBuilder<'static>) -> CandleResult<M> + Send + Sync + 'static,
    ) -> Self {
        self.hidden.push(LayerConstructor::new(reads, new));
        self
    }

    /// Sets how layers are pretrained. The default is supervised, with earlier layers frozen.
    #[must_use]
    pub fn pretraining(mut self, pretraining: Pretraining) -> Self {
        self.pretraining = pretraining;
        self
    }

    /// Sets the configuration of all steps, such as that of a [`Trainer`](crate::train::Trainer). Its epochs
    /// are those of each supervised step. Autoencoders use the optimizer, the schedule, the clipping, the
    /// batches and how many of them are accumulated.
    #[must_use]
    pub fn config(mut self, config: TrainConfig) -> Self {
        self.config = config;
        self
    }

    /// Sets the epochs of each supervised step. The default is 30.
    #[must_use]
    pub fn epochs_per_layer(mut self, epochs: usize) -> Self {
        self.config.epochs = epochs;
        self
    }

    /// Sets whether the hidden layers of earlier steps are frozen; selects supervised pretraining.
    #[must_use]
    pub fn freeze_earlier(mut self, freeze: bool) -> Self {
        let fine_tuning = match self.pretraining {
            Pretraining::Supervised { fine_tuning, .. } => fine_tuning,
            Pretraining::Autoencoder { .. } => 0,
        };
        self.pretraining = Pretraining::Supervised { freeze_earlier: freeze, fine_tuning };
        self
    }

    /// Sets the number of rows in each step of the optimizer. The default is 32.
    #[must_use]
    pub fn batch_size(mut self, rows: impl Into<BatchSize>) -> Self {
        self.config.batch_size = rows.into();
        self
    }

    /// Sets the optimizer. The default is [`Optimizer::adam`] with learning rate 0.001.
    #[must_use]
    pub fn optimizer(mut self, optimizer: impl Into<Optimizer>) -> Self {
        self.config.optimizer = optimizer.into();
        self
    }

    /// Sets the loss of the supervised steps. The default depends on the task; see [`TrainConfig::loss`].
    #[must_use]
    pub fn loss(mut self, loss: Loss) -> Self {
        self.config.loss = Some(loss);
        self
    }

    /// Sets whether the training rows are shuffled in each epoch. The default is `true`.
    #[must_use]
    pub fn shuffle(mut self, shuffle: bool) -> Self {
        self.config.shuffle = shuffle;
        self
    }

    /// Stops each supervised step early by this rule.
    #[must_use]
    pub fn early_stopping(mut self, rule: EarlyStopping) -> Self {
        self.config.early_stopping = Some(rule);
        self
    }

    /// Sets how initial weights are drawn. The default is to follow what the constructors declare.
    #[must_use]
    pub fn init(mut self, init: InitScheme) -> Self {
        self.config.init = init;
        self
    }

    /// Sets the type of the weights. The default is `f32`.
    #[must_use]
    pub fn dtype(mut self, dtype: DType) -> Self {
        self.dtype = dtype;
        self
    }

    /// Sets what the network outputs for classes. The default is logits.
    #[must_use]
    pub fn output(mut self, output: Output) -> Self {
        self.output = output;
        self
    }

    /// Sets a version, which becomes part of the tag; see
    /// [`Trainer::version`](crate::train::Trainer::version).
    #[must_use]
    pub fn version(mut self, version: impl Into<String>) -> Self {
        self.version = version.into();
        self
    }

    fn stages(&self, config: &TrainConfig) -> Vec<Stage> {
        stages(self.pretraining, self.hidden.len(), config.epochs)
    }

    /// The metric that early stopping watches; `None` where that is the loss.
    fn watched(&self) -> Result<Option<Metric>> {
        let rule = self.config.early_stopping.as_ref();
        rule.and_then(|rule| rule.metric.as_deref()).map(Metric::parse).transpose()
    }

    /// Runs the network of every step on the first rows, so that one that does not fit is refused before the
    /// first step.
    fn try_parts(&self, network: &GreedyNetwork, stages: &[Stage], run: &Run<'_>) -> Result<()> {
        let rows: Rows = run.train_rows().iter().take(2).copied().collect();
        let inputs = run.scaling().scale_inputs(&run.batch(&rows)?.inputs)?;
        for stage in stages {
            let Step::Supervised { depth, .. } = stage.step else { continue };
            let output = Part { network, fixed: 0, depth }.run(&inputs, false).map_err(|e| {
                let must = "the width that the output layer takes";
                Error::invalid(format!("the width of hidden layer {}", depth - 1), must, e)
            })?;
            check_output(&output, run.task(), rows.len(), self.output)?;
        }
        Ok(())
    }

    fn train(&self, network: &GreedyNetwork, run: &mut Run<'_>) -> Result<()> {
        let config = self.config.for_run(run.settings())?;
        let (stages, first) = (self.stages(&config), run.first_epoch());
        fit_scaling(&config, run)?;
        self.try_parts(network, &stages, run)?;
        for (number, stage) in stages.iter().enumerate() {
            let is_last = number + 1 == stages.len();
            // The weights of a step that is over are in the checkpoint; those of the last epoch of all are
            // not final.
            if first >= stage.epochs.end && !is_last {
                continue;
            }
            match stage.step {
                Step::Supervised { fixed, depth } => {
                    let config = TrainConfig { epochs: stage.epochs.len(), ..config.clone() };
                    let part = Part { network, fixed, depth };
                    self.train_part(&config, &part, stage, is_last, run)?;
                }
                Step::Reconstruct { layer } => self.reconstruct(&config, network, layer, stage, run)?,
            }
        }
        Ok(())
    }

    /// A supervised step.
    fn train_part(
        &self,
        config: &TrainConfig,
        part: &Part<'_>,
        stage: &Stage,
        is_last: bool,
        run: &mut Run<'_>,
    ) -> Result<()> {
        let used = part.fixed..part.depth;
        let frozen = names_of_layers(run.vars(), self.hidden.len(), |layer| !used.contains(&layer));
        let begin = (stage.epochs.start, Freezing::always(frozen));
        let first = run.first_epoch().max(stage.epochs.start);
        let config = (config, &NO_CUSTOM);
        let mut training = Training::start(config, part, self.output, self.watched()?, begin, run)?;
        for epoch in first..stage.epochs.end {
            if training.has_stopped() {
                break;
            }
            let record = training.epoch(run, epoch)?;
            run.end_epoch(record.clone()).map_err(|e| run.failed(e))?;
            training.watch(&record, run.vars())?;
            if epoch + 1 == stage.epochs.end && !is_last {
                // The next step starts from the weights that this one ends with.
                training.finish(run, None, None)?;
                return run.checkpoint_with(|| Ok(LoopState::default())).map_err(|e| run.failed(e));
            }
            run.checkpoint_with(|| training.state()).map_err(|e| run.failed(e))?;
        }
        training.finish(run, None, None)
    }

    /// A step without targets.
    fn reconstruct(
        &self,
        config: &TrainConfig,
        network: &GreedyNetwork,
        layer: usize,
        stage: &Stage,
        run: &mut Run<'_>,
    ) -> Result<()> {
        let corruption = match self.pretraining {
            Pretraining::Autoencoder { corruption, .. } => corruption,
            Pretraining::Supervised { .. } => None,
        };
        let first = run.first_epoch().max(stage.epochs.start);
        let part = (layer, stage.epochs.clone());
        let mut training = Autoencoder::start(config, network, part, (corruption, self.dtype), run)?;
        for epoch in first..stage.epochs.end {
            let record = training.epoch(run, epoch)?;
            run.end_epoch(record).map_err(|e| run.failed(e))?;
            let is_over = epoch + 1 == stage.epochs.end;
            let state = || if is_over { Ok(LoopState::default()) } else { training.state() };
            run.checkpoint_with(state).map_err(|e| run.failed(e))?;
        }
        Ok(())
    }

    /// Checks that each setting of a run is read by a constructor or by the training.
    fn check_settings(&self, settings: &Settings) -> Result<()> {
        let constructors = self.hidden.iter().chain([&self.output_layer]);
        let own = constructors.flat_map(|layer| layer.reads.iter().map(String::as_str));
        let known: BTreeSet<&str> =
            SETTINGS.iter().copied().filter(|name| !UNREAD.contains(name)).chain(own).collect();
        match settings.iter().find(|(name, _)| !known.contains(name)) {
            None => Ok(()),
            Some((name, _)) => {
                let must = format!("one of {}", known.into_iter().collect::<Vec<_>>().join(", "));
                Err(Error::invalid("a setting for GreedyPretraining", must, format!("{name:?}")))
            }
        }
    }
}

/// The name of the one architecture.
const NAME: &str = "model";
/// The settings that only the trainer reads: each step says itself what it trains.
const UNREAD: [&str; 5] = ["freeze", "layer_decay", "parameter_groups", "unfreeze", "warm_start"];

impl Learner for GreedyPretraining {
    type Network = GreedyNetwork;

    fn architectures(&self) -> Vec<String> {
        vec![NAME.into()]
    }

    fn build(
        &self,
        architecture: &str,
        settings: &Settings,
        vb: VarBuilder<'static>,
    ) -> CandleResult<GreedyNetwork> {
        match architecture {
            NAME => build(&self.hidden, &self.output_layer, settings, &vb),
            _ => Err(Error::invalid("the architecture", NAME, format!("{architecture:?}")).into()),
        }
    }

    fn shared_build(&self) -> Option<SharedBuild<GreedyNetwork>> {
        let learner = self.clone();
        Some(SharedBuild::new(move |name, settings, vb| learner.build(name, settings, vb)))
    }

    fn fit(&self, network: &GreedyNetwork, run: &mut Run<'_>) -> CandleResult<()> {
        self.train(network, run).map_err(|e| run.fail(e))
    }

    fn tag(&self) -> String {
        let bytes = codec::encode(&(&self.config, &self.pretraining));
        let hash = bytes.map(|bytes| blake3::hash(&bytes).to_hex().to_string()).unwrap_or_default();
        format!("greedy {hash} {} {:?} {:?} {}", self.hidden.len(), self.dtype, self.output, self.version)
    }

    fn epochs(&self, run: &RunSpec) -> usize {
        self.config.for_run(&run.settings).map_or(0, |config| total(&self.stages(&config)))
    }

    fn init(&self, settings: &Settings) -> Result<InitScheme> {
        Ok(self.config.for_run(settings)?.init)
    }

    fn dtype(&self) -> DType {
        self.dtype
    }

    fn output(&self) -> Output {
        self.output
    }

    fn averages(&self) -> bool {
        true
    }

    fn distills(&self) -> bool {
        true
    }

    fn check(&self, run: &RunSpec, data: &dyn Dataset) -> Result<()> {
        if self.hidden.is_empty() {
            return Err(Error::invalid("GreedyPretraining::hidden", "at least one hidden layer", "none"));
        }
        if run.architecture != NAME {
            return Err(Error::invalid("the architecture", NAME, format!("{:?}", run.architecture)));
        }
        data.positions().check_one("greedy layer-wise pretraining")?;
        self.pretraining.check()?;
        self.check_settings(&run.settings)?;
        let config = self.config.for_run(&run.settings)?;
        config.check(run, data.task(), self.output)?;
        check_scaling(&config, run, data)?;
        check_soft_targets(&config, run, data, self.output)?;
        if config.freeze != Freeze::None {
            let must = "Freeze::None, because each step of a greedy pretraining says what is frozen";
            return Err(Error::invalid("TrainConfig::freeze", must, format!("{:?}", config.freeze)));
        }
        if !config.parameter_groups.is_empty() || config.layer_decay.is_some() {
            let must = "without parameter groups and layer-wise decay, because each step trains other layers";
            return Err(Error::invalid("the configuration of a greedy pretraining", must, "with them"));
        }
        if config.early_stopping.as_ref().is_some_and(|rule| rule.then != Retrain::No) {
            let must = "Retrain::No, because each step of a greedy pretraining is followed by the next one";
            return Err(Error::invalid("EarlyStopping::then", must, "another"));
        }
        let (stages, collect) = (self.stages(&config), &run.collect);
        let epochs = total(&stages);
        collect.check(epochs)?;
        if collect.replaces_schedule() || collect.prescribes_rate(epochs) {
            let must = "one that leaves the learning rate to the steps of a greedy pretraining";
            return Err(Error::invalid("the rule for collecting members", must, format!("{collect:?}")));
        }
        let complete = stages.last().map_or(0, |stage| stage.epochs.start);
        if let Some(epoch) = (0..complete).find(|epoch| collect.due(*epoch, epochs).is_some()) {
            let must = format!("from epoch {complete} on, in the last step, before which layers are missing");
            return Err(Error::invalid("the epoch in which a member is collected", must, epoch));
        }
        self.watched()?.map_or(Ok(()), |metric| check_watched(&metric, self.output, data.task()))
    }
}
