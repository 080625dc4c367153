//! The configuration of the ready-made trainer, as data.
use crate::{
    data::{check_targets, not_affine, LastBatch, Scaling, Task},
    network::Output,
    plan::{BatchSize, LrSchedule, RunSpec, Settings},
    train::{
        Adversarial, Averaging, BatchTransforms, ClassWeights, Clip, Constraints, Distillation,
        EarlyStopping, Freeze, JointLoss, LayerDecay, Loss, LossScale, Monitor, Noises, Optimizer,
        ParameterGroups, ReduceOnPlateau, Regularizers, Unfreeze,
    },
    weights::{InitScheme, WeightFilter},
    Error, Result,
};
use candle_core::Tensor;
use serde::{Deserialize, Serialize};

/// The settings of single runs that the trainer reads; see [`Settings`].
pub(crate) const SETTINGS: &[&str] = &[
    "accumulate",
    "adversarial",
    "augment",
    "averaging",
    "batch_size",
    "class_weights",
    "clip",
    "constraint",
    "distillation",
    "early_stopping",
    "epochs",
    "freeze",
    "init",
    "input_scaling",
    "joint_loss",
    "label_smoothing",
    "layer_decay",
    "learning_rate",
    "loss",
    "loss_scale",
    "momentum",
    "noise",
    "optimizer",
    "parameter_groups",
    "plateau",
    "regularizer",
    "schedule",
    "target_scaling",
    "unfreeze",
    "warm_start",
    "weight_decay",
];

/// The largest number of epochs. A larger one is a mistake, and the training would not end.
const MAX_EPOCHS: usize = u32::MAX as usize;

