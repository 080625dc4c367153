//! The ready-made trainer: what it does is data.
use crate::{
    codec,
    data::{passes, Batch, Dataset, Task},
    network::Output,
    plan::{LrSchedule, Position, RunSpec, Settings},
    store::{checkpoint::LoopState, EpochRecord},
    train::{
        architectures::Architectures,
        averaging::Averager,
        meter::Meter,
        stopping::{Verdict, Watch},
        Averaging, Clip, EarlyStopping, Learner, Loss, Optimizer, OptimizerState, Run, SavedOptimizer,
    },
    weights::{
        batch_norm::re_estimate_by,
        compatibility::{has_statistics, is_statistic},
        InitScheme, Weights,
    },
    Error, Network, Result,
};
use candle_core::{backprop::GradStore, DType, Result as CandleResult, Tensor};
use candle_nn::VarBuilder;
use serde::{Deserialize, Serialize};

/// Rows a batch in evaluation mode.
const EVALUATION_BATCH: usize = 1024;

/// Settings of single runs that the trainer knows; see [`Settings`].
const SETTINGS: [&str; 6] =
    ["batch_size", "epochs", "learning_rate", "momentum", "weight_decay", "label_smoothing"];

/// What the trainer does, as data.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct TrainConfig {
    /// Passes over the run's rows, at least 1.
    pub epochs: usize,
    /// Rows a step, at least 1; the last batch of an epoch may be short.
    pub batch_size: usize,
    /// Whether rows are put in a new order each epoch.
    pub shuffle: bool,
    /// How gradients become updates.
    pub optimizer: Optimizer,
    /// How the learning rate changes.
    pub schedule: LrSchedule,
    /// What is minimised; `None` means cross-entropy for classes (binary for a network with one output), the
    /// mean squared error for values.
    pub loss: Option<Loss>,
    /// How gradients are limited.
    pub clip: Clip,
    /// When a run ends early. Needs validation rows.
    pub early_stopping: Option<EarlyStopping>,
    /// How initial weights are drawn.
    pub init: InitScheme,
    /// Whether variables that the loss does not reach are allowed.
    pub allow_frozen: bool,
    /// Which average of the run's networks is its member; the last network is, if `None`.
    #[serde(default)]
    pub averaging: Option<Averaging>,
}

impl Default for TrainConfig {
    fn default() -> Self {
        Self {
            epochs: 30,
            batch_size: 32,
            shuffle: true,
            optimizer: Optimizer::adam(1e-3),
            schedule: LrSchedule::default(),
            loss: None,
            clip: Clip::None,
            early_stopping: None,
            init: InitScheme::default(),
            allow_frozen: false,
            averaging: None,
        }
    }
}

impl TrainConfig {
    /// The configuration of one run.
    fn with(&self, settings: &Settings) -> Result<Self> {
        let mut config = self.clone();
        if let Some(epochs) = settings.count("epochs")? {
            config.epochs = epochs;
        }
        if let Some(size) = settings.count("batch_size")? {
            config.batch_size = size;
        }
        if let Some(rate) = settings.real("learning_rate")? {
            config.optimizer = config.optimizer.with_learning_rate(rate);
        }
        if let Some(decay) = settings.real("weight_decay")? {
            config.optimizer = match config.optimizer {
                Optimizer::Adam(o) => o.with_weight_decay(decay).into(),
                Optimizer::Sgd(o) => o.with_weight_decay(decay).into(),
                Optimizer::RmsProp(o) => o.with_weight_decay(decay).into(),
            };
        }
        if let Some(momentum) = settings.real("momentum")? {
            config.optimizer = match config.optimizer {
                Optimizer::Sgd(o) => o.with_momentum(momentum).into(),
                Optimizer::RmsProp(o) => o.with_momentum(momentum).into(),
                Optimizer::Adam(_) => {
                    return Err(Error::invalid("momentum", "set for SGD or RMSprop", "set for Adam"));
                }
            };
        }
        if let Some(smoothing) = settings.real("label_smoothing")? {
            config.loss = Some(Loss::CrossEntropy { smoothing });
        }
        Ok(config)
    }

