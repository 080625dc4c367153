//! The ready-made trainer. Its configuration is data ([`TrainConfig`]); its loop is in `training.rs`.
mod checkpoint;
mod config;
mod course;
mod custom;
mod diagnosis;
mod phase;
mod scaling;
mod stacked;
mod starts;
mod training;
mod transforms;
mod validation;

pub(crate) use checkpoint::{with_prefix, without_prefix};
pub use config::TrainConfig;
pub(crate) use config::SETTINGS;
pub(crate) use custom::{Custom, NO_CUSTOM};
pub(crate) use scaling::{check as check_scaling, fit as fit_scaling};
pub(crate) use training::{check_soft_targets, optimizer, scalar, Training};
pub(crate) use validation::check_watched;

use crate::{
    codec,
    data::{Dataset, LastBatch, Scaling},
    metrics::Metric,
    network::Output,
    plan::{BatchSize, LrSchedule, RunSpec, Settings},
    train::{
        augment::OwnTransforms,
        fit_transform::FitTransforms,
        learner::{fit_one_by_one, Finished},
        networks::{learner_methods, network_setters, Networks},
        trainer::{course::Course, starts::Starts},
        Adversarial, Averaging, ClassWeights, Clip, Constraints, Distillation, EarlyStopping, Freeze,
        LayerDecay, Learner, Loss, LossScale, Monitor, Noises, Optimizer, ParameterGroups, ReduceOnPlateau,
        Regularizers, Run, Unfreeze, WarmStart,
    },
    weights::{fresh, InitScheme, WeightFilter, Weights},
    Network, Result,
};
use candle_core::{DType, Result as CandleResult};
use candle_nn::VarBuilder;

/// Trains candle models as they are: a model is what a constructor `|vb: VarBuilder| Net::new(vb)` returns.
///
/// A step does this, where what is not set costs nothing:
///
/// 1. Inputs and targets are [scaled](Trainer::input_scaling) and [transformed](Trainer::augment), and get
///    [noise](Trainer::noise); so do the weights.
/// 2. Forward pass, loss ([of the library](Trainer::loss) or [your own](Trainer::custom_loss)), penalties on
///    [activations](crate::nn::ActivityRegularizer) and [your own](Trainer::custom_penalty), backward pass.
/// 3. The weights lose their noise. The gradients of several batches are [accumulated](Trainer::accumulate), get those of the
///    [penalties on weights](Trainer::regularizer), and
///    noise, and are [clipped](Trainer::clip).
/// 4. The [optimizer](Trainer::optimizer) updates the weights in place, and the [constraints](Trainer::constraint) are
///    applied.
/// 5. The [monitor](Trainer::monitor) and the [average](Trainer::averaging) follow.
///
/// After each epoch the network is evaluated on the validation rows, if the run has any. The member is
/// the network of the last epoch, of the best epoch with [`early_stopping`](Trainer::early_stopping), or an
/// average of the run's networks with [`averaging`](Trainer::averaging).
///
/// Networks output logits `(B, C)` for `C` classes, one logit `(B,)` or `(B, 1)` for two classes, or values
/// `(B,)` or `(B, K)`.
///
/// The result depends on the run's seed only, which determines the initial weights and the order of the rows.
/// candle's own dropout is an exception, because candle draws it from a generator that cannot be seeded; use
/// [`nn::Dropout`](crate::nn::Dropout) instead.
///
/// Use [`CustomLoop`](crate::train::CustomLoop) for training loops that differ in more than the settings
/// below.
///
/// # Errors
/// Parameters are checked when a session trains a plan. A run fails
/// - in its first step, if the network's output does not fit the task; with
///   [`Error::NoGradient`](crate::Error::NoGradient), if the loss does not reach a variable and
///   [`allow_frozen`](Trainer::allow_frozen) is not set;
/// - with [`Error::Diverged`](crate::Error::Diverged), if its loss or its weights become NaN or infinite while
///   it trains;
/// - with [`Error::NotFinite`](crate::Error::NotFinite), if something is NaN or infinite for another reason
///   than the learning rate: a row of the data, a statistic of batch normalization (see
///   [`last_batch`](Trainer::last_batch)), an output before the first step.
///
/// # Half precision
/// A network in `f16` or `bf16` ([`dtype`](Trainer::dtype)) is trained with weights, moments and losses in
/// `f32`; see [`OptimizerState`](crate::train::OptimizerState). candle multiplies matrices of `bf16` on GPUs
/// only.
///
/// ```
/// use candle_core::{Device, Tensor};
/// use candle_ensemble::{combine::Mean, data::TensorDataset, strategy::MultiRun, train::{Optimizer, Trainer}, Session};
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
    networks: Networks<N>,
    config: TrainConfig,
    /// The user's loss and penalties, whose names the configuration has.
    custom: Custom,
    /// The user's metric, which early stopping watches if its rule has the name.
    metric: Option<Metric>,
    starts: Starts,
    /// The user's transforms of batches.
    transforms: OwnTransforms,
    fits: FitTransforms,
    version: String,
}