/// The configuration of a [`Trainer`](crate::train::Trainer), as data.
///
/// The trainer's setters write it, and [`Trainer::config`](crate::train::Trainer::config) returns it. A hash
/// of it is part of the trainer's tag, so a store never returns a member that was trained with another
/// configuration.
///
/// A run's [`Settings`] replace single values:
///
/// | Setting | Value |
/// |---|---|
/// | `"accumulate"` | a number |
/// | `"augment"` | a text such as `"flip:horizontal,mixup:0.2"` ([`BatchTransforms::parse`]) |
/// | `"adversarial"` | a text such as `"fast-gradient-sign:0.01"` or `"pgd:0.03:steps=7"` ([`Adversarial::registry`]) |
/// | `"averaging"` | a text such as `"swa:0.75"` ([`Averaging::registry`]) |
/// | `"batch_size"` | a number, or a text such as `"full"` ([`BatchSize::parse`]) |
/// | `"class_weights"` | a text such as `"balanced"` ([`ClassWeights::parse`]) |
/// | `"clip"` | a text such as `"norm:1"` ([`Clip::registry`]) |
/// | `"constraint"` | a text such as `"max-norm:3"` ([`Constraints::parse`]) |
/// | `"distillation"` | a text such as `"distill:2:0.9"` ([`Distillation::registry`]) |
/// | `"early_stopping"` | `"none"`, or a text such as `"patience:10"` ([`EarlyStopping::registry`]) |
/// | `"epochs"` | a number |
/// | `"freeze"` | a number of first layers, or a text such as `"names:conv1.*"` ([`Freeze::parse`]) |
/// | `"init"` | a text such as `"he-uniform"` ([`InitScheme::parse`]) |
/// | `"input_scaling"`, `"target_scaling"` | a text such as `"standardize"` ([`Scaling::parse`]) |
/// | `"joint_loss"` | a text such as `"fusion"` ([`JointLoss::registry`]) |
/// | `"label_smoothing"` | a number; it selects cross-entropy with that smoothing |
/// | `"layer_decay"` | a factor, or a text with blocks ([`LayerDecay::parse`]) |
/// | `"learning_rate"`, `"weight_decay"` | a number |
/// | `"loss"` | a text such as `"huber:1"` ([`Loss::registry`]), in place of a custom loss, too |
/// | `"loss_scale"` | a text such as `"dynamic"` ([`LossScale::registry`]) |
/// | `"momentum"` | a number, for optimizers that have it |
/// | `"noise"` | a text such as `"input:0.1"` ([`Noises::parse`]) |
/// | `"optimizer"` | a text such as `"nadam:0.002"` ([`Optimizer::registry`]) |
/// | `"parameter_groups"` | a text such as `"group:head.*:10"` ([`ParameterGroups::parse`]) |
/// | `"plateau"` | a text such as `"reduce-on-plateau:0.5:5"` ([`ReduceOnPlateau::registry`]) |
/// | `"regularizer"` | a text such as `"l2:0.001"` ([`Regularizers::parse`]) |
/// | `"schedule"` | a text such as `"cosine"` ([`LrSchedule::parse`]) |
/// | `"unfreeze"` | the number of an epoch, or a text such as `"gradual:1"` ([`Unfreeze::parse`]) |
/// | `"warm_start"` | a number among those of [`Trainer::warm_starts`](crate::train::Trainer::warm_starts) |
///
/// The setting `"efficient_ensemble"`, a text such as `"tab-m:32"`, is one of the constructor of
/// [`Trainer::convertible`](crate::train::Trainer::convertible).
///
/// ```
/// use candle_ensemble::train::{Optimizer, TrainConfig, Trainer};
///
/// let trainer = Trainer::new(|vb| candle_nn::linear(2, 1, vb)).epochs(10).optimizer(Optimizer::sgd(0.1));
/// assert_eq!(trainer.config().epochs, 10);
/// assert_eq!(trainer.config().batch_size, TrainConfig::default().batch_size);
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct TrainConfig {
    /// Passes over the training rows, at least 1 and at most 2³² − 1. Default 30.
    pub epochs: usize,
    /// Rows in each step; the last batch of an epoch may be smaller. Default 32.
    pub batch_size: BatchSize,
    /// What becomes of the last batch of an epoch, above all of one that has a single row. Default
    /// [`LastBatch::Auto`].
    #[serde(default)]
    pub last_batch: LastBatch,
    /// Whether the training rows are shuffled in each epoch. Default yes.
    pub shuffle: bool,
    /// The optimizer. Default [`Optimizer::adam`] with learning rate 0.001.
    pub optimizer: Optimizer,
    /// The learning-rate schedule. Default constant.
    pub schedule: LrSchedule,
    /// The loss. `None`, the default, means cross-entropy for classes (binary cross-entropy for a network
    /// with one output), the mean squared error for values, and the loss of the distribution that the network outputs.
    pub loss: Option<Loss>,
    /// The name of the loss of [`Trainer::custom_loss`](crate::train::Trainer::custom_loss), which takes the place of
    /// `loss`. Default none.
    #[serde(default)]
    pub custom_loss: Option<String>,
    /// The names of the penalties of [`Trainer::custom_penalty`](crate::train::Trainer::custom_penalty). Default none.
    #[serde(default)]
    pub custom_penalties: Vec<String>,
    /// The weights of the classes in the loss of the training. Default none.
    #[serde(default)]
    pub class_weights: Option<ClassWeights>,
    /// The mix of a teacher's predictions, which are the soft targets of the data, and of the targets. Default none.
    #[serde(default)]
    pub distillation: Option<Distillation>,
    /// Gradient clipping. Default none.
    pub clip: Clip,
    /// Penalties on weights. Default none.
    #[serde(default)]
    pub regularizers: Regularizers,
    /// Constraints on weights, which are applied after each step. Default none.
    #[serde(default)]
    pub constraints: Constraints,
    /// The rule by which the learning rate is reduced when the loss no longer falls. Default none.
    #[serde(default)]
    pub plateau: Option<ReduceOnPlateau>,
    /// The number of batches whose gradients are accumulated for one step of the optimizer, at least 1. Default 1.
    #[serde(default = "one")]
    pub accumulate: usize,
    /// Transforms of the batches in training. Default none.
    #[serde(default)]
    pub augment: BatchTransforms,
    /// Noise on inputs, targets, weights or gradients in training. Default none.
    #[serde(default)]
    pub noise: Noises,
    /// The scaling of inputs, fitted on the training rows of each run. Default none.
    #[serde(default)]
    pub input_scaling: Option<Scaling>,
    /// The scaling of targets that are values, fitted on the training rows of each run. Default none.
    #[serde(default)]
    pub target_scaling: Option<Scaling>,
    /// The variables that the optimizer's weight decay applies to. Default [`WeightFilter::Kernels`].
    #[serde(default)]
    pub decay_on: WeightFilter,
    /// The factor of the loss in half precision. Default none.
    #[serde(default)]
    pub loss_scale: Option<LossScale>,
    /// Early stopping, which needs validation rows. Default none.
    pub early_stopping: Option<EarlyStopping>,
    /// How initial weights are drawn. The default is to follow what the model's constructor declares.
    pub init: InitScheme,
    /// Whether trainable variables without a gradient are allowed. Default no.
    pub allow_frozen: bool,
    /// The average of the run's networks that becomes the member. `None`, the default, means the last
    /// network.
    #[serde(default)]
    pub averaging: Option<Averaging>,
    /// What is measured while the network is trained. `None`, the default, means nothing.
    #[serde(default)]
    pub monitor: Option<Monitor>,
    /// The variables that are not trained. Default none.
    #[serde(default)]
    pub freeze: Freeze,
    /// Steps on inputs that are moved towards a larger loss as well. `None`, the default, means no such steps.
    #[serde(default)]
    pub adversarial: Option<Adversarial>,
    /// From which epoch frozen variables are trained after all. Default never.
    #[serde(default)]
    pub unfreeze: Unfreeze,
    /// Parts of the network with a learning rate, weight decay or schedule of their own. Default none.
    #[serde(default)]
    pub parameter_groups: ParameterGroups,
    /// How the learning rate falls from the last layer to the first. Default not.
    #[serde(default)]
    pub layer_decay: Option<LayerDecay>,
    /// What the members of a network that holds several minimise together. Default the mean of their losses.
    #[serde(default)]
    pub joint_loss: JointLoss,
}