    fn check(&self, run: &RunSpec, task: Task) -> Result<()> {
        if self.epochs == 0 {
            return Err(Error::invalid("epochs", "at least 1", 0));
        }
        if self.batch_size == 0 {
            return Err(Error::invalid("batch_size", "at least 1 row", 0));
        }
        self.optimizer.check()?;
        self.schedule.check()?;
        self.clip.check()?;
        if let Some(loss) = &self.loss {
            loss.check()?;
            let classes = matches!(loss, Loss::CrossEntropy { .. } | Loss::BinaryCrossEntropy);
            if classes != matches!(task, Task::Classification { .. }) {
                let must = "one for classes (cross-entropy) where classes are predicted, one for values else";
                return Err(Error::invalid("the loss", must, format!("{loss:?} for {task:?}")));
            }
        }
        if let Some(rule) = &self.averaging {
            rule.check(self.epochs, run)?;
        }
        if let Some(rule) = &self.early_stopping {
            rule.check()?;
            if self.averaging.is_some() {
                let must = "off where weights are averaged: it watches another network than the member";
                return Err(Error::invalid("early stopping", must, "on"));
            }
            if !run.collect.at_end() {
                let must = "off where members are taken within a run: the run must do all its epochs";
                return Err(Error::invalid("early stopping", must, "on"));
            }
            if run.valid.is_empty() {
                let must = "given validation rows (Strategy::validation)";
                return Err(Error::invalid("early stopping", must, format!("without any in run {}", run.id)));
            }
        }
        Ok(())
    }

    /// The loss for a network that puts out this.
    fn loss_for(&self, task: Task, output: &Tensor) -> Loss {
        match (&self.loss, task) {
            (Some(loss), _) => *loss,
            (None, Task::Regression { .. }) => Loss::MeanSquared,
            (None, Task::Classification { .. }) if output.rank() == 1 || output.dims()[1] == 1 => {
                Loss::BinaryCrossEntropy
            }
            (None, Task::Classification { .. }) => Loss::CrossEntropy { smoothing: 0. },
        }
    }
}

/// Trains candle models, unchanged: a model is what `|vb: VarBuilder| Net::new(vb)` gives.
///
/// Each step is forward pass, loss, backward pass, clipping, update in place. The order of rows, the initial
/// weights and so the result depend on the run's seed alone. (A model that calls candle's own dropout still
/// trains, but candle draws it from a generator that cannot be seeded: such a run differs from time to time. With
/// [`layers::Dropout`](crate::nn::Dropout) it does not.)
///
/// ```
/// use candle_core::{Device, Tensor};
/// use candle_ensemble::{combine::Mean, data::TensorDataset, network::*, plan::*, strategy::MultiRun, train::*, Session};
/// use candle_nn::{linear, seq, Activation, VarBuilder};
///
/// let x = Tensor::arange(0f32, 40., &Device::Cpu)?.affine(0.05, -1.)?.reshape((20, 2))?;
/// let y = Tensor::from_iter((0..20u32).map(|i| i / 10), &Device::Cpu)?;
/// let data = TensorDataset::classification(x.clone(), &y)?;
///
/// let mlp = |vb: VarBuilder<'_>| {
///     Ok(seq().add(linear(2, 8, vb.pp("in"))?).add(Activation::Relu).add(linear(8, 2, vb.pp("out"))?))
/// };
/// let trainer = Trainer::new(mlp).epochs(20).optimizer(Optimizer::adam(1e-2));
/// let ensemble = Session::new(&trainer, &data).fit(&MultiRun::new(3), 42)?.combine(&Mean)?;
/// assert_eq!(ensemble.predict(&x)?.to_vec1::<u32>()?, y.to_vec1::<u32>()?);
/// # Ok::<(), candle_ensemble::Error>(())
/// ```
pub struct Trainer<N> {
    architectures: Architectures<N>,
    config: TrainConfig,
    dtype: DType,
    output: Output,
    version: String,
}

impl<N> std::fmt::Debug for Trainer<N> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Trainer")
            .field("architectures", &self.architectures.names())
            .field("config", &self.config)
            .finish_non_exhaustive()
    }
}