/// The copies share the constructors.
impl<N> Clone for Trainer<N> {
    fn clone(&self) -> Self {
        Self {
            networks: self.networks.clone(),
            config: self.config.clone(),
            custom: self.custom.clone(),
            metric: self.metric.clone(),
            starts: self.starts.clone(),
            transforms: self.transforms.clone(),
            fits: self.fits.clone(),
            version: self.version.clone(),
        }
    }
}

impl<N> std::fmt::Debug for Trainer<N> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Trainer")
            .field("architectures", &self.networks.names())
            .field("config", &self.config)
            .finish_non_exhaustive()
    }
}

impl<N: Network> Trainer<N> {
    /// Trains the network that the constructor `new` builds. The architecture is called `"model"`.
    ///
    /// The `VarBuilder` is `'static`, so that a model may keep what it got from it, as `resnet18` of
    /// candle-transformers does. The model must compute with its variables: a tensor that a constructor makes
    /// of them once, such as the fused weights of candle-transformers' `mobileone`, does not follow the
    /// training before the network is built again.
    pub fn new(new: impl Fn(VarBuilder<'static>) -> CandleResult<N> + Send + Sync + 'static) -> Self {
        Self::reading(&[], move |_, vb| new(vb))
    }

    /// Trains the network of a constructor that reads settings of the run, such as a width. `reads` names
    /// these settings. A run with a setting that neither the constructor nor the trainer reads is an error,
    /// so that a misspelt name does not go unnoticed.
    pub fn reading(
        reads: &[&str],
        new: impl Fn(&Settings, VarBuilder<'static>) -> CandleResult<N> + Send + Sync + 'static,
    ) -> Self {
        let networks = Networks::new(reads, new);
        let (config, custom, version) = (TrainConfig::default(), Custom::default(), String::new());
        let (transforms, fits) = (OwnTransforms::default(), FitTransforms::default());
        Self { networks, config, custom, metric: None, starts: Starts::Fresh, transforms, fits, version }
    }

    network_setters!(config.init);

    /// Adds an architecture whose constructor reads settings of the run, or replaces the architecture of the
    /// same name. `reads` names the settings, as for [`Trainer::reading`].
    #[must_use]
    pub fn architecture_reading(
        mut self,
        name: &str,
        reads: &[&str],
        new: impl Fn(&Settings, VarBuilder<'static>) -> CandleResult<N> + Send + Sync + 'static,
    ) -> Self {
        self.networks.add(name, reads, new);
        self
    }

    /// Sets the number of passes over the training rows. The default is 30.
    #[must_use]
    pub fn epochs(mut self, epochs: usize) -> Self {
        self.config.epochs = epochs;
        self
    }

    /// Sets the number of rows in each step: a number, or a [`BatchSize`] that changes from epoch to epoch. The
    /// default is 32.
    #[must_use]
    pub fn batch_size(mut self, rows: impl Into<BatchSize>) -> Self {
        self.config.batch_size = rows.into();
        self
    }

    /// Sets what becomes of a last batch that is smaller than the others. By default a last batch of a single
    /// row joins the batch before it in a network with batch normalization, which needs two rows.
    #[must_use]
    pub fn last_batch(mut self, last: LastBatch) -> Self {
        self.config.last_batch = last;
        self
    }

    /// Sets the optimizer. The default is [`Optimizer::adam`] with learning rate 0.001.
    #[must_use]
    pub fn optimizer(mut self, optimizer: impl Into<Optimizer>) -> Self {
        self.config.optimizer = optimizer.into();
        self
    }

    /// Sets the learning-rate schedule. The default is a constant learning rate.
    ///
    /// A schedule cannot be combined with [`Snapshot`](crate::plan::Snapshot), which sets the learning rate
    /// of every step. With [`FastGeometric`](crate::plan::FastGeometric) it applies to the epochs of
    /// pretraining.
    #[must_use]
    pub fn schedule(mut self, schedule: impl Into<LrSchedule>) -> Self {
        self.config.schedule = schedule.into();
        self
    }

    /// Sets the loss. The default depends on the task; see [`TrainConfig::loss`].
    #[must_use]
    pub fn loss(mut self, loss: Loss) -> Self {
        self.config.set_loss(loss);
        self
    }

    /// Sets how much the rows of each class count in the loss of the training. The default is that all count the same.
    #[must_use]
    pub fn class_weights(mut self, weights: ClassWeights) -> Self {
        self.config.class_weights = Some(weights);
        self
    }

    /// Trains on the predictions of a teacher, which are the soft targets of the data set, beside the targets.
    #[must_use]
    pub fn distillation(mut self, distillation: Distillation) -> Self {
        self.config.distillation = Some(distillation);
        self
    }

    /// Sets how gradients are clipped. The default is not to clip them.
    #[must_use]
    pub fn clip(mut self, clip: Clip) -> Self {
        self.config.clip = clip;
        self
    }

    /// Sets the penalties on weights: a [`Regularizer`](crate::train::Regularizer), or several collected into
    /// [`Regularizers`]. The default is none.
    #[must_use]
    pub fn regularizer(mut self, regularizers: impl Into<Regularizers>) -> Self {
        self.config.regularizers = regularizers.into();
        self
    }

    /// Sets the constraints on weights: a [`Constraint`](crate::train::Constraint), or several collected into
    /// [`Constraints`]. They are applied after each step, and to an average of the run's networks. The default is none.
    #[must_use]
    pub fn constraint(mut self, constraints: impl Into<Constraints>) -> Self {
        self.config.constraints = constraints.into();
        self
    }

    /// Reduces the learning rate when the loss no longer falls, on top of the [`schedule`](Self::schedule). The default is
    /// not to.
    #[must_use]
    pub fn reduce_on_plateau(mut self, rule: ReduceOnPlateau) -> Self {
        self.config.plateau = Some(rule);
        self
    }

    /// Sets the noise on inputs, targets, weights or gradients: a [`Noise`](crate::train::Noise), or several collected
    /// into [`Noises`]. It acts in training only. Noise on inputs and targets is added after scaling. The default is none.
    #[must_use]
    pub fn noise(mut self, noise: impl Into<Noises>) -> Self {
        self.config.noise = noise.into();
        self
    }

    /// Scales the inputs. The scaling is fitted on the training rows of each run and is part of its members: whatever
    /// predicts with them takes inputs as the data set has them. It needs a data set with one input. A run reads its
    /// training rows once more for each 2²⁵ values. The network gets the inputs of [`RunSpec::features`], scaled; one-hot
    /// encoding gives it a column for each category. Members that were fitted on different rows scale differently, so
    /// their weights cannot be merged. The default is not to scale.
    ///
    /// ```
    /// use candle_core::{Device, Tensor};
    /// use candle_ensemble::{combine::Mean, data::{Scaling, TensorDataset}, strategy::Bagging, train::Trainer, Session};
    ///
    /// let x = Tensor::arange(0f32, 40., &Device::Cpu)?.affine(100., 7e4)?.reshape((20, 2))?;
    /// let data = TensorDataset::regression(&x, &x.sum(1)?)?;
    /// let trainer = Trainer::new(|vb| candle_nn::linear(2, 1, vb))
    ///     .input_scaling(Scaling::Standardize)
    ///     .target_scaling(Scaling::Standardize);
    /// let ensemble = Session::new(&trainer, &data).fit(&Bagging::new(3), 1)?.combine(&Mean)?;
    /// assert_eq!(ensemble.predict(&x)?.dims(), [20, 1]); // in the units of the targets
    /// # Ok::<(), candle_ensemble::Error>(())
    /// ```
    #[must_use]
    pub fn input_scaling(mut self, scaling: Scaling) -> Self {
        self.config.input_scaling = Some(scaling);
        self
    }

    /// Scales targets that are values, as [`input_scaling`](Self::input_scaling) does inputs. The loss is that of scaled
    /// targets; metrics and predictions are in the targets' own units. The default is not to scale.
    #[must_use]
    pub fn target_scaling(mut self, scaling: Scaling) -> Self {
        self.config.target_scaling = Some(scaling);
        self
    }

    /// Sets adversarial training: each step is also made on inputs that are moved towards a larger loss. The default is none.
    #[must_use]
    pub fn adversarial(mut self, adversarial: Adversarial) -> Self {
        self.config.adversarial = Some(adversarial);
        self
    }

    /// Sets the variables that the optimizer's weight decay applies to. The default is [`WeightFilter::Kernels`]: biases
    /// and the parameters of normalization layers do not decay. [`WeightFilter::All`] is the default of PyTorch.
    #[must_use]
    pub fn decay_on(mut self, filter: WeightFilter) -> Self {
        self.config.decay_on = filter;
        self
    }

    /// Multiplies the loss by a factor before the backward pass and divides the gradients by it, so that small gradients
    /// of a network in half precision do not become 0. The default is not to.
    #[must_use]
    pub fn loss_scale(mut self, scale: LossScale) -> Self {
        self.config.loss_scale = Some(scale);
        self
    }

    /// Stops runs early, by the loss on their validation rows or by the metric that the rule names. The
    /// strategy has to set validation rows aside.
    #[must_use]
    pub fn early_stopping(mut self, rule: EarlyStopping) -> Self {
        self.config.early_stopping = Some(rule);
        self
    }

    /// Stops runs early by a metric, such as a [`Score`](crate::metrics::Score) of your own, in place of the
    /// rule's. The rule gets the metric's name, which is part of the trainer's tag; change the
    /// [`version`](Self::version) when the metric computes something else under the same name.
    ///
    /// ```
    /// use candle_ensemble::{metrics::Metric, train::{EarlyStopping, Trainer}};
    ///
    /// let trainer = Trainer::new(|vb| candle_nn::linear(2, 3, vb))
    ///     .early_stopping_by(EarlyStopping::default(), Metric::parse("balanced-accuracy")?);
    /// let rule = trainer.config().early_stopping.as_ref().unwrap();
    /// assert_eq!(rule.metric.as_deref(), Some("balanced-accuracy"));
    /// # Ok::<(), candle_ensemble::Error>(())
    /// ```
    #[must_use]
    pub fn early_stopping_by(mut self, rule: EarlyStopping, metric: impl Into<Metric>) -> Self {
        let metric = metric.into();
        self.config.early_stopping = Some(EarlyStopping { metric: Some(metric.name()), ..rule });
        self.metric = Some(metric);
        self
    }

    /// Sets whether the training rows are shuffled in each epoch. The default is `true`.
    #[must_use]
    pub fn shuffle(mut self, shuffle: bool) -> Self {
        self.config.shuffle = shuffle;
        self
    }

    /// Sets whether variables without a gradient are allowed, as in a model with frozen parts. The default is
    /// `false`: a variable that the loss does not reach is an error.
    #[must_use]
    pub fn allow_frozen(mut self, allow: bool) -> Self {
        self.config.allow_frozen = allow;
        self
    }

    /// Starts every run from the weights of another network, in place of fresh ones.
    #[must_use]
    pub fn warm_start(mut self, start: WarmStart) -> Self {
        self.starts = Starts::Same(start);
        self
    }

    /// Starts each run from weights of its own: the run with the number `i` in its plan from the `i`-th of these. Members
    /// that start from different networks differ more than those that start from one.
    ///
    /// A run's setting `"warm_start"` names another one by its number, so that several runs may start from the same
    /// weights. A run for which there is none is an error when the plan is trained, before its first run.
    ///
    /// ```
    /// use candle_core::{Device, Tensor};
    /// use candle_ensemble::{prelude::*, plan::Settings, train::WarmStart, Result};
    ///
    /// let x = Tensor::arange(0f32, 20., &Device::Cpu)?.affine(0.1, -1.)?.reshape((10, 2))?;
    /// let data = TensorDataset::regression(&x, &x.sum(1)?)?;
    /// let trainer = Trainer::new(|vb| candle_nn::linear(2, 1, vb)).epochs(2);
    /// let pool = Session::new(&trainer, &data).fit(&MultiRun::new(3), 1)?;
    ///
    /// let starts = pool.weights().into_iter().map(|weights| WarmStart::new(weights.clone()));
    /// let tuning = trainer.clone().warm_starts(starts.collect::<Result<Vec<_>>>()?);
    /// let tuned = Session::new(&tuning, &data).fit(&MultiRun::new(3), 2)?;
    /// assert!(Session::new(&tuning, &data).fit(&MultiRun::new(4), 2).is_err());
    /// // Two runs from each network.
    /// let settings = (0..6).map(|run| Settings::new().with("warm_start", run / 2));
    /// let twice = Session::new(&tuning, &data).fit(&MultiRun::new(6).settings(settings), 2)?;
    /// assert_eq!((tuned.members().len(), twice.members().len()), (3, 6));
    /// # Ok::<(), candle_ensemble::Error>(())
    /// ```
    #[must_use]
    pub fn warm_starts(mut self, starts: impl IntoIterator<Item = WarmStart>) -> Self {
        self.starts = Starts::Each(starts.into_iter().collect());
        self
    }

    /// Sets which variables are not trained. By default all are. Their gradients are not computed, for which the
    /// constructor of the network is called once more.
    #[must_use]
    pub fn freeze(mut self, freeze: impl Into<Freeze>) -> Self {
        self.config.freeze = freeze.into();
        self
    }

    /// Sets from which epoch frozen variables are trained after all: an epoch, or an [`Unfreeze`]. By default they stay
    /// frozen.
    #[must_use]
    pub fn unfreeze(mut self, unfreeze: impl Into<Unfreeze>) -> Self {
        self.config.unfreeze = unfreeze.into();
        self
    }

    /// Gives parts of the network a learning rate, weight decay or schedule of their own: a
    /// [`ParameterGroup`](crate::train::ParameterGroup), or several collected into [`ParameterGroups`]. The default is
    /// none.
    #[must_use]
    pub fn parameter_groups(mut self, groups: impl Into<ParameterGroups>) -> Self {
        self.config.parameter_groups = groups.into();
        self
    }

    /// Lets the learning rate fall from the last layer to the first, by a factor or as a [`LayerDecay`] says. By default
    /// all layers have the same.
    #[must_use]
    pub fn layer_decay(mut self, decay: impl Into<LayerDecay>) -> Self {
        self.config.layer_decay = Some(decay.into());
        self
    }

    /// Makes an average of the run's networks the member: stochastic weight averaging or an exponential
    /// moving average.
    #[must_use]
    pub fn averaging(mut self, averaging: Averaging) -> Self {
        self.config.averaging = Some(averaging);
        self
    }

    /// Measures gradients, weights and updates in the training and records them in the learning curve. The default is
    /// not to measure them.
    #[must_use]
    pub fn monitor(mut self, monitor: Monitor) -> Self {
        self.config.monitor = Some(monitor);
        self
    }

    /// Sets a version, which becomes part of the trainer's tag. Change it when the result changes although
    /// the configuration and the variables do not, for example with another activation in the constructor. A
    /// store that outlives the process refuses members of another version.
    #[must_use]
    pub fn version(mut self, version: impl Into<String>) -> Self {
        self.version = version.into();
        self
    }

    /// The configuration.
    #[must_use]
    pub fn config(&self) -> &TrainConfig {
        &self.config
    }

    /// The user's loss and penalties.
    pub(crate) fn custom(&self) -> &Custom {
        &self.custom
    }

    /// The names of the settings that the constructors read.
    pub(crate) fn reads(&self) -> Vec<String> {
        self.networks.reads()
    }

    /// Whether runs start from weights that are not fresh.
    pub(crate) fn starts_warm(&self) -> bool {
        !matches!(self.starts, Starts::Fresh)
    }

    /// The weights from which a run starts, if they are not fresh.
    fn start_of(&self, run: &RunSpec) -> Result<Option<&WarmStart>> {
        self.starts.of(run)
    }

    /// The weights with which the run begins.
    fn initial_weights(&self, run: &Run<'_>) -> Result<Weights> {
        let RunSpec { seed, architecture, settings, .. } = run.spec();
        let (vars, vb) =
            fresh(seed.child("init"), Learner::init(self, settings)?, self.networks.dtype, run.device());
        self.networks.build(architecture, settings, vb)?;
        if let Some(start) = self.start_of(run.spec())? {
            start.load_into(&vars)?;
        }
        let mut weights = vars.snapshot()?;
        // What was fitted stays.
        let now = run.vars().named();
        for (name, var) in now.iter().filter(|(name, _)| self.fits.variables().any(|fitted| fitted == name)) {
            weights.insert(name.clone(), var.copy()?.detach());
        }
        Ok(weights)
    }

    /// Trains a network with another configuration than the trainer's own.
    pub(crate) fn fit_as(&self, config: &TrainConfig, network: &N, run: &mut Run<'_>) -> CandleResult<()> {
        let course = Course::start(self, config, network, run);
        let trained = course.and_then(|mut course| {
            course.train_to_end(run)?;
            course.finish(run)
        });
        trained.map_err(|e| run.fail(e))
    }

    /// Checks a run that trains with another configuration than the trainer's own.
    pub(crate) fn check_as(&self, config: &TrainConfig, run: &RunSpec, data: &dyn Dataset) -> Result<()> {
        self.networks.check(&run.architecture, &run.settings, SETTINGS)?;
        self.start_of(run)?;
        self.custom.check(config)?;
        check_soft_targets(config, run, data, self.networks.output)?;
        config.check(run, data.task(), self.networks.output)
    }

    /// The metric that early stopping watches; `None` where that is the loss.
    fn watched(&self, config: &TrainConfig) -> Result<Option<Metric>> {
        let rule = config.early_stopping.as_ref();
        let Some(name) = rule.and_then(|rule| rule.metric.as_deref()) else { return Ok(None) };
        match &self.metric {
            Some(metric) if metric.name() == name => Ok(Some(metric.clone())),
            _ => Metric::parse(name).map(Some),
        }
    }
}

impl<N: Network> Learner for Trainer<N> {
    learner_methods!();

    fn init(&self, settings: &Settings) -> Result<InitScheme> {
        Ok(self.config.for_run(settings)?.init)
    }

    fn fit(&self, network: &N, run: &mut Run<'_>) -> CandleResult<()> {
        self.fit_as(&self.config.for_run(run.settings())?, network, run)
    }

    fn stack_key(&self, run: &RunSpec) -> Option<String> {
        // Rows with several targets have several losses, and a step with moved inputs has passes of its own.
        let config = self.config.for_run(&run.settings).ok()?;
        let together = config.adversarial.is_none() && !config.augment.mix();
        together.then(|| self.networks.key(&run.architecture, &run.settings))
    }

    fn fit_stacked<'a>(&self, members: Vec<(&N, Run<'a>)>, finished: &mut Finished<'_, 'a>) {
        // The passes of members whose rows have positions are not shared.
        match members.iter().all(|(_, run)| run.positions().is_one()) {
            true => stacked::fit(self, members, finished),
            false => fit_one_by_one(self, members, finished),
        }
    }

    fn tag(&self) -> String {
        let hash = codec::encode(&self.config).map(|bytes| blake3::hash(&bytes).to_hex().to_string());
        let hash = hash.unwrap_or_default();
        let starts = self.starts.tag();
        let names = |names: Vec<&str>| if names.is_empty() { String::new() } else { format!("{names:?} ") };
        let transforms = names(self.transforms.names()) + &names(self.fits.names());
        let Networks { dtype, output, .. } = &self.networks;
        format!("trainer {hash} {starts}{transforms}{dtype:?} {output:?} {}", self.version)
    }

    fn averages(&self) -> bool {
        true
    }

    fn distills(&self) -> bool {
        true
    }

    fn epochs(&self, run: &RunSpec) -> usize {
        self.config.for_run(&run.settings).map_or(0, |config| config.max_epochs())
    }

    fn check(&self, run: &RunSpec, data: &dyn Dataset) -> Result<()> {
        run.collect.check(Learner::epochs(self, run))?;
        self.networks.check(&run.architecture, &run.settings, SETTINGS)?;
        self.start_of(run)?;
        let config = self.config.for_run(&run.settings)?;
        config.check(run, data.task(), self.networks.output)?;
        if !config.augment.is_empty() {
            // They would move the pixels of an image and not those of its targets; Trainer::augment_with can do both.
            data.positions().check_one("Trainer::augment")?;
        }
        self.custom.check(&config)?;
        check_scaling(&config, run, data)?;
        check_soft_targets(&config, run, data, self.networks.output)?;
        self.transforms.check()?;
        self.fits.check()?;
        self.watched(&config)?
            .map_or(Ok(()), |metric| check_watched(&metric, self.networks.output, data.task()))
    }
}