impl Default for TrainConfig {
    fn default() -> Self {
        Self {
            epochs: 30,
            batch_size: BatchSize::default(),
            last_batch: LastBatch::Auto,
            shuffle: true,
            optimizer: Optimizer::adam(1e-3),
            schedule: LrSchedule::default(),
            loss: None,
            custom_loss: None,
            custom_penalties: vec![],
            class_weights: None,
            distillation: None,
            clip: Clip::None,
            regularizers: Regularizers::default(),
            constraints: Constraints::default(),
            plateau: None,
            accumulate: one(),
            augment: BatchTransforms::default(),
            noise: Noises::default(),
            input_scaling: None,
            target_scaling: None,
            decay_on: WeightFilter::default(),
            loss_scale: None,
            early_stopping: None,
            init: InitScheme::default(),
            allow_frozen: false,
            averaging: None,
            monitor: None,
            freeze: Freeze::None,
            adversarial: None,
            unfreeze: Unfreeze::Never,
            parameter_groups: ParameterGroups::default(),
            layer_decay: None,
            joint_loss: JointLoss::MemberMean,
        }
    }
}

/// The number of batches of a step, unless gradients are accumulated.
fn one() -> usize {
    1
}

impl TrainConfig {
    /// The configuration of a run with these settings.
    pub(crate) fn for_run(&self, settings: &Settings) -> Result<Self> {
        let mut config = self.clone();
        if let Some(epochs) = settings.count("epochs")? {
            config.epochs = epochs;
        }
        if let Some(size) = BatchSize::setting(settings)? {
            config.batch_size = size;
        }
        if let Some(optimizer) = settings.text("optimizer")? {
            config.optimizer = Optimizer::registry().parse(optimizer)?;
        }
        if let Some(rate) = settings.real("learning_rate")? {
            config.optimizer.set_learning_rate(rate);
        }
        if let Some(decay) = settings.real("weight_decay")? {
            config.optimizer.set_weight_decay(decay);
        }
        if let Some(momentum) = settings.real("momentum")? {
            config.optimizer.set_momentum(momentum)?;
        }
        if let Some(loss) = settings.text("loss")? {
            config.set_loss(Loss::registry().parse(loss)?);
        }
        if let Some(smoothing) = settings.real("label_smoothing")? {
            config.set_loss(Loss::CrossEntropy { smoothing });
        }
        if let Some(weights) = settings.text("class_weights")? {
            config.class_weights = Some(ClassWeights::parse(weights)?);
        }
        if let Some(distillation) = settings.text("distillation")? {
            config.distillation = Some(Distillation::registry().parse(distillation)?);
        }
        if let Some(init) = settings.text("init")? {
            config.init = InitScheme::parse(init)?;
        }
        if let Some(clip) = settings.text("clip")? {
            config.clip = Clip::registry().parse(clip)?;
        }
        if let Some(scale) = settings.text("loss_scale")? {
            config.loss_scale = Some(LossScale::registry().parse(scale)?);
        }
        if let Some(plateau) = settings.text("plateau")? {
            config.plateau = Some(ReduceOnPlateau::registry().parse(plateau)?);
        }
        if let Some(batches) = settings.count("accumulate")? {
            config.accumulate = batches;
        }
        if let Some(transforms) = settings.text("augment")? {
            config.augment = BatchTransforms::parse(transforms)?;
        }
        if let Some(noise) = settings.text("noise")? {
            config.noise = Noises::parse(noise)?;
        }
        if let Some(scaling) = settings.text("input_scaling")? {
            config.input_scaling = Some(Scaling::parse(scaling)?);
        }
        if let Some(scaling) = settings.text("target_scaling")? {
            config.target_scaling = Some(Scaling::parse(scaling)?);
        }
        if let Some(constraints) = settings.text("constraint")? {
            config.constraints = Constraints::parse(constraints)?;
        }
        if let Some(schedule) = settings.text("schedule")? {
            config.schedule = LrSchedule::parse(schedule)?;
        }
        if let Some(regularizers) = settings.text("regularizer")? {
            config.regularizers = Regularizers::parse(regularizers)?;
        }
        if let Some(rule) = settings.text("early_stopping")? {
            config.early_stopping = match rule {
                "none" => None,
                rule => Some(EarlyStopping::registry().parse(rule)?),
            };
        }
        if let Some(joint) = settings.text("joint_loss")? {
            config.joint_loss = JointLoss::registry().parse(joint)?;
        }
        if let Some(averaging) = settings.text("averaging")? {
            config.averaging = Some(Averaging::registry().parse(averaging)?);
        }
        if let Some(freeze) = Freeze::of_run(settings)? {
            config.freeze = freeze;
        }
        if let Some(adversarial) = settings.text("adversarial")? {
            config.adversarial = Some(Adversarial::registry().parse(adversarial)?);
        }
        if let Some(unfreeze) = Unfreeze::of_run(settings)? {
            config.unfreeze = unfreeze;
        }
        if let Some(groups) = settings.text("parameter_groups")? {
            config.parameter_groups = ParameterGroups::parse(groups)?;
        }
        if let Some(decay) = LayerDecay::of_run(settings)? {
            config.layer_decay = Some(decay);
        }
        Ok(config)
    }

