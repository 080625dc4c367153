//! The ready-made trainer. Its configuration is data ([`TrainConfig`]); its loop is in `training.rs`.
mod checkpoint;
mod config;
mod course;
mod custom;
mod diagnosis;
mod fine_tuning;
mod phase;
mod scaling;
mod setters;
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
    data::{Dataset, Positions},
    metrics::Metric,
    network::{Aggregation, Output},
    plan::{RunSpec, Settings},
    train::{
        augment::OwnTransforms,
        convertible::EFFICIENT_ENSEMBLE,
        fit_transform::FitTransforms,
        learner::{fit_one_by_one, Finished},
        networks::{learner_methods, network_setters, Networks},
        trainer::{course::Course, starts::Starts},
        Learner, Run, WarmStart,
    },
    weights::{fresh, InitScheme, Weights},
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
/// # Networks that hold several members
/// [`Network::members`] says how many members a network holds and what they train on. On one batch
/// ([`MemberBatches::Shared`](crate::network::MemberBatches::Shared)) the outputs have the rows of all members, `(M·B, …)`, and
/// targets and weights are repeated for each. With rows of their own
/// ([`MemberBatches::Own`](crate::network::MemberBatches::Own)) the network gets `(M·R·B, …)` rows, those of the batch in another
/// order for each member. The loss is the mean of the members' losses, or another [joint loss](Trainer::joint_loss); the
/// functions of [`custom_loss`](Trainer::custom_loss) and [`custom_penalty`](Trainer::custom_penalty) get the outputs and targets
/// of all members, with the inputs as the network gets them. The loss and the metric of validation rows, which early stopping
/// watches, are those of what the members [predict together](crate::train::JointLoss::aggregation): the loss of the logarithm
/// of their mean probabilities, or of the mean of their values. The mean of distributions of values is a mixture, so their
/// loss is the mean of the members' losses; a watched metric of distributions is that of the mixture.
///
/// By default, weight decay leaves out the fast weights of members
/// ([`WeightFilter::Kernels`](crate::weights::WeightFilter::Kernels)).
///
/// # Half precision
/// A network in `f16` or `bf16` ([`dtype`](Trainer::dtype)) is trained with weights, moments and losses in
/// `f32`; see [`OptimizerState`](crate::train::OptimizerState).
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

    fn aggregation(&self, settings: &Settings) -> Result<Aggregation> {
        Ok(self.config.for_run(settings)?.joint_loss.aggregation())
    }

    fn fit(&self, network: &N, run: &mut Run<'_>) -> CandleResult<()> {
        self.fit_as(&self.config.for_run(run.settings())?, network, run)
    }

    fn stack_key(&self, run: &RunSpec) -> Option<String> {
        // Rows with several targets have several losses, and a step with moved inputs has passes of its own.
        let config = self.config.for_run(&run.settings).ok()?;
        let together = config.adversarial.is_none() && !config.augment.mix(Positions::One);
        together.then(|| self.networks.key(&run.architecture, &run.settings))
    }

    fn fit_stacked<'a>(&self, members: Vec<(&N, Run<'a>)>, finished: &mut Finished<'_, 'a>) {
        // Whether the rows of a member's output are what its loss is of.
        let alike = |(_, run): &(&N, Run<'a>)| {
            let fuses = self.config.for_run(run.settings()).map(|config| config.joint_loss.fuses());
            run.positions().is_one() && !fuses.unwrap_or(false)
        };
        match members.iter().all(alike) {
            true => stacked::fit(self, members, finished),
            false => fit_one_by_one(self, members, finished),
        }
    }

    fn tag(&self) -> String {
        let hash = codec::encode(&self.config).map(|bytes| blake3::hash(&bytes).to_hex().to_string());
        let hash = hash.unwrap_or_default();
        let starts = self.starts.tag();
        let names = |kind: &str, names: Vec<&str>| match names.is_empty() {
            true => String::new(),
            false => format!("{kind} {names:?} "),
        };
        let transforms = names("transforms", self.transforms.names()) + &names("fitted", self.fits.names());
        let Networks { dtype, output, .. } = &self.networks;
        format!("trainer {hash} {starts}{transforms}{dtype:?} {output:?} {}", self.version)
    }

    fn averages(&self) -> bool {
        true
    }

    fn converts(&self, architecture: &str) -> bool {
        self.networks.reads_setting(architecture, EFFICIENT_ENSEMBLE)
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
        if self.transforms.is_empty() {
            transforms::check_positions(&config, run, data)?;
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
