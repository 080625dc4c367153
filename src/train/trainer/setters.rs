//! The setters of the configuration.
use crate::{
    data::{LastBatch, Scaling},
    metrics::Metric,
    plan::{BatchSize, LrSchedule},
    train::{
        Adversarial, Averaging, ClassWeights, Clip, Constraints, Distillation, EarlyStopping, JointLoss,
        Loss, LossScale, Monitor, Noises, Optimizer, ReduceOnPlateau, Regularizers, Trainer,
    },
    weights::WeightFilter,
    Network,
};

impl<N: Network> Trainer<N> {
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

    /// Sets the loss. The default depends on the task; see [`TrainConfig::loss`](crate::train::TrainConfig::loss).
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
    /// training rows once more for each 2²⁵ values. The network gets the inputs of
    /// [`RunSpec::features`](crate::plan::RunSpec::features), scaled; one-hot encoding gives it a column for each category. Members that were fitted on different rows scale differently, so
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

    /// Sets adversarial training: each step is also made on inputs that are moved towards a larger loss, by one step
    /// ([`FastGradientSign`](crate::train::FastGradientSign)) or several ([`ProjectedGradient`](crate::train::ProjectedGradient)).
    /// The default is none.
    #[must_use]
    pub fn adversarial(mut self, adversarial: impl Into<Adversarial>) -> Self {
        self.config.adversarial = Some(adversarial.into());
        self
    }

    /// Sets what the members of a network that holds several minimise together. The default is the mean of their losses. It
    /// also decides how the members predict together ([`JointLoss::aggregation`]).
    #[must_use]
    pub fn joint_loss(mut self, joint: JointLoss) -> Self {
        self.config.joint_loss = joint;
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

    /// Sets whether the training rows are shuffled in each epoch. The default is `true`. A data set may ask for a shuffle in
    /// blocks ([`Dataset::shuffle`](crate::data::Dataset::shuffle)).
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
}