    /// Checks every parameter, and whether the parameters and the run go together.
    pub(crate) fn check(&self, run: &RunSpec, task: Task, output: Output) -> Result<()> {
        if self.epochs == 0 {
            return Err(Error::invalid("epochs", "at least 1", 0));
        }
        if self.epochs > MAX_EPOCHS {
            return Err(Error::invalid("epochs", format!("at most {MAX_EPOCHS}"), self.epochs));
        }
        self.batch_size.check()?;
        self.init.check()?;
        self.optimizer.check()?;
        self.schedule.check()?;
        self.clip.check()?;
        self.regularizers.check()?;
        self.constraints.check()?;
        self.plateau.as_ref().map_or(Ok(()), |plateau| plateau.check(run))?;
        if self.accumulate == 0 {
            return Err(Error::invalid("the number of batches that are accumulated", "at least 1", 0));
        }
        self.augment.check()?;
        self.noise.check()?;
        self.noise.check_task(task)?;
        self.input_scaling.as_ref().map_or(Ok(()), Scaling::check)?;
        output.check(task)?;
        if let Some(scaling) = &self.target_scaling {
            check_targets(scaling, task)?;
            if output.is_distribution() && !scaling.is_affine() {
                return Err(not_affine());
            }
        }
        self.decay_on.check()?;
        self.loss_scale.map_or(Ok(()), |scale| scale.check())?;
        self.freeze.check()?;
        self.adversarial.as_ref().map_or(Ok(()), Adversarial::check)?;
        self.unfreeze.check(self.epochs)?;
        self.parameter_groups.check()?;
        self.layer_decay.as_ref().map_or(Ok(()), LayerDecay::check)?;
        if run.collect.replaces_schedule() && self.schedule != LrSchedule::default() {
            let must =
                format!("left unset with {:?}, which sets the learning rate of every step", run.collect);
            return Err(Error::invalid("the schedule", must, format!("{:?}", self.schedule)));
        }
        let of_group = self.parameter_groups.iter().find_map(|group| group.schedule.as_ref());
        if let (true, Some(schedule)) = (run.collect.replaces_schedule(), of_group) {
            let must =
                format!("left unset with {:?}, which sets the learning rate of every step", run.collect);
            return Err(Error::invalid("the schedule of a parameter group", must, format!("{schedule:?}")));
        }
        if let Some(loss) = &self.loss {
            loss.check()?;
            loss.check_fit(task, output)?;
        } else if output == Output::Probabilities && self.custom_loss.is_none() && self.distillation.is_none()
        {
            // The default computes a softmax, which such a network has computed already.
            Loss::default_for(task, output, task.width()).check_fit(task, output)?;
        }
        self.joint_loss.check_with(self, task, output)?;
        self.class_weights.as_ref().map_or(Ok(()), |weights| weights.check(task))?;
        self.distillation.as_ref().map_or(Ok(()), Distillation::check)?;
        if let Some(monitor) = &self.monitor {
            monitor.check()?;
        }
        if let Some(averaging) = &self.averaging {
            averaging.check(self.epochs, run)?;
        }
        if let Some(early_stopping) = &self.early_stopping {
            early_stopping.check()?;
            if self.averaging.is_some() {
                let must = "off with weight averaging: it watches the network in training, not the average";
                return Err(Error::invalid("early stopping", must, "on"));
            }
            if !run.collect.at_end() {
                let must =
                    "off where members are collected within a run, because the run must do all its epochs";
                return Err(Error::invalid("early stopping", must, "on"));
            }
            if run.valid.is_empty() {
                let must = "used with validation rows (the `validation` setter of a strategy)";
                return Err(Error::invalid("early stopping", must, "used without any"));
            }
        }
        Ok(())
    }

