//! The training loop of the ready-made trainer.
use crate::{
    data::{passes, Batch},
    plan::Position,
    store::{checkpoint::LoopState, EpochRecord},
    train::{
        averaging::RunningAverage,
        epoch_meter::EpochMeter,
        stopping::{Status, ValidationMonitor},
        trainer::{checkpoint::TrainingState, TrainConfig},
        OptimizerState, Run,
    },
    weights::{
        batch_norm::re_estimate_by,
        compatibility::{has_statistics, is_statistic},
        Vars, Weights,
    },
    Error, Network, Result,
};
use candle_core::{backprop::GradStore, DType, Result as CandleResult, Tensor};

/// Rows in a batch that is only evaluated.
const EVALUATION_BATCH: usize = 1024;

/// The training of one network: everything that changes from step to step, besides the network's variables.
pub(super) struct Training<'t, N> {
    config: &'t TrainConfig,
    network: &'t N,
    optimizer: OptimizerState,
    average: Option<RunningAverage>,
    monitor: Option<ValidationMonitor>,
    /// The weights of the best epoch, if early stopping restores them.
    best: Option<Weights>,
    stopped: bool,
    /// Whether the first step has shown that the loss reaches every variable.
    gradients_checked: bool,
    /// The learning rate of the last step.
    learning_rate: f64,
    /// The last epoch that was trained.
    epoch: usize,
}

impl<'t, N: Network> Training<'t, N> {
    /// The training at the beginning of the run, or at its last checkpoint.
    pub(super) fn start(config: &'t TrainConfig, network: &'t N, run: &mut Run<'_>) -> Result<Self> {
        let average = config.averaging.map(|averaging| RunningAverage::new(averaging, config.epochs));
        let mut training = Self {
            config,
            network,
            optimizer: OptimizerState::new(&config.optimizer, run.vars().named())?,
            average: average.transpose()?,
            monitor: config.early_stopping.map(ValidationMonitor::new),
            best: None,
            stopped: false,
            gradients_checked: false,
            learning_rate: config.optimizer.learning_rate(),
            epoch: run.first_epoch().saturating_sub(1),
        };
        if run.first_epoch() > 0 {
            let tensors = run.take_state_tensors();
            training.resume(TrainingState::decode(run.state(), &tensors)?)?;
        }
        Ok(training)
    }

    fn resume(&mut self, state: TrainingState) -> Result<()> {
        self.optimizer.restore(&state.optimizer)?;
        self.average = match (self.average.take(), &state.average) {
            (Some(average), Some(bytes)) => Some(average.restore(bytes)?),
            _ => None,
        };
        (self.monitor, self.best, self.stopped) = (state.monitor, state.best, state.stopped);
        Ok(())
    }

    /// Whether early stopping has ended the training.
    pub(super) fn has_stopped(&self) -> bool {
        self.stopped
    }

    /// One pass over the training rows, and the evaluation after it.
    pub(super) fn epoch(&mut self, run: &Run<'_>, epoch: usize) -> Result<EpochRecord> {
        let config = self.config;
        let mut meter = EpochMeter::new(run.task());
        let rows = if config.shuffle { run.shuffled_rows(epoch) } else { run.spec().train.clone() };
        let (epochs, batches_per_epoch) = (config.epochs, self.batches_per_epoch(run));
        for (number, batch) in run.in_batches(rows, config.batch_size).enumerate() {
            let at = Position { epoch, batch: number, epochs, batches_per_epoch };
            self.step(run, at, &batch?, &mut meter)?;
        }
        self.epoch = epoch;
        if let Some(average) = &mut self.average {
            average.after_epoch(epoch, run.vars())?;
        }
        let (train_loss, train_metric) = meter.finish();
        let (valid_loss, valid_metric) = self.evaluate(run)?.unzip();
        let learning_rate = self.learning_rate;
        Ok(EpochRecord { epoch, learning_rate, train_loss, train_metric, valid_loss, valid_metric })
    }

    fn batches_per_epoch(&self, run: &Run<'_>) -> usize {
        run.spec().train.len().div_ceil(self.config.batch_size)
    }

    /// One step: forward pass, loss, backward pass, clipping, update.
    fn step(&mut self, run: &Run<'_>, at: Position, batch: &Batch, meter: &mut EpochMeter) -> Result<()> {
        let base = self.config.optimizer.learning_rate();
        let prescribed = run.learning_rate(base, at);
        self.learning_rate = prescribed.unwrap_or_else(|| self.config.schedule.rate(base, at));

        let output = self.network.run(&batch.inputs, true)?;
        let loss = self.loss(run, &output, batch)?;
        let value = scalar(&loss)?;
        if !value.is_finite() {
            return Err(self.diverged(run, at.epoch, at.batch, value));
        }
        let gradients = loss.backward()?;
        self.check_gradients(run, &gradients)?;
        self.optimizer.step(&gradients, self.learning_rate, &self.config.clip)?;

        if let Some(average) = &mut self.average {
            average.after_step(run.vars())?;
        }
        Ok(meter.add(value, &output, batch)?)
    }