impl<N: Network> Trainer<N> {
    /// Trains the network that `new` makes, called `"model"`.
    pub fn new(new: impl Fn(VarBuilder<'_>) -> CandleResult<N> + Send + Sync + 'static) -> Self {
        Self::reading(&[], move |_, vb| new(vb))
    }

    /// The same, for a constructor that reads settings of the run, such as a width. `reads` names them, so that
    /// a misspelt setting is an error.
    pub fn reading(
        reads: &[&str],
        new: impl Fn(&Settings, VarBuilder<'_>) -> CandleResult<N> + Send + Sync + 'static,
    ) -> Self {
        let mut architectures = Architectures::new();
        architectures.add("model", reads, new);
        let (config, dtype, output) = (TrainConfig::default(), DType::F32, Output::default());
        Self { architectures, config, dtype, output, version: String::new() }
    }

    /// Adds an architecture, or replaces the one of that name. Networks of several types go together as
    /// [`AnyNetwork`](crate::AnyNetwork).
    #[must_use]
    pub fn architecture(
        mut self,
        name: &str,
        new: impl Fn(VarBuilder<'_>) -> CandleResult<N> + Send + Sync + 'static,
    ) -> Self {
        self.architectures.add(name, &[], move |_, vb| new(vb));
        self
    }

    /// The same, for a constructor that reads settings of the run; see [`Trainer::reading`].
    #[must_use]
    pub fn architecture_reading(
        mut self,
        name: &str,
        reads: &[&str],
        new: impl Fn(&Settings, VarBuilder<'_>) -> CandleResult<N> + Send + Sync + 'static,
    ) -> Self {
        self.architectures.add(name, reads, new);
        self
    }

    /// Passes over a run's rows; 30, if not set.
    #[must_use]
    pub fn epochs(mut self, epochs: usize) -> Self {
        self.config.epochs = epochs;
        self
    }

    /// Rows a step; 32, if not set.
    #[must_use]
    pub fn batch_size(mut self, rows: usize) -> Self {
        self.config.batch_size = rows;
        self
    }

    /// How gradients become updates; Adam at 1e-3, if not set.
    #[must_use]
    pub fn optimizer(mut self, optimizer: Optimizer) -> Self {
        self.config.optimizer = optimizer;
        self
    }

    /// How the learning rate changes; not at all, if not set.
    #[must_use]
    pub fn schedule(mut self, schedule: LrSchedule) -> Self {
        self.config.schedule = schedule;
        self
    }

    /// What is minimised; see [`TrainConfig::loss`].
    #[must_use]
    pub fn loss(mut self, loss: Loss) -> Self {
        self.config.loss = Some(loss);
        self
    }

    /// How gradients are limited.
    #[must_use]
    pub fn clip(mut self, clip: Clip) -> Self {
        self.config.clip = clip;
        self
    }

    /// When a run ends early; the strategy has to grant validation rows.
    #[must_use]
    pub fn early_stopping(mut self, rule: EarlyStopping) -> Self {
        self.config.early_stopping = Some(rule);
        self
    }

    /// Whether rows are put in a new order each epoch; they are, if not set.
    #[must_use]
    pub fn shuffle(mut self, shuffle: bool) -> Self {
        self.config.shuffle = shuffle;
        self
    }

    /// How initial weights are drawn; as the model declares, if not set.
    #[must_use]
    pub fn init(mut self, init: InitScheme) -> Self {
        self.config.init = init;
        self
    }

    /// Allows variables that the loss does not reach, for a model with frozen parts.
    #[must_use]
    pub fn allow_frozen(mut self, allow: bool) -> Self {
        self.config.allow_frozen = allow;
        self
    }

    /// Makes an average of the run's networks its member: stochastic weight averaging, or an exponential moving
    /// average.
    #[must_use]
    pub fn averaging(mut self, rule: Averaging) -> Self {
        self.config.averaging = Some(rule);
        self
    }

    /// Type of the weights; f32, if not set.
    #[must_use]
    pub fn dtype(mut self, dtype: DType) -> Self {
        self.dtype = dtype;
        self
    }

    /// Names what neither the configuration nor the networks' variables tell, such as the activation that the
    /// constructor uses: a store that outlives the process refuses members of another version.
    #[must_use]
    pub fn version(mut self, version: impl Into<String>) -> Self {
        self.version = version.into();
        self
    }

    /// What the trainer does, as data.
    #[must_use]
    pub fn config(&self) -> &TrainConfig {
        &self.config
    }

    fn evaluate(&self, network: &N, run: &Run<'_>, config: &TrainConfig) -> CandleResult<Option<(f64, f64)>> {
        if run.spec().valid.is_empty() {
            return Ok(None);
        }
        let (task, mut meter) = (run.task(), Meter::default());
        for batch in run.validation(EVALUATION_BATCH) {
            let batch = batch?;
            let output = network.run(&batch.inputs, false)?.detach();
            let loss = mean_loss(config, task, &output, &batch)?;
            meter.add(scalar(&loss)?, &output, &batch, task)?;
        }
        Ok(Some(meter.finish(task)))
    }
}

/// What a checkpoint needs besides the weights; moments and the best epoch's weights are tensors beside it.
#[derive(Serialize, Deserialize)]
struct State {
    /// Without its moments.
    optimizer: SavedOptimizer,
    watch: Option<Watch>,
    best: bool,
    stopped: bool,
    average: Option<Vec<u8>>,
}

/// Where a checkpoint has the best epoch's weights, and the optimizer's moments.
const BEST: &str = "best/";
const MOMENTS: &str = "optimizer/";

/// The tensors whose names begin with `prefix`, without it.
fn below(prefix: &str, tensors: &Weights) -> Weights {
    let cut = |(name, tensor): (&String, &Tensor)| Some((name.strip_prefix(prefix)?.into(), tensor.clone()));
    tensors.iter().filter_map(cut).collect()
}

fn under(prefix: &str, tensors: Weights) -> impl Iterator<Item = (String, Tensor)> + '_ {
    tensors.into_iter().map(move |(name, tensor)| (format!("{prefix}{name}"), tensor))
}

/// Puts the best epoch's weights back, if they were kept.
fn restore(run: &Run<'_>, best: Option<Weights>) -> CandleResult<()> {
    Ok(best.map_or(Ok(()), |best| run.vars().load(&best))?)
}

/// Puts the average in the place of the last network. Its batch-norm statistics are measured over the run's rows: the
/// average of the statistics is not what the averaged network would measure.
fn settle<N: Network>(average: &Averager, network: &N, run: &Run<'_>) -> Result<()> {
    let (weights, rows) = (average.weights()?, &run.spec().train);
    if rows.len() < 2 || !has_statistics(&weights) {
        return run.vars().load(&weights);
    }
    let forward = |part: &[u32]| Ok(network.run(&run.batch(part)?.inputs, true)?);
    let parts = passes(rows, EVALUATION_BATCH)?;
    run.vars().load(&re_estimate_by(run.vars(), &weights, &parts, &forward)?)
}

fn mean_loss(config: &TrainConfig, task: Task, output: &Tensor, batch: &Batch) -> CandleResult<Tensor> {
    config.loss_for(task, output).mean(output, &batch.targets, batch.weights.as_ref())
}

fn scalar(loss: &Tensor) -> CandleResult<f64> {
    match loss.dtype() {
        DType::F32 => Ok(f64::from(loss.to_scalar::<f32>()?)),
        _ => loss.to_dtype(DType::F64)?.to_scalar(),
    }
}

/// The trainable variables that the loss does not reach. Batch-norm's statistics are written by the forward pass.
fn unreached(run: &Run<'_>, gradients: &GradStore) -> Vec<String> {
    let named = run.vars().named().into_iter();
    named
        .filter(|(name, var)| {
            var.dtype().is_float() && !is_statistic(name) && gradients.get(var.as_tensor()).is_none()
        })
        .map(|(name, _)| name)
        .collect()
}

/// Whether all weights are numbers: no loss comes after the last step that would show it.
fn finite(run: &Run<'_>) -> CandleResult<bool> {
    for var in run.vars().all_vars().iter().filter(|var| var.dtype().is_float()) {
        // 0 for finite numbers, else NaN; a sum of the numbers themselves may overflow.
        let zero = (var.as_detached_tensor() * 0.)?.sum_all()?.to_dtype(DType::F64)?.to_scalar::<f64>()?;
        if zero.is_nan() {
            return Ok(false);
        }
    }
    Ok(true)
}

impl<N: Network> Learner for Trainer<N> {
    type Network = N;

    fn architectures(&self) -> Vec<String> {
        self.architectures.names()
    }

    fn build(&self, name: &str, settings: &Settings, vb: VarBuilder<'_>) -> CandleResult<N> {
        self.architectures.build(name, settings, vb)
    }

    fn fit(&self, network: &N, run: &mut Run<'_>) -> CandleResult<()> {
        let config = self.config.with(run.settings())?;
        let (task, base) = (run.task(), config.optimizer.learning_rate());
        let mut optimizer = OptimizerState::new(&config.optimizer, run.vars().named())?;
        let mut watch = config.early_stopping.map(Watch::new);
        let mut best: Option<Weights> = None;
        let mut stopped = false;
        let average = config.averaging.map(|rule| Averager::new(rule, config.epochs)).transpose();
        let mut average = average.map_err(|e| run.fail(e))?;
        if run.first_epoch() > 0 {
            let state: State = codec::decode(run.state())
                .map_err(|why| run.fail(Error::Foreign { what: "the trainer's checkpoint".into(), why }))?;
            let tensors = run.take_state_tensors();
            let restored = state.optimizer.with_moments(below(MOMENTS, &tensors));
            restored.and_then(|saved| optimizer.restore(&saved)).map_err(|e| run.fail(e))?;
            watch = state.watch;
            best = state.best.then(|| below(BEST, &tensors));
            stopped = state.stopped;
            if let (Some(fresh), Some(bytes)) = (average.take(), &state.average) {
                average = Some(fresh.restore(bytes).map_err(|e| run.fail(e))?);
            }
        }
        let batches = run.spec().train.len().div_ceil(config.batch_size) as usize;
        let (mut last, mut checked) = ((run.first_epoch().saturating_sub(1), base), false);
        for epoch in run.first_epoch()..config.epochs {
            if stopped {
                break;
            }
            let mut meter = Meter::default();
            let mut rate = base;
            let mut rows: Box<dyn Iterator<Item = CandleResult<Batch>>> = match config.shuffle {
                true => Box::new(run.batches(epoch, config.batch_size)),
                false => Box::new(run.batches_in_order(config.batch_size)),
            };
            for number in 0..batches {
                let Some(batch) = rows.next().transpose()? else { break };
                let at = Position { epoch, batch: number, epochs: config.epochs, batches_per_epoch: batches };
                rate = run.learning_rate(base, at).unwrap_or_else(|| config.schedule.rate(base, at));
                let output = network.run(&batch.inputs, true)?;
                let loss = mean_loss(&config, task, &output, &batch)?;
                let value = scalar(&loss)?;
                if !value.is_finite() {
                    let (run_id, learning_rate) = (run.spec().id, rate);
                    let (batch, loss) = (number, value);
                    return Err(run.fail(Error::Diverged { run: run_id, epoch, batch, learning_rate, loss }));
                }
                let gradients = loss.backward()?;
                if !checked && !config.allow_frozen {
                    checked = true;
                    let names = unreached(run, &gradients);
                    if !names.is_empty() {
                        return Err(run.fail(Error::NoGradient { run: run.spec().id, names }));
                    }
                }
                optimizer.step(&gradients, rate, &config.clip)?;
                if let Some(average) = &mut average {
                    average.step_ended(run.vars()).map_err(|e| run.fail(e))?;
                }
                meter.add(value, &output, &batch, task)?;
            }
            last = (epoch, rate);
            let (train_loss, train_metric) = meter.finish(task);
            if let Some(average) = &mut average {
                average.epoch_ended(epoch, run.vars()).map_err(|e| run.fail(e))?;
            }
            let valid = self.evaluate(network, run, &config)?;
            run.end_epoch(EpochRecord {
                epoch,
                learning_rate: rate,
                train_loss,
                train_metric,
                valid_loss: valid.map(|(loss, _)| loss),
                valid_metric: valid.map(|(_, metric)| metric),
            })?;
            let verdict = watch.as_mut().zip(valid).map(|(watch, (loss, _))| watch.see(loss));
            if verdict == Some(Verdict::Improved) && watch.is_some_and(|w| w.restores()) {
                best = Some(run.vars().snapshot()?);
            }
            stopped = verdict == Some(Verdict::Stop);
            run.checkpoint_with(|| {
                let (optimizer, moments) = optimizer.save()?.without_moments()?;
                let average = average.as_ref().map(Averager::save).transpose()?;
                let state = State { optimizer, watch, best: best.is_some(), stopped, average };
                let best = best.clone().unwrap_or_default();
                let tensors = under(MOMENTS, moments).chain(under(BEST, best)).collect();
                Ok(LoopState { bytes: codec::encode(&state)?, tensors })
            })?;
        }
        restore(run, best)?;
        if !finite(run)? {
            let (epoch, learning_rate) = last;
            let (run_id, batch, loss) = (run.spec().id, batches.saturating_sub(1), f64::NAN);
            return Err(run.fail(Error::Diverged { run: run_id, epoch, batch, learning_rate, loss }));
        }
        match average.map_or(Ok(()), |average| settle(&average, network, run)) {
            Ok(()) => Ok(()),
            Err(e) => Err(run.fail(e)),
        }
    }

    fn tag(&self) -> String {
        let hash = codec::encode(&self.config).map(|bytes| blake3::hash(&bytes).to_hex().to_string());
        let hash = hash.unwrap_or_default();
        format!("trainer {hash} {:?} {:?} {}", self.dtype, self.output, self.version)
    }

    fn epochs(&self, run: &RunSpec) -> usize {
        self.config.with(&run.settings).map_or(0, |config| config.epochs)
    }

    fn init(&self) -> InitScheme {
        self.config.init
    }

    fn dtype(&self) -> DType {
        self.dtype
    }

    fn output(&self) -> Output {
        self.output
    }

    fn check(&self, run: &RunSpec, data: &dyn Dataset) -> Result<()> {
        run.collect.check(Learner::epochs(self, run))?;
        self.architectures.check(&run.architecture, &run.settings, &SETTINGS)?;
        self.config.with(&run.settings)?.check(run, data.task())
    }
}