    /// Sets a loss of the library, in place of the user's.
    pub(crate) fn set_loss(&mut self, loss: Loss) {
        (self.loss, self.custom_loss) = (Some(loss), None);
    }

    /// The largest number of epochs, those of a training after early stopping included.
    pub(super) fn max_epochs(&self) -> usize {
        let again = self.early_stopping.as_ref().map_or(0, |rule| rule.then.max_epochs(self.epochs));
        self.epochs.saturating_add(again)
    }

    /// The loss for a network with this output, whose shape has been checked.
    pub(crate) fn loss_for(&self, task: Task, kind: Output, output: &Tensor) -> Loss {
        let width = output.dims().get(1).copied().unwrap_or(1);
        self.loss.unwrap_or_else(|| Loss::default_for(task, kind, width))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        plan::{FastGeometric, Schedule, Snapshot},
        Seed,
    };

    const VALUES: Task = Task::Regression { outputs: 1 };

    #[test]
    fn a_schedule_with_snapshots_is_an_error_that_names_both() {
        let mut run = RunSpec::new(0, "model", Seed::from(1), vec![0]);
        run.collect = Snapshot::new(5).into();
        let schedule = LrSchedule::from(Schedule::Cosine { to: 0.1 });
        let config = TrainConfig { schedule, ..TrainConfig::default() };
        let e = config.check(&run, VALUES, Output::Logits).unwrap_err().to_string();
        assert!(e.starts_with("the schedule must be left unset with Snapshot"), "{e}");
        assert!(e.contains("Cosine { to: 0.1 }"), "{e}");
        assert!(TrainConfig::default().check(&run, VALUES, Output::Logits).is_ok());
    }

    #[test]
    fn a_schedule_with_fast_geometric_cycles_is_allowed() {
        let mut run = RunSpec::new(0, "model", Seed::from(1), vec![0]);
        run.collect = FastGeometric::new(2, 0.1, 0.01).into();
        let schedule = LrSchedule::from(Schedule::Cosine { to: 0.1 });
        let config = TrainConfig { schedule, ..TrainConfig::default() };
        assert!(config.check(&run, VALUES, Output::Logits).is_ok());
    }
}