    /// The mean loss of a batch.
    fn loss(&self, run: &Run<'_>, output: &Tensor, batch: &Batch) -> CandleResult<Tensor> {
        self.config.loss_for(run.task(), output).mean(output, &batch.targets, batch.weights.as_ref())
    }

    /// Checks in the first step that the loss reaches every trainable variable, unless frozen variables are
    /// allowed.
    fn check_gradients(&mut self, run: &Run<'_>, gradients: &GradStore) -> Result<()> {
        if self.gradients_checked || self.config.allow_frozen {
            return Ok(());
        }
        self.gradients_checked = true;
        let names = variables_without_gradient(run.vars(), gradients);
        match names.is_empty() {
            true => Ok(()),
            false => Err(Error::NoGradient { run: run.spec().id, names }),
        }
    }

    /// The loss and the metric over the validation rows, if there are any.
    fn evaluate(&self, run: &Run<'_>) -> Result<Option<(f64, f64)>> {
        if run.spec().valid.is_empty() {
            return Ok(None);
        }
        let mut meter = EpochMeter::new(run.task());
        for batch in run.validation(EVALUATION_BATCH) {
            let batch = batch?;
            let output = self.network.run(&batch.inputs, false)?.detach();
            meter.add(scalar(&self.loss(run, &output, &batch)?)?, &output, &batch)?;
        }
        Ok(Some(meter.finish()))
    }

    /// Applies early stopping to the validation loss of an epoch: keeps the weights if the loss improved, or
    /// stops.
    pub(super) fn watch(&mut self, record: &EpochRecord, vars: &Vars) -> Result<()> {
        let (Some(monitor), Some(loss)) = (&mut self.monitor, record.valid_loss) else { return Ok(()) };
        match monitor.update(loss) {
            Status::Improved if monitor.restores_best() => self.best = Some(vars.snapshot()?),
            Status::Improved | Status::NotImproved => {}
            Status::Stop => self.stopped = true,
        }
        Ok(())
    }

    /// What a checkpoint holds besides the network's variables.
    pub(super) fn state(&self) -> Result<LoopState> {
        let average = self.average.as_ref().map(RunningAverage::save).transpose()?;
        let (monitor, best, stopped) = (self.monitor, self.best.clone(), self.stopped);
        TrainingState { optimizer: self.optimizer.save()?, monitor, best, stopped, average }.encode()
    }

    /// Puts the weights of the member into the variables: those of the best epoch, of the last epoch, or the
    /// average.
    pub(super) fn finish(self, run: &Run<'_>) -> Result<()> {
        if let Some(best) = &self.best {
            run.vars().load(best)?;
        }
        if !is_finite(run.vars())? {
            let batch = self.batches_per_epoch(run).saturating_sub(1);
            return Err(self.diverged(run, self.epoch, batch, f64::NAN));
        }
        match &self.average {
            Some(average) => self.load_average(average, run),
            None => Ok(()),
        }
    }

    /// Replaces the last network by the average. Batch-norm statistics are measured anew over the training
    /// rows, because the average of the statistics is not what the averaged network would measure.
    fn load_average(&self, average: &RunningAverage, run: &Run<'_>) -> Result<()> {
        let (weights, rows) = (average.weights()?, &run.spec().train);
        if rows.len() < 2 || !has_statistics(&weights) {
            return run.vars().load(&weights);
        }
        let forward = |part: &[u32]| Ok(self.network.run(&run.batch(part)?.inputs, true)?);
        let parts = passes(rows, EVALUATION_BATCH)?;
        run.vars().load(&re_estimate_by(run.vars(), &weights, &parts, &forward)?)
    }

    fn diverged(&self, run: &Run<'_>, epoch: usize, batch: usize, loss: f64) -> Error {
        Error::Diverged { run: run.spec().id, epoch, batch, learning_rate: self.learning_rate, loss }
    }
}

fn scalar(loss: &Tensor) -> CandleResult<f64> {
    match loss.dtype() {
        DType::F32 => Ok(f64::from(loss.to_scalar::<f32>()?)),
        _ => loss.to_dtype(DType::F64)?.to_scalar(),
    }
}

/// The trainable variables that the loss does not reach. Batch-norm statistics are not trainable: the forward
/// pass writes them.
fn variables_without_gradient(vars: &Vars, gradients: &GradStore) -> Vec<String> {
    let unreached = vars.named().into_iter().filter(|(name, var)| {
        var.dtype().is_float() && !is_statistic(name) && gradients.get(var.as_tensor()).is_none()
    });
    unreached.map(|(name, _)| name).collect()
}

/// Whether all weights are finite. No loss follows the last step, so nothing else would show that they are
/// not.
fn is_finite(vars: &Vars) -> CandleResult<bool> {
    for var in vars.all_vars().iter().filter(|var| var.dtype().is_float()) {
        // 0 for finite numbers, NaN otherwise. The sum of the numbers themselves might overflow.
        let zero = (var.as_detached_tensor() * 0.)?.sum_all()?.to_dtype(DType::F64)?.to_scalar::<f64>()?;
        if zero.is_nan() {
            return Ok(false);
        }
    }
    Ok(true)
}
